"""The memory of a search through the public log: the touches, openings and contracts so far.

It keeps what attribution itself must remember, touches by lead and operator. A `Source` gives
single entries out of order; it is asked only for what goes into a case, or stands far back.

A log may be written to be slow to search, and its times to run backwards, so no entry costs more
than the logarithm of what came before it, for each contract that competes.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.attribution import TouchAt
from orchestrator.core.contract import ContractRules
from orchestrator.core.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    NO_OPENING,
    OPENED,
    TOUCH,
    Case,
    ContractIndex,
    EscrowRecord,
    Exhibit,
    Words,
    read_words,
    words_of,
)
from orchestrator.core.evidence.touch_index import TouchIndex
from orchestrator.core.evidence.touches import needed_before
from orchestrator.core.kinds import encode
from orchestrator.core.opening import EventOpening, Record, encode_opening


class PublicEntry(NamedTuple):
    """An entry's 256 bytes as the log serves them, and the opening's words, or none of them."""

    data: bytes
    opening: bytes = b""


Source = Callable[[int], PublicEntry]  # by position

SHORT_HISTORY = 16  # touches; up to so many are scanned rather than indexed
RECENT = 256  # entries that are kept for the cases that come right behind them


def public_entry(record: Record) -> PublicEntry:
    """Return a record as the log serves it."""
    opening = b"" if record.opening is None else encode_opening(record.opening)
    return PublicEntry(encode(record.entry), opening)


@dataclass(slots=True)
class LogHistory:
    """The entries so far, as far as they concern any of these contracts."""

    contracts: ContractIndex
    source: Source
    size: int = 0
    markets: dict[object, list[EscrowRecord]] = field(default_factory=dict)
    watched: set[tuple[bytes, bytes]] = field(default_factory=set)  # surface, operator
    opened: dict[bytes, int] = field(default_factory=dict)  # where, by contract id
    touches: dict[tuple[bytes, bytes, bytes], list[TouchAt]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by surface, lead, operator
    indexes: dict[tuple[bytes, bytes, bytes, int], TouchIndex] = field(default_factory=dict)
    recent: deque[PublicEntry] = field(default_factory=lambda: deque(maxlen=RECENT))

    def __post_init__(self) -> None:
        for record in sorted(self.contracts.values(), key=lambda one: one.opening_number):
            self.markets.setdefault(record.market, []).append(record)
            self.watched.add((record.rules.surface, record.rules.operator))

    def append(self, item: PublicEntry, leads: Collection[bytes] | None = None) -> Words:
        """Take the next entry, and return it read. Touches of other leads are not kept."""
        entry = read_words(self.size, item.data)
        self.size += 1
        self.recent.append(item)
        if entry.kind == TOUCH:
            # The public log may hold any number of touches; kept are those that can decide a case.
            is_watched = (entry.surface, entry.actor) in self.watched
            if is_watched and (leads is None or entry.subject in leads):
                touches = self.touches[entry.surface, entry.subject, entry.actor]
                touches.append(TouchAt(entry.position, entry.time_ms))
        elif entry.kind == OPENED:
            # The first opening counts: a second entry cannot make the log know of it later.
            self.opened.setdefault(entry.subject, entry.position)
        return entry

    def entry_at(self, position: int) -> PublicEntry:
        """Return an entry that was taken before."""
        behind = self.size - position
        return self.recent[-behind] if behind <= len(self.recent) else self.source(position)

    def exhibit(self, position: int) -> Exhibit:
        """Return an entry that was taken before, as evidence."""
        return Exhibit(position, self.entry_at(position).data)

    # --- Touches of one operator ------------------------------------------------------------------

    def has_touch(self, rules: ContractRules, lead: bytes, touch: int, at_ms: int) -> bool:
        """Return whether this touch of the operator on this lead was taken and is young enough."""
        touches = self.touches.get((rules.surface, lead, rules.operator), [])
        # By position: times may run backwards, and -1 is below any of them.
        place = bisect_left(touches, TouchAt(touch, -1))
        if place == len(touches) or touches[place].position != touch:
            return False
        age_ms = at_ms - touches[place].time_ms
        is_young = 0 <= age_ms <= rules.attribution_window_ms
        return is_young and touches[place].time_ms >= rules.opens_at_ms

    def counting_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """Return the first or last touch that counts for a transition, as the rules attribute."""
        lead_key = rules.surface, lead, rules.operator
        touches = self.touches.get(lead_key, [])
        is_first = rules.attribution == "first_touch"
        # Nearly all histories are short, and to scan one is cheaper than to index it.
        if len(touches) <= SHORT_HISTORY:
            counting = [
                touch
                for touch in touches
                if touch.position < transition and rules.opens_at_ms <= touch.time_ms <= at_ms
            ]
            return counting[0 if is_first else -1] if counting else None
        key = *lead_key, rules.opens_at_ms
        index = self.indexes.get(key)
        if index is None:
            index = self.indexes[key] = TouchIndex(rules.opens_at_ms)
        index.extend(touches)
        return index.first(transition, at_ms) if is_first else index.last(transition, at_ms)

    def qualifying_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """Return the touch by which a contract may claim a transition, as `attribution` has it."""
        touch = self.counting_touch(rules, lead, transition, at_ms)
        if touch is None or at_ms - touch.time_ms > rules.attribution_window_ms:
            return None
        return touch

    # --- Competitors ------------------------------------------------------------------------------

    def rivals(self, record: EscrowRecord, transition: int, at_ms: int) -> Iterator[EscrowRecord]:
        """Yield the contracts that compete with this one for a transition, the oldest first."""
        for rival in self.markets[record.market]:
            if (
                rival is not record
                and rival.covers(at_ms)
                and not rival.is_closed_before(at_ms)
                and self.opened.get(rival.rules.contract_id, transition) < transition
            ):
                yield rival

    def better_touches(
        self, record: EscrowRecord, lead: bytes, transition: int, touch: int, at_ms: int
    ) -> Iterator[tuple[EscrowRecord | None, int]]:
        """Yield (rival or None for the contract itself, position) of touches before this one.

        Before it by the market's attribution. That a rival had counted the lead already is not
        looked at here.
        """
        is_first = record.rules.attribution == "first_touch"
        best = self.counting_touch(record.rules, lead, transition, at_ms)
        # The contract's own comes first: it needs the fewest exhibits.
        if best is not None and best.position != touch:
            yield None, best.position
        for rival in self.rivals(record, transition, at_ms):
            found = self.qualifying_touch(rival.rules, lead, transition, at_ms)
            if found is None:
                continue
            if found.position == touch:
                wins = rival.opening_number < record.opening_number
            else:
                wins = (found.position < touch) == is_first
            if wins:
                yield rival, found.position

    def rival_cases(
        self, case: Case, lead: bytes, transition: int, touch: int, at_ms: int
    ) -> Iterator[Case]:
        """Yield `case` with the exhibits of each touch that would come before this one.

        Its kind becomes `touch_order` for the contract's own touches, `rival` for others'.
        """
        record = self.contracts[case.contract_id]
        for rival, position in self.better_touches(record, lead, transition, touch, at_ms):
            if rival is None:
                exhibits = (*case.exhibits, self.exhibit(position))
                yield case._replace(kind="touch_order", exhibits=exhibits)
            elif not self._is_return(rival, transition):
                shown, opening = self._rival_exhibits(rival, position, transition, at_ms)
                yield case._replace(
                    kind="rival",
                    exhibits=(*case.exhibits, *shown),
                    rival=rival.rules.contract_id,
                    opening=opening,
                )

    def _is_return(self, rival: EscrowRecord, transition: int) -> bool:
        """Return whether the lead is known to have entered before, for a rival that counts once."""
        if rival.rules.repeatable or transition >= self.size:
            return False
        opening = self.entry_at(transition).opening
        return isinstance(opening, EventOpening) and opening.nth != 1

    def _rival_exhibits(
        self, rival: EscrowRecord, touch: int, transition: int, at_ms: int
    ) -> tuple[list[Exhibit], EventOpening]:
        """Return the exhibits of a rival's better touch, and the transition's opening if needed."""
        shown = [self.exhibit(touch), self.exhibit(self.opened[rival.rules.contract_id])]
        opening = NO_OPENING
        if not rival.rules.repeatable:
            shown.append(self.exhibit(transition))
            served = self.entry_at(transition).opening
            opening = served if isinstance(served, EventOpening) else NO_OPENING
        if rival.rules.attribution == "first_touch":
            before = needed_before(rival.rules, at_ms, words_of(shown[0]), words_of(shown[1]))
            if before is not None and before < touch:
                shown.append(self.exhibit(before))
        return shown, opening


def lacks_opening(case: Case, check: Callable[[Case], None]) -> bool:
    """Return whether the case fails for want of an opening that the server does not serve."""
    if case.kind != "rival":
        return False
    try:
        check(case)
    except EvidenceError as error:
        return error.code == "wrong-opening"
    return False
