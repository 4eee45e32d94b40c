"""Plans for ERC-8183 jobs that the log decides: to create an evaluator, complete and reject jobs.

An evaluator's address follows from its condition, so the creator of a job is bound by naming it.
Each function returns a `Plan` with the transaction, and raises `EscrowError` for what the chain
would refuse at this time. Nothing is sent here.

ERC-8183 gives no function to read a job's state. The simulation of a transaction before it is
signed shows whether the job can still be completed or rejected.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.actions.contract_state import ContractState, token_of
from orchestrator.actions.plan import Plan, PlannedTransaction, describe_exact_amount
from orchestrator.chain.caller import contract_at, is_mismatch
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import octets, result
from orchestrator.client.http import Client
from orchestrator.client.log_server import reading, served_deployment
from orchestrator.core.common.errors import ChainError, EscrowError, InputError, ProofError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.units import format_second
from orchestrator.core.deals.terms import Domain, verified_digest
from orchestrator.core.evidence.exhibits import Exhibit, unpack_statement, words_of
from orchestrator.core.job_condition import Condition
from orchestrator.core.log.entry import ENTRY_BYTES, POSITION_LIMIT, WORD_BYTES
from orchestrator.core.log.merkle import leaf_hash, verify_inclusion

# How many of the newest statements that meet a condition are checked against the chain.
MAX_CHECKED = 100
MAX_PATH_NODES = 64
MAX_SIGNATURE_BYTES = 4_096


class Evaluator(NamedTuple):
    """An evaluator with the condition that its address follows from.

    `domain` is its factory's EIP-712 domain, under which statements are endorsed for it.
    """

    address: str
    condition: Condition
    domain: Domain


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A statement with the verifier's signature for jobs, as a server gives it.

    The signature covers the entries [first, first + count) of the tree of this size.
    """

    exhibit: Exhibit
    size: int
    first: int
    count: int
    signature: bytes


# --- Evaluators -----------------------------------------------------------------------------------


def plan_evaluator(
    chain: Chain,
    factory: str,
    state: ContractState,
    commerce: str,
    minimum_units: int,
    *,
    stated_from_s: int,
    deadline_s: int,
) -> Plan:
    """Plan to create the evaluator of jobs that this contract's statements are to complete.

    `commerce` is the ERC-8183 contract that holds the jobs. The plan names the evaluator's address;
    it has no transaction if the evaluator exists.
    """
    chain.check_evaluators(factory)
    terms = state.terms
    if not _has_code(chain, commerce):
        raise InputError("commerce-missing", f"there is no ERC-8183 contract at {commerce}")
    condition = Condition(
        commerce,
        terms.log_id,
        terms.verifier,
        state.contract_id,
        minimum_units,
        stated_from_s,
        deadline_s,
    )
    _check_reachable(condition, state)
    address = _address_for(chain, factory, condition)
    lines = [
        f"the evaluator is {address}, of the factory {factory}",
        "name it when you create the job: its address binds the job to all of this, for good",
        *_describe_condition(condition, state.exact_amount(minimum_units)),
    ]
    if state.is_retired:
        lines.append("but this verifier was disproved: do not rely on its statements any more")
    facts: dict[str, object] = {"evaluator": address, "condition": condition.to_json()}
    if _has_code(chain, address):
        return Plan((*lines, "it is on the chain already"), facts=facts)
    creation = PlannedTransaction(
        title="put the evaluator on the chain",
        lines=("needed once, before a job can be completed or rejected; a job can name it before",),
        call=chain.call(contract_at("JobEvaluators", factory), "create", tuple(condition)),
        by=(),
        facts={},
    )
    return Plan(tuple(lines), (creation,), facts=facts)


def _check_reachable(condition: Condition, state: ContractState) -> None:
    """Raise InputError for a condition that no statement on the contract could meet."""
    if not 0 < condition.minimum_units <= state.budget_units:
        raise InputError(
            "minimum-out-of-reach",
            f"the contract cannot earn {state.amount(condition.minimum_units)}: give an amount "
            f"above zero, up to its budget of {state.amount(state.budget_units)}",
        )
    # During the holdback statements can still be made; they only take back.
    last_s = state.times.statements_until_s + state.terms.holdback_period_s
    stated_from_s, deadline_s = condition.stated_from_s, condition.deadline_s
    if not max(stated_from_s, state.now_s) <= deadline_s or stated_from_s > last_s:
        raise InputError(
            "deadline-past",
            f"no statement could complete the job: its deadline is {format_second(deadline_s)}, "
            f"statements count from {format_second(stated_from_s)}, the last can be made at "
            f"{format_second(last_s)}, and the chain is at {format_second(state.now_s)}",
        )


def evaluator_at(chain: Chain, factory: str, address: str) -> Evaluator:
    """Return the evaluator at an address. Raises InputError unless this factory made it."""
    domain = chain.check_evaluators(factory)
    if not _has_code(chain, address):
        raise InputError("evaluator-missing", f"there is no evaluator at {address}; create it")
    evaluator = contract_at("JobEvaluator", address)
    # Any code can stand at the address and state any condition. Only if the factory derives this
    # same address from the stated condition is the code the factory's.
    try:
        condition = Condition.from_abi(chain.read(evaluator, "condition"))
        if _address_for(chain, factory, condition) == address:
            return Evaluator(address, condition, domain)
    except ChainError as error:
        if not is_mismatch(error):
            raise
    raise InputError(
        "evaluator-false", f"the contract at {address} is no evaluator of the factory {factory}"
    )


def _address_for(chain: Chain, factory: str, condition: Condition) -> str:
    address = chain.read(contract_at("JobEvaluators", factory), "evaluatorOf", tuple(condition))
    return to_checksum_address(address)


def _has_code(chain: Chain, address: str) -> bool:
    (code,) = chain.batch([("eth_getCode", [address, "latest"])])
    return bool(octets(result(code)))


def _describe_condition(condition: Condition, minimum: str) -> Iterator[str]:
    yield (
        f"a job at {condition.commerce} that names it is completed by a statement in log "
        f"{to_hex(condition.log_id)}, by the verifier {condition.verifier}, that contract "
        f"{to_hex(condition.subject)} has earned {minimum} or more, less what was reversed"
    )
    if condition.stated_from_s:
        yield f"statements count that are made from {format_second(condition.stated_from_s)} on"
    yield (
        f"until {format_second(condition.deadline_s)} it can only be completed, afterwards only "
        f"rejected; neither can be taken back"
    )


# --- Completing and rejecting ---------------------------------------------------------------------


def plan_completion(chain: Chain, client: Client, evaluator: Evaluator, job_id: int) -> Plan:
    """Plan to complete a job by the newest endorsed statement that meets the condition.

    A server's statement counts only if it is in an anchored tree for which the verifier has signed.
    """
    condition = evaluator.condition
    now_s = chain.block().time_s
    if now_s > condition.deadline_s:
        raise EscrowError(
            "job-too-late",
            f"jobs of this evaluator could be completed until "
            f"{format_second(condition.deadline_s)}, and the chain is at {format_second(now_s)}: "
            f"now they can only be rejected",
        )
    _, log_id = served_deployment(client)
    if log_id != condition.log_id:
        raise InputError(
            "log-of-another",
            f"the condition is about log {to_hex(condition.log_id)}, and the server has "
            f"{to_hex(log_id)}: name a server of that log",
        )
    # A server may serve any number of endorsements: only the newest that meet it are kept.
    met = deque[Endorsement](maxlen=MAX_CHECKED)
    reason = "no statement about it is endorsed for jobs"
    for endorsement in _endorsements(client, condition.subject):
        shortfall = next(condition.shortfalls(words_of(endorsement.exhibit), now_s), None)
        if shortfall is None:
            met.append(endorsement)
        else:
            position = endorsement.exhibit.position
            reason = f"the newest endorsed statement is at entry {position}: {shortfall}"
    # A server may also invent endorsements: what does not prove is passed over.
    for endorsement in reversed(met):
        proven = _prove(chain, client, evaluator, endorsement)
        if proven is not None:
            completion = _completion(chain, evaluator, job_id, endorsement, proven)
            return Plan(_describe(chain, condition), (completion,), facts=_facts(evaluator))
        position = endorsement.exhibit.position
        reason = f"the statement at entry {position} is not anchored and signed as served"
    raise EscrowError(
        "condition-not-met",
        f"the job cannot be completed: {reason}; try again later, or another server",
    )


def _completion(
    chain: Chain, evaluator: Evaluator, job_id: int, endorsement: Endorsement, proven: Exhibit
) -> PlannedTransaction:
    entry, describe_amount = words_of(proven), _amount_writer(chain, evaluator.condition)
    totals = unpack_statement(entry.payload)
    call = chain.call(
        contract_at("JobEvaluator", evaluator.address),
        "complete",
        job_id,
        endorsement.size,
        tuple(proven),
        endorsement.first,
        endorsement.count,
        endorsement.signature,
    )
    lines = (
        (
            f"what the log shows: entry {proven.position}, of "
            f"{format_second(entry.time_ms // 1000)}, states {describe_amount(totals.earned)} "
            f"earned and {describe_amount(totals.reversed)} reversed"
        ),
        (
            f"what it does: the job at {evaluator.condition.commerce} is completed and its "
            f"provider paid, for good"
        ),
    )
    facts: dict[str, object] = {
        "job": str(job_id),
        "position": proven.position,
        "size": endorsement.size,
    }
    return PlannedTransaction(f"complete job {job_id}", lines, call, (), facts)


def plan_rejection(chain: Chain, evaluator: Evaluator, job_id: int) -> Plan:
    """Plan to reject a job whose deadline has passed."""
    deadline_s, now_s = evaluator.condition.deadline_s, chain.block().time_s
    if now_s <= deadline_s:
        raise EscrowError(
            "reject-too-early",
            f"jobs of this evaluator can be rejected after {format_second(deadline_s)}; the chain "
            f"is at {format_second(now_s)}",
        )
    rejection = PlannedTransaction(
        title=f"reject job {job_id}",
        lines=(
            (
                f"what it does: the job at {evaluator.condition.commerce} is rejected and its "
                f"budget given back to its client, for good"
            ),
        ),
        call=chain.call(contract_at("JobEvaluator", evaluator.address), "reject", job_id),
        by=(),
        facts={"job": str(job_id)},
    )
    return Plan(_describe(chain, evaluator.condition), (rejection,), facts=_facts(evaluator))


def plan_fee_collection(chain: Chain, evaluator: Evaluator, token: str) -> Plan:
    """Plan to send the verifier what job contracts have paid to its evaluator."""
    units = chain.balance_of(token, evaluator.address)
    if not units:
        raise EscrowError("nothing-to-collect", f"the evaluator has nothing of the token {token}")
    collection = PlannedTransaction(
        title=f"collect {units} base units of the token {token}",
        lines=(f"what it does: they go to the verifier {evaluator.condition.verifier}",),
        call=chain.call(contract_at("JobEvaluator", evaluator.address), "collect", token),
        by=(),
        facts={"amount_units": str(units)},
    )
    return Plan((), (collection,), facts=_facts(evaluator))


def _describe(chain: Chain, condition: Condition) -> tuple[str, ...]:
    minimum = _amount_writer(chain, condition)(condition.minimum_units)
    return tuple(_describe_condition(condition, minimum))


def _amount_writer(chain: Chain, condition: Condition) -> Callable[[int], str]:
    """Return what writes amounts of the condition's contract: in tokens if it is of this escrow."""
    try:
        token = token_of(chain, chain.terms_of(condition.subject).token)
    except ChainError:
        return lambda units: f"{units} base units"
    return lambda units: describe_exact_amount(units, token)


def _facts(evaluator: Evaluator) -> dict[str, object]:
    return {"evaluator": evaluator.address, "condition": evaluator.condition.to_json()}


# --- Endorsements ---------------------------------------------------------------------------------


def _endorsements(client: Client, subject: bytes) -> Iterator[Endorsement]:
    """Yield a server's endorsements of statements on a contract, oldest first, unproven."""
    for item in client.pages(f"/v1/contracts/{to_hex(subject)}/endorsements", "endorsements"):
        with reading(client, "which statements are endorsed"):
            yield _endorsement(item)


def _endorsement(item: Any) -> Endorsement:
    entry, signature = from_hex(item["entry"], ENTRY_BYTES), from_hex(item["signature"])
    position, size, first, count = (
        int(item[name]) for name in ("position", "size", "first", "count")
    )
    is_run = 0 <= first <= position < first + count <= size < POSITION_LIMIT
    if len(signature) > MAX_SIGNATURE_BYTES or not is_run:
        raise ValueError
    return Endorsement(Exhibit(position, entry), size, first, count, signature)


def _prove(
    chain: Chain, client: Client, evaluator: Evaluator, endorsement: Endorsement
) -> Exhibit | None:
    """Return the statement with its path, or None if it is not anchored and signed as served."""
    log_id, exhibit, size = evaluator.condition.log_id, endorsement.exhibit, endorsement.size
    root = chain.root_at(log_id, size)
    if root is None:
        return None
    answer = client.get("/v1/log/proofs/inclusion", position=exhibit.position, size=size)
    with reading(client, f"where entry {exhibit.position} stands"):
        # A path is as long as the tree is high; a longer one is not even read.
        path = [from_hex(node, WORD_BYTES) for node in answer["path"][:MAX_PATH_NODES]]
    try:
        verify_inclusion(leaf_hash(exhibit.entry), exhibit.position, size, path, root)
    except ProofError:
        return None
    digest = verified_digest(
        evaluator.domain, log_id, size, root, endorsement.first, endorsement.count
    )
    if not chain.is_signed(evaluator.condition.verifier, digest, endorsement.signature):
        return None
    return exhibit._replace(proof=tuple(path))
