"""Checks of the stored log: its entries are hashed again, and its projections folded anew.

Nothing is changed. Every contradiction is a finding of one line that says where it is; what can be
checked past one is.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from orchestrator.core.common.errors import DomainError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import KINDS, kind_of, pass_by
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.log.opening import Record
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.world import World
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.log.projections import Sources, contract_of
from orchestrator.log.reader import StoredEntry, read_entries, stored_pages
from orchestrator.log.sequencing.rebuild import Rebuild
from orchestrator.log.tree import Checkpoint, check_root, checkpoint_of, stored_checkpoint, tree_of
from orchestrator.storage.database import Database, DatabaseError, Row, Session, is_away

# A projection that is wholly wrong differs in every row; the first ones say enough.
MAX_DIFFERENCES = 100
# What a finding shows of a value.
_MAX_SHOWN = 200


class Finding(NamedTuple):
    """A contradiction in what is stored: a stable code, and one line that says where it is."""

    code: str
    message: str


class Checks(NamedTuple):
    """The things that a log is compared with from other sources, as far as there are any.

    `known` are roots of it; `is_signed` tells whether a checkpoint has its publisher's signature;
    `rules` returns a contract's rules by the chain. `report_progress` is told the size reached.
    """

    known: tuple[KnownRoot, ...] = ()
    is_signed: Callable[[Checkpoint], bool] = lambda _: True
    rules: Callable[[bytes], ContractRules] | None = None
    report_progress: Callable[[str, int], None] = lambda _what, _size: None


NO_CHECKS = Checks()


def check_entries(
    database: Database, log_id: bytes, checks: Checks = NO_CHECKS
) -> Iterator[Finding]:
    """Yield what is wrong with entries, openings, documents, subtrees and checkpoints."""
    # One snapshot: a writer that goes on beside us must not look like a contradiction.
    with database.transaction(snapshot=True) as session:
        last = stored_checkpoint(session, log_id)
        size = last.size if last else 0
        if read_entries(session, log_id, size, 1):
            yield Finding("entries-beyond", f"entries stand beyond the last checkpoint, {size}")
        yield from _check_documents(session, log_id)
        listed = [kind.word for kind in KINDS.values() if kind.listed]
        for row in session.all(
            "log.wrongly_listed", log_id=log_id, listed_kinds=listed, limit=MAX_DIFFERENCES
        ):
            yield Finding("listing-mismatch", f"entry {row.position} is not listed as its kind is")
        try:
            yield from _Rehash(session, log_id, checks).run(size)
        except LogError as error:  # an entry is missing: no later one can be placed
            yield Finding(error.code, error.message)
        yield from _check_subtree_count(session, log_id, size)


def _check_documents(session: Session, log_id: bytes) -> Iterator[Finding]:
    sources = Sources(session, log_id)
    for check in (sources.policies.check_all, sources.settings.check_all):
        try:
            check()
        except LogError as error:
            yield Finding(error.code, error.message)


def _check_subtree_count(session: Session, log_id: bytes, size: int) -> Iterator[Finding]:
    """Find subtrees too many; those that are wrong or missing were found on the way."""
    wanted = {level: size >> level for level in range(8, 40, 8) if size >> level}
    stored = {row.level: row.subtrees for row in session.all("log.count_subtrees", log_id=log_id)}
    if stored != wanted:
        yield Finding("subtrees-count", f"stored subtrees are {stored}, not {wanted}")


class _Rehash:
    """A walk through all entries, whose tree is compared with all that says what it must be.

    Where a root differs, the walk goes on from the tree that was to be there, so that one changed
    entry is one finding and later ones are found as well.
    """

    def __init__(self, session: Session, log_id: bytes, checks: Checks) -> None:
        self._session = session
        self._log_id = log_id
        self._checks = checks
        self._tree = CompactRange()
        # Of the fold only the log's own clock.
        self._world = World()

    def run(self, size: int) -> Iterator[Finding]:
        """Yield what is wrong with the entries below a size."""
        known = sorted(self._checks.known)
        for row in _checkpoints(self._session, self._log_id):
            begun = self._tree.size
            if row.previous_size != begun:
                yield Finding(
                    "checkpoint-gap",
                    f"checkpoint {row.size} follows {row.previous_size}, not {begun}",
                )
            # A known root may lie between two checkpoints, so the tree stops there on its way.
            while known and known[0].size <= row.size:
                yield from self._compare(known.pop(0))
            yield from self._extend(row.size)
            yield from self._check_checkpoint(begun, row)
            self._checks.report_progress("hashed", row.size)
        for one in known:
            yield Finding(
                "log-truncated", f"the log ends at {size}, before {one.source} of {one.size}"
            )

    def _compare(self, known: KnownRoot) -> Iterator[Finding]:
        if known.size < self._tree.size or not known.size:
            return
        yield from self._extend(known.size)
        if self._tree.root() != known.root:
            yield Finding(
                "log-differs",
                f"the log's root at {known.size} is {to_hex(self._tree.root())}, and "
                f"{known.source} has {to_hex(known.root)}",
            )

    def _check_checkpoint(self, begun: int, row: Row) -> Iterator[Finding]:
        where = f"entries {begun} to {row.size - 1}"
        try:
            check_root(self._tree, row)
        except LogError as error:
            yield Finding(error.code, f"{where}: {error.message}")
            try:
                self._tree = tree_of(row)
            except LogError as contradiction:
                yield Finding("checkpoint-altered", contradiction.message)
        if row.time_ms != self._world.time_ms:
            yield Finding(
                "time-mismatch",
                f"checkpoint {row.size} is of {row.time_ms} ms, its entries are of "
                f"{self._world.time_ms}",
            )
            self._world.time_ms = row.time_ms
        if not self._checks.is_signed(checkpoint_of(row)):
            yield Finding(
                "signature-false", f"checkpoint {row.size} does not have its publisher's signature"
            )

    def _extend(self, stop: int) -> Iterator[Finding]:
        """Extend the tree by the stored entries; compare openings and subtrees."""
        for page in stored_pages(self._session, self._log_id, self._tree.size, stop):
            for stored in page:
                yield from self._check_entry(stored)
            for subtree in self._tree.extend(leaf_hash(stored.data) for stored in page):
                rows = self._session.all(
                    "log.subtrees",
                    log_id=self._log_id,
                    level=subtree.level,
                    start=subtree.position,
                    stop=subtree.position + 1,
                )
                if [row.hash for row in rows] != [subtree.hash]:
                    first = subtree.position << subtree.level
                    yield Finding(
                        "subtree-mismatch",
                        f"subtree {subtree.position} of level {subtree.level} is not what is "
                        f"stored: it, or one of the entries {first} to "
                        f"{first + (1 << subtree.level) - 1}, was altered",
                    )

    def _check_entry(self, stored: StoredEntry) -> Iterator[Finding]:
        try:
            entry, opened = stored.entry, stored.opened
            fits = kind_of(entry).fits(entry, opened)
            pass_by(self._world, Record(entry, opened))
        except DomainError as error:
            yield Finding("entry-malformed", f"entry {stored.position}: {error.message}")
            return
        if not fits:
            yield Finding(
                "opening-mismatch", f"entry {stored.position} does not commit to its opening"
            )


def _checkpoints(session: Session, log_id: bytes) -> Iterator[Row]:
    """Yield the rows of all checkpoints, by size."""
    size = 0
    while rows := session.all("log.checkpoints_after", log_id=log_id, size=size, limit=1000):
        yield from rows
        size = rows[-1].size


# --- Projections ----------------------------------------------------------------------------------


def compare_projections(database: Database, log_id: bytes, checks: Checks = NO_CHECKS) -> list[str]:
    """Fold the whole log anew and compare each column of each projection. Return what differs.

    The fold writes tables of its own by the statements of the writer, so the login is the writer's.
    Where `checks` has no rules, those of contracts come from the projection. At most
    `MAX_DIFFERENCES` are returned.
    """
    try:
        return [message for _, message in _differences(database, log_id, checks)]
    except (DomainError, DatabaseError) as error:
        # What could not be looked at is no finding.
        if is_away(error) or (isinstance(error, LogError) and error.code == "database-unreachable"):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [f"the log cannot be folded: {reason}"]


def _differences(database: Database, log_id: bytes, checks: Checks) -> Iterator[Finding]:
    with (
        closing(database.connect()) as connection,
        connection.transaction(snapshot=True) as session,
        database.transaction() as documents,
    ):
        session.run("log.allow_time")
        last = stored_checkpoint(session, log_id)
        if last is None:
            return
        session.run("log.prepare_leads")
        session.run("log.shadow_projections")
        rebuild = Rebuild(session, log_id, _stored_documents(documents, log_id, checks))
        for page in stored_pages(session, log_id, 0, last.size):
            rebuild.take([Record(item.entry, item.opened) for item in page])
            checks.report_progress("folded", rebuild.world.size)
        for row in session.all("log.projection_differences", log_id=log_id, limit=MAX_DIFFERENCES):
            yield Finding("projection-differs", _describe(row))


def _stored_documents(session: Session, log_id: bytes, checks: Checks) -> Documents:
    sources = Sources(session, log_id)

    def rules(contract_id: bytes) -> ContractRules:
        row = session.one("log.contract", log_id=log_id, contract_id=contract_id)
        if row is None:
            raise LogError("contract-missing", f"contract {to_hex(contract_id)} is not stored")
        return contract_of(row).rules

    return Documents(sources.policies.load, sources.settings.load, checks.rules or rules)


def _describe(row: Row) -> str:
    """Return where a row of a projection differs from the fold's."""
    name = " ".join(f"{key} {value}" for key, value in row.name.items())
    if row.stored is None or row.folded is None:
        what = "is not stored" if row.stored is None else "is stored, and the log has none"
        return f"{row.projection}, {name}: {what}"
    parts = [
        f"{column} is {_shown(value)}, the log says {_shown(row.folded[column])}"
        for column, value in row.stored.items()
        if value != row.folded[column]
    ]
    return f"{row.projection}, {name}: {'; '.join(parts)}"


def _shown(value: object) -> str:
    return str(value)[:_MAX_SHOWN]


def check_followers(database: Database, log_id: bytes) -> Iterator[Finding]:
    """Yield the cursors of webhooks that are past the end of the log; the login is the worker's."""
    with database.transaction(snapshot=True) as session:
        last = stored_checkpoint(session, log_id)
        size = last.size if last else 0
        for row in session.all(
            "log.courier_beyond", log_id=log_id, size=size, limit=MAX_DIFFERENCES
        ):
            name = "" if row.name is None else f" {to_hex(row.name)}"
            yield Finding(
                "cursor-beyond", f"{row.place}{name}: {row.cursor} is past the log of {size}"
            )


def findings(
    writer: Database, worker: Database, log_id: bytes, checks: Checks
) -> Iterable[Finding]:
    """Yield all that is wrong with a log, the entries first."""
    yield from check_entries(writer, log_id, checks)
    for message in compare_projections(writer, log_id, checks):
        yield Finding("projection-differs", message)
    yield from check_followers(worker, log_id)
