"""The making anew of a log's database from its public log, for which publisher and chain vouch.

Every entry is judged by the rules, and hashed, before the first is written; every root that is
anchored, signed or stored must come out on the way. Then the entries that the database lacks are
appended with their projections, by the statements of the sequencer. What is not public cannot come
back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from orchestrator.chain.abi import Published
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import SPAN_BLOCKS, EventScan
from orchestrator.client.log_server import (
    LogSource,
    reading,
    served_policy,
    served_records,
    served_settings,
)
from orchestrator.core.common.errors import DomainError, LogError, TermsError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.terms import checkpoint_digest, recover
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.log.merkle import CompactRange
from orchestrator.core.log.opening import Record
from orchestrator.core.world.codec import decode_request
from orchestrator.core.world.contract import rules_of
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.log.guard.mark import Mark, Signed
from orchestrator.log.reader import PAGE_ENTRIES
from orchestrator.log.sequencing.rebuild import Rebuild
from orchestrator.log.sequencing.sequencer import take_writer_lock, write_checkpoint
from orchestrator.log.stored_records import chain_entry, count_logged
from orchestrator.log.tree import Checkpoint, stored_checkpoint, tree_of
from orchestrator.storage.database import Connection, Database, Row, Session, array
from orchestrator.storage.statements import Statements
from orchestrator.verify.log_replay import LogReplay

_INBOX_PAGE = 1_000
_CHAIN_KINDS = (
    "open_contract",
    "close_contract",
    "record_payout",
    "record_dispute",
    "record_ruling",
)

_REFUSAL = (
    "the database was restored after this was received: look whether the log has it, and if not, "
    "send it again under another key"
)

# What a restored database has not got, beyond what an older one had that was brought forward.
LOST = (
    "ids of leads and orders that owners gave: report them anew, and they get new pseudonyms",
    "private payloads and their salts: commitments to them stay, and are not opened any more",
    "API keys, profiles, private memory, webhooks: accounts sign in and set them up again",
    "proposals and offers that were not opened on chain: they are made again",
    "requests that waited, and idempotency keys: what was not decided is sent again",
)


class Restored(NamedTuple):
    """The result of a restore: the size before and after, and the number of requests refused."""

    before: int
    size: int
    refused: int


class Parties(NamedTuple):
    """The database that a log is restored to, the chain that vouches for it, and its signer."""

    database: Database
    chain: Chain
    log_id: bytes
    publisher: str
    sign: Callable[[int, bytes], bytes]
    mark: Mark | None
    now_ms: Callable[[], int]


def restore(
    source: LogSource, to: Parties, report_progress: Callable[[str, int], None]
) -> Restored:
    """Bring the database forward to what the source has. Nothing is written unless all of it holds.

    The source must say the same each time that it is asked: a folder does. Raises `ReplayError`
    where it is not what the rules, the chain, the mark or the database say, and `LogError` where it
    does not reach them.
    """
    if to.mark is not None:
        to.mark.open()
    try:
        with closing(to.database.connect()) as connection:
            with connection.transaction() as session:
                take_writer_lock(session, to.log_id)
                stored = stored_checkpoint(session, to.log_id)
            size, root = _served_head(source, to)
            known = _known_roots(to, stored)
            _judge(
                source, to, [*known, KnownRoot(size, root, "the source's head")], report_progress
            )
            ends = sorted({one.size for one in known if one.size <= size} | {size})
            before = stored.size if stored else 0
            _append_all(connection, source, to, before, ends, report_progress)
            refused = _clear_inbox(connection, to.log_id) if size > before else 0
        if to.mark is not None and size > before:
            to.mark.move_to(Signed(size, root, size, root, ()))
    finally:
        if to.mark is not None:
            to.mark.close()
    return Restored(before, size, refused)


def _served_head(source: LogSource, to: Parties) -> tuple[int, bytes]:
    """Return the size and the root that the source says and the publisher has signed."""
    head = source.get("/v1/log/checkpoint")
    with reading(source, "how long its log is"):
        size, root = int(head["size"]), from_hex(head["root"], WORD_BYTES)
        signature = from_hex(head["signature"])
        log_id = from_hex(head["log_id"], WORD_BYTES)
    if log_id != to.log_id:
        raise LogError("log-other", f"{source.server} has log {to_hex(log_id)}")
    digest = checkpoint_digest(to.chain.event_log_domain, log_id, size, root)
    try:
        signer = recover(digest, signature)
    except TermsError:
        signer = "none"
    if signer != to.publisher:
        raise LogError(
            "head-unsigned",
            f"the checkpoint of {size} at {source.server} is signed by {signer}, not by the log's "
            f"publisher {to.publisher}",
        )
    return size, root


def _known_roots(to: Parties, stored: Row | None) -> list[KnownRoot]:
    """Return all roots that the source's log must have."""
    known = [KnownRoot(*one, "an anchor on chain") for one in _anchors(to.chain, to.log_id)]
    newest = to.chain.checkpoint(to.log_id)
    known.append(KnownRoot(newest.size, newest.root, "the newest anchor on chain"))
    if to.mark is not None:
        known += to.mark.known_roots(-1)
    if stored is not None:
        known.append(KnownRoot(stored.size, stored.root, "this database"))
    return sorted(one for one in known if one.size)


def _anchors(chain: Chain, log_id: bytes) -> Iterator[tuple[int, bytes]]:
    addresses = chain.addresses
    scan = EventScan(chain, [addresses.event_log], SPAN_BLOCKS, kinds=(Published,))
    first, last = addresses.start_block, chain.block().number
    while first <= last:
        page = scan.page(first, last)
        for raw in page.events:
            event = raw.decode().event
            if isinstance(event, Published) and event.log_id == log_id:
                yield event.size, event.root
        first = page.last + 1


def _judge(
    source: LogSource,
    to: Parties,
    known: Sequence[KnownRoot],
    report_progress: Callable[[str, int], None],
) -> None:
    """Replay the source's log up to its head, through every root that is known."""
    replay = LogReplay(
        to.log_id,
        lambda start, stop: served_records(source, start, stop),
        lambda hash_: served_policy(source, hash_),
        lambda hash_: served_settings(source, hash_),
        to.chain,
        to.now_ms,
        told=lambda done: report_progress("judged", done),
    )
    head = known[-1]
    for size, root, what in known:
        if size > head.size:
            raise LogError(
                "copy-short",
                f"{source.server} ends at {head.size} entries, and {what} is of {size}: ask "
                f"another server, or for a newer copy",
            )
        replay.advance_to(size, root)


def _append_all(
    connection: Connection,
    source: LogSource,
    to: Parties,
    start: int,
    ends: Sequence[int],
    report_progress: Callable[[str, int], None],
) -> None:
    """Append what the database lacks, with a checkpoint at each of these sizes, and at pages."""
    documents = Documents(
        lambda hash_: served_policy(source, hash_),
        lambda hash_: served_settings(source, hash_),
        lambda contract_id: rules_of(to.chain.terms_of(contract_id), contract_id),
    )
    registered: tuple[bytes, int] | None = None
    with connection.transaction() as session:
        session.run("log.prepare_leads")
    for end in ends:
        while start < end:
            stop = min(end, start + PAGE_ENTRIES)
            records = list(served_records(source, start, stop))
            with connection.transaction() as session:
                session.run("log.allow_time")
                registered = _append(session, to, documents, records, registered)
            start = stop
            report_progress("restored", start)


def _append(
    session: Session,
    to: Parties,
    documents: Documents,
    records: Sequence[Record],
    registered: tuple[bytes, int] | None,
) -> tuple[bytes, int] | None:
    """Append a page of records with its checkpoint; return what the next page must know."""
    row = stored_checkpoint(session, to.log_id)
    tree = CompactRange() if row is None else tree_of(row)
    size = tree.size
    rebuild = Rebuild(session, to.log_id, documents, size, row.time_ms if row else 0)
    rebuild.registered = registered
    entries = Statements()
    rebuild.take(records).write_entries(entries, to.log_id, tree)
    entries.send(session)
    root = tree.root()
    head = Checkpoint(tree.size, root, rebuild.world.time_ms, to.sign(tree.size, root))
    write_checkpoint(session, to.log_id, tree.nodes, size, head)
    return rebuild.registered


def _clear_inbox(connection: Connection, log_id: bytes) -> int:
    """Take from the inbox what the log may have already; return how many requests were refused.

    An older database has requests waiting that were decided in what it has lost. Those of people
    and agents are refused, since what they would write is not told apart for certain; those of the
    chain stay where the log lacks them.
    """
    refused, last = 0, -1
    while True:
        with connection.transaction() as session:
            head = stored_checkpoint(session, log_id)
            rows = session.all("log.inbox_after", log_id=log_id, seq=last, limit=_INBOX_PAGE)
            if not rows:
                return refused
            last = rows[-1].seq
            done = [row for row in rows if _is_to_go(session, log_id, row)]
            refused += len(done)
            if done:
                _refuse(session, log_id, head.size if head else 0, done)


def _is_to_go(session: Session, log_id: bytes, row: Row) -> bool:
    """Return whether a waiting request must not be decided any more."""
    if row.kind not in _CHAIN_KINDS:
        return bool(row.sender != "tallystick_worker")
    try:
        entry = chain_entry(decode_request(row.kind, row.body))
    except DomainError:
        return False  # the sequencer refuses it
    return entry is not None and count_logged(session, log_id, entry) > 0


def _refuse(session: Session, log_id: bytes, size: int, rows: Sequence[Row]) -> None:
    session.run(
        "log.finish",
        log_id=log_id,
        seqs=array(row.seq for row in rows),
        first_positions=array([size] * len(rows)),
        counts=array([0] * len(rows)),
        codes=["log-restored"] * len(rows),
        messages=[_REFUSAL] * len(rows),
        rank=0,
    )
