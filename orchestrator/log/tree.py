"""The stored Merkle tree: checkpoints, and the hashes of its tiles."""

from typing import NamedTuple

from orchestrator.core.common.errors import LogError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.log import merkle
from orchestrator.core.log.merkle import CompactRange, leaf_hash, node_hash
from orchestrator.storage.database import Row, Session

TILE_HASHES = 256


class Checkpoint(NamedTuple):
    """The log at one size: its root, its own clock, and the publisher's EIP-712 signature."""

    size: int
    root: bytes
    time_ms: int
    signature: bytes


class Tiles:
    """The hashes of the tree, read from storage a tile at a time, for as long as a session lasts.

    Leaves are hashed from the entries; the levels 8, 16, … are stored.
    """

    def __init__(self, session: Session, log_id: bytes) -> None:
        self._session = session
        self._log_id = log_id
        # By tile: its hashes, then their parents, and so on as far as they were asked for. One
        # proof reads many nodes of few tiles.
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    def node(self, level: int, position: int) -> bytes:
        """Return the root of leaves [position << level, (position + 1) << level).

        This is a `merkle.Reader`. Raises `LogError` for a subtree that is not whole yet.
        """
        tile_level, height = divmod(level, merkle.TILE_LEVELS)
        # The node is the root of the 2^height hashes of its tile that begin at `offset`; `position`
        # counts nodes of its own level, not entries.
        number, offset = divmod(position << height, TILE_HASHES)
        rows = self._rows(tile_level, number)
        while len(rows) <= height:
            # A last hash without a neighbor has no parent yet: `zip` leaves it out.
            halves = iter(rows[-1])
            rows.append(
                [node_hash(left, right) for left, right in zip(halves, halves, strict=False)]
            )
        nodes = rows[height]
        if offset >> height >= len(nodes):
            raise LogError("node-missing", f"the log has no node {position} at level {level}")
        return nodes[offset >> height]

    def hashes(self, tile_level: int, number: int) -> list[bytes]:
        """Return all hashes that a tile has so far."""
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


def stored_checkpoint(session: Session, log_id: bytes, size: int | None = None) -> Row | None:
    """Return the row of the newest checkpoint, or of the one of this size."""
    if size is None:
        return session.one("log.last_checkpoint", log_id=log_id)
    return session.one("log.checkpoint", log_id=log_id, size=size)


def tree_of(row: Row) -> CompactRange:
    """Return the right edge of the tree at a checkpoint.

    Raises `LogError` unless it leads to the checkpoint's root.
    """
    try:
        tree = CompactRange(row.size, row.nodes)
    except ProofError as error:
        raise LogError("root-mismatch", f"checkpoint {row.size}: {error.message}") from None
    if tree.root() != row.root:
        raise LogError("root-mismatch", f"checkpoint {row.size} contradicts itself")
    return tree


def checkpoint_of(row: Row) -> Checkpoint:
    """Return the public part of a checkpoint's row."""
    return Checkpoint(row.size, row.root, row.time_ms, row.signature)


def check_root(tree: CompactRange, row: Row) -> None:
    """Raise `LogError` unless this tree is the one of a checkpoint."""
    if tree.root() != row.root or list(tree.nodes) != list(row.nodes):
        raise LogError(
            "root-mismatch",
            f"what is stored hashes to {to_hex(tree.root())}, "
            f"checkpoint {row.size} says {to_hex(row.root)}",
        )
