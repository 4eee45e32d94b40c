"""Refunds by order: what they take back, and which orders are turned away."""

from typing import Any

import pytest

from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.opening import EventOpening
from orchestrator.core.world.purchase import MAX_ORDERS, MAX_UNFOUNDED, MAX_WITHOUT_ORDER
from orchestrator.core.world.requests import ProductEvent, Request
from tests.support.decisions import (
    FIRST,
    X,
    Y,
    about,
    event,
    kinds_of,
    refused,
    run,
    touch,
)
from tests.support.worlds import (
    begin,
    policy,
    rules,
    word,
)


def sold(order: str, at: int, value: int) -> tuple[int, Request]:
    return at, about(order, event("buy", at, value))


def refund(order: str, at: int, value: int | None) -> tuple[int, Request]:
    return at, about(order, event("refund", at, value or 0), whole=value is None)


def reversals(
    bps: int, unit: int, *steps: tuple[int, Request], **changes: Any
) -> tuple[int, list[int]]:
    """Return what stays payable of a repeatable contract, and what each reversal took."""
    terms = rules(
        "a",
        FIRST,
        repeatable=True,
        budget_units=10**6,
        revenue_share_bps=bps,
        unit_price_units=unit,
        holdback_period_ms=9000,
    )
    world, _ = begin(FIRST, terms._replace(**changes))
    entries = run(world, (0, event("signup", 0)), (1, touch()), *steps)
    taken = [entry.value for entry in entries if entry.kind == "outcome.reversed"]
    return world.contracts[word("a")].payable_units, taken


@pytest.mark.parametrize(
    ("bps", "unit", "steps", "payable", "taken"),
    [
        # A tenth of 100.00, of which 5.00 are given back: 9.50 stay.
        (1000, 0, [sold("o", 2, 10_000), refund("o", 3, 500)], 950, [50]),
        # One order, refunded in two parts, takes exactly its own outcome.
        (
            1000,
            700,
            [
                sold("o", 2, 10_000),
                sold("p", 3, 10_000),
                refund("o", 4, 9_999),
                refund("o", 5, 1),
            ],
            1700,
            [999, 701],
        ),
        # The older order is taken back, not the latest.
        (1000, 0, [sold("o", 2, 100), sold("p", 3, 900), refund("o", 4, None)], 90, [10]),
        # Refunds above an order's value take no more than it earned.
        (1000, 0, [sold("o", 2, 100), sold("p", 3, 900), refund("o", 4, 5000)], 90, [10]),
        (
            1000,
            0,
            [sold("o", 2, 100), refund("o", 3, 70), refund("o", 3, 70), refund("o", 3, 70)],
            0,
            [7, 3],
        ),
        # A hundred refunds of a cent take what one of a euro takes.
        (999, 0, [sold("o", 2, 1000), *[refund("o", 3, 1)] * 100], 90, [1] * 9),
        (999, 0, [sold("o", 2, 1000), refund("o", 3, 100)], 90, [9]),
        # One that names no order takes all that is left of the latest.
        (
            1000,
            5,
            [
                sold("o", 2, 100),
                sold("p", 3, 200),
                refund("p", 4, 50),
                (5, event("refund", 5, 1)),
                refund("p", 6, 150),
            ],
            15,
            [5, 20],
        ),
        # What is later than the holdback period takes nothing, and counts for nothing.
        (
            1000,
            0,
            [
                sold("o", 2, 100),
                (9003, about("o", event("refund", 9003, 90))),
                refund("o", 9004, 1),
            ],
            10,
            [],
        ),
        (
            1000,
            0,
            [
                sold("o", 2, 100),
                refund("o", 9003, 90),
                (9004, about("o", event("refund", 9002, 20))),
            ],
            8,
            [2],
        ),
        # An order without revenue goes with any refund of it.
        (0, 8, [sold("o", 2, 0), refund("o", 3, 5)], 0, [8]),
        (0, 8, [sold("o", 2, 100), refund("o", 3, 99)], 8, []),
    ],
)
def test_what_refunds_of_an_order_take(
    bps: int, unit: int, steps: list[tuple[int, Request]], payable: int, taken: list[int]
) -> None:
    assert reversals(bps, unit, *steps) == (payable, taken)


def test_a_refund_of_an_order_that_no_contract_paid_takes_nothing() -> None:
    # The first purchase is before the contract opens: only the second is paid for.
    terms = rules("a", FIRST, revenue_share_bps=1000, unit_price_units=0, holdback_period_ms=9000)
    world, _ = begin(FIRST, terms._replace(opens_at_ms=2500))
    run(world, (0, event("signup", 0)), sold("o", 2, 100), (2600, touch()), sold("p", 3000, 900))
    (entry, opening), *rest = decide(world, refund("o", 3500, None)[1], 3500)
    assert entry.kind == "product.event"
    assert not rest
    assert isinstance(opening, EventOpening)
    # It says what it takes back from all the same: a claim of that purchase is judged by it.
    assert (opening.of != 0, opening.refunded_after_units, opening.whole) == (True, 100, True)
    assert world.contracts[word("a")].payable_units == 90


def test_a_refund_says_what_was_refunded_before() -> None:
    world, _ = begin(FIRST, rules("a", FIRST, holdback_period_ms=9000))
    run(world, (0, event("signup", 0)), (1, touch()), sold("o", 2, 100))
    bought = world.leads[X].purchases[0].position
    told = []
    for value in (30, 50, None, 5):
        at = world.size
        for _, opening in decide(world, refund("o", 5, value)[1], 5):
            if isinstance(opening, EventOpening):
                told.append((at, *opening[2:7]))
    first, second, third, fourth = (line[0] for line in told)
    assert told == [
        (first, bought, 0, 0, 30, False),
        (second, bought, first, 30, 80, False),
        (third, bought, second, 80, 100, True),
        (fourth, 0, 0, 0, 0, False),  # there is nothing left of it
    ]


@pytest.mark.parametrize(
    ("steps", "request_", "code"),
    [
        ([], about("o", event("refund", 9, 5)), "order-unknown"),
        ([sold("o", 2, 100)], about("p", event("refund", 9, 5)), "order-unknown"),
        ([sold("o", 2, 100)], about("o", event("refund", 9, 5, lead=Y)), "order-unknown"),
        ([sold("o", 2, 100)], about("o", event("buy", 9, 5)), "order-taken"),
        (
            [sold("o", 2, 100), refund("o", 3, None)],
            about("o", event("buy", 9, 5)),
            "order-taken",
        ),
    ],
)
def test_orders_that_are_turned_away(
    steps: list[tuple[int, Request]], request_: ProductEvent, code: str
) -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)), *steps)
    assert refused(world, 9, request_) == code


def test_a_refund_that_came_too_early_is_taken_once_its_order_is_there() -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)))
    early = about("o", event("refund", 2, 5))
    assert refused(world, 3, early) == "order-unknown"
    run(world, sold("o", 4, 100))
    assert kinds_of(run(world, (5, early))) == ["product.event"]


def test_a_lead_has_so_many_orders_and_no_more() -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)))
    for n in range(MAX_ORDERS):
        run(world, sold(f"o{n}", 1, 1))
    assert refused(world, 2, about("one more", event("buy", 2, 1))) == "order-limit"
    assert run(world, (2, event("buy", 2, 1)), refund("o0", 3, 1))


def test_an_order_is_not_of_a_purchase_and_of_what_it_takes_back() -> None:
    governing = policy(reversals=[{"on": "buy", "of": "paid"}])
    world, _ = begin(governing)
    run(world, (0, event("signup", 0)))
    assert refused(world, 1, about("o", event("buy", 1, 5))) == "order-ambiguous"
    assert kinds_of(run(world, (1, event("buy", 1, 5)))) == ["product.event", "lead.transition"]


def test_a_lead_remembers_so_many_purchases_and_no_more() -> None:
    """Outcomes of nothing never end a budget: a lead may have any number of them."""
    terms = rules(
        "a", FIRST, repeatable=True, unit_price_units=0, revenue_share_bps=1, budget_units=1,
        holdback_period_ms=10**6,
    )  # fmt: skip
    world, _ = begin(FIRST, terms)
    run(world, (0, event("signup", 0)), (0, touch()))
    for _ in range(5):
        run(world, *[(1, event("buy", 1))] * MAX_WITHOUT_ORDER)
        assert len(world.leads[X].purchases) <= 2 * MAX_WITHOUT_ORDER + 8
    entries = run(world, *[(2, event("refund", 2))] * 3)
    assert kinds_of(entries) == ["product.event", "outcome.reversed"] * 3


def test_an_order_of_what_no_event_takes_back_founds_nothing() -> None:
    world, _ = begin(FIRST)
    run(world, (0, about("o", event("signup", 0))), sold("o", 1, 5))
    assert [one.order for one in world.leads[X].purchases] == [word("o")]


# --- Orders of purchases that found none ----------------------------------------------------------

# A first purchase makes a customer, which nothing takes back; what comes after that can be.
SHOP = policy(
    states=["new", "placed", "customer", "repeat"],
    transitions=[
        {"on": "place", "from": ["new"], "to": "placed", "motion": "acquisition"},
        {"on": "buy", "from": ["placed"], "to": "customer", "motion": "conversion"},
        {"on": "buy", "from": ["customer", "repeat"], "to": "repeat", "motion": "expansion"},
    ],
    reversals=[{"on": "refund", "of": "repeat"}],
)


def placed(order: str, at: int) -> tuple[int, Request]:
    return at, about(order, event("place", at))


@pytest.mark.parametrize(
    ("steps", "answer"),
    [
        # What cannot be reversed, and what the policy refused, has nothing to give back.
        ([placed("n", 0), sold("o", 1, 100)], ["product.event"]),
        ([sold("o", 1, 100)], ["product.event"]),
        ([sold("o", 1, 100), sold("o", 2, 100)], ["product.event"]),
        # An order that was only placed is paid by an event that may still come.
        ([placed("o", 0)], "order-unknown"),
        ([placed("n", 0), sold("p", 1, 100)], "order-unknown"),
        # A purchase under the same order founds it after all.
        (
            [sold("o", 1, 100), placed("n", 2), sold("m", 2, 5), (3, touch()), sold("o", 4, 100)],
            ["product.event", "outcome.reversed"],
        ),
        (
            [placed("o", 0), sold("m", 1, 5), (1, touch()), sold("o", 2, 100)],
            ["product.event", "outcome.reversed"],
        ),
        (
            [placed("n", 0), sold("o", 1, 5), (1, touch()), sold("o", 2, 100)],
            ["product.event", "outcome.reversed"],
        ),
    ],
)
def test_a_refund_of_what_was_never_to_be_paid_takes_nothing(
    steps: list[tuple[int, Request]], answer: object
) -> None:
    terms = rules("a", SHOP, outcome="repeat", holdback_period_ms=9000)
    world, _ = begin(SHOP, terms)
    run(world, *steps)
    at, request = refund("o", 9, None)
    if isinstance(answer, str):
        assert refused(world, at, request) == answer
    else:
        assert kinds_of(run(world, (at, request))) == answer


def test_such_an_order_is_remembered_for_its_own_lead_and_the_latest_alone() -> None:
    world, _ = begin(SHOP, rules("a", SHOP, outcome="repeat"))
    run(world, *(sold(f"o{n}", 1, 5) for n in range(MAX_UNFOUNDED + 1)), sold("o1", 1, 5))
    assert len(world.leads[X].unfounded) == MAX_UNFOUNDED
    assert refused(world, 2, about("o1", event("refund", 2, 5, lead=Y))) == "order-unknown"
    assert refused(world, *refund("o0", 2, 5)) == "order-unknown"
    for kept in ("o1", "o2", f"o{MAX_UNFOUNDED}"):
        assert kinds_of(run(world, refund(kept, 2, 5))) == ["product.event"]
