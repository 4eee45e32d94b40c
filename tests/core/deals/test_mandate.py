"""A mandate: nothing is signed beyond it, whatever terms a server or a model comes with."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.common.errors import InputError, TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.mandate import (
    Mandate,
    Pins,
    SignedBudget,
    check_mandate,
    signed_budget,
)
from orchestrator.core.deals.site import TokenInfo
from tests.support.terms import ARBITER, ESCROW, NOW_S, OPERATOR, OWNER, PAYEE, PLAIN, VERIFIER

TOKEN = TokenInfo(PLAIN.token, "USDC", 6)
PINS = Pins(31337, ESCROW, PAYEE, to_hex(PLAIN.log_id), VERIFIER, (TOKEN,))
TERMS = replace(PLAIN, payee=PAYEE, budget_units=40_000_000)
MANDATE = Mandate(OPERATOR, PAYEE, outstanding="100", a_day="60", most_fee_bps=TERMS.fee_bps)


def refusal(
    mandate: Mandate = MANDATE,
    signed: tuple[SignedBudget, ...] = (),
    is_owner: bool = False,
    **changes: Any,
) -> str | None:
    try:
        terms = replace(TERMS, **changes)
        check_mandate(mandate, PINS, terms, signed, NOW_S, is_owner=is_owner)
    except TermsError as error:
        return error.code
    return None


def test_terms_within_it_are_signed_by_either_party() -> None:
    assert refusal() is None
    owner = MANDATE._replace(wallet=OWNER)
    assert refusal(owner, is_owner=True) is None
    assert refusal(is_owner=True) == "owner-differs"
    assert refusal(owner) == "operator-differs"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payee": ARBITER}, "payee-differs"),
        ({"log_id": bytes(32)}, "log-id-differs"),
        ({"verifier": ARBITER}, "verifier-differs"),
        ({"token": ARBITER}, "token-differs"),
        ({"operator": ARBITER}, "operator-differs"),
        ({"fee_bps": TERMS.fee_bps + 1}, "fee-too-high"),
        ({"budget_units": 60_000_001}, "ceiling-a-day"),
        ({"budget_units": 100_000_001}, "ceiling-outstanding"),
    ],
)
def test_terms_beyond_it_are_refused_by_name(changes: dict[str, Any], code: str) -> None:
    assert refusal(**changes) == code


def test_ceilings_count_what_was_signed_by_token_and_time() -> None:
    first = signed_budget("0x01", TERMS, NOW_S)
    assert first.token == TOKEN.address
    assert first.bound_until_s > TERMS.deadline_s
    assert refusal(signed=(first,)) == "ceiling-a-day"
    yesterday = first._replace(signed_s=NOW_S - DAY_S)
    assert refusal(signed=(yesterday,)) is None
    assert refusal(signed=(yesterday, yesterday)) == "ceiling-outstanding"
    over = yesterday._replace(bound_until_s=NOW_S - 1)
    assert refusal(signed=(over, over)) is None
    assert refusal(signed=(first._replace(token=ARBITER),) * 9) is None


@pytest.mark.parametrize(
    ("confirm", "units", "asks"),
    [
        ("always", 0, True),
        ("never", 2**200, False),
        ("above=25.50", 25_500_000, False),
        ("above=25.50", 25_500_001, True),
    ],
)
def test_a_person_confirms_as_the_mode_says(confirm: str, units: int, asks: bool) -> None:
    mandate = MANDATE._replace(confirm=confirm)
    mandate.check()
    assert mandate.is_confirmed_by_a_person(units, TOKEN) is asks


def test_without_ceilings_nothing_is_signed() -> None:
    assert MANDATE.signs_terms
    assert not MANDATE._replace(outstanding="0").signs_terms
    assert not MANDATE._replace(a_day="0.0").signs_terms


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"confirm": "sometimes"}, "confirm-unknown"),
        ({"confirm": "above=much"}, "amount-malformed"),
        ({"outstanding": "-1"}, "amount-malformed"),
        ({"a_day": "1e9"}, "amount-malformed"),
    ],
)
def test_a_mandate_that_cannot_be_read_is_refused(changes: dict[str, str], code: str) -> None:
    with pytest.raises(InputError) as refused:
        MANDATE._replace(**changes).check()  # type: ignore[arg-type]
    assert refused.value.code == code


@pytest.mark.parametrize("name", [name for name in Pins._fields if name != "tokens"])
def test_a_pin_that_changes_is_named(name: str) -> None:
    changed = PINS._replace(**{name: 1 if name == "chain_id" else ARBITER})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"^{name} was") as refused:
        PINS.check_same(changed, "pins.json")
    assert refused.value.code == "pin-changed"


def test_a_token_that_changes_is_named_and_a_new_one_is_not_taken() -> None:
    new = TokenInfo(ARBITER, "EURC", 6)
    PINS.check_same(PINS._replace(tokens=(TOKEN, new)), "pins.json")
    with pytest.raises(InputError, match=r"^tokens was"):
        PINS.check_same(PINS._replace(tokens=(TOKEN._replace(decimals=18),)), "pins.json")
    assert PINS.token("USDC") == PINS.token(TOKEN.address) == TOKEN
    with pytest.raises(InputError, match="no pinned token"):
        PINS.token("EURC")


def test_pins_are_read_as_they_are_written() -> None:
    assert Pins.from_json(PINS.to_json() | {"size": 7}) == PINS


@pytest.mark.parametrize(
    "token",
    [
        {"symbol": "\x1b[2J"},
        {"symbol": "USDC\nsign"},
        {"symbol": ""},
        {"symbol": "x" * 17},
        {"symbol": 7},
        {"decimals": 37},
        {"decimals": -1},
        {"address": "0x12"},
    ],
)
def test_a_token_that_could_mislead_a_person_is_not_pinned(token: dict[str, object]) -> None:
    document = PINS.to_json() | {"tokens": [TOKEN._asdict() | token]}
    with pytest.raises((ValueError, TypeError)):
        Pins.from_json(document)
