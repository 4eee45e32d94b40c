"""TODO."""

from typing import NamedTuple

from orchestrator.core import merkle
from orchestrator.core.errors import LogError, ProofError
from orchestrator.core.merkle import CompactRange, leaf_hash, node_hash
from orchestrator.storage.database import Row, Session

TILE_HASHES = 256


class Checkpoint(NamedTuple):
    """The log at one size: its root, our clock then, and the publisher's EIP-712 signature."""

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


def check_root(tree: CompactRange, row: Row) -> None:
    """Raise `LogError` unless this tree is the one of a checkpoint."""
    if tree.root() != row.root or list(tree.nodes) != list(row.nodes):
        raise LogError(
            "root-mismatch",
            f"what is stored hashes to 0x{tree.root().hex()}, "
            f"checkpoint {row.size} says 0x{row.root.hex()}",
        )
