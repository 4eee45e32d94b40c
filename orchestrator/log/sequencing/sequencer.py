"""Writing the log: requests wait in the inbox, and one sequencer turns them into entries.

A request is durable when its transaction commits; its position in the log is decided later, by the
sequencer alone: on a surface in the order of receipt, and between surfaces in turns. A batch of
waiting requests is decided in order, in memory, which gives all that is to be written as values;
then it is written in one transaction: entries, subtrees, results, one checkpoint, and what brings
the projections up to date. So a crash between any two steps leaves the last checkpoint as it was,
and starting again is opening again.

Behind a full batch the next one is decided while it is written, by another connection and on the
fold that is ahead of what is stored. Two things make that sound. What deciding may find stored is
the same before and after the write, for all that the write changes is still in memory. And a write
that fails throws away what was decided behind it.

Two guards keep a second writer out. An advisory lock of PostgreSQL, held by the writer's connection
for as long as it is open, keeps it from loading the fold. The checkpoint is appended only to the
one that this fold was loaded or moved from: a compare-and-swap that holds even if the lock fails,
as when a pooler hands the connection to another client.

Both are of one database. That it is still the same one, and has all that was signed and anchored,
is compared with what is known elsewhere (`log.guard`), before anything is written.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from threading import Thread
from typing import NamedTuple, Self, TypeVar

from orchestrator.core.common.document import CACHED_BYTES
from orchestrator.core.common.errors import DomainError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import MAX_AHEAD_MS, format_ms
from orchestrator.core.log.merkle import CompactRange
from orchestrator.core.resource import Resource
from orchestrator.core.world.requests import PublishPolicy, PublishSettings, Request
from orchestrator.core.world.world import World, pair_of
from orchestrator.log.guard.known_root import stored_nodes
from orchestrator.log.guard.mark import NO_GUARD, Guard, Signed
from orchestrator.log.interpreter import give_way_within
from orchestrator.log.projections import Sources, load_leads, load_world
from orchestrator.log.reader import read_entries
from orchestrator.log.sequencing.batch import Batch, UnfoldableError, decide_batch, read_requests
from orchestrator.log.sequencing.decision_traces import follow_contracts, tell_decisions
from orchestrator.log.tree import Checkpoint, checkpoint_of, stored_checkpoint, tree_of
from orchestrator.storage.database import Connection, Database, Row, Session, array
from orchestrator.storage.statements import Statements
from orchestrator.storage.traces import Tracer

# The most requests of one drain. All of them wait for one commit, and a failure decides all of them
# again: more would make callers wait longer, fewer would pay for a signature and a sync more often.
BATCH = 5_000
# The most policies and settings that one drain publishes: all of them are in memory until it has
# stored them.
BATCH_DOCUMENTS = 64
# The leads kept from drain to drain: most requests name a lead that was named shortly before. All
# others are loaded again when they are needed.
LEADS_IN_MEMORY = 100_000
# The standings kept from drain to drain, of operators on surfaces.
STANDINGS_IN_MEMORY = 50_000
# The codes kept from drain to drain.
CODES_IN_MEMORY = 50_000
# How long the thread that writes waits at most for the interpreter while another one computes. It
# waits some fifty times a batch; at Python's own five milliseconds that alone would take longer
# than deciding does.
SWITCH_S = 0.001

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _WriterState:
    """A connection that holds the lock and writes, one to decide by, and the fold and the tree.

    These are at what was decided last; `checkpoint` is what was written last.
    """

    connection: Connection
    deciding: Connection
    publisher: str
    world: World
    sources: Sources
    tree: CompactRange
    checkpoint: Checkpoint | None
    # What the next drain decides, and nothing else: a checkpoint that covers it was signed, and the
    # transaction that was to store it is lost.
    repeated: tuple[int, ...] = ()


def _no_failpoint(_: str) -> None:
    pass


class DecidedBatch(NamedTuple):
    """A batch that was decided and is yet to be written: nothing that is decided later changes it.

    `statements` append its entries and bring the projections up to date. `signed` is what they lead
    to, `nodes` and `time_ms` are the tree's and the fold's then. `unstored` names the standings and
    codes that they bring up to date: until then only memory has them. `rank` is the one that is
    served with it.
    """

    rows: Sequence[Row]
    batch: Batch
    statements: Statements
    signed: Signed
    nodes: tuple[bytes, ...]
    time_ms: int
    unstored: Collection[bytes]
    rank: int
    # Whether the next one may be decided before this one is written.
    lets_follow: bool
    began_ns: int


def write_checkpoint(
    session: Session,
    log_id: bytes,
    nodes: Sequence[bytes],
    previous_size: int,
    checkpoint: Checkpoint,
) -> None:
    """Follow the checkpoint of the previous size by this one, of the tree with these nodes.

    This is the compare-and-swap: a row is written only if that is still the last. Two writers that
    both see it so meet in the table's unique keys.
    """
    written = session.run(
        "log.append_checkpoint",
        log_id=log_id,
        size=checkpoint.size,
        previous_size=previous_size,
        root=checkpoint.root,
        time_ms=checkpoint.time_ms,
        nodes=list(nodes),
        signature=checkpoint.signature,
    )
    if written != 1:
        raise LogError("checkpoint-moved", f"another writer went past checkpoint {previous_size}")
    session.run("log.announce")


def take_writer_lock(session: Session, log_id: bytes) -> None:
    """Take the lock of a log's one writer for this connection. Raises `LogError` if it is taken."""
    # Its key is a 64-bit number, as PostgreSQL's advisory locks have; two logs with one key would
    # only refuse to have two writers at once.
    key = int.from_bytes(sha256(log_id).digest()[:8], signed=True)
    lock = session.one("log.lock", key=key)
    if lock is None or not lock.taken:
        raise LogError("sequencer-busy", "another sequencer writes this log")


class Sequencer(Resource):
    """The one writer of a log.

    Requests are decided at the times at which the database received them, however long ago that is.
    `sign(size, root)` returns the publisher's EIP-712 signature. `now_ms` is this machine's clock,
    UTC milliseconds; it stamps nothing, and a receipt too far ahead of it stops us. `guard` is
    what is known of the log beside its database: nothing is written past a difference. `failpoint`
    is called with the name of each step once it is done, for tests that end the process there.

    A batch whose write fails leaves nothing: the transaction is rolled back, the fold in memory is
    thrown away with all that was decided, the lock is given up, and the next drain opens the log
    anew.
    """

    def __init__(
        self,
        database: Database,
        log_id: bytes,
        now_ms: Callable[[], int],
        sign: Callable[[int, bytes], bytes],
        *,
        leads_in_memory: int = LEADS_IN_MEMORY,
        standings_in_memory: int = STANDINGS_IN_MEMORY,
        document_bytes: int = CACHED_BYTES,
        guard: Guard = NO_GUARD,
        failpoint: Callable[[str], None] = _no_failpoint,
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._now_ms = now_ms
        self._sign = sign
        self._leads_in_memory = leads_in_memory
        self._standings_in_memory = standings_in_memory
        self._document_bytes = document_bytes
        self._guard, self._mark = guard, guard.mark
        self._failpoint = failpoint
        # Told of the requests that come with a trace.
        self.tracer: Tracer | None = None
        self._writer: _WriterState | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def open(self) -> None:
        """Become the log's writer, with the fold as it is stored.

        Raises `LogError` if another writer holds the lock, or what is stored contradicts the last
        checkpoint, the chain's anchors or what was signed.
        """
        self.close()
        try:
            if self._mark is not None:
                self._mark.open()
            with ExitStack() as opened:
                connection = opened.enter_context(closing(self._database.connect()))
                deciding = opened.enter_context(closing(self._database.connect()))
                # One after the other: a pooler may have one connection for both.
                with deciding.transaction() as session:
                    server = session.one("database.server")
                with connection.transaction() as session:
                    self._writer = self._load(connection, deciding, session, server)
                opened.pop_all()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up the lock and forget the fold."""
        try:
            if self._writer is not None:
                writer, self._writer = self._writer, None
                with closing(writer.deciding):
                    writer.connection.close()
        finally:
            # Last: until the lock of the database is given back, no other may sign.
            if self._mark is not None:
                self._mark.close()

    def drain(self, limit: int = BATCH) -> Checkpoint | None:
        """Decide the requests that wait, at most `limit`; returns the checkpoint that covers them.

        None if none waited. Raises `LogError` if it must not write, as when a clock is wrong.
        """
        return self._cleanly(self._drain_one, limit)

    def drain_all(self, limit: int = BATCH) -> Checkpoint | None:
        """Decide all requests that wait; returns the checkpoint that covers them.

        As `drain` does until none waits, but a full batch is written while the next is decided.
        """
        last = None
        while (checkpoint := self._cleanly(self._drain_many, limit)) is not None:
            last = checkpoint
        return last

    def _cleanly(
        self, drain: Callable[[_WriterState, int], Checkpoint | None], limit: int
    ) -> Checkpoint | None:
        # The fold is moved before the commit, so after any failure, also an interrupt, it may be
        # ahead of what is stored: it is loaded again, never rolled back.
        try:
            return drain(self._opened(), limit)
        except UnfoldableError as error:
            self.close()
            return self._refuse(error)
        except BaseException:
            self.close()
            raise

    def _drain_one(self, writer: _WriterState, limit: int) -> Checkpoint | None:
        decided = self._decide_next(writer, limit)
        return None if decided is None else self._write(writer, decided)

    def _drain_many(self, writer: _WriterState, limit: int) -> Checkpoint | None:
        last, decided = None, self._decide_next(writer, limit)
        while decided is not None:
            if decided.lets_follow:
                last, decided = self._write_and_decide(writer, decided, limit)
            else:
                last = self._write(writer, decided)
                decided = self._decide_next(writer, limit)
        return last

    def _write_and_decide(
        self, writer: _WriterState, decided: DecidedBatch, limit: int
    ) -> tuple[Checkpoint | None, DecidedBatch | None]:
        """Write a batch, and meanwhile decide the next."""
        give_way_within(SWITCH_S)
        writing = _in_a_thread(partial(self._write, writer, decided))
        try:
            following = self._decide_next(writer, limit, decided)
        finally:
            # Waited for in any case: until then the connection is in use. Where the write has
            # failed, that is what is raised, for what was decided behind it means nothing.
            checkpoint = writing.result()
        return checkpoint, following

    def _opened(self) -> _WriterState:
        if self._writer is None:
            self.open()
        if self._writer is None:
            raise LogError("sequencer-closed", "the sequencer is not open")
        return self._writer

    def _load(
        self, connection: Connection, deciding: Connection, session: Session, server: Row | None
    ) -> _WriterState:
        # The lock belongs to the connection, not to this transaction, and is taken before anything
        # is read: what is loaded below cannot become old while the connection is open.
        take_writer_lock(session, self._log_id)
        if session.one("database.server") != server:
            raise LogError(
                "servers-two",
                "the database URL leads to two servers, and what one has need not be on the "
                "other; name the one that is written",
            )
        log = session.one("log.publisher", log_id=self._log_id)
        if log is None:
            raise LogError("log-unknown", f"log {to_hex(self._log_id)} was never begun")
        session.run("log.prepare_leads")
        row = stored_checkpoint(session, self._log_id)
        size = row.size if row else 0
        if read_entries(session, self._log_id, size, 1):
            raise LogError("entries-beyond", f"entries stand beyond the last checkpoint, {size}")
        sources = Sources(session, self._log_id)
        tree = CompactRange() if row is None else tree_of(row)
        self._check_edge(session, tree)
        time_ms = 0 if row is None else row.time_ms
        world = load_world(session, self._log_id, size, time_ms, sources, self._document_bytes)
        checkpoint = None if row is None else checkpoint_of(row)
        repeated = self._mark.requests_to_repeat(size) if self._mark is not None else ()
        return _WriterState(
            connection, deciding, log.publisher, world, sources, tree, checkpoint, repeated
        )

    def _check_edge(self, session: Session, tree: CompactRange) -> None:
        """Raise LogError unless what is stored is what was signed and anchored.

        It reads at most a tile of each level for each; `fsck` reads all of it.
        """
        size = tree.size
        if stored_nodes(session, self._log_id, size) != list(tree.nodes):
            raise LogError(
                "root-mismatch", f"the stored entries are not those of checkpoint {size}"
            )
        self._guard.check(session, self._log_id)

    def _decide_next(
        self, writer: _WriterState, limit: int, ahead: DecidedBatch | None = None
    ) -> DecidedBatch | None:
        """Decide the requests that wait, at most `limit`, behind those that are being written."""
        rows = self._received(writer, limit, ahead)
        if not rows:
            return None
        began_ns = time.time_ns()
        self._check_receipts(rows)
        requests = read_requests(rows)
        with writer.deciding.transaction() as session:
            self._load_sources(session, writer, requests, ahead.unstored if ahead else ())
            self._failpoint("taken")
            batch = decide_batch(writer.world, writer.publisher, rows, requests)
            self._failpoint("decided")
            is_full = len(rows) == limit
            has_documents = any(
                isinstance(request, PublishPolicy | PublishSettings) for request in requests
            )
            # Once nothing waits all surfaces begin anew; else those not served yet come first.
            rank = rows[-1].rank + (not (is_full or has_documents))
            # Documents that are being stored would be found nowhere.
            lets_follow = is_full and not has_documents
            return self._to_write(writer, rows, batch, rank, lets_follow, began_ns)

    def _to_write(
        self,
        writer: _WriterState,
        rows: Sequence[Row],
        batch: Batch,
        rank: int,
        lets_follow: bool,
        began_ns: int,
    ) -> DecidedBatch:
        """Return all that is to be written for a batch, and move the tree past it."""
        log_id, world, tree = self._log_id, writer.world, writer.tree
        old_size, old_root, statements = tree.size, tree.root(), Statements()
        unstored = {*world.moved, *world.used_codes}
        if batch.entries:
            batch.write_entries(statements, log_id, tree)
            batch.write_projections(statements, log_id, world)
        if not old_size + len(batch.entries) == tree.size == world.size:
            raise LogError(
                "size-mismatch", f"the tree has {tree.size} leaves, the fold {world.size} entries"
            )
        seqs = tuple(seq for seq, *_ in batch.results)
        signed = Signed(tree.size, tree.root(), old_size, old_root, seqs)
        return DecidedBatch(
            rows, batch, statements, signed, tree.nodes, world.time_ms, unstored, rank, lets_follow,
            began_ns,
        )  # fmt: skip

    def _write(self, writer: _WriterState, decided: DecidedBatch) -> Checkpoint | None:
        """Write a batch; returns the log's last checkpoint then."""
        batch, checkpoint = decided.batch, writer.checkpoint
        with writer.connection.transaction() as session:
            if batch.entries:
                checkpoint = self._append(session, decided)
            self._record_results(session, batch, decided.rank)
            if self.tracer is not None:
                follow_contracts(session, self._log_id, decided.rows, batch)
            self._failpoint("finished")
        self._failpoint("committed")
        # Only what is committed is the last checkpoint: before this line a failure reloads it.
        writer.checkpoint = checkpoint
        if self.tracer is not None:
            tell_decisions(self.tracer, decided.began_ns, decided.rows, batch)
        return checkpoint

    def _received(self, writer: _WriterState, limit: int, ahead: DecidedBatch | None) -> list[Row]:
        """Return the requests to decide next, all of which are on the disk.

        They can be read a moment before they are there, and must not be lost once the mark says
        that a checkpoint covers them. Nothing but a drain changes them.
        """
        but = ahead.signed.requests if ahead is not None else ()
        with writer.deciding.transaction() as session:
            rows = self._waiting(session, writer.repeated, limit, but)
            if rows:
                session.run("database.flush")
        # Once only: a failure from here on reads the mark again.
        writer.repeated = ()
        return rows

    def _waiting(
        self, session: Session, repeated: Sequence[int], limit: int, but: Sequence[int]
    ) -> list[Row]:
        """Return the requests to decide next, in their order, without those being written."""
        if not repeated:
            return session.all(
                "log.waiting_requests",
                log_id=self._log_id,
                but=array(but),
                limit=limit,
                documents=BATCH_DOCUMENTS,
            )
        rows = session.all("log.requests_again", log_id=self._log_id, seqs=array(repeated))
        if len(rows) != len(repeated):
            raise LogError(
                "requests-lost",
                f"a checkpoint was signed that this database has lost, with "
                f"{len(repeated) - len(rows)} of the requests behind it: it is an older copy; "
                f"nothing is written, so that the log does not fork; run tallystick restore",
            )
        return rows

    def _check_receipts(self, rows: Sequence[Row]) -> None:
        """Raise LogError for a request that was received later than it can be here and now."""
        now_ms, last_ms = self._now_ms(), max(row.received_ms for row in rows)
        if last_ms > now_ms + MAX_AHEAD_MS:
            raise LogError(
                "receipt-ahead",
                f"a request was received at {format_ms(last_ms)} by the database's clock, and this "
                f"machine's clock says {format_ms(now_ms)}; set the one that is wrong: until then "
                f"nothing is decided",
            )

    def _load_sources(
        self,
        session: Session,
        writer: _WriterState,
        requests: Sequence[Request | DomainError],
        unstored: Collection[bytes],
    ) -> None:
        """Load what requests name, by this transaction; others by it as they are needed.

        Documents come from what is stored or from these very requests.
        """
        sources = writer.sources
        sources.use(session)
        sources.policies.coming = {
            request.policy.hash: request.policy
            for request in requests
            if isinstance(request, PublishPolicy)
        }
        sources.settings.coming = {
            request.settings.hash: request.settings
            for request in requests
            if isinstance(request, PublishSettings)
        }
        self._load_leads(session, writer, requests)
        self._load_standings(writer, requests, unstored)
        self._load_codes(writer, requests, unstored)

    def _load_leads(
        self, session: Session, writer: _WriterState, requests: Sequence[Request | DomainError]
    ) -> None:
        """Load the leads that the requests name, and forget those not named for longest."""
        leads = writer.world.leads
        wanted = dict.fromkeys(
            lead for request in requests if (lead := getattr(request, "lead", None)) is not None
        )
        # A dict keeps the order of insertion: leads named now move behind all others, so that the
        # front holds those that were not named for longest.
        for name in wanted:
            if name in leads:
                leads[name] = leads.pop(name)
        missing = [name for name in wanted if name not in leads]
        leads.update(load_leads(session, self._log_id, missing))
        # Forgetting comes last and stops short of this drain's own leads, even if they are more
        # than the bound: a wanted lead that is absent would count as unknown, and be registered
        # anew. A forgotten one is whole in its projection, or will be when the batch after this one
        # is decided: the one before it may still be being written.
        kept = max(len(wanted), self._leads_in_memory)
        for name in list(leads)[: max(0, len(leads) - kept)]:
            del leads[name]

    def _load_standings(
        self,
        writer: _WriterState,
        requests: Sequence[Request | DomainError],
        unstored: Collection[bytes],
    ) -> None:
        """Load at once the standings of the pairs that requests name; others as they are needed."""
        standings = writer.sources.standings
        standings.forget(self._standings_in_memory, unstored)
        pairs = (
            pair_of(surface, operator)
            for request in requests
            if (surface := getattr(request, "surface", None)) is not None
            and (operator := getattr(request, "operator", None)) is not None
        )
        standings.load(dict.fromkeys(pairs))

    def _load_codes(
        self,
        writer: _WriterState,
        requests: Sequence[Request | DomainError],
        unstored: Collection[bytes],
    ) -> None:
        """Load at once the codes that requests name."""
        codes = writer.sources.codes
        codes.forget(CODES_IN_MEMORY, unstored)
        named = (
            getattr(request, "code", None) or getattr(request, "ref", None) for request in requests
        )
        codes.load(dict.fromkeys(name for name in named if isinstance(name, bytes)))

    def _append(self, session: Session, decided: DecidedBatch) -> Checkpoint:
        decided.statements.send(session, self._failpoint)
        signed = decided.signed
        if self._mark is not None:
            self._mark.move_to(signed)
        self._failpoint("marked")
        signature = self._sign(signed.size, signed.root)
        checkpoint = Checkpoint(signed.size, signed.root, decided.time_ms, signature)
        write_checkpoint(session, self._log_id, decided.nodes, signed.old_size, checkpoint)
        self._failpoint("checkpoint")
        return checkpoint

    def _record_results(self, session: Session, batch: Batch, rank: int) -> None:
        """Move the decided requests from the inbox to the results; this rank is served now."""
        seqs, first_positions, counts, codes, messages = zip(*batch.results, strict=True)
        done = session.run(
            "log.finish",
            log_id=self._log_id,
            seqs=array(seqs),
            first_positions=array(first_positions),
            counts=array(counts),
            codes=list(codes),
            messages=list(messages),
            rank=rank,
        )
        if done != len(seqs):
            raise LogError("inbox-changed", f"{len(seqs)} requests were decided, {done} waited")

    def _refuse(self, error: UnfoldableError) -> Checkpoint | None:
        """Refuse a request at which the fold failed, so that it does not stop all others.

        Nothing else of its drain is decided: the next one decides the rest by a fold loaded anew.
        """
        _log.error("request %d cannot be folded: %s", error.row.seq, error)
        writer = self._opened()
        batch = Batch()
        batch.refuse(error.row, writer.world.size, "request-unfoldable", "the log cannot take it")
        with writer.connection.transaction() as session:
            self._record_results(session, batch, error.row.rank)
        return writer.checkpoint


def _in_a_thread(work: Callable[[], T]) -> Future[T]:
    """Do this in a thread of its own, which does not keep the process from ending."""
    done: Future[T] = Future()

    def act() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            done.set_exception(error)

    Thread(target=act, name="write", daemon=True).start()
    return done
