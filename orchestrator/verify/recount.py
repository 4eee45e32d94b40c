"""A recount of what the escrow must have paid for a contract, from the log and the chain's events.

The log says what each statement is worth; the chain says which statements came when, and which
disputes, rulings, claims and closings. The escrow's rules (`core.escrow_model`) give the rest, so
that every payment is either recomputed to the unit or refused.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.chain.abi import (
    ChainEvent,
    Claimed,
    ClaimLowered,
    ClaimsDisputed,
    ClaimsRuled,
    Closed,
    Credited,
    Disproved,
    Disputed,
    Event,
    Final,
    Paid,
    Pending,
    Refunded,
    ReversalRecorded,
    Ruled,
    Settled,
)
from orchestrator.core.common.errors import EscrowError, ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.escrow_model import EscrowedContract, ProvenReversal, fee_of_payment
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.dispute import dispute_label, ruling_label
from orchestrator.core.log.entry import address_word

# The events that the log has entries of as disputes and rulings.
DISPUTES = (Disputed, Ruled, ClaimsDisputed, ClaimsRuled)
# The events that follow, in one transaction, the event of the action that caused them.
_FOLLOWS = (Pending, Final, Paid, Refunded, Credited)


class Totals(NamedTuple):
    """The totals that a settlement entry states: earned and reversed so far, in base units."""

    earned_units: int
    reversed_units: int


class ToldDispute(NamedTuple):
    """A dispute or a ruling as the chain tells of it, in the words of the log's entry of it."""

    event: ChainEvent
    kind: str
    actor: bytes
    label: str
    units: int


class Recounted(NamedTuple):
    """The result of a recount: the contract after its events, and what they tell of disputes."""

    contract: EscrowedContract
    disputes: list[ToldDispute]


def recount(
    contract_id: bytes,
    terms: Terms,
    events: Iterable[ChainEvent],
    statements: Mapping[int, Totals],
) -> Recounted:
    """Return the contract as it is after its events, which come in the chain's order.

    `statements` are the log's about this contract, by position. Raises `ReplayError` at the first
    event that statements and rules do not give.
    """
    progress = _Recount(contract_id, terms, statements)
    disputes = []
    for event in events:
        told = progress.told(event)
        if told is not None:
            disputes.append(told)
        try:
            progress.take(event.time_s, event.event)
        except EscrowError as error:
            raise progress.wrong(event.event, f"the rules refuse it: {error}") from None
    progress.finish()
    return Recounted(progress.contract, disputes)


class _Recount:
    """A recount in progress. The units that an action must move stay due until they are moved."""

    def __init__(self, contract_id: bytes, terms: Terms, statements: Mapping[int, Totals]) -> None:
        self._contract_id = contract_id
        self._terms = terms
        self._statements = statements
        self.contract = EscrowedContract(terms)
        self._due_units = 0
        self._due_back_units = 0

    def take(self, now_s: int, event: Event) -> None:
        """Move past one event of this UTC second."""
        # An event that begins a new action: what the last one had to move must have been moved.
        if not isinstance(event, _FOLLOWS):
            self.finish()
        match event:
            case Settled():
                self._settled(now_s, event)
            case Paid():
                self._paid(now_s, event)
            case Refunded():
                # Part of a closing, or else the owner's own call after the claim period.
                back, self._due_back_units = self._due_back_units, 0
                self._check_moved(event, event.amount_units, back or self.contract.refund(now_s))
            case Closed():
                ended = self.contract.close(now_s, event.payable_units)
                self._due_units, self._due_back_units = ended.paid_units, ended.refunded_units
            case Disputed() | Ruled() | Disproved():
                self._contested(now_s, event)
            case ReversalRecorded():
                self._reversed(now_s, event)
            case Claimed() | ClaimLowered() | ClaimsDisputed() | ClaimsRuled():
                self._claims(now_s, event)
            case _:
                pass

    def told(self, event: ChainEvent) -> ToldDispute | None:
        """Return what the next event tells of a dispute; None for one that is about none."""
        happened, contract, terms = event.event, self.contract, self._terms
        match happened:
            case Disputed() | ClaimsDisputed():
                of_claims = isinstance(happened, ClaimsDisputed)
                units = contract.claimed_units if of_claims else contract.stated_units
                by_owner = happened.party == terms.owner
                label = dispute_label(by_owner=by_owner, of_claims=of_claims)
                actor = address_word(happened.party)
                return ToldDispute(event, "dispute.opened", actor, label, units)
            case Ruled():
                ruled = happened.payable_units
                label = ruling_label(contract.stated_units, ruled, of_claims=False)
            case ClaimsRuled():
                ruled = happened.amount_units
                label = ruling_label(contract.claimed_units, ruled, of_claims=True)
            case _:
                return None
        return ToldDispute(event, "dispute.ruled", address_word(terms.arbiter), label, ruled)

    def finish(self) -> None:
        """Raise `ReplayError` if units are still due."""
        left = self._due_units + self._due_back_units
        if left:
            raise ReplayError(
                "payout-missing", f"{left} units of contract {self._name()} were due, and not paid"
            )

    def wrong(self, event: Event, why: str) -> ReplayError:
        return ReplayError(
            "payout-unfounded", f"contract {self._name()}: {type(event).__name__}: {why}"
        )

    def _settled(self, now_s: int, event: Settled) -> None:
        stated = self._stated(event, event.position)
        if stated != Totals(event.earned_units, event.reversed_units):
            raise self.wrong(event, f"entry {event.position} states other totals, {stated}")
        settled = self.contract.settle(now_s, event.position, *stated)
        if settled.refusal:
            raise self.wrong(event, f"entry {event.position} must be refused: {settled.refusal}")
        self._due_units = settled.paid_units

    def _paid(self, now_s: int, event: Paid) -> None:
        # The model has counted what is due as paid already. The fee is on what was paid before.
        before, due = self.contract.paid_units - self._due_units, self._due_units
        self._due_units = 0
        if not due:
            # A payment that nothing else made due is a release, or that of a statement which was
            # refused. Only the amount tells them apart: the event of the refusal comes behind it.
            but_claims = self.contract.releasable_units(now_s, with_claims=False)
            due = self.contract.release(now_s, with_claims=event.gross_units != but_claims)
        self._check_moved(event, event.gross_units, due)
        self._check_moved(
            event, event.fee_units, fee_of_payment(before, before + due, self._terms.fee_bps)
        )

    def _contested(self, now_s: int, event: Disputed | Ruled | Disproved) -> None:
        # These events do not name the statement: it is the pending one, the last that was signed.
        position = self.contract.last_signed()
        if isinstance(event, Disputed):
            self.contract.dispute(now_s, position, by_owner=event.party == self._terms.owner)
        elif isinstance(event, Ruled):
            self._due_units = self.contract.rule(now_s, position, event.payable_units)
        else:
            self.contract.retire(now_s)

    def _reversed(self, now_s: int, event: ReversalRecorded) -> None:
        reversal = ProvenReversal(
            event.happened,
            event.outcome,
            event.value_units,
            event.sum_units,
            event.amount_units,
        )
        last_final = self.contract.last_final(now_s)
        if not event.outcome <= last_final < event.happened:
            raise self.wrong(event, f"the last final statement is at entry {last_final}")
        self.contract.record_reversal(now_s, reversal)

    def _claims(
        self, now_s: int, event: Claimed | ClaimLowered | ClaimsDisputed | ClaimsRuled
    ) -> None:
        match event:
            case Claimed():
                self.contract.file_claim(now_s, event.key, event.amount_units)
            case ClaimLowered():
                self.contract.lower_claim(now_s, event.key, event.left_units)
            case ClaimsDisputed():
                self.contract.dispute_claims(now_s)
            case ClaimsRuled():
                self.contract.rule_claims(now_s, event.amount_units)

    def _stated(self, event: Event, position: int) -> Totals:
        stated = self._statements.get(position)
        if stated is None:
            raise self.wrong(event, f"entry {position} is no statement about this contract")
        return stated

    def _check_moved(self, event: Event, moved: int, due: int) -> None:
        if moved != due:
            raise self.wrong(event, f"{moved} units were moved, and the rules give {due}")

    def _name(self) -> str:
        return to_hex(self._contract_id)
