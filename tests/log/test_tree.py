"""The stored tree: hashes of tiles and nodes, and checkpoints that must agree with them."""

from collections.abc import Iterator

import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.log.merkle import CompactRange, leaf_hash, root_of
from orchestrator.log.tree import (
    TILE_HASHES,
    Tiles,
    check_root,
    checkpoint_of,
    stored_checkpoint,
    tree_of,
)
from orchestrator.storage.database import Session
from tests.support.ledger import Ledger, alter

# The log `full` has 312 entries: one whole tile, and 56 hashes of the next.
SIZE = 312


@pytest.fixture
def session(full: Ledger) -> Iterator[Session]:
    with full.api.transaction() as session:
        yield session


def test_every_node_is_the_root_of_its_leaves(full: Ledger, session: Session) -> None:
    leaves = [leaf_hash(stored.data) for stored in full.entries()]
    assert len(leaves) == SIZE
    tiles = Tiles(session, full.log_id)
    for level in range(9):
        for position in (0, 1, (SIZE >> level) - 1):
            if (position + 1) << level <= SIZE:
                below = leaves[position << level : (position + 1) << level]
                assert tiles.node(level, position) == root_of(below)


@pytest.mark.parametrize(("level", "position"), [(0, SIZE), (1, SIZE // 2), (8, 1), (16, 0)])
def test_a_subtree_that_is_not_whole_has_no_node(
    full: Ledger, session: Session, level: int, position: int
) -> None:
    with pytest.raises(LogError) as missing:
        Tiles(session, full.log_id).node(level, position)
    assert missing.value.code == "node-missing"


def test_a_tile_has_the_hashes_that_the_log_has_so_far(full: Ledger, session: Session) -> None:
    tiles = Tiles(session, full.log_id)
    assert [len(tiles.hashes(0, number)) for number in (0, 1, 2)] == [TILE_HASHES, 56, 0]
    assert tiles.hashes(1, 0) == [tiles.node(8, 0)]


def test_a_gap_in_a_tile_is_found(full: Ledger) -> None:
    assert alter(full, "DELETE FROM entries WHERE log_id = %s AND position = 5") == 1
    with full.api.transaction() as session, pytest.raises(LogError, match="has gaps"):
        Tiles(session, full.log_id).node(0, 7)


def test_a_checkpoint_gives_the_tree_that_leads_to_its_root(full: Ledger, session: Session) -> None:
    first, last = (
        stored_checkpoint(session, full.log_id, 6),
        stored_checkpoint(session, full.log_id),
    )
    assert first is not None
    assert last is not None
    tree = tree_of(first)
    with pytest.raises(LogError, match="hashes to"):
        check_root(tree, last)
    tree.extend(leaf_hash(stored.data) for stored in full.entries()[6:])
    check_root(tree, last)
    assert checkpoint_of(last) == full.reader.checkpoint()
    assert stored_checkpoint(session, full.log_id, 5) is None


def test_a_checkpoint_that_contradicts_itself_gives_no_tree(full: Ledger, session: Session) -> None:
    row = stored_checkpoint(session, full.log_id)
    assert row is not None
    for changes in (
        {"root": bytes(32)},
        {"nodes": row.nodes[:-1]},
        {"nodes": row.nodes[::-1]},
        {"size": SIZE + 1},
    ):
        with pytest.raises(LogError) as refused:
            tree_of(row._replace(**changes))
        assert refused.value.code == "root-mismatch"
    with pytest.raises(LogError):
        check_root(CompactRange(), row)
