"""Folds: an entry's effect on the world, one function for each kind that has one.

Each takes the world, the entry's position and the entry. The table of kinds names them, and its
`advance` alone calls them: it refuses unknown kinds and moves size and clock on.
"""

from orchestrator.core.attribution import TouchAt, TouchHistory
from orchestrator.core.contract import Contract, PaidOutcome, forget_expired
from orchestrator.core.entry import Entry, unpack_reversal
from orchestrator.core.world import Lead, Operator, Surface, World


def nothing(_world: World, _position: int, _entry: Entry) -> None:
    """Leave the world as it is: the entry is a fact that no rule rests on."""


def touch(world: World, position: int, entry: Entry) -> None:
    history = world.leads[entry.subject].touches.setdefault(entry.actor, TouchHistory())
    history.add(TouchAt(position, entry.time_ms))


def lead(world: World, _position: int, entry: Entry) -> None:
    world.leads[entry.subject] = Lead(entry.surface, entry.label, entry.time_ms)


def transition(world: World, _position: int, entry: Entry) -> None:
    lead = world.leads[entry.subject]
    lead.state, lead.since_ms = entry.label, entry.time_ms
    lead.visits[entry.label] = lead.visits.get(entry.label, 0) + 1


def outcome(world: World, position: int, entry: Entry) -> None:
    contract = world.contracts[entry.actor]
    contract.add_outcome(position, entry.value)
    _count_lead(world, contract, entry.subject)
    policy = world.surfaces[entry.surface].policy
    if not policy.is_reversible(entry.label):
        return
    lead = world.leads[entry.subject]
    expires_ms = entry.time_ms + contract.rules.holdback_period_ms
    lead.paid.append(
        PaidOutcome(entry.actor, entry.label, position, entry.time_ms, entry.value, expires_ms)
    )
    if len(lead.paid) >= lead.sweep_at:
        lead.paid = forget_expired(lead.paid, world.time_ms - policy.lateness_s * 1000)
        lead.sweep_at = 2 * len(lead.paid) + 8


def over(world: World, _position: int, entry: Entry) -> None:
    contract = world.contracts[entry.actor]
    contract.over_units += entry.value
    _count_lead(world, contract, entry.subject)


def reversal(world: World, position: int, entry: Entry) -> None:
    world.contracts[entry.actor].add_reversal(position, entry.value)
    lead = world.leads[entry.subject]
    reversed_outcome = unpack_reversal(entry.payload).outcome
    lead.paid = [outcome for outcome in lead.paid if outcome.position != reversed_outcome]


def settlement(world: World, position: int, entry: Entry) -> None:
    world.contracts[entry.subject].last_settlement = position


def opening(world: World, position: int, entry: Entry) -> None:
    world.add_contract(Contract(world.rules[entry.subject], position))


def closing(world: World, _position: int, entry: Entry) -> None:
    world.contracts[entry.subject].closed_at_ms = entry.value


def policy(world: World, _position: int, entry: Entry) -> None:
    world.surfaces[entry.surface] = Surface(entry.actor, entry.subject, entry.value, world.policies)


def operator(world: World, position: int, entry: Entry) -> None:
    world.operators[entry.subject] = Operator(entry.label, position)


def _count_lead(world: World, contract: Contract, lead: bytes) -> None:
    if not contract.rules.repeatable:
        world.leads[lead].counted += (contract.rules.contract_id,)
