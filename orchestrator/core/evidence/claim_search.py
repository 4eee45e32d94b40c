"""The search for claims that the log's facts give, and for what refutes a claim that was filed."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.deals.escrow_model import ProvenReversal
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    OVER,
    PRODUCT_EVENT,
    PROVEN,
    PUBLISHED,
    REFUSED,
    REVERSAL,
    TRANSITION,
    Case,
    Claim,
    ContractIndex,
    EscrowRecord,
    EventWords,
    Words,
    claim_key,
    opening_words,
    read_words,
    unpack_link,
)
from orchestrator.core.evidence.history import EntrySource, LogHistory, PublicEntry, lacks_opening
from orchestrator.core.evidence.reversals import takes_back
from orchestrator.core.evidence.rules import (
    check_proven_reversal,
    check_refutation,
    is_paid_for,
)
from orchestrator.core.evidence.touches import Entitlement
from orchestrator.core.world.purchase import taken_units

# --- Claims ---------------------------------------------------------------------------------------


def find_claims(
    entries: Iterable[PublicEntry],
    contracts: ContractIndex,
    contract_id: bytes,
    room_units: int,
    filed: Collection[bytes] = (),
) -> list[Claim]:
    """Return what the log's facts owe to a contract's operator, and no final statement answers.

    In log order, each within what is left of `room_units` (the budget less the final net and what
    is claimed); `filed` are the keys that were claimed already. Left out is what the rules do not
    give: transitions from before the log knew the contract or under another policy, those that a
    competitor wins, later ones of a lead that counts once (whatever became of the first), those
    that are worth nothing, and what events have taken back as a whole. Of what they have taken back
    in part all is claimed, and anyone can have the claim lowered. An outcome that was over the
    budget is owed like any other, as far as there is room again; of its purchase only refunds by
    order take, and no reversal says so.
    """
    record = contracts[contract_id]
    if record.closed_at_s:
        return []
    search = _ClaimSearch(contracts, record)
    for item in entries:
        search.append(item)
    claims = []
    for claim in search.found.values():
        key = claim.key(record.rules)
        if key in search.answered or key in filed or claim.amount > room_units:
            continue
        if claim.amount == 0 or claim.transition in search.taken_back:
            continue
        room_units -= claim.amount
        claims.append(claim)
    return claims


class _ClaimSearch:
    """The transitions that one contract is owed, by claim key, and the keys that were answered."""

    def __init__(self, contracts: ContractIndex, record: EscrowRecord) -> None:
        self.found: dict[bytes, Claim] = {}
        self.answered: set[bytes] = set()
        self._record = record
        self._history = LogHistory(contracts, _no_source)
        self._market = {rival.rules.contract_id for rival in self._history.markets[record.market]}
        self._counted: set[tuple[bytes, bytes]] = set()  # contract, lead
        self.taken_back: set[int] = set()  # transitions of which events have left nothing
        # By transition: the claim to it, and its value.
        self._entered: dict[int, tuple[Claim, int]] = {}
        # By position, of outcomes that are not final: the key, and what reversals leave of each.
        self._unanswered: dict[int, tuple[bytes, int]] = {}
        self._is_policy_in_force = False

    def append(self, item: PublicEntry) -> None:
        """Take the log's next entry."""
        entry, rules = self._history.append(item), self._record.rules
        if entry.kind == TRANSITION:
            self._take_transition(entry)
        elif entry.kind in (OUTCOME, OVER, REFUSED) and entry.actor in self._market:
            if entry.kind != REFUSED:
                self._counted.add((entry.actor, entry.subject))
            if entry.actor == rules.contract_id:
                self._take_answer(entry)
        elif entry.is_of(rules.contract_id, REVERSAL):
            self._take_reversal(entry)
        elif entry.kind == PRODUCT_EVENT and entry.surface == rules.surface:
            self._take_event(entry, item.opening)
        elif entry.kind == PUBLISHED and entry.surface == rules.surface:
            in_force = (entry.actor, entry.subject)
            self._is_policy_in_force = in_force == (rules.owner, rules.policy_hash)

    def _take_transition(self, event: Words) -> None:
        rules, lead, at_ms = self._record.rules, event.subject, event.time_ms
        is_known = self._history.opened.get(rules.contract_id, event.position) < event.position
        if not (is_known and self._is_policy_in_force and is_paid_for(self._record, event)):
            return
        touch = self._history.qualifying_touch(rules, lead, event.position, at_ms)
        amount = rules.amount_units(event.value)
        if touch is None or amount >= AMOUNT_LIMIT:
            return
        better = self._history.better_touches(
            self._record, lead, event.position, touch.position, at_ms
        )
        # A rival with a better touch wins, unless it counts a lead once and has counted this one.
        for rival, _ in better:
            # The operator's own better touch does not occur: `touch` is its best.
            if rival is None or not self._has_counted(rival, lead):
                return
        claim = Claim(lead, amount, event.position, touch.position, at_ms)
        if self.found.setdefault(claim.key(rules), claim) is claim:
            self._entered[event.position] = claim, event.value

    def _has_counted(self, rival: EscrowRecord, lead: bytes) -> bool:
        return not rival.rules.repeatable and (rival.rules.contract_id, lead) in self._counted

    def _take_answer(self, entry: Words) -> None:
        key = _answered_key(self._record, entry)
        if entry.position <= self._record.last_final:
            self.answered.add(key)
        else:
            self._unanswered[entry.position] = key, entry.value

    def _take_reversal(self, reversal: Words) -> None:
        """Note that what was paid and reversed is not owed, even if neither is final yet."""
        target = unpack_link(reversal.payload).target
        key, left = self._unanswered.get(target, (b"", 0))
        if key:
            self._unanswered[target] = key, left - reversal.value
            if left <= reversal.value:
                self.answered.add(key)

    def _take_event(self, event: Words, opening: bytes) -> None:
        """Note a transition of which the event leaves nothing to a claim."""
        said = opening_words(EventWords, opening)
        claim, value = self._entered.get(0 if said is None else said.of, (None, 0))
        if said is None or claim is None:
            return
        if claim.amount <= _taken_units(self._record, claim, event, said, value):
            self.taken_back.add(claim.transition)


def _taken_units(
    record: EscrowRecord, claim: Claim, event: Words, said: EventWords, value: int
) -> int:
    """Return how much of a claim's whole amount an event takes back, with all before it.

    `value` is that of the claim's transition. It takes nothing if it is of another lead, or late.
    """
    rules = record.rules
    entitled = Entitlement(claim.lead, claim.transition, claim.touch, claim.time_ms)
    if not takes_back(record, entitled, event, said):
        return 0
    amount = rules.amount_units(value)
    return amount if said.whole == 1 else taken_units(rules, amount, value, said.refunded_after)


# --- Refutations ----------------------------------------------------------------------------------


ClaimsOf = Mapping[bytes, Mapping[bytes, Claim]]  # by contract, each by its key


def find_refutations(
    entries: Iterable[PublicEntry],
    contracts: ContractIndex,
    claims: ClaimsOf,
    source: EntrySource,
    unopened: set[int] | None = None,
) -> Iterator[tuple[bytes, Case]]:
    """Yield what the log holds against filed claims: (key, case) for each that it refutes.

    The entries are read once for all of them, and what is found comes in the order of the claims.
    Added to `unopened` are the entries without whose openings it cannot be told whether a claim is
    unfounded.
    """
    search = _RefutationSearch(contracts, claims, source)
    for item in entries:
        search.append(item)
    for contract_id, own in claims.items():
        for key, claim in own.items():
            lacking: set[int] = set()
            check = partial(check_refutation, claim=claim, contracts=contracts)
            for case in search.objections(contract_id, claim):
                if _is_refuted(case, claim, contracts):
                    yield key, case
                    break
                missing = lacks_opening(case, check)
                if missing is not None:
                    lacking.add(missing)
            else:
                if unopened is not None:
                    unopened |= lacking


class _RefutationSearch:
    """The log's word of filed claims: no more than a few facts about each."""

    def __init__(self, contracts: ContractIndex, claims: ClaimsOf, source: EntrySource) -> None:
        self._history = LogHistory(contracts, source)
        self._leads: set[bytes] = set()
        self._records = {name: contracts[name] for name in claims}
        self._surfaces = {record.rules.surface for record in self._records.values()}
        # By transition: the claims to it, with their contracts.
        self._claimed: dict[int, list[tuple[EscrowRecord, Claim]]] = {}
        # By contract and key: the position of its final answer, 0 while there is none.
        self._answers: dict[tuple[bytes, bytes], int] = {}
        self._values: dict[int, int] = {}  # by transition
        self._given: dict[int, Words] = {}  # by transition: the entry that gives it to a contract
        # By contract and lead: the first visit by which the log counts it, where it does so once.
        self._counted: dict[tuple[bytes, bytes], Entitlement] = {}
        # By contract and transition: the most that an event takes back of the claim, and which.
        self._reversed_by: dict[tuple[bytes, int], tuple[int, int]] = {}
        for name, own in claims.items():
            for claim in own.values():
                self._leads.add(claim.lead)
                self._claimed.setdefault(claim.transition, []).append((contracts[name], claim))
                self._answers[name, claim.key(contracts[name].rules)] = 0

    # --- Reading ----------------------------------------------------------------------------------

    def append(self, item: PublicEntry) -> None:
        """Take the log's next entry."""
        entry = self._history.append(item, self._leads)
        if entry.kind in (OUTCOME, OVER, REFUSED):
            self._take_answer(entry)
        if entry.position in self._claimed:
            self._values[entry.position] = entry.value
        elif entry.kind == PRODUCT_EVENT and entry.surface in self._surfaces:
            self._take_event(entry, item.opening)

    def _take_answer(self, entry: Words) -> None:
        record, before = self._records.get(entry.actor), entry.position - 1
        if record is not None and entry.position <= record.last_final:
            name = entry.actor, _answered_key(record, entry)
            if self._answers.get(name) == 0:
                self._answers[name] = entry.position
        if entry.kind == REFUSED:
            return
        if record is not None and entry.subject in self._leads:
            self._take_counted(record, entry)
        if before in self._claimed and unpack_link(entry.payload).target == before:
            self._given[before] = entry

    def _take_counted(self, record: EscrowRecord, outcome: Words) -> None:
        """Note the first visit, directly below what counts it, that could have been claimed."""
        rules, lead, transition = record.rules, outcome.subject, outcome.position - 1
        name = rules.contract_id, lead
        is_known = self._history.opened.get(rules.contract_id, transition) < transition
        if rules.repeatable or name in self._counted or not is_known:
            return
        entered = read_words(transition, self._history.entry_at(transition).data)
        if entered.subject == lead and is_paid_for(record, entered):
            touch = self._history.qualifying_touch(rules, lead, transition, entered.time_ms)
            if touch is not None:
                self._counted[name] = Entitlement(lead, transition, touch.position, entered.time_ms)

    def _take_event(self, event: Words, opening: bytes) -> None:
        said = opening_words(EventWords, opening)
        if said is None or said.of not in self._values:
            return
        for record, claim in self._claimed[said.of]:
            if record.rules.surface == event.surface:
                units = _taken_units(record, claim, event, said, self._values[said.of])
                name = record.rules.contract_id, said.of
                most = self._reversed_by.get(name, (0, 0))
                self._reversed_by[name] = max(most, (units, event.position))

    # --- Showing ----------------------------------------------------------------------------------

    def objections(self, contract_id: bytes, claim: Claim) -> Iterator[Case]:
        """Yield cases that refute a contract's claim if they hold, those that drop it first."""
        history, case = self._history, Case(contract_id, "answered", ())
        answer = self._answers[contract_id, claim.key(self._records[contract_id].rules)]
        if answer:
            yield case._replace(exhibits=(history.exhibit(answer),))
        yield from self._taken_cases(case, claim)
        yield from self._earlier_cases(case, claim)
        yield from history.report_cases(case, claim.touch)
        yield from history.rival_cases(
            case, claim.lead, claim.transition, claim.touch, claim.time_ms
        )
        _, event = self._reversed_by.get((contract_id, claim.transition), (0, 0))
        if event:
            shown = history.opened_exhibit(event)
            yield case._replace(kind="reversed", exhibits=(shown,))
            exhibits = (shown, history.opened_exhibit(claim.transition))
            yield case._replace(kind="reversed", exhibits=exhibits)

    def _taken_cases(self, case: Case, claim: Claim) -> Iterator[Case]:
        other = self._given.get(claim.transition)
        if other is not None and other.actor != case.contract_id:
            opened, touch = self._history.opened.get(other.actor), unpack_link(other.payload).cause
            if opened is not None and touch < other.position:
                exhibits = tuple(map(self._history.exhibit, (other.position, touch, opened)))
                yield case._replace(kind="taken", exhibits=exhibits, rival=other.actor)

    def _earlier_cases(self, case: Case, claim: Claim) -> Iterator[Case]:
        visit = self._counted.get((case.contract_id, claim.lead))
        if visit is not None and visit.transition < claim.transition:
            opened = self._history.opened[case.contract_id]
            positions = (visit.transition + 1, visit.transition, visit.touch, opened)
            exhibits = tuple(map(self._history.exhibit, positions))
            yield case._replace(kind="earlier", exhibits=exhibits)


def _answered_key(record: EscrowRecord, answer: Words) -> bytes:
    """Return the key of the claim that an entry about an outcome answers."""
    return claim_key(record.rules, answer.subject, unpack_link(answer.payload).target)


def _is_refuted(case: Case, claim: Claim, contracts: ContractIndex) -> bool:
    try:
        check_refutation(case, claim, contracts)
    except EvidenceError:
        return False
    return True


# --- What was taken back --------------------------------------------------------------------------


def find_reversals(
    entries: Iterable[PublicEntry],
    contracts: ContractIndex,
    contract_id: bytes,
    shown: Collection[int],
    source: EntrySource,
) -> Iterator[tuple[ProvenReversal, Case]]:
    """Yield what events have taken back of settled outcomes since the last final statement.

    In log order, without the events that the escrow was shown already, by their positions.
    """
    record, history = contracts[contract_id], LogHistory(contracts, source)
    outcomes: dict[int, int] = {}  # by transition
    events: dict[int, int] = {}  # transitions, by the events that may take back from them
    for item in entries:
        entry = history.append(item, ())
        if entry.is_of(contract_id, OUTCOME) and record.is_final(entry.position):
            outcomes[unpack_link(entry.payload).target] = entry.position
        elif entry.kind == PRODUCT_EVENT and entry.position > record.last_final:
            said = opening_words(EventWords, item.opening)
            if said is not None and said.of in outcomes and entry.position not in shown:
                events[entry.position] = said.of
    for event, transition in events.items():
        exhibits = (history.exhibit(outcomes[transition]), history.opened_exhibit(event))
        for others in ((), (history.opened_exhibit(transition),)):
            case = Case(contract_id, PROVEN, (*exhibits, *others))
            try:
                proven = check_proven_reversal(case, contracts)
            except EvidenceError:
                continue
            yield proven, case
            break


def _no_source(position: int) -> PublicEntry:
    raise EvidenceError("entry-needless", f"no case needs entry {position}")
