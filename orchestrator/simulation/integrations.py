"""What other places take from our log, tried in the demonstration: a job and a reputation.

Somebody who is no party here posts an ERC-8183 job whose evaluator is the log, and an agent of
ERC-8004's registry takes home what a settlement has paid it.
"""

from typing import NamedTuple

from orchestrator.actions import contract_state as situation
from orchestrator.actions import erc8004 as reputation
from orchestrator.actions import erc8183 as jobs
from orchestrator.chain.caller import contract_at
from orchestrator.chain.rpc import octets
from orchestrator.client.http import Client
from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import ChainError, EscrowError
from orchestrator.core.units import DAY_S
from orchestrator.simulation.sandbox import Sandbox, address_of

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
        """Whether the statement at `position` has completed it."""
        return self.position is not None


class ReputationRecord(NamedTuple):
    """What ERC-8004's registry says of an agent: so much, for this motion, in base units."""

    agent_id: int
    motion: str
    units: int
    gas_used: int


def register_agent(scene: Sandbox, name: str) -> int:
    """Give the wallet of this name an identity in ERC-8004's registry; returns the agent's id."""
    chain = scene.stack.chain
    scene.fund(name)
    registry = contract_at("IdentityRegistry", scene.stand_ins.identities)
    receipt = scene.transact(name, chain.call(registry, "register", ""))
    # Whatever else it says, the registry mints the agent's token: an ERC-721 Transfer comes last.
    events = receipt.get("logs")
    minted = events[-1] if isinstance(events, list) and events else None
    topics = minted.get("topics") if isinstance(minted, dict) else None
    if not isinstance(topics, list) or len(topics) != 4:
        raise ChainError("agent-missing", "the registry minted no agent")
    return int.from_bytes(octets(topics[3], 32))


def post_job(
    scene: Sandbox, provider: str, contract: bytes, minimum_units: int, deadline_s: int
) -> JobReport:
    """A client promises the provider a budget once the log states so much of the contract."""
    chain, commerce = scene.stack.chain, scene.stand_ins.commerce
    for name in (CLIENT, provider):
        scene.fund(name)
    found = situation.read_contract_state(chain, contract)
    brief = jobs.plan_evaluator(
        chain,
        _evaluators(scene),
        found,
        commerce,
        minimum_units,
        stated_from_s=0,
        deadline_s=deadline_s,
    )
    gas = sum(scene.send(CLIENT, deed.call) for deed in brief.transactions)
    evaluator = str(brief.facts["evaluator"])

    at, token = contract_at("AgenticCommerce", commerce), contract_at("TestStablecoin", scene.token)
    expires_at_s = deadline_s + 30 * DAY_S
    worker = address_of(provider)
    what = f"contract 0x{contract.hex()} reaches {minimum_units} base units"
    scene.send(CLIENT, chain.mint(scene.token, address_of(CLIENT), BUDGET_UNITS))
    scene.send(CLIENT, chain.call(token, "approve", commerce, BUDGET_UNITS))
    created = chain.call(at, "createJob", worker, evaluator, expires_at_s, what, ZERO_ADDRESS)
    gas += scene.send(CLIENT, created)
    job_id = int(chain.read(at, "jobCount"))
    gas += scene.send(CLIENT, chain.call(at, "setBudget", job_id, BUDGET_UNITS, b""))
    gas += scene.send(CLIENT, chain.call(at, "fund", job_id, BUDGET_UNITS, b""))
    gas += scene.send(provider, chain.call(at, "submit", job_id, contract, b""))
    return JobReport(job_id, evaluator, worker, minimum_units, BUDGET_UNITS, gas)


def try_job(scene: Sandbox, provider: str, job: JobReport) -> JobReport:
    """Complete the job if the log says enough by now."""
    if job.is_completed:
        return job
    chain = scene.stack.chain
    known = jobs.evaluator_at(chain, _evaluators(scene), job.evaluator)
    try:
        with Client(scene.url) as client:
            (deed,) = jobs.plan_completion(chain, client, known, job.job_id).transactions
    except EscrowError as error:
        if error.code != "condition-not-met":
            raise
        return job
    before = chain.balance_of(scene.token, job.provider)
    gas = job.gas_used + scene.send(provider, deed.call)
    paid = chain.balance_of(scene.token, job.provider) - before
    if paid != job.budget_units:
        raise ChainError("job-unpaid", f"the job has paid {paid} of {job.budget_units} units")
    return job._replace(gas_used=gas, position=int(str(deed.facts["position"])))


def _evaluators(scene: Sandbox) -> str:
    address = scene.stack.chain.addresses.evaluators
    if address is None:
        raise ChainError("evaluators-missing", "the deployment has no evaluators")
    return address


def give_feedback(scene: Sandbox, contract: bytes, motion: str) -> ReputationRecord:
    """The owner has what an ended contract paid written to its agent's record."""
    chain, at = scene.stack.chain, scene.stack.chain.addresses.feedback
    if at is None:
        raise ChainError("feedback-missing", "the deployment has no contract for feedback")
    found = situation.read_contract_state(chain, contract)
    (deed,) = reputation.plan_feedback(chain, at, found, motion, scene.url).transactions
    gas = scene.send("owner", deed.call)
    registry = contract_at("ReputationRegistry", scene.stand_ins.reputations)
    agent_id = found.terms.agent_id_plus_one - 1
    tags = reputation.TAG, motion
    count, units, _ = chain.read_all(registry, "getSummary", agent_id, [at], *tags)
    if (count, units) != (1, found.paid_units):
        raise ChainError("record-differs", f"the registry says {units} units in {count} entries")
    return ReputationRecord(agent_id, motion, units, gas)
