"""The outcomes of a log by motion, and the first order that was given back in part."""

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.core.log.entry import Entry, unpack_outcome, unpack_reversal
from orchestrator.core.log.opening import Record, TransitionOpening
from orchestrator.core.surface.policy import Policy


class MotionResult(NamedTuple):
    """The outcomes of one motion, and what they earned; amounts in token base units."""

    outcomes: int = 0
    earned_units: int = 0
    reversals: int = 0
    reversed_units: int = 0


class PartialRefund(NamedTuple):
    """An order of which a part was given back, and what it pays; amounts in token base units."""

    contract_id: bytes
    order_units: int
    given_back_units: int
    earned_units: int
    taken_back_units: int


class Outcomes:
    """The outcomes that a log's records tell of, taken from the first on, under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._motion_of = {
            (state, move.to): move.motion
            for move in policy.transitions
            for state in move.from_states
        }
        self.motions: dict[str, MotionResult] = {
            move.motion: MotionResult() for move in policy.transitions
        }
        self.refund: PartialRefund | None = None
        self._moves: dict[int, tuple[Entry, str]] = {}
        self._events: dict[int, int] = {}
        self._outcomes: dict[int, Entry] = {}

    def take_all(self, records: Iterable[Record]) -> None:
        """Take all records of a log."""
        for position, (entry, opening) in enumerate(records):
            if isinstance(opening, TransitionOpening) and entry.kind == "lead.transition":
                self._moves[position] = entry, self._motion_of[opening.from_state, entry.label]
            elif entry.kind == "product.event":
                self._events[position] = entry.value
            elif entry.kind == "outcome":
                self._outcomes[position] = entry
                self._count(entry, outcomes=1, earned_units=entry.value)
            elif entry.kind == "outcome.reversed":
                self._take_back(entry)

    def _take_back(self, reversal: Entry) -> None:
        link = unpack_reversal(reversal.payload)
        outcome = self._outcomes[link.outcome]
        self._count(outcome, reversals=1, reversed_units=reversal.value)
        if self.refund is None and reversal.value < outcome.value:
            order, _ = self._moves[unpack_outcome(outcome.payload).transition]
            given_back = self._events[link.event]
            amounts = (order.value, given_back, outcome.value, reversal.value)
            self.refund = PartialRefund(reversal.actor, *amounts)

    def _count(self, outcome: Entry, **more: int) -> None:
        """Add to what is counted of an outcome's motion."""
        _, motion = self._moves[unpack_outcome(outcome.payload).transition]
        result = self.motions[motion]
        sums = {name: getattr(result, name) + value for name, value in more.items()}
        self.motions[motion] = result._replace(**sums)
