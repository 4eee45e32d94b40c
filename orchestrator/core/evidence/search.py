"""Reading the whole public log for what can be proven: lies, claims, and what refutes a claim.

Each finder reads the entries once, in log order, and keeps what attribution itself must remember
(touches by lead and operator) and one number for each outcome. Where something looks false it
builds a case and has it judged as the chain would: what is found is proven. `Source` gives single
entries out of order; it is asked only for what goes into a case, or lies further back than usual.

A log may be written to be slow to search, and its times to run backwards, so no entry costs more
than the logarithm of what came before it, for each contract that competes.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from orchestrator.core.attribution import TouchAt
from orchestrator.core.contract import ContractRules
from orchestrator.core.entry import AMOUNT_LIMIT, WORD_BYTES, ascii_word
from orchestrator.core.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    MAX_EXHIBITS,
    NO_OPENING,
    OPENED,
    OUTCOME,
    OVER,
    OWN_TIMED,
    PUBLISHED,
    REFUSED,
    REVERSAL,
    SETTLEMENT,
    TOUCH,
    TRANSITION,
    Case,
    Claim,
    ContractIndex,
    EscrowRecord,
    Exhibit,
    Words,
    link,
    read,
    statement,
    words,
)
from orchestrator.core.evidence.rules import (
    check_disproof,
    check_refutation,
    contradicts,
    needed_before,
)
from orchestrator.core.evidence.touch_index import TouchIndex
from orchestrator.core.kinds import encode
from orchestrator.core.opening import EventOpening, Opening, Record


class PublicEntry(NamedTuple):
    """An entry's 256 bytes as the log serves them, and the opening beside it, if it has one."""

    data: bytes
    opening: Opening | None = None


Source = Callable[[int], PublicEntry]

SHORT_TRAIL = 16
RECENT = 256  # entries that are kept for the cases that come right behind them


def public(record: Record) -> PublicEntry:
    """A record as the public reads it."""
    return PublicEntry(encode(record.entry), record.opening)


# --- What is remembered ---------------------------------------------------------------------------


@dataclass(slots=True)
class _History:
    """What the entries so far said, as far as any of these contracts can be concerned by it."""

    docket: ContractIndex
    source: Source
    size: int = 0
    markets: dict[object, list[EscrowRecord]] = field(default_factory=dict)
    watched: set[tuple[bytes, bytes]] = field(default_factory=set)  # surface, operator
    opened: dict[bytes, int] = field(default_factory=dict)
    touches: dict[tuple[bytes, bytes, bytes], list[TouchAt]] = field(
        default_factory=lambda: defaultdict(list)
    )
    counting: dict[tuple[bytes, bytes, bytes, int], TouchIndex] = field(default_factory=dict)
    recent: deque[PublicEntry] = field(default_factory=lambda: deque(maxlen=RECENT))

    def __post_init__(self) -> None:
        for standing in sorted(self.docket.values(), key=lambda found: found.opening_number):
            self.markets.setdefault(standing.market, []).append(standing)
            self.watched.add((standing.rules.surface, standing.rules.operator))

    def take(self, item: PublicEntry, leads: Collection[bytes] | None = None) -> Words:
        """Move past the next entry, and return it. Touches of other leads are not kept."""
        entry = read(self.size, item.data)
        self.size += 1
        self.recent.append(item)
        if entry.kind == TOUCH:
            is_watched = (entry.surface, entry.actor) in self.watched
            if is_watched and (leads is None or entry.subject in leads):
                trail = self.touches[entry.surface, entry.subject, entry.actor]
                trail.append(TouchAt(entry.position, entry.time_ms))
        elif entry.kind == OPENED:
            self.opened.setdefault(entry.subject, entry.position)
        return entry

    def at(self, position: int) -> PublicEntry:
        """An entry that was passed."""
        behind = self.size - position
        return self.recent[-behind] if behind <= len(self.recent) else self.source(position)

    def exhibit(self, position: int) -> Exhibit:
        return Exhibit(position, self.at(position).data)

    def has_touch(self, rules: ContractRules, lead: bytes, touch: int, at_ms: int) -> bool:
        """Whether this touch of the operator on this lead was seen and is of the right time."""
        trail = self.touches.get((rules.surface, lead, rules.operator), [])
        place = bisect_left(trail, TouchAt(touch, -1))
        if place == len(trail) or trail[place].position != touch:
            return False
        age_ms = at_ms - trail[place].time_ms
        return (
            0 <= age_ms <= rules.attribution_window_ms and trail[place].time_ms >= rules.opens_at_ms
        )

    def counting_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """Of the operator's touches that count for a transition, the one that attribution asks."""
        trail_key = rules.surface, lead, rules.operator
        trail = self.touches.get(trail_key, [])
        is_first = rules.attribution == "first_touch"
        if len(trail) <= SHORT_TRAIL:  # as nearly all are: to look is cheaper than to remember
            found = [
                touch
                for touch in trail
                if touch.position < transition and rules.opens_at_ms <= touch.time_ms <= at_ms
            ]
            return found[0 if is_first else -1] if found else None
        key = *trail_key, rules.opens_at_ms
        counting = self.counting.get(key)
        if counting is None:
            counting = self.counting[key] = TouchIndex(rules.opens_at_ms)
        counting.take(trail)
        return counting.first(transition, at_ms) if is_first else counting.last(transition, at_ms)

    def qualifying_touch(
        self, rules: ContractRules, lead: bytes, transition: int, at_ms: int
    ) -> TouchAt | None:
        """The touch by which a contract may claim a transition, as `attribution` has it."""
        found = self.counting_touch(rules, lead, transition, at_ms)
        if found is None or at_ms - found.time_ms > rules.attribution_window_ms:
            return None
        return found

    def rivals(self, standing: EscrowRecord, transition: int, at_ms: int) -> Iterator[EscrowRecord]:
        """Contracts that compete with this one for a transition, in the order of opening."""
        for rival in self.markets[standing.market]:
            if (
                rival is not standing
                and rival.covers(at_ms)
                and not rival.is_closed_before(at_ms)
                and self.opened.get(rival.rules.contract_id, transition) < transition
            ):
                yield rival

    def better_touches(
        self, standing: EscrowRecord, lead: bytes, transition: int, touch: int, at_ms: int
    ) -> Iterator[tuple[EscrowRecord | None, int]]:
        """(rival or None for the contract itself, position) of touches that come before this one.

        Whether a rival had counted the lead already is not asked here.
        """
        is_first = standing.rules.attribution == "first_touch"
        best = self.counting_touch(standing.rules, lead, transition, at_ms)
        if best is not None and best.position != touch:
            yield None, best.position
        for rival in self.rivals(standing, transition, at_ms):
            found = self.qualifying_touch(rival.rules, lead, transition, at_ms)
            if found is None:
                continue
            if found.position == touch:
                wins = rival.opening_number < standing.opening_number
            else:
                wins = (found.position < touch) == is_first
            if wins:
                yield rival, found.position

    def is_return(self, rival: EscrowRecord, transition: int) -> bool:
        """Whether the lead is known to have been there before, for a rival that counts it once."""
        if rival.rules.repeatable or transition >= self.size:
            return False
        given = self.at(transition).opening
        return isinstance(given, EventOpening) and given.nth != 1

    def of_rival(
        self, rival: EscrowRecord, touch: int, transition: int, at_ms: int
    ) -> tuple[tuple[Exhibit, ...], bytes, EventOpening]:
        """Exhibits, rival and opening of a case by a rival's better touch."""
        opened = self.opened[rival.rules.contract_id]
        shown = [self.exhibit(touch), self.exhibit(opened)]
        opening = NO_OPENING
        if not rival.rules.repeatable:
            shown.append(self.exhibit(transition))
            given = self.at(transition).opening
            opening = given if isinstance(given, EventOpening) else NO_OPENING
        if rival.rules.attribution == "first_touch":
            before = needed_before(rival.rules, at_ms, words(shown[0]), words(shown[1]))
            if before is not None and before < touch:
                shown.append(self.exhibit(before))
        return tuple(shown), rival.rules.contract_id, opening


# --- Lies -----------------------------------------------------------------------------------------


def find_lie(entries: Iterable[PublicEntry], docket: ContractIndex, source: Source) -> Case | None:
    """The first provable contradiction in what a verifier has vouched for; None if there is none.

    `entries` are the log's from entry 0, at least to the highest `reach`; `docket` holds every
    contract that the escrow has for this log, competitors included.
    """
    return next(lies(entries, docket, source), None)


def lies(
    entries: Iterable[PublicEntry],
    docket: ContractIndex,
    source: Source,
    unopened: set[int] | None = None,
) -> Iterator[Case]:
    """A case against the verifier of each contract that the log disproves, in log order.

    One for each contract: a verifier is retired once. To `unopened` are added the transitions
    without whose openings nobody can tell whether a rival should have won.
    """
    watch = _StatementAudit(docket, source, set() if unopened is None else unopened)
    for item in entries:
        yield from watch.take(item)


@dataclass(slots=True)
class _ContractTotals:
    """A contract's entries so far, as positions in the log; 0 means none."""

    standing: EscrowRecord
    is_disproved: bool = False
    last_outcome: int = 0
    last_reversal: int = 0
    leads: dict[bytes, int] = field(default_factory=dict)  # where each was counted first
    reversed: dict[int, int] = field(default_factory=dict)  # by the outcome taken back
    outcomes: dict[tuple[bytes, bytes], list[int]] = field(default_factory=dict)  # lead, state
    last_reversals: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_EXHIBITS - 2))
    most: tuple[int, int] = (0, 0)  # the highest total of an outcome, and where
    earned_units: int = 0
    reversed_units: int = 0
    # What was over and would need the least room: how much, where, the reversal below it.
    over: tuple[int, int, int] | None = None
    first_counted: int = 0  # its first outcome or over entry


class _StatementAudit:
    """Looks at every entry that a verifier vouches for."""

    def __init__(self, docket: ContractIndex, source: Source, unopened: set[int]) -> None:
        self._past = _History(docket, source)
        self._unopened = unopened
        self._accounts = {name: _ContractTotals(standing) for name, standing in docket.items()}
        self._counted: dict[int, int] = {}  # by transition: where it was counted first
        self._reversed: dict[tuple[int, bytes], int] = {}  # by event and state: likewise
        # The latest of the log's own times, and where, until one falls.
        self._clock: tuple[int, int] | None = (0, 0)

    def take(self, item: PublicEntry) -> Iterator[Case]:
        entry = self._past.take(item)
        if entry.kind in OWN_TIMED:
            yield from self._of_clock(entry)
        name = entry.subject if entry.kind in (SETTLEMENT, OPENED) else entry.actor
        account = self._accounts.get(name)
        if account is not None and entry.kind in (OUTCOME, OVER, REVERSAL, SETTLEMENT, OPENED):
            yield from self._judged(account, self._suspicions(account, entry), entry)
            self._remember(account, entry)
        said = link(entry.payload)
        if entry.kind in (OUTCOME, OVER):
            # Whoever was paid: nobody else can be paid for the same.
            self._counted.setdefault(said.target, entry.position)
        elif entry.kind == REVERSAL:
            self._reversed.setdefault((said.cause, entry.label), entry.position)

    def _of_clock(self, entry: Words) -> Iterator[Case]:
        """A time that goes back is everybody's lie who has signed above it; the first will do."""
        if self._clock is None:
            return
        latest_ms, at = self._clock
        if entry.time_ms >= latest_ms:
            self._clock = (entry.time_ms, entry.position)
            return
        self._clock = None
        for account in self._accounts.values():
            yield from self._judged(account, self._with(account, "clock", entry, at), entry)

    def _judged(
        self, account: _ContractTotals, suspicions: Iterator[Case], entry: Words
    ) -> Iterator[Case]:
        if entry.position > account.standing.reach or account.is_disproved:
            return
        found = self._disproof(suspicions)
        if found is not None:
            account.is_disproved = True
            yield found

    def _disproof(self, suspicions: Iterator[Case]) -> Case | None:
        unopened = set()
        for case in suspicions:
            if contradicts(case, self._past.docket):
                return case
            if _lacks_opening(case, partial(check_disproof, docket=self._past.docket)):
                unopened.add(link(words(case.exhibits[0]).payload).target)
        self._unopened |= unopened
        return None

    def _remember(self, account: _ContractTotals, entry: Words) -> None:
        said = link(entry.payload)
        if entry.kind in (OUTCOME, OVER):
            account.first_counted = account.first_counted or entry.position
            if not account.standing.rules.repeatable:
                account.leads.setdefault(entry.subject, entry.position)
        if entry.kind == OUTCOME:
            account.last_outcome = entry.position
            account.outcomes.setdefault((entry.subject, entry.label), []).append(entry.position)
            account.earned_units = said.total
            account.most = max(account.most, (said.total, entry.position))
        elif entry.kind == OVER:
            missing = entry.value - account.reversed_units
            over = (missing, entry.position, account.last_reversal)
            if account.earned_units + entry.value < AMOUNT_LIMIT:  # else no sum could hold it
                account.over = min(account.over or over, over)
        elif entry.kind == REVERSAL:
            account.last_reversal = entry.position
            account.last_reversals.appendleft(entry.position)
            account.reversed_units = said.total
            account.reversed.setdefault(said.target, entry.position)

    def _suspicions(self, account: _ContractTotals, entry: Words) -> Iterator[Case]:
        """Cases that would prove something if they hold, the plainest first."""
        if entry.kind == OUTCOME:
            yield from self._of_totals(account, entry)
            yield from self._of_outcome(account, entry)
        elif entry.kind == OVER:
            yield from self._of_outcome(account, entry)
        elif entry.kind == REVERSAL:
            yield from self._of_reversal(account, entry)
        elif entry.kind == SETTLEMENT:
            yield from self._of_totals(account, entry)
        elif account.first_counted:
            yield from self._with(account, "transition", entry, account.first_counted)

    def _of_totals(self, account: _ContractTotals, entry: Words) -> Iterator[Case]:
        """What an outcome or a statement says of all that was before it."""
        yield self._case(account, "sum", entry)
        named = {account.last_outcome}
        if entry.kind == OUTCOME:
            said = link(entry.payload)
            named.add(said.prev)
            earned = said.total - entry.value
        else:
            stated = statement(entry.payload)
            named |= {stated.last_outcome, stated.last_reversal, account.last_reversal}
            earned = stated.earned
        for other in named - {0}:
            yield from self._with(account, "sum", entry, other)
        if account.over is not None:
            missing, over, reversal = account.over
            if earned + missing <= account.standing.rules.budget_units:
                shown = [over, reversal] if reversal else [over]
                yield self._case(account, "sum", entry, *map(self._past.exhibit, shown))

    def _of_outcome(self, account: _ContractTotals, entry: Words) -> Iterator[Case]:
        said, lead, at_ms = link(entry.payload), entry.subject, entry.time_ms
        standing = account.standing
        for other in {self._counted.get(said.target, 0), account.leads.get(lead, 0)} - {0}:
            yield from self._with(account, "duplicate", entry, other)
        yield self._case(account, "transition", entry)
        yield from self._with(account, "transition", entry, said.target)
        is_below = said.cause < said.target
        if not (is_below and self._past.has_touch(standing.rules, lead, said.cause, at_ms)):
            yield from self._with(account, "touch", entry, said.cause)
        better = self._past.better_touches(standing, lead, said.target, said.cause, at_ms)
        for rival, touch in better:
            if rival is None:
                yield self._case(account, "touch_order", entry, self._past.exhibit(touch))
            elif not self._past.is_return(rival, said.target):
                shown, name, opening = self._past.of_rival(rival, touch, said.target, at_ms)
                case = self._case(account, "rival", entry, *shown)
                yield case._replace(rival=name, opening=opening)

    def _of_reversal(self, account: _ContractTotals, entry: Words) -> Iterator[Case]:
        said = link(entry.payload)
        yield self._case(account, "reversal", entry)
        known = {
            said.prev,
            account.last_reversal,
            account.reversed.get(said.target, 0),
            self._reversed.get((said.cause, entry.label), 0),
        }
        for other in {said.target, said.cause} | known - {0}:
            yield from self._with(account, "reversal", entry, other)
        paid = account.outcomes.get((entry.subject, entry.label), [])
        below = bisect_left(paid, said.cause)
        # Each that is passed over here needs a reversal of its own among the exhibits.
        for latest in reversed(paid[max(0, below - MAX_EXHIBITS + 1) : below]):
            if latest > said.target and latest not in account.reversed:
                since = [at for at in account.last_reversals if at > latest]
                shown = map(self._past.exhibit, [latest, *since])
                yield self._case(account, "reversal", entry, *shown)
                break
        total, outcome = account.most
        if total > account.standing.rules.budget_units:
            yield from self._with(account, "sum", entry, outcome)

    def _case(self, account: _ContractTotals, kind: str, entry: Words, *others: Exhibit) -> Case:
        accused = self._past.exhibit(entry.position)
        return Case(account.standing.rules.contract_id, kind, (accused, *others))

    def _with(
        self, account: _ContractTotals, kind: str, entry: Words, other: int
    ) -> Iterator[Case]:
        """The case with one more entry, if that stands below the accused."""
        if other < entry.position:
            yield self._case(account, kind, entry, self._past.exhibit(other))


# --- Claims ---------------------------------------------------------------------------------------


def find_claims(
    entries: Iterable[PublicEntry],
    docket: ContractIndex,
    contract_id: bytes,
    room_units: int,
    filed: Collection[bytes] = (),
) -> list[Claim]:
    """What the operator of a contract is owed by the log's facts and no final statement answers.

    In log order, each within what is left of `room_units` (the budget less the final net and what
    is claimed); `filed` are the keys that were claimed already. Left out is what the rules do not
    give: transitions from before the log knew the contract or under another policy, those that a
    competitor wins, and outcomes that the log has taken back.
    """
    standing = docket[contract_id]
    if standing.closed_at_s:
        return []
    search = _ClaimSearch(docket, standing)
    for item in entries:
        search.take(item)
    claims = []
    for claim in search.found.values():
        key = claim.key(standing.rules)
        if key in search.settled or key in filed or claim.amount > room_units:
            continue
        room_units -= claim.amount
        claims.append(claim)
    return claims


class _ClaimSearch:
    """Awards the transitions that one contract is for, and sees which were answered."""

    def __init__(self, docket: ContractIndex, standing: EscrowRecord) -> None:
        self.found: dict[bytes, Claim] = {}
        self.settled: set[bytes] = set()
        self._standing = standing
        self._past = _History(docket, _nowhere)
        self._market = {rival.rules.contract_id for rival in self._past.markets[standing.market]}
        self._counted: set[tuple[bytes, bytes]] = set()
        self._keys: dict[int, bytes] = {}  # of the contract's outcomes that are not final
        self._is_governed = False

    def take(self, item: PublicEntry) -> None:
        entry, rules = self._past.take(item), self._standing.rules
        if entry.kind == TRANSITION:
            self._award(entry)
        elif entry.kind in (OUTCOME, OVER, REFUSED) and entry.actor in self._market:
            if entry.kind != REFUSED:
                self._counted.add((entry.actor, entry.subject))
            if entry.actor == rules.contract_id:
                self._answer(entry)
        elif entry.is_of(rules.contract_id, REVERSAL):
            key = self._keys.pop(link(entry.payload).target, None)
            if key is not None:
                self.settled.add(key)
        elif entry.kind == PUBLISHED and entry.surface == rules.surface:
            in_force = (entry.actor, entry.subject)
            self._is_governed = in_force == (rules.owner, rules.policy_hash)

    def _award(self, event: Words) -> None:
        rules, lead, at_ms = self._standing.rules, event.subject, event.time_ms
        is_known = self._past.opened.get(rules.contract_id, event.position) < event.position
        if not (
            is_known
            and self._is_governed
            and self._standing.covers(at_ms)
            and event.surface == rules.surface
            and event.actor == rules.owner
            and event.label == ascii_word(rules.outcome)
        ):
            return
        touch = self._past.qualifying_touch(rules, lead, event.position, at_ms)
        amount = rules.amount_units(event.value)
        if touch is None or amount >= AMOUNT_LIMIT:
            return
        better = self._past.better_touches(
            self._standing, lead, event.position, touch.position, at_ms
        )
        for rival, _ in better:
            # The operator's own better touch does not occur: `touch` is its best.
            if rival is None or not self._has_counted(rival, lead):
                return
        claim = Claim(lead, amount, event.position, touch.position, at_ms)
        self.found.setdefault(claim.key(rules), claim)

    def _has_counted(self, rival: EscrowRecord, lead: bytes) -> bool:
        return not rival.rules.repeatable and (rival.rules.contract_id, lead) in self._counted

    def _answer(self, entry: Words) -> None:
        key = _key(self._standing, entry)
        if entry.position <= self._standing.floor:
            self.settled.add(key)
        else:
            self._keys[entry.position] = key


def refutations(
    entries: Iterable[PublicEntry],
    docket: ContractIndex,
    contract_id: bytes,
    claims: Mapping[bytes, Claim],
    source: Source,
    unopened: set[int] | None = None,
) -> Iterator[tuple[bytes, Case]]:
    """What the log says against filed claims, each with its key; nothing for what it cannot refute.

    `claims` are those of one contract, by key. To `unopened` are added the transitions without
    whose openings nobody can tell whether a rival should have won.
    """
    standing, past = docket[contract_id], _History(docket, source)
    answers: dict[bytes, int] = {}
    gifts: dict[int, Words] = {}
    leads = {claim.lead for claim in claims.values()}
    transitions = {claim.transition for claim in claims.values()}
    last = max([standing.floor, *(transition + 1 for transition in transitions)])
    for item in entries:
        entry = past.take(item, leads)
        is_final = entry.position <= standing.floor
        if is_final and entry.kind in (OUTCOME, OVER, REFUSED) and entry.actor == contract_id:
            answers.setdefault(_key(standing, entry), entry.position)
        if entry.position - 1 in transitions and _is_gift(entry, contract_id):
            gifts[entry.position - 1] = entry
        if entry.position >= last:
            break
    for key, claim in claims.items():
        is_unopened = False
        answer = answers.get(claim.key(standing.rules), 0)
        gift = gifts.get(claim.transition)
        for case in _objections(past, standing, claim, answer, gift):
            if _is_refuted(case, claim, docket):
                yield key, case
                break
            check = partial(check_refutation, claim=claim, docket=docket)
            is_unopened |= _lacks_opening(case, check)
        else:
            if is_unopened and unopened is not None:
                unopened.add(claim.transition)


def _key(standing: EscrowRecord, answer: Words) -> bytes:
    """The key of the claim that an entry about an outcome answers; see `Claim.key`."""
    if standing.rules.repeatable:
        return link(answer.payload).target.to_bytes(WORD_BYTES)
    return answer.subject


def _is_gift(entry: Words, contract_id: bytes) -> bool:
    """Whether the log gives the transition directly below this entry to another contract."""
    return (
        entry.kind in (OUTCOME, OVER)
        and entry.actor != contract_id
        and link(entry.payload).target == entry.position - 1
    )


def _taken(contract_id: bytes, past: _History, gift: Words) -> Iterator[Case]:
    """That another contract got what is claimed, if that can be shown."""
    opened, touch = past.opened.get(gift.actor), link(gift.payload).cause
    if opened is not None and touch < gift.position:
        shown = map(past.exhibit, (gift.position, touch, opened))
        yield Case(contract_id, "taken", tuple(shown), gift.actor)


def _objections(
    past: _History, standing: EscrowRecord, claim: Claim, answer: int, gift: Words | None
) -> Iterator[Case]:
    """Cases that would refute the claim if they hold, those with the fewest exhibits first."""
    case = Case(standing.rules.contract_id, "answered", ())
    if answer:
        yield case._replace(exhibits=(past.exhibit(answer),))
    if gift is not None:
        yield from _taken(standing.rules.contract_id, past, gift)
    better = past.better_touches(standing, claim.lead, claim.transition, claim.touch, claim.time_ms)
    for rival, touch in better:
        if rival is None:
            yield case._replace(kind="touch_order", exhibits=(past.exhibit(touch),))
        elif not past.is_return(rival, claim.transition):
            shown, name, opening = past.of_rival(rival, touch, claim.transition, claim.time_ms)
            yield case._replace(kind="rival", exhibits=shown, rival=name, opening=opening)


def _is_refuted(case: Case, claim: Claim, docket: ContractIndex) -> bool:
    try:
        check_refutation(case, claim, docket)
    except EvidenceError:
        return False
    return True


def _lacks_opening(case: Case, check: Callable[[Case], None]) -> bool:
    """Whether the case fails for want of an opening that the server does not give."""
    if case.kind != "rival":
        return False
    try:
        check(case)
    except EvidenceError as error:
        return error.code == "wrong-opening"
    return False


def _nowhere(position: int) -> PublicEntry:
    raise EvidenceError("entry-needless", f"no case needs entry {position}")
