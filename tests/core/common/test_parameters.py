"""Schemas of parameters: what may be said, and every bound."""

from typing import Any

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.parameters import MAX_DEPTH, closed_schema, read_schema

NAME = {"type": "string", "maxLength": 40}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "a letter",
    "properties": {
        "name": NAME,
        "kind": {"type": "string", "enum": ["welcome", "nudge"]},
        "days": {"type": "integer", "minimum": -3, "maximum": 9},
        "tags": {"type": "array", "items": NAME, "maxItems": 3},
        "is_urgent": {"type": "boolean"},
    },
    "required": ["name"],
}


def test_a_schema_is_taken_word_for_word() -> None:
    assert read_schema(SCHEMA, "here") == SCHEMA


def test_objects_take_the_members_that_they_name() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "integer"}}}
    schema = {"type": "object", "properties": {
        "one": inner, "many": {"type": "array", "items": inner, "maxItems": 2}
    }}  # fmt: skip
    closed: Any = closed_schema(read_schema(schema, "here"))
    assert closed["additionalProperties"] is False
    assert closed["properties"]["one"]["additionalProperties"] is False
    assert closed["properties"]["many"]["items"]["additionalProperties"] is False


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "object"}
    for _ in range(depth - 1):
        inner = {"type": "object", "properties": {"in": inner}}
    return inner


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ([], "not-a-table"),
        ({}, "key-missing"),
        ({"type": "null"}, "choice-unknown"),
        ({"type": ["object"]}, "choice-unknown"),
        (NAME, "schema-invalid"),
        ({"type": "object", "$ref": "file:///etc/passwd"}, "key-unknown"),
        ({"type": "object", "patternProperties": {}}, "key-unknown"),
        ({"type": "object", "allOf": []}, "key-unknown"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+"}}},
         "key-unknown"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "key-missing"),
        ({"type": "object", "properties": {"a": {"type": "string", "maxLength": -1}}},
         "number-invalid"),
        ({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0.5}}},
         "number-invalid"),
        ({"type": "object", "properties": {str(n): NAME for n in range(65)}}, "list-too-long"),
        ({"type": "object", "required": [1]}, "text-invalid"),
        ({"type": "object", "title": "x" * 513}, "text-invalid"),
        ({"type": "object", "enum": ["x" * 500] * 10}, "schema-too-long"),
        (nested(MAX_DEPTH + 1), "schema-too-deep"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(schema: object, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_schema(schema, "here")
    assert caught.value.code == code


def test_the_deepest_schema_is_taken() -> None:
    assert read_schema(nested(MAX_DEPTH), "here") == nested(MAX_DEPTH)
