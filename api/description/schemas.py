"""JSON Schemas of the description: whole ones that stand alone, and short ones for a model.

A model's context holds many tools beside its work. So what a tool takes is told without what only
people read, and what it answers by the names and types of its outer fields: the rest is seen in the
answer, and told in full to those that ask.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

Schema = dict[str, Any]

COMPONENTS = "#/components/schemas/"
_NULL: Schema = {"type": "null"}
# Names for people, and values that a pattern or a description tells as well.
_FOR_PEOPLE = frozenset({"title", "examples"})
# What says which values a field of an answer has, where these are few.
_MOST_VALUES = 8


def with_definitions(schema: Schema, description: Mapping[str, Any]) -> Schema:
    """Return a schema that stands alone: an object at its root, what it refers to under `$defs`."""
    schemas = description["components"]["schemas"]
    whole = deepcopy(_resolved(schema, schemas) if "$ref" in schema else schema)
    names: set[str] = set()
    waiting = [*_references(whole)]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting.extend(_references(schemas[name]))
    if names:
        whole["$defs"] = {name: deepcopy(schemas[name]) for name in sorted(names)}
    _redirect(whole)
    return whole


def _references(value: object) -> Iterator[str]:
    """Yield the names of the components that a schema refers to directly."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(COMPONENTS)
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _redirect(value: object) -> None:
    """Point a schema's references at `$defs`, in place."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            value["$ref"] = reference.replace(COMPONENTS, "#/$defs/")
        for item in value.values():
            _redirect(item)
    elif isinstance(value, list):
        for item in value:
            _redirect(item)


def _resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """Return a schema with the component in place that it refers to, if it refers to one."""
    if "$ref" not in schema:
        return schema
    return schemas[schema["$ref"].removeprefix(COMPONENTS)] | {
        key: value for key, value in schema.items() if key != "$ref"
    }


def short_arguments(schema: Schema) -> Schema:
    """Return the schema of arguments without what only people read.

    An argument that may be left out is not told that it may be null as well.
    """
    short: Schema = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            required = schema.get("required", ())
            short[key] = {
                name: short_arguments(each if name in required else _without_null(each))
                for name, each in value.items()
            }
        elif key not in _FOR_PEOPLE:
            short[key] = _each(value)
    return short


def _each(value: Any) -> Any:
    """Return a part of a schema with the schemas in it made short."""
    if isinstance(value, dict):
        return short_arguments(value)
    if isinstance(value, list):
        return [_each(item) for item in value]
    return value


def _without_null(schema: Schema) -> Schema:
    """Return a schema that has no null among its choices, nor as its default."""
    if _NULL not in schema.get("anyOf", ()):
        return schema
    others = [each for each in schema["anyOf"] if each != _NULL]
    beside = {
        key: value
        for key, value in schema.items()
        if key != "anyOf" and (key, value) != ("default", None)
    }
    return {**others[0], **beside} if len(others) == 1 else {"anyOf": others, **beside}


def short_answer(schema: Schema, description: Mapping[str, Any]) -> Schema:
    """Return the schema of an answer by the types of its fields, and of those of its lists' items.

    What lies deeper is an object, and no more is said of it.
    """
    return _told(schema, description["components"]["schemas"], 2)


def _told(schema: Schema, schemas: Mapping[str, Schema], levels: int) -> Schema:
    found = _resolved(schema, schemas)
    if "anyOf" in found:
        return _one_of([_told(each, schemas, levels) for each in found["anyOf"]])
    if "items" in found:
        return {"type": "array", "items": _told(found["items"], schemas, levels)}
    if "properties" in found and levels:
        fields = found["properties"].items()
        # Only a list's items are told inside a document.
        inner = {name: levels - 1 if _is_list(each) else 0 for name, each in fields}
        told = {name: _told(each, schemas, inner[name]) for name, each in fields}
        return {"type": "object", "properties": told}
    return {
        key: value
        for key, value in found.items()
        if key in {"type", "const"} or (key == "enum" and len(value) <= _MOST_VALUES)
    }


def _is_list(schema: Schema) -> bool:
    return any("items" in each for each in (schema, *schema.get("anyOf", ())))


def _one_of(choices: list[Schema]) -> Schema:
    """Return a schema that admits each of these: by a list of types where nothing more is told."""
    distinct = [each for at, each in enumerate(choices) if each not in choices[:at]]
    others = [each for each in distinct if each != _NULL]
    if len(others) == 1 and len(distinct) == 2 and "type" in others[0] and "enum" not in others[0]:
        return others[0] | {"type": [others[0]["type"], "null"]}
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
