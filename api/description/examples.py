"""Examples of bodies and answers, put together from the examples of their fields.

A schema that has an example of its own is shown by that; else an object is made of its members, and
a text by its pattern. A pattern without an example here is an error, so none is forgotten.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_BY_PATTERN = {
    # An entry of the log.
    "^0x[0-9a-f]{512}$": "0x" + "5f" * 256,
}
_BY_FORMAT = {
    "uuid": "018f2f0e-7c1a-8d3b-9e4f-5a6b7c8d9e0f",
    "binary": "",
}
# Deeper than this a tree is cut: a reason has reasons.
_MOST_DEPTH = 8


def add_examples(description: dict[str, Any]) -> None:
    """Give each operation an example of what it is sent and of what it answers."""
    make = Examples(description["components"]["schemas"])
    for item in description["paths"].values():
        for operation in item.values():
            sent = operation.get("requestBody", {}).get("content", {})
            for media in sent.values():
                if "example" not in media:
                    media["example"] = make.of(media["schema"], is_sent=True)
            for status, response in operation["responses"].items():
                media = response.get("content", {}).get("application/json")
                if status < "300" and media is not None:
                    media["example"] = make.of(media["schema"])


class Examples:
    """The examples of schemas that refer to these by name."""

    def __init__(self, known: Mapping[str, Schema]) -> None:
        self._known = known

    def of(self, schema: Schema, *, is_sent: bool = False, depth: int = 0) -> Any:
        """Return an example; of what is sent, with what is needed or has an example of its own."""
        if "$ref" in schema:
            named = self._known[schema["$ref"].rpartition("/")[2]]
            return self.of(named, is_sent=is_sent, depth=depth)
        if "examples" in schema:
            return schema["examples"][0]
        several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if several:
            return self.of(several[0], is_sent=is_sent, depth=depth)
        kind = schema.get("type", "object")
        kind = kind[0] if isinstance(kind, list) else kind
        if "enum" in schema or "const" in schema or kind not in ("array", "object"):
            return _plain(schema, kind)
        make = self._list if kind == "array" else self._table
        return make(schema, is_sent, depth + 1)

    def _table(self, schema: Schema, is_sent: bool, depth: int) -> dict[str, Any]:
        needed = schema.get("required", ())
        members = schema.get("properties", {})
        found = {
            name: self.of(member, is_sent=is_sent, depth=depth)
            for name, member in members.items()
            if name in needed or not is_sent or "examples" in member
        }
        further = schema.get("additionalProperties")
        if isinstance(further, Mapping) and not members:
            found["name"] = self.of(further, is_sent=is_sent, depth=depth)
        return found

    def _list(self, schema: Schema, is_sent: bool, depth: int) -> list[Any]:
        if depth > _MOST_DEPTH and not schema.get("minItems"):
            return []
        if "prefixItems" in schema:
            return [self.of(one, is_sent=is_sent, depth=depth) for one in schema["prefixItems"]]
        item = self.of(schema.get("items", {}), is_sent=is_sent, depth=depth)
        return [item] * max(1, schema.get("minItems", 1))


def _plain(schema: Schema, kind: str) -> Any:
    """Return an example of what has no parts."""
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "string" and "const" not in schema:
        return _text(schema)
    least = int(max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1))
    usual = {"boolean": True, "integer": least, "number": least}
    return schema.get("const", usual.get(kind))


def _text(schema: Schema) -> str:
    if "pattern" in schema:
        return _BY_PATTERN[schema["pattern"]]
    if "format" in schema:
        return _BY_FORMAT[schema["format"]]
    return "text".ljust(schema.get("minLength", 0), "t")[: schema.get("maxLength")]
