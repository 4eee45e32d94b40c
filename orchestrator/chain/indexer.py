"""Events read once and in order: final ones to act on, the others to show.

The database keeps how far the chain was read, in final blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.chain.abi import ChainEvent, Event, decode_event, event_topics
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import (
    Block,
    Json,
    NodeError,
    ReplyError,
    members,
    octets,
    quantity,
    read_block,
    result,
)
from orchestrator.core.errors import ChainError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.storage.database import Database


class _Log(NamedTuple):
    """An event as the node gave it and the database keeps it."""

    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    time_s: int
    contract: str
    topics: list[bytes]
    data: bytes


class Watcher:
    """Reads the deployment's events, each final one once and in the chain's order.

    The database keeps how far it came, the final events, and beside them those not final yet, which
    every round replaces as a whole: what a reorg took back is gone, and a transaction that is mined
    again is another event.
    """

    SPAN_BLOCKS = 2_000

    def __init__(self, chain: Chain, database: Database) -> None:
        self._chain = chain
        self._database = database
        self._span = self.SPAN_BLOCKS
        self._us = {
            "chain_id": chain.addresses.chain_id,
            "escrow": chain.addresses.escrow.lower(),
        }

    def poll(self) -> Iterator[list[ChainEvent]]:
        """Batches of newly final events, until the final block is reached.

        A batch counts as handled when the next one is asked for: after a crash in between it is
        handed out again, the same in all its fields. Raises NodeError: try again later.
        """
        while True:
            start, start_hash = self._cursor()
            latest, final = self._heads(start, start_hash)
            if final < start:
                return  # this node lags behind what was read before
            end, end_hash, logs = self._logs(start + 1, final)
            recent = self._logs(end + 1, latest)[2] if end == final else []
            if logs:
                yield [_decoded(log) for log in logs]
            kept = self._keep(start, end, end_hash or start_hash, logs, recent)
            if not kept or end == final:
                return

    def recent(self, limit: int = 1_000) -> list[ChainEvent]:
        """Events that are not final yet, as of the last round: to show, not to act on."""
        with self._database.transaction() as session:
            rows = session.all("chain.recent_events", **self._us, limit=limit)
        return [_decoded(row) for row in rows]

    def final(
        self, kind: type[Event], after: tuple[int, int], limit: int = 1_000
    ) -> list[ChainEvent]:
        """Final events of a kind that were read so far, behind a block and an index in its logs."""
        block_number, log_index = after
        (topic,) = event_topics(kind)
        with self._database.transaction() as session:
            rows = session.all(
                "chain.final_events",
                **self._us,
                block_number=block_number,
                log_index=log_index,
                topic=topic,
                limit=limit,
            )
        return [_decoded(row) for row in rows]

    def _cursor(self) -> tuple[int, bytes | None]:
        start_block = self._chain.addresses.start_block
        with self._database.transaction() as session:
            session.run("chain.add_cursor", **self._us, block_number=start_block - 1)
            ((number, block_hash),) = session.all("chain.cursor", **self._us)
        return number, block_hash

    def _heads(self, start: int, start_hash: bytes | None) -> tuple[int, int]:
        """The latest and the final block, if the chain still has the block that we came to."""
        tags = ["latest", "finalized", hex(max(start, 0))]
        latest, final, at_start = self._chain.ask(
            [("eth_getBlockByNumber", [tag, False]) for tag in tags]
        )
        known = start_hash is not None and read_block(final).number >= start
        if known and read_block(at_start).block_hash != start_hash:
            raise ChainError(
                "final-block-changed",
                f"block {start} was final and is another one now; this is not the chain that was "
                f"read before, or {self._chain.node.name} cannot be trusted",
            )
        return read_block(latest).number, read_block(final).number

    def _logs(self, first: int, last: int) -> tuple[int, bytes | None, list[_Log]]:
        """Our events from block `first` on; also the block they reach to, and its hash.

        At most `last`, and less if the node finds that too much.
        """
        if first > last:
            return last, None, []
        while True:
            end = min(last, first + self._span - 1)
            try:
                return end, *self._range(first, end)
            except (NodeError, ReplyError) as error:
                if error.code not in ("node-refused", "reply-too-large") or self._span == 1:
                    raise
                self._span //= 2

    def _range(self, first: int, last: int) -> tuple[bytes, list[_Log]]:
        addresses = self._chain.addresses
        wanted = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": [addresses.event_log, addresses.escrow],
            "topics": [[to_hex(topic) for topic in event_topics()]],
        }
        # In one request: a node that lacks the last block would leave events out without a word.
        last_block, replies = self._chain.ask(
            [("eth_getBlockByNumber", [hex(last), False]), ("eth_getLogs", [wanted])]
        )
        last_hash = read_block(last_block).block_hash
        if not isinstance(result(replies), list):
            raise NodeError("node-unreadable", f"{self._chain.node.name} sent no list of events")
        found = [members(reply, "that event") for reply in replies]
        blocks = self._chain.blocks(quantity(log.get("blockNumber")) for log in found)
        logs = sorted(
            (_log(log, blocks) for log in found), key=lambda log: (log.block_number, log.log_index)
        )
        us = (addresses.event_log.lower(), addresses.escrow.lower())
        if any(log.contract not in us or not first <= log.block_number <= last for log in logs):
            raise NodeError("node-unreadable", f"{self._chain.node.name} sent other events")
        return last_hash, logs

    def _keep(
        self,
        start: int,
        end: int,
        end_hash: bytes | None,
        final: Sequence[_Log],
        recent: Sequence[_Log],
    ) -> bool:
        """Store a round, unless another watcher stored one since it began."""
        with self._database.transaction() as session:
            moved = session.run(
                "chain.move_cursor",
                **self._us,
                from_block=start,
                block_number=end,
                block_hash=end_hash,
            )
            if moved:
                session.run("chain.forget_events", **self._us)
                for logs, is_final in ((final, True), (recent, False)):
                    for log in logs:
                        session.run(
                            "chain.add_event", **self._us, **log._asdict(), is_final=is_final
                        )
        return bool(moved)


def _log(reply: Mapping[str, Json], blocks: Mapping[int, Block]) -> _Log:
    """An event, if the block that it names is the chain's."""
    number, block_hash = quantity(reply.get("blockNumber")), octets(reply.get("blockHash"), 32)
    block, topics = blocks.get(number), reply.get("topics")
    if block is None or block.block_hash != block_hash:
        raise NodeError("node-lags", f"block {number} changed while it was read; try again")
    return _Log(
        number,
        block_hash,
        octets(reply.get("transactionHash"), 32),
        quantity(reply.get("logIndex")),
        block.time_s,
        to_hex(octets(reply.get("address"), 20)),
        [octets(topic, 32) for topic in topics] if isinstance(topics, list) else [],
        octets(reply.get("data")),
    )


def _decoded(log: Any) -> ChainEvent:
    return ChainEvent(
        log.block_number,
        log.block_hash,
        log.tx_hash,
        log.log_index,
        log.time_s,
        decode_event(log.topics, log.data),
    )
