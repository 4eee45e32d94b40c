"""Other contracts beside the escrow, as the demonstration uses them: a job, a reputation, a split.

A client that has no part in the market posts an ERC-8183 job whose evaluator is the log. The amount
that a contract paid is written to its agent's record in ERC-8004's registry. Two operators share
one payee, by shares that both have signed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.actions import contract_state, erc8004, erc8183
from orchestrator.actions.payout.split import plan_creation, plan_release
from orchestrator.chain.caller import contract_at
from orchestrator.chain.rpc import octets
from orchestrator.client.http import Client
from orchestrator.core.common.errors import ChainError, EscrowError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.split import Agreement, Share, Split
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of

CLIENT = "client"
BUDGET_UNITS = 150_000_000


class JobReport(NamedTuple):
    """A job at an ERC-8183 contract and the evaluator it names; amounts in base units."""

    job_id: int
    evaluator: str
    provider: str
    minimum_units: int
    budget_units: int
    gas_used: int
    position: int | None = None

    @property
    def is_completed(self) -> bool:
        """Return whether a statement, the one at `position`, has completed the job."""
        return self.position is not None


class ReputationRecord(NamedTuple):
    """An agent's record in ERC-8004's registry: base units paid for this motion."""

    agent_id: int
    motion: str
    units: int
    gas_used: int


class SharedPay(NamedTuple):
    """The pay that came to a payee which operators share, and the part of each of them, by name."""

    address: str
    paid_units: int
    parts: dict[str, int]
    gas_used: int


def register_agent(sandbox: Sandbox, name: str) -> int:
    """Register the wallet of this name in ERC-8004's registry, and return the agent's id."""
    chain = sandbox.stack.chain
    sandbox.fund(name)
    registry = contract_at("IdentityRegistry", sandbox.stand_ins.identities)
    receipt = sandbox.transact(name, chain.call(registry, "register", ""))
    # The registry may emit other events before; the ERC-721 Transfer of the agent comes last.
    events = receipt.get("logs")
    minted = events[-1] if isinstance(events, list) and events else None
    topics = minted.get("topics") if isinstance(minted, dict) else None
    if not isinstance(topics, list) or len(topics) != 4:
        raise ChainError("agent-missing", "the registry minted no agent")
    return int.from_bytes(octets(topics[3], 32))


def post_job(
    sandbox: Sandbox, provider: str, contract: bytes, minimum_units: int, deadline_s: int
) -> JobReport:
    """Post a job that pays the provider once the log states this minimum for the contract."""
    chain, commerce = sandbox.stack.chain, sandbox.stand_ins.commerce
    for name in (CLIENT, provider):
        sandbox.fund(name)
    plan = erc8183.plan_evaluator(
        chain,
        _evaluators(sandbox),
        contract_state.read_contract_state(chain, contract),
        commerce,
        minimum_units,
        stated_from_s=0,
        deadline_s=deadline_s,
    )
    gas = sum(sandbox.send(CLIENT, transaction.call) for transaction in plan.transactions)
    evaluator = str(plan.facts["evaluator"])

    at = contract_at("AgenticCommerce", commerce)
    token = contract_at("TestStablecoin", sandbox.token)
    # Long after the deadline, so that the last statement still completes it.
    expires_at_s = deadline_s + 30 * DAY_S
    worker = address_of(provider)
    description = f"contract {to_hex(contract)} reaches {minimum_units} base units"
    sandbox.send(CLIENT, chain.mint(sandbox.token, address_of(CLIENT), BUDGET_UNITS))
    sandbox.send(CLIENT, chain.call(token, "approve", commerce, BUDGET_UNITS))
    job = worker, evaluator, expires_at_s, description, ZERO_ADDRESS
    gas += sandbox.send(CLIENT, chain.call(at, "createJob", *job))
    job_id = int(chain.read(at, "jobCount"))
    gas += sandbox.send(CLIENT, chain.call(at, "setBudget", job_id, BUDGET_UNITS, b""))
    gas += sandbox.send(CLIENT, chain.call(at, "fund", job_id, BUDGET_UNITS, b""))
    gas += sandbox.send(provider, chain.call(at, "submit", job_id, contract, b""))
    return JobReport(job_id, evaluator, worker, minimum_units, BUDGET_UNITS, gas)


def complete_job_if_met(sandbox: Sandbox, provider: str, job: JobReport) -> JobReport:
    """Complete the job if the log states enough by now; return the job as it is then."""
    if job.is_completed:
        return job
    chain = sandbox.stack.chain
    evaluator = erc8183.evaluator_at(chain, _evaluators(sandbox), job.evaluator)
    try:
        with Client(sandbox.url) as client:
            plan = erc8183.plan_completion(chain, client, evaluator, job.job_id)
            (completion,) = plan.transactions
    except EscrowError as error:
        if error.code != "condition-not-met":
            raise
        return job
    before = chain.balance_of(sandbox.token, job.provider)
    gas = job.gas_used + sandbox.send(provider, completion.call)
    paid = chain.balance_of(sandbox.token, job.provider) - before
    if paid != job.budget_units:
        raise ChainError("job-unpaid", f"the job has paid {paid} of {job.budget_units} units")
    return job._replace(gas_used=gas, position=int(str(completion.facts["position"])))


def write_reputation(sandbox: Sandbox, contract: bytes, motion: str) -> ReputationRecord:
    """Write what an ended contract has paid to its agent's record, as the contract's owner."""
    chain, feedback = sandbox.stack.chain, sandbox.stack.chain.addresses.feedback
    if feedback is None:
        raise ChainError("feedback-missing", "the deployment has no contract for feedback")
    ended = contract_state.read_contract_state(chain, contract)
    (transaction,) = erc8004.plan_feedback(chain, feedback, ended, motion, sandbox.url).transactions
    gas = sandbox.send("owner", transaction.call)
    registry = contract_at("ReputationRegistry", sandbox.stand_ins.reputations)
    agent_id = ended.terms.agent_id_plus_one - 1
    tags = erc8004.TAG, motion
    count, units, _ = chain.read_all(registry, "getSummary", agent_id, [feedback], *tags)
    if (count, units) != (1, ended.earnings_units):
        raise ChainError("record-differs", f"the registry says {units} units in {count} entries")
    return ReputationRecord(agent_id, motion, units, gas)


def _evaluators(sandbox: Sandbox) -> str:
    address = sandbox.stack.chain.addresses.evaluators
    if address is None:
        raise ChainError("evaluators-missing", "the deployment has no evaluators")
    return address


# --- Sharing --------------------------------------------------------------------------------------


def agree_on_shares(sandbox: Sandbox, shares: Mapping[str, int]) -> Agreement:
    """Have operators, by name, sign their shares of one payee, in basis points."""
    factory = sandbox.stack.site.addresses.splits
    if factory is None:
        raise ChainError("splits-missing", "this deployment has no factory of splits")
    split = Split.of((Share(address_of(name), bps) for name, bps in shares.items()), bytes(32))
    agreement = Agreement(sandbox.stack.chain.chain_id, factory, split, {})
    for name in shares:
        agreement = agreement.signed_by(key_of(name))
    return agreement


def pay_out_shares(
    sandbox: Sandbox, sender: str, agreement: Agreement, shares: Mapping[str, int]
) -> SharedPay:
    """Put the shared payee on the chain, and pay out all that has come to its address before."""
    chain, token, address = sandbox.stack.chain, sandbox.token, agreement.address
    paid_units = chain.balance_of(token, address)
    before = {name: chain.balance_of(token, address_of(name)) for name in shares}
    creation = plan_creation(chain, agreement).transactions
    gas = sum(sandbox.send(sender, planned.call) for planned in creation)
    release = plan_release(chain, agreement.factory, address, token).transactions
    gas += sum(sandbox.send(sender, planned.call) for planned in release)
    parts = {
        name: chain.balance_of(token, address_of(name)) - units for name, units in before.items()
    }
    return SharedPay(address, paid_units, parts, gas)
