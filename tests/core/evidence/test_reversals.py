"""Reversals by events: they take back what the fold does, whatever the purchase and its parts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.entries.kinds import decode, encode
from orchestrator.core.evidence.exhibits import Case, EscrowRecord, Exhibit, OpenedCase, open_case
from orchestrator.core.evidence.reversals import (
    is_in_time,
    is_reversal_false,
    units_by_event,
    units_taken_back,
)
from orchestrator.core.evidence.touches import Entitlement
from orchestrator.core.log.entry import Entry, pack_outcome, pack_reversal
from orchestrator.core.log.opening import (
    EventOpening,
    Opening,
    TransitionOpening,
    decode_opening,
    encode_opening,
    payload_of,
)
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.purchase import PaidOutcome, Purchase, taking
from tests.support.worlds import LEADS, OWNER, SURFACE, policy, rules, word

NAME, ORDER, REQUEST = word("ann"), word("order"), word("request")
TRANSITION, OUTCOME, FIRST = 4, 5, 8
LATENESS_MS = 30
RULES = rules("ann", policy(), unit_price_units=7, revenue_share_bps=3333, holdback_period_ms=50)


class Part(NamedTuple):
    """One event of an order and the reversal behind it, as the fold writes them."""

    event: Exhibit
    reversal: Exhibit
    taken_units: int


def exhibit(position: int, entry: Entry, opening: Opening | None = None) -> Exhibit:
    if opening is None:
        return Exhibit(position, encode(entry))
    entry = entry._replace(payload=payload_of(opening))
    return Exhibit(position, encode(entry), encode_opening(opening))


def bought(value: int) -> tuple[Exhibit, Exhibit, int]:
    """Return a purchase of this value, its outcome, and what that pays."""
    amount = RULES.amount_units(value)
    opening = TransitionOpening("trial", 0, 100, ORDER, REQUEST, REQUEST)
    entered = Entry("lead.transition", SURFACE, OWNER, LEADS[0], "paid", value, 100, bytes(32))
    payload = pack_outcome(TRANSITION, 2, 0, 1, amount)
    paid = Entry("outcome", SURFACE, NAME, LEADS[0], "paid", amount, 100, payload)
    return exhibit(TRANSITION, entered, opening), exhibit(OUTCOME, paid), amount


def parts_of(value: int, amount: int, given_back: list[int | None]) -> list[Part]:
    """Return what events that give back so much each, or all for None, take from the purchase."""
    paid = PaidOutcome(NAME, OUTCOME, amount, 150)
    purchase = Purchase(TRANSITION, "paid", value, ORDER, paid)
    found: list[Part] = []
    sum_, before = 0, 0
    for n, units in enumerate(given_back):
        if purchase.is_spent:
            break
        at, whole = FIRST + 2 * n, units is None
        taken = taking(purchase, RULES, units or 0, whole=whole)
        opening = EventOpening(
            110, ORDER, TRANSITION, purchase.last_refund, purchase.refunded_units,
            taken.refunded_after, whole, REQUEST, REQUEST,
        )  # fmt: skip
        event = Entry("product.event", SURFACE, OWNER, LEADS[0], "refund", units or 0, 110, ORDER)
        purchase.last_refund, purchase.refunded_units = at, taken.refunded_after
        purchase.is_spent = taken.refunded_after >= value
        sum_ += taken.amount_units
        back = Entry(
            "outcome.reversed", SURFACE, NAME, LEADS[0], "paid", taken.amount_units, 110,
            pack_reversal(OUTCOME, at, before, len(found) + 1, sum_),
        )  # fmt: skip
        found.append(Part(exhibit(at, event, opening), exhibit(at + 1, back), sum_))
        before = at + 1
    return found


def opened(*shown: Exhibit, contract: ContractRules = RULES) -> OpenedCase:
    record = EscrowRecord(contract, word("log"), LATENESS_MS, 1, last_signed=1000)
    return open_case(Case(NAME, "reversal", shown), {NAME: record})


PARTS = st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=1, max_size=6)


@given(st.integers(0, 60), PARTS)
def test_what_the_fold_writes_is_not_false(value: int, given_back: list[int | None]) -> None:
    purchase, outcome, amount = bought(value)
    parts = parts_of(value, amount, given_back)
    for n, part in enumerate(parts):
        first = (part.reversal, part.event)
        others = [purchase, outcome, *(one.event for one in parts)]
        for shown in ((), *((other,) for other in others), (outcome, purchase)):
            assert not is_reversal_false(opened(*first, *shown))
        owed = Entitlement(LEADS[0], TRANSITION, 2, 100)
        case = opened(part.event, purchase)
        assert units_taken_back(case, owed, amount, 0) == part.taken_units
        by_itself = part.taken_units - (parts[n - 1].taken_units if n else 0)
        if by_itself:
            assert units_by_event(case, owed, amount, 0) == by_itself
        else:
            assert refusal_of(units_by_event, case, owed, amount, 0) == "event-does-not-reverse"
        taken = part.taken_units
        assert n == len(parts) - 1 or taken <= amount


@given(st.integers(1, 60), PARTS, st.integers(0, 5), st.sampled_from([-1, 1]))
def test_another_amount_is_false(
    value: int, given_back: list[int | None], number: int, more: int
) -> None:
    purchase, outcome, amount = bought(value)
    parts = parts_of(value, amount, given_back)
    part = parts[number % len(parts)]
    units = int.from_bytes(part.reversal.entry[160:192]) + more
    if units >= 0:
        data = part.reversal.entry[:160] + units.to_bytes(32) + part.reversal.entry[192:]
        lie = part.reversal._replace(entry=data)
        assert is_reversal_false(opened(lie, part.event, outcome, purchase))


@pytest.mark.parametrize(
    ("event_ms", "is_early"), [(99, True), (150, True), (151, False), (2**256 - 1, False)]
)
def test_an_event_takes_back_until_the_holdback_period_ends(event_ms: int, is_early: bool) -> None:
    assert is_in_time(RULES, 100, event_ms) is is_early


def test_an_event_of_another_purchase_takes_nothing_back() -> None:
    purchase, _, amount = bought(60)
    (part,) = parts_of(60, amount, [20])
    for owed in (
        Entitlement(LEADS[0], TRANSITION - 1, 2, 100),
        Entitlement(LEADS[1], TRANSITION, 2, 100),
        Entitlement(LEADS[0], FIRST, 2, 100),
        Entitlement(LEADS[0], TRANSITION, 2, 59),
    ):
        case = opened(part.event, purchase)
        assert refusal_of(units_taken_back, case, owed, amount, 0) == "event-does-not-reverse"


def refusal_of(check: Callable[..., int], *arguments: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        check(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"received_ms": 109}, "event-does-not-reverse"),
        ({"received_ms": 110 + LATENESS_MS}, ""),
        ({"received_ms": 111 + LATENESS_MS}, "event-does-not-reverse"),
        ({"order": word("another")}, "event-does-not-reverse"),
        ({"order": bytes(32)}, "event-does-not-reverse"),
        ({"previous": FIRST}, "event-does-not-reverse"),
        ({"refunded_before_units": 1}, "event-does-not-reverse"),
        ({"refunded_after_units": 21}, "event-does-not-reverse"),
        ({"whole": True}, "event-does-not-reverse"),
    ],
)
def test_an_event_that_no_replay_accepts_takes_nothing_back(
    changes: dict[str, Any], code: str
) -> None:
    purchase, _, amount = bought(60)
    (part,) = parts_of(60, amount, [20])
    opening = decode_opening(EventOpening, part.event.opening)
    assert isinstance(opening, EventOpening)
    event = exhibit(FIRST, decode(part.event.entry), opening._replace(**changes))
    owed = Entitlement(LEADS[0], TRANSITION, 2, 100)
    for check in (units_taken_back, units_by_event):
        if code:
            assert refusal_of(check, opened(event, purchase), owed, amount, 0) == code
        else:
            assert check(opened(event, purchase), owed, amount, 0) == part.taken_units


def test_the_purchase_is_shown_unless_it_makes_no_difference() -> None:
    purchase, _, amount = bought(60)
    owed = Entitlement(LEADS[0], TRANSITION, 2, 100)
    for part in parts_of(60, amount, [20, None]):
        for check in (units_taken_back, units_by_event):
            assert refusal_of(check, opened(part.event), owed, amount, 0) == "missing-exhibit"
            bare = purchase._replace(opening=b"")
            case = opened(part.event, bare)
            assert refusal_of(check, case, owed, amount, 0) == "opening-length"
    entry = Entry("product.event", SURFACE, OWNER, LEADS[0], "refund", 0, 110, bytes(32))
    whole = EventOpening(110, bytes(32), TRANSITION, 0, 0, 60, True, REQUEST, REQUEST)
    for check in (units_taken_back, units_by_event):
        assert check(opened(exhibit(FIRST, entry, whole)), owed, amount, 0) == amount
