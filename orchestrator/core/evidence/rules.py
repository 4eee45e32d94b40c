"""The decision of a case: against a verifier, and for or against an operator's claim.

The same decisions as the Evidence contract, on the same bytes and in the same order; a refusal's
code is the name of the contract's error, written with hyphens. That the exhibits stand in one
anchored tree is not checked here: the sender of a case adds inclusion proofs, and the chain checks.

An honest verifier can never be disproved: every rule is one that the log is written by, and every
exhibit stands on or below the last statement that the verifier has signed.
"""

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.deals.escrow_model import ProvenReversal
from orchestrator.core.evidence.exhibits import (
    OPENED,
    OUTCOME,
    OVER,
    OWN_TIMED,
    REFUSED,
    TRANSITION,
    Case,
    Claim,
    ContractIndex,
    EscrowRecord,
    Exhibit,
    Link,
    OpenedCase,
    Words,
    open_case,
    unpack_link,
    words_of,
)
from orchestrator.core.evidence.reversals import (
    is_reversal_false,
    units_by_event,
    units_taken_back,
)
from orchestrator.core.evidence.totals import is_total_false
from orchestrator.core.evidence.touches import (
    Entitlement,
    check_better_touch,
    check_opening,
    check_qualifies,
    check_rival_touch,
    check_rival_wins,
    is_report_false,
    qualifies,
    rival_for_outcome,
)
from orchestrator.core.log.entry import ascii_word
from orchestrator.core.world.contract import ContractRules

# --- Disproofs ------------------------------------------------------------------------------------


def disproves(case: Case, contracts: ContractIndex) -> bool:
    """Return whether this case proves that the contract's verifier has signed something false."""
    try:
        check_disproof(case, contracts)
    except EvidenceError:
        return False
    return True


def check_disproof(case: Case, contracts: ContractIndex) -> None:
    """Raise EvidenceError unless the case proves what it says, as `Evidence.disprove` would."""
    opened = open_case(case, contracts)
    first, last_signed = opened.entries[0], opened.record.last_signed
    # Position 0 is the log's genesis: there it means that nothing was signed.
    if last_signed == 0 or first.position > last_signed:
        raise EvidenceError(
            "not-vouched-for",
            f"entry {first.position} stands above {last_signed}, "
            f"the last statement that the verifier has signed",
        )
    # The order is the contract's: a case that breaks two rules is refused for the same one.
    if case.kind == "sum":
        proven = is_total_false(opened)
    elif case.kind == "reversal":
        proven = is_reversal_false(opened)
    elif case.kind == "clock":
        proven = _is_clock_false(opened)
    elif case.kind == "transition" and first.kind == OPENED:
        proven = _is_opened_late(opened)
    else:
        proven = _is_outcome_false(opened)
    if not proven:
        raise EvidenceError("no-contradiction", f"these entries show no false {case.kind}")


def _is_outcome_false(opened: OpenedCase) -> bool:
    outcome = opened.first_exhibit(OUTCOME, OVER)
    link = unpack_link(outcome.payload)
    entitled = Entitlement(outcome.subject, link.target, link.cause, outcome.time_ms)
    match opened.case.kind:
        case "duplicate":
            return _is_duplicate(opened, entitled)
        case "transition":
            return _is_transition_false(opened, entitled, link)
        case "touch":
            touch = opened.exhibit_at(1, entitled.touch)
            return not qualifies(opened.rules, entitled, touch)
        case "cause":
            return is_report_false(opened, entitled, 1)
        case "touch_order":
            check_better_touch(opened.rules, entitled, opened.exhibit(1))
        case "rival":
            check_rival_wins(opened, entitled, 1)
        case kind:
            raise EvidenceError("unknown-kind", f"{kind!r} is no kind of disproof")
    return True


def _is_duplicate(opened: OpenedCase, entitled: Entitlement) -> bool:
    """Return whether [an outcome, an earlier one] count the same twice.

    A transition pays one contract at most; a lead counts once unless the contract is repeatable.
    """
    earlier, rules = opened.exhibit(1), opened.rules
    if earlier.position >= opened.entries[0].position or earlier.kind not in (OUTCOME, OVER):
        return False
    if unpack_link(earlier.payload).target == entitled.transition:
        return True
    is_own = earlier.actor == rules.contract_id and earlier.subject == entitled.lead
    return not rules.repeatable and is_own


def _is_transition_false(opened: OpenedCase, entitled: Entitlement, link: Link) -> bool:
    """Return whether an outcome contradicts the terms alone, or with its transition shown."""
    outcome, rules = opened.entries[0], opened.rules
    if len(opened.entries) == 1:
        return (
            outcome.surface != rules.surface
            or outcome.label != ascii_word(rules.outcome)
            or not opened.record.covers(outcome.time_ms)
            # The log writes an outcome directly above its transition.
            or entitled.transition + 1 != outcome.position
            or entitled.touch >= entitled.transition
            or link.padding != 0
            or (rules.revenue_share_bps == 0 and outcome.value != rules.unit_price_units)
        )
    entered = opened.exhibit_at(1, entitled.transition)
    return (
        not is_paid_for(opened.record, entered)
        or entered.subject != outcome.subject
        or entered.time_ms != outcome.time_ms
        or outcome.value != rules.amount_units(entered.value)
    )


def _is_opened_late(opened: OpenedCase) -> bool:
    """Return whether [the contract's opening, an outcome below it] are what they are called.

    The log takes no outcome of a contract that it does not know yet.
    """
    opening, outcome = opened.entries[0], opened.exhibit(1)
    contract_id = opened.rules.contract_id
    is_own = outcome.is_of(contract_id, OUTCOME) or outcome.is_of(contract_id, OVER)
    return opening.subject == contract_id and is_own and outcome.position < opening.position


def _is_clock_false(opened: OpenedCase) -> bool:
    """Return whether [an entry, an earlier one with a later time] show the log's clock go back."""
    later, earlier = opened.entries[0], opened.exhibit(1)
    return (
        earlier.position < later.position
        and later.kind in OWN_TIMED
        and earlier.kind in OWN_TIMED
        and later.time_ms < earlier.time_ms
    )


# --- Claims and their refutations -----------------------------------------------------------------


def claim_of(record: EscrowRecord, transition: Exhibit, touch: Exhibit) -> Claim:
    """Return what the operator claims with these two entries, as `Evidence.claim` would take it.

    Only tests call it: it mirrors the contract, with which it is compared case by case.

    Raises EvidenceError unless the terms pay for this transition, credited to this touch, as far
    as the two entries show.
    """
    entered = words_of(transition)
    entitled = _entitlement(record, entered, words_of(touch))
    return Claim(entitled.lead, _claimable_units(record.rules, entered), *entitled[1:])


def _entitlement(record: EscrowRecord, entered: Words, credited: Words) -> Entitlement:
    """Return what the terms pay for by a transition and a touch.

    Raises EvidenceError unless the transition counts, and the touch qualifies for it. A better
    touch is for a refutation to show.
    """
    if not is_paid_for(record, entered):
        raise EvidenceError(
            "transition-does-not-count", f"entry {entered.position} is none that the terms pay for"
        )
    entitled = Entitlement(entered.subject, entered.position, credited.position, entered.time_ms)
    check_qualifies(record.rules, entitled, credited)
    return entitled


def _claimable_units(rules: ContractRules, entered: Words) -> int:
    amount = rules.amount_units(entered.value)
    if amount >= AMOUNT_LIMIT:
        raise EvidenceError("amount-too-large", f"the amount {amount:#x} is not below 2^80")
    return amount


def is_paid_for(record: EscrowRecord, entry: Words) -> bool:
    """Return whether the entry is a transition that can count for the contract."""
    rules = record.rules
    return (
        entry.kind == TRANSITION
        and entry.surface == rules.surface
        and entry.actor == rules.owner
        and entry.label == ascii_word(rules.outcome)
        and record.covers(entry.time_ms)
    )


def check_refutation(case: Case, claim: Claim, contracts: ContractIndex) -> int:
    """Return what a case leaves of this claim, as `Evidence.refute` would tell the escrow.

    Raises EvidenceError unless the case refutes the claim, or lowers it.
    """
    opened = open_case(case, contracts)
    entitled = Entitlement(claim.lead, claim.transition, claim.touch, claim.time_ms)
    left = 0
    if case.kind == "answered":
        _check_answered(opened, entitled)
    elif case.kind == "taken":
        _check_taken(opened, entitled)
    elif case.kind == "earlier":
        _check_earlier(opened, entitled)
    elif case.kind == "reversed":
        left = _units_left(opened, entitled)
    elif case.kind == "cause":
        if not is_report_false(opened, entitled, 0):
            raise EvidenceError("no-contradiction", "these entries show no false cause")
    elif case.kind == "touch_order":
        check_better_touch(opened.rules, entitled, opened.entries[0])
    elif case.kind == "rival":
        check_rival_wins(opened, entitled, 0)
    else:
        raise EvidenceError("unknown-kind", f"{case.kind!r} is no kind of refutation")
    if left >= claim.amount:
        raise EvidenceError("not-lower", f"it leaves {left} of {claim.amount} that are claimed")
    return left


def _units_left(opened: OpenedCase, entitled: Entitlement) -> int:
    """Return what an event leaves of the amount that was filed, which may have been lowered since.

    The exhibits are the event and, unless it is the first to take back and has no order, the
    transition.
    """
    amount = 0
    if len(opened.entries) > 1:
        entered = opened.exhibit_at(1, entitled.transition)
        amount = _claimable_units(opened.rules, entered)
    return amount - units_taken_back(opened, entitled, amount, 0)


def _check_answered(opened: OpenedCase, entitled: Entitlement) -> None:
    """Raise EvidenceError unless the first exhibit answers the claim, and is final.

    An answer is an outcome, over or refused entry of the contract for the claim's key.
    """
    answer, record = opened.entries[0], opened.record
    if record.rules.repeatable:
        is_same = unpack_link(answer.payload).target == entitled.transition
    else:
        is_same = answer.subject == entitled.lead
    is_answer = answer.kind in (OUTCOME, OVER, REFUSED)
    is_own = answer.actor == record.rules.contract_id
    if not (is_answer and is_own and is_same and record.is_final(answer.position)):
        raise EvidenceError(
            "not-answered", f"entry {answer.position} is no final answer to this claim"
        )


def _check_taken(opened: OpenedCase, entitled: Entitlement) -> None:
    """Raise EvidenceError unless the log gave the transition to the rival, for good.

    The exhibits are [the rival's outcome or over entry for the transition, its touch, its opening].
    The first stands directly above the transition, the others below it: so the log can deny nothing
    afterwards that it owed.
    """
    outcome, rival = opened.entries[0], rival_for_outcome(opened, entitled)
    link = unpack_link(outcome.payload)
    is_theirs = outcome.kind in (OUTCOME, OVER) and outcome.actor == opened.case.rival
    is_final = any(one.is_final(outcome.position) for one in (rival, opened.record))
    is_of_it = link.target == entitled.transition == outcome.position - 1
    if not (is_theirs and is_of_it and is_final):
        raise EvidenceError(
            "not-taken",
            f"entry {outcome.position} gives the transition to no other contract for good",
        )
    check_rival_touch(opened, rival, entitled, opened.exhibit_at(1, link.cause))
    check_opening(opened.exhibit(2), opened.case.rival, entitled)


def _check_earlier(opened: OpenedCase, entitled: Entitlement) -> None:
    """Raise EvidenceError unless the contract's one count of the lead was an earlier transition.

    The exhibits are [its outcome or over entry, the transition, a touch by which that could be
    claimed, its opening]. What came of it, paid, over or taken back, makes no difference. All
    stand below what is claimed: so the log can deny nothing afterwards that it owed.
    """
    outcome, record = opened.entries[0], opened.record
    earlier = _entitlement(record, opened.exhibit(1), opened.exhibit(2))
    is_own = outcome.kind in (OUTCOME, OVER) and outcome.actor == record.rules.contract_id
    is_same = outcome.subject == earlier.lead == entitled.lead
    is_before = earlier.transition == outcome.position - 1 < entitled.transition
    if record.rules.repeatable or not (is_own and is_same and is_before):
        raise EvidenceError(
            "not-earlier", f"entry {outcome.position} counts the lead no earlier for this contract"
        )
    check_opening(opened.exhibit(3), record.rules.contract_id, earlier)


# --- What was taken back --------------------------------------------------------------------------


def check_proven_reversal(case: Case, contracts: ContractIndex) -> ProvenReversal:
    """Return what a case proves, as `Evidence.proveReversal` would tell the escrow.

    The exhibits are a settled outcome; the event above the last final statement, opened, that takes
    back from its transition; and the transition, opened if the event has an order, unless it has
    none and is the first to take back. Raises EvidenceError unless the case proves something.
    """
    opened = open_case(case, contracts)
    outcome, last_final = opened.first_exhibit(OUTCOME), opened.record.last_final
    if not opened.record.is_final(outcome.position):
        raise EvidenceError(
            "not-settled",
            f"entry {outcome.position} stands above {last_final}, the last final statement",
        )
    event = opened.exhibit(1)
    if event.position <= last_final:
        raise EvidenceError(
            "already-stated",
            f"entry {event.position} stands below {last_final}, the last final statement",
        )
    link = unpack_link(outcome.payload)
    entitled = Entitlement(outcome.subject, link.target, link.cause, outcome.time_ms)
    amount = units_by_event(opened, entitled, outcome.value, 1)
    return ProvenReversal(event.position, outcome.position, outcome.value, link.total, amount)
