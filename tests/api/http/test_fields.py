"""Single values: those at their bounds, and those beyond."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from api.http import fields
from orchestrator.core.entry import address_word
from tests.support.api_service import wallet

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


def test_an_address_in_the_log_is_shown_with_its_checksum() -> None:
    assert fields.address(address_word(ADDRESS)) == ADDRESS
    assert fields.checksummed(ADDRESS.lower()) == ADDRESS
