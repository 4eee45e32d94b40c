"""Qualification: schemas that check in linear time, in one form, and what is refused."""

from typing import Any

import jsonschema_rs
import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.surface.qualification import MAX_FIELDS, MAX_TEXT_CHARS, parse_fields

COMPANY = {"type": "string", "minLength": 1}


def test_a_schema_has_one_form_which_is_json_schema() -> None:
    found = parse_fields(
        {
            "properties": {
                "seats": {"type": "integer", "maximum": "9"},
                "company": COMPANY,
                "plan": {"type": "string", "enum": ["free", "paid"], "maxLength": 4},
                "is_new": {"type": "boolean"},
            },
            "required": ["seats", "company"],
        }
    )
    assert parse_fields(found) == found
    assert found["required"] == ["company", "seats"]
    validator = jsonschema_rs.validator_for(found)
    good: dict[str, Any] = {"company": "A", "seats": 9, "plan": "paid", "is_new": True}
    assert validator.is_valid(good)
    for wrong in ({"seats": 10}, {"plan": "gold"}, {"company": ""}, {"more": 1}, {"is_new": 1}):
        assert not validator.is_valid(good | wrong)
    assert not validator.is_valid({"company": "A" * (MAX_TEXT_CHARS + 1), "seats": 1})
    assert not validator.is_valid({"company": "A"})


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "not-a-table"),
        ({}, "key-missing"),
        ({"properties": {}}, "fields-count"),
        ({"properties": {f"f{n}": COMPANY for n in range(MAX_FIELDS + 1)}}, "fields-count"),
        ({"properties": {"a": COMPANY}, "additionalProperties": True}, "fields-open"),
        ({"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}, "key-unknown"),
        ({"properties": {"a": {"$ref": "#"}}}, "key-missing"),
        ({"properties": {"a": COMPANY}, "$ref": "https://example.org"}, "key-unknown"),
        ({"properties": {"a": {"type": "string", "enum": []}}}, "fields-enum"),
        ({"properties": {"a": {"type": "string", "enum": ["x", "x"]}}}, "fields-enum"),
        ({"properties": {"a": {"type": "string", "enum": [1]}}}, "fields-enum"),
    ],
)
def test_what_is_no_bounded_schema_is_refused(document: object, code: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse_fields(document)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "field",
    [
        {"type": "object"},
        {"type": "string", "maxLength": MAX_TEXT_CHARS + 1},
        {"type": "string", "minLength": 5, "maxLength": 4},
        {"type": "integer", "minimum": 5, "maximum": 4},
    ],
)
def test_bounds_are_bounded(field: dict[str, object]) -> None:
    with pytest.raises(DocumentError):
        parse_fields({"properties": {"a": field}})


def test_a_field_that_is_required_is_one_of_them() -> None:
    with pytest.raises(DocumentError):
        parse_fields({"properties": {"a": COMPANY}, "required": ["b"]})
