"""Named queries: all SQL of our statements, by the names of its files and its own."""

import re
from functools import cache
from importlib.resources import files

from orchestrator.core.common.errors import LogError

_HEAD = re.compile(r"^-- name: (\w+)\n-- (\S.*)\n", re.MULTILINE)


def statement(query: str) -> str:
    """Return the SQL of a named query."""
    found = queries().get(query)
    if found is None:
        raise LogError("query-unknown", f"no query is named {query!r}")
    return found


@cache
def queries() -> dict[str, str]:
    """Return all named queries: each starts with `-- name: x` and a line that describes it."""
    found: dict[str, str] = {}
    for file in files("orchestrator.storage").joinpath("sql/queries").iterdir():
        if not file.name.endswith(".sql"):
            continue
        text = file.read_text("utf-8")
        if text.count("-- name:") != len(_HEAD.findall(text)):
            raise LogError("query-malformed", f"{file.name}: a query lacks its name or description")
        _, *parts = _HEAD.split(text)
        for name, _, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            full_name = f"{file.name.removesuffix('.sql')}.{name}"
            if full_name in found:
                raise LogError("query-twice", f"two queries are named {full_name}")
            found[full_name] = body.strip().removesuffix(";")
    return found
