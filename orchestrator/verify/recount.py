"""What the escrow must have paid for a contract, counted again from the log and what happened.

The log says what each statement is worth; the chain says which statements came when, and who
disputed, ruled, claimed or closed. The escrow's rules (`core.release`) give the rest, so every
payment is either recomputed to the unit or found out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.chain.abi import (
    ChainEvent,
    ClaimDropped,
    Claimed,
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
    Ruled,
    Settled,
)
from orchestrator.core.errors import EscrowError, ReplayError
from orchestrator.core.escrow_model import EscrowedContract, fee_units
from orchestrator.core.terms import Terms

# What stands behind the event of the action that it belongs to.
_FOLLOWS = (Pending, Final, Paid, Refunded, Credited)


class Totals(NamedTuple):
    """What a settlement entry states: all that was earned and taken back so far, in base units."""

    earned_units: int
    reversed_units: int


def recount(
    contract_id: bytes,
    terms: Terms,
    events: Iterable[ChainEvent],
    statements: Mapping[int, Totals],
) -> EscrowedContract:
    """The contract's position after its events, in the chain's order.

    `statements` are the log's about this contract, by index. Raises `ReplayError` at the first
    event that statements and rules do not give.
    """
    count = _Count(contract_id, terms, statements)
    for event in events:
        try:
            count.take(event.time_s, event.event)
        except EscrowError as error:
            raise count.wrong(event.event, f"the rules refuse it: {error}") from None
    count.finish()
    return count.position


class _Count:
    """A recount in progress. What an action must move stays due until its event is seen."""

    def __init__(self, contract_id: bytes, terms: Terms, statements: Mapping[int, Totals]) -> None:
        self._contract_id = contract_id
        self._terms = terms
        self._statements = statements
        self.position = EscrowedContract(terms)
        self._due_units = 0
        self._due_back_units = 0

    def take(self, now_s: int, event: Event) -> None:
        """One event that happened at this UTC second."""
        if not isinstance(event, _FOLLOWS):
            self.finish()
        match event:
            case Settled():
                self._settled(now_s, event)
            case Paid():
                self._paid(now_s, event)
            case Refunded():
                back, self._due_back_units = self._due_back_units, 0
                self._same(event, event.amount_units, back or self.position.refund(now_s))
            case Closed():
                ended = self.position.close(now_s, event.payable_units)
                self._due_units, self._due_back_units = ended.paid_units, ended.refunded_units
            case Disputed() | Ruled() | Disproved():
                self._contested(now_s, event)
            case Claimed() | ClaimDropped() | ClaimsDisputed() | ClaimsRuled():
                self._claims(now_s, event)
            case _:
                pass

    def finish(self) -> None:
        """Raise `ReplayError` if something should have been moved, and was not."""
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
        self._due_units = self._settle(now_s, event, event.position, stated)

    def _paid(self, now_s: int, event: Paid) -> None:
        before, due = self.position.paid_units - self._due_units, self._due_units
        self._due_units = 0
        if not due and self._terms.is_plain and not self.position.closed_at_s:
            stated = self._stated(event, event.position)
            due = self._settle(now_s, event, event.position, stated)
        elif not due:
            due = self.position.release(now_s)
        self._same(event, event.gross_units, due)
        self._same(event, event.fee_units, fee_units(before, before + due, self._terms.fee_bps))
        if event.payee != self._terms.payee:
            raise self.wrong(event, f"{event.payee} was paid, the terms say {self._terms.payee}")

    def _settle(self, now_s: int, event: Event, index: int, stated: Totals) -> int:
        found = self.position.settle(now_s, index, *stated)
        if found.refusal:
            raise self.wrong(event, f"entry {index} must be refused: {found.refusal}")
        return found.paid_units

    def _contested(self, now_s: int, event: Disputed | Ruled | Disproved) -> None:
        index = self.position.last_signed()
        if isinstance(event, Disputed):
            self.position.dispute(now_s, index, by_owner=event.party == self._terms.owner)
        elif isinstance(event, Ruled):
            self._due_units = self.position.rule(now_s, index, event.payable_units)
        else:
            self.position.retire(now_s)

    def _claims(
        self, now_s: int, event: Claimed | ClaimDropped | ClaimsDisputed | ClaimsRuled
    ) -> None:
        match event:
            case Claimed():
                self.position.file_claim(now_s, event.key, event.amount_units)
            case ClaimDropped():
                self.position.drop_claim(now_s, event.key)
            case ClaimsDisputed():
                self.position.dispute_claims(now_s)
            case ClaimsRuled():
                self.position.rule_claims(now_s, event.amount_units)

    def _stated(self, event: Event, index: int) -> Totals:
        stated = self._statements.get(index)
        if stated is None:
            raise self.wrong(event, f"entry {index} is no statement about this contract")
        return stated

    def _same(self, event: Event, found: int, due: int) -> None:
        if found != due:
            raise self.wrong(event, f"{found} units were moved, and the rules give {due}")

    def _name(self) -> str:
        return f"0x{self._contract_id.hex()}"
