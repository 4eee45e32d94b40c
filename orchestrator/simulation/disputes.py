"""A dispute and a claim by proof, as the demonstration runs them.

The owner disputes a statement, which the arbiter decides by replaying the log. A silent verifier
signs nothing, so the operator claims its outcomes by proof. (A verifier that lies is in `forgery`.)
"""

from typing import NamedTuple

from orchestrator.actions import contract_state, evidence
from orchestrator.client.accounts import OperatorClient
from orchestrator.client.http import Client
from orchestrator.core.common.errors import ChainError, ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import contract_id, operator_consent_digest, sign_digest
from orchestrator.simulation.sandbox import Sandbox, address_of
from orchestrator.verify import comparison
from orchestrator.verify.log_copy import LogCopy, pages_of

ARBITER = "arbiter"
SILENT_VERIFIER = "silent verifier"
# The grace of a contract with a silent verifier: statements are due until then, claims after.
SILENT_GRACE_S = DAY_S
CLAIM_PERIOD_S = 3 * DAY_S


class Dispute(NamedTuple):
    """A disputed statement and the arbiter's ruling; amounts in base units."""

    contract_id: bytes
    position: int
    stated_units: int
    ruled_units: int
    gas_used: int


class ClaimedOutcomes(NamedTuple):
    """Outcomes that no verifier stated and that the operator claimed; amounts in base units."""

    contract_id: bytes
    claims: int
    claimed_units: int
    paid_units: int
    gas_used: int


def dispute_statement(sandbox: Sandbox, contract: bytes) -> Dispute:
    """Have the owner dispute the pending statement, and the arbiter rule what a replay gives."""
    chain, pending = sandbox.stack.chain, sandbox.stack.chain.pending_of(contract)
    if pending is None:
        raise ChainError("nothing-pending", "no statement of the guarded contract is pending")
    sandbox.fund(ARBITER)
    gas = sandbox.send("owner", chain.dispute(contract, pending.position))
    log_id = sandbox.stack.site.log_id
    with Client(sandbox.url) as client:
        replayed = comparison.statement(client, chain, log_id, contract, pending.position)
    ruled_units = replayed.earned_units - replayed.reversed_units
    gas += sandbox.send(ARBITER, chain.rule(contract, pending.position, ruled_units))
    stated_units = pending.earned_units - pending.reversed_units
    return Dispute(contract, pending.position, stated_units, ruled_units, gas)


def open_with_silent_verifier(
    sandbox: Sandbox, operator: OperatorClient, surface: str, **terms: object
) -> bytes:
    """Open a contract whose verifier is not the deployment's and signs nothing; return its id.

    The API takes only contracts that its own verifier serves, so owner and operator open this one
    by themselves.
    """
    chain = sandbox.stack.chain
    signed = operator.draft(
        surface,
        verifier=address_of(SILENT_VERIFIER),
        arbiter=address_of(ARBITER),
        claim_period_s=CLAIM_PERIOD_S,
        **terms,
    )
    domain = sandbox.stack.escrow_domain
    id_ = contract_id(signed, domain)
    signature = sign_digest(operator_consent_digest(signed, domain), bytes(operator.account.key))
    # The owner sends the transaction, so the escrow needs no signature of the owner.
    sandbox.send("owner", chain.open(signed, b"", signature))
    return id_


def claim_outcomes(sandbox: Sandbox, name: str, contract: bytes) -> ClaimedOutcomes:
    """Claim by proof, from this operator's wallet, all outcomes that the verifier left out."""
    chain, log_id, gas = sandbox.stack.chain, sandbox.stack.site.log_id, 0
    sandbox.fund(name)
    with Client(sandbox.url) as client, LogCopy(pages_of(client), chain, log_id) as log_copy:
        plan = evidence.plan_claims(
            chain, log_copy, contract_state.read_contract_state(chain, contract)
        )
    for transaction in plan.transactions:
        gas += sandbox.send(name, transaction.call)
    claims = contract_state.read_contract_state(chain, contract).claims
    if not claims.open:
        raise ReplayError("nothing-claimed", "the log gave nothing to claim")
    return ClaimedOutcomes(contract, len(claims.open), claims.claimed_units, 0, gas)


def collect_claims(sandbox: Sandbox, name: str, claimed: ClaimedOutcomes) -> ClaimedOutcomes:
    """Release the claims, which no evidence has refuted in time, and check that all is paid."""
    chain = sandbox.stack.chain
    gas = sandbox.send(name, chain.release(claimed.contract_id))
    paid_units = chain.paid_of(claimed.contract_id)
    if paid_units != claimed.claimed_units:
        raise ReplayError(
            "claims-unpaid",
            f"{claimed.claimed_units} units were claimed, and {paid_units} are paid",
        )
    return claimed._replace(paid_units=paid_units, gas_used=claimed.gas_used + gas)
