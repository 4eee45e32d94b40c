"""The faults of what does not meet a schema of a surface's settings.

They repeat neither the value, which may be personal, nor what the owner has written: a model that
is told of a fault takes it for our own word.
"""

from collections.abc import Iterator

import jsonschema_rs

from api.http.problems import Fault


def schema_faults(
    validator: jsonschema_rs.Draft202012Validator, value: object, where: str
) -> Iterator[Fault]:
    """Yield the faults of a value, each with its place below `where` and the rule it breaks."""
    for error in validator.iter_errors(value):
        place = "/".join([where, *map(str, error.instance_path)])
        yield Fault(where=place, detail=f"does not meet {_rule(error)} of the settings")


def _rule(error: jsonschema_rs.ValidationError) -> str:
    """Return the way to the keyword in the schema, with its number if it sets a limit."""
    rule, limit = "/".join(map(str, error.schema_path)), getattr(error.kind, "limit", None)
    return rule if limit is None else f"{rule} ({limit})"
