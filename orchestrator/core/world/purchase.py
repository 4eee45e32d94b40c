"""Purchases: the transitions that a later event may take back, and what it takes.

A transition into a state that the policy can reverse is a purchase of its lead. One that names an
order founds the order: refunds that name it take back from this purchase, in parts if they say so.
The same rules hold here, in the escrow's evidence and in a stranger's replay:

* A refund that names an order takes back its value from the order's purchase, or all that is left
  where it has no value. It takes nothing of an order whose purchase the policy refused, or which
  led where nothing is taken back. One that names none takes all that is left of the lead's latest
  purchase into that state that was paid for.
* Of an outcome that paid `amount` for a purchase of `value`, f(r) is taken back in all once r of
  the value was given back: ⌊r x revenue share⌋ for r < value, and the whole amount for r = value.
  So it does not matter in how many parts a refund comes; the unit price goes with the last.
* A refund that happened later than the holdback period after its outcome takes nothing, and counts
  for nothing; nor does one under another policy than the contract's, once its parties closed it.
  Both are evidence for the operator's level.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.contract import ContractRules

# The most purchases that a lead has in memory with an order, and as many without. They are looked
# through at each of its refunds, and written with the lead.
MAX_ORDERS = MAX_WITHOUT_ORDER = 1_000
# The most orders of a lead that are remembered without a purchase, the latest ones.
MAX_UNFOUNDED = 100


class PaidOutcome(NamedTuple):
    """The paid outcome of a purchase, and the last time of an event that can take from it."""

    contract_id: bytes
    position: int
    amount_units: int
    expires_ms: int


@dataclass(slots=True)
class Purchase:
    """A purchase: the transition at `position`, and what was given back of it so far.

    `order` is its order's random word, zero for none. `outcome` is what it was paid for, if it was.
    `last_refund` is the position of the event that took from it last; 0 for none. `late_units` of
    its value were given back too late to take anything, or after the contract's policy.
    """

    position: int
    state: str
    value_units: int
    order: bytes = ZERO_WORD
    outcome: PaidOutcome | None = None
    refunded_units: int = 0
    last_refund: int = 0
    is_spent: bool = False
    late_units: int = 0

    @property
    def is_needless(self) -> bool:
        """Return whether no event can take from it, nor be told that its order is unknown.

        Orders are kept for good.
        """
        return self.order == ZERO_WORD and (self.is_spent or self.outcome is None)

    def is_open(self, at_ms: int) -> bool:
        """Return whether an event of this time can still take from it."""
        return not self.is_spent and (self.outcome is None or at_ms <= self.outcome.expires_ms)

    @property
    def is_given_back(self) -> bool:
        """Return whether all of it was given back, be it that this took nothing.

        A purchase without revenue goes with any refund: a unit that it never had stands for that.
        """
        return self.is_spent or self.refunded_units + self.late_units >= max(self.value_units, 1)

    def take_late(self, rules: ContractRules, value_units: int) -> int:
        """Count a refund that can take nothing; return what it would have taken of the outcome.

        One of no value is of all that is left.
        """
        value = self.value_units
        before = self.refunded_units + self.late_units
        if self.outcome is None or self.is_given_back:
            return 0
        after = min(value, before + value_units) if value_units else value
        self.late_units = max(after, 1) - self.refunded_units
        taken = taken_units(rules, self.outcome.amount_units, value, after)
        return taken - rules.share_units(before)


class Taking(NamedTuple):
    """The parts that an event takes back of a purchase: of its value, and of what it paid."""

    purchase: Purchase
    refunded_after: int
    amount_units: int
    whole: bool


def taking(
    purchase: Purchase, rules: ContractRules | None, value_units: int, *, whole: bool
) -> Taking:
    """Return what an event of this value takes from a purchase that is open to it.

    `rules` are those of the contract that paid for it, None where none did.
    """
    after = purchase.value_units
    if not whole:
        after = min(after, purchase.refunded_units + value_units)
    amount = 0
    if purchase.outcome is not None and rules is not None:
        amount = taken_units(rules, purchase.outcome.amount_units, purchase.value_units, after)
        # What was left is less than the value, or nothing was taken before.
        amount -= rules.share_units(purchase.refunded_units)
    return Taking(purchase, after, amount, whole)


def taken_units(rules: ContractRules, amount_units: int, value_units: int, refunded: int) -> int:
    """Return f: what is taken back in all of an outcome once so much of its value was refunded."""
    return amount_units if refunded >= value_units else rules.share_units(refunded)


def purchase_of_order(purchases: Iterable[Purchase], order: bytes) -> Purchase | None:
    """Return the purchase that founded this order, or None."""
    return next((purchase for purchase in purchases if purchase.order == order), None)


def latest_purchase(purchases: Iterable[Purchase], state: str) -> Purchase | None:
    """Return the purchase that an event without an order takes back, or None.

    It is the latest into the state that was paid for and has something left. Only this one is ever
    looked at: one that is open no more is not passed over for an older one.
    """
    found = None
    for one in purchases:
        if one.state == state and one.outcome is not None and not one.is_spent:
            found = one
    return found


def untaken_purchase(
    purchases: Iterable[Purchase],
    order: bytes,
    states: Iterable[str],
    at_ms: int,
    is_governed: Callable[[bytes], bool],
) -> Purchase | None:
    """Return the purchase that an event of this time is about, and can take nothing from.

    Either it comes too late, or the contract that paid is not governed by the policy in force, as
    one that both parties closed need not be.
    """
    if order != ZERO_WORD:
        found = purchase_of_order(purchases, order)
        named = [found] if found is not None and found.state in states else []
    else:
        left = [one for one in purchases if not one.is_given_back]
        latest = (latest_purchase(left, state) for state in states)
        named = [one for one in latest if one is not None]
    for one in named:
        paid = one.outcome
        if paid and (at_ms > paid.expires_ms or not is_governed(paid.contract_id)):
            return one
    return None


def forget_needless(purchases: list[Purchase], horizon_ms: int) -> list[Purchase]:
    """Return the purchases without which an event from `horizon_ms` on would take back another.

    One that is open no more is needed only where it stands before an older one that still is. Of
    those without an order, no more than the latest `MAX_WITHOUT_ORDER` are kept.
    """
    open_states: set[str] = set()
    kept: list[Purchase] = []
    for one in purchases:
        if one.outcome is not None and one.is_open(horizon_ms):
            open_states.add(one.state)
        is_shadowed = one.state not in open_states and one.order == ZERO_WORD
        if not (one.is_needless or is_shadowed):
            kept.append(one)
    excess = sum(one.order == ZERO_WORD for one in kept) - MAX_WITHOUT_ORDER
    if excess <= 0:
        return kept
    dropped = [one.position for one in kept if one.order == ZERO_WORD][:excess]
    return [one for one in kept if one.position not in set(dropped)]


def next_sweep(count: int) -> int:
    """Return the number of purchases at which they are looked through next, having so many now.

    Twice as many, so that it costs O(1) a purchase, but never far above the most that are kept.
    """
    return count + min(count, MAX_WITHOUT_ORDER) + 8
