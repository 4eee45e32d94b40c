"""ERC-8183 jobs that the log decides: their evaluators, and what completes or rejects them.

An evaluator's address follows from its condition, so whoever creates a job binds itself by naming
it. Each function gives a `Plan` in plain words with the transaction for it, and raises
`EscrowError` for what the chain would refuse at this time. Nothing is sent here.

A job's own state is its contract's affair, which has no function to read it: the trial run before a
transaction is what tells.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from eth_utils.address import to_checksum_address

from orchestrator.actions.contract_state import ContractState, token_of
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.actions.wording import told_amount, utc
from orchestrator.chain.caller import UNLIKE, contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import ReplyError, octets, result
from orchestrator.client.http import Client
from orchestrator.client.log_server import reading, served
from orchestrator.core.entry import ENTRY_BYTES, INDEX_LIMIT, WORD_BYTES
from orchestrator.core.errors import ChainError, EscrowError, InputError, ProofError
from orchestrator.core.evidence.exhibits import Exhibit, unpack_statement, words_of
from orchestrator.core.hexadecimal import from_hex, to_hex
from orchestrator.core.job_condition import Condition
from orchestrator.core.merkle import leaf_hash, verify_inclusion
from orchestrator.core.terms import Domain, verified_digest

# Statements that are held against the chain, the newest first, until one stands.
MAX_TRIED = 100
MAX_PATH = 64
MAX_SIGNATURE_BYTES = 4_096


class Evaluator(NamedTuple):
    """The evaluator at an address, and the condition that this address follows from.

    `domain` is its factory's, under which statements are endorsed for it.
    """

    address: str
    condition: Condition
    domain: Domain


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A statement with the verifier's signature for jobs, as a server gives it.

    Signed are the entries [first, first + count) of the tree of this size.
    """

    exhibit: Exhibit
    size: int
    first: int
    count: int
    signature: bytes


# --- The condition --------------------------------------------------------------------------------


def offer(
    chain: Chain,
    factory: str,
    found: ContractState,
    commerce: str,
    minimum_units: int,
    *,
    stated_from_s: int,
    deadline_s: int,
) -> Plan:
    """The evaluator for jobs that a contract's statements are to complete, and how to create it."""
    chain.check_evaluators(factory)
    terms = found.terms
    if not _has_code(chain, commerce):
        raise InputError("commerce-missing", f"there is no ERC-8183 contract at {commerce}")
    condition = Condition(
        commerce,
        terms.log_id,
        terms.verifier,
        found.contract_id,
        minimum_units,
        stated_from_s,
        deadline_s,
    )
    if not 0 < minimum_units <= found.budget_units:
        raise InputError(
            "minimum-out-of-reach",
            f"the contract cannot earn {found.amount(minimum_units)}: give an amount above zero, "
            f"up to its budget of {found.amount(found.budget_units)}",
        )
    last_s = found.times.statements_until_s + terms.holdback_period_s
    if not max(stated_from_s, found.now_s) <= deadline_s or stated_from_s > last_s:
        raise InputError(
            "deadline-past",
            f"no statement could complete the job: its deadline is {utc(deadline_s)}, statements "
            f"count from {utc(stated_from_s)}, the last can be made at {utc(last_s)}, and the "
            f"chain is at {utc(found.now_s)}",
        )
    address = _address_for(chain, factory, condition)
    lines = [
        f"the evaluator is {address}, of the factory {factory}",
        "name it when you create the job: its address binds the job to all of this, for good",
        *_told(condition, found.exact(minimum_units)),
    ]
    if found.is_retired:
        lines.append("but this verifier was disproved: nobody should trust its word any more")
    facts: dict[str, object] = {"evaluator": address, "condition": condition.to_json()}
    if _has_code(chain, address):
        return Plan((*lines, "it is on the chain already"), facts=facts)
    deed = PlannedTransaction(
        title="put the evaluator on the chain",
        lines=("needed once, before a job can be completed or rejected; a job can name it before",),
        call=chain.call(contract_at("JobEvaluators", factory), "create", tuple(condition)),
        by=(),
        facts={},
    )
    return Plan(tuple(lines), (deed,), facts=facts)


def evaluator_at(chain: Chain, factory: str, address: str) -> Evaluator:
    """The evaluator at an address. Raises InputError unless our factory made it."""
    domain = chain.check_evaluators(factory)
    if not _has_code(chain, address):
        raise InputError("evaluator-missing", f"there is no evaluator at {address}; create it")
    evaluator = contract_at("JobEvaluator", address)
    # The code could be anybody's. What counts is that our factory gives this address for what it
    # says: then it is ours.
    try:
        condition = Condition.from_abi(chain.read(evaluator, "condition"))
        if _address_for(chain, factory, condition) == address:
            return Evaluator(address, condition, domain)
    except ChainError as error:
        if not isinstance(error, ReplyError) and error.code not in UNLIKE:
            raise
    raise InputError(
        "evaluator-false", f"the contract at {address} is no evaluator of the factory {factory}"
    )


def _address_for(chain: Chain, factory: str, condition: Condition) -> str:
    found = chain.read(contract_at("JobEvaluators", factory), "evaluatorOf", tuple(condition))
    return to_checksum_address(found)


def _has_code(chain: Chain, address: str) -> bool:
    (code,) = chain.ask([("eth_getCode", [address, "latest"])])
    return bool(octets(result(code)))


def _told(condition: Condition, minimum: str) -> Iterator[str]:
    yield (
        f"a job at {condition.commerce} that names it is completed by a statement in log "
        f"{to_hex(condition.log_id)}, by the verifier {condition.verifier}, that contract "
        f"{to_hex(condition.subject)} has earned {minimum} or more, less what was reversed"
    )
    if condition.stated_from_s:
        yield f"statements count that are made from {utc(condition.stated_from_s)} on"
    yield (
        f"until {utc(condition.deadline_s)} it can only be completed, afterwards only rejected; "
        f"neither can be taken back"
    )


# --- Completing and rejecting ---------------------------------------------------------------------


def complete(chain: Chain, client: Client, evaluator: Evaluator, job_id: int) -> Plan:
    """Complete a job by the newest endorsed statement that meets the condition.

    A server's statements count only as far as they stand in an anchored tree and the verifier has
    signed for that tree.
    """
    condition = evaluator.condition
    now_s = chain.block().time_s
    if now_s > condition.deadline_s:
        raise EscrowError(
            "job-too-late",
            f"jobs of this evaluator could be completed until {utc(condition.deadline_s)}, and the "
            f"chain is at {utc(now_s)}: now they can only be rejected",
        )
    _, log_id = served(client)
    if log_id != condition.log_id:
        raise InputError(
            "log-of-another",
            f"the condition is about log {to_hex(condition.log_id)}, and the server has "
            f"{to_hex(log_id)}: name a server of that log",
        )
    met, reason = deque[Endorsement](maxlen=MAX_TRIED), "no statement about it is endorsed for jobs"
    for one in _endorsements(client, condition.subject):
        shortfall = next(condition.shortfalls(words_of(one.exhibit)), None)
        if shortfall is None:
            met.append(one)
        else:
            reason = (
                f"the newest endorsed statement is at entry {one.exhibit.position}: {shortfall}"
            )
    for one in reversed(met):
        proven = _prove(chain, client, evaluator, one)
        if proven is not None:
            deed = _completion(chain, evaluator, job_id, one, proven)
            return Plan(_about(chain, condition), (deed,), facts=_facts(evaluator))
        reason = f"the statement at entry {one.exhibit.position} is not anchored and signed as said"
    raise EscrowError(
        "condition-not-met",
        f"the job cannot be completed: {reason}; try again later, or another server",
    )


def _completion(
    chain: Chain, evaluator: Evaluator, job_id: int, one: Endorsement, proven: Exhibit
) -> PlannedTransaction:
    said, amount = words_of(proven), _amounts(chain, evaluator.condition)
    totals = unpack_statement(said.payload)
    run = one.first, one.count, one.signature
    call = chain.call(
        contract_at("JobEvaluator", evaluator.address),
        "complete",
        job_id,
        one.size,
        tuple(proven),
        *run,
    )
    lines = (
        (
            f"what the log shows: entry {proven.position}, of {utc(said.time_ms // 1000)}, states "
            f"{amount(totals.earned)} earned and {amount(totals.reversed)} reversed"
        ),
        (
            f"what it does: the job at {evaluator.condition.commerce} is completed and its "
            f"provider paid, for good"
        ),
    )
    facts: dict[str, object] = {
        "job": str(job_id),
        "position": proven.position,
        "size": one.size,
    }
    return PlannedTransaction(f"complete job {job_id}", lines, call, (), facts)


def reject(chain: Chain, evaluator: Evaluator, job_id: int) -> Plan:
    """Reject a job whose time is over."""
    deadline_s, now_s = evaluator.condition.deadline_s, chain.block().time_s
    if now_s <= deadline_s:
        raise EscrowError(
            "reject-too-early",
            f"jobs of this evaluator can be rejected after {utc(deadline_s)}; the chain is at "
            f"{utc(now_s)}",
        )
    deed = PlannedTransaction(
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
    return Plan(_about(chain, evaluator.condition), (deed,), facts=_facts(evaluator))


def collect(chain: Chain, evaluator: Evaluator, token: str) -> Plan:
    """Send the verifier what job contracts have paid its evaluator."""
    units = chain.balance_of(token, evaluator.address)
    if not units:
        raise EscrowError("nothing-to-collect", f"the evaluator has nothing of the token {token}")
    deed = PlannedTransaction(
        title=f"collect {units} base units of the token {token}",
        lines=(f"what it does: they go to the verifier {evaluator.condition.verifier}",),
        call=chain.call(contract_at("JobEvaluator", evaluator.address), "collect", token),
        by=(),
        facts={"amount_units": str(units)},
    )
    return Plan((), (deed,), facts=_facts(evaluator))


def _about(chain: Chain, condition: Condition) -> tuple[str, ...]:
    return tuple(_told(condition, _amounts(chain, condition)(condition.minimum_units)))


def _amounts(chain: Chain, condition: Condition) -> Callable[[int], str]:
    """How to tell amounts of the contract that a condition is about, if it is of this escrow."""
    try:
        token = token_of(chain, chain.terms_of(condition.subject).token)
    except ChainError:
        return lambda units: f"{units} base units"
    return lambda units: f"{told_amount(units, token)} ({units} base units)"


def _facts(evaluator: Evaluator) -> dict[str, object]:
    return {"evaluator": evaluator.address, "condition": evaluator.condition.to_json()}


# --- What a server says ---------------------------------------------------------------------------


def _endorsements(client: Client, subject: bytes) -> Iterator[Endorsement]:
    """What a server says was endorsed about a contract, oldest first."""
    for item in client.pages(f"/v1/contracts/{to_hex(subject)}/endorsements", "endorsements"):
        with reading(client, "which statements are endorsed"):
            yield _endorsement(item)


def _endorsement(item: Any) -> Endorsement:
    entry, signature = (bytes.fromhex(item[name][2:]) for name in ("entry", "signature"))
    position, size, first, count = (
        int(item[name]) for name in ("position", "size", "first", "count")
    )
    is_run = 0 <= first <= position < first + count <= size < INDEX_LIMIT
    if len(entry) != ENTRY_BYTES or len(signature) > MAX_SIGNATURE_BYTES or not is_run:
        raise ValueError
    return Endorsement(Exhibit(position, entry), size, first, count, signature)


def _prove(chain: Chain, client: Client, evaluator: Evaluator, one: Endorsement) -> Exhibit | None:
    """The statement with its path, if it is anchored and signed as the server says."""
    log_id, position = evaluator.condition.log_id, one.exhibit.position
    root = chain.root_at(log_id, one.size)
    if root is None:
        return None
    answer = client.get("/v1/log/proofs/inclusion", index=position, size=one.size)
    with reading(client, f"where entry {position} stands"):
        path = [from_hex(node, WORD_BYTES) for node in answer["path"][:MAX_PATH]]
    try:
        verify_inclusion(leaf_hash(one.exhibit.entry), position, one.size, path, root)
    except ProofError:
        return None
    digest = verified_digest(evaluator.domain, log_id, one.size, root, one.first, one.count)
    if not chain.is_signed(evaluator.condition.verifier, digest, one.signature):
        return None
    return one.exhibit._replace(proof=tuple(path))
