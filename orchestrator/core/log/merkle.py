"""The Merkle tree of the log: RFC 6962 hashing, RFC 9162 proofs, and proofs of runs of leaves.

`leaf = SHA-256(0x00 ‖ data)`, `node = SHA-256(0x01 ‖ left ‖ right)`; a tree of n leaves splits at
the largest power of two below n. Seen level by level: neighbours pair up, and an odd last node is
promoted unchanged.

Proofs are lists of 32-byte hashes from the leaves upwards. Inclusion and consistency proofs are
those of RFC 9162 §2.1.3 and §2.1.4. A *run proof* shows `count` contiguous leaves at once: on each
level, if the run's lowest node is a right child, its left sibling; then, if the run's highest node
is a left child with a sibling, that sibling. For one leaf that is the inclusion path.

Wherever a function takes leaf hashes, the caller must have hashed the data itself: a hash that
another party names may be an interior node. An inclusion or run proof does not bind the tree's
size, so a size has to come from where its root comes from.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import to_hex

HASH_BYTES = 32
SIZE_LIMIT = 1 << 40  # exclusive
TILE_LEVELS = 8  # a tile of C2SP tlog-tiles spans eight levels of the tree

EMPTY_ROOT = sha256(b"").digest()

# (level, position) → hash of the perfect subtree over leaves
# [position << level, (position + 1) << level).
Reader = Callable[[int, int], bytes]


class Subtree(NamedTuple):
    """The root of a perfect subtree over leaves [position << level, (position + 1) << level)."""

    level: int
    position: int
    hash: bytes


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf with this data."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node."""
    return sha256(b"\1" + left + right).digest()


class CompactRange:
    """The right edge of a growing tree: one root for each one bit of its size.

    `CompactRange(range_.size, range_.nodes)` is an independent copy at that moment.
    """

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        """Start from the nodes of a tree. Raises ProofError if they cannot be those of `size`."""
        _check_size("size", size)
        _check_hashes("nodes", nodes)
        if len(nodes) != size.bit_count():
            raise ProofError(
                "nodes-count",
                f"a tree of {size} leaves has {size.bit_count()} nodes, not {len(nodes)}",
            )
        self._size = size
        levels = [level for level in range(size.bit_length()) if size >> level & 1]
        # By level. A node at a level whose bit of the size is zero is stale and never read.
        self._pending = [b""] * SIZE_LIMIT.bit_length()
        for level, node in zip(levels, reversed(nodes), strict=True):
            self._pending[level] = node

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees that make up the tree, from left to right."""
        levels = range(self._size.bit_length() - 1, -1, -1)
        return tuple(self._pending[level] for level in levels if self._size >> level & 1)

    def root(self) -> bytes:
        """Return the root of the tree; `EMPTY_ROOT` if there is no leaf."""
        return _fold(self.nodes) if self._size else EMPTY_ROOT

    def append(self, leaf: bytes) -> list[Subtree]:
        """Append one leaf hash; return what `extend` returns."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> list[Subtree]:
        """Append leaf hashes; return the subtrees completed at levels 8, 16, 24, …, lowest first.

        These, beside the leaf hashes, are the hashes that tiles hold. Within a level they come in
        order of position. Raises ProofError, and changes nothing, for a hash that is not 32 bytes
        or a tree that would get too large.
        """
        nodes = list(leaves)
        _check_hashes("leaves", nodes)
        _check_size("size", self._size + len(nodes))
        completed = []
        level, position = 0, self._size  # of nodes[0]
        self._size += len(nodes)
        while nodes:
            if level and level % TILE_LEVELS == 0:
                completed += [Subtree(level, position + i, node) for i, node in enumerate(nodes)]
            # The first node is a right child: its left sibling has been waiting for it.
            if position & 1:
                nodes.insert(0, self._pending[level])
            # What is left without a sibling waits in its turn.
            if len(nodes) & 1:
                self._pending[level] = nodes.pop()
            nodes = _parents(nodes)
            position >>= 1
            level += 1
        return completed


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes."""
    tree = CompactRange()
    tree.extend(leaves)
    return tree.root()


def inclusion_proof(position: int, size: int, read: Reader) -> list[bytes]:
    """Return the proof that leaf `position` is in the tree of `size` leaves (RFC 9162 §2.1.3.1)."""
    return run_proof(position, 1, size, read)


def run_proof(first: int, count: int, size: int, read: Reader) -> list[bytes]:
    """Return the proof that leaves [first, first + count) are in the tree of `size` leaves."""
    _check_run(first, count, size)
    proof = []
    level, low, high, last = 0, first, first + count - 1, size - 1
    while last:
        if low & 1:
            proof.append(_node(level, low - 1, size, read))
        if not high & 1 and high < last:
            proof.append(_node(level, high + 1, size, read))
        level, low, high, last = level + 1, low >> 1, high >> 1, last >> 1
    return proof


def consistency_proof(old: int, new: int, read: Reader) -> list[bytes]:
    """Return the proof that the tree of `new` leaves extends that of `old` (RFC 9162 §2.1.4.1).

    It is empty for `old == new`, and for `old == 0`, which every tree extends.
    """
    _check_growth(old, new)
    if old in (0, new):
        return []
    level, position, last = _highest_common(old, new)
    # Where the old tree is perfect its root is the starting point, and the verifier has it.
    proof = [_node(level, position, new, read)] if position else []
    while last:
        if position & 1:
            proof.append(_node(level, position - 1, new, read))
        elif position < last:
            proof.append(_node(level, position + 1, new, read))
        level, position, last = level + 1, position >> 1, last >> 1
    return proof


def verify_inclusion(
    leaf: bytes, position: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Raise ProofError unless leaf hash `leaf` is there under `root` (RFC 9162 §2.1.3.2)."""
    verify_run((leaf,), position, size, path, root)


def verify_run(
    leaves: Sequence[bytes], first: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ProofError unless these leaf hashes stand at [first, first + len(leaves))."""
    _check_run(first, len(leaves), size)
    _check_hashes("leaves", leaves)
    _check_hashes("root", (root,))
    rest = _Proof(proof)
    nodes = list(leaves)
    low, high, last = first, first + len(leaves) - 1, size - 1
    while last:
        if low & 1:
            nodes.insert(0, rest.take())
        if not high & 1 and high < last:
            nodes.append(rest.take())
        promoted = [nodes.pop()] if len(nodes) & 1 else []
        nodes = _parents(nodes) + promoted
        low, high, last = low >> 1, high >> 1, last >> 1
    rest.check_consumed()
    _check_root("root", nodes[0], root)


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise ProofError unless the new tree extends the old one (RFC 9162 §2.1.4.2).

    From size 0 the old root must be `EMPTY_ROOT` and the proof empty; the new root is then not
    checked. Equal sizes need equal roots and an empty proof. Our own parts replay instead: this is
    for readers of `/v1/log/proofs/consistency`, and mirrors the contract.
    """
    _check_growth(old_size, new_size)
    _check_hashes("roots", (old_root, new_root))
    rest = _Proof(proof)
    if old_size == 0:
        _check_root("old_root", EMPTY_ROOT, old_root)
    if old_size == new_size:
        _check_root("new_root", old_root, new_root)
    if old_size in (0, new_size):
        rest.check_consumed()
        return
    _, position, last = _highest_common(old_size, new_size)
    old = new = rest.take() if position else old_root
    while last:
        # Both trees have what stands to the left; only the new one has anything to the right.
        if position & 1:
            sibling = rest.take()
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        elif position < last:
            new = node_hash(new, rest.take())
        position, last = position >> 1, last >> 1
    rest.check_consumed()
    _check_root("old_root", old, old_root)
    _check_root("new_root", new, new_root)


class _Proof:
    """The nodes of a proof, each taken once and in order."""

    def __init__(self, nodes: Sequence[bytes]) -> None:
        _check_hashes("proof", nodes)
        self._nodes = nodes
        self._taken = 0

    def take(self) -> bytes:
        if self._taken == len(self._nodes):
            raise ProofError("proof-too-short", f"the proof ends after {self._taken} nodes")
        self._taken += 1
        return self._nodes[self._taken - 1]

    def check_consumed(self) -> None:
        if self._taken != len(self._nodes):
            raise ProofError(
                "proof-too-long",
                f"the proof has {len(self._nodes)} nodes, of which {self._taken} are needed",
            )


def _parents(nodes: Sequence[bytes]) -> list[bytes]:
    """Return the parents of an even number of nodes."""
    # Hot: `node_hash` written out.
    halves = iter(nodes)
    return [
        sha256(b"\1" + left + right).digest() for left, right in zip(halves, halves, strict=True)
    ]


def _fold(nodes: Sequence[bytes]) -> bytes:
    """Return the root over neighboring perfect subtrees that grow smaller from left to right."""
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def _node(level: int, position: int, size: int, read: Reader) -> bytes:
    """Return the node that stands over `Subtree(level, position)` in a tree of `size` leaves.

    At the tree's right edge it spans fewer leaves than 1 << level.
    """
    start = position << level
    length = min(size - start, 1 << level)
    parts = []
    for height in range(length.bit_length() - 1, -1, -1):
        if length >> height & 1:
            parts.append(read(height, start >> height))
            start += 1 << height
    _check_hashes("reader", parts)
    return _fold(parts)


def _highest_common(old: int, new: int) -> tuple[int, int, int]:
    """Return the highest node whose last leaf is the old tree's, and the level's last position.

    As (level, position, last). It is the last of the perfect subtrees that make up the old tree,
    and the new tree has it too.
    """
    level = (old & -old).bit_length() - 1
    return level, (old - 1) >> level, (new - 1) >> level


def _check_size(name: str, size: int) -> None:
    if not 0 <= size < SIZE_LIMIT:
        raise ProofError("size-range", f"{name} {size} is not in [0, 2^40)")


def _check_run(first: int, count: int, size: int) -> None:
    _check_size("size", size)
    if count < 1:
        raise ProofError("run-empty", f"a run of {count} leaves proves nothing")
    if not 0 <= first <= size - count:
        raise ProofError(
            "run-range", f"leaves [{first}, {first + count}) are not in a tree of {size} leaves"
        )


def _check_growth(old: int, new: int) -> None:
    _check_size("old size", old)
    _check_size("new size", new)
    if old > new:
        raise ProofError("size-shrinks", f"a tree of {new} leaves cannot extend one of {old}")


def _check_hashes(name: str, hashes: Sequence[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise ProofError("hash-length", f"{name}: a hash has 32 bytes, not {len(value)}")


def _check_root(name: str, computed: bytes, claimed: bytes) -> None:
    if computed != claimed:
        raise ProofError(
            "root-mismatch", f"{name} is {to_hex(claimed)}; the proof leads to {to_hex(computed)}"
        )
