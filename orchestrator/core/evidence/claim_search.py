"""The search for claims that the log's facts give, and for what refutes a claim that was filed."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from orchestrator.core.entry import AMOUNT_LIMIT
from orchestrator.core.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    OVER,
    PUBLISHED,
    REFUSED,
    REVERSAL,
    TRANSITION,
    Case,
    Claim,
    ContractIndex,
    EscrowRecord,
    Words,
    claim_key,
    unpack_link,
)
from orchestrator.core.evidence.history import LogHistory, PublicEntry, Source, lacks_opening
from orchestrator.core.evidence.rules import check_refutation, is_paid_for

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
    competitor wins, and outcomes that the log has reversed.
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
        self._unanswered: dict[int, bytes] = {}  # by position: keys of outcomes that are not final
        self._is_policy_in_force = False

    def append(self, item: PublicEntry) -> None:
        entry, rules = self._history.append(item), self._record.rules
        if entry.kind == TRANSITION:
            self._take_transition(entry)
        elif entry.kind in (OUTCOME, OVER, REFUSED) and entry.actor in self._market:
            if entry.kind != REFUSED:
                self._counted.add((entry.actor, entry.subject))
            if entry.actor == rules.contract_id:
                self._take_answer(entry)
        elif entry.is_of(rules.contract_id, REVERSAL):
            # What was paid and reversed is not owed, even if neither is final yet.
            key = self._unanswered.pop(unpack_link(entry.payload).target, None)
            if key is not None:
                self.answered.add(key)
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
        self.found.setdefault(claim.key(rules), claim)

    def _has_counted(self, rival: EscrowRecord, lead: bytes) -> bool:
        return not rival.rules.repeatable and (rival.rules.contract_id, lead) in self._counted

    def _take_answer(self, entry: Words) -> None:
        key = _answered_key(self._record, entry)
        if entry.position <= self._record.last_final:
            self.answered.add(key)
        else:
            self._unanswered[entry.position] = key


# --- Refutations ----------------------------------------------------------------------------------


def find_refutations(
    entries: Iterable[PublicEntry],
    contracts: ContractIndex,
    contract_id: bytes,
    claims: Mapping[bytes, Claim],
    source: Source,
    unopened: set[int] | None = None,
) -> Iterator[tuple[bytes, Case]]:
    """Yield what the log holds against filed claims: (key, case) for each that it refutes.

    `claims` are those of one contract, by key. Added to `unopened` are the transitions without
    whose openings it cannot be told whether a rival should have won.
    """
    record, history = contracts[contract_id], LogHistory(contracts, source)
    answers: dict[bytes, int] = {}
    taken: dict[int, Words] = {}  # by transition: the entry that gives it to another contract
    leads = {claim.lead for claim in claims.values()}
    transitions = {claim.transition for claim in claims.values()}
    # No entry above matters: answers are final, and what is taken is given right above.
    last = max([record.last_final, *(transition + 1 for transition in transitions)])
    for item in entries:
        entry = history.append(item, leads)
        is_final = entry.position <= record.last_final
        if is_final and entry.kind in (OUTCOME, OVER, REFUSED) and entry.actor == contract_id:
            answers.setdefault(_answered_key(record, entry), entry.position)
        if entry.position - 1 in transitions and _is_for_other(entry, contract_id):
            taken[entry.position - 1] = entry
        if entry.position >= last:
            break
    for key, claim in claims.items():
        is_unopened = False
        answer = answers.get(claim.key(record.rules), 0)
        for case in _objections(history, record, claim, answer, taken.get(claim.transition)):
            if _is_refuted(case, claim, contracts):
                yield key, case
                break
            check = partial(check_refutation, claim=claim, contracts=contracts)
            is_unopened |= lacks_opening(case, check)
        else:
            if is_unopened and unopened is not None:
                unopened.add(claim.transition)


def _objections(
    history: LogHistory, record: EscrowRecord, claim: Claim, answer: int, other: Words | None
) -> Iterator[Case]:
    """Yield cases that refute the claim if they hold, those with the fewest exhibits first.

    `answer` is the position of the contract's final answer, 0 for none; `other` is the entry that
    gives the transition to another contract.
    """
    case = Case(record.rules.contract_id, "answered", ())
    if answer:
        yield case._replace(exhibits=(history.exhibit(answer),))
    if other is not None:
        opened, touch = history.opened.get(other.actor), unpack_link(other.payload).cause
        if opened is not None and touch < other.position:
            shown = map(history.exhibit, (other.position, touch, opened))
            yield case._replace(kind="taken", exhibits=tuple(shown), rival=other.actor)
    yield from history.rival_cases(case, claim.lead, claim.transition, claim.touch, claim.time_ms)


def _answered_key(record: EscrowRecord, answer: Words) -> bytes:
    """Return the key of the claim that an entry about an outcome answers."""
    return claim_key(record.rules, answer.subject, unpack_link(answer.payload).target)


def _is_for_other(entry: Words, contract_id: bytes) -> bool:
    """Return whether the entry gives the transition directly below it to another contract."""
    return (
        entry.kind in (OUTCOME, OVER)
        and entry.actor != contract_id
        and unpack_link(entry.payload).target == entry.position - 1
    )


def _is_refuted(case: Case, claim: Claim, contracts: ContractIndex) -> bool:
    try:
        check_refutation(case, claim, contracts)
    except EvidenceError:
        return False
    return True


def _no_source(position: int) -> PublicEntry:
    raise EvidenceError("entry-needless", f"no case needs entry {position}")
