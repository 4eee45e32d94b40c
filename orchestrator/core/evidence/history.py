"""The memory of a search through the public log: the touches, openings and contracts so far.

It keeps what attribution itself must remember, touches by lead and operator. A `EntrySource` gives
single entries out of order; it is asked only for what goes into a case, or stands far back.

A log may be written to be slow to search, and its times to go back. So on the whole no entry costs
more than the square of the logarithm of what came before it, for each contract that competes.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.entries.kinds import encode
from orchestrator.core.evidence.exhibits import (
    CODE,
    CODE_END,
    MAX_EXHIBITS,
    OPENED,
    OUTCOME,
    OVER,
    PRODUCT_EVENT,
    REPORTED,
    TOUCHES,
    TRANSITION,
    Case,
    ContractIndex,
    EscrowRecord,
    Exhibit,
    ReportWords,
    TransitionWords,
    Words,
    opening_words,
    read_words,
    words_of,
)
from orchestrator.core.evidence.touch_index import TouchIndex
from orchestrator.core.evidence.touches import is_own_touch, is_visit, needed_before
from orchestrator.core.log.opening import Record, encode_opening
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.world.contract import ContractRules


class PublicEntry(NamedTuple):
    """An entry's 256 bytes as the log serves them, and the opening's words, or none of them."""

    data: bytes
    opening: bytes = b""


EntrySource = Callable[[int], PublicEntry]  # by position

RECENT = 256  # entries that are kept for the cases that come right behind them


def public_entry(record: Record) -> PublicEntry:
    """Return a record as the log serves it."""
    opening = b"" if record.opening is None else encode_opening(record.opening)
    return PublicEntry(encode(record.entry), opening)


@dataclass(slots=True)
class LogHistory:
    """The entries so far, as far as they concern any of these contracts."""

    contracts: ContractIndex
    source: EntrySource
    size: int = 0
    markets: dict[object, list[EscrowRecord]] = field(default_factory=dict)
    watched: set[tuple[bytes, bytes]] = field(default_factory=set)  # surface, operator
    opened: dict[bytes, int] = field(default_factory=dict)  # where, by contract id
    touches: dict[tuple[bytes, bytes, bytes], TouchIndex] = field(
        default_factory=lambda: defaultdict(TouchIndex)
    )  # by surface, lead, operator
    reported: set[int] = field(default_factory=set)  # the positions of those that others reported
    ended: dict[tuple[bytes, bytes], int] = field(default_factory=dict)  # where, by surface, code
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
        if entry.kind in TOUCHES:
            # The public log may hold any number of touches; kept are those that can decide a case.
            is_watched = (entry.surface, entry.actor) in self.watched
            if is_watched and (leads is None or entry.subject in leads):
                touches = self.touches[entry.surface, entry.subject, entry.actor]
                touches.add(TouchAt(entry.position, entry.time_ms))
                if entry.kind == REPORTED:
                    self.reported.add(entry.position)
        elif entry.kind == OPENED:
            # The first opening counts: a second entry cannot make the log know of it later.
            self.opened.setdefault(entry.subject, entry.position)
        elif entry.kind == CODE_END:
            self.ended.setdefault((entry.surface, entry.subject), entry.position)
        return entry

    def entry_at(self, position: int) -> PublicEntry:
        """Return an entry that was taken before."""
        behind = self.size - position
        return self.recent[-behind] if behind <= len(self.recent) else self.source(position)

    def exhibit(self, position: int) -> Exhibit:
        """Return an entry that was taken before, as evidence."""
        return Exhibit(position, self.entry_at(position).data)

    def opened_exhibit(self, position: int) -> Exhibit:
        """Return an entry that was taken before, with its opening, if the log serves that."""
        return Exhibit(position, *self.entry_at(position))

    # --- Touches of one operator ------------------------------------------------------------------

    def has_touch(self, rules: ContractRules, lead: bytes, touch: int, at_ms: int) -> bool:
        """Return whether this touch of the operator on this lead was taken and is young enough."""
        touches = self.touches.get((rules.surface, lead, rules.operator))
        found = None if touches is None else touches.at(touch)
        if found is None or found.time_ms < rules.opens_at_ms:
            return False
        return 0 <= at_ms - found.time_ms <= rules.attribution_window_ms

    def leading_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """Return the touch that attribution looks at: the first that counts, or the last that
        qualifies."""
        touches = self.touches.get((rules.surface, lead, rules.operator))
        if touches is None:
            return None
        if rules.attribution == "first_touch":
            return touches.first(transition, rules.opens_at_ms, at_ms)
        since_ms = max(rules.opens_at_ms, at_ms - rules.attribution_window_ms)
        return touches.last(transition, since_ms, at_ms)

    def qualifying_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """Return the touch by which a contract may claim a transition, as `attribution` has it."""
        touch = self.leading_touch(rules, lead, transition, at_ms)
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
        best = self.leading_touch(record.rules, lead, transition, at_ms)
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
            else:
                shown = self._rival_exhibits(rival, lead, position, transition, at_ms)
                yield case._replace(
                    kind="rival",
                    exhibits=(*case.exhibits, *shown),
                    rival=rival.rules.contract_id,
                )

    def report_cases(self, case: Case, touch: int) -> Iterator[Case]:
        """Yield `case` as one of kind `cause`, with a touch if that was reported, and its cause.

        If that is a code, its end follows, if it has one.
        """
        if touch not in self.reported:
            return
        shown = self.opened_exhibit(touch)
        case = case._replace(kind="cause", exhibits=(*case.exhibits, shown))
        yield case
        said = opening_words(ReportWords, shown.opening)
        if said is None or said.cause >= touch:
            return
        cause = self.opened_exhibit(said.cause)
        case = case._replace(exhibits=(*case.exhibits, cause))
        yield case
        code = words_of(cause)
        end = self.ended.get((code.surface, code.subject))
        if end is not None:
            yield case._replace(exhibits=(*case.exhibits, self.exhibit(end)))

    def _rival_exhibits(
        self, rival: EscrowRecord, lead: bytes, touch: int, transition: int, at_ms: int
    ) -> list[Exhibit]:
        """Return the exhibits of a rival's better touch, as far as they are needed and fit."""
        shown = [self.exhibit(touch), self.exhibit(self.opened[rival.rules.contract_id])]
        if not rival.rules.repeatable:
            shown += self._visits(rival, lead, transition, shown[1].position)
        if rival.rules.attribution == "first_touch":
            shown += self._touches_before(rival, lead, at_ms, shown[0], shown[1])
        return shown

    def _visits(
        self, rival: EscrowRecord, lead: bytes, transition: int, opened: int
    ) -> Iterator[Exhibit]:
        """Yield the transition, and what counted the lead before it since the rival opened."""
        for _ in range(MAX_EXHIBITS // 2):
            if transition >= self.size:
                return
            entered = self.opened_exhibit(transition)
            yield entered
            said = opening_words(TransitionWords, entered.opening)
            if said is None or not opened < said.counted < transition:
                return
            outcome = self.exhibit(said.counted)
            yield outcome
            if not is_visit(rival.rules, lead, words_of(outcome), OUTCOME, OVER):
                return
            transition = said.counted - 1

    def _touches_before(
        self, rival: EscrowRecord, lead: bytes, at_ms: int, touch: Exhibit, opened: Exhibit
    ) -> Iterator[Exhibit]:
        """Yield the touches before this one that show it to be the first that counts."""
        for _ in range(MAX_EXHIBITS):
            before = needed_before(rival.rules, at_ms, words_of(touch), words_of(opened))
            if before is None:
                return
            touch = self.exhibit(before)
            yield touch
            if not is_own_touch(rival.rules, lead, words_of(touch)):
                return


def lacks_opening(case: Case, check: Callable[[Case], object]) -> int | None:
    """Return the entry for want of whose opening, which no server gave, the case fails; or None."""
    try:
        check(case)
    except EvidenceError as error:
        if error.code == "opening-length":
            return next((one.position for one in case.exhibits if _is_unopened(one)), None)
    return None


def _is_unopened(shown: Exhibit) -> bool:
    kinds = (TRANSITION, PRODUCT_EVENT, REPORTED, CODE)
    return not shown.opening and words_of(shown).kind in kinds
