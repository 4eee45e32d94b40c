"""Purchases: what a refund takes back, in how many parts it may come, and what is forgotten."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.purchase import (
    PaidOutcome,
    Purchase,
    Taking,
    forget_needless,
    latest_purchase,
    purchase_of_order,
    taken_units,
    taking,
    untaken_purchase,
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


@pytest.mark.parametrize(
    ("value", "unit", "bps", "in_time", "refunds", "amounts"),
    [
        (10_000, 0, 1000, 0, [500], [50]),
        (10_000, 700, 1000, 0, [500, 9500], [50, 1650]),
        (10_000, 700, 1000, 0, [0], [1700]),  # one of no value is of all that is left
        (10_000, 700, 1000, 0, [500, 0, 0], [50, 1650, 0]),
        (10_000, 700, 1000, 0, [99_999, 1], [1700, 0]),
        (10_000, 700, 1000, 9000, [500, 500, 500], [50, 750, 0]),
        (10_000, 700, 1000, 9999, [0], [701]),
        (10_000, 700, 1000, 10_000, [0, 5], [0, 0]),
        (9, 0, 1000, 0, [3, 3, 3], [0, 0, 0]),
        # An order without revenue goes with any refund, and goes but once.
        (0, 8, 1000, 0, [5, 5, 0, 1], [8, 0, 0, 0]),
        (0, 8, 1000, 0, [0, 0], [8, 0]),
    ],
)
def test_what_late_refunds_would_have_taken(
    value: int, unit: int, bps: int, in_time: int, refunds: list[int], amounts: list[int]
) -> None:
    terms = rules("a", GOVERNING, unit_price_units=unit, revenue_share_bps=bps)
    purchase, amount = bought(value, unit, bps, in_time)
    found = [purchase.take_late(terms, refund) for refund in refunds]
    assert found == amounts
    assert terms.share_units(in_time) + sum(found) <= amount
    # What is late takes nothing away from what comes in time.
    assert purchase.refunded_units == in_time
    assert not purchase.is_spent


def test_a_hundred_late_refunds_of_a_cent_are_one_of_a_euro() -> None:
    for bps in (1, 333, 999, 10_000):
        terms = rules("a", GOVERNING, unit_price_units=50, revenue_share_bps=bps)
        one, _ = bought(1000, 50, bps)
        many = deepcopy(one)
        assert sum(many.take_late(terms, 1) for _ in range(100)) == one.take_late(terms, 100)
        assert many == one


@given(
    st.integers(0, 10**6),
    st.integers(0, 1000),
    st.integers(0, 10_000),
    st.lists(st.integers(0, 10**5), min_size=1, max_size=20),
)
def test_late_refunds_count_what_the_same_in_time_would_take(
    value: int, unit: int, bps: int, parts: list[int]
) -> None:
    terms = rules("a", GOVERNING, unit_price_units=unit, revenue_share_bps=bps)
    late, _ = bought(value, unit, bps)
    timely = deepcopy(late)
    for part in parts:
        wanted = 0
        if not timely.is_spent:
            taken = taking(timely, terms, part, whole=not part)
            wanted = taken.amount_units
            timely.refunded_units = taken.refunded_after
            timely.is_spent = taken.refunded_after >= value
        assert late.take_late(terms, part) == wanted
    assert (late.refunded_units, late.is_spent) == (0, False)


def test_what_is_spent_or_was_never_paid_for_is_counted_no_more() -> None:
    terms = rules("a", GOVERNING, unit_price_units=8)
    for value in (0, 100):
        purchase, _ = bought(value, 8)
        purchase.is_spent = True
        assert purchase.take_late(terms, 5) == 0
        assert purchase.late_units == 0
    assert Purchase(4, "paid", 100, word("order")).take_late(terms, 5) == 0


@pytest.mark.parametrize(
    ("order", "states", "at", "position"),
    [
        # The outcomes of two orders, kept until 10, and one without an order, until 20.
        ("o", ("paid",), 10, None),
        ("o", ("paid",), 11, 1),
        ("o", ("trial", "paid"), 11, 1),
        ("o", ("trial",), 11, None),
        ("o", (), 11, None),
        ("p", ("paid",), 99, None),  # paid nobody
        ("q", ("paid",), 99, None),
        (None, ("paid",), 20, None),
        (None, ("paid",), 21, 3),
        (None, ("trial",), 21, None),
        (None, ("trial", "paid"), 21, 3),
    ],
)
def test_the_purchase_that_an_event_is_about_and_cannot_take_from(
    order: str | None, states: tuple[str, ...], at: int, position: int | None
) -> None:
    purchases = [
        Purchase(1, "paid", 5, word("o"), PaidOutcome(word("a"), 2, 10, 10)),
        Purchase(3, "paid", 5, ZERO_WORD, PaidOutcome(word("a"), 4, 10, 20)),
        Purchase(5, "paid", 5, word("p")),
    ]
    named = word(order) if order else ZERO_WORD
    found = untaken_purchase(purchases, named, states, at, lambda _: True)
    assert (found.position if found else None) == position
    # Under another policy it is the same one, in time or not.
    at_once = untaken_purchase(purchases, named, states, 0, lambda _: False)
    assert at_once == untaken_purchase(purchases, named, states, 99, lambda _: True)


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
