"""The contracts' events, read from the chain in ranges of blocks, without a database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.chain.abi import ChainEvent, Event, decode_event, event_topics
from orchestrator.chain.caller import Caller
from orchestrator.chain.nodes.sizes import AdaptiveSize
from orchestrator.chain.rpc import (
    Block,
    Json,
    NodeError,
    ReplyError,
    block_request,
    items,
    members,
    octets,
    quantity,
    read_block,
)
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.refusal import RefusalKind

SPAN_BLOCKS = 10_000
# A first range of blocks, longer than any chain.
_ALL_BLOCKS = 1 << 40
MAX_PAGES = 10_000
# Of a whole history, whose length is the node's word: a chain of years in ranges of some hundreds.
MAX_HISTORY_PAGES = 100_000
MAX_CONTRACTS = 100
# What a node may do about a range that is too much for it, beside refusing it.
_RANGE_TROUBLE = ("node-silent", "node-garbled", "reply-too-large")
# A range that a node was silent about is cut by this: each silence costs its whole time.
_SILENCE_DIVISOR = 8


class RawEvent(NamedTuple):
    """An event as the node gave it, with its block's time. `contract` is in lower case."""

    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    time_s: int
    contract: str
    topics: list[bytes]
    data: bytes

    def decode(self) -> ChainEvent:
        """Return the event itself. Raises NodeError if it is none that we know."""
        return ChainEvent(
            self.block_number,
            self.block_hash,
            self.tx_hash,
            self.log_index,
            self.time_s,
            decode_event(self.topics, self.data),
        )


class EventPage(NamedTuple):
    """The events of a range of blocks, in the chain's order, and the last block of the range.

    Its hash is None where no block was read.
    """

    last: int
    last_hash: bytes | None
    events: list[RawEvent]


class EventScan:
    """A reader of some contracts' events, in ranges as long as the node takes at present.

    With `contract_ids`, only the escrow's events about these outcome contracts are read, and with
    `kinds` only those of these kinds.
    """

    def __init__(
        self,
        chain: Caller,
        addresses: Sequence[str],
        span_blocks: int,
        contract_ids: Sequence[bytes] = (),
        kinds: Sequence[type[Event]] = (),
    ) -> None:
        self._chain = chain
        self._addresses = [address.lower() for address in addresses]
        self._contract_ids = contract_ids
        self._topics = [to_hex(topic) for topic in event_topics(*kinds)]
        self._span = AdaptiveSize(span_blocks)

    @property
    def span_blocks(self) -> int:
        """The number of blocks that are asked for at once at present."""
        return self._span.size

    def page(self, first: int, last: int) -> EventPage:
        """Return the events from block `first` on: up to `last`, or as far as the node allows.

        Any failure of a longer range makes it shorter, as long as the node answers otherwise: nodes
        refuse, time out or break off where a range is too much. Raises NodeError or ReplyError if
        the node does not give all of them even for one block, or answers nothing else either.
        """
        before = self._span.size
        while True:
            end = min(last, first + self._span.size - 1)
            try:
                page = self._read_range(first, end)
            except (NodeError, ReplyError) as error:
                if not _may_be_range(error):
                    raise
                if first == end:
                    # It is not the length, so the next range need not be short.
                    self._span.restore(before)
                    raise
                # Raises where the node has gone altogether; that is no word on the range.
                self._chain.block(end)
                self._span.shrink(end - first + 1, _by(error))
            else:
                self._span.grow(end - first + 1)
                return page

    def _read_range(self, first: int, last: int) -> EventPage:
        ids = [to_hex(one) for one in self._contract_ids]
        # Nodes bound the topics of one filter too. Without ids there is one filter, for all events.
        pages = [ids[at : at + MAX_CONTRACTS] for at in range(0, len(ids), MAX_CONTRACTS)]
        last_hash, found = b"", []
        for page in pages or [[]]:
            last_hash, events = self._read_filter(first, last, page)
            found += events
        found.sort(key=lambda event: (event.block_number, event.log_index))
        return EventPage(last, last_hash, found)

    def _read_filter(self, first: int, last: int, ids: list[str]) -> tuple[bytes, list[RawEvent]]:
        topics = [self._topics]
        wanted = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": self._addresses,
            "topics": [*topics, ids] if ids else topics,
        }
        # In one request: a node that lacks the last block would leave events out without a word.
        last_block, reply = self._chain.batch([block_request(last), ("eth_getLogs", [wanted])])
        last_hash = read_block(last_block).block_hash
        logs = [members(item, "that event") for item in items(reply, "events")]
        blocks = self._chain.blocks(quantity(log.get("blockNumber")) for log in logs)
        events = [_raw_event(log, blocks) for log in logs]
        for event in events:
            is_about = not ids or (len(event.topics) > 1 and to_hex(event.topics[1]) in ids)
            is_in_range = first <= event.block_number <= last
            if not (is_about and is_in_range and event.contract in self._addresses):
                raise NodeError("node-unreadable", f"{self._chain.node.name} sent other events")
        return last_hash, events


def events_of(
    chain: Caller, address: str, subjects: Sequence[bytes], after_s: int, last: int
) -> Iterator[ChainEvent]:
    """Yield a contract's events about these subjects, in order, from blocks after a UTC second.

    The escrow's are about outcome contracts, the event log's about logs.

    The last block read is `last`. Raises NodeError if the node does not give them all.
    """
    if not subjects:
        return
    scan = EventScan(chain, [address], SPAN_BLOCKS, subjects)
    yield from _scanned(chain, scan, _first_block(chain, after_s, last), last, MAX_PAGES)


def whole_history_of(
    chain: Caller,
    address: str,
    subjects: Sequence[bytes],
    kinds: Sequence[type[Event]],
    first: int,
    last: int,
) -> Iterator[ChainEvent]:
    """Yield a contract's events of these kinds about these subjects, in order, of a block range.

    They are few: the whole range is asked for at once, and cut where a node refuses that. Raises
    NodeError if the node does not give them all.
    """
    scan = EventScan(chain, [address], _ALL_BLOCKS, subjects, kinds)
    yield from _scanned(chain, scan, first, last, MAX_HISTORY_PAGES)


def _scanned(
    chain: Caller, scan: EventScan, first: int, last: int, most_pages: int
) -> Iterator[ChainEvent]:
    """Yield the events of a range of blocks, page by page.

    Raises NodeError for a node that shows so few blocks at a time that it would take hours.
    """
    for _ in range(most_pages):
        if first > last:
            return
        page = scan.page(first, last)
        yield from [event.decode() for event in page.events]
        first = page.last + 1
    if first <= last:
        raise NodeError(
            "events-many",
            f"{chain.node.name} shows {scan.span_blocks} blocks at a time; ask another node",
        )


def _may_be_range(error: NodeError | ReplyError) -> bool:
    """Return whether a failure may be due to the length of a range."""
    if isinstance(error, ReplyError):
        return error.kind not in (RefusalKind.BUSY, RefusalKind.METHOD)
    return error.code in _RANGE_TROUBLE


def _by(error: NodeError | ReplyError) -> int:
    return _SILENCE_DIVISOR if error.code == "node-silent" else 2


def _first_block(chain: Caller, after_s: int, last: int) -> int:
    """Return the first block after this second, by bisection; `last` + 1 if there is none yet."""
    low, high = 0, last + 1
    while low < high:
        middle = (low + high) // 2
        if chain.block(middle).time_s > after_s:
            high = middle
        else:
            low = middle + 1
    return low


def _raw_event(log: Mapping[str, Json], blocks: Mapping[int, Block]) -> RawEvent:
    """Return an event of a reply. Raises NodeError unless the chain has the block it names."""
    number, block_hash = quantity(log.get("blockNumber")), octets(log.get("blockHash"), 32)
    block, topics = blocks.get(number), log.get("topics")
    if block is None or block.block_hash != block_hash:
        raise NodeError("node-lags", f"block {number} changed while it was read; try again")
    return RawEvent(
        number,
        block_hash,
        octets(log.get("transactionHash"), 32),
        quantity(log.get("logIndex")),
        block.time_s,
        to_hex(octets(log.get("address"), 20)),
        [octets(topic, 32) for topic in topics] if isinstance(topics, list) else [],
        octets(log.get("data")),
    )
