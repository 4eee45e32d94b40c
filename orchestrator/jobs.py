"""ERC-8183 jobs that the log decides: their evaluators, and what completes or rejects them.

An evaluator's address follows from its condition, so whoever creates a job binds itself by naming
it. Each function gives a `Brief` in plain words with the transaction for it, and raises
`EscrowError` for what the chain would refuse at this time. Nothing is sent here.

A job's own state is its contract's affair, which has no function to read it: the trial run before a
transaction is what tells.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from eth_utils.address import to_checksum_address

from orchestrator.actors import Client
from orchestrator.calls import contract_at
from orchestrator.chain import Chain
from orchestrator.checks import reading, word_of
from orchestrator.core.case import Exhibit, statement, words
from orchestrator.core.entry import ENTRY_BYTES
from orchestrator.core.errors import ChainError, EscrowError, InputError
from orchestrator.core.jobs import Condition
from orchestrator.node import ReplyError, hex_of, octets, result
from orchestrator.situation import Brief, Deed, Situation, read, token_of, utc

# How it fails to ask a contract of another kind what its condition is.
_NOT_OURS = ("call-reverted", "node-unreadable", "call-malformed")


class Evaluator(NamedTuple):
    """The evaluator at an address, and the condition that this address follows from."""

    address: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A statement with the verifier's signature for jobs, as a server gives it.

    Signed are the entries [first, first + count) of the tree (size, root).
    """

    position: int
    entry: bytes
    size: int
    first: int
    count: int
    signature: bytes


# --- The condition --------------------------------------------------------------------------------


def offer(
    chain: Chain,
    factory: str,
    found: Situation,
    commerce: str,
    minimum_units: int,
    *,
    stated_from_s: int,
    deadline_s: int,
) -> Brief:
    """The evaluator for jobs that a contract's statements are to complete, and how to create it."""
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
    if not minimum_units:
        raise InputError("minimum-zero", "a job must ask for something: give an amount above zero")
    if deadline_s < max(stated_from_s, found.now_s):
        raise InputError(
            "deadline-past",
            f"no statement could complete the job: its deadline is {utc(deadline_s)}, statements "
            f"count from {utc(stated_from_s)}, and the chain is at {utc(found.now_s)}",
        )
    address = _address_for(chain, factory, condition)
    lines = [
        f"the evaluator is {address}",
        "name it when you create the job: its address binds the job to all of this, for good",
        *_told(condition, found.exact(minimum_units)),
    ]
    if found.is_retired:
        lines.append("but this verifier was disproved: nobody should trust its word any more")
    facts: dict[str, object] = {"evaluator": address, "condition": condition.to_json()}
    if _has_code(chain, address):
        return Brief((*lines, "it is on the chain already"), facts=facts)
    deed = Deed(
        title="put the evaluator on the chain",
        lines=("needed once, before a job can be completed or rejected; a job can name it before",),
        call=chain.call(contract_at("JobEvaluators", factory), "create", tuple(condition)),
        by=(),
        facts={},
    )
    return Brief(tuple(lines), (deed,), facts=facts)


def evaluator_at(chain: Chain, factory: str, address: str) -> Evaluator:
    """The evaluator at an address. Raises InputError unless our factory made it."""
    if not _has_code(chain, address):
        raise InputError("evaluator-missing", f"there is no evaluator at {address}; create it")
    evaluator = contract_at("JobEvaluator", address)
    # The code could be anybody's. What counts is that our factory gives this address for what it
    # says: then it is ours.
    try:
        condition = Condition.from_abi(chain.read(evaluator, "condition"))
        if _address_for(chain, factory, condition) == address:
            return Evaluator(address, condition)
    except ChainError as error:
        if not isinstance(error, ReplyError) and error.code not in _NOT_OURS:
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
        f"a job at {condition.commerce} that names it is completed by a statement of the verifier "
        f"{condition.verifier} that contract {hex_of(condition.subject)} has earned {minimum} or "
        f"more, less what was reversed"
    )
    if condition.stated_from_s:
        yield f"statements count that are made from {utc(condition.stated_from_s)} on"
    yield (
        f"until {utc(condition.deadline_s)} it can only be completed, afterwards only rejected; "
        f"neither can be taken back"
    )


# --- Completing and rejecting ---------------------------------------------------------------------


def complete(chain: Chain, client: Client, evaluator: Evaluator, job_id: int) -> Brief:
    """Complete a job by the newest endorsed statement that meets the condition."""
    condition = evaluator.condition
    now_s = chain.block().time_s
    if now_s > condition.deadline_s:
        raise EscrowError(
            "job-too-late",
            f"jobs of this evaluator could be completed until {utc(condition.deadline_s)}, and the "
            f"chain is at {utc(now_s)}: now they can only be rejected",
        )
    found, reason = None, "the server has no statement about it that is endorsed for jobs"
    for one in _endorsements(client, condition.subject):
        shortfall = next(condition.shortfalls(one.entry), None)
        if shortfall is None:
            found = one
        else:
            reason = f"the newest endorsed statement is at entry {one.position}: {shortfall}"
    if found is None:
        raise EscrowError(
            "condition-not-met", f"the job cannot be completed: {reason}; try again, or elsewhere"
        )
    proof, amount = _proof(client, found), _amounts(chain, condition)
    shown = words(Exhibit(found.position, found.entry))
    totals = statement(shown.payload)
    call = chain.call(
        contract_at("JobEvaluator", evaluator.address),
        "complete",
        job_id,
        found.size,
        (found.position, found.entry, proof),
        found.first,
        found.count,
        found.signature,
    )
    deed = Deed(
        title=f"complete job {job_id}",
        lines=(
            (
                f"what the log shows: entry {found.position}, of "
                f"{utc(shown.time_ms // 1000)}, states {amount(totals.earned)} earned and "
                f"{amount(totals.reversed)} reversed"
            ),
            (
                f"what it does: the job at {condition.commerce} is completed and its provider "
                f"paid, for good"
            ),
        ),
        call=call,
        by=(),
        facts={"job": str(job_id), "position": found.position, "size": found.size},
    )
    return Brief(_about(chain, evaluator), (deed,), facts=_facts(evaluator))


def reject(chain: Chain, evaluator: Evaluator, job_id: int) -> Brief:
    """Reject a job whose time is over."""
    deadline_s, now_s = evaluator.condition.deadline_s, chain.block().time_s
    if now_s <= deadline_s:
        raise EscrowError(
            "reject-too-early",
            f"jobs of this evaluator can be rejected after {utc(deadline_s)}; the chain is at "
            f"{utc(now_s)}",
        )
    deed = Deed(
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
    return Brief(_about(chain, evaluator), (deed,), facts=_facts(evaluator))


def collect(chain: Chain, evaluator: Evaluator, token: str) -> Brief:
    """Send the verifier what job contracts have paid its evaluator."""
    units = chain.balance_of(token, evaluator.address)
    if not units:
        raise EscrowError("nothing-to-collect", f"the evaluator has nothing of the token {token}")
    named = token_of(chain, token).symbol
    deed = Deed(
        title=f"collect {units} base units of {named}",
        lines=(f"what it does: they go to the verifier {evaluator.condition.verifier}",),
        call=chain.call(contract_at("JobEvaluator", evaluator.address), "collect", token),
        by=(),
        facts={"amount_units": str(units)},
    )
    return Brief((), (deed,), facts=_facts(evaluator))


def _about(chain: Chain, evaluator: Evaluator) -> tuple[str, ...]:
    condition = evaluator.condition
    return tuple(_told(condition, _amounts(chain, condition)(condition.minimum_units)))


def _amounts(chain: Chain, condition: Condition) -> Callable[[int], str]:
    """How to tell amounts of the contract that a condition is about, if it is of this escrow."""
    try:
        return read(chain, condition.subject).exact
    except InputError:
        return lambda units: f"{units} base units"


def _facts(evaluator: Evaluator) -> dict[str, object]:
    return {"evaluator": evaluator.address, "condition": evaluator.condition.to_json()}


def _endorsements(client: Client, subject: bytes) -> Iterator[Endorsement]:
    """What a server says was endorsed about a contract, oldest first; the chain will judge it."""
    for item in client.pages(f"/v1/contracts/{hex_of(subject)}/endorsements", "endorsements"):
        with reading("which statements are endorsed"):
            yield _endorsement(item)


def _endorsement(item: Any) -> Endorsement:
    entry, signature = (bytes.fromhex(item[name][2:]) for name in ("entry", "signature"))
    if len(entry) != ENTRY_BYTES:
        raise ValueError
    position, size, first, count = (
        int(item[name]) for name in ("position", "size", "first", "count")
    )
    return Endorsement(position, entry, size, first, count, signature)


def _proof(client: Client, found: Endorsement) -> list[bytes]:
    """Where the statement stands in the tree that was signed."""
    answer = client.get("/v1/log/proofs/inclusion", index=found.position, size=found.size)
    with reading(f"where entry {found.position} stands"):
        return [word_of(node) for node in answer["path"]]
