"""An observation: what happened on a history, as it is evaluated, row by row.

It counts beside the fold and changes nothing. Memory grows with leads, with contracts, and by
eight bytes an outcome.
"""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from orchestrator.core.common.units import DAY_S, NS_PER_S
from orchestrator.core.surface.policy import Policy

_DAY_NS = DAY_S * NS_PER_S
# The most operators without a contract whose touches are counted by name.
MAX_STRANGERS = 20
MAX_SPANS = 128


@dataclass(slots=True)
class ObservedContract:
    """One contract's gains: its outcomes, their revenue, refunds of it, and how soon they came.

    `waits_s` are the seconds from the winning touch to the outcome, for each. `by_span` counts paid
    outcomes by spans of days (`Observation.span_bits`).
    """

    revenue_units: int = 0
    refunded_units: int = 0
    paid: int = 0
    over: int = 0
    waits_s: "array[int]" = field(default_factory=lambda: array("Q"))
    by_span: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class ObservedMotion:
    """The transitions of one motion; `touched` are those of leads that had been touched before."""

    transitions: int = 0
    touched: int = 0
    revenue_units: int = 0
    organic_revenue_units: int = 0
    outcomes: int = 0
    earned_units: int = 0


@dataclass(slots=True)
class Exposure:
    """Leads that could enter a state, and those that did, without any touch and after one.

    Only a lead's first entry counts. It was organic if no operator had touched the lead by then.
    """

    organic_leads: int = 0
    organic_entered: int = 0
    touched_leads: int = 0
    touched_entered: int = 0


class Observation:
    """The counts of a history. `finish` counts leads once all rows have been seen."""

    def __init__(self, policy: Policy, operators: Collection[str], contracts: Iterable[str]):
        self.contracts = {name: ObservedContract() for name in contracts}
        self.motions: dict[str, ObservedMotion] = {
            motion: ObservedMotion()
            for motion in dict.fromkeys(move.motion for move in policy.transitions)
        }
        self.touches: Counter[str] = Counter()
        self.leads_touched: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()
        self.refunded_units = 0
        self.events = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self.exposures: dict[str, Exposure] = {}
        # A span has 2**span_bits days: so many that a contract has few spans.
        self.span_bits = 0
        self._policy = policy
        self._bits = {state: 1 << place for place, state in enumerate(policy.states)}
        self._motion_of = {
            (move.on, state): move.motion
            for move in policy.transitions
            for state in move.from_states
        }
        self._operators = {name: 1 << place for place, name in enumerate(operators)}
        # By lead: state, visited, entered organically, entered after a touch, touched by.
        self._leads: dict[str, list[int]] = {}
        self._initial = self._bits[policy.initial]

    @property
    def lead_count(self) -> int:
        return len(self._leads)

    def see(self, time_ns: int) -> None:
        """Count a row of this time, whatever comes of it."""
        if self.first_ns is None:
            self.first_ns = time_ns
        self.last_ns = time_ns

    def touch(self, lead: str, operator: str) -> None:
        """Count a touch. The operators without a contract have one bit in common."""
        known = self._lead(lead)
        bit = self._operators.get(operator)
        if bit is None:
            bit = 1 << len(self._operators)
            if operator not in self.touches and len(self.touches) > MAX_STRANGERS:
                operator = "(others)"
        self.touches[operator] += 1
        if not known[4] & bit:
            known[4] |= bit
            self.leads_touched[operator] += 1

    def move(self, lead: str, event: str, origin: str, to: str, value_units: int) -> str:
        """Count a transition, by the event's short name; return its motion."""
        known = self._lead(lead)
        bit = self._bits[to]
        if not (known[2] | known[3]) & bit:
            known[3 if known[4] else 2] |= bit
        known[1] |= bit
        self.entered[to] += 1
        motion = self._motion_of[event, origin]
        seen = self.motions[motion]
        seen.transitions += 1
        seen.revenue_units += value_units
        if known[4]:
            seen.touched += 1
        else:
            seen.organic_revenue_units += value_units
        return motion

    def pay(
        self,
        contract: str,
        motion: str,
        value_units: int,
        earned_units: int | None,
        touch_ns: int,
        time_ns: int,
    ) -> None:
        """Count an outcome; `earned_units` is None where it was over the budget."""
        seen = self.contracts[contract]
        if earned_units is None:
            seen.over += 1
            return
        seen.paid += 1
        seen.revenue_units += value_units
        seen.waits_s.append((time_ns - touch_ns) // NS_PER_S)
        self._count_day(seen, time_ns // _DAY_NS)
        moved = self.motions[motion]
        moved.outcomes += 1
        moved.earned_units += earned_units

    def refund(self, contract: str | None, value_units: int) -> None:
        """Count what was given back of a purchase's revenue, and of which contract's."""
        self.refunded_units += value_units
        if contract is not None:
            self.contracts[contract].refunded_units += value_units

    def finish(self) -> None:
        """Count the leads of each state that transitions lead into."""
        sources: dict[str, int] = {}
        for move in self._policy.transitions:
            for state in move.from_states:
                sources[move.to] = sources.get(move.to, 0) | self._bits[state]
        # Leads with the same past are counted together: there are few such pasts.
        pasts = Counter(
            (visited, organic, after, bool(by))
            for _, visited, organic, after, by in self._leads.values()
        )
        for state, mask in sources.items():
            bit, seen = self._bits[state], Exposure()
            for (visited, organic, after, is_touched), count in pasts.items():
                if not visited & mask:
                    continue
                if organic & bit:
                    seen.organic_leads += count
                    seen.organic_entered += count
                elif after & bit:
                    seen.touched_leads += count
                    seen.touched_entered += count
                elif is_touched:
                    seen.touched_leads += count
                else:
                    seen.organic_leads += count
            self.exposures[state] = seen

    def _count_day(self, seen: ObservedContract, day: int) -> None:
        seen.by_span[day >> self.span_bits] += 1
        if len(seen.by_span) <= MAX_SPANS:
            return
        self.span_bits += 1
        for one in self.contracts.values():
            halved: Counter[int] = Counter()
            for span, count in one.by_span.items():
                halved[span >> 1] += count
            one.by_span = halved

    def _lead(self, name: str) -> list[int]:
        known = self._leads.get(name)
        if known is None:
            known = self._leads[name] = [0, self._initial, 0, 0, 0]
        return known

    def event(self, lead: str) -> None:
        """Count a product event that the policy names."""
        self.events += 1
        self._lead(lead)
