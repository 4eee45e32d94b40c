"""Writing the log: requests wait in the inbox, and one sequencer turns them into entries.

A request is durable when its transaction commits; its place in the log is decided later, by the
sequencer alone. A drain is one transaction: it decides the waiting requests in order, appends
entries, subtrees, results and one checkpoint, and brings the projections up to date. So a crash
between any two steps leaves the last checkpoint as it was, and starting again is opening again.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from orchestrator.core.codec import (
    decode_request,
)
from orchestrator.core.decide import decide
from orchestrator.core.errors import DomainError, LogError, RequestError
from orchestrator.core.kinds import encode, kind_of
from orchestrator.core.merkle import CompactRange, Subtree, leaf_hash
from orchestrator.core.opening import Record
from orchestrator.core.requests import Request
from orchestrator.core.world import World
from orchestrator.log.projections import Changes, load_leads, load_world, write_leads, write_rest
from orchestrator.log.reader import read_entries
from orchestrator.log.tree import Checkpoint, Tiles, checkpoint_of, stored_checkpoint, tree_of
from orchestrator.storage.database import Connection, Database, Row, Session, array

BATCH = 5_000
LEADS_IN_MEMORY = 100_000

_log = logging.getLogger(__name__)


class _UnfoldableError(Exception):
    """A request at which the fold itself failed, and may have left the world half moved."""

    def __init__(self, row: Row, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.row = row


@dataclass(slots=True)
class _WriterState:
    """What the writer holds: a connection with the lock, and the fold at the last checkpoint."""

    connection: Connection
    world: World
    tree: CompactRange
    last: Checkpoint | None


@dataclass(slots=True)
class _Batch:
    """The rows of one drain, and the projections that they change."""

    # position, entry, opening, and the word of its kind where the log lists that
    entries: list[tuple[int, bytes, bytes | None, bytes | None]] = field(default_factory=list)
    # seq, first position, count, and a refusal's code and message
    results: list[tuple[int, int, int, str | None, str | None]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    def add(self, position: int, record: Record) -> None:
        """Take in a record that the fold has moved past."""
        entry, opening = record
        kind = kind_of(entry)
        opened = None if opening is None else opening.encode()
        listed = kind.word if kind.listed else None
        self.entries.append((position, encode(entry), opened, listed))
        self.changes.add(kind, entry)


def _no_failpoint(_: str) -> None:
    pass


class Sequencer:
    """The one writer of a log. `sign(size, root)` is the publisher's EIP-712 signature.

    `now_ms` is our clock, UTC milliseconds; it is read once a drain. `failpoint` is called with the
    name of each step once it is done, for tests that end the process there.

    Whatever goes wrong in a drain, nothing of it stays: the transaction is rolled back, the fold in
    memory is thrown away, the lock is given up, and the next drain opens the log anew.
    """

    def __init__(
        self,
        database: Database,
        log_id: bytes,
        now_ms: Callable[[], int],
        sign: Callable[[int, bytes], bytes],
        *,
        leads_in_memory: int = LEADS_IN_MEMORY,
        failpoint: Callable[[str], None] = _no_failpoint,
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._now_ms = now_ms
        self._sign = sign
        self._leads_in_memory = leads_in_memory
        self._failpoint = failpoint
        self._state: _WriterState | None = None

    def __enter__(self) -> "Sequencer":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Become the log's writer, with the fold as it is stored.

        Raises `LogError` if another writer holds the lock, or what is stored contradicts the last
        checkpoint.
        """
        self.close()
        connection = self._database.connect()
        try:
            with connection.transaction() as session:
                self._state = self._load(connection, session)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Give up the lock and forget the fold."""
        if self._state is not None:
            self._state.connection.close()
            self._state = None

    def drain(self, limit: int = BATCH) -> Checkpoint | None:
        """Decide the requests that wait, at most `limit`; returns the checkpoint that covers them.

        None if none waited. Raises `LogError` if it must not write, as when our clock went back.
        """
        try:
            return self._drain(self._opened(), limit)
        except _UnfoldableError as error:
            self.close()
            return self._refuse(error)
        except BaseException:
            self.close()
            raise

    def _opened(self) -> _WriterState:
        if self._state is None:
            self.open()
        if self._state is None:
            raise LogError("sequencer-closed", "the sequencer is not open")
        return self._state

    def _load(self, connection: Connection, session: Session) -> _WriterState:
        key = int.from_bytes(sha256(self._log_id).digest()[:8], signed=True)
        lock = session.one("log.lock", key=key)
        if lock is None or not lock.taken:
            raise LogError("sequencer-busy", "another sequencer writes this log")
        known = session.one("log.known", log_id=self._log_id)
        if known is None or not known.known:
            raise LogError("log-unknown", f"log 0x{self._log_id.hex()} was never begun")
        session.run("log.prepare_leads")
        row = stored_checkpoint(session, self._log_id)
        size = row.size if row else 0
        if read_entries(session, self._log_id, size, 1):
            raise LogError("entries-beyond", f"entries stand beyond the last checkpoint, {size}")
        if row is None:
            return _WriterState(connection, World(), CompactRange(), None)
        tree = tree_of(row)
        self._check_edge(session, tree)
        world = load_world(session, self._log_id, size, row.fold_time_ms)
        return _WriterState(connection, world, tree, checkpoint_of(row))

    def _check_edge(self, session: Session, tree: CompactRange) -> None:
        """Hash the right edge of what is stored: at most a tile of each level."""
        tiles = Tiles(session, self._log_id)
        end = 0
        levels = [level for level in range(40, -1, -1) if tree.size >> level & 1]
        for level, node in zip(levels, tree.nodes, strict=True):
            if tiles.node(level, end >> level) != node:
                raise LogError(
                    "root-mismatch", f"entries {end} and on are not those of checkpoint {tree.size}"
                )
            end += 1 << level

    def _drain(self, state: _WriterState, limit: int) -> Checkpoint | None:
        with state.connection.transaction() as session:
            rows = session.all("log.take", log_id=self._log_id, limit=limit)
            if not rows:
                return None
            now_ms = self._now_ms()
            if state.last is not None and now_ms < state.last.time_ms:
                raise LogError(
                    "clock-regressed",
                    f"the clock says {now_ms} ms, "
                    f"the last checkpoint is of {state.last.time_ms} ms",
                )
            bodies = json.loads(f"[{','.join(row.body for row in rows)}]")
            requests = [_decoded(row.kind, body) for row, body in zip(rows, bodies, strict=True)]
            self._load_leads(session, state, requests)
            self._failpoint("taken")
            batch = _decide(state.world, rows, requests, now_ms)
            self._failpoint("decided")
            last = self._append(session, state, batch, now_ms) if batch.entries else state.last
            self._finish(session, batch)
            self._failpoint("finished")
        self._failpoint("committed")
        state.last = last
        return last

    def _load_leads(
        self, session: Session, state: _WriterState, requests: Sequence[Request | DomainError]
    ) -> None:
        """Have in memory the leads that the requests speak of, and the latest others."""
        leads = state.world.leads
        wanted = dict.fromkeys(
            lead for request in requests if (lead := getattr(request, "lead", None)) is not None
        )
        # The leads asked for last come last, so that those in front are the ones to forget.
        for name in wanted:
            if name in leads:
                leads[name] = leads.pop(name)
        missing = [name for name in wanted if name not in leads]
        leads.update(load_leads(session, self._log_id, missing))
        for name in list(leads)[: max(0, len(leads) - max(len(wanted), self._leads_in_memory))]:
            del leads[name]

    def _append(
        self, session: Session, state: _WriterState, batch: _Batch, now_ms: int
    ) -> Checkpoint:
        log_id, world, tree = self._log_id, state.world, state.tree
        previous_size = tree.size
        session.copy(
            "log.append_entries",
            ("bytea", "int8", "bytea", "bytea", "bytea"),
            ((log_id, *row) for row in batch.entries),
        )
        self._failpoint("entries")
        completed = tree.extend([leaf_hash(data) for _, data, *_ in batch.entries])
        self._write_subtrees(session, completed)
        self._failpoint("subtrees")
        write_leads(session, log_id, world, batch.changes)
        self._failpoint("leads")
        write_rest(session, log_id, world, batch.changes)
        self._failpoint("projections")
        if not previous_size + len(batch.entries) == tree.size == world.size:
            raise LogError(
                "size-mismatch", f"the tree has {tree.size} leaves, the fold {world.size} entries"
            )
        root = tree.root()
        checkpoint = Checkpoint(tree.size, root, now_ms, self._sign(tree.size, root))
        written = session.run(
            "log.append_checkpoint",
            log_id=log_id,
            size=tree.size,
            previous_size=previous_size,
            root=root,
            time_ms=now_ms,
            fold_time_ms=world.time_ms,
            nodes=list(tree.nodes),
            signature=checkpoint.signature,
        )
        if written != 1:
            raise LogError(
                "checkpoint-moved", f"another writer went past checkpoint {previous_size}"
            )
        self._failpoint("checkpoint")
        return checkpoint

    def _write_subtrees(self, session: Session, completed: Sequence[Subtree]) -> None:
        if completed:
            session.copy(
                "log.append_subtrees",
                ("bytea", "int2", "int8", "bytea"),
                ((self._log_id, *subtree) for subtree in completed),
            )

    def _finish(self, session: Session, batch: _Batch) -> None:
        seqs, first_positions, counts, codes, messages = zip(*batch.results, strict=True)
        done = session.run(
            "log.finish",
            log_id=self._log_id,
            seqs=array(seqs),
            first_positions=array(first_positions),
            counts=array(counts),
            codes=list(codes),
            messages=list(messages),
        )
        if done != len(seqs):
            raise LogError("inbox-changed", f"{len(seqs)} requests were decided, {done} waited")

    def _refuse(self, error: _UnfoldableError) -> Checkpoint | None:
        """Turn away a request that the fold failed at, so that it does not stop all others."""
        _log.error("request %d cannot be folded: %s", error.row.seq, error)
        state = self._opened()
        batch = _Batch()
        _refused(batch, error.row, state.world.size, "request-unfoldable", "the log cannot take it")
        with state.connection.transaction() as session:
            self._finish(session, batch)
        return state.last


# What a fold with a mistake in it may raise. `RequestError` and `LogError` are not mistakes.
_MISTAKES = (ArithmeticError, AttributeError, DomainError, LookupError, TypeError, ValueError)


def _decoded(kind: str, body: object) -> Request | DomainError:
    try:
        return decode_request(kind, body)
    except DomainError as error:
        return error


def _decide(
    world: World, rows: Sequence[Row], requests: Sequence[Request | DomainError], now_ms: int
) -> _Batch:
    batch = _Batch()
    for row, request in zip(rows, requests, strict=True):
        first = world.size
        if isinstance(request, DomainError):
            _refused(batch, row, first, request.code, request.message)
            continue
        try:
            records = decide(world, request, now_ms)
            for position, record in enumerate(records, first):
                batch.add(position, record)
        except RequestError as error:
            _refused(batch, row, first, error.code, error.message)
        except LogError:
            raise
        except _MISTAKES as error:
            raise _UnfoldableError(row, error) from error
        else:
            batch.results.append((row.seq, first, len(records), None, None))
    return batch


def _refused(batch: _Batch, row: Row, position: int, code: str, message: str) -> None:
    batch.results.append((row.seq, position, 0, code, message))
