"""Schemas: whole ones stand alone, short ones admit all that the whole ones admit and say less."""

from typing import Any

import jsonschema_rs
import pytest

from api.description.schemas import short_answer, short_arguments, with_definitions

HASH = {"type": "string", "pattern": "^0x[0-9a-f]{4}$", "examples": ["0x1b1b"], "title": "Hash"}
SCHEMAS: dict[str, Any] = {
    "Tree": {
        "type": "object",
        "properties": {"leaves": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
        "required": ["leaves"],
    },
    "Thing": {
        "type": "object",
        "title": "Thing",
        "properties": {
            "title": {"type": "string", "title": "Title", "description": "What it is called."},
            "made_of": {"anyOf": [{"$ref": "#/components/schemas/Tree"}, {"type": "null"}]},
            "hash": {"anyOf": [HASH, {"type": "null"}], "description": "Of it.", "default": None},
            "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "code": {"type": "string", "enum": [f"c{n}" for n in range(9)]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
            "last": {"anyOf": [HASH, {"type": "null"}]},
        },
        "required": ["title", "last"],
        "additionalProperties": False,
    },
}
DESCRIPTION: dict[str, Any] = {"components": {"schemas": SCHEMAS}}
THING = {"$ref": "#/components/schemas/Thing"}


def test_a_recursive_schema_stands_alone() -> None:
    whole = with_definitions({"$ref": "#/components/schemas/Tree"}, DESCRIPTION)
    assert whole["type"] == "object"
    validator = jsonschema_rs.Draft202012Validator(whole)
    assert validator.is_valid({"leaves": [{"leaves": []}]})
    assert not validator.is_valid({"leaves": [{"leaves": 1}]})
    assert "$defs" not in SCHEMAS["Tree"]


def test_an_answer_is_told_by_its_outer_fields() -> None:
    fields = {
        "title": {"type": "string"},
        "made_of": {"type": ["object", "null"]},
        "hash": {"type": ["string", "null"]},
        "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "code": {"type": "string"},
        "last": {"type": ["string", "null"]},
    }
    inner = {
        "type": "object",
        "properties": fields | {"parts": {"type": "array", "items": {"type": "object"}}},
    }
    outer = fields | {"parts": {"type": "array", "items": inner}}
    assert short_answer(THING, DESCRIPTION) == {"type": "object", "properties": outer}


@pytest.mark.parametrize("make_short", [short_arguments, None])
def test_what_the_whole_admits_the_short_admits(make_short: Any) -> None:
    whole = with_definitions(THING, DESCRIPTION)
    short = make_short(whole) if make_short else short_answer(THING, DESCRIPTION)
    part: dict[str, Any] = {
        "title": "x",
        "last": None,
        "size": "1",
        "made_of": {"leaves": []},
        "parts": [],
    }
    for document in (part, part | {"parts": [part], "hash": "0x12ab", "code": "c3", "size": 2}):
        jsonschema_rs.Draft202012Validator(whole).validate(document)
        jsonschema_rs.Draft202012Validator(short).validate(document)


def test_arguments_lose_what_only_people_read() -> None:
    short = short_arguments(with_definitions(THING, DESCRIPTION))
    told = short["properties"]
    assert "title" not in short
    # A field may be called as a word of the schema is.
    assert told["title"] == {"type": "string", "description": "What it is called."}
    assert told["hash"] == {"type": "string", "pattern": HASH["pattern"], "description": "Of it."}
    assert told["made_of"] == {"$ref": "#/$defs/Tree"}
    # What must be given may be null, if the schema says so.
    assert {"type": "null"} in told["last"]["anyOf"]
    assert short["required"] == ["title", "last"]
    assert short["additionalProperties"] is False
    validator = jsonschema_rs.Draft202012Validator(short)
    assert not validator.is_valid({"title": "x", "last": "0X12AB"})
    assert not validator.is_valid({"title": "x", "last": None, "other": 1})
