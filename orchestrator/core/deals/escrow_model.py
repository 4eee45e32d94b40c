"""The escrow's arithmetic: when a statement is final, what is released, what must stay reserved.

The same rules as the escrow contract (OutcomeEscrow and its libraries), so that a stranger who has
the terms and the chain's events recomputes what must have been paid. Units are token base units,
times the chain's UTC seconds, which never go back from call to call. `Times` names the phases of a
contract.

A refusal's code is the name of the contract's error, or the reason in its `Refused` event, written
with hyphens.
"""

from bisect import bisect_right
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from orchestrator.core.common.errors import EscrowError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import BPS, DAY_S
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS


class Times(NamedTuple):
    """The last seconds of a contract's phases after its deadline.

    T2 = deadline + grace     the last second for statements; reversals alone may follow
    T3 = T2 + claim period    the last second for claims; from then on the owner's refund
    T4 = T3 + claim period    the last second to refute or dispute claims; then they are paid. It
                              is later, deadline + lateness + holdback period + 1 day, where
                              outcomes can be taken back for so long. Without a claim period T4 = T3
    """

    statements_until_s: int  # T2
    claims_until_s: int  # T3
    refutable_until_s: int  # T4


def times_of(terms: Terms) -> Times:
    """Return T2, T3 and T4."""
    end_s = terms.deadline_s + terms.grace_s
    claims_until_s = end_s + terms.claim_period_s
    if not terms.claim_period_s:
        return Times(end_s, end_s, end_s)
    # Claims are not held back: none is paid while an event can still take its outcome back, nor
    # within a day of the last such event, which must be anchored and shown.
    reversible_until_s = terms.deadline_s + terms.lateness_s + terms.holdback_period_s
    refutable_until_s = max(claims_until_s + terms.claim_period_s, reversible_until_s + DAY_S)
    return Times(end_s, claims_until_s, refutable_until_s)


def fee_of_payment(paid_before: int, paid_after: int, fee_bps: int) -> int:
    """Return the fee inside a payment that brings what was paid from one sum to another.

    The fee of a contract is F(paid) = ⌊paid x fee_bps / 10^4⌋ over all that it has paid, gross. A
    payment's fee is the difference, so that splitting payments changes neither fee nor payout.
    """
    return paid_after * fee_bps // BPS - paid_before * fee_bps // BPS


def held_units(net: int, young: int, holdback_bps: int) -> int:
    """Return what is held back of `net` if `young` was earned too recently to be safe."""
    return min(net, young) * holdback_bps // BPS


def leaked_units(level: int, elapsed_s: int, cap_units: int, period_s: int) -> int:
    """Return what is left in the leaky bucket of a rate cap.

    It holds half of the cap and leaks as much in a period, so no rolling period sees more.
    """
    return max(0, level - elapsed_s * (cap_units // 2) // period_s)


@dataclass(slots=True)
class PendingStatement:
    """A statement that can be challenged. It becomes final when `resolves_at_s` has passed."""

    position: int
    earned_units: int
    reversed_units: int
    resolves_at_s: int
    disputed_by_owner: bool = False
    disputed_by_operator: bool = False

    @property
    def is_disputed(self) -> bool:
        return self.disputed_by_owner or self.disputed_by_operator


class ProvenReversal(NamedTuple):
    """The part of a settled outcome that an event takes back; `happened` is the event's position.

    `value_units` is the outcome's amount, and `sum_units` what the contract had earned with it.
    """

    happened: int
    outcome: int
    value_units: int
    sum_units: int
    amount_units: int


class StatementResult(NamedTuple):
    """A statement's reception: the reason for its refusal ("": none), and what was paid."""

    refusal: str
    paid_units: int


class CloseResult(NamedTuple):
    """The amounts that a closing moved: to the payee and the fee, and back to the owner."""

    paid_units: int
    refunded_units: int


class FinalTotal(NamedTuple):
    """The cumulative gross that was final from a second on."""

    since_s: int
    cumulative_gross_units: int


_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")
_Call = Callable[Concatenate["EscrowedContract", _Arguments], _Answer]


def _whole(call: _Call[_Arguments, _Answer]) -> _Call[_Arguments, _Answer]:
    """Let a call that is refused change nothing, as a transaction that reverts.

    It may have found that the pending statement became final before it was refused.
    """

    @wraps(call)
    def tried(
        self: "EscrowedContract", /, *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Answer:
        before, finals = copy(self), len(self.final_totals)
        try:
            return call(self, *arguments, **named)
        except EscrowError:
            for one in fields(self):
                setattr(self, one.name, getattr(before, one.name))
            del self.final_totals[finals:]
            raise

    return tried


@dataclass(slots=True)
class EscrowedContract:
    """One contract in the escrow, from its opening on. Calls come in the order of time.

    `paid_units` includes fees, `budget_units` is what the contract may still pay in all: what was
    escrowed less what was refunded. *Gross* is what was earned, adjusted by rulings; *net* is that
    less what was reversed; the *cumulative gross* never falls. A statement says what the events
    below it took back; what is reversed is that, and what was proven by events above it.
    """

    terms: Terms
    budget_units: int = field(init=False)
    paid_units: int = 0
    refunded_units: int = 0
    final_position: int = 0
    earned_units: int = 0
    reversed_units: int = 0
    adjustment_units: int = 0
    proven_units: int = 0  # taken back by events above the last final statement
    proven_above_units: int = 0  # the part by events above the pending statement
    proven_until: int = 0  # position of the highest event that was shown
    shown: set[int] = field(default_factory=set)  # positions of events
    taken_units: dict[int, int] = field(default_factory=dict)  # by position of the outcome
    pending: PendingStatement | None = None
    final_totals: list[FinalTotal] = field(default_factory=list)  # oldest first
    claims: dict[bytes, int | None] = field(default_factory=dict)  # by key; None once dropped
    claimed_units: int = 0  # the sum of those that stand
    claims_disputed: bool = False
    claims_ruled: bool = False
    ruled_units: int = 0  # the most that is paid of claims, once they are ruled on
    lowered_units: int = 0  # by how much rulings have ever lowered the gross
    cap_level_units: int = 0
    cap_at_s: int = 0
    closed_at_s: int = 0
    is_retired: bool = False

    def __post_init__(self) -> None:
        self.budget_units = self.terms.budget_units

    # --- Reading ----------------------------------------------------------------------------------

    def last_final(self, now_s: int) -> int:
        """Return the position of the last final statement."""
        pending = self.pending
        return pending.position if pending and self._is_matured(now_s) else self.final_position

    def last_signed(self) -> int:
        """Return the position of the last statement that the verifier has signed here."""
        return self.pending.position if self.pending else self.final_position

    @property
    def stated_units(self) -> int:
        """The amount that the pending statement would make payable, 0 if there is none."""
        return self._pending_net(self.pending) if self.pending else 0

    def net_units(self, now_s: int) -> int:
        """Return what is payable for good, claims apart."""
        # Of a closed contract the whole budget is payable: that is what the parties agreed on.
        if self.closed_at_s:
            return self.budget_units
        if self.terms.is_plain:
            return self.paid_units
        if self.pending and self._is_matured(now_s):
            return self._pending_net(self.pending)
        return self._net(self.earned_units, self.reversed_in_force_units)

    @property
    def reversed_in_force_units(self) -> int:
        """The units that are taken back from the last final statement that is stored as such."""
        return self.reversed_units + self.proven_units

    def owed_units(self, now_s: int) -> int:
        """Return what is payable for good and not yet paid, with what is held back."""
        return self._payable(now_s) - self.paid_units

    def releasable_units(self, now_s: int, *, with_claims: bool = True) -> int:
        """Return what `release` would pay now, or a settlement, which pays no claims."""
        payable = self._payable(now_s, with_claims=with_claims)
        due = payable - self._held_back(now_s) - self.paid_units
        if due <= 0:
            return 0
        if self.terms.rate_cap_units:
            due = min(due, self.terms.rate_cap_units // 2 - self._level(now_s))
        return due

    @property
    def claimable_units(self) -> int:
        """The amount that is paid of the claims if none is refuted any more."""
        if self.claims_ruled:
            return min(self.ruled_units, self.claimed_units)
        return self.claimed_units

    def releasable_at_s(self, now_s: int) -> int:
        """Return the latest second by which all that is owed can be released; 0: nothing is owed.

        Where nothing is owed yet, it is the second from which a pending statement or claims are.
        Under a rate cap this is for a caller who releases what comes due at once, and then in every
        rate period: a bucket that is empty leaks nothing. Each release that pays on the way may
        leave a unit for later.
        """
        amount, pending, terms = self.owed_units(now_s), self.pending, self.terms
        if not amount:
            if pending is not None and not self._is_matured(now_s):
                return pending.resolves_at_s + 1
            until_s = times_of(terms).refutable_until_s
            return until_s + 1 if self.claimable_units and now_s <= until_s else 0
        at_s, held = now_s, min(amount, self._held_back(now_s))
        if held:
            # A matured statement is final since its challenge period ended, not since this call.
            matured = pending if self._is_matured(now_s) else None
            since_s = matured.resolves_at_s if matured else self.final_totals[-1].since_s
            at_s = since_s + terms.holdback_period_s + terms.lateness_s
        if terms.rate_cap_units:
            # What is not held back goes into the bucket as it leaks, until the rest comes; then the
            # bucket must leak what does not fit into it.
            cap, period_s = terms.rate_cap_units, terms.rate_period_s
            level = amount - held + self._level(now_s)
            excess = leaked_units(level, at_s - now_s, cap, period_s) + held - cap // 2
            at_s += max(0, -(-excess * period_s // (cap // 2)))
        return at_s

    def reserved_units(self, now_s: int) -> int:
        """Return the most that can still have been paid when everything is done."""
        most = self.net_units(now_s)
        if self.pending and not self._is_matured(now_s):
            # A ruling may make the whole budget payable.
            if self.terms.arbiter != ZERO_ADDRESS:
                return self.budget_units
            most = max(most, self._pending_net(self.pending))
        return min(self.budget_units, max(self.paid_units, most + self.claimable_units))

    # --- Statements -------------------------------------------------------------------------------

    def settle(
        self, now_s: int, position: int, earned_units: int, reversed_units: int
    ) -> StatementResult:
        """Take the contract's settlement entry at `position`, which is anchored and signed."""
        refusal = self._refusal(now_s, position, earned_units, reversed_units)
        if self.terms.is_plain:
            paid = 0 if refusal else max(0, earned_units - reversed_units - self.paid_units)
            self.paid_units += paid
            self.final_position = self.final_position if refusal else position
            return StatementResult(refusal, paid)
        if refusal:
            return StatementResult(refusal, 0)
        self._mature(now_s)
        refusal = self._refusal_to_put(now_s, position, earned_units, reversed_units)
        if not refusal:
            resolves_at_s = now_s + self.terms.challenge_period_s
            self.pending = PendingStatement(position, earned_units, reversed_units, resolves_at_s)
            self.proven_above_units = 0  # it states all events that were shown
            if not self.terms.challenge_period_s:
                self._finalize(now_s)
        # Also behind a refusal from here on: bringing a statement releases what has come due, but
        # for claims, whose time is not among the words that a settlement brings.
        return StatementResult(refusal, self._pay(now_s, with_claims=False))

    def release(self, now_s: int, *, with_claims: bool = True) -> int:
        """Finalize a matured statement, then pay what is due; return what was paid.

        A statement that is brought and refused does the same without the claims.
        """
        self._mature(now_s)
        return self._pay(now_s, with_claims=with_claims)

    @_whole
    def dispute(self, now_s: int, position: int, *, by_owner: bool) -> None:
        """Put the pending statement before the arbiter, for the owner or else the operator."""
        self._mature(now_s)
        if self.terms.arbiter == ZERO_ADDRESS:
            raise EscrowError("no-arbiter", "the terms name no arbiter")
        pending, arbitration_s = self._pending_at(position), self.terms.arbitration_period_s
        if pending.disputed_by_owner if by_owner else pending.disputed_by_operator:
            raise EscrowError("already-disputed", "each side can dispute a statement once")
        # The first dispute has moved the end; the second side's time is the one before that.
        until_s = pending.resolves_at_s - (arbitration_s if pending.is_disputed else 0)
        if now_s > until_s:
            raise EscrowError("dispute-too-late", f"it could be disputed until {until_s}")
        pending.disputed_by_owner = pending.disputed_by_owner or by_owner
        pending.disputed_by_operator = pending.disputed_by_operator or not by_owner
        pending.resolves_at_s = until_s + arbitration_s

    @_whole
    def rule(self, now_s: int, position: int, payable_units: int) -> int:
        """Decide as the arbiter what a disputed statement makes payable; return what was paid."""
        self._mature(now_s)
        pending = self._pending_at(position)
        if not pending.is_disputed:
            raise EscrowError("not-disputed", f"the statement at {position} is not disputed")
        stated = self._pending_net(pending)
        least = min(self.net_units(now_s), stated)
        self._check_range(payable_units, least, self.budget_units - self.claimable_units)
        before = self._gross(self.earned_units)
        reversed_ = pending.reversed_units + self.proven_above_units
        self.adjustment_units = payable_units - (pending.earned_units - reversed_)
        self.lowered_units += max(0, before - self._gross(pending.earned_units))
        self._finalize(now_s)
        return self._pay(now_s)

    @_whole
    def retire(self, now_s: int) -> None:
        """Retire a disproved verifier: void what is pending, and take no more of its statements."""
        self._check_not_closed()
        if self.is_retired:
            raise EscrowError("already-retired", "the verifier was disproved before")
        self._mature(now_s)
        self._discard()
        self.is_retired = True

    @_whole
    def record_reversal(self, now_s: int, reversal: ProvenReversal) -> None:
        """Add what an event takes back, while money of the outcome is held back.

        The event stands above the last final statement, the outcome on or below it.
        """
        self._check_not_closed()
        self._mature(now_s)
        happened, outcome, value, sum_, amount = reversal
        if happened in self.shown:
            raise EscrowError("already-recorded", f"the event at {happened} was shown before")
        taken = self.taken_units.get(outcome, 0) + amount
        if taken > value:
            raise EscrowError(
                "more-than-outcome", f"{taken} would be taken back of the {value} at {outcome}"
            )
        self._check_held(now_s, outcome, sum_)
        self.shown.add(happened)
        self.taken_units[outcome] = taken
        self.proven_units += amount
        if self.pending is not None and happened > self.pending.position:
            self.proven_above_units += amount
        self.proven_until = max(self.proven_until, happened)

    def _check_held(self, now_s: int, outcome: int, sum_units: int) -> None:
        """Refuse an outcome that is paid for good: the contract had earned this much with it."""
        # Rulings may have made it look older or younger: then it counts as younger.
        up_to = sum_units + max(0, self.adjustment_units) + self.lowered_units
        matured = self._old_gross(now_s) if self.terms.holdback_bps else up_to
        if up_to <= matured:
            raise EscrowError(
                "not-held",
                f"nothing is held back of the outcome at {outcome}: {up_to} is not above {matured}",
            )

    # --- Claims -----------------------------------------------------------------------------------

    @_whole
    def file_claim(self, now_s: int, key: bytes, amount_units: int) -> None:
        """File an outcome that the operator has proven."""
        self._check_not_closed()
        self._mature(now_s)
        times = times_of(self.terms)
        self._check_between(now_s, times.statements_until_s, times.claims_until_s)
        if self.pending and self.pending.earned_units > self.earned_units:
            until_s = self.pending.resolves_at_s
            raise EscrowError("statement-pending", f"a statement is pending until {until_s}")
        if key in self.claims:
            raise EscrowError("already-claimed", f"{to_hex(key)} was claimed before")
        # A pending statement that only reverses may still be disputed away: the higher net counts.
        most = self.net_units(now_s)
        if self.pending:
            most = max(most, self._pending_net(self.pending))
        left = max(0, self.budget_units - most - self.claimed_units)
        if amount_units > left:
            raise EscrowError("claim-over-budget", f"{amount_units} is more than {left}")
        self.claims[key] = amount_units
        self.claimed_units += amount_units

    def lower_claim(self, now_s: int, key: bytes, left_units: int) -> None:
        """Lower a claim that the log has refuted, in whole or in part.

        It comes off the sum of the claims, ruled on or not. One with nothing left is dropped.
        """
        self._check_not_closed()
        amount = self.claims.get(key)
        if amount is None:
            raise EscrowError("no-claim", f"there is no open claim {to_hex(key)}")
        if left_units >= amount:
            raise EscrowError("not-lower", f"{left_units} is not less than the claimed {amount}")
        times = times_of(self.terms)
        self._check_between(now_s, times.statements_until_s, times.refutable_until_s)
        self.claims[key] = left_units or None
        self.claimed_units -= amount - left_units

    def dispute_claims(self, now_s: int) -> None:
        """Put the sum of all claims before the arbiter, for the owner or the operator."""
        self._check_not_closed()
        if not self.claimed_units:
            raise EscrowError("no-claims", "nothing is claimed")
        if self.claims_disputed or self.claims_ruled:
            raise EscrowError("claims-already-disputed", "the claims were disputed before")
        self._check_second_half(now_s)
        self.claims_disputed = True

    def rule_claims(self, now_s: int, amount_units: int) -> None:
        """Decide as the arbiter how much of the disputed claims is paid at most."""
        self._check_not_closed()
        if not self.claims_disputed:
            raise EscrowError("claims-not-disputed", "no claims are before the arbiter")
        if amount_units > self.claimed_units:
            raise EscrowError(
                "more-than-claimed", f"{amount_units} is more than {self.claimed_units}"
            )
        self._check_second_half(now_s)
        self.claims_disputed, self.claims_ruled = False, True
        self.ruled_units = amount_units

    # --- End --------------------------------------------------------------------------------------

    @_whole
    def close(self, now_s: int, payable_units: int) -> CloseResult:
        """Close the contract at what both parties call payable; the rest goes back at once."""
        self._check_not_closed()
        self._mature(now_s)
        self._check_range(payable_units, self.paid_units, self.budget_units)
        self._discard()
        self.claimed_units = 0
        self.claims_disputed, self.claims_ruled = False, True
        rest = self.budget_units - payable_units
        self.budget_units, self.closed_at_s = payable_units, now_s
        self.refunded_units += rest
        return CloseResult(self._pay(now_s), rest)

    @_whole
    def refund(self, now_s: int) -> int:
        """Give back what can no longer become payable; return how much."""
        from_s = times_of(self.terms).claims_until_s
        if now_s <= from_s:
            raise EscrowError("refund-too-early", f"nothing is refunded until {from_s}")
        self._mature(now_s)
        reserved = self.reserved_units(now_s)
        if reserved == self.budget_units:
            raise EscrowError("nothing-to-refund", f"all of {reserved} is paid or reserved")
        rest, self.budget_units = self.budget_units - reserved, reserved
        self.refunded_units += rest
        return rest

    # --- Rules for a statement --------------------------------------------------------------------

    def _refusal(self, now_s: int, position: int, earned: int, reversed_: int) -> str:
        """Return the first rule that the entry breaks, before a matured statement is finalized."""
        terms, net = self.terms, earned - reversed_
        unit = 0 if terms.revenue_share_bps else terms.unit_price_units
        is_late = now_s > times_of(terms).statements_until_s
        if self.closed_at_s:
            return "closed"
        if self.is_retired:
            return "verifier-retired"
        rules = (
            ("ended", terms.is_plain and is_late),
            ("already-settled", position <= self.final_position),
            ("wrong-value", net < 0),
            ("wrong-price", unit and (earned % unit or reversed_ % unit)),
            ("over-budget", terms.is_plain and net > self.budget_units),
            ("earned-fell", terms.is_plain and earned < self.paid_units),
        )
        return next((name for name, is_broken in rules if is_broken), "")

    def _refusal_to_put(self, now_s: int, position: int, earned: int, reversed_: int) -> str:
        """Return the first rule that keeps a statement from becoming the pending one."""
        end_s = times_of(self.terms).statements_until_s
        only_reverses = earned == self.earned_units and reversed_ > self.reversed_units
        until_s = end_s + (self.terms.holdback_period_s if only_reverses else 0)
        rules = (
            ("pending", self.pending is not None),
            ("already-settled", position <= self.final_position),
            ("stale", self.proven_units != 0 and position < self.proven_until),
            ("over-budget", now_s <= end_s and earned - reversed_ > self.budget_units),
            ("earned-fell", earned < self.earned_units),
            ("reversed-fell", reversed_ < self.reversed_units),
            ("ended", now_s > until_s),
        )
        return next((name for name, is_broken in rules if is_broken), "")

    def _pending_at(self, position: int) -> PendingStatement:
        if self.pending is None or self.pending.position != position:
            raise EscrowError("not-pending", f"the statement at {position} is not pending")
        return self.pending

    def _is_matured(self, now_s: int) -> bool:
        """Return whether the pending statement became final by itself: its time has passed."""
        return self.pending is not None and now_s > self.pending.resolves_at_s

    def _mature(self, now_s: int) -> None:
        if self.pending and self._is_matured(now_s):
            self._finalize(self.pending.resolves_at_s)

    def _finalize(self, since_s: int) -> None:
        pending = self.pending
        if pending is None:
            return
        self.proven_units = self.proven_above_units
        self._discard()
        self.final_position = pending.position
        self.earned_units = pending.earned_units
        self.reversed_units = pending.reversed_units
        self.final_totals.append(FinalTotal(since_s, self._cumulative_gross(self.earned_units)))

    def _discard(self) -> None:
        self.pending, self.proven_above_units = None, 0

    # --- Amounts ----------------------------------------------------------------------------------

    def _gross(self, earned: int) -> int:
        return max(0, earned + self.adjustment_units)

    def _cumulative_gross(self, earned: int) -> int:
        """Return the gross with what rulings took off: it never falls from final to final."""
        return self._gross(earned) + self.lowered_units

    def _net(self, earned: int, reversed_: int) -> int:
        return max(0, min(self.budget_units, earned - reversed_ + self.adjustment_units))

    def _pending_net(self, pending: PendingStatement) -> int:
        return self._net(pending.earned_units, pending.reversed_units + self.proven_above_units)

    def _payable(self, now_s: int, *, with_claims: bool = True) -> int:
        """Return what is payable for good, claims included once they are; at least what is paid."""
        payable = self.net_units(now_s)
        if with_claims and now_s > times_of(self.terms).refutable_until_s:
            payable = min(self.budget_units, payable + self.claimable_units)
        return max(payable, self.paid_units)

    def _held_back(self, now_s: int) -> int:
        """Return the holdback share of what was earned too recently, whatever was reversed since.

        The cumulative gross tells what is recent: were reversals taken off, a new outcome could
        hide behind the age of one that was reversed.
        """
        if not self.terms.holdback_bps or self.closed_at_s:
            return 0
        pending = self.pending if self._is_matured(now_s) else None
        gross = self._cumulative_gross(pending.earned_units if pending else self.earned_units)
        young = max(0, gross - self._old_gross(now_s))
        return held_units(self.net_units(now_s), young, self.terms.holdback_bps)

    def _old_gross(self, now_s: int) -> int:
        """Return the cumulative gross that is final for so long that nothing is held back of it."""
        at_s = now_s - self.terms.holdback_period_s - self.terms.lateness_s
        pending = self.pending
        if pending and self._is_matured(now_s) and at_s >= pending.resolves_at_s:
            return self._cumulative_gross(pending.earned_units)
        count = bisect_right(self.final_totals, at_s, key=lambda total: total.since_s)
        return self.final_totals[count - 1].cumulative_gross_units if count else 0

    def _level(self, now_s: int) -> int:
        elapsed_s, terms = now_s - self.cap_at_s, self.terms
        return leaked_units(
            self.cap_level_units, elapsed_s, terms.rate_cap_units, terms.rate_period_s
        )

    def _pay(self, now_s: int, *, with_claims: bool = True) -> int:
        amount = self.releasable_units(now_s, with_claims=with_claims)
        # What pays nothing must not move the bucket's clock: its leak is rounded down.
        if amount and self.terms.rate_cap_units:
            self.cap_level_units, self.cap_at_s = self._level(now_s) + amount, now_s
        self.paid_units += amount
        return amount

    # --- Checks -----------------------------------------------------------------------------------

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
