"""What a stranger does: replay the public log, compare it with the chain, check a receipt.

Everything here uses a public server's answers and a node's, and believes neither: entries are
judged by the rules, hashed anew and compared with the anchored root; terms must have the digest
that names their contract; amounts are recomputed.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.chain.abi import ChainEvent, ClaimsRuled, Ruled
from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.event_scan import events_of
from orchestrator.client.http import Client
from orchestrator.client.log_server import _records, reading, served, served_policy
from orchestrator.core.contract import Contract
from orchestrator.core.entry import (
    WORD_BYTES,
    unpack_settlement,
)
from orchestrator.core.errors import ReplayError
from orchestrator.core.hexadecimal import from_hex
from orchestrator.core.opening import Record
from orchestrator.core.terms import Terms
from orchestrator.core.units import BPS, DAY_S
from orchestrator.core.world import World
from orchestrator.verify.log_replay import LogReplay
from orchestrator.verify.recount import Totals, recount

PAGE = 1000
MAX_UNANCHORED = 1_000_000


class ContractComparison(NamedTuple):
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
    contracts: list[ContractComparison]

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


def _judge(client: Client, chain: Chain, log_id: bytes, anchor: Anchor) -> tuple[World, "_Book"]:
    """Replay all that the server has, past the anchor."""
    newest = client.get("/v1/log/checkpoint")
    with reading(client, "how long its log is"):
        size, root = int(newest["size"]), from_hex(newest["root"], WORD_BYTES)
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


def _compare(
    chain: Chain, contracts: Mapping[bytes, Contract], book: _Book
) -> list[ContractComparison]:
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
        compared = ContractComparison(
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
