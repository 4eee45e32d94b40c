"""Folds: an entry's effect on the world, one function for each kind that has one.

Each takes the world, the entry's position and the record. The table of kinds names them, and its
`advance` alone calls them: it refuses unknown kinds and moves size and clock on.
"""

from typing import TypeVar

from orchestrator.core.attribution import TouchAt, TouchHistory
from orchestrator.core.contract import Contract
from orchestrator.core.entry import ZERO_WORD, Entry, unpack_outcome
from orchestrator.core.errors import EntryError
from orchestrator.core.opening import (
    CodeOpening,
    EventOpening,
    Opening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
)
from orchestrator.core.purchase import PaidOutcome, Purchase, forget_needless, next_sweep
from orchestrator.core.world import Cause, Lead, Operator, Surface, World


def nothing(_world: World, _position: int, _record: Record) -> None:
    """Leave the world as it is: the entry is a fact that no rule rests on."""


def touch(world: World, position: int, record: Record) -> None:
    entry = record.entry
    history = world.leads[entry.subject].touches.setdefault(entry.actor, TouchHistory())
    history.add(TouchAt(position, entry.time_ms))


def reported_touch(world: World, position: int, record: Record) -> None:
    touch(world, position, record)
    opening = _opened(record, ReportedTouchOpening)
    world.causes[opening.cause].uses_left -= 1


def code(world: World, position: int, record: Record) -> None:
    entry, until_ms = record.entry, _opened(record, CodeOpening).expires_ms
    world.causes[position] = Cause(
        entry.surface, entry.actor, None, entry.label, entry.time_ms, until_ms, entry.value
    )


def request(world: World, position: int, record: Record) -> None:
    entry = record.entry
    world.causes[position] = Cause(
        entry.surface, entry.actor, entry.subject, entry.label, entry.time_ms, entry.time_ms, 1
    )


def lead(world: World, _position: int, record: Record) -> None:
    entry = record.entry
    world.leads[entry.subject] = Lead(entry.surface, entry.label, entry.time_ms)


def transition(world: World, position: int, record: Record) -> None:
    entry = record.entry
    lead = world.leads[entry.subject]
    lead.state, lead.since_ms = entry.label, entry.time_ms
    here = world.surfaces[entry.surface]
    if not here.policy.is_reversible(entry.label):
        return
    # An order is founded once: an event that takes back something founds none.
    order = _opened(record, TransitionOpening).order
    if any(one.order == order for one in lead.purchases):
        order = ZERO_WORD
    # Its outcome would have come right behind it.
    if lead.purchases and lead.purchases[-1].is_needless:
        lead.purchases.pop()
    lead.purchases.append(Purchase(position, entry.label, entry.value, order))
    if len(lead.purchases) >= lead.sweep_at:
        horizon_ms = here.received_ms - here.policy.lateness_s * 1000
        lead.purchases[:-1] = forget_needless(lead.purchases[:-1], horizon_ms)
        lead.sweep_at = next_sweep(len(lead.purchases))


def taking_event(world: World, position: int, record: Record) -> None:
    opening, lead = _opened(record, EventOpening), world.leads[record.entry.subject]
    for purchase in lead.purchases:
        if purchase.position == opening.of != 0:
            purchase.refunded_units = opening.refunded_after_units
            purchase.last_refund = position
            purchase.is_spent = opening.refunded_after_units >= purchase.value_units
            if purchase.is_needless:
                lead.purchases.remove(purchase)
            return


def outcome(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.actor]
    contract.add_outcome(position, entry.value)
    _count_lead(world, contract, position, entry)
    expires_ms = entry.time_ms + contract.rules.holdback_period_ms
    paid = PaidOutcome(entry.actor, position, entry.value, expires_ms)
    transition = unpack_outcome(entry.payload).transition
    for purchase in world.leads[entry.subject].purchases[-1:]:
        if purchase.position == transition:
            purchase.outcome = paid


def over(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.actor]
    contract.over_units += entry.value
    _count_lead(world, contract, position, entry)


def reversal(world: World, position: int, record: Record) -> None:
    world.contracts[record.entry.actor].add_reversal(position, record.entry.value)


def settlement(world: World, position: int, record: Record) -> None:
    world.contracts[record.entry.subject].last_settlement = position


def opening(world: World, position: int, record: Record) -> None:
    world.add_contract(Contract(world.rules[record.entry.subject], position))


def closing(world: World, _position: int, record: Record) -> None:
    world.contracts[record.entry.subject].closed_at_ms = record.entry.value


def policy(world: World, _position: int, record: Record) -> None:
    entry = record.entry
    # What a policy is published for has passed: nothing that follows was received before it.
    world.surfaces[entry.surface] = Surface(
        entry.actor, entry.subject, entry.value, world.policies, entry.time_ms
    )


def operator(world: World, position: int, record: Record) -> None:
    world.operators[record.entry.subject] = Operator(record.entry.label, position)


def _count_lead(world: World, contract: Contract, position: int, entry: Entry) -> None:
    lead = world.leads[entry.subject]
    lead.counted_at[entry.label] = position
    if not contract.rules.repeatable:
        lead.counted += (contract.rules.contract_id,)


Opened = TypeVar("Opened", bound=Opening)


def _opened(record: Record, kind: type[Opened]) -> Opened:
    """Return the opening of a record. Raises EntryError if it is none of this kind."""
    if not isinstance(record.opening, kind):
        raise EntryError(
            "opening-missing", f"{record.entry.kind} is folded with its opening, which is not there"
        )
    return record.opening
