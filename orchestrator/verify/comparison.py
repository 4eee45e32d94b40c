"""A stranger's replay of a public log, and its comparison with the chain, contract by contract.

It uses a public server's answers and a node's, and believes neither: entries are judged by the
rules, hashed anew and compared with the anchored root; terms must have the digest that names their
contract; amounts are recomputed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from orchestrator.chain.abi import ChainEvent, ClaimsRuled, Ruled
from orchestrator.chain.deployment import Anchor, Chain, SignedCheckpoint
from orchestrator.chain.event_scan import events_of
from orchestrator.client.http import Client
from orchestrator.client.log_server import (
    ServedClock,
    reading,
    served_deployment,
    served_origin,
    served_policy,
    served_records,
    served_settings,
)
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_S, format_second
from orchestrator.core.deals.escrow_model import fee_of_payment
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import WORD_BYTES, Entry, described, unpack_settlement
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.trust import Standing
from orchestrator.core.world.world import World
from orchestrator.verify.log_replay import LogReplay, Told, say_nothing
from orchestrator.verify.pinned import Named, Pinned
from orchestrator.verify.publisher.registration import find_registrant
from orchestrator.verify.publisher.signer import signer_of
from orchestrator.verify.receipt_check import NOTHING_PINNED, checked_chain
from orchestrator.verify.recount import ToldDispute, Totals, recount

# The most entries that a server may show beyond the last anchor: nothing on chain bounds those, and
# a server could make them up without end.
MAX_UNANCHORED = 1_000_000
# The time for which a publisher that has handed a log over signs on, and a day for clocks.
_HANDOVER_S = 8 * DAY_S
# What the chain tells becomes final first, and is written when the log's service reads it next.
DISPUTE_LAG_MS = DAY_S * 1000


class ContractComparison(NamedTuple):
    """One contract: what it pays by the log's rules, and what the escrow must have paid and has.

    `payable_units` follows from the log alone. The paid amount differs from it while something is
    held back or not yet stated, and where the parties closed the contract or the arbiter ruled: see
    `status`, the escrow's, and `is_ruled`. `owed_units` is payable for good by the escrow's rules
    and not yet paid. Base units, fees included.
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
        """Return the fee inside what was paid."""
        return fee_of_payment(0, self.paid_units, self.terms.fee_bps)


class RecomputedLevel(NamedTuple):
    """An operator's standing on a surface, both as words, as the log's entries give it."""

    surface: bytes
    operator: bytes
    level: int
    is_suspended: bool


class Comparison(NamedTuple):
    """The result of a replay that found nothing false: its size, the anchor's, every contract.

    `forked_at_s` is when the log was marked as forked, UTC seconds: then what was replayed is one
    of two histories that its publisher has told. `signer` has signed the size and the root of all
    entries, and alone vouches for those behind the last anchor.
    """

    entries: int
    anchored_size: int
    forked_at_s: int | None
    signer: str
    contracts: list[ContractComparison]
    levels: tuple[RecomputedLevel, ...] = ()

    def due_units(self) -> dict[str, int]:
        """Return what every payee and fee recipient must have received, as it was recounted."""
        due: dict[str, int] = {}
        for contract in self.contracts:
            terms, fee = contract.terms, contract.fee_units
            due[terms.payee] = due.get(terms.payee, 0) + contract.paid_units - fee
            if fee:
                due[terms.fee_recipient] = due.get(terms.fee_recipient, 0) + fee
        return due


class Connected(NamedTuple):
    """The chain of a server's log, to be closed, the log's id, and what is taken on trust."""

    chain: Chain
    log_id: bytes
    on_trust: list[str]


def connect(client: Client, rpc_url: str, pinned: Pinned = NOTHING_PINNED) -> Connected:
    """Return the chain that a server's log is anchored on, once it is what is pinned.

    Raises ProofError for a server that names another deployment or log than the pinned, and for a
    log that the chain has not registered as the server says, or whose publisher is none of the
    pinned.
    """
    addresses, log_id = served_deployment(client)
    origin = served_origin(client)
    named = Named(addresses.chain_id, addresses.event_log, addresses.escrow, log_id, origin)
    on_trust = pinned.compare(named, client.server)
    chain = checked_chain(rpc_url, addresses, client.server)
    try:
        if find_registrant(chain, named, client.server) is None:
            on_trust.append(
                f"that the log is registered as {origin}: {chain.node.name} shows no event of it"
            )
        pinned.check_publisher(chain.publisher_of(log_id), "the log's publisher is")
    except BaseException:
        chain.close()
        raise
    on_trust.append(f"that {chain.node.name} tells what the chain holds")
    return Connected(chain, log_id, on_trust)


def local_now_ms() -> int:
    """Return the UTC milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def clock_of(client: Client) -> tuple[Callable[[], int], list[str]]:
    """Return the clock by which to judge a server's log, and what is taken on trust by it.

    It is ours, unless the server says that its own is simulated: no other can judge its log.
    """
    served = ServedClock(client)
    if served.speed == 1:
        return local_now_ms, []
    pace = f"runs {served.speed:,} times as fast" if served.speed else "is moved by hand"
    return served, [f"the service's clock, which {pace}"]


def replay(
    client: Client,
    chain: Chain,
    log_id: bytes,
    now_ms: Callable[[], int] = local_now_ms,
    told: Told = say_nothing,
    pinned: Pinned = NOTHING_PINNED,
) -> Comparison:
    """Replay the log behind `client` from entry 0 and compare it with the chain.

    Raises `ReplayError` at the first entry, root or payout that is not what the rules give, and at
    the first entry whose time has not come by our own clock; `ProofError` where the log's publisher
    has not signed the newest checkpoint, or is none of the pinned.
    """
    anchor, forked_at_s = chain.checkpoint(log_id), chain.forked_at(log_id)
    newest = _served_checkpoint(client, chain, log_id, anchor)
    pinned.check_publisher(newest.signer, "the newest checkpoint is signed by")
    world, statements = _replay(client, chain, newest, anchor, now_ms, told)
    contracts = _compare(chain, world, statements)
    # A replay keeps all standings, where a service has a cache of them.
    standings = cast("dict[bytes, Standing]", world.standings)
    levels = tuple(
        RecomputedLevel(pair[:WORD_BYTES], pair[WORD_BYTES:], one.level, one.is_suspended)
        for pair, one in standings.items()
    )
    return Comparison(world.size, anchor.size, forked_at_s, newest.signer, contracts, levels)


def statement(
    client: Client, chain: Chain, log_id: bytes, contract_id: bytes, position: int
) -> Totals:
    """Return the totals of the statement at `position`, after a replay of the whole log.

    Raises `ReplayError` if the log is not what the rules give, or has no such statement, and
    `ProofError` where the log's publisher has not signed the newest checkpoint.
    """
    anchor = chain.checkpoint(log_id)
    newest = _served_checkpoint(client, chain, log_id, anchor)
    _, statements = _replay(client, chain, newest, anchor, local_now_ms)
    totals = statements.about(contract_id).get(position)
    if totals is None:
        raise ReplayError(
            "statement-missing",
            f"entry {position} is no statement about contract {to_hex(contract_id)}",
        )
    return totals


class PlacedEntry(NamedTuple):
    """An entry at its position."""

    position: int
    entry: Entry


def check_disputes(
    contract_id: bytes,
    logged: Sequence[PlacedEntry],
    told: Sequence[ToldDispute],
    log_time_ms: int,
) -> None:
    """Compare the disputes and rulings in a log with those that the chain tells of, in order.

    Raises ReplayError for one that is invented or altered, and for one that is missing although
    the log has gone on for `DISPUTE_LAG_MS` since.
    """
    wanted = [(one.kind, one.actor, one.label, one.units, one.event.tx_hash) for one in told]
    for number, (position, entry) in enumerate(logged):
        found = entry.kind, entry.actor, entry.label, entry.value, entry.payload
        if found in wanted[number : number + 1]:
            continue
        if found in wanted[number:]:
            raise _dispute_missing(contract_id, told[number])
        raise ReplayError(
            "dispute-false",
            f"entry {position} is {described(entry)}, {entry.label!r} with {entry.value} units, "
            f"but the chain tells of no such thing after what stands before it",
        )
    for one in told[len(logged) :]:
        if one.event.time_s * 1000 + DISPUTE_LAG_MS < log_time_ms:
            raise _dispute_missing(contract_id, one)


def _dispute_missing(contract_id: bytes, told: ToldDispute) -> ReplayError:
    return ReplayError(
        "dispute-missing",
        f"the log lacks the {told.kind} of contract {to_hex(contract_id)}, {told.label!r} with "
        f"{told.units} units, of {format_second(told.event.time_s)}",
    )


class _Statements:
    """The statements and disputes of a log by contract, and the time at which it began.

    They are noted on the way to a replay, which judges each record after it has passed here. So
    they are what the rules give if, and only if, that replay comes to its end.
    """

    def __init__(self) -> None:
        self.genesis_s = 0
        self._by_contract: dict[bytes, dict[int, Totals]] = {}
        self._disputes: dict[bytes, list[PlacedEntry]] = {}
        self._size = 0

    def about(self, contract_id: bytes) -> Mapping[int, Totals]:
        """Return the statements about a contract, by position."""
        return self._by_contract.get(contract_id, {})

    def disputes(self, contract_id: bytes) -> list[PlacedEntry]:
        """Return the disputes and rulings about a contract, in log order."""
        return self._disputes.get(contract_id, [])

    def noting(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, the log's next, and note what they state."""
        for record in records:
            entry = record.entry
            if entry.kind == "genesis":
                self.genesis_s = entry.time_ms // 1000
            elif entry.kind == "settlement":
                stated = unpack_settlement(entry.payload)
                totals = Totals(stated.earned, stated.reversed)
                self._by_contract.setdefault(entry.subject, {})[self._size] = totals
            elif entry.kind in ("dispute.opened", "dispute.ruled"):
                placed = PlacedEntry(self._size, entry)
                self._disputes.setdefault(entry.subject, []).append(placed)
            self._size += 1
            yield record


class _Newest(NamedTuple):
    """The newest checkpoint of a log as a server gives it, and the account that has signed it."""

    log_id: bytes
    size: int
    root: bytes
    signer: str


def _served_checkpoint(client: Client, chain: Chain, log_id: bytes, anchor: Anchor) -> _Newest:
    """Return the newest checkpoint, once it is signed and no smaller than the last anchor."""
    answer = client.get("/v1/log/checkpoint")
    with reading(client, "how long its log is, and who has signed that"):
        size, root = int(answer["size"]), from_hex(answer["root"], WORD_BYTES)
        signature = from_hex(answer["signature"])
    if size < anchor.size:
        raise _withheld(client, size, anchor)
    if size > anchor.size + MAX_UNANCHORED:
        raise ReplayError(
            "log-ahead",
            f"the server has {size} entries, but only {anchor.size} are anchored; ask again when "
            f"more are",
        )
    signed = SignedCheckpoint(log_id, size, root, signature)
    signer = signer_of(chain, signed, _former(chain, log_id, size, anchor), "checkpoint-signature")
    return _Newest(log_id, size, root, signer.account)


def _former(chain: Chain, log_id: bytes, size: int, anchor: Anchor) -> Iterator[str]:
    """Yield the publishers before, whose signature of a size counts still.

    One that has handed the log over signs on until the hand-over is complete. From then on it could
    sign what it wants: no new publisher has vouched for what no anchor covers.
    """
    if size <= anchor.size:
        yield from chain.publishers_replaced(log_id, anchor.published_at_s - _HANDOVER_S)
    elif (previous := chain.previous_publisher_of(log_id)) is not None:
        yield previous


def _withheld(client: Client, size: int, anchor: Anchor) -> ReplayError:
    return ReplayError(
        "entries-short",
        f"{client.server} has {size} entries, but the chain holds the root of {anchor.size}; ask "
        f"another server",
    )


def _replay(
    client: Client,
    chain: Chain,
    newest: _Newest,
    anchor: Anchor,
    now_ms: Callable[[], int],
    told: Told = say_nothing,
) -> tuple[World, _Statements]:
    """Replay all that the server has, past the anchor."""
    statements = _Statements()
    log = LogReplay(
        newest.log_id,
        lambda start, stop: statements.noting(served_records(client, start, stop)),
        lambda hash_: served_policy(client, hash_),
        lambda hash_: served_settings(client, hash_),
        chain,
        now_ms,
        lambda done: told(done, newest.size),
    )
    # First to the anchor, whose root is the chain's; the rest has only the root that the publisher
    # has signed, and is judged by the rules.
    if anchor.size:
        try:
            log.advance_to(anchor.size, anchor.root)
        except ReplayError as error:
            if error.code != "entries-short":
                raise
            raise _withheld(client, log.size, anchor) from None
    judged = log.advance_to(newest.size, newest.root)
    return judged.finish(), statements


def _compare(chain: Chain, world: World, statements: _Statements) -> list[ContractComparison]:
    """Recount what every contract must have paid, and compare it with the escrow's own numbers."""
    contracts = world.contracts
    # All of it as of one block, so that a payment in between is no contradiction.
    block = chain.block()
    events: dict[bytes, list[ChainEvent]] = {contract_id: [] for contract_id in contracts}
    # No statement is older than the log; a day is for clocks that disagree.
    since_s, escrow = statements.genesis_s - DAY_S, chain.addresses.escrow
    for event in events_of(chain, escrow, list(contracts), since_s, block.number):
        events[event.contract_id].append(event)
    progress = chain.progress(list(contracts), block.number)
    comparisons = []
    for contract_id, contract in contracts.items():
        terms = chain.terms_of(contract_id)
        recounted, disputes = recount(
            contract_id, terms, events[contract_id], statements.about(contract_id)
        )
        check_disputes(contract_id, statements.disputes(contract_id), disputes, world.time_ms)
        compared = ContractComparison(
            contract_id,
            terms,
            contract.outcomes,
            contract.payable_units,
            recounted.paid_units,
            recounted.owed_units(block.time_s),
            progress[contract_id].status,
            any(isinstance(one.event, Ruled | ClaimsRuled) for one in events[contract_id]),
        )
        one = progress[contract_id]
        escrow_says = one.snapshot.paid_units, one.owed_units
        if escrow_says != (compared.paid_units, compared.owed_units):
            raise ReplayError(
                "books-differ",
                f"the escrow says that contract {to_hex(contract_id)} has paid "
                f"{escrow_says[0]} units and "
                f"owes {escrow_says[1]}; by the rules it is {compared.paid_units} and "
                f"{compared.owed_units}",
            )
        comparisons.append(compared)
    return comparisons
