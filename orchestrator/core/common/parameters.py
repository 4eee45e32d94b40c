"""Parameters of actions: the part of JSON Schema by which a catalogue describes them.

A schema is taken word for word into the settings, and checked here down to every keyword. It may
say what can be checked in one pass over small parameters, and nothing else: no references, no
regular expressions, no combinations of schemas. So no schema makes a check slow, or reads a file.
"""

from collections.abc import Mapping

from orchestrator.core.common.document import (
    canonical_json,
    check_keys,
    read_choice,
    read_integer,
    read_list,
    read_table,
    shown_value,
)
from orchestrator.core.common.errors import DocumentError

# The most bytes of a schema, as canonical JSON, and of the parameters that it describes.
MAX_SCHEMA_BYTES = 4_096
MAX_PARAMETER_BYTES = 8_192
# The most schemas within one another, and the most names or values of one of them.
MAX_DEPTH = 4
MAX_MEMBERS = 64
MAX_TEXT_CHARS = 512
_MOST = 2**53 - 1

_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_SAID_OF_ALL = {"title", "description", "enum"}
# The keywords that a schema of a type may have besides.
_SAID_OF: Mapping[str, set[str]] = {
    "object": {"properties", "required"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "boolean": set(),
}


def read_schema(value: object, where: str) -> dict[str, object]:
    """Return the schema of an action's parameters, an object's. Raises `DocumentError`.

    `where` names it in messages. Members that a schema of an object does not name are refused, so
    it need not say `additionalProperties`.
    """
    schema = _read(value, where, MAX_DEPTH)
    if schema["type"] != "object":
        raise DocumentError(
            "schema-invalid", f"{where}: type must be 'object': parameters have names"
        )
    size = len(canonical_json(schema))
    if size > MAX_SCHEMA_BYTES:
        raise DocumentError(
            "schema-too-long",
            f"{where} has {size} bytes as canonical JSON; at most {MAX_SCHEMA_BYTES}",
        )
    return schema


def closed_schema(schema: Mapping[str, object]) -> dict[str, object]:
    """Return the schema as a validator is given it: objects take the members that they name."""
    closed = dict(schema)
    if schema["type"] == "object":
        named = schema.get("properties", {})
        if isinstance(named, Mapping):
            closed["properties"] = {name: closed_schema(one) for name, one in named.items()}
        closed["additionalProperties"] = False
    items = schema.get("items")
    if isinstance(items, Mapping):
        closed["items"] = closed_schema(items)
    return closed


def _read(value: object, where: str, depth: int) -> dict[str, object]:
    if not depth:
        raise DocumentError(
            "schema-too-deep", f"{where}: at most {MAX_DEPTH} schemas stand within one another"
        )
    table = read_table(value, where)
    if "type" not in table:
        raise DocumentError("key-missing", f"{where} lacks 'type'")
    kind = read_choice(table["type"], _TYPES, f"{where}: type")
    check_keys(table, {"type"}, _SAID_OF_ALL | _SAID_OF[kind], where)
    schema: dict[str, object] = {"type": kind}
    for key in sorted(table.keys() - {"type"}):
        schema[key] = _read_keyword(key, table[key], f"{where}: {key}", depth)
    if kind == "array" and "maxItems" not in schema:
        raise DocumentError("key-missing", f"{where} lacks 'maxItems', which bounds its list")
    return schema


def _read_keyword(key: str, value: object, where: str, depth: int) -> object:
    if key in ("title", "description"):
        return _read_text(value, where)
    if key == "enum":
        choices = read_list(value, where, MAX_MEMBERS)
        return [_read_plain(one, where) for one in choices]
    if key == "properties":
        table = read_table(value, where)
        if len(table) > MAX_MEMBERS:
            raise DocumentError(
                "list-too-long", f"{where} has {len(table)} items; at most {MAX_MEMBERS}"
            )
        return {
            _read_text(name, where): _read(one, f"{where}: {name!r:.40}", depth - 1)
            for name, one in sorted(table.items())
        }
    if key == "required":
        return [_read_text(one, where) for one in read_list(value, where, MAX_MEMBERS)]
    if key == "items":
        return _read(value, where, depth - 1)
    return read_integer(value, where, -_MOST if key.endswith("mum") else 0, _MOST)


def _read_text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise DocumentError(
            "text-invalid",
            f"{where} must be a text of at most {MAX_TEXT_CHARS} characters, not "
            f"{shown_value(value)}",
        )
    return value


def _read_plain(value: object, where: str) -> str | int | bool:
    if isinstance(value, str):
        return _read_text(value, where)
    if isinstance(value, bool):
        return value
    return read_integer(value, where, -_MOST, _MOST)
