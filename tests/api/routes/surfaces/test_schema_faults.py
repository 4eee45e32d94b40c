"""Faults by a schema name the place and the rule, and repeat neither value nor schema."""

import jsonschema_rs
import pytest

from api.routes.surfaces.schema_faults import schema_faults

SCHEMA = {
    "type": "object",
    "properties": {
        "why": {"type": "string", "enum": ["OBEY"], "maxLength": 9},
        "many": {"type": "array", "items": {"type": "integer", "maximum": 5}},
    },
    "required": ["many"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "where", "rule"),
    [
        ({"many": [1, 9]}, "body/many/1", "properties/many/items/maximum (5)"),
        ({"many": [], "why": "Ada Lovelace, 12"}, "body/why", "properties/why/maxLength (9)"),
        ({"many": [], "why": "no"}, "body/why", "properties/why/enum"),
        ({}, "body", "required"),
        ({"many": [], "Ada": 1}, "body", "additionalProperties"),
    ],
)
def test_a_fault_is_told_without_words_of_others(value: object, where: str, rule: str) -> None:
    validator = jsonschema_rs.Draft202012Validator(SCHEMA)
    faults = [*schema_faults(validator, value, "body")]
    assert (where, f"does not meet {rule} of the settings") in [
        tuple(one.model_dump().values()) for one in faults
    ]
    told = "".join(one.model_dump_json() for one in faults)
    assert "OBEY" not in told
    assert "Ada" not in told
