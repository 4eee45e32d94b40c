"""Single values: those at their bounds, and those beyond."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from api.http import fields
from orchestrator.core.log.entry import address_word
from tests.support.api_service import wallet
from tests.support.bodies import body_models

ADDRESS = wallet("payee").address


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (fields.Word, "0x" + "0a" * 32),
        (fields.Position, str(2**40 - 1)),
        (fields.Position, 0),
        (fields.Size, "1"),
        (fields.Units, "0"),
        (fields.Units, "9" * 78),
        (fields.Name, "a b"),
        (fields.Name, "x" * 32),
        (fields.ExternalId, "𐍈" * 128),
        (fields.EventName, "x" * 255),
        (fields.EventName, "Käufe über 100 €"),
        (fields.Amount, "0.000001"),
        (fields.Moment, "2026-03-01t12:30:00.123456789+14:00"),
        (fields.LeadCursor, "signed up.0x" + "0a" * 32),
        (fields.ProposalCursor, "0.0x" + "0a" * 32),
        (fields.Key, "!~" * 64),
    ],
)
def test_a_value_at_its_bounds_is_taken(field: Any, value: object) -> None:
    assert str(TypeAdapter(field).validate_python(value)) == str(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (fields.Word, "0x" + "0A" * 32),
        (fields.Word, "0a" * 32),
        (fields.Position, str(2**40)),
        (fields.Position, "1.0"),
        (fields.Position, "-1"),
        (fields.Position, "+1"),
        (fields.Position, "٣"),
        (fields.Position, "9" * 5000),
        (fields.Size, "0"),
        (fields.Units, "01"),
        (fields.Units, "9" * 79),
        (fields.Name, " a"),
        (fields.Name, "x" * 33),
        (fields.ExternalId, "𐍈" * 129),
        (fields.ExternalId, "a\u200bb"),
        (fields.ExternalId, "ok "),
        (fields.ExternalId, ""),
        (fields.EventName, "x" * 256),
        (fields.EventName, " ok"),
        (fields.EventName, "o\u00a0k"),
        (fields.Amount, "0.0000001"),
        (fields.Amount, "1e3"),
        (fields.Moment, "2026-02-30T00:00:00Z"),
        (fields.Moment, "2026-03-01T12:30:00"),
        (fields.LeadCursor, ".0x" + "0a" * 32),
        (fields.ProposalCursor, "x.0x" + "0a" * 32),
        (fields.Key, "x" * 129),
    ],
)
def test_a_value_beyond_its_bounds_is_refused(field: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(field).validate_python(value)


@pytest.mark.parametrize("field", [fields.ExternalId, fields.EventName])
def test_a_name_is_brought_into_its_normal_form(field: Any) -> None:
    assert TypeAdapter(field).validate_python("rene\u0301e") == "ren\u00e9e"


def test_every_pattern_of_a_request_has_its_rule_in_words() -> None:
    def patterns(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            for item in value.values():
                yield from patterns(item)
        elif isinstance(value, list):
            for item in value:
                yield from patterns(item)

    models = body_models().values()
    found = {each for model in models for each in patterns(model.model_json_schema())}
    # Names are refused in words before any pattern is tried; policies have a parser of their own.
    in_words = {fields.NAME_PATTERN, "^[0-9]{1,18}$"}
    assert found - in_words <= fields.PATTERN_RULES.keys()
    assert len(found) > 6


def test_an_address_in_the_log_is_shown_with_its_checksum() -> None:
    assert fields.address(address_word(ADDRESS)) == ADDRESS
    assert fields.checksummed(ADDRESS.lower()) == ADDRESS
