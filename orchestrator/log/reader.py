"""Readers of the stored log: its entries, checkpoints, proofs and projections.

All of it is public, save the leads: these are read in a session that speaks for an account. Every
page has a limit, every list of results a bound.
"""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.core.common.errors import EntryError, LogError
from orchestrator.core.entries.kinds import KINDS, decode, kind_of
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.log.opening import Opening, decode_opening
from orchestrator.core.surface import policy, surface_settings
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world.contract import Contract
from orchestrator.log.projections import contract_of
from orchestrator.log.tree import (
    TILE_HASHES,
    Checkpoint,
    Tiles,
    check_root,
    checkpoint_of,
    stored_checkpoint,
    tree_of,
)
from orchestrator.storage.database import Database, Session

# The entries that a walk through the log holds at once, some 2 MB with their openings.
PAGE_ENTRIES = 5_000
# The most rows of one page, whatever limit a caller asks for.
MAX_PAGE = 10_000


class StoredEntry(NamedTuple):
    """An entry with its position; `data` and `opening` are the bytes that were hashed."""

    position: int
    data: bytes
    opening: bytes | None

    @property
    def entry(self) -> Entry:
        return decode(self.data)

    @property
    def opened(self) -> Opening | None:
        """Return the opening of the entry's kind. Raises LogError if what is stored is none."""
        if self.opening is None:
            return None
        opened = kind_of(self.entry).opening
        try:
            if opened is not None:
                return decode_opening(opened, self.opening)
        except EntryError as error:
            raise LogError(error.code, f"entry {self.position}: {error.message}") from None
        raise LogError("opening-unknown", f"entry {self.position} has no opening by its kind")


class LogReader:
    """A reader of one log.

    Each call is a transaction of its own. Answers of several calls agree all the same, because what
    the log holds below a checkpoint never changes.
    """

    def __init__(self, database: Database, log_id: bytes) -> None:
        self._database = database
        self.log_id = log_id

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """Return the newest checkpoint, or the one of exactly this size; None if there is none."""
        with self._database.transaction() as session:
            row = stored_checkpoint(session, self.log_id, size)
        return None if row is None else checkpoint_of(row)

    def entries(self, start: int, limit: int) -> list[StoredEntry]:
        """Return at most `limit` entries from position `start` on."""
        with self._database.transaction() as session:
            return read_entries(session, self.log_id, start, limit)

    def of_kind(self, kind: str, after: int, limit: int) -> list[StoredEntry]:
        """Return entries of a kind that the log lists, after a position."""
        row = KINDS[kind]
        if not row.listed:
            raise LogError(
                "kind-not-listed", f"entries of kind {kind!r} are found by their subject"
            )
        return self._page("log.entries_of_kind", after, limit, kind=row.word)

    def about(self, subject: bytes, after: int, limit: int) -> list[StoredEntry]:
        """Return entries about a lead, contract, operator or policy, after a position."""
        return self._page("log.entries_about", after, limit, subject=subject)

    def outcomes_of(self, contract_id: bytes, after: int, limit: int) -> list[StoredEntry]:
        """Return a contract's `outcome*` entries, reversals among them, after a position."""
        return self._page("log.outcomes_of", after, limit, contract_id=contract_id)

    def inclusion_proof(self, position: int, size: int) -> list[bytes]:
        """Return RFC 9162's proof that the entry at `position` is in the log of `size`."""
        return self.run_proof(position, 1, size)

    def run_proof(self, first: int, count: int, size: int) -> list[bytes]:
        """Return the proof of the entries [first, first + count) in the log of `size`."""
        with self._database.transaction() as session:
            self._check_size(session, size)
            return merkle.run_proof(first, count, size, Tiles(session, self.log_id).node)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return RFC 9162's proof that the log of size `new` extends that of size `old`."""
        with self._database.transaction() as session:
            self._check_size(session, new)
            return merkle.consistency_proof(old, new, Tiles(session, self.log_id).node)

    def tile(self, level: int, number: int, width: int = TILE_HASHES) -> list[bytes]:
        """Return the first `width` hashes of a C2SP tile; its level is eight of the tree's."""
        with self._database.transaction() as session:
            hashes = Tiles(session, self.log_id).hashes(level, number)
        if not 0 < width <= len(hashes):
            raise LogError("tile-missing", f"tile {level}/{number} has {len(hashes)} hashes")
        return hashes[:width]

    def rehashed(self, since: int = 0) -> Checkpoint | None:
        """Return the newest checkpoint, after hashing its entries from `since` on once more.

        Only such a checkpoint may be published. Raises `LogError` unless the stored entries lead to
        its root, and if there is no checkpoint of size `since`.
        """
        with self._database.transaction() as session:
            old = stored_checkpoint(session, self.log_id, since) if since else None
            new = stored_checkpoint(session, self.log_id)
            if since and old is None:
                raise LogError("checkpoint-missing", f"there is no checkpoint of size {since}")
            if new is None:
                return None
            tree = tree_of(old) if old else CompactRange()
            for page in stored_pages(session, self.log_id, since, new.size):
                tree.extend(leaf_hash(stored.data) for stored in page)
        check_root(tree, new)
        return checkpoint_of(new)

    def policy(self, hash_: bytes) -> Policy | None:
        """Return the policy of this hash, if one was ever published."""
        document = self.policy_document(hash_)
        return None if document is None else policy.parse(document)

    def policy_document(self, hash_: bytes) -> dict[str, object] | None:
        """Return the document of the policy of this hash, if one was ever published."""
        with self._database.transaction() as session:
            row = session.one("log.policy", log_id=self.log_id, hash=hash_)
        return None if row is None else row.document

    def settings(self, hash_: bytes) -> SurfaceSettings | None:
        """Return a surface's settings of this hash, if they were ever published."""
        document = self.settings_document(hash_)
        return None if document is None else surface_settings.parse_settings(document)

    def settings_document(self, hash_: bytes) -> dict[str, object] | None:
        """Return the document of the settings of this hash, if they were ever published."""
        with self._database.transaction() as session:
            row = session.one("log.settings", log_id=self.log_id, hash=hash_)
        return None if row is None else row.document

    def contract(self, contract_id: bytes) -> Contract | None:
        """Return a contract and its running totals."""
        with self._database.transaction() as session:
            row = session.one("log.contract", log_id=self.log_id, contract_id=contract_id)
        return None if row is None else contract_of(row)

    def contracts(
        self,
        after: int,
        limit: int,
        *,
        surface: bytes | None = None,
        owner: bytes | None = None,
        operator: bytes | None = None,
    ) -> list[Contract]:
        """Return contracts opened after a position, oldest first, filtered by what is named."""
        with self._database.transaction() as session:
            rows = session.all(
                "log.contracts_after",
                log_id=self.log_id,
                after=after,
                limit=_bounded(limit),
                surface=surface,
                owner=owner,
                operator=operator,
            )
        return [contract_of(row) for row in rows]

    def _check_size(self, session: Session, size: int) -> None:
        last = stored_checkpoint(session, self.log_id)
        if last is None or size > last.size:
            raise LogError("size-ahead", f"the log has no checkpoint of size {size} or more yet")

    def _page(self, query: str, after: int, limit: int, **which: bytes) -> list[StoredEntry]:
        with self._database.transaction() as session:
            rows = session.all(
                query, log_id=self.log_id, after=after, limit=_bounded(limit), **which
            )
        return [StoredEntry(*row) for row in rows]


# --- Entries within a session ---------------------------------------------------------------------


def read_entries(session: Session, log_id: bytes, start: int, limit: int) -> list[StoredEntry]:
    """Return at most `limit` entries from `start` on."""
    rows = session.all("log.entries", log_id=log_id, start=start, limit=_bounded(limit))
    return [StoredEntry(*row) for row in rows]


def stored_pages(
    session: Session, log_id: bytes, start: int, stop: int
) -> Iterator[list[StoredEntry]]:
    """Yield the entries [start, stop) a page at a time. Raises `LogError` where one is missing."""
    while start < stop:
        page = read_entries(session, log_id, start, min(PAGE_ENTRIES, stop - start))
        # Positions are compared one by one: a page may be full and still have a gap.
        for position, stored in enumerate(page, start):
            if stored.position != position:
                raise LogError("entry-missing", f"entry {position} is missing")
        if not page:
            raise LogError("entry-missing", f"entry {start} is missing")
        yield page
        start += len(page)


def _bounded(limit: int) -> int:
    return max(0, min(limit, MAX_PAGE))
