"""Reading the stored log: entries, checkpoints, proofs and projections.

What this module reads is public, save the leads: these are read in a session that speaks for an
account. Every page has a limit, every list of results a bound.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.core import merkle, policy
from orchestrator.core.codec import decode_lead, decode_opening, decode_rules
from orchestrator.core.contract import Contract
from orchestrator.core.decide import Opening
from orchestrator.core.entry import Entry, ascii_word, decode
from orchestrator.core.errors import DomainError, LogError, ProofError
from orchestrator.core.merkle import CompactRange, leaf_hash, node_hash
from orchestrator.core.policy import Policy
from orchestrator.core.world import Lead, Surface, World
from orchestrator.storage.database import Database, Row, Session

PAGE_ENTRIES = 5_000
MAX_PAGE = 10_000
TILE_HASHES = 256


class Checkpoint(NamedTuple):
    """The log at one size: its root, our clock then, and the publisher's EIP-712 signature."""

    size: int
    root: bytes
    time_ms: int
    signature: bytes


class StoredEntry(NamedTuple):
    """An entry where it stands in the log; `data` and `opening` are the bytes that were hashed."""

    position: int
    data: bytes
    opening: bytes | None

    @property
    def entry(self) -> Entry:
        return decode(self.data)

    @property
    def opened(self) -> Opening | None:
        return None if self.opening is None else decode_opening(self.opening)


class LeadSummary(NamedTuple):
    """A lead as a list shows it: where it stands, since when, and how often it was touched."""

    lead: bytes
    surface: bytes
    state: str
    since_ms: int
    touches: int


class LogReader:
    """Reads one log. Each call is a transaction of its own; the log's past never changes."""

    def __init__(self, database: Database, log_id: bytes) -> None:
        self._database = database
        self.log_id = log_id

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one of exactly this size; None if there is none."""
        with self._database.transaction() as session:
            row = stored_checkpoint(session, self.log_id, size)
        return None if row is None else checkpoint_of(row)

    def entries(self, start: int, limit: int) -> list[StoredEntry]:
        """At most `limit` entries from position `start` on."""
        with self._database.transaction() as session:
            return read_entries(session, self.log_id, start, limit)

    def of_kind(self, kind: str, after: int, limit: int) -> list[StoredEntry]:
        """Entries of a rare kind after a position: any but touches, leads', events and outcomes."""
        return self._page("log.entries_of_kind", after, limit, kind=ascii_word(kind))

    def about(self, subject: bytes, after: int, limit: int) -> list[StoredEntry]:
        """Entries whose subject is this lead, contract, operator or policy, after a position."""
        return self._page("log.entries_about", after, limit, subject=subject)

    def outcomes_of(self, contract_id: bytes, after: int, limit: int) -> list[StoredEntry]:
        """A contract's `outcome*` entries, reversals among them, after a position."""
        return self._page("log.outcomes_of", after, limit, contract_id=contract_id)

    def inclusion_proof(self, position: int, size: int) -> list[bytes]:
        """RFC 9162's proof that the entry at `position` is in the log of `size`."""
        return self.run_proof(position, 1, size)

    def run_proof(self, first: int, count: int, size: int) -> list[bytes]:
        """The proof of the contiguous entries [first, first + count) in the log of `size`."""
        with self._database.transaction() as session:
            self._check_size(session, size)
            return merkle.run_proof(first, count, size, Tiles(session, self.log_id).node)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """RFC 9162's proof that the log of size `new` extends that of size `old`."""
        with self._database.transaction() as session:
            self._check_size(session, new)
            return merkle.consistency_proof(old, new, Tiles(session, self.log_id).node)

    def tile(self, level: int, number: int, width: int = TILE_HASHES) -> list[bytes]:
        """The first `width` hashes of a C2SP tile; its level counts eight levels of the tree."""
        with self._database.transaction() as session:
            hashes = Tiles(session, self.log_id).hashes(level, number)
        if not 0 < width <= len(hashes):
            raise LogError("tile-missing", f"tile {level}/{number} has {len(hashes)} hashes")
        return hashes[:width]

    def rehashed(self, since: int = 0) -> Checkpoint | None:
        """The newest checkpoint, its entries after the checkpoint at `since` hashed once more.

        This is what may be published: raises `LogError` unless what is stored leads to its root.
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
        """The policy of this hash, if one was ever published."""
        with self._database.transaction() as session:
            row = session.one("log.policy", log_id=self.log_id, hash=hash_)
        return None if row is None else policy.parse(row.document)

    def contract(self, contract_id: bytes) -> Contract | None:
        """A contract and its running totals."""
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
        """Contracts opened after a position, oldest first; those of one party, if it is given."""
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

    def leads(
        self, account: str, surface: bytes, limit: int, *, state: str | None = None,
        after: tuple[str, bytes] = ("", b""),
    ) -> list[LeadSummary]:  # fmt: skip
        """The leads of a surface that `account` may see, by state and pseudonym.

        The next page comes `after` the last one's (state, lead).
        """
        with self._database.transaction(account) as session:
            rows = session.all(
                "log.lead_page",
                log_id=self.log_id,
                surface=surface,
                state=state,
                after_state=after[0],
                after_lead=after[1],
                limit=_bounded(limit),
            )
        return [LeadSummary(*row) for row in rows]

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


class Tiles:
    """The hashes of the tree, read from storage a tile at a time, for as long as a session lasts.

    Leaves are hashed from the entries; the levels 8, 16, … are stored.
    """

    def __init__(self, session: Session, log_id: bytes) -> None:
        self._session = session
        self._log_id = log_id
        # By tile: its hashes, then their parents, and so on as far as they were asked for.
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    def node(self, level: int, position: int) -> bytes:
        """A `merkle.Reader`: the root of leaves [position << level, (position + 1) << level)."""
        tile_level, height = divmod(level, merkle.TILE_LEVELS)
        number, offset = divmod(position << height, TILE_HASHES)
        rows = self._rows(tile_level, number)
        while len(rows) <= height:
            halves = iter(rows[-1])
            rows.append(
                [node_hash(left, right) for left, right in zip(halves, halves, strict=False)]
            )
        found = rows[height]
        if offset >> height >= len(found):
            raise LogError("node-missing", f"the log has no node {position} at level {level}")
        return found[offset >> height]

    def hashes(self, tile_level: int, number: int) -> list[bytes]:
        """All hashes that a tile has so far."""
        return self._rows(tile_level, number)[0]

    def _rows(self, tile_level: int, number: int) -> list[list[bytes]]:
        rows = self._tiles.get((tile_level, number))
        if rows is None:
            rows = [self._read(tile_level, number)]
            self._tiles[tile_level, number] = rows
        return rows

    def _read(self, tile_level: int, number: int) -> list[bytes]:
        start = number * TILE_HASHES
        bounds = {"log_id": self._log_id, "start": start, "stop": start + TILE_HASHES}
        if tile_level == 0:
            rows = self._session.all("log.leaves", **bounds)
        else:
            level = tile_level * merkle.TILE_LEVELS
            rows = self._session.all("log.subtrees", level=level, **bounds)
        if [row.position for row in rows] != list(range(start, start + len(rows))):
            raise LogError("node-missing", f"tile {tile_level}/{number} has gaps")
        return [row.hash if tile_level else leaf_hash(row.hash) for row in rows]


# --- What is stored, as the core knows it ---------------------------------------------------------


def stored_checkpoint(session: Session, log_id: bytes, size: int | None = None) -> Row | None:
    """A checkpoint's row: the newest, or the one of this size."""
    if size is None:
        return session.one("log.last_checkpoint", log_id=log_id)
    return session.one("log.checkpoint", log_id=log_id, size=size)


def tree_of(row: Row) -> CompactRange:
    """The right edge of the tree at a checkpoint; raises `LogError` unless it leads to its root."""
    try:
        tree = CompactRange(row.size, row.nodes)
    except ProofError as error:
        raise LogError("root-mismatch", f"checkpoint {row.size}: {error.message}") from None
    if tree.root() != row.root:
        raise LogError("root-mismatch", f"checkpoint {row.size} contradicts itself")
    return tree


def checkpoint_of(row: Row) -> Checkpoint:
    """What a checkpoint's row says to the public."""
    return Checkpoint(row.size, row.root, row.time_ms, row.signature)


def contract_of(row: Row) -> Contract:
    """The contract of a row; raises `LogError` if its rules are none."""
    try:
        rules = decode_rules(row.rules)
    except DomainError as error:
        raise LogError(
            "rules-malformed", f"contract 0x{row.contract_id.hex()}: {error.message}"
        ) from None
    return Contract(
        rules,
        row.opened,
        row.closed_at_ms,
        row.earned_units,
        row.reversed_units,
        row.over_units,
        row.outcomes,
        row.reversals,
        row.last_outcome,
        row.last_reversal,
        row.last_settlement,
    )


def read_entries(session: Session, log_id: bytes, start: int, limit: int) -> list[StoredEntry]:
    """At most `limit` entries from `start` on."""
    rows = session.all("log.entries", log_id=log_id, start=start, limit=_bounded(limit))
    return [StoredEntry(*row) for row in rows]


def stored_pages(
    session: Session, log_id: bytes, start: int, stop: int
) -> Iterator[list[StoredEntry]]:
    """The entries [start, stop) a page at a time; raises `LogError` where one is missing."""
    while start < stop:
        page = read_entries(session, log_id, start, min(PAGE_ENTRIES, stop - start))
        for position, stored in enumerate(page, start):
            if stored.position != position:
                raise LogError("entry-missing", f"entry {position} is missing")
        if not page:
            raise LogError("entry-missing", f"entry {start} is missing")
        yield page
        start += len(page)


def load_policies(session: Session, log_id: bytes) -> dict[bytes, Policy]:
    """All policies by hash; raises `LogError` for one whose document has another."""
    found = {}
    for row in session.all("log.policies", log_id=log_id):
        try:
            parsed = policy.parse(row.document)
        except DomainError:
            parsed = None
        if parsed is None or parsed.hash != row.hash:
            raise LogError("policy-altered", f"policy 0x{row.hash.hex()} has another document")
        found[row.hash] = parsed
    return found


def load_world(session: Session, log_id: bytes, size: int, time_ms: int) -> World:
    """The fold as its projections keep it, without leads: these are loaded as they are needed."""
    world = World(size, time_ms, policies=load_policies(session, log_id))
    for row in session.all("log.surfaces", log_id=log_id):
        found = world.policies.get(row.policy_hash)
        if found is None:
            raise LogError("policy-missing", f"policy 0x{row.policy_hash.hex()} is not stored")
        world.surfaces[row.surface] = Surface(row.owner, found, row.version)
    for row in session.all("log.operators", log_id=log_id):
        world.operators.add(row.operator)
    for row in session.all("log.contracts", log_id=log_id):
        world.add_contract(contract_of(row))
    return world


def load_leads(
    session: Session, log_id: bytes, leads: Sequence[bytes]
) -> Iterator[tuple[bytes, Lead, int]]:
    """(pseudonym, lead, since when it is in its state) of those of these leads that are known."""
    for row in session.all("log.leads", log_id=log_id, leads=leads):
        yield row.lead, decode_lead(row.surface, row.state, row.document), row.since_ms


def touches_of(lead: Lead) -> int:
    """How often all operators together touched a lead."""
    return sum(trail.count for trail in lead.trails.values())


def _bounded(limit: int) -> int:
    return max(0, min(limit, MAX_PAGE))


def check_root(tree: CompactRange, row: Row) -> None:
    """Raise `LogError` unless this tree is the one of a checkpoint."""
    if tree.root() != row.root or list(tree.nodes) != list(row.nodes):
        raise LogError(
            "root-mismatch",
            f"what is stored hashes to 0x{tree.root().hex()}, "
            f"checkpoint {row.size} says 0x{row.root.hex()}",
        )
