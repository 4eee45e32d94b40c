"""Writing the log: requests wait in the inbox, and one sequencer turns them into entries.

A request is durable when its transaction commits; its position in the log is decided later, by the
sequencer alone: on a surface in the order of receipt, and between surfaces in turns. A drain is one
transaction: it decides the waiting requests in order, appends entries, subtrees, results and one
checkpoint, and brings the projections up to date. So a crash between any two steps leaves the last
checkpoint as it was, and starting again is opening again.

Two guards keep a second writer out. An advisory lock of PostgreSQL, held by the writer's connection
for as long as it is open, keeps it from loading the fold. The checkpoint is appended only to the
one that this fold was loaded or moved from: a compare-and-swap that holds even if the lock fails,
as when a pooler hands the connection to another client.

Both are of one database. That it is still the same one, and has all that was signed and anchored,
is compared with what is known elsewhere (`log.guard`), before anything is written.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

from orchestrator.core.codec import decode_request, request_kind
from orchestrator.core.decide import decide
from orchestrator.core.document import CACHED_BYTES
from orchestrator.core.entry import CLICK
from orchestrator.core.errors import DomainError, LogError, RequestError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.kinds import decode, encode, kind_of
from orchestrator.core.merkle import EMPTY_ROOT, CompactRange, leaf_hash
from orchestrator.core.opening import Record, ReportedTouchOpening, encode_opening
from orchestrator.core.requests import PublishPolicy, PublishSettings, Request, Settle
from orchestrator.core.resource import Resource
from orchestrator.core.rights import Sender, check_right
from orchestrator.core.units import MAX_AHEAD_MS, format_ms
from orchestrator.core.world import World, pair_of
from orchestrator.log.guard.known_root import stored_nodes
from orchestrator.log.guard.mark import NO_GUARD, Guard, Signed
from orchestrator.log.projections import (
    Changes,
    Click,
    Sources,
    load_leads,
    load_world,
    write_actions,
    write_codes,
    write_leads,
    write_rest,
    write_standings,
    write_tallies,
)
from orchestrator.log.reader import read_entries
from orchestrator.log.tree import Checkpoint, checkpoint_of, stored_checkpoint, tree_of
from orchestrator.storage.database import Connection, Database, Row, Session, array
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
# The spans of one drain: of a full one the first decisions are told.
MOST_TOLD = 500
# The traces that a contract keeps of what counted since its last statement, and links of a span.
MOST_TRACES = 32
# The kinds of entries that count for the contract which their first word names.
_COUNTING = ("outcome", "outcome.reversed")
_SETTLE = request_kind(Settle)
# The codes kept from drain to drain.
CODES_IN_MEMORY = 50_000

_log = logging.getLogger(__name__)


class _UnfoldableError(Exception):
    """A request at which the fold itself failed, and may have left the world half moved."""

    def __init__(self, row: Row, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.row = row


@dataclass(slots=True)
class _WriterState:
    """A connection that holds the lock, and the fold and the tree at the last checkpoint."""

    connection: Connection
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


@dataclass(slots=True)
class Batch:
    """The rows of one drain, and the projections that they change."""

    # position, entry, opening, and the word of its kind where the log lists that
    entries: list[tuple[int, bytes, bytes | None, bytes | None]] = field(default_factory=list)
    # seq, first position, count, and a refusal's code and message
    results: list[tuple[int, int, int, str | None, str | None]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    # what is said of requested actions
    actions: list[tuple[int, Record]] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    # the lead that the last record registers, and the position of the code by which it came
    registered: tuple[bytes, int] | None = None

    def add_all(self, world: World, first: int, records: Iterable[Record]) -> None:
        """Add the rows of records, which the fold has moved past."""
        for position, record in enumerate(records, first):
            self.add(position, record)
            entry, opening = record
            if isinstance(opening, ReportedTouchOpening) and entry.label == CLICK:
                code = world.causes[opening.cause]
                is_new_lead = self.registered == (entry.subject, opening.cause)
                click = Click(code.code, position, entry.subject, entry.time_ms, is_new_lead)
                self.clicks.append(click)
            is_registration = entry.kind == "lead.registered"
            self.registered = (entry.subject, entry.value) if is_registration else None

    def add(self, position: int, record: Record) -> None:
        """Add the rows of a record that the fold has moved past."""
        entry, opening = record
        kind = kind_of(entry)
        opened = None if opening is None else encode_opening(opening)
        listed = kind.word if kind.listed else None
        self.entries.append((position, encode(entry), opened, listed))
        self.changes.add(kind, entry)
        if kind.moves_action:
            self.actions.append((position, record))

    def write_entries(
        self,
        session: Session,
        log_id: bytes,
        tree: CompactRange,
        failpoint: Callable[[str], None] = _no_failpoint,
    ) -> None:
        """Append the entries, extend the tree, and append the subtrees that it completes."""
        session.copy(
            "log.append_entries",
            ("bytea", "int8", "bytea", "bytea", "bytea"),
            ((log_id, *row) for row in self.entries),
        )
        failpoint("entries")
        completed = tree.extend([leaf_hash(data) for _, data, *_ in self.entries])
        if completed:
            session.copy(
                "log.append_subtrees",
                ("bytea", "int2", "int8", "bytea"),
                ((log_id, *subtree) for subtree in completed),
            )
        failpoint("subtrees")

    def write_projections(
        self,
        session: Session,
        log_id: bytes,
        world: World,
        failpoint: Callable[[str], None] = _no_failpoint,
    ) -> None:
        """Bring the projections up to date with what was added, which the fold has moved past."""
        write_leads(session, log_id, world, self.changes)
        failpoint("leads")
        write_rest(session, log_id, world, self.changes)
        write_standings(session, log_id, world)
        write_codes(session, log_id, world, self.clicks)
        write_actions(session, log_id, self.actions)
        write_tallies(session, log_id, world)

    def refuse(self, row: Row, position: int, code: str, message: str) -> None:
        """Add the result of a request for which no entry is written at this position."""
        self.results.append((row.seq, position, 0, code, message))


def write_checkpoint(
    session: Session, log_id: bytes, tree: CompactRange, previous_size: int, checkpoint: Checkpoint
) -> None:
    """Follow the checkpoint of the previous size by this one, of the tree.

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
        nodes=list(tree.nodes),
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

    A drain that fails leaves nothing: the transaction is rolled back, the fold in memory is thrown
    away, the lock is given up, and the next drain opens the log anew.
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
            connection = self._database.connect()
        except BaseException:
            self.close()
            raise
        try:
            with connection.transaction() as session:
                self._writer = self._load(connection, session)
        except BaseException:
            connection.close()
            self.close()
            raise

    def close(self) -> None:
        """Give up the lock and forget the fold."""
        try:
            if self._writer is not None:
                self._writer.connection.close()
                self._writer = None
        finally:
            # Last: until the lock of the database is given back, no other may sign.
            if self._mark is not None:
                self._mark.close()

    def drain(self, limit: int = BATCH) -> Checkpoint | None:
        """Decide the requests that wait, at most `limit`; returns the checkpoint that covers them.

        None if none waited. Raises `LogError` if it must not write, as when a clock is wrong.
        """
        # The fold is moved before the commit, so after any failure, also an interrupt, it may be
        # ahead of what is stored: it is loaded again, never rolled back.
        try:
            return self._drain(self._opened(), limit)
        except _UnfoldableError as error:
            self.close()
            return self._refuse(error)
        except BaseException:
            self.close()
            raise

    def _opened(self) -> _WriterState:
        if self._writer is None:
            self.open()
        if self._writer is None:
            raise LogError("sequencer-closed", "the sequencer is not open")
        return self._writer

    def _load(self, connection: Connection, session: Session) -> _WriterState:
        # The lock belongs to the connection, not to this transaction, and is taken before anything
        # is read: what is loaded below cannot become old while the connection is open.
        take_writer_lock(session, self._log_id)
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
        return _WriterState(connection, log.publisher, world, sources, tree, checkpoint, repeated)

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

    def _drain(self, writer: _WriterState, limit: int) -> Checkpoint | None:
        rows = self._received(writer, limit)
        if not rows:
            return None
        began_ns = time.time_ns()
        with writer.connection.transaction() as session:
            self._check_receipts(rows)
            requests = [
                _decoded(row.kind, body) for row, body in zip(rows, _bodies(rows), strict=True)
            ]
            # Documents and standings are loaded at the moment that a request needs them, from what
            # is stored or from this very drain.
            writer.sources.use(session)
            writer.sources.policies.coming = {
                request.policy.hash: request.policy
                for request in requests
                if isinstance(request, PublishPolicy)
            }
            writer.sources.settings.coming = {
                request.settings.hash: request.settings
                for request in requests
                if isinstance(request, PublishSettings)
            }
            self._load_leads(session, writer, requests)
            self._load_standings(writer, requests)
            self._load_codes(writer, requests)
            self._failpoint("taken")
            batch = _decide(writer, rows, requests)
            self._failpoint("decided")
            checkpoint = writer.checkpoint
            if batch.entries:
                checkpoint = self._append(session, writer, batch)
            # Once nothing waits all surfaces begin anew; else those not served yet come first.
            is_full = len(rows) == limit or any(
                isinstance(request, PublishPolicy | PublishSettings) for request in requests
            )
            self._record_results(session, batch, rows[-1].rank + (not is_full))
            if self.tracer is not None:
                _follow_contracts(session, self._log_id, rows, batch)
            self._failpoint("finished")
        self._failpoint("committed")
        # Only what is committed is the last checkpoint: before this line a failure reloads it.
        writer.checkpoint, writer.repeated = checkpoint, ()
        if self.tracer is not None:
            _tell_decisions(self.tracer, began_ns, rows, batch)
        return checkpoint

    def _received(self, writer: _WriterState, limit: int) -> list[Row]:
        """Return the requests to decide next, all of which are on the disk.

        They can be read a moment before they are there, and must not be lost once the mark says
        that a checkpoint covers them. Nothing but a drain changes them.
        """
        with writer.connection.transaction() as session:
            rows = self._waiting(session, writer.repeated, limit)
            if rows:
                session.run("database.flush")
        return rows

    def _waiting(self, session: Session, repeated: tuple[int, ...], limit: int) -> list[Row]:
        """Return the requests to decide next, in their order."""
        if not repeated:
            return session.all(
                "log.waiting_requests",
                log_id=self._log_id,
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
        # anew. A forgotten one is whole in its projection, which the last drain committed.
        kept = max(len(wanted), self._leads_in_memory)
        for name in list(leads)[: max(0, len(leads) - kept)]:
            del leads[name]

    def _load_standings(
        self, writer: _WriterState, requests: Sequence[Request | DomainError]
    ) -> None:
        """Load at once the standings of the pairs that requests name; others as they are needed."""
        standings = writer.sources.standings
        standings.forget(self._standings_in_memory)
        pairs = (
            pair_of(surface, operator)
            for request in requests
            if (surface := getattr(request, "surface", None)) is not None
            and (operator := getattr(request, "operator", None)) is not None
        )
        standings.load(dict.fromkeys(pairs))

    def _load_codes(self, writer: _WriterState, requests: Sequence[Request | DomainError]) -> None:
        """Load at once the codes that requests name."""
        codes = writer.sources.codes
        codes.forget(CODES_IN_MEMORY)
        named = (
            getattr(request, "code", None) or getattr(request, "ref", None) for request in requests
        )
        codes.load(dict.fromkeys(name for name in named if isinstance(name, bytes)))

    def _append(self, session: Session, writer: _WriterState, batch: Batch) -> Checkpoint:
        log_id, world, tree = self._log_id, writer.world, writer.tree
        previous_size = tree.size
        batch.write_entries(session, log_id, tree, self._failpoint)
        batch.write_projections(session, log_id, world, self._failpoint)
        self._failpoint("projections")
        if not previous_size + len(batch.entries) == tree.size == world.size:
            raise LogError(
                "size-mismatch", f"the tree has {tree.size} leaves, the fold {world.size} entries"
            )
        root = tree.root()
        if self._mark is not None:
            seqs = tuple(seq for seq, *_ in batch.results)
            old_root = writer.checkpoint.root if writer.checkpoint else EMPTY_ROOT
            self._mark.move_to(Signed(tree.size, root, previous_size, old_root, seqs))
        self._failpoint("marked")
        checkpoint = Checkpoint(tree.size, root, world.time_ms, self._sign(tree.size, root))
        write_checkpoint(session, log_id, tree, previous_size, checkpoint)
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

    def _refuse(self, error: _UnfoldableError) -> Checkpoint | None:
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


# Errors by which a mistake in the fold shows itself. `RequestError` and `LogError` are no mistakes.
_MISTAKES = (ArithmeticError, AttributeError, DomainError, LookupError, TypeError, ValueError)


def _bodies(rows: Sequence[Row]) -> list[Any]:
    """Return the bodies of requests, None for one that cannot be read.

    Each is JSON already, because its column is: so one parse reads all. But PostgreSQL takes
    numbers of more digits, and deeper lists, than Python reads.
    """
    try:
        found: list[Any] = json.loads(f"[{','.join(row.body for row in rows)}]")
    except (ValueError, RecursionError):
        return [None] if len(rows) == 1 else [body for row in rows for body in _bodies([row])]
    return found


def _decoded(kind: str, body: object) -> Request | DomainError:
    try:
        return decode_request(kind, body)
    except DomainError as error:
        return error


def _decide(
    writer: _WriterState, rows: Sequence[Row], requests: Sequence[Request | DomainError]
) -> Batch:
    batch, world = Batch(), writer.world
    for row, request in zip(rows, requests, strict=True):
        first = world.size
        if isinstance(request, DomainError):
            batch.refuse(row, first, request.code, request.message)
            continue
        try:
            sender = Sender(row.sender.removeprefix("tallystick_"), row.account)
            check_right(world, request, sender, writer.publisher)
            records = decide(world, request, row.received_ms)
            batch.add_all(world, first, records)
        except RequestError as error:
            batch.refuse(row, first, error.code, error.message)
        except LogError:
            raise
        except _MISTAKES as error:
            raise _UnfoldableError(row, error) from error
        else:
            batch.results.append((row.seq, first, len(records), None, None))
    return batch


def _follow_contracts(session: Session, log_id: bytes, rows: Sequence[Row], batch: Batch) -> None:
    """Keep with contracts, and with their statements, the traces of what counted for them last."""
    counted, stated, positions = _Counted(), _Counted(), dict[bytes, int]()
    base = batch.entries[0][0] if batch.entries else 0
    for row, result in zip(rows, batch.results, strict=True):
        if row.trace is None and row.kind != _SETTLE:
            continue
        first, count = result[1], result[2]
        for position, data, *_ in batch.entries[first - base : first - base + count]:
            entry = decode(data)
            if entry.kind == "settlement":
                positions[entry.subject] = position
                stated[entry.subject] = counted.pop(entry.subject, [])
            elif entry.kind in _COUNTING and row.trace is not None:
                counted.add(entry.actor, row.trace)
    if positions:
        session.run(
            "log.follow_statements",
            log_id=log_id,
            contracts=list(positions),
            positions=array(positions.values()),
            **stated.as_arguments(),
        )
    if counted:
        session.run("log.follow_contracts", log_id=log_id, **counted.as_arguments())


class _Counted(dict[bytes, list[str]]):
    """By contract the traces of what counted for it, each once, the newest last."""

    def add(self, contract: bytes, trace: str) -> None:
        traces = self.setdefault(contract, [])
        # A bulk has one trace and many lines.
        if trace in traces:
            traces.remove(trace)
        traces.append(trace)
        del traces[:-MOST_TRACES]

    def as_arguments(self) -> dict[str, list[Any]]:
        """Return a contract and a trace for each of them."""
        pairs = [(contract, trace) for contract, traces in self.items() for trace in traces]
        return {"counted": [one for one, _ in pairs], "traces": [trace for _, trace in pairs]}


def _tell_decisions(tracer: Tracer, since_ns: int, rows: Sequence[Row], batch: Batch) -> None:
    """Tell of the requests that came with a trace what was decided, in the time of their drain."""
    results = {seq: result for seq, *result in batch.results}
    for row in [row for row in rows if row.trace is not None][:MOST_TOLD]:
        first, count, code, _ = results[row.seq]
        facts = {"tallystick.request.kind": row.kind, "tallystick.entries": count}
        if count:
            facts["tallystick.position"] = first
        if code is not None:
            facts["tallystick.refusal"] = code
        tracer.begin(parent=row.trace, since_ns=since_ns).end(f"decide {row.kind}", facts)
