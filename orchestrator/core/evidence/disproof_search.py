"""The search for disproofs: entries of the log that contradict what a verifier has signed.

The entries are read once, in log order, and a few numbers are kept for each outcome and each event
that takes back. Where something looks false, a case is built and decided as the chain would: what
is found is proven.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.evidence.exhibits import (
    MAX_EXHIBITS,
    OPENED,
    OUTCOME,
    OVER,
    OWN_TIMED,
    PRODUCT_EVENT,
    REVERSAL,
    SETTLEMENT,
    Case,
    ContractIndex,
    EscrowRecord,
    EventWords,
    Exhibit,
    Words,
    opening_words,
    unpack_link,
    unpack_statement,
)
from orchestrator.core.evidence.history import EntrySource, LogHistory, PublicEntry, lacks_opening
from orchestrator.core.evidence.rules import check_disproof, disproves


def find_disproof(
    entries: Iterable[PublicEntry], contracts: ContractIndex, source: EntrySource
) -> Case | None:
    """Return the first provable contradiction in what a verifier has signed, or None.

    `entries` are the log's from entry 0, at least to the highest `last_signed`; `contracts` holds
    every contract that the escrow has for this log, competitors included.
    """
    return next(find_disproofs(entries, contracts, source), None)


def find_disproofs(
    entries: Iterable[PublicEntry],
    contracts: ContractIndex,
    source: EntrySource,
    unopened: set[int] | None = None,
) -> Iterator[Case]:
    """Yield a case against the verifier of each contract that the log disproves, in log order.

    One for each contract: a verifier is retired once. Added to `unopened` are the entries without
    whose openings it cannot be told whether something is false.
    """
    search = _DisproofSearch(contracts, source, set() if unopened is None else unopened)
    for item in entries:
        yield from search.append(item)


@dataclass(slots=True)
class _ContractTotals:
    """A contract's entries so far, as positions in the log; 0 means none."""

    record: EscrowRecord
    is_disproved: bool = False
    last_outcome: int = 0
    last_reversal: int = 0
    leads: dict[bytes, int] = field(default_factory=dict)  # where each was counted first
    left: dict[int, int] = field(default_factory=dict)  # by outcome: what reversals leave of it
    outcomes: dict[tuple[bytes, bytes], list[int]] = field(default_factory=dict)  # lead, state
    last_reversals: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_EXHIBITS - 3))
    most: tuple[int, int] = (0, 0)  # the highest total of an outcome, and where
    earned_units: int = 0
    reversed_units: int = 0
    # The over entry that would need the least room: how much, where, the reversal below it.
    over: tuple[int, int, int] | None = None
    first_counted: int = 0  # its first outcome or over entry

    def append(self, entry: Words) -> None:
        """Add an entry of the contract to its totals."""
        link = unpack_link(entry.payload)
        if entry.kind in (OUTCOME, OVER):
            self.first_counted = self.first_counted or entry.position
            if not self.record.rules.repeatable:
                self.leads.setdefault(entry.subject, entry.position)
        if entry.kind == OUTCOME:
            self.last_outcome = entry.position
            self.outcomes.setdefault((entry.subject, entry.label), []).append(entry.position)
            self.left[entry.position] = entry.value
            self.earned_units = link.total
            self.most = max(self.most, (link.total, entry.position))
        elif entry.kind == OVER:
            missing = entry.value - self.reversed_units
            over = (missing, entry.position, self.last_reversal)
            # An amount that no sum could hold was over within any budget.
            if self.earned_units + entry.value < AMOUNT_LIMIT:
                self.over = min(self.over or over, over)
        elif entry.kind == REVERSAL:
            self.last_reversal = entry.position
            self.last_reversals.appendleft(entry.position)
            self.reversed_units = link.total
            if link.target in self.left:
                self.left[link.target] -= entry.value


class _DisproofSearch:
    """A check of every entry that a verifier has signed for."""

    def __init__(self, contracts: ContractIndex, source: EntrySource, unopened: set[int]) -> None:
        self._history = LogHistory(contracts, source)
        self._unopened = unopened
        self._totals = {name: _ContractTotals(record) for name, record in contracts.items()}
        self._counted: dict[int, int] = {}  # by transition: where it was counted first
        self._reversed: dict[int, int] = {}  # by event: where something was taken back by it first
        self._events: dict[int, list[int]] = {}  # by transition: the events that take back from it
        # The latest of the log's own times, and where, until one falls.
        self._clock: tuple[int, int] | None = (0, 0)

    def append(self, item: PublicEntry) -> Iterator[Case]:
        entry = self._history.append(item)
        if entry.kind in OWN_TIMED:
            yield from self._check_clock(entry)
        name = entry.subject if entry.kind in (SETTLEMENT, OPENED) else entry.actor
        totals = self._totals.get(name)
        if totals is not None and entry.kind in (OUTCOME, OVER, REVERSAL, SETTLEMENT, OPENED):
            yield from self._first_proven(totals, self._candidates(totals, entry), entry)
            totals.append(entry)
        link = unpack_link(entry.payload)
        if entry.kind in (OUTCOME, OVER):
            # For any contract: no other one can be paid for the same transition.
            self._counted.setdefault(link.target, entry.position)
        elif entry.kind == REVERSAL:
            self._reversed.setdefault(link.cause, entry.position)
        elif entry.kind == PRODUCT_EVENT:
            said = opening_words(EventWords, item.opening)
            if said is not None and said.of:
                self._events.setdefault(said.of, []).append(entry.position)

    def _check_clock(self, entry: Words) -> Iterator[Case]:
        """Yield cases if a time goes back: one for each verifier that has signed above it."""
        if self._clock is None:
            return
        latest_ms, at = self._clock
        if entry.time_ms >= latest_ms:
            self._clock = (entry.time_ms, entry.position)
            return
        self._clock = None
        for totals in self._totals.values():
            yield from self._first_proven(totals, self._with(totals, "clock", entry, at), entry)

    def _first_proven(
        self, totals: _ContractTotals, candidates: Iterator[Case], entry: Words
    ) -> Iterator[Case]:
        """Yield the first candidate that holds, unless the contract needs or bears no more."""
        if entry.position > totals.record.last_signed or totals.is_disproved:
            return
        unopened: set[int] = set()
        for case in candidates:
            if disproves(case, self._history.contracts):
                totals.is_disproved = True
                yield case
                return
            check = partial(check_disproof, contracts=self._history.contracts)
            lacking = lacks_opening(case, check)
            if lacking is not None:
                unopened.add(lacking)
        self._unopened |= unopened

    # --- Candidates -------------------------------------------------------------------------------

    def _candidates(self, totals: _ContractTotals, entry: Words) -> Iterator[Case]:
        """Yield cases that prove something if they hold, those with the fewest exhibits first."""
        if entry.kind == OUTCOME:
            yield from self._of_totals(totals, entry)
            yield from self._of_outcome(totals, entry)
        elif entry.kind == OVER:
            yield from self._of_outcome(totals, entry)
        elif entry.kind == REVERSAL:
            yield from self._of_reversal(totals, entry)
        elif entry.kind == SETTLEMENT:
            yield from self._of_totals(totals, entry)
        elif totals.first_counted:
            yield from self._with(totals, "transition", entry, totals.first_counted)

    def _of_totals(self, totals: _ContractTotals, entry: Words) -> Iterator[Case]:
        """Yield cases against what an outcome or a statement says of the entries before it."""
        yield self._case(totals, "sum", entry)
        named = {totals.last_outcome}
        if entry.kind == OUTCOME:
            link = unpack_link(entry.payload)
            named.add(link.prev)
            earned = link.total - entry.value
        else:
            stated = unpack_statement(entry.payload)
            named |= {stated.last_outcome, stated.last_reversal, totals.last_reversal}
            earned = stated.earned
        for other in named - {0}:
            yield from self._with(totals, "sum", entry, other)
        if totals.over is not None:
            missing, over, reversal = totals.over
            if earned + missing <= totals.record.rules.budget_units:
                shown = [over, reversal] if reversal else [over]
                yield self._case(totals, "sum", entry, *map(self._history.exhibit, shown))

    def _of_outcome(self, totals: _ContractTotals, entry: Words) -> Iterator[Case]:
        link, lead, at_ms = unpack_link(entry.payload), entry.subject, entry.time_ms
        rules, history = totals.record.rules, self._history
        for other in {self._counted.get(link.target, 0), totals.leads.get(lead, 0)} - {0}:
            yield from self._with(totals, "duplicate", entry, other)
        case = self._case(totals, "transition", entry)
        yield case
        yield from self._with(totals, "transition", entry, link.target)
        is_below = link.cause < link.target
        if not (is_below and history.has_touch(rules, lead, link.cause, at_ms)):
            yield from self._with(totals, "touch", entry, link.cause)
        if is_below:
            yield from history.report_cases(case, link.cause)
        yield from history.rival_cases(case, lead, link.target, link.cause, at_ms)

    def _of_reversal(self, totals: _ContractTotals, entry: Words) -> Iterator[Case]:
        link = unpack_link(entry.payload)
        yield self._case(totals, "reversal", entry)
        known = {link.prev, totals.last_reversal, self._reversed.get(link.cause, 0)}
        for other in {link.target, link.cause} | known - {0}:
            yield from self._with(totals, "reversal", entry, other)
        if link.target < link.cause < entry.position:
            yield from self._of_event(totals, entry)
        total, outcome = totals.most
        if total > totals.record.rules.budget_units:
            yield from self._with(totals, "sum", entry, outcome)

    def _of_event(self, totals: _ContractTotals, entry: Words) -> Iterator[Case]:
        """Yield cases against a reversal by what its event says."""
        link, history = unpack_link(entry.payload), self._history
        event = history.opened_exhibit(link.cause)
        said = opening_words(EventWords, event.opening)
        if said is None:
            # What it takes back, only its opening says.
            yield self._case(totals, "reversal", entry, event, history.exhibit(link.target))
            return
        yield self._case(totals, "reversal", entry, event)
        if not 0 < said.of < event.position:
            return
        outcome, purchase = history.exhibit(link.target), history.opened_exhibit(said.of)
        yield self._case(totals, "reversal", entry, event, outcome, purchase)
        yield self._case(totals, "reversal", entry, event, purchase)
        events = self._events.get(said.of, [])
        place = bisect_left(events, event.position)
        for other in {said.previous, events[place - 1] if place else 0} - {0}:
            if other < event.position:
                shown = history.opened_exhibit(other)
                yield self._case(totals, "reversal", entry, event, shown)
        if said.order == 0:
            yield from self._of_skipped(totals, entry, event)

    def _of_skipped(self, totals: _ContractTotals, entry: Words, event: Exhibit) -> Iterator[Case]:
        """Yield the case that a later outcome of the lead should have been taken back."""
        link, history = unpack_link(entry.payload), self._history
        paid = totals.outcomes.get((entry.subject, entry.label), [])
        below = bisect_left(paid, link.cause)
        # Each that is passed over here needs a reversal of its own among the exhibits.
        for latest in reversed(paid[max(0, below - MAX_EXHIBITS) : below]):
            if latest > link.target and totals.left[latest] > 0:
                since = [at for at in totals.last_reversals if at > latest]
                shown = map(history.exhibit, [latest, *since])
                yield self._case(totals, "reversal", entry, event, *shown)
                return

    def _case(self, totals: _ContractTotals, kind: str, entry: Words, *others: Exhibit) -> Case:
        first = self._history.exhibit(entry.position)
        return Case(totals.record.rules.contract_id, kind, (first, *others))

    def _with(self, totals: _ContractTotals, kind: str, entry: Words, other: int) -> Iterator[Case]:
        """Yield the case with one more entry, if that stands below the first."""
        if other < entry.position:
            yield self._case(totals, kind, entry, self._history.exhibit(other))
