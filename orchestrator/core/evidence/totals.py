"""Contradictions in a contract's running totals, its statements and its reversals."""

from orchestrator.core.contract import ContractRules
from orchestrator.core.entry import AMOUNT_LIMIT
from orchestrator.core.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    OVER,
    PRODUCT_EVENT,
    REVERSAL,
    SETTLEMENT,
    Link,
    OpenedCase,
    Words,
    unpack_link,
    unpack_statement,
)


def is_total_false(opened: OpenedCase) -> bool:
    """Return whether the first exhibit states a total or a count that others contradict."""
    first = opened.entries[0]
    if first.kind == SETTLEMENT:
        return _is_statement_false(opened)
    if first.kind == REVERSAL:
        return _reverses_unpaid(opened)
    outcome = opened.first_exhibit(OUTCOME)
    link = unpack_link(outcome.payload)
    if len(opened.entries) == 1:
        return _is_start_false(link, outcome)
    earned_before = link.total - outcome.value
    return _is_predecessor_false(link, outcome, opened.entries[1]) or (
        earned_before >= 0 and _fitted_budget(opened, earned_before)
    )


def _is_statement_false(opened: OpenedCase) -> bool:
    settlement, rules = opened.entries[0], opened.rules
    if settlement.subject != rules.contract_id or settlement.actor != rules.verifier:
        raise EvidenceError(
            "not-of-contract", f"entry {settlement.position} is no statement of this contract"
        )
    stated = unpack_statement(settlement.payload)
    sides = (
        (OUTCOME, stated.last_outcome, stated.earned),
        (REVERSAL, stated.last_reversal, stated.reversed),
    )
    if len(opened.entries) == 1:
        return any(
            last >= settlement.position or (last == 0 and total != 0) for _, last, total in sides
        )
    if _fitted_budget(opened, stated.earned):
        return True
    other = opened.entries[1]
    for kind, last, total in sides:
        is_same = other.is_of(rules.contract_id, kind)
        # The last entry that the statement names must be one, with the total that it states ...
        if other.position == last != 0:
            if not (is_same and unpack_link(other.payload).total == total):
                return True
        # ... and the contract has no later one below the statement.
        elif is_same and last < other.position < settlement.position:
            return True
    return False


def _fitted_budget(opened: OpenedCase, earned: int) -> bool:
    """Return whether an outcome is called over although it fits into the budget.

    The exhibits are [an entry that states what was earned, an earlier outcome that was over, a
    reversal before that]. No more than `earned` was earned before the second, and no less was
    reversed than the third says, if it is shown.
    """
    first, over, contract_id = opened.entries[0], opened.entries[1], opened.rules.contract_id
    if not (over.is_of(contract_id, OVER) and over.position < first.position):
        return False
    budget = opened.rules.budget_units
    if len(opened.entries) > 2:
        reversal = opened.entries[2]
        if not (reversal.is_of(contract_id, REVERSAL) and reversal.position < over.position):
            return False
        budget += unpack_link(reversal.payload).total
    # What would not have fitted into a sum of 80 bits was over too.
    return earned + over.value <= min(budget, AMOUNT_LIMIT - 1)


def _reverses_unpaid(opened: OpenedCase) -> bool:
    """Return whether [reversal, an earlier outcome] show that outcome past the budget.

    It was over then, and not to be paid. What was reversed before that outcome is no more than what
    was before the reversal.
    """
    reversal = opened.first_exhibit(REVERSAL)
    outcome = opened.exhibit(1)
    is_own = outcome.is_of(opened.rules.contract_id, OUTCOME)
    if not (is_own and outcome.position < reversal.position):
        return False
    reversed_before = unpack_link(reversal.payload).total - reversal.value
    earned = unpack_link(outcome.payload).total
    return reversed_before < 0 or earned > opened.rules.budget_units + reversed_before


# --- Reversals ------------------------------------------------------------------------------------


def is_reversal_false(opened: OpenedCase) -> bool:
    """Return whether the first exhibit is a reversal that it or another contradicts."""
    reversal, rules = opened.first_exhibit(REVERSAL), opened.rules
    link = unpack_link(reversal.payload)
    if len(opened.entries) == 1:
        return (
            reversal.surface != rules.surface
            or link.padding != 0
            or not link.target < link.cause < reversal.position
            or _is_start_false(link, reversal)
        )
    # One entry may be named in several roles; each must be true.
    other = opened.entries[1]
    return (
        (other.position == link.target and _is_outcome_wrong(rules, reversal, other))
        or (other.position == link.cause and _is_event_wrong(rules, reversal, other))
        or _is_repeated(reversal, link, other)
        or _skips_later_outcome(opened, reversal, link)
        or _is_predecessor_false(link, reversal, other)
    )


def _is_repeated(reversal: Words, link: Link, other: Words) -> bool:
    """Return whether `other` reverses the same outcome, or the same state by the same event.

    An event reverses one outcome of each state, whichever contract has it.
    """
    if other.kind != REVERSAL or other.position >= reversal.position:
        return False
    earlier = unpack_link(other.payload)
    return (other.actor == reversal.actor and earlier.target == link.target) or (
        other.label == reversal.label and earlier.cause == link.cause
    )


def _skips_later_outcome(opened: OpenedCase, reversal: Words, link: Link) -> bool:
    """Return whether [reversal, a later outcome of the lead, ...] show that it is the wrong one.

    The event should have reversed the later outcome, as no reversal of the contract stands between
    the two, or those that do are shown, the last first, and reversed others.
    """
    _, outcome, *between = opened.entries
    if not (
        outcome.is_of(reversal.actor, OUTCOME)
        and (outcome.subject, outcome.label) == (reversal.subject, reversal.label)
        and link.target < outcome.position < link.cause
    ):
        return False
    prev = link.prev
    for other in between:
        earlier = unpack_link(other.payload)
        if other.position != prev or earlier.target == outcome.position:
            return False
        if not other.is_of(reversal.actor, REVERSAL):
            return False
        prev = earlier.prev
    return prev < outcome.position


def _is_outcome_wrong(rules: ContractRules, reversal: Words, outcome: Words) -> bool:
    """Return whether the reversal takes back another outcome than it says, or too late."""
    return (
        reversal.time_ms - outcome.time_ms > rules.holdback_period_ms
        or not outcome.is_of(rules.contract_id, OUTCOME)
        or outcome.subject != reversal.subject
        or outcome.label != reversal.label
        or outcome.value != reversal.value
    )


def _is_event_wrong(rules: ContractRules, reversal: Words, event: Words) -> bool:
    """Return whether the event that the reversal names is none of this lead, surface and time."""
    return (
        event.kind != PRODUCT_EVENT
        or event.surface != rules.surface
        or event.actor != rules.owner
        or event.subject != reversal.subject
        or event.time_ms != reversal.time_ms
    )


# --- The chain of a contract's entries ------------------------------------------------------------


def _is_start_false(link: Link, entry: Words) -> bool:
    """Return whether a running count and sum are false with any entries before this one."""
    is_first = link.n == 1 and link.total == entry.value
    return link.prev >= entry.position or (link.prev == 0 and not is_first)


def _is_predecessor_false(link: Link, entry: Words, other: Words) -> bool:
    """Return whether `other` is the entry before and does not lead to this one, or was skipped."""
    is_same = other.is_of(entry.actor, entry.kind)
    # Position 0 means "none": no entry names the genesis as the one before.
    if link.prev == 0 or other.position != link.prev:
        return is_same and link.prev < other.position < entry.position
    before = unpack_link(other.payload)
    follows = link.n == before.n + 1 and link.total == before.total + entry.value
    return not (is_same and follows)
