"""Purchases: what a refund takes back, in how many parts it may come, and what is forgotten."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.entry import ZERO_WORD
from orchestrator.core.purchase import (
    PaidOutcome,
    Purchase,
    Taking,
    forget_needless,
    latest_purchase,
    purchase_of_order,
    taken_units,
    taking,
)
from tests.support.worlds import policy, rules, word

GOVERNING = policy()
NEVER = 10**9


def bought(value: int, unit: int = 0, bps: int = 1000, refunded: int = 0) -> tuple[Purchase, int]:
    """Return a purchase that was paid for by price and share, and the amount that was paid."""
    amount = rules("a", GOVERNING, unit_price_units=unit, revenue_share_bps=bps).amount_units(value)
    paid = PaidOutcome(word("a"), 5, amount, NEVER)
    return Purchase(4, "paid", value, word("order"), paid, refunded), amount


@pytest.mark.parametrize(
    ("value", "unit", "bps", "refunds", "amounts"),
    [
        (10_000, 0, 1000, [500], [50]),  # a tenth of 100.00 with 5.00 given back: 9.50 stay
        (10_000, 700, 1000, [500], [50]),  # the unit price goes with the last part
        (10_000, 700, 1000, [500, 9500], [50, 1650]),
        (10_000, 700, 1000, [10_000], [1700]),
        (10_000, 700, 1000, [99_999], [1700]),  # above the order's value
        (10_000, 700, 1000, [9_999, 500], [999, 701]),
        (10_000, 8, 0, [9_999, 1], [0, 8]),
        (9, 0, 1000, [3, 3, 3], [0, 0, 0]),  # a share of 0.9 is none
        (0, 8, 1000, [5], [8]),  # an order without revenue goes with any refund
    ],
)
def test_what_parts_take_back(
    value: int, unit: int, bps: int, refunds: list[int], amounts: list[int]
) -> None:
    terms = rules("a", GOVERNING, unit_price_units=unit, revenue_share_bps=bps)
    purchase, amount = bought(value, unit, bps)
    found = []
    for refund in refunds:
        taken = taking(purchase, terms, refund, whole=False)
        found.append(taken.amount_units)
        purchase.refunded_units = taken.refunded_after
    assert found == amounts
    assert sum(found) <= amount


@given(
    st.integers(1, 10**6),
    st.integers(0, 1000),
    st.integers(0, 10_000),
    st.lists(st.integers(1, 10**5), min_size=1, max_size=20),
)
def test_it_does_not_matter_in_how_many_parts_a_refund_comes(
    value: int, unit: int, bps: int, parts: list[int]
) -> None:
    terms = rules("a", GOVERNING, unit_price_units=unit, revenue_share_bps=bps)
    purchase, amount = bought(value, unit, bps)
    at_once = taking(purchase, terms, sum(parts), whole=False)
    total = 0
    for part in parts:
        if purchase.is_spent:
            break
        taken = taking(purchase, terms, part, whole=False)
        assert taken.amount_units >= 0
        total += taken.amount_units
        purchase.refunded_units = taken.refunded_after
        purchase.is_spent = taken.refunded_after >= value
    assert (
        total == at_once.amount_units == taken_units(terms, amount, value, min(value, sum(parts)))
    )
    assert total <= amount


def test_all_that_is_left_is_taken_whatever_the_value() -> None:
    terms = rules("a", GOVERNING, unit_price_units=700, revenue_share_bps=1000)
    purchase, _ = bought(10_000, 700, refunded=500)
    assert taking(purchase, terms, 1, whole=True) == Taking(purchase, 10_000, 1650, True)


def test_a_purchase_that_no_contract_paid_gives_nothing_back() -> None:
    purchase = Purchase(4, "paid", 100, word("order"))
    assert taking(purchase, None, 30, whole=False) == Taking(purchase, 30, 0, False)


def test_an_order_is_of_one_purchase() -> None:
    purchases = [Purchase(4, "paid", 1), Purchase(6, "paid", 1, word("order"))]
    assert purchase_of_order(purchases, word("order")) is purchases[1]
    assert purchase_of_order(purchases, word("other")) is None


def paid(*outcomes: tuple[str, int | None]) -> list[Purchase]:
    """Return purchases into these states, open until then (None: not paid for), in log order."""
    return [
        Purchase(
            position,
            state,
            1,
            outcome=None if until is None else PaidOutcome(word("a"), position + 1, 10, until),
        )
        for position, (state, until) in enumerate(outcomes, 1)
    ]


@pytest.mark.parametrize(
    ("outcomes", "state", "position"),
    [
        ([], "paid", None),
        ([("trial", 9)], "paid", None),
        ([("paid", 9)], "paid", 1),
        ([("paid", 20), ("paid", 9)], "paid", 2),
        ([("paid", 9), ("trial", 20)], "paid", 1),
        ([("paid", 9), ("trial", 20)], "trial", 2),
        # one that no operator was paid for is passed over
        ([("paid", 9), ("paid", None)], "paid", 1),
        ([("paid", None)], "paid", None),
    ],
)
def test_the_latest_is_taken(
    outcomes: list[tuple[str, int | None]], state: str, position: int | None
) -> None:
    found = latest_purchase(paid(*outcomes), state)
    assert (found.position if found else None) == position


@pytest.mark.parametrize(("until", "is_open"), [(9, False), (10, True), (11, True), (None, True)])
def test_a_purchase_is_open_until_its_outcome_is_kept(until: int | None, is_open: bool) -> None:
    (purchase,) = paid(("paid", until))
    assert purchase.is_open(10) is is_open
    purchase.is_spent = True
    assert not purchase.is_open(0)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([], []),
        ([("paid", 9)], []),
        ([("paid", 10)], [1]),
        ([("paid", 9), ("paid", 20)], [2]),
        # one that is open no more stands before an older one that still is
        ([("paid", 20), ("paid", 9)], [1, 2]),
        ([("paid", 20), ("trial", 9)], [1]),
        # one that no operator was paid for
        ([("paid", None), ("paid", None), ("trial", None)], []),
        ([("paid", 20), ("paid", None), ("paid", 9), ("paid", 30)], [1, 3, 4]),
    ],
)
def test_what_is_forgotten(outcomes: list[tuple[str, int | None]], kept: list[int]) -> None:
    assert [one.position for one in forget_needless(paid(*outcomes), 10)] == kept


def test_an_order_is_never_forgotten() -> None:
    (purchase,) = paid(("paid", 1))
    purchase.order, purchase.is_spent = word("order"), True
    assert forget_needless([purchase], 10) == [purchase]
    purchase.order = ZERO_WORD
    assert forget_needless([purchase], 10) == []


outcome_lists = st.lists(
    st.tuples(st.sampled_from(["paid", "trial"]), st.none() | st.integers(0, 20)), max_size=8
)


@given(outcome_lists, st.integers(0, 20), st.lists(st.sampled_from(["paid", "trial"]), max_size=8))
def test_forgetting_changes_nothing_that_is_taken(
    outcomes: list[tuple[str, int | None]], horizon: int, states: list[str]
) -> None:
    whole = paid(*outcomes)
    short = deepcopy(whole)
    for at, state in enumerate(states, horizon):
        short = forget_needless(short, at)
        ends = []
        for purchases in (whole, short):
            found = latest_purchase(purchases, state)
            is_open = found is not None and found.is_open(at)
            ends.append(found.position if found is not None and is_open else None)
            if found is not None and is_open:
                found.is_spent = True
        assert ends[0] == ends[1]
