"""Roots of a log that are known from elsewhere, and the comparison of a database with them.

A database that was restored from a back-up, a replica that was promoted before it had all, and a
database of another history all look whole from within. What the chain holds, and what was signed,
show them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.core.common.errors import LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.log.merkle import CompactRange
from orchestrator.log.tree import Tiles, stored_checkpoint
from orchestrator.storage.database import Session

_RECOVER = (
    "nothing is written, so that the log does not fork; stop all parts and run tallystick restore "
    "--source a server or a saved copy of the log (docs/operating.md, Recovery of the database)"
)


class KnownRoot(NamedTuple):
    """A root of the log at a size, and in words where it is known from."""

    size: int
    root: bytes
    source: str


def stored_nodes(session: Session, log_id: bytes, size: int) -> list[bytes]:
    """Return the nodes of the stored log at a size. Raises `LogError` if it is shorter.

    It reads at most a tile of each level, however long the log is.
    """
    tiles, end, nodes = Tiles(session, log_id), 0, []
    # A log of size n ends in one perfect subtree for each bit of n, the largest first.
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            nodes.append(tiles.node(level, end >> level))
            end += 1 << level
    return nodes


def check_known_roots(session: Session, log_id: bytes, known: Iterable[KnownRoot]) -> None:
    """Raise `LogError` unless the stored log reaches all of these roots, and has them."""
    last = stored_checkpoint(session, log_id)
    size = last.size if last else 0
    for wanted, root, source in known:
        if not wanted:
            continue  # nothing is known of an empty log but that it is one
        if wanted > size:
            raise LogError(
                "log-behind",
                f"this database ends at {size} entries, and {source} is of {wanted}: it is an "
                f"older copy of the log; {_RECOVER}",
            )
        found = CompactRange(wanted, stored_nodes(session, log_id, wanted)).root()
        if found != root:
            raise LogError(
                "log-differs",
                f"at {wanted} entries this database has root {to_hex(found)}, and {source} has "
                f"{to_hex(root)}: it holds another history; {_RECOVER}",
            )
