"""Suggested terms: a history evaluated once more, with all of its operators as one."""

from collections.abc import Callable, Iterable, Iterator

from orchestrator.backtest.evaluate import evaluate_history, open_spool
from orchestrator.backtest.inputs import ContractPlan, EventRow, TouchRow
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import AMOUNT_LIMIT, DAY_S
from orchestrator.core.growth.report import report_of
from orchestrator.core.growth.suggestion import Suggestion, Target, price_within, targets_of
from orchestrator.core.surface.policy import Policy

_EVERYONE = "all operators"
# After all times that a history can have, in nanoseconds.
_NEVER_NS = 1 << 63

Rows = Iterable[EventRow | TouchRow]


def suggest_terms(
    open_rows: Callable[[], Rows],
    policy: Policy,
    motion: str,
    budget_units: int,
    window_days: int,
) -> list[Suggestion]:
    """Return a suggestion for each state that a motion leads into. `open_rows` reads anew."""
    targets = targets_of(policy, motion)
    if not targets:
        raise InputError(
            "motion-unused", f"no transition of the policy has the motion {motion!r} to suggest for"
        )
    return [
        _suggest(open_rows(), policy, motion, target, budget_units, window_days * DAY_S)
        for target in targets
    ]


def _suggest(
    rows: Rows, policy: Policy, motion: str, target: Target, budget_units: int, window_s: int
) -> Suggestion:
    plan = ContractPlan(
        id="suggested",
        operator=_EVERYONE,
        outcome=target.state,
        repeatable=target.repeatable,
        unit_price_units=1,
        revenue_share_bps=0,
        budget_units=AMOUNT_LIMIT - 1,
        opens_at_ns=0,
        deadline_ns=_NEVER_NS,
        attribution_window_s=window_s,
        holdback_bps=0,
        holdback_s=window_s,
    )
    with open_spool() as spool:
        report = evaluate_history(_as_one(rows), policy, [plan], spool)
    seen = report.seen
    if seen is None:
        raise InputError("history-unseen", "this history was not observed")
    (figures,) = report_of(seen, policy, report.contracts, report.operators).contracts
    return Suggestion(
        motion=motion,
        target=target,
        window_s=window_s,
        budget_units=budget_units,
        entered=seen.entered[target.state],
        outcomes=figures.outcomes,
        revenue_units=figures.revenue_units,
        refunded_units=figures.refunded_units,
        lift=figures.lift,
        price_units=price_within(budget_units, figures.outcomes),
    )


def _as_one(rows: Rows) -> Iterator[EventRow | TouchRow]:
    for row in rows:
        yield row._replace(operator=_EVERYONE) if isinstance(row, TouchRow) else row
