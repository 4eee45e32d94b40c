"""A deployment's events, each read once and in order: final ones to act on, the others to show.

The database keeps how far the chain was read, in final blocks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.chain.abi import ChainEvent, Event, Forked, Published, event_topics
from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.event_scan import EventPage, EventScan, RawEvent
from orchestrator.chain.rpc import block_request, read_block
from orchestrator.core.common.errors import ChainError
from orchestrator.core.deals.site import Addresses
from orchestrator.storage.database import Database

_PAGE_EVENTS = 1_000


class Indexer:
    """A reader of the deployment's events, each final one once and in the chain's order.

    The database keeps how far it came, the final events, and beside them those not final yet, which
    every round replaces as a whole: what a reorg took back is gone, and a transaction that is mined
    again is another event.
    """

    SPAN_BLOCKS = 2_000

    def __init__(self, chain: Chain, database: Database) -> None:
        self._chain = chain
        self._database = database
        addresses = chain.addresses
        self._scan = EventScan(chain, [addresses.event_log, addresses.escrow], self.SPAN_BLOCKS)
        self._cursor_key = {"chain_id": addresses.chain_id, "escrow": addresses.escrow.lower()}

    def poll(self) -> Iterator[list[ChainEvent]]:
        """Yield batches of newly final events, until the final block is reached.

        A batch counts as handled when the next one is asked for: after a crash in between it is
        handed out again, the same in all its fields. Raises NodeError: try again later.
        """
        while True:
            start, start_hash = self._cursor()
            latest, final = self._heads(start, start_hash)
            if final < start:
                return  # this node lags behind what was read before
            page = EventPage(start, start_hash, [])
            if start < final:
                page = self._scan.page(start + 1, final)
            is_last = page.last == final
            recent: list[RawEvent] = []
            # Recent events are shown beside all the final ones; a page of them is enough.
            if is_last and final < latest:
                recent = self._scan.page(final + 1, latest).events
            if page.events:
                yield [event.decode() for event in page.events]
            if not self._keep(start, page, recent) or is_last:
                return

    def recent(self, limit: int = 1_000) -> list[ChainEvent]:
        """Return events that were not final in the last round: to show, not to act on."""
        with self._database.transaction() as session:
            rows = session.all("chain.recent_events", **self._cursor_key, limit=limit)
        return [_event_of(row) for row in rows]

    def final(
        self, kind: type[Event], after: tuple[int, int], limit: int = 1_000
    ) -> list[ChainEvent]:
        """Return the final events of a kind read so far, after a block and an index in its logs."""
        block_number, log_index = after
        (topic,) = event_topics(kind)
        with self._database.transaction() as session:
            rows = session.all(
                "chain.final_events",
                **self._cursor_key,
                block_number=block_number,
                log_index=log_index,
                topic=topic,
                limit=limit,
            )
        return [_event_of(row) for row in rows]

    def final_about(self, contract_id: bytes) -> Iterator[ChainEvent]:
        """Yield the final events of a contract read so far, in the chain's order."""
        place = (-1, -1)
        while True:
            with self._database.transaction() as session:
                rows = session.all(
                    "chain.final_events_about",
                    **self._cursor_key,
                    block_number=place[0],
                    log_index=place[1],
                    kinds=event_topics(),
                    about=contract_id,
                    limit=_PAGE_EVENTS,
                )
            yield from (event for event in map(_event_of, rows) if event.contract_id == contract_id)
            if len(rows) < _PAGE_EVENTS:
                return
            place = rows[-1].block_number, rows[-1].log_index

    def final_anchor(self, log_id: bytes) -> Anchor:
        """Return a log's last final anchor by its event; of size 0 if none was read."""
        (topic,) = event_topics(Published)
        with self._database.transaction() as session:
            row = session.one(
                "chain.last_final_event_about", **self._cursor_key, topic=topic, about=log_id
            )
        return _anchor_of(row)

    def _cursor(self) -> tuple[int, bytes | None]:
        """Return the last final block that was read; its hash is None before the first round."""
        start_block = self._chain.addresses.start_block
        with self._database.transaction() as session:
            session.run("chain.add_cursor", **self._cursor_key, block_number=start_block - 1)
            ((number, block_hash),) = session.all("chain.cursor", **self._cursor_key)
        return number, block_hash

    def _heads(self, start: int, start_hash: bytes | None) -> tuple[int, int]:
        """Return the latest and the final block. Raises ChainError if the block read last is gone.

        No round may build on a block that a final reorg, or another chain, has replaced.
        """
        latest, final, at_start = self._chain.batch(
            [block_request("latest"), block_request("finalized"), block_request(max(start, 0))]
        )
        is_known = start_hash is not None and read_block(final).number >= start
        if is_known and read_block(at_start).block_hash != start_hash:
            raise ChainError(
                "final-block-changed",
                f"block {start} was final and is another one now; this is not the chain that was "
                f"read before, or {self._chain.node.name} cannot be trusted",
            )
        return read_block(latest).number, read_block(final).number

    def _keep(self, start: int, final: EventPage, recent: Sequence[RawEvent]) -> bool:
        """Store a round; return False if another indexer stored one since it began."""
        with self._database.transaction() as session:
            # The cursor's row is the lock: it moves only from the block where this round began.
            moved = session.run(
                "chain.move_cursor",
                **self._cursor_key,
                from_block=start,
                block_number=final.last,
                block_hash=final.last_hash,
            )
            if moved:
                session.run("chain.forget_events", **self._cursor_key)
                for events, is_final in ((final.events, True), (recent, False)):
                    for event in events:
                        session.run(
                            "chain.add_event",
                            **self._cursor_key,
                            **event._asdict(),
                            is_final=is_final,
                        )
        return bool(moved)


def stored_fork(database: Database, addresses: Addresses, log_id: bytes) -> ChainEvent | None:
    """Return the report that a log is forked, final or not, if the indexer has read one."""
    (topic,) = event_topics(Forked)
    with database.transaction() as session:
        row = session.one(
            "chain.event_about",
            chain_id=addresses.chain_id,
            escrow=addresses.escrow.lower(),
            topic=topic,
            about=log_id,
        )
    return None if row is None else _event_of(row)


def stored_anchor(database: Database, addresses: Addresses, log_id: bytes) -> Anchor:
    """Return a log's newest anchor, final or not, that the indexer has read; of size 0 if none."""
    (topic,) = event_topics(Published)
    with database.transaction() as session:
        row = session.one(
            "chain.newest_event_about",
            chain_id=addresses.chain_id,
            escrow=addresses.escrow.lower(),
            topic=topic,
            about=log_id,
        )
    return _anchor_of(row)


def _anchor_of(row: Any | None) -> Anchor:
    event = None if row is None else _event_of(row)
    if event is None or not isinstance(event.event, Published):
        return Anchor(0, bytes(32), 0)
    return Anchor(event.event.size, event.event.root, event.time_s)


def _event_of(row: Any) -> ChainEvent:
    """Return the event of a database row."""
    return RawEvent(**row._asdict()).decode()
