"""Reports: exact figures, the baseline, and what looks wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backtest.evaluate import evaluate_history, open_spool
from orchestrator.backtest.inputs import ContractPlan, EventRow, TouchRow
from orchestrator.core.common.units import DAY_S, NS_PER_S
from orchestrator.core.growth.report import (
    GrowthReport,
    Quartiles,
    format_share,
    format_wait,
    nearest,
    quartiles,
    report_of,
)
from orchestrator.core.surface.policy import parse
from tests.support.growth import FUNNEL

DAY_NS = DAY_S * NS_PER_S
PLAN = ContractPlan(
    id="a",
    operator="ann",
    outcome="paid",
    repeatable=False,
    unit_price_units=4_000_000,
    revenue_share_bps=0,
    budget_units=10_000_000,
    opens_at_ns=0,
    deadline_ns=1_000 * DAY_NS,
    attribution_window_s=7 * DAY_S,
    holdback_bps=0,
    holdback_s=30 * DAY_S,
)


def report(rows: list[EventRow | TouchRow], **changes: Any) -> GrowthReport:
    policy = parse(FUNNEL)
    with open_spool() as spool:
        found = evaluate_history(rows, policy, [PLAN._replace(**changes)], spool)
    assert found.seen is not None
    return report_of(found.seen, policy, found.contracts, found.operators)


def touch(day: int, lead: str, operator: str = "ann") -> TouchRow:
    return TouchRow(day * DAY_NS, lead, operator, "email")


def buy(day: int, lead: str, value: int | None = 10_000_000, order: str = "") -> EventRow:
    return EventRow(day * DAY_NS, lead, "buy", value, order)


HISTORY: list[EventRow | TouchRow] = [
    touch(0, "x"),
    touch(0, "y"),
    touch(0, "z"),
    buy(1, "x", order="o"),
    buy(2, "alone"),
    buy(3, "y"),
    EventRow(3 * DAY_NS, "idle", "renew", None),
    EventRow(4 * DAY_NS, "x", "refund", 2_500_000, "o"),
    buy(5, "z"),
]


def test_a_contract_has_its_cost_its_revenue_and_its_waits() -> None:
    (one,) = report(HISTORY).contracts
    assert (one.outcomes, one.reversed, one.over) == (2, 0, 1)
    assert (one.payable_units, one.cost_units) == (8_000_000, 4_000_000)
    assert (one.revenue_units, one.refunded_units) == (20_000_000, 2_500_000)
    assert one.waits == Quartiles(DAY_S, DAY_S, 3 * DAY_S)
    assert one.leads_touched == 3
    assert sum(one.by_period) == 2


@pytest.mark.parametrize(
    ("order", "value", "days", "refunded_units"),
    [
        ("", None, 2, 10_000_000),
        ("o", None, 2, 10_000_000),
        ("o", 3_000_000, 2, 3_000_000),
        # Later than the holdback it counts for nothing.
        ("o", None, 40, 0),
        ("", None, 40, 0),
    ],
)
def test_what_was_refunded_is_of_the_contract_that_paid(
    order: str, value: int | None, days: int, refunded_units: int
) -> None:
    back = EventRow(days * DAY_NS, "x", "refund", value, order)
    (one,) = report([touch(0, "x"), buy(1, "x", order=order), back]).contracts
    assert one.refunded_units == refunded_units


def test_the_baseline_is_that_of_untouched_leads() -> None:
    found = report(HISTORY)
    lift = found.contracts[0].lift
    # All three touched leads bought, and of the two others one.
    assert (lift.touched_bps, lift.organic_bps, lift.lift_bps) == (10_000, 5_000, 5_000)
    assert (lift.expected, lift.gained) == (2, 1)
    assert found.leads == 5
    motions = {one.motion: one for one in found.motions}
    assert (motions["conversion"].transitions, motions["conversion"].organic) == (4, 1)
    assert motions["conversion"].cost_units == 4_000_000


def remarks(found: GrowthReport) -> dict[str, str]:
    return dict(found.remarks)


@pytest.mark.parametrize(
    ("rows", "changes", "code", "said"),
    [
        ([], {}, "history-empty", "no row"),
        ([touch(0, "x", "anne"), buy(1, "x")], {}, "operator-untouched", "are by 'anne'"),
        ([touch(0, "x"), buy(9, "x")], {}, "contract-earnless", "no lead entered 'paid'"),
        (HISTORY, {}, "budget-spent", "1 outcome worth 4.00"),
        (HISTORY, {}, "state-never-entered", "'loyal'"),
        (
            [touch(0, "x"), buy(1, "x", 1_000_000)],
            {},
            "price-eats-revenue",
            "pays 4.00 for outcomes that brought 1.00",
        ),
        (
            [touch(0, "x"), touch(0, "y"), buy(1, "x"), buy(1, "alone")],
            {},
            "below-baseline",
            "50.00% against 100.00%",
        ),
    ],
)
def test_what_looks_wrong(rows: Any, changes: Any, code: str, said: str) -> None:
    found = remarks(report(rows, **changes))
    assert said in found[code]


def test_a_sound_history_has_no_remarks_but_for_unused_states() -> None:
    found = report([touch(0, "x"), buy(1, "x"), EventRow(2 * DAY_NS, "x", "renew", None)])
    assert found.remarks == ()
    document = found.to_json()
    assert document["from"] == "1970-01-01T00:00:00Z"
    assert document["baseline"]["paid"]["touched_bps"] == 10_000  # type: ignore[index]


def test_numbers_as_people_read_them() -> None:
    assert [nearest(5, 2), nearest(4, 3), nearest(0, 0)] == [3, 1, None]
    assert [format_share(one) for one in (None, 0, 1_234, -50)] == [
        "-",
        "0.00%",
        "12.34%",
        "-0.50%",
    ]
    assert [format_wait(one) for one in (0, 61, 7_200, 90_000)] == [
        "0 s",
        "1 min 1 s",
        "2 h",
        "1 d 1 h",
    ]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40))
def test_quartiles_have_as_many_below_them_as_they_say(numbers: list[int]) -> None:
    found = quartiles(sorted(numbers))
    assert found is not None
    for part, value in enumerate(found, 1):
        assert value in numbers
        assert sum(one <= value for one in numbers) * 4 >= part * len(numbers)
        assert sum(one < value for one in numbers) * 4 < part * len(numbers)
