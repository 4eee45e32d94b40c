"""A small funnel and its history, as a growth lead would bring them."""

from typing import Any

from orchestrator.backtest.evaluate import Report, evaluate_history, open_spool
from orchestrator.backtest.inputs import ContractPlan, EventRow, TouchRow
from orchestrator.core.common.units import DAY_S, NS_PER_S
from orchestrator.core.growth.report import GrowthReport, report_of
from orchestrator.core.surface.policy import parse

FUNNEL: dict[str, Any] = {
    "initial": "new",
    "states": ["new", "paid", "loyal"],
    "transitions": [
        {"on": "buy", "from": ["new"], "to": "paid", "motion": "conversion"},
        {"on": "buy", "from": ["paid"], "to": "paid", "motion": "expansion"},
        {"on": "renew", "from": ["paid"], "to": "loyal", "motion": "expansion"},
    ],
    "reversals": [{"on": "refund", "of": "paid"}],
    "attribution": "first_touch",
    "touches_per_lead": 10,
}


def hostile_report(name: str) -> tuple[Report, GrowthReport]:
    """Return what a small history gives, in which contract and operator have this name."""
    policy = parse(FUNNEL)
    plan = ContractPlan(
        id=name,
        operator=name,
        outcome="paid",
        repeatable=False,
        unit_price_units=4_000_000,
        revenue_share_bps=0,
        budget_units=10_000_000,
        opens_at_ns=0,
        deadline_ns=1_000 * DAY_S * NS_PER_S,
        attribution_window_s=7 * DAY_S,
        holdback_bps=0,
        holdback_s=0,
    )
    rows: list[EventRow | TouchRow] = [
        TouchRow(0, "x", name, "email"),
        EventRow(NS_PER_S, "x", "buy", 10_000_000),
        EventRow(2 * NS_PER_S, "alone", "buy", 10_000_000),
    ]
    with open_spool() as spool:
        report = evaluate_history(rows, policy, [plan], spool)
    assert report.seen is not None
    return report, report_of(report.seen, policy, report.contracts, report.operators)
