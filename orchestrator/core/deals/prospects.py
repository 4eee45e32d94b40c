"""The prospects of terms: where they can earn nothing, or less than they seem to.

These follow from the terms and the surface's policy alone, so every client can tell them before a
party signs. What only the chain knows of the accounts in terms is found elsewhere, and told beside.
"""

from collections.abc import Iterator

from orchestrator.core.common.units import DAY_S, format_amount, format_duration, format_second
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms
from orchestrator.core.surface.policy import Policy

# A contract that opens later than this keeps its operator from earning for long.
_SOON_S = 2 * DAY_S


def find_prospects(
    terms: Terms, policy: Policy | None, token: TokenInfo, now_s: int
) -> Iterator[str]:
    """Yield what a signer should know of what these terms can earn; `policy` is that in force."""
    yield from _money(terms, token)
    yield from _times(terms, now_s)
    if policy is None or policy.hash != terms.policy:
        yield (
            "the surface's policy is another by now: a contract under the old one earns nothing; "
            "draft it anew"
        )
    else:
        yield from _rules(terms, policy)


def _money(terms: Terms, token: TokenInfo) -> Iterator[str]:
    def amount(units: int) -> str:
        return f"{format_amount(units, token.decimals)} {token.symbol}"

    price, budget = terms.unit_price_units, terms.budget_units
    if price > budget:
        yield (
            f"the price of {amount(price)} is above the budget of {amount(budget)}: no outcome "
            f"can ever be paid"
        )
    elif price and not terms.revenue_share_bps and budget % price:
        yield (
            f"{amount(budget % price)} of the budget can never be paid: the price does not divide "
            f"it"
        )


def _times(terms: Terms, now_s: int) -> Iterator[str]:
    lasts_s = terms.deadline_s - terms.opens_at_s
    if terms.opens_at_s > now_s:
        wait_s = terms.opens_at_s - now_s
        late = "" if wait_s <= _SOON_S else f", {format_duration(wait_s // DAY_S * DAY_S)} from now"
        yield f"touches before {format_second(terms.opens_at_s)}{late} earn nothing"
    if not lasts_s:
        yield "it ends in the second in which it opens: hardly an outcome can fall into it"
    if not terms.attribution_window_s:
        yield "the window is zero: an outcome counts only in the millisecond of its touch"
    elif terms.attribution_window_s > lasts_s:
        yield (
            f"it ends {format_duration(lasts_s)} after it opens, before the window of "
            f"{format_duration(terms.attribution_window_s)} can end: touches count for no longer "
            f"than that"
        )
    reversible_s = terms.lateness_s + terms.holdback_period_s
    if terms.holdback_period_s and reversible_s > terms.grace_s:
        yield (
            f"the last outcomes are held until {format_second(terms.deadline_s + reversible_s)}, "
            f"after the time for statements has ended: from then on only refunds are stated, and "
            f"what is held is released by a call of its own"
        )


def _rules(terms: Terms, policy: Policy) -> Iterator[str]:
    if terms.outcome not in _reachable(policy):
        yield (
            f"no path in the policy leads from {policy.initial!r} to {terms.outcome!r}: no lead "
            f"can ever get there"
        )
    if terms.attribution == "last_touch":
        yield (
            "the last touch wins, and the owner can suspend the operator: a touch that it may no "
            "longer renew can lapse, or lose to a later one"
        )
    if policy.is_reversible(terms.outcome) and not terms.holdback_period_s:
        yield f"a refund takes no outcome into {terms.outcome!r} back, for there is no hold"
    if terms.holdback_period_s and not policy.is_reversible(terms.outcome):
        yield f"no event takes {terms.outcome!r} back, so the hold only delays payment"


def _reachable(policy: Policy) -> set[str]:
    """Return the states that a lead can enter, however it gets there."""
    entered: set[str] = set()
    found = {policy.initial}
    while found:
        found = {
            move.to
            for move in policy.transitions
            if found.intersection(move.from_states) and move.to not in entered
        }
        entered |= found
    return entered
