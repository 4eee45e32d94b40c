"""What can go wrong with a contract, tried in the demonstration, and what the parties do about it.

A dispute, which the arbiter decides by replaying the log; and a verifier that never says a word,
so that the operator claims its outcomes by proof. (A verifier that lies is in `fraud`.)
"""

from typing import NamedTuple

from orchestrator.actions import contract_state as situation
from orchestrator.actions import evidence as proving
from orchestrator.client.accounts import OperatorClient
from orchestrator.client.http import Client
from orchestrator.core.errors import ChainError, ReplayError
from orchestrator.core.terms import contract_id, sign_digest
from orchestrator.core.units import DAY_S
from orchestrator.simulation.sandbox import Sandbox, address_of
from orchestrator.verify import comparison as checks
from orchestrator.verify.log_copy import LogCopy, pages_of

ARBITER = "arbiter"
SILENT_VERIFIER = "silent verifier"
# How long after its end a contract of a silent verifier takes statements, and then claims.
SILENCE_S = DAY_S
CLAIM_PERIOD_S = 3 * DAY_S


class Dispute(NamedTuple):
    """A statement that was disputed, and what the arbiter ruled; amounts in base units."""

    contract_id: bytes
    position: int
    stated_units: int
    ruled_units: int
    gas_used: int


class Silence(NamedTuple):
    """What a verifier never stated, and its operator claimed; amounts in base units."""

    contract_id: bytes
    claims: int
    claimed_units: int
    paid_units: int
    gas_used: int


def dispute(scene: Sandbox, contract: bytes) -> Dispute:
    """The owner disputes what is pending; the arbiter replays the log, and rules what it gives."""
    chain, pending = scene.stack.chain, scene.stack.chain.pending_of(contract)
    if pending is None:
        raise ChainError("nothing-pending", "no statement of the guarded contract is pending")
    scene.fund(ARBITER)
    gas = scene.send("owner", chain.dispute(contract, pending.position))
    with Client(scene.url) as client:
        found = checks.statement(client, chain, scene.stack.site.log_id, contract, pending.position)
    ruled_units = found.earned_units - found.reversed_units
    gas += scene.send(ARBITER, chain.rule(contract, pending.position, ruled_units))
    stated_units = pending.earned_units - pending.reversed_units
    return Dispute(contract, pending.position, stated_units, ruled_units, gas)


def open_silent(scene: Sandbox, operator: OperatorClient, surface: str, **deal: object) -> bytes:
    """Owner and operator agree on a verifier of their own; returns the contract's id.

    The API takes only what its own verifier serves, so they open the contract by themselves.
    """
    chain = scene.stack.chain
    terms = operator.draft(
        surface,
        verifier=address_of(SILENT_VERIFIER),
        arbiter=address_of(ARBITER),
        claim_period_s=CLAIM_PERIOD_S,
        **deal,
    )
    id_ = contract_id(terms, scene.stack.escrow_domain)
    signature = sign_digest(id_, bytes(operator.account.key))
    scene.send("owner", chain.open(terms, b"", signature))
    return id_


def claim(scene: Sandbox, name: str, contract: bytes) -> Silence:
    """The operator of this wallet claims by proof all that the log gives and nobody stated."""
    chain, gas = scene.stack.chain, 0
    scene.fund(name)
    log_id = scene.stack.site.log_id
    with Client(scene.url) as client, LogCopy(pages_of(client), chain, log_id) as book:
        brief = proving.plan_claims(chain, book, situation.read_contract_state(chain, contract))
    for deed in brief.transactions:
        gas += scene.send(name, deed.call)
    found = situation.read_contract_state(chain, contract).claims
    if not found.open:
        raise ReplayError("nothing-claimed", "the log gave nothing to claim")
    return Silence(contract, len(found.open), found.claimed_units, 0, gas)


def collect(scene: Sandbox, name: str, silence: Silence) -> Silence:
    """Have the claims paid that nobody refuted in time."""
    chain = scene.stack.chain
    gas = scene.send(name, chain.release(silence.contract_id))
    paid_units = chain.paid_of(silence.contract_id)
    if paid_units != silence.claimed_units:
        raise ReplayError(
            "claims-unpaid",
            f"{silence.claimed_units} units were claimed, and {paid_units} are paid",
        )
    return silence._replace(paid_units=paid_units, gas_used=silence.gas_used + gas)
