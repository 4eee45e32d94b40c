"""The routes as a tool sees them: one flat object of arguments, and the schema of the answer.

All is read from the API's own OpenAPI description, so that no schema is written twice.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from api.description.schemas import COMPONENTS, Schema

_JSON = "application/json"
_LINES = "application/x-ndjson"
INTENT = "intent"
_INTENT_SCHEMA: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "description": "A name that you choose for what is intended, the same at each try: a repeat "
    "does nothing twice and returns the first answer. Never a new random value for each try.",
}
# What fits a model's context beside other things.
PAGE = 20
MAX_PAGE = 50

_LIMIT_SCHEMA: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_PAGE,
    "default": PAGE,
    "description": "How many at most; `next` of the answer leads on.",
}


class Call(NamedTuple):
    """A request to a route, made from a tool's arguments."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | list[Any] | None
    intent: str | None


class ArgumentError(ValueError):
    """An argument that a tool does not have, or lacks."""


class Operation(NamedTuple):
    """A route of the API. `scopes` is empty if it may be called without a key.

    `lines` is the argument whose items are the lines of the body, where the route takes lines.
    """

    method: str
    path: str
    scopes: frozenset[str]
    in_path: tuple[str, ...]
    in_query: tuple[str, ...]
    in_body: tuple[str, ...] | None
    lines: str | None
    has_intent: bool
    properties: Mapping[str, Schema]
    required: frozenset[str]
    output: Schema

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Return the request that these arguments make. Raises `ArgumentError`."""
        for name in arguments:
            if name not in self.properties:
                known = ", ".join(sorted(self.properties)) or "none"
                raise ArgumentError(f"there is no argument {name[:60]!r}; there are: {known}")
        missing = sorted(self.required - arguments.keys())
        if missing:
            raise ArgumentError(f"missing: {', '.join(missing)}")
        path = self.path
        for name in self.in_path:
            part = _as_text(name, arguments[name])
            # Nothing quotes these: a URL that holds them is that of another route.
            if part in {"", ".", ".."}:
                raise ArgumentError(f"{name} must be an id, not {part!r}")
            path = path.replace(f"{{{name}}}", quote(part, safe=""))
        query = {
            name: _as_text(name, arguments[name])
            for name in self.in_query
            if arguments.get(name) is not None
        }
        if "limit" in self.in_query:
            query.setdefault("limit", str(PAGE))
        body: dict[str, Any] | list[Any] | None = None
        if self.in_body is not None:
            body = {name: arguments[name] for name in self.in_body if name in arguments}
        if self.lines is not None:
            body = _as_lines(self.lines, arguments[self.lines])
        intent = _as_text(INTENT, arguments[INTENT]) if self.has_intent else None
        return Call(self.method, path, query, body, intent)


def check_json(arguments: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` for numbers that JSON has no words for, which the decoder lets by."""
    try:
        json.dumps(dict(arguments), allow_nan=False)
    except ValueError:
        raise ArgumentError("numbers must be finite; send decimals as text") from None


def _as_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise ArgumentError(f"{name} must be text or a whole number")


def _as_lines(name: str, value: object) -> list[Any]:
    if isinstance(value, list) and 1 <= len(value) <= MAX_PAGE:
        return value
    raise ArgumentError(f"{name} must be a list of 1 to {MAX_PAGE} items")


def read_operation(description: Mapping[str, Any], method: str, path: str) -> Operation:
    """Return a route by the OpenAPI description. Raises `KeyError` if it is not described."""
    found = description["paths"][path][method.lower()]
    places: dict[str, list[str]] = {"path": [], "query": []}
    properties: dict[str, Schema] = {}
    required: set[str] = set()
    intent: Schema | None = None
    for parameter in found.get("parameters", ()):
        name, place = parameter["name"], parameter["in"]
        if place == "header":
            if name == "Idempotency-Key":
                # As the header's own schema has it, in words for a model.
                intent = parameter["schema"] | _INTENT_SCHEMA
            continue
        places[place].append(name)
        properties[name] = _described(parameter["schema"], parameter.get("description"))
        if parameter.get("required"):
            required.add(name)
    if "limit" in places["query"]:
        properties["limit"] = _LIMIT_SCHEMA
    body, lines = _body(found, description["components"]["schemas"], path)
    if clash := sorted(body["properties"].keys() & properties.keys()):
        raise ValueError(f"{method} {path}: {', '.join(clash)} stands in body and path")
    properties |= body["properties"]
    required |= {*body.get("required", ())}
    if intent is not None:
        properties[INTENT] = intent
        required.add(INTENT)
    return Operation(
        method,
        path,
        _scopes(found),
        tuple(places["path"]),
        tuple(places["query"]),
        tuple(body["properties"]) if "requestBody" in found and lines is None else None,
        lines,
        intent is not None,
        properties,
        frozenset(required),
        _output(found),
    )


def _body(
    found: Mapping[str, Any], schemas: Mapping[str, Schema], path: str
) -> tuple[Schema, str | None]:
    """Return the schema of a route's body, and the argument of its lines if it takes lines."""
    content = found.get("requestBody", {}).get("content", {})
    if _LINES in content:
        # `/v1/…/events/bulk` takes `events`.
        lines = path.split("/")[-2]
        schema = content[_LINES]["schema"] | {"maxItems": MAX_PAGE}
        return {"properties": {lines: schema}, "required": [lines]}, lines
    if _JSON in content:
        return schemas[content[_JSON]["schema"]["$ref"].removeprefix(COMPONENTS)], None
    return {"properties": {}}, None


def _scopes(found: Mapping[str, Any]) -> frozenset[str]:
    needs = found.get("security", ())
    return frozenset(name for need in needs for names in need.values() for name in names)


def _described(schema: Schema, description: str | None) -> Schema:
    return schema | {"description": description} if description else schema


def _output(operation: Mapping[str, Any]) -> Schema:
    for status, answer in operation["responses"].items():
        if status.startswith("2") and "content" in answer:
            schema: Schema = answer["content"][_JSON]["schema"]
            return schema
    return {
        "type": "object",
        "properties": {"done": {"const": True}},
        "required": ["done"],
        "additionalProperties": False,
    }
