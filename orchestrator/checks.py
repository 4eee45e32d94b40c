"""What a stranger does: replay the public log, compare it with the chain, check a receipt.

Everything here uses a public server's answers and a node's, and believes neither: entries are
judged by the rules, hashed anew and compared with the anchored root; terms must have the digest
that names their contract; amounts are recomputed.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from eth_utils.address import to_checksum_address

from orchestrator.actors import Client
from orchestrator.chain import Addresses, Chain, Checkpoint
from orchestrator.contracts import ChainEvent, ClaimsRuled, Ruled
from orchestrator.core import policy as policies
from orchestrator.core import receipt as receipts
from orchestrator.core.decide import Opening, Record
from orchestrator.core.entry import (
    WORD_BYTES,
    EventOpening,
    TouchOpening,
    address_word,
    decode,
    unpack_settlement,
)
from orchestrator.core.errors import DomainError, ProofError, ReplayError, ServerError
from orchestrator.core.policy import Policy
from orchestrator.core.receipt import Receipt
from orchestrator.core.settlement import Contract
from orchestrator.core.terms import BPS, Terms, checkpoint_digest, recover
from orchestrator.core.world import World
from orchestrator.events import events_of
from orchestrator.recount import Totals, recount
from orchestrator.verifier import LogReplay

PAGE = 1000
DAY_S = 86_400
MAX_UNANCHORED = 1_000_000


class Compared(NamedTuple):
    """One contract: what the log's rules give, and what the escrow must have paid and has.

    `payable_units` is the log's word alone. What was paid can differ from it: held back or not yet
    stated, or because the parties or the arbiter settled it otherwise: see `status`, the escrow's
    word, and `is_ruled`. `owed_units` is payable for good by the escrow's rules and not yet paid.
    Base units, gross.
    """

    contract_id: bytes
    terms: Terms
    outcomes: int
    payable_units: int
    paid_units: int
    owed_units: int
    status: str
    is_ruled: bool

    @property
    def fee_units(self) -> int:
        """The fee inside what was paid: over the cumulative sum, rounded down."""
        return self.paid_units * self.terms.fee_bps // BPS


class Comparison(NamedTuple):
    """A replay that held: how far, under which anchor, and every contract beside the chain."""

    entries: int
    anchored_size: int
    contracts: list[Compared]

    def due_units(self) -> dict[str, int]:
        """What every payee and fee recipient must have received, as it was counted again."""
        due: dict[str, int] = {}
        for contract in self.contracts:
            terms, fee = contract.terms, contract.fee_units
            due[terms.payee] = due.get(terms.payee, 0) + contract.paid_units - fee
            if fee:
                due[terms.fee_recipient] = due.get(terms.fee_recipient, 0) + fee
        return due


def connect(client: Client, rpc_url: str) -> tuple[Chain, bytes]:
    """The chain that a server's log says it is anchored on, checked to hold our contracts."""
    deployment, log_id = served(client)
    chain = Chain(rpc_url, deployment)
    try:
        chain.check()
    except BaseException:
        chain.close()
        raise
    return chain, log_id


def served(client: Client) -> tuple[Addresses, bytes]:
    """The deployment and the log that a server names."""
    log = client.get("/v1/log")
    with reading(client, "which log it serves"):
        event_log, escrow = (to_checksum_address(log[name]) for name in ("event_log", "escrow"))
        feedback, evaluators = (
            None if log.get(name) is None else to_checksum_address(log[name])
            for name in ("feedback", "evaluators")
        )
        return (
            Addresses(int(log["chain_id"]), event_log, escrow, 0, feedback, evaluators),
            word_of(log["log_id"]),
        )


@contextmanager
def reading(client: Client, what: str) -> Iterator[None]:
    """Raises ServerError if the server's answer has not the shape that we read it by."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise ServerError("answer-garbled", f"{client.server} does not say {what}") from None


def word_of(text: str) -> bytes:
    """The word of 32 bytes in hex; ValueError if it is none."""
    word = bytes.fromhex(text.removeprefix("0x"))
    if len(word) != WORD_BYTES:
        raise ValueError
    return word


def replay(client: Client, chain: Chain, log_id: bytes) -> Comparison:
    """Replay the log behind `client` from entry 0 and compare it with the chain.

    Raises `ReplayError` at the first entry, root or payout that is not what the rules give.
    """
    anchor = chain.checkpoint(log_id)
    world, book = _judge(client, chain, log_id, anchor)
    return Comparison(world.size, anchor.size, _compare(chain, world.contracts, book))


def statement(
    client: Client, chain: Chain, log_id: bytes, contract_id: bytes, position: int
) -> Totals:
    """What the statement at `position` must say by the log's own rules, after a whole replay.

    Raises `ReplayError` if the log is not what the rules give, or has no such statement.
    """
    _, book = _judge(client, chain, log_id, chain.checkpoint(log_id))
    found = book.statements.get(contract_id, {}).get(position)
    if found is None:
        raise ReplayError(
            "statement-missing",
            f"entry {position} is no statement about contract 0x{contract_id.hex()}",
        )
    return found


def _judge(
    client: Client, chain: Chain, log_id: bytes, anchor: Checkpoint
) -> tuple[World, "_Book"]:
    """Replay all that the server has, past the anchor."""
    newest = client.get("/v1/log/checkpoint")
    with reading(client, "how long its log is"):
        size, root = int(newest["size"]), word_of(newest["root"])
    if size > anchor.size + MAX_UNANCHORED:
        raise ReplayError(
            "log-ahead",
            f"the server has {size} entries, but only {anchor.size} are anchored; ask again when "
            f"more are",
        )
    book = _Book()
    log = LogReplay(
        log_id,
        lambda start, stop: book.noting(_records(client, start, stop)),
        lambda hash_: served_policy(client, hash_),
        chain,
    )
    if anchor.size:
        log.advance_to(anchor.size, anchor.root)
    judged = log.advance_to(size, root)
    return judged.finish(), book


class _Book:
    """What a replay passes on its way: every statement, by contract and index; and the beginning.

    The replay judges each record behind us, so what it did not refuse is what the rules give.
    """

    def __init__(self) -> None:
        self.begun_s = 0
        self.statements: dict[bytes, dict[int, Totals]] = {}
        self._size = 0

    def noting(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            entry = record.entry
            if entry.kind == "genesis":
                self.begun_s = entry.time_ms // 1000
            elif entry.kind == "settlement":
                totals = unpack_settlement(entry.payload)
                stated = Totals(totals.earned, totals.reversed)
                self.statements.setdefault(entry.subject, {})[self._size] = stated
            self._size += 1
            yield record


def _compare(chain: Chain, contracts: Mapping[bytes, Contract], book: _Book) -> list[Compared]:
    """Count again what every contract must have paid, and hold it against the escrow's books."""
    block = chain.block()
    happened: dict[bytes, list[ChainEvent]] = {contract_id: [] for contract_id in contracts}
    # No statement is older than the log; a day is for clocks that disagree.
    for event in events_of(chain, list(contracts), book.begun_s - DAY_S, block.number):
        happened[event.contract_id].append(event)
    found = []
    for contract_id, contract in contracts.items():
        terms = chain.terms_of(contract_id)
        statements = book.statements.get(contract_id, {})
        position = recount(contract_id, terms, happened[contract_id], statements)
        compared = Compared(
            contract_id,
            terms,
            contract.outcomes,
            contract.payable_units,
            position.paid_units,
            position.owed_units(block.time_s),
            chain.status_of(contract_id, block.number),
            any(isinstance(one.event, Ruled | ClaimsRuled) for one in happened[contract_id]),
        )
        held = chain.paid_of(contract_id, block.number), chain.owed_of(contract_id, block.number)
        if held != (compared.paid_units, compared.owed_units):
            raise ReplayError(
                "books-differ",
                f"the escrow says that contract 0x{contract_id.hex()} has paid {held[0]} units and "
                f"owes {held[1]}; by the rules it is {compared.paid_units} and "
                f"{compared.owed_units}",
            )
        found.append(compared)
    return found


def check_receipt(document: object, chain: Chain | None) -> list[str]:
    """Check a receipt, with the chain where there is one; returns what was shown, line by line.

    Raises `ProofError` at the first thing that is false.
    """
    receipt = receipts.parse(document)
    receipts.check(receipt)
    tree = f"the tree of size {receipt.size} with root 0x{receipt.root.hex()}"
    shown = [
        f"{len(receipt.entries)} entries stand in {tree}",
        "they tell one story: " + ", ".join(_told(receipt)),
    ]
    if chain is None:
        return [*shown, "not checked: that this root is the log's own; give --rpc to ask the chain"]
    return [*shown, *_check_on_chain(receipt, chain)]


def receipt_chain(document: object, rpc_url: str) -> Chain:
    """The chain that a receipt names, checked to hold our contracts."""
    receipt = receipts.parse(document)
    chain = Chain(rpc_url, Addresses(receipt.chain_id, receipt.event_log, receipt.escrow))
    try:
        chain.check()
    except BaseException:
        chain.close()
        raise
    return chain


def _check_on_chain(receipt: Receipt, chain: Chain) -> Iterator[str]:
    root = chain.root_at(receipt.log_id, receipt.size)
    if root is None:
        raise ProofError(
            "receipt-unanchored",
            f"the chain has no checkpoint of size {receipt.size} for this log; "
            f"ask for the receipt again when it is anchored",
        )
    if root != receipt.root:
        raise ProofError(
            "receipt-root",
            f"the chain holds root 0x{root.hex()} for size {receipt.size}, "
            f"the receipt says 0x{receipt.root.hex()}",
        )
    yield f"the chain holds this root: {chain.addresses.event_log} on chain {receipt.chain_id}"
    publisher = chain.publisher_of(receipt.log_id)
    digest = checkpoint_digest(chain.event_log_domain, receipt.log_id, receipt.size, receipt.root)
    if publisher is not None and recover(digest, receipt.signature) == publisher:
        yield f"the checkpoint is signed by the log's publisher, {publisher}"
    terms = chain.terms_of(receipt.contract_id)
    receipts.check_terms(receipt, terms)
    yield f"the signed terms of contract 0x{receipt.contract_id.hex()} pay for it at this amount"
    payout = receipt.entries.get("payout")
    if payout is not None:
        if payout.entry.actor != address_word(terms.payee):
            raise ProofError(
                "receipt-payee", "the payout went to another payee than the signed one"
            )
        paid = chain.paid_of(receipt.contract_id)
        if paid < payout.entry.value:
            raise ProofError(
                "receipt-unpaid", f"the escrow has paid {paid} units, less than the payout says"
            )
        yield f"the escrow has paid: transaction 0x{payout.entry.payload.hex()}"


def _told(receipt: Receipt) -> Iterator[str]:
    for role, proven in sorted(receipt.entries.items(), key=lambda item: item[1].position):
        yield f"{role} {proven.position}"


def _records(client: Client, start: int, stop: int) -> Iterator[Record]:
    while start < stop:
        limit = min(PAGE, stop - start)
        answer = client.get("/v1/log/entries", start=start, limit=limit)
        with reading(client, f"what its entries from {start} on are"):
            page = [_record(item, start + place) for place, item in enumerate(answer["entries"])]
        if not page:
            return
        if len(page) > limit:
            raise ReplayError("entries-many", f"the server gave more than {limit} entries at once")
        yield from page
        start += len(page)


def _record(item: dict[str, Any], position: int) -> Record:
    if item["index"] != position:
        raise ReplayError("entries-gap", f"the server skipped entry {position}")
    return Record(decode(bytes.fromhex(item["entry"][2:])), _opening(item["opening"]))


def _opening(item: dict[str, Any] | None) -> Opening | None:
    if item is None:
        return None
    request_hash, commitment = (word_of(item[name]) for name in ("request_hash", "commitment"))
    if "from_state" not in item:
        return TouchOpening(request_hash, commitment)
    return EventOpening(
        str(item["from_state"]),
        int(item["nth"]),
        int(item["received_ms"]),
        request_hash,
        commitment,
    )


def served_policy(client: Client, hash_: bytes) -> Policy:
    """The policy of this hash, as a server gives it. Raises ReplayError for another one."""
    answer = client.get(f"/v1/policies/0x{hash_.hex()}")
    with reading(client, f"what policy 0x{hash_.hex()} is"):
        document = answer["document"]
    found = policies.parse(document)
    if found.hash != hash_:
        raise ReplayError("policy-false", f"the server gives another policy for 0x{hash_.hex()}")
    return found


class Tampered(NamedTuple):
    """A receipt with one thing changed, and how it was refused."""

    what: str
    refusal: str


def tamper(document: dict[str, Any], chain: Chain) -> Tampered:
    """Raise the amount in a receipt's outcome by one unit, and show that it is refused."""
    forged = {**document, "entries": [dict(item) for item in document["entries"]]}
    outcome = next(item for item in forged["entries"] if item["role"] == "outcome")
    data = bytearray.fromhex(outcome["entry"][2:])
    units = int.from_bytes(data[160:192])
    data[160:192] = (units + 1).to_bytes(32)
    outcome["entry"] = "0x" + data.hex()
    try:
        check_receipt(forged, chain)
    except DomainError as error:
        return Tampered(f"the outcome's amount, {units}, made {units + 1}", error.message)
    raise ReplayError("forgery-taken", "a forged receipt was taken for a true one")
