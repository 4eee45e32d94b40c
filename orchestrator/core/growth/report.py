"""A report: what contracts would have cost and brought, beside what came without any touch.

Money is whole token units, and what is not whole is rounded to the nearest, halves up. The
comparison with untouched leads is no experiment: operators choose whom they touch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.core.common.units import (
    BPS,
    DAY_S,
    NS_PER_S,
    counted,
    format_amount,
    format_day,
    format_time,
)
from orchestrator.core.growth.observation import Exposure, Observation, ObservedContract
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.contract import Contract

MAX_WARNINGS = 50
MAX_PERIODS = 60
_DAY_NS = DAY_S * NS_PER_S


class Quartiles(NamedTuple):
    """The times from touch to outcome below which a quarter, a half, three quarters of them lie."""

    first_s: int
    median_s: int
    third_s: int


class Lift(NamedTuple):
    """The entries of touched leads into a state, beside untouched ones; shares in basis points.

    `expected` of the touched leads would have entered as often as untouched ones did, rounded;
    `gained` is what they entered more. None where there is no lead to compare with.
    """

    state: str
    touched_leads: int
    touched_entered: int
    organic_leads: int
    organic_entered: int
    touched_bps: int | None
    organic_bps: int | None
    expected: int | None
    gained: int | None

    @property
    def lift_bps(self) -> int | None:
        if self.touched_bps is None or self.organic_bps is None:
            return None
        return self.touched_bps - self.organic_bps


class ContractFigures(NamedTuple):
    """One contract: what it pays and what its outcomes brought.

    `cost_units` is what is payable after reversals, for each outcome that was paid; None for none.
    """

    name: str
    operator: str
    state: str
    outcomes: int
    reversed: int
    over: int
    payable_units: int
    over_units: int
    cost_units: int | None
    revenue_units: int
    refunded_units: int
    waits: Quartiles | None
    leads_touched: int
    lift: Lift
    by_period: tuple[int, ...]

    @property
    def net_revenue_units(self) -> int:
        return self.revenue_units - self.refunded_units


class MotionFigures(NamedTuple):
    """One motion: its transitions, those of untouched leads, and what was earned for them."""

    motion: str
    transitions: int
    organic: int
    outcomes: int
    earned_units: int
    cost_units: int | None
    revenue_units: int
    organic_revenue_units: int


class Remark(NamedTuple):
    """Something that looks wrong, by a stable code, and what to do about it."""

    code: str
    text: str


class GrowthReport(NamedTuple):
    """All figures of a history. `periods` are the first days of the spans that charts have."""

    contracts: tuple[ContractFigures, ...]
    motions: tuple[MotionFigures, ...]
    lifts: tuple[Lift, ...]
    leads: int
    refunded_units: int
    first_ns: int | None
    last_ns: int
    periods: tuple[int, ...]
    period_days: int
    remarks: tuple[Remark, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "from": None if self.first_ns is None else format_time(self.first_ns),
            "to": None if self.first_ns is None else format_time(self.last_ns),
            "leads": self.leads,
            "refunded_units": str(self.refunded_units),
            "contracts": {one.name: _contract_json(one) for one in self.contracts},
            "motions": {
                one.motion: {
                    "transitions": one.transitions,
                    "organic": one.organic,
                    "outcomes": one.outcomes,
                    "earned_units": str(one.earned_units),
                    "cost_per_outcome_units": _text(one.cost_units),
                    "revenue_units": str(one.revenue_units),
                    "organic_revenue_units": str(one.organic_revenue_units),
                }
                for one in self.motions
            },
            "baseline": {one.state: _lift_json(one) for one in self.lifts},
            "remarks": [{"code": code, "text": text} for code, text in self.remarks],
        }


def report_of(
    seen: Observation,
    policy: Policy,
    contracts: Mapping[str, Contract],
    operators: Mapping[str, str],
    input_remarks: Sequence[Remark] = (),
) -> GrowthReport:
    """Return the report of an observation that is finished.

    `operators` are by contract; `input_remarks` come first.
    """
    bits, first_span, spans = seen.span_bits, 0, 0
    if seen.first_ns is not None:
        first_span = seen.first_ns // _DAY_NS >> bits
        spans = (seen.last_ns // _DAY_NS >> bits) - first_span + 1
    # A chart has no room for more.
    joined = max(1, -(-spans // MAX_PERIODS))
    count = -(-spans // joined)
    lifts = {state: _lift(state, exposure) for state, exposure in seen.exposures.items()}
    figures = tuple(
        _contract(
            name,
            operators[name],
            contract,
            seen.contracts[name],
            lifts.get(contract.rules.outcome) or _lift(contract.rules.outcome, Exposure()),
            seen.leads_touched[operators[name]],
            (first_span, joined, count),
        )
        for name, contract in contracts.items()
    )
    motions = tuple(
        MotionFigures(
            name,
            one.transitions,
            one.transitions - one.touched,
            one.outcomes,
            one.earned_units,
            nearest(one.earned_units, one.outcomes),
            one.revenue_units,
            one.organic_revenue_units,
        )
        for name, one in seen.motions.items()
    )
    remarks = [*input_remarks, *_remarks(seen, policy, figures)]
    return GrowthReport(
        contracts=figures,
        motions=motions,
        lifts=tuple(lifts.values()),
        leads=seen.lead_count,
        refunded_units=seen.refunded_units,
        first_ns=seen.first_ns,
        last_ns=seen.last_ns,
        periods=tuple(first_span + place * joined << bits for place in range(count)),
        period_days=joined << bits,
        remarks=tuple(remarks[:MAX_WARNINGS]),
    )


def nearest(amount: int, count: int) -> int | None:
    """Return amount ÷ count as the nearest whole number, halves up; None for a count of 0."""
    return (2 * amount + count) // (2 * count) if count else None


def format_share(bps: int | None) -> str:
    """Write a share as percent, or a hyphen where there is none."""
    if bps is None:
        return "-"
    sign = "-" if bps < 0 else ""
    return f"{sign}{abs(bps) // 100}.{abs(bps) % 100:02}%"


def format_wait(seconds: int) -> str:
    """Write a duration in the two largest of days, hours, minutes, seconds."""
    for size, unit, small, small_unit in (
        (DAY_S, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{seconds} s"


def _contract(
    name: str,
    operator: str,
    contract: Contract,
    seen: ObservedContract,
    lift: Lift,
    leads_touched: int,
    spans: tuple[int, int, int],
) -> ContractFigures:
    first_span, joined, count = spans
    by_period = [0] * count
    for span, outcomes in seen.by_span.items():
        by_period[(span - first_span) // joined] += outcomes
    return ContractFigures(
        name=name,
        operator=operator,
        state=contract.rules.outcome,
        outcomes=contract.outcomes,
        reversed=contract.reversals,
        over=seen.over,
        payable_units=contract.payable_units,
        over_units=contract.over_units,
        cost_units=nearest(contract.payable_units, contract.outcomes),
        revenue_units=seen.revenue_units,
        refunded_units=seen.refunded_units,
        waits=quartiles(sorted(seen.waits_s)),
        leads_touched=leads_touched,
        lift=lift,
        by_period=tuple(by_period),
    )


def quartiles(ordered: Sequence[int]) -> Quartiles | None:
    """Return the quartiles of sorted numbers, each one of them (nearest rank); None for none."""
    if not ordered:
        return None
    first, median, third = (ordered[-(-len(ordered) * part // 4) - 1] for part in (1, 2, 3))
    return Quartiles(first, median, third)


def _lift(state: str, seen: Exposure) -> Lift:
    expected = gained = None
    if seen.organic_leads and seen.touched_leads:
        expected = nearest(seen.touched_leads * seen.organic_entered, seen.organic_leads)
        gained = seen.touched_entered - (expected or 0)
    return Lift(
        state,
        seen.touched_leads,
        seen.touched_entered,
        seen.organic_leads,
        seen.organic_entered,
        nearest(seen.touched_entered * BPS, seen.touched_leads),
        nearest(seen.organic_entered * BPS, seen.organic_leads),
        expected,
        gained,
    )


def _remarks(seen: Observation, policy: Policy, figures: Sequence[ContractFigures]) -> list[Remark]:
    """Return what looks wrong in a history, most telling first."""
    found = []
    if seen.first_ns is None:
        found.append(Remark("history-empty", "the history has no row that the policy could judge"))
    for one in figures:
        found += _contract_remarks(seen, one)
    states = [one for one in policy.states if one != policy.initial and not seen.entered[one]]
    if seen.first_ns is not None and states:
        found.append(
            Remark(
                "state-never-entered",
                f"no lead ever entered {', '.join(repr(one) for one in states[:10])}: is each "
                f"event of these transitions in the history, by the name that the policy has?",
            )
        )
    return list(dict.fromkeys(found))


def _contract_remarks(seen: Observation, one: ContractFigures) -> Iterator[Remark]:
    """Yield what looks wrong about one contract."""
    if not seen.touches[one.operator]:
        touched = ", ".join(repr(name) for name, _ in seen.touches.most_common(5)) or "none"
        yield Remark(
            "operator-untouched",
            f"operator {one.operator!r} of contract {one.name!r} touched no lead, so it can earn "
            f"nothing; the touches are by {touched}",
        )
    elif not one.outcomes and not one.over:
        yield Remark(
            "contract-earnless",
            f"contract {one.name!r} earned nothing: no lead entered {one.state!r} between its "
            f"opening and its deadline within the window of a touch by {one.operator!r}",
        )
    if one.over:
        yield Remark(
            "budget-spent",
            f"the budget of contract {one.name!r} was spent: {counted(one.over, 'outcome')} worth "
            f"{format_amount(one.over_units)} came after it and earned nothing",
        )
    if one.revenue_units and one.payable_units >= one.net_revenue_units:
        yield Remark(
            "price-eats-revenue",
            f"contract {one.name!r} pays {format_amount(one.payable_units)} for outcomes that "
            f"brought {format_amount(one.net_revenue_units)} after refunds",
        )
    if one.lift.lift_bps is not None and one.lift.lift_bps < 0 and one.outcomes:
        yield Remark(
            "below-baseline",
            f"touched leads entered {one.state!r} less often than untouched ones: "
            f"{format_share(one.lift.touched_bps)} against {format_share(one.lift.organic_bps)}",
        )


def _contract_json(one: ContractFigures) -> dict[str, object]:
    waits = one.waits
    return {
        "operator": one.operator,
        "outcome": one.state,
        "outcomes": one.outcomes,
        "reversed": one.reversed,
        "over_budget": one.over,
        "payable_units": str(one.payable_units),
        "cost_per_outcome_units": _text(one.cost_units),
        "revenue_units": str(one.revenue_units),
        "refunded_units": str(one.refunded_units),
        "seconds_to_outcome": None if waits is None else list(waits),
        "leads_touched": one.leads_touched,
    }


def _lift_json(one: Lift) -> dict[str, object]:
    return {
        "touched_leads": one.touched_leads,
        "touched_entered": one.touched_entered,
        "untouched_leads": one.organic_leads,
        "untouched_entered": one.organic_entered,
        "touched_bps": one.touched_bps,
        "untouched_bps": one.organic_bps,
        "lift_bps": one.lift_bps,
        "expected": one.expected,
        "gained": one.gained,
    }


def _text(units: int | None) -> str | None:
    return None if units is None else str(units)


def period_name(report: GrowthReport, place: int) -> str:
    """Return the first day of a span, as people write it."""
    return format_day(report.periods[place])
