"""Contradictions in a contract's running totals and its statements."""

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    OVER,
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
        return is_start_false(link, outcome)
    earned_before = link.total - outcome.value
    return is_predecessor_false(link, outcome, opened.entries[1]) or (
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


# --- The chain of a contract's entries ------------------------------------------------------------


def is_start_false(link: Link, entry: Words) -> bool:
    """Return whether a running count and sum are false with any entries before this one."""
    is_first = link.n == 1 and link.total == entry.value
    return link.prev >= entry.position or (link.prev == 0 and not is_first)


def is_predecessor_false(link: Link, entry: Words, other: Words) -> bool:
    """Return whether `other` is the entry before and does not lead to this one, or was skipped."""
    is_same = other.is_of(entry.actor, entry.kind)
    # Position 0 means "none": no entry names the genesis as the one before.
    if link.prev == 0 or other.position != link.prev:
        return is_same and link.prev < other.position < entry.position
    before = unpack_link(other.payload)
    follows = link.n == before.n + 1 and link.total == before.total + entry.value
    return not (is_same and follows)
