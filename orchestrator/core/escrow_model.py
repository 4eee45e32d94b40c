"""The escrow's arithmetic: when a statement is final, what is released, what must stay reserved.

The same rules as the escrow contract (OutcomeEscrow and its libraries), so that a stranger who has
the terms and the chain's events recomputes what must have been paid. Units are token base units,
times the chain's UTC seconds, which never go back from call to call.

    T2 = deadline + grace     the last second for statements; reversals alone may follow
    T3 = T2 + claim period    the last second for claims; from then on the owner's refund
    T4 = T3 + claim period    the last second to refute or dispute claims; then they are paid

A refusal's code is the name of the contract's error, or the reason in its `Refused` event, written
with hyphens.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import EscrowError
from orchestrator.core.terms import Terms
from orchestrator.core.units import BPS


class Times(NamedTuple):
    """The last seconds of a contract's phases, as the module's table has them."""

    statements_until_s: int
    claims_until_s: int
    refutable_until_s: int


def times_of(terms: Terms) -> Times:
    """T2, T3 and T4."""
    end_s = terms.deadline_s + terms.grace_s
    return Times(end_s, end_s + terms.claim_period_s, end_s + 2 * terms.claim_period_s)


def fee_units(paid: int, net: int, fee_bps: int) -> int:
    """The fee on bringing what was paid from `paid` to `net`; splitting changes nothing."""
    return net * fee_bps // BPS - paid * fee_bps // BPS


def held_units(net: int, young: int, holdback_bps: int) -> int:
    """What of `net` is held back, if `young` was earned too recently to be safe from reversals."""
    return min(net, young) * holdback_bps // BPS


def leaked_units(level: int, elapsed_s: int, cap_units: int, period_s: int) -> int:
    """What is left in the leaky bucket of a rate cap.

    It holds half of the cap and leaks as much in a period, so no rolling period sees more.
    """
    return max(0, level - elapsed_s * (cap_units // 2) // period_s)


@dataclass(slots=True)
class Pending:
    """A statement that can be challenged. It becomes final when `resolves_at_s` has passed."""

    index: int
    earned_units: int
    reversed_units: int
    resolves_at_s: int
    disputed_by_owner: bool = False
    disputed_by_operator: bool = False

    @property
    def is_disputed(self) -> bool:
        return self.disputed_by_owner or self.disputed_by_operator


class Settled(NamedTuple):
    """What became of a statement: the reason why it was refused ("": none), and what was paid."""

    refusal: str
    paid_units: int


class Ended(NamedTuple):
    """What closing a contract moved: to the payee and the fee, and back to the owner."""

    paid_units: int
    refunded_units: int


@dataclass(slots=True)
class EscrowedContract:
    """One contract in the escrow, from its opening on. Every call is one at this second, in order.

    `paid_units` includes fees, `budget_units` is what the contract may still pay in all: what was
    escrowed less what was refunded.
    """

    terms: Terms
    budget_units: int = field(init=False)
    paid_units: int = 0
    refunded_units: int = 0
    final_index: int = 0
    earned_units: int = 0
    reversed_units: int = 0
    adjust_units: int = 0
    pending: Pending | None = None
    finals: list[tuple[int, int]] = field(default_factory=list)  # (since, ever), oldest first
    claims: dict[bytes, int | None] = field(default_factory=dict)  # by key; None once dropped
    claimed_units: int = 0  # the sum of those that stand
    is_disputing_claims: bool = False
    is_ruled_on_claims: bool = False
    ruled_units: int = 0  # the most that is paid of claims, once they are ruled on
    fallen_units: int = 0  # by how much rulings have ever made the gross fall
    cap_level_units: int = 0
    cap_at_s: int = 0
    closed_at_s: int = 0
    is_retired: bool = False

    def __post_init__(self) -> None:
        self.budget_units = self.terms.budget_units

    # --- Reading ----------------------------------------------------------------------------------

    def floor(self, now_s: int) -> int:
        """The index of the last final statement."""
        pending = self.pending
        return pending.index if pending and self._is_ripe(now_s) else self.final_index

    def reach(self) -> int:
        """The highest index of a statement that the verifier has signed here."""
        return self.pending.index if self.pending else self.final_index

    def net_units(self, now_s: int) -> int:
        """What is payable for good, claims apart."""
        if self.terms.is_plain and not self.closed_at_s:
            return self.paid_units
        if self.pending and self._is_ripe(now_s):
            return self._net(self.pending.earned_units, self.pending.reversed_units)
        return self._net(self.earned_units, self.reversed_units)

    def owed_units(self, now_s: int) -> int:
        """What is payable for good and not yet paid, with what is held back."""
        return self._payable(now_s) - self.paid_units

    def releasable_units(self, now_s: int) -> int:
        """What `release` would pay now."""
        due = self._payable(now_s) - self._held_back(now_s) - self.paid_units
        if due <= 0:
            return 0
        if self.terms.rate_cap_units:
            due = min(due, self.terms.rate_cap_units // 2 - self._level(now_s))
        return due

    @property
    def claimable_units(self) -> int:
        """What is paid of the claims if none is refuted any more."""
        if self.is_ruled_on_claims:
            return min(self.ruled_units, self.claimed_units)
        return self.claimed_units

    def releasable_at_s(self, now_s: int) -> int:
        """When, at the latest, all that is owed can have been released, or more is owed; 0: never.

        Under a rate cap this is for those who release what comes due at once, and then in every
        rate period: a bucket that is empty leaks nothing. Each release that pays on the way may
        leave a unit for later.
        """
        amount, pending, terms = self.owed_units(now_s), self.pending, self.terms
        if not amount:
            if pending is not None and not self._is_ripe(now_s):
                return pending.resolves_at_s + 1
            until_s = times_of(terms).refutable_until_s
            return until_s + 1 if self.claimable_units and now_s <= until_s else 0
        at_s, held = now_s, min(amount, self._held_back(now_s))
        if held:
            is_ripe = pending is not None and self._is_ripe(now_s)
            since = pending.resolves_at_s if pending and is_ripe else self.finals[-1][0]
            at_s = since + terms.holdback_period_s + terms.lateness_s
        if terms.rate_cap_units:
            # What is not held back goes into the bucket as it leaks, until the rest comes; then the
            # bucket must leak what does not fit into it.
            cap, period_s = terms.rate_cap_units, terms.rate_period_s
            level = amount - held + self._level(now_s)
            excess = leaked_units(level, at_s - now_s, cap, period_s) + held - cap // 2
            at_s += max(0, -(-excess * period_s // (cap // 2)))
        return at_s

    def reserved_units(self, now_s: int) -> int:
        """The most that can still have been paid when everything is done."""
        most = self.net_units(now_s)
        if self.pending and not self._is_ripe(now_s):
            # A ruling may make the whole budget payable.
            if self.terms.arbiter != ZERO_ADDRESS:
                return self.budget_units
            most = max(most, self._net(self.pending.earned_units, self.pending.reversed_units))
        return min(self.budget_units, max(self.paid_units, most + self.claimable_units))

    # --- Statements -------------------------------------------------------------------------------

    def settle(self, now_s: int, index: int, earned_units: int, reversed_units: int) -> Settled:
        """The contract's settlement entry at `index` is brought, anchored and signed."""
        refusal = self._refusal(now_s, index, earned_units, reversed_units)
        if self.terms.is_plain:
            paid = 0 if refusal else max(0, earned_units - reversed_units - self.paid_units)
            self.paid_units += paid
            self.final_index = self.final_index if refusal else index
            return Settled(refusal, paid)
        if refusal:
            return Settled(refusal, 0)
        self._ripen(now_s)
        refusal = self._refusal_to_put(now_s, index, earned_units, reversed_units)
        if not refusal:
            resolves_at_s = now_s + self.terms.challenge_period_s
            self.pending = Pending(index, earned_units, reversed_units, resolves_at_s)
            if not self.terms.challenge_period_s:
                self._finalize(now_s)
        return Settled(refusal, self._pay(now_s))

    def release(self, now_s: int) -> int:
        """Make final what has become so by itself, and pay what is due; returns what was paid."""
        self._ripen(now_s)
        return self._pay(now_s)

    def dispute(self, now_s: int, index: int, *, by_owner: bool) -> None:
        """The owner or else the operator puts the pending statement before the arbiter."""
        self._ripen(now_s)
        if self.terms.arbiter == ZERO_ADDRESS:
            raise EscrowError("no-arbiter", "the terms name nobody who could rule")
        pending, arbitration_s = self._pending_at(index), self.terms.arbitration_period_s
        if pending.disputed_by_owner if by_owner else pending.disputed_by_operator:
            raise EscrowError("already-disputed", "each side can dispute a statement once")
        until_s = pending.resolves_at_s - (arbitration_s if pending.is_disputed else 0)
        if now_s > until_s:
            raise EscrowError("dispute-too-late", f"it could be disputed until {until_s}")
        pending.disputed_by_owner = pending.disputed_by_owner or by_owner
        pending.disputed_by_operator = pending.disputed_by_operator or not by_owner
        pending.resolves_at_s = until_s + arbitration_s

    def rule(self, now_s: int, index: int, payable_units: int) -> int:
        """The arbiter decides what a disputed statement makes payable; returns what was paid."""
        self._ripen(now_s)
        pending = self._pending_at(index)
        if not pending.is_disputed:
            raise EscrowError("not-disputed", f"nobody disputed the statement at {index}")
        stated = self._net(pending.earned_units, pending.reversed_units)
        least = min(self.net_units(now_s), stated)
        self._check_range(payable_units, least, self.budget_units - self.claimable_units)
        before = self._gross(self.earned_units)
        self.adjust_units = payable_units - (pending.earned_units - pending.reversed_units)
        self.fallen_units += max(0, before - self._gross(pending.earned_units))
        self._finalize(now_s)
        return self._pay(now_s)

    def retire(self, now_s: int) -> None:
        """The verifier was disproved: what is pending is void, and its word counts no more."""
        if self.is_retired:
            raise EscrowError("already-retired", "the verifier was disproved before")
        self._check_not_closed()
        self._ripen(now_s)
        self.pending = None
        self.is_retired = True

    # --- Claims -----------------------------------------------------------------------------------

    def file_claim(self, now_s: int, key: bytes, amount_units: int) -> None:
        """The operator has proven an outcome."""
        self._check_not_closed()
        self._ripen(now_s)
        times = times_of(self.terms)
        self._check_between(now_s, times.statements_until_s, times.claims_until_s)
        if self.pending and self.pending.earned_units > self.earned_units:
            until_s = self.pending.resolves_at_s
            raise EscrowError("statement-pending", f"a statement is pending until {until_s}")
        if key in self.claims:
            raise EscrowError("already-claimed", f"0x{key.hex()} was claimed before")
        most = self.net_units(now_s)
        if self.pending:
            most = max(most, self._net(self.pending.earned_units, self.pending.reversed_units))
        left = max(0, self.budget_units - most - self.claimed_units)
        if amount_units > left:
            raise EscrowError("claim-over-budget", f"{amount_units} is more than {left}")
        self.claims[key] = amount_units
        self.claimed_units += amount_units

    def drop_claim(self, now_s: int, key: bytes) -> None:
        """The log has refuted a claim: it comes off their sum, ruled on or not."""
        self._check_not_closed()
        amount = self.claims.get(key)
        if amount is None:
            raise EscrowError("no-claim", f"there is no open claim 0x{key.hex()}")
        times = times_of(self.terms)
        self._check_between(now_s, times.statements_until_s, times.refutable_until_s)
        self.claims[key] = None
        self.claimed_units -= amount

    def dispute_claims(self, now_s: int) -> None:
        """The owner or the operator puts the sum of all claims before the arbiter."""
        if not self.claimed_units:
            raise EscrowError("no-claims", "nothing is claimed")
        if self.is_disputing_claims or self.is_ruled_on_claims:
            raise EscrowError("claims-already-disputed", "the claims were disputed before")
        self._check_second_half(now_s)
        self.is_disputing_claims = True

    def rule_claims(self, now_s: int, amount_units: int) -> None:
        """The arbiter decides how much of the disputed claims is paid at most."""
        if not self.is_disputing_claims:
            raise EscrowError("claims-not-disputed", "no claims are before the arbiter")
        if amount_units > self.claimed_units:
            raise EscrowError(
                "more-than-claimed", f"{amount_units} is more than {self.claimed_units}"
            )
        self._check_second_half(now_s)
        self.is_disputing_claims, self.is_ruled_on_claims = False, True
        self.ruled_units = amount_units

    # --- End --------------------------------------------------------------------------------------

    def close(self, now_s: int, payable_units: int) -> Ended:
        """Both parties say what is payable; the rest goes back at once."""
        self._check_not_closed()
        self._ripen(now_s)
        self._check_range(payable_units, self.paid_units, self.budget_units)
        self.pending, self.claimed_units = None, 0
        self.is_disputing_claims, self.is_ruled_on_claims = False, True
        self.adjust_units = payable_units - (self.earned_units - self.reversed_units)
        rest = self.budget_units - payable_units
        self.budget_units, self.closed_at_s = payable_units, now_s
        self.refunded_units += rest
        return Ended(self._pay(now_s), rest)

    def refund(self, now_s: int) -> int:
        """Give back what can no longer become payable; returns how much."""
        from_s = times_of(self.terms).claims_until_s
        if now_s <= from_s:
            raise EscrowError("refund-too-early", f"nothing is refunded until {from_s}")
        self._ripen(now_s)
        reserved = self.reserved_units(now_s)
        if reserved == self.budget_units:
            raise EscrowError("nothing-to-refund", f"all of {reserved} is paid or reserved")
        rest, self.budget_units = self.budget_units - reserved, reserved
        self.refunded_units += rest
        return rest

    # --- Inside -----------------------------------------------------------------------------------

    def _refusal(self, now_s: int, index: int, earned: int, reversed_: int) -> str:
        terms, net = self.terms, earned - reversed_
        unit = 0 if terms.revenue_share_bps else terms.unit_price_units
        is_late = now_s > times_of(terms).statements_until_s
        if self.closed_at_s:
            return "closed"
        if self.is_retired:
            return "verifier-retired"
        rules = (
            ("ended", terms.is_plain and is_late),
            ("already-settled", index <= self.final_index),
            ("wrong-value", net < 0),
            ("wrong-price", unit and (earned % unit or reversed_ % unit)),
            ("over-budget", terms.is_plain and net > self.budget_units),
            ("earned-fell", terms.is_plain and earned < self.paid_units),
        )
        return next((name for name, is_broken in rules if is_broken), "")

    def _refusal_to_put(self, now_s: int, index: int, earned: int, reversed_: int) -> str:
        end_s = times_of(self.terms).statements_until_s
        only_reverses = earned == self.earned_units and reversed_ > self.reversed_units
        until_s = end_s + (self.terms.holdback_period_s if only_reverses else 0)
        rules = (
            ("pending", self.pending is not None),
            ("already-settled", index <= self.final_index),
            ("over-budget", earned - reversed_ > self.terms.budget_units),
            ("earned-fell", earned < self.earned_units),
            ("reversed-fell", reversed_ < self.reversed_units),
            ("ended", now_s > until_s),
        )
        return next((name for name, is_broken in rules if is_broken), "")

    def _is_ripe(self, now_s: int) -> bool:
        return self.pending is not None and now_s > self.pending.resolves_at_s

    def _ripen(self, now_s: int) -> None:
        if self.pending and self._is_ripe(now_s):
            self._finalize(self.pending.resolves_at_s)

    def _finalize(self, since_s: int) -> None:
        pending, self.pending = self.pending, None
        if pending is None:
            return
        self.final_index = pending.index
        self.earned_units = pending.earned_units
        self.reversed_units = pending.reversed_units
        self.finals.append((since_s, self._ever(self.earned_units)))

    def _pending_at(self, index: int) -> Pending:
        if self.pending is None or self.pending.index != index:
            raise EscrowError("not-pending", f"the statement at {index} is not pending")
        return self.pending

    def _gross(self, earned: int) -> int:
        return max(0, earned + self.adjust_units)

    def _ever(self, earned: int) -> int:
        """The gross with what rulings took off: it never falls from one final to the next."""
        return self._gross(earned) + self.fallen_units

    def _net(self, earned: int, reversed_: int) -> int:
        return max(0, min(self.budget_units, earned - reversed_ + self.adjust_units))

    def _payable(self, now_s: int) -> int:
        """What is payable for good, with claims once they are; never less than what is paid."""
        payable = self.net_units(now_s)
        if now_s > times_of(self.terms).refutable_until_s:
            payable = min(self.budget_units, payable + self.claimable_units)
        return max(payable, self.paid_units)

    def _held_back(self, now_s: int) -> int:
        """The holdback share of what was earned too recently, whatever was taken off since."""
        if not self.terms.holdback_bps or self.closed_at_s:
            return 0
        at_s = now_s - self.terms.holdback_period_s - self.terms.lateness_s
        pending = self.pending if self._is_ripe(now_s) else None
        if pending and at_s >= pending.resolves_at_s:
            return 0
        place = bisect_right(self.finals, at_s, key=lambda final: final[0])
        matured = self.finals[place - 1][1] if place else 0
        ever = self._ever(pending.earned_units if pending else self.earned_units)
        young = max(0, ever - matured)
        return held_units(self.net_units(now_s), young, self.terms.holdback_bps)

    def _level(self, now_s: int) -> int:
        elapsed_s, terms = now_s - self.cap_at_s, self.terms
        return leaked_units(
            self.cap_level_units, elapsed_s, terms.rate_cap_units, terms.rate_period_s
        )

    def _pay(self, now_s: int) -> int:
        amount = self.releasable_units(now_s)
        if amount and self.terms.rate_cap_units:
            self.cap_level_units, self.cap_at_s = self._level(now_s) + amount, now_s
        self.paid_units += amount
        return amount

    def _check_not_closed(self) -> None:
        if self.closed_at_s:
            raise EscrowError("already-closed", f"its parties closed it at {self.closed_at_s}")

    def _check_second_half(self, now_s: int) -> None:
        times = times_of(self.terms)
        self._check_between(now_s, times.claims_until_s, times.refutable_until_s)

    @staticmethod
    def _check_between(now_s: int, from_s: int, until_s: int) -> None:
        if not from_s < now_s <= until_s:
            raise EscrowError(
                "claims-not-open", f"this is possible after {from_s} until {until_s}, not {now_s}"
            )

    @staticmethod
    def _check_range(payable_units: int, least: int, most: int) -> None:
        if not least <= payable_units <= most:
            raise EscrowError(
                "payable-out-of-range", f"{payable_units} is not from {least} to {most}"
            )
