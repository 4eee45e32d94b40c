"""What log entries alone prove: against a verifier, and for or against an operator's claim.

The same decisions as the Evidence contract, on the same bytes and in the same order; a refusal's
code is the name of the contract's error, written with hyphens. That the exhibits stand in one
anchored tree is not asked here: whoever sends a case adds inclusion proofs, and the chain checks.

An honest verifier can never be disproved: every rule is one that the log is written by, and every
exhibit stands below an entry that the verifier vouches for.
"""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.core.contract import ContractRules
from orchestrator.core.entry import AMOUNT_LIMIT, ascii_word
from orchestrator.core.errors import EntryError, EvidenceError
from orchestrator.core.evidence.exhibits import (
    MAX_EXHIBITS,
    OPENED,
    OUTCOME,
    OVER,
    OWN_TIMED,
    PRODUCT_EVENT,
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
    Link,
    Words,
    link,
    statement,
    words,
)
from orchestrator.core.opening import EventOpening, payload_of


class Entitlement(NamedTuple):
    """Whom a transition is said to be owed to, by an outcome or by a claim."""

    lead: bytes
    transition: int
    touch: int
    time_ms: int


class OpenedCase(NamedTuple):
    """What is judged: the case, its exhibits read, its contract, and what the chain knows."""

    case: Case
    shown: Sequence[Words]
    standing: EscrowRecord
    docket: ContractIndex

    @property
    def rules(self) -> ContractRules:
        return self.standing.rules

    def exhibit(self, place: int) -> Words:
        if place >= len(self.shown):
            raise EvidenceError("missing-exhibit", f"exhibit {place + 1} is needed and not there")
        return self.shown[place]

    def exhibit_at(self, place: int, position: int) -> Words:
        found = self.exhibit(place)
        if found.position != position:
            raise EvidenceError(
                "wrong-exhibit", f"entry {found.position} is shown where {position} is meant"
            )
        return found

    def accused(self, *kinds: bytes) -> Words:
        found = self.shown[0]
        if not any(found.is_of(self.rules.contract_id, kind) for kind in kinds):
            raise EvidenceError(
                "not-of-contract", f"entry {found.position} is none of the contract that could lie"
            )
        return found


def contradicts(case: Case, docket: ContractIndex) -> bool:
    """Whether this case proves that the contract's verifier has vouched for something false."""
    try:
        check_disproof(case, docket)
    except EvidenceError:
        return False
    return True


def check_disproof(case: Case, docket: ContractIndex) -> None:
    """Raise EvidenceError unless the case proves what it says, as `Evidence.disprove` would."""
    trial = _open(case, docket)
    reach = trial.standing.reach
    # Index 0 is the log's genesis: a reach of zero means that nothing was signed.
    if reach == 0 or trial.shown[0].position > reach:
        raise EvidenceError(
            "not-vouched-for",
            f"entry {trial.shown[0].position} stands above {reach}, "
            f"the last statement that the verifier has signed",
        )
    if case.kind == "sum":
        proven = _is_sum_false(trial)
    elif case.kind == "reversal":
        proven = _is_reversal_false(trial)
    elif case.kind == "clock":
        proven = _is_clock_false(trial)
    elif case.kind == "transition" and trial.shown[0].kind == OPENED:
        proven = _is_opened_late(trial)
    else:
        proven = _is_outcome_false(trial)
    if not proven:
        raise EvidenceError("no-contradiction", f"these entries show no false {case.kind}")


def claim_of(standing: EscrowRecord, transition: Exhibit, touch: Exhibit) -> Claim:
    """What the operator claims with these two entries, as `Evidence.claim` would take it.

    Raises EvidenceError unless the terms pay for this transition, credited to this touch, as far
    as the two entries show.
    """
    rules = standing.rules
    entered, credited = words(transition), words(touch)
    if not _enters(standing, entered):
        raise EvidenceError(
            "transition-does-not-count", f"entry {entered.position} is none that the terms pay for"
        )
    award = Entitlement(entered.subject, entered.position, credited.position, entered.time_ms)
    if not _qualifies(rules, award, credited):
        raise _unqualified(credited)
    amount = rules.amount_units(entered.value)
    if amount >= AMOUNT_LIMIT:
        raise EvidenceError("amount-too-large", f"the amount {amount:#x} is not below 2^80")
    return Claim(entered.subject, amount, *award[1:])


def check_refutation(case: Case, claim: Claim, docket: ContractIndex) -> None:
    """Raise EvidenceError unless the case refutes this claim, as `Evidence.refute` would."""
    trial = _open(case, docket)
    award = Entitlement(claim.lead, claim.transition, claim.touch, claim.time_ms)
    if case.kind == "answered":
        _check_answer(trial, award)
    elif case.kind == "taken":
        _check_taken(trial, award)
    elif case.kind == "touch_order":
        _check_better_touch(trial.rules, award, trial.shown[0])
    elif case.kind == "rival":
        _check_beaten(trial, award, 0)
    else:
        raise EvidenceError("unknown-kind", f"{case.kind!r} is no kind of refutation")


def _open(case: Case, docket: ContractIndex) -> OpenedCase:
    if not 1 <= len(case.exhibits) <= MAX_EXHIBITS:
        raise EvidenceError("exhibit-count", f"{len(case.exhibits)} exhibits are not 1 to 4")
    standing = _standing(docket, case.contract_id)
    return OpenedCase(case, [words(exhibit) for exhibit in case.exhibits], standing, docket)


def _standing(docket: ContractIndex, contract_id: bytes) -> EscrowRecord:
    standing = docket.get(contract_id)
    if standing is None:
        raise EvidenceError("unknown-contract", f"the escrow has no 0x{contract_id.hex()}")
    return standing


def _check_answer(trial: OpenedCase, award: Entitlement) -> None:
    """[an outcome, over or refused entry for the claim's key, not above the final statement]"""
    answer, standing = trial.shown[0], trial.standing
    if standing.rules.repeatable:
        is_same = link(answer.payload).target == award.transition
    else:
        is_same = answer.subject == award.lead
    is_answer = answer.kind in (OUTCOME, OVER, REFUSED)
    is_own = answer.actor == standing.rules.contract_id
    if not (is_answer and is_own and is_same and standing.is_final(answer.position)):
        raise EvidenceError(
            "not-answered", f"entry {answer.position} is no final answer to this claim"
        )


def _check_taken(trial: OpenedCase, award: Entitlement) -> None:
    """[an outcome or over entry for the transition by another contract, its touch, its opening]

    The first stands directly above the transition, the others below it: nobody denies afterwards
    what was owed.
    """
    outcome, rival = trial.shown[0], _same_outcome(trial, award)
    said = link(outcome.payload)
    is_theirs = outcome.kind in (OUTCOME, OVER) and outcome.actor == trial.case.rival
    is_final = any(one.is_final(outcome.position) for one in (rival, trial.standing))
    is_of_it = said.target == award.transition == outcome.position - 1
    if not (is_theirs and is_of_it and is_final):
        raise EvidenceError(
            "not-taken", f"entry {outcome.position} gives the transition to nobody else for good"
        )
    _check_ahead(trial, rival, award, trial.exhibit_at(1, said.cause))
    _check_known(trial, award, trial.exhibit(2))


# --- An outcome's facts ---------------------------------------------------------------------------


def _is_outcome_false(trial: OpenedCase) -> bool:
    outcome = trial.accused(OUTCOME, OVER)
    said = link(outcome.payload)
    award = Entitlement(outcome.subject, said.target, said.cause, outcome.time_ms)
    match trial.case.kind:
        case "duplicate":
            return _is_duplicate(trial, award)
        case "transition":
            return _is_transition_false(trial, award, said)
        case "touch":
            touch = trial.exhibit_at(1, award.touch)
            return not _qualifies(trial.rules, award, touch)
        case "touch_order":
            _check_better_touch(trial.rules, award, trial.exhibit(1))
        case "rival":
            _check_beaten(trial, award, 1)
        case kind:
            raise EvidenceError("unknown-kind", f"{kind!r} is no kind of disproof")
    return True


def _is_duplicate(trial: OpenedCase, award: Entitlement) -> bool:
    """A transition pays one contract at most; a lead counts once unless that is repeatable."""
    earlier, rules = trial.exhibit(1), trial.rules
    if earlier.position >= trial.shown[0].position or earlier.kind not in (OUTCOME, OVER):
        return False
    if link(earlier.payload).target == award.transition:
        return True
    is_own = earlier.actor == rules.contract_id and earlier.subject == award.lead
    return not rules.repeatable and is_own


def _is_transition_false(trial: OpenedCase, award: Entitlement, said: Link) -> bool:
    outcome, rules = trial.shown[0], trial.rules
    if len(trial.shown) == 1:
        return (
            outcome.surface != rules.surface
            or outcome.label != ascii_word(rules.outcome)
            or not trial.standing.covers(outcome.time_ms)
            or award.transition + 1 != outcome.position
            or award.touch >= award.transition
            or said.padding != 0
            or (rules.revenue_share_bps == 0 and outcome.value != rules.unit_price_units)
        )
    entered = trial.exhibit_at(1, award.transition)
    return (
        not _enters(trial.standing, entered)
        or entered.subject != outcome.subject
        or entered.time_ms != outcome.time_ms
        or outcome.value != rules.amount_units(entered.value)
    )


def _is_opened_late(trial: OpenedCase) -> bool:
    """[the contract's opening, an outcome below it]: the log knows whom it gives anything."""
    opened, outcome = trial.shown[0], trial.exhibit(1)
    contract_id = trial.rules.contract_id
    is_own = outcome.is_of(contract_id, OUTCOME) or outcome.is_of(contract_id, OVER)
    return opened.subject == contract_id and is_own and outcome.position < opened.position


def _is_clock_false(trial: OpenedCase) -> bool:
    """[an entry, an earlier one with a later time]: the log's own clock does not go back."""
    later, earlier = trial.shown[0], trial.exhibit(1)
    return (
        earlier.position < later.position
        and later.kind in OWN_TIMED
        and earlier.kind in OWN_TIMED
        and later.time_ms < earlier.time_ms
    )


def _enters(standing: EscrowRecord, entry: Words) -> bool:
    """Whether the entry is a transition that can count for the contract."""
    rules = standing.rules
    return (
        entry.kind == TRANSITION
        and entry.surface == rules.surface
        and entry.actor == rules.owner
        and entry.label == ascii_word(rules.outcome)
        and standing.covers(entry.time_ms)
    )


def _counts(rules: ContractRules, award: Entitlement, touch: Words) -> bool:
    """Whether a touch counts for the contract and this award."""
    return (
        touch.kind == TOUCH
        and touch.surface == rules.surface
        and touch.actor == rules.operator
        and touch.subject == award.lead
        and touch.position < award.transition
        and rules.opens_at_ms <= touch.time_ms <= award.time_ms
    )


def _qualifies(rules: ContractRules, award: Entitlement, touch: Words) -> bool:
    """Whether it counts and is also young enough."""
    is_young = award.time_ms - touch.time_ms <= rules.attribution_window_ms
    return is_young and _counts(rules, award, touch)


# --- Whose touch was better -----------------------------------------------------------------------


def _check_better_touch(rules: ContractRules, award: Entitlement, touch: Words) -> None:
    """The contract's own operator has an earlier (first touch) or later (last touch) one."""
    if not _counts(rules, award, touch):
        raise EvidenceError(
            "touch-does-not-count", f"entry {touch.position} is no touch that counts"
        )
    if not _is_better(rules, award, touch):
        raise _unbeaten(award, touch)


def _check_beaten(trial: OpenedCase, award: Entitlement, place: int) -> None:
    """Another contract comes first, as the exhibits from `place` on show.

    These are its operator's touch, its opening, and where needed the transition (if the contract
    is not repeatable), then an earlier touch (if the first that counts cannot be told otherwise).
    """
    rival = _rival(trial, award)
    touch = trial.exhibit(place)
    _check_ahead(trial, rival, award, touch)
    opened = trial.exhibit(place + 1)
    _check_known(trial, award, opened)
    place += 2
    if not rival.rules.repeatable:
        _check_first_entry(trial.case.opening, trial.exhibit_at(place, award.transition))
        place += 1
    if rival.rules.attribution == "first_touch":
        _check_first_qualifies(trial, rival.rules, award, (touch, opened), place)


def _check_ahead(trial: OpenedCase, rival: EscrowRecord, award: Entitlement, touch: Words) -> None:
    """The touch qualifies for the other contract, and comes first if the two compete."""
    if not _qualifies(rival.rules, award, touch):
        raise _unqualified(touch)
    is_older = rival.opening_number < trial.standing.opening_number
    is_tied = touch.position == award.touch
    is_better = _is_better(trial.rules, award, touch) or (is_tied and is_older)
    if not is_better and rival.market == trial.standing.market:
        raise _unbeaten(award, touch)


def _check_known(trial: OpenedCase, award: Entitlement, opened: Words) -> None:
    """The log knew of the other contract when it took the transition."""
    is_opening = opened.kind == OPENED and opened.subject == trial.case.rival
    if not (is_opening and opened.position < award.transition):
        raise EvidenceError(
            "rival-unknown-to-log",
            f"entry {opened.position} is not the rival's opening, below the transition",
        )


def _rival(trial: OpenedCase, award: Entitlement) -> EscrowRecord:
    rival = _standing(trial.docket, trial.case.rival)
    if rival.market != trial.standing.market:
        raise _no_rival()
    return _same_outcome(trial, award)


def _same_outcome(trial: OpenedCase, award: Entitlement) -> EscrowRecord:
    """The contract that no exclusive one would tolerate beside it, and that lived at the time."""
    rival = _standing(trial.docket, trial.case.rival)
    if rival.occupied != trial.standing.occupied or not rival.covers(award.time_ms):
        raise _no_rival()
    if rival.is_closed_before(award.time_ms):
        raise EvidenceError("rival-closed", f"its parties closed it at {rival.closed_at_s} s")
    return rival


def _no_rival() -> EvidenceError:
    return EvidenceError("not-a-rival", "it does not compete for this transition")


def _check_first_entry(opening: EventOpening, entered: Words) -> None:
    """The lead never was in the state before, so that no contract can have counted it."""
    try:
        payload = payload_of(opening)
    except EntryError as error:
        raise EvidenceError("wrong-opening", error.message) from None
    if int.from_bytes(payload) != entered.payload:
        raise EvidenceError(
            "wrong-opening", f"this is not what entry {entered.position} commits to"
        )
    if opening.nth != 1:
        raise EvidenceError(
            "not-the-first-entry", f"it is the lead's entry {opening.nth} into the state"
        )


def _check_first_qualifies(
    trial: OpenedCase,
    rival: ContractRules,
    award: Entitlement,
    shown: tuple[Words, Words],
    place: int,
) -> None:
    """By first touch, the first that counts for the rival must qualify."""
    before = needed_before(rival, award.time_ms, *shown)
    if before is None:
        return
    found = trial.exhibit_at(place, before)
    # What names no touch of the rival's is false, and shields nobody.
    is_own = (
        found.kind == TOUCH
        and found.surface == rival.surface
        and found.actor == rival.operator
        and found.subject == award.lead
    )
    if is_own and found.time_ms >= rival.opens_at_ms:
        raise EvidenceError(
            "rival-touched-before", f"entry {before} is no older than the rival's opening"
        )


def needed_before(rival: ContractRules, at_ms: int, touch: Words, opened: Words) -> int | None:
    """The index of the touch before `touch` that must be shown, or None if none need be.

    The first that counts qualifies if all since the rival opened is young enough, or if `touch` is
    the first: it follows on no other, or on one from before the rival opened.
    """
    if at_ms - rival.opens_at_ms <= rival.attribution_window_ms:
        return None
    if not 0 < touch.value <= touch.position:  # what names nothing below itself is false
        return None
    if touch.value <= opened.position and opened.time_ms < rival.opens_at_ms:
        return None
    return touch.value - 1


def _is_better(rules: ContractRules, award: Entitlement, touch: Words) -> bool:
    if rules.attribution == "first_touch":
        return touch.position < award.touch
    return touch.position > award.touch


def _unqualified(touch: Words) -> EvidenceError:
    return EvidenceError(
        "touch-does-not-qualify", f"entry {touch.position} is no touch that qualifies"
    )


def _unbeaten(award: Entitlement, touch: Words) -> EvidenceError:
    return EvidenceError(
        "touch-does-not-beat", f"touch {touch.position} does not come before {award.touch}"
    )


# --- Running totals and reversals -----------------------------------------------------------------


def _is_sum_false(trial: OpenedCase) -> bool:
    accused = trial.shown[0]
    if accused.kind == SETTLEMENT:
        return _is_statement_false(trial)
    if accused.kind == REVERSAL:
        return _is_past_budget(trial)
    outcome = trial.accused(OUTCOME)
    said = link(outcome.payload)
    if len(trial.shown) == 1:
        return _starts_false(said, outcome)
    before = said.total - outcome.value
    return _breaks_chain(said, outcome, trial.shown[1]) or (
        before >= 0 and _had_room(trial, before)
    )


def _is_statement_false(trial: OpenedCase) -> bool:
    settlement, rules = trial.shown[0], trial.rules
    if settlement.subject != rules.contract_id or settlement.actor != rules.verifier:
        raise EvidenceError(
            "not-of-contract", f"entry {settlement.position} is no statement of this contract"
        )
    said = statement(settlement.payload)
    sides = (
        (OUTCOME, said.last_outcome, said.earned),
        (REVERSAL, said.last_reversal, said.reversed),
    )
    if len(trial.shown) == 1:
        return any(
            last >= settlement.position or (last == 0 and total != 0) for _, last, total in sides
        )
    if _had_room(trial, said.earned):
        return True
    other = trial.shown[1]
    for kind, last, total in sides:
        is_same = other.is_of(rules.contract_id, kind)
        if other.position == last != 0:
            if not (is_same and link(other.payload).total == total):
                return True
        elif is_same and last < other.position < settlement.position:
            return True
    return False


def _had_room(trial: OpenedCase, earned: int) -> bool:
    """[accused, an earlier outcome that was over, a reversal before that] though it fits.

    Before it no more was earned than `earned`, which is said above it, and no less was reversed
    than the reversal says, if one is shown.
    """
    accused, over, contract_id = trial.shown[0], trial.shown[1], trial.rules.contract_id
    if not (over.is_of(contract_id, OVER) and over.position < accused.position):
        return False
    budget = trial.rules.budget_units
    if len(trial.shown) > 2:
        reversal = trial.shown[2]
        if not (reversal.is_of(contract_id, REVERSAL) and reversal.position < over.position):
            return False
        budget += link(reversal.payload).total
    # What would not have fitted into a sum of 80 bits was over too.
    return earned + over.value <= min(budget, AMOUNT_LIMIT - 1)


def _is_past_budget(trial: OpenedCase) -> bool:
    """[reversal, an earlier outcome] that was past the budget, so over, and not to be paid.

    What was reversed before that outcome is no more than what was before the reversal.
    """
    reversal = trial.accused(REVERSAL)
    outcome = trial.exhibit(1)
    is_own = outcome.is_of(trial.rules.contract_id, OUTCOME)
    if not (is_own and outcome.position < reversal.position):
        return False
    before = link(reversal.payload).total - reversal.value
    return before < 0 or link(outcome.payload).total > trial.rules.budget_units + before


def _is_reversal_false(trial: OpenedCase) -> bool:
    reversal, rules = trial.accused(REVERSAL), trial.rules
    said = link(reversal.payload)
    if len(trial.shown) == 1:
        return (
            reversal.surface != rules.surface
            or said.padding != 0
            or not said.target < said.cause < reversal.position
            or _starts_false(said, reversal)
        )
    # One entry may be named in several roles; each must be true.
    other = trial.shown[1]
    return (
        (other.position == said.target and _is_taken_false(rules, reversal, other))
        or (other.position == said.cause and _is_event_false(rules, reversal, other))
        or _is_done_before(reversal, said, other)
        or _skips_later(trial, reversal, said)
        or _breaks_chain(said, reversal, other)
    )


def _is_done_before(reversal: Words, said: Link, other: Words) -> bool:
    """Whether `other` reverses the same outcome, or something in the same state by the same event.

    An event takes back one outcome of each state, whosever it is.
    """
    if other.kind != REVERSAL or other.position >= reversal.position:
        return False
    earlier = link(other.payload)
    return (other.actor == reversal.actor and earlier.target == said.target) or (
        other.label == reversal.label and earlier.cause == said.cause
    )


def _skips_later(trial: OpenedCase, reversal: Words, said: Link) -> bool:
    """[reversal, a later outcome of the lead, ...], which the event should have taken back.

    No reversal of the contract stands between the two, or those that do are shown, the last first,
    and took back others.
    """
    _, outcome, *between = trial.shown
    if not (
        outcome.is_of(reversal.actor, OUTCOME)
        and (outcome.subject, outcome.label) == (reversal.subject, reversal.label)
        and said.target < outcome.position < said.cause
    ):
        return False
    prev = said.prev
    for other in between:
        taken = link(other.payload)
        if other.position != prev or taken.target == outcome.position:
            return False
        if not other.is_of(reversal.actor, REVERSAL):
            return False
        prev = taken.prev
    return prev < outcome.position


def _is_taken_false(rules: ContractRules, reversal: Words, outcome: Words) -> bool:
    """Whether the reversal takes back something else than it says, or too late."""
    return (
        reversal.time_ms - outcome.time_ms > rules.holdback_period_ms
        or not outcome.is_of(rules.contract_id, OUTCOME)
        or outcome.subject != reversal.subject
        or outcome.label != reversal.label
        or outcome.value != reversal.value
    )


def _is_event_false(rules: ContractRules, reversal: Words, happened: Words) -> bool:
    return (
        happened.kind != PRODUCT_EVENT
        or happened.surface != rules.surface
        or happened.actor != rules.owner
        or happened.subject != reversal.subject
        or happened.time_ms != reversal.time_ms
    )


def _starts_false(said: Link, entry: Words) -> bool:
    """Whether a running count and sum are false whatever stands before the entry."""
    begins = said.n == 1 and said.total == entry.value
    return said.prev >= entry.position or (said.prev == 0 and not begins)


def _breaks_chain(said: Link, entry: Words, other: Words) -> bool:
    """Whether `other` is named as the one before and does not lead here, or was skipped."""
    is_same = other.is_of(entry.actor, entry.kind)
    # Index 0 means "none": nobody says that the genesis is the one before.
    if said.prev == 0 or other.position != said.prev:
        return is_same and said.prev < other.position < entry.position
    before = link(other.payload)
    follows = said.n == before.n + 1 and said.total == before.total + entry.value
    return not (is_same and follows)
