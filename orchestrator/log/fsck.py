"""Checks of the stored log: `fsck` hashes every entry again, `compare_projections` folds them all.

Neither changes anything.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.codec import decode_lead
from orchestrator.core.errors import DomainError, LogError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.kinds import KINDS, advance, kind_of
from orchestrator.core.merkle import CompactRange, leaf_hash
from orchestrator.core.opening import Record
from orchestrator.core.tally import Subject
from orchestrator.core.world import World, pair_of
from orchestrator.log.projections import (
    Sources,
    code_of,
    load_world,
    standing_of,
    subject_of,
    tally_of,
)
from orchestrator.log.reader import PAGE_ENTRIES, read_entries, stored_pages
from orchestrator.log.tree import check_root, stored_checkpoint
from orchestrator.storage.database import Database, Row, Session

# A projection that is wholly wrong differs in every row; the first ones say enough.
MAX_DIFFERENCES = 100


def fsck(database: Database, log_id: bytes, anchor: tuple[int, bytes] | None = None) -> int:
    """Hash every stored entry again, and compare openings, subtrees and every checkpoint.

    `anchor` is a (size, root) that the caller has from another source, such as the chain: without
    one, a rewritten log with rewritten checkpoints looks right. Returns the size. Raises `LogError`
    at the first contradiction.
    """
    # One snapshot: a writer that goes on beside us must not look like a contradiction.
    with database.transaction(snapshot=True) as session:
        last = stored_checkpoint(session, log_id)
        size = last.size if last else 0
        if read_entries(session, log_id, size, 1):
            raise LogError("entries-beyond", f"entries stand beyond the last checkpoint, {size}")
        if anchor is not None and anchor[0] > size:
            raise LogError("log-truncated", f"the log ends at {size}, before anchor {anchor[0]}")
        Sources(session, log_id).check_documents()
        _check_listing(session, log_id)
        tree = CompactRange()
        for row in _checkpoints(session, log_id):
            # The anchor may lie between two checkpoints, so the tree stops there on its way.
            if anchor is not None and tree.size < anchor[0] <= row.size:
                _rehash(session, log_id, tree, anchor[0])
                if tree.root() != anchor[1]:
                    raise LogError(
                        "anchor-mismatch",
                        f"the log's root at {anchor[0]} is {to_hex(tree.root())}, "
                        f"the anchored one is {to_hex(anchor[1])}",
                    )
            _rehash(session, log_id, tree, row.size)
            check_root(tree, row)
        # `_rehash` finds subtrees that are wrong or missing; the count finds those too many.
        wanted = {level: size >> level for level in range(8, 40, 8) if size >> level}
        stored = {
            row.level: row.subtrees for row in session.all("log.count_subtrees", log_id=log_id)
        }
        if stored != wanted:
            raise LogError("subtrees-count", f"stored subtrees are {stored}, not {wanted}")
    return size


def _check_listing(session: Session, log_id: bytes) -> None:
    """Raise LogError unless the entries found by kind are those that the table of kinds lists."""
    listed = [kind.word for kind in KINDS.values() if kind.listed]
    row = session.one("log.wrongly_listed", log_id=log_id, listed_kinds=listed)
    if row is not None:
        raise LogError("listing-mismatch", f"entry {row.position} is not listed as its kind is")


def _checkpoints(session: Session, log_id: bytes) -> Iterator[Row]:
    """Yield the rows of all checkpoints, by size."""
    size = 0
    while rows := session.all("log.checkpoints_after", log_id=log_id, size=size, limit=1000):
        yield from rows
        size = rows[-1].size


def _rehash(session: Session, log_id: bytes, tree: CompactRange, stop: int) -> None:
    """Extend the tree by the stored entries up to `stop`; compare openings and subtrees."""
    for page in stored_pages(session, log_id, tree.size, stop):
        leaves = []
        for stored in page:
            leaves.append(leaf_hash(stored.data))
            try:
                entry = stored.entry
                fits = kind_of(entry).fits(entry, stored.opened)
            except DomainError as error:
                raise LogError(
                    "entry-malformed", f"entry {stored.position}: {error.message}"
                ) from None
            if not fits:
                raise LogError(
                    "opening-mismatch", f"entry {stored.position} does not commit to its opening"
                )
        for subtree in tree.extend(leaves):
            rows = session.all(
                "log.subtrees",
                log_id=log_id,
                level=subtree.level,
                start=subtree.position,
                stop=subtree.position + 1,
            )
            if [row.hash for row in rows] != [subtree.hash]:
                raise LogError(
                    "subtree-mismatch",
                    f"subtree {subtree.position} of level {subtree.level} is not what is stored",
                )


def compare_projections(database: Database, log_id: bytes) -> list[str]:
    """Fold the whole log anew and compare it with the projections. Return what differs.

    The fold holds every lead in memory. Contract rules come from the projection: entries name them
    by the digest of the terms alone. At most `MAX_DIFFERENCES` are returned.
    """
    with database.transaction(snapshot=True) as session:
        last = stored_checkpoint(session, log_id)
        if last is None:
            return []
        sources = Sources(session, log_id)
        stored = load_world(session, log_id, last.size, last.time_ms, sources)
        world = World(policies=stored.policies, settings=stored.settings, rules=dict(stored.rules))
        for page in stored_pages(session, log_id, 0, last.size):
            for item in page:
                advance(world, Record(item.entry, item.opened))
        differences = _compare(world, stored)
        differences += _compare_leads(session, log_id, world)
        differences += _compare_standings(session, log_id, world)
        differences += _compare_codes(session, log_id, world)
        differences += _compare_tallies(session, log_id, world)
    return differences[:MAX_DIFFERENCES]


def _compare(world: World, stored: World) -> list[str]:
    differences = []
    if (world.size, world.time_ms) != (stored.size, stored.time_ms):
        differences.append(f"time: {stored.time_ms} is stored, the log says {world.time_ms}")
    differences += _unequal("surface", world.surfaces, stored.surfaces)
    differences += _unequal("operator", world.operators, stored.operators)
    differences += _unequal("contract", world.contracts, stored.contracts)
    return differences


def _compare_leads(session: Session, log_id: bytes, world: World) -> list[str]:
    """Return what differs in the leads, read a page at a time; those without a row are counted."""
    differences: list[str] = []
    after = b""
    seen = 0
    while rows := session.all("log.leads_after", log_id=log_id, after=after, limit=PAGE_ENTRIES):
        page = {row.lead: row for row in rows}
        wanted = {
            name: (lead, lead.touch_count)
            for name in page
            if (lead := world.leads.get(name)) is not None
        }
        stored = {name: _stored_lead(row) for name, row in page.items()}
        differences += _unequal("lead", wanted, stored)
        seen += len(rows)
        after = rows[-1].lead
    if seen < len(world.leads):
        differences.append(f"leads: {seen} are stored, the log has {len(world.leads)}")
    return differences[:MAX_DIFFERENCES]


def _stored_lead(row: Row) -> object:
    try:
        return decode_lead(row.surface, row.state, row.since_ms, row.document), row.touches
    except LogError as error:
        return error.message


def _compare_standings(session: Session, log_id: bytes, world: World) -> list[str]:
    """Return what differs in the standings, read a page at a time."""
    differences: list[str] = []
    surface = operator = b""
    seen = 0
    while rows := session.all(
        "log.standings_after",
        log_id=log_id,
        surface=surface,
        operator=operator,
        limit=PAGE_ENTRIES,
    ):
        surface, operator = rows[-1].surface, rows[-1].operator
        stored = {pair_of(row.surface, row.operator): _stored_standing(row) for row in rows}
        wanted = {pair: world.standings.get(pair) for pair in stored}
        differences += _unequal("standing", wanted, stored)
        seen += len(rows)
    if seen != len(world.moved):
        differences.append(f"standings: {seen} are stored, the log has {len(world.moved)}")
    return differences[:MAX_DIFFERENCES]


def _stored_standing(row: Row) -> object:
    try:
        return standing_of(row)
    except LogError as error:
        return error.message


def _compare_codes(session: Session, log_id: bytes, world: World) -> list[str]:
    """Return what differs in the codes and the counts of their clicks, read a page at a time."""
    differences: list[str] = []
    after = b""
    seen = 0
    while rows := session.all("log.codes_after", log_id=log_id, after=after, limit=PAGE_ENTRIES):
        after = rows[-1].code
        stored = {row.code: (code_of(row), row.clicks, row.new_leads) for row in rows}
        wanted = {
            name: (code, code.uses, code.brought)
            for name in stored
            if (code := world.codes.get(name)) is not None
        }
        differences += _unequal("code", wanted, stored)
        seen += len(rows)
    if seen != len(world.used_codes):
        differences.append(f"codes: {seen} are stored, the log has {len(world.used_codes)}")
    return differences[:MAX_DIFFERENCES]


def _compare_tallies(session: Session, log_id: bytes, world: World) -> list[str]:
    """Return what differs in the tallies, read a page at a time."""
    differences: list[str] = []
    last = Subject(b"", b"", "")
    seen = 0
    while rows := session.all(
        "log.tallies_after", log_id=log_id, limit=PAGE_ENTRIES, **last._asdict()
    ):
        for row in rows:
            last = subject_of(row)
            stored, wanted = tally_of(row), world.tallies.get(last)
            if stored != wanted:
                differences.append(f"tally {last}: {stored} is stored, the log says {wanted}")
        del differences[MAX_DIFFERENCES:]
        seen += len(rows)
    if seen != len(world.tallies):
        differences.append(f"tallies: {seen} are stored, the log has {len(world.tallies)}")
    return differences[:MAX_DIFFERENCES]


def _unequal(what: str, wanted: dict[bytes, Any], stored: dict[bytes, Any]) -> list[str]:
    return [
        f"{what} {to_hex(name)}: {stored.get(name)} is stored, the log says {wanted.get(name)}"
        for name in wanted.keys() | stored.keys()
        if wanted.get(name) != stored.get(name)
    ][:MAX_DIFFERENCES]
