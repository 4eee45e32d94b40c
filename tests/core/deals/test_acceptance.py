"""An owner's rules: what they cover is signed, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.acceptance import (
    OWN_TERMS,
    AcceptanceRules,
    parse_rules,
    reasons_against,
)
from orchestrator.core.deals.mandate import SignedBudget, signed_budget
from orchestrator.core.deals.terms import TERM_NAMES
from tests.support.terms import ESCROW, NOW_S, PAYEE, PLAIN

OFFER = "0x" + "0f" * 32
FIXED = {name: value for name, value in PLAIN.to_json().items() if name not in OWN_TERMS}
DOCUMENT: dict[str, Any] = {
    "chain_id": 31337,
    "escrow": ESCROW,
    "level": 1,
    "per_contract_units": 400_000_000,
    "outstanding_units": 1_000_000_000,
    "a_day_units": 800_000_000,
    "offers": {OFFER: {"terms": FIXED, "lasts_s": 14 * DAY_S}},
}
RULES: AcceptanceRules = parse_rules(DOCUMENT)


def reasons(
    offer: str | None = OFFER,
    level: int = 1,
    signed: tuple[SignedBudget, ...] = (),
    **changes: Any,
) -> list[str]:
    return reasons_against(RULES, replace(PLAIN, **changes), offer, level, signed, NOW_S)


def test_what_the_rules_cover_has_no_reason_against_it() -> None:
    assert reasons() == []
    assert reasons(operator=PAYEE, salt=bytes(32), budget_units=1, level=3) == []


@pytest.mark.parametrize("name", sorted(set(TERM_NAMES) - OWN_TERMS))
def test_every_term_of_an_offer_is_pinned(name: str) -> None:
    value = getattr(PLAIN, name)
    if isinstance(value, bytes):
        other: Any = b"\xee" * 32
    elif name in ("attribution", "outcome"):
        other = "last_touch" if name == "attribution" else "subscribed"
    elif isinstance(value, bool):
        other = not value
    else:
        other = PAYEE if isinstance(value, str) else value + 1
    (reason,) = reasons(**{name: other})
    assert reason.startswith(f"{name} is ")


def test_offers_levels_and_ceilings_are_the_rules_own() -> None:
    assert "which the rules lack" in reasons(offer="0x00")[0]
    assert "no offer" in reasons(offer=None)[0]
    assert "level 0" in reasons(level=0)[0]
    assert "it lasts" in reasons(deadline_s=PLAIN.deadline_s + 1)[0]
    assert "per_contract_units would be 400000001" in reasons(budget_units=400_000_001)[0]


def test_signed_budgets_are_counted_while_they_can_be_bound() -> None:
    first = signed_budget("0x01", PLAIN, NOW_S)
    assert first.bound_until_s == PLAIN.deadline_s + PLAIN.grace_s
    assert reasons(signed=(first,)) == []
    outstanding, a_day = reasons(signed=(first, first))
    assert outstanding.startswith("outstanding_units would be 1200000000")
    assert a_day.startswith("a_day_units would be 1200000000")
    # A day later they count as outstanding alone, and not at all once they can be refunded.
    old = first._replace(signed_s=NOW_S - DAY_S)
    (reason,) = reasons(signed=(old, old))
    assert reason.startswith("outstanding_units would be 1200000000")
    assert reasons(signed=(old._replace(bound_until_s=NOW_S - 1),) * 9) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"level": 0},
        {"level": None},
        {"a_day_units": -1},
        {"a_day_units": 1.5},
        {"chain_id": True},
        {"escrow": 1},
        {"more": 1},
        {"offers": []},
        {"offers": {OFFER: {"terms": {}, "lasts_s": 1}}},
        {"offers": {OFFER: {"terms": FIXED | {"salt": "0x"}, "lasts_s": 1}}},
        {"offers": {OFFER: {"terms": FIXED}}},
    ],
)
def test_rules_that_leave_something_open_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        parse_rules(DOCUMENT | changes)
