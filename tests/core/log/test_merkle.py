"""The tree against published vectors, a naive tree from the RFC's words, and tampering."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import ProofError
from orchestrator.core.log import merkle
from orchestrator.core.log.merkle import CompactRange, Subtree

# The reference tree of Certificate Transparency: data of 8 leaves, the root at each size 0..8.
CT_DATA = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = [  # position, size, path
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [  # old, new, proof
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_LEAVES = [merkle.leaf_hash(data) for data in CT_DATA]
LEAVES = [merkle.leaf_hash(bytes([i])) for i in range(70)]
OTHER = merkle.leaf_hash(b"other")


# The definitions of RFC 9162, word for word and slow: MTH, PATH, PROOF and SUBPROOF.
def naive_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], known), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def naive_run(first: int, count: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the run proof by its definition over whole levels with promotion."""
    proof = []
    nodes, low, high = list(leaves), first, first + count - 1
    while len(nodes) > 1:
        if low % 2 == 1:
            proof.append(nodes[low - 1])
        if high % 2 == 0 and high + 1 < len(nodes):
            proof.append(nodes[high + 1])
        nodes = [naive_root(nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
        low, high = low // 2, high // 2
    return proof


def reader_of(leaves: Sequence[bytes]) -> merkle.Reader:
    """Return a reader of perfect subtrees of these leaves, and of nothing else."""

    def read(level: int, position: int) -> bytes:
        part = leaves[position << level : (position + 1) << level]
        assert len(part) == 1 << level, f"subtree ({level}, {position}) is not complete"
        return naive_root(part)

    return read


def hexes(hashes: Sequence[bytes]) -> list[str]:
    return [value.hex() for value in hashes]


def refused(code: str, action: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ProofError) as caught:
        action(*arguments)
    assert caught.value.code == code
    return str(caught.value)


def test_roots_are_those_published() -> None:
    assert merkle.EMPTY_ROOT.hex() == CT_ROOTS[0]
    tree = CompactRange()
    assert tree.root().hex() == CT_ROOTS[0]
    for size, leaf in enumerate(CT_LEAVES, 1):
        tree.append(leaf)
        assert tree.size == size
        assert tree.root().hex() == CT_ROOTS[size]
        assert merkle.root_of(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


@pytest.mark.parametrize(("position", "size", "path"), CT_INCLUSION)
def test_inclusion_paths_are_those_published(position: int, size: int, path: list[str]) -> None:
    proof = merkle.inclusion_proof(position, size, reader_of(CT_LEAVES[:size]))
    assert hexes(proof) == path
    root = bytes.fromhex(CT_ROOTS[size])
    merkle.verify_inclusion(CT_LEAVES[position], position, size, proof, root)


@pytest.mark.parametrize(("old", "new", "expected"), CT_CONSISTENCY)
def test_consistency_proofs_are_those_published(old: int, new: int, expected: list[str]) -> None:
    proof = merkle.consistency_proof(old, new, reader_of(CT_LEAVES[:new]))
    assert hexes(proof) == expected
    old_root, new_root = bytes.fromhex(CT_ROOTS[old]), bytes.fromhex(CT_ROOTS[new])
    merkle.verify_consistency(old, old_root, new, new_root, proof)


def test_leaf_and_node_hashes_are_apart() -> None:
    left, right = CT_LEAVES[:2]
    assert merkle.leaf_hash(b"").hex() == CT_ROOTS[1]
    assert merkle.node_hash(left, right).hex() == CT_ROOTS[2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


@pytest.mark.parametrize("size", range(1, 41))
def test_inclusion_matches_the_rfc_at_every_position(size: int) -> None:
    leaves = LEAVES[:size]
    root, read = naive_root(leaves), reader_of(leaves)
    for position in range(size):
        path = merkle.inclusion_proof(position, size, read)
        assert path == naive_path(position, leaves)
        merkle.verify_inclusion(leaves[position], position, size, path, root)


@pytest.mark.parametrize("new", range(1, 41))
def test_consistency_matches_the_rfc_at_every_size(new: int) -> None:
    leaves = LEAVES[:new]
    root, read = naive_root(leaves), reader_of(leaves)
    for old in range(1, new + 1):
        proof = merkle.consistency_proof(old, new, read)
        assert proof == naive_subproof(old, leaves, True)
        merkle.verify_consistency(old, naive_root(leaves[:old]), new, root, proof)


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33])
def test_run_proofs_match_their_definition_for_every_run(size: int) -> None:
    leaves = LEAVES[:size]
    root, read = naive_root(leaves), reader_of(leaves)
    for first in range(size):
        for count in range(1, size - first + 1):
            proof = merkle.run_proof(first, count, size, read)
            assert proof == naive_run(first, count, leaves)
            merkle.verify_run(leaves[first : first + count], first, size, proof, root)
        assert merkle.run_proof(first, 1, size, read) == naive_path(first, leaves)
    assert merkle.run_proof(0, size, size, read) == []


@st.composite
def growing(draw: st.DrawFn) -> tuple[int, list[list[bytes]]]:
    """Draw a size to start from, and batches of leaves."""
    start = draw(st.integers(0, 600))
    lengths = draw(st.lists(st.integers(0, 300), max_size=5))
    numbers = iter(range(start, start + sum(lengths)))
    return start, [[numbered(next(numbers)) for _ in range(length)] for length in lengths]


def numbered(i: int) -> bytes:
    return merkle.leaf_hash(i.to_bytes(8))


@given(growing())
def test_growth_in_any_batches_keeps_root_nodes_and_subtrees(
    case: tuple[int, list[list[bytes]]],
) -> None:
    start, batches = case
    leaves = [numbered(i) for i in range(start)]
    tree = CompactRange()
    tree.extend(leaves)
    single = CompactRange(tree.size, tree.nodes)
    for batch in batches:
        before = tree.size
        completed = tree.extend(batch)
        leaves += batch
        assert tree.size == len(leaves)
        assert tree.root() == naive_root(leaves)
        assert completed == list(completed_between(before, leaves))
        one_by_one = [subtree for leaf in batch for subtree in single.append(leaf)]
        assert sorted(one_by_one) == sorted(completed)
        assert single.nodes == tree.nodes
        restored = CompactRange(tree.size, tree.nodes)
        assert (restored.root(), restored.nodes) == (tree.root(), tree.nodes)


def completed_between(before: int, leaves: Sequence[bytes]) -> Iterator[Subtree]:
    for level in (8, 16):
        for position in range(before >> level, len(leaves) >> level):
            part = leaves[position << level : (position + 1) << level]
            yield Subtree(level, position, naive_root(part))


def test_subtrees_are_reported_up_to_level_sixteen() -> None:
    leaves = [numbered(i) for i in range(1 << 16)]
    tree = CompactRange()
    first = tree.extend(leaves[:-1])
    assert [(s.level, s.position) for s in first] == [(8, i) for i in range(255)]
    last = tree.append(leaves[-1])
    assert [(s.level, s.position) for s in last] == [(8, 255), (16, 0)]
    assert last[1].hash == tree.root() == merkle.root_of(s.hash for s in first + last[:1])


def test_a_snapshot_is_independent() -> None:
    tree = CompactRange()
    tree.extend(LEAVES[:13])
    snapshot = CompactRange(tree.size, tree.nodes)
    tree.extend(LEAVES[13:20])
    assert snapshot.size == 13
    assert snapshot.root() == naive_root(LEAVES[:13])
    snapshot.extend(LEAVES[13:20])
    assert snapshot.root() == tree.root()


@pytest.mark.parametrize(
    ("code", "size", "nodes"),
    [
        ("nodes-count", 0, [OTHER]),
        ("nodes-count", 3, [OTHER]),
        ("nodes-count", 4, [OTHER, OTHER]),
        ("hash-length", 2, [OTHER[:31]]),
        ("size-range", -1, []),
        ("size-range", 2**40, [OTHER]),
    ],
)
def test_a_range_is_restored_from_its_own_nodes_only(
    code: str, size: int, nodes: list[bytes]
) -> None:
    refused(code, CompactRange, size, nodes)


def test_a_refused_batch_changes_nothing() -> None:
    tree = CompactRange()
    tree.extend(LEAVES[:5])
    refused("hash-length", tree.extend, [LEAVES[5], b"\x01" * 31])
    refused("hash-length", tree.append, b"")
    assert (tree.size, tree.root()) == (5, naive_root(LEAVES[:5]))


def test_a_tree_stays_below_two_to_the_forty() -> None:
    size = 2**40 - 2
    tree = CompactRange(size, LEAVES[: size.bit_count()])
    refused("size-range", tree.extend, LEAVES[:2])
    tree.append(OTHER)
    assert tree.size == 2**40 - 1
    assert len(tree.nodes) == 40
    refused("size-range", tree.append, OTHER)


def test_proofs_work_at_the_largest_size() -> None:
    """All leaves are alike, so that a perfect subtree's hash follows from its level alone."""
    perfect = [OTHER]
    for _ in range(40):
        perfect.append(merkle.node_hash(perfect[-1], perfect[-1]))
    size = 2**40 - 1
    tree = CompactRange(size, perfect[39::-1])

    def read(level: int, position: int) -> bytes:
        assert (position + 1) << level <= size
        return perfect[level]

    for position in (0, 1, 2**39 - 1, 2**39, size - 2, size - 1):
        path = merkle.inclusion_proof(position, size, read)
        merkle.verify_inclusion(OTHER, position, size, path, tree.root())
    old = CompactRange(2**39 + 1, [perfect[39], perfect[0]])
    proof = merkle.consistency_proof(old.size, size, read)
    merkle.verify_consistency(old.size, old.root(), size, tree.root(), proof)
    run = merkle.run_proof(2**39 - 3, 7, size, read)
    assert len(run) <= 80
    merkle.verify_run([OTHER] * 7, 2**39 - 3, size, run, tree.root())


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.integers(1, len(LEAVES)))
    first = draw(st.integers(0, size - 1))
    return first, draw(st.integers(1, size - first)), size


def proved(run: tuple[int, int, int]) -> tuple[list[bytes], list[bytes], bytes]:
    """Return the leaves, the proof and the root of a run."""
    first, count, size = run
    leaves = LEAVES[:size]
    proof = merkle.run_proof(first, count, size, reader_of(leaves))
    return leaves[first : first + count], proof, naive_root(leaves)


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value) ^ 1 << bit % 256).to_bytes(32)


@given(runs(), st.integers(0, 10_000), st.integers(0, 255))
def test_a_tampered_run_is_refused(run: tuple[int, int, int], at: int, bit: int) -> None:
    first, count, size = run
    leaves, proof, root = proved(run)
    merkle.verify_run(leaves, first, size, proof, root)

    changed = list(leaves)
    changed[at % count] = flipped(leaves[at % count], bit)
    refused("root-mismatch", merkle.verify_run, changed, first, size, proof, root)
    refused("root-mismatch", merkle.verify_run, leaves, first, size, proof, flipped(root, bit))
    refused("proof-too-long", merkle.verify_run, leaves, first, size, [*proof, OTHER], root)
    if proof:
        changed = list(proof)
        changed[at % len(proof)] = flipped(proof[at % len(proof)], bit)
        refused("root-mismatch", merkle.verify_run, leaves, first, size, changed, root)
        refused("proof-too-short", merkle.verify_run, leaves, first, size, proof[:-1], root)


@given(runs(), st.integers(0, len(LEAVES)))
def test_a_run_is_bound_to_its_place(run: tuple[int, int, int], other: int) -> None:
    """The leaves verify at no other place of the same tree: all leaves differ."""
    first, _, size = run
    leaves, proof, root = proved(run)
    if other == first:
        other = size
    with pytest.raises(ProofError):
        merkle.verify_run(leaves, other, size, proof, root)


@given(runs(), st.integers(1, 128))
def test_a_run_neither_gains_nor_loses_leaves(run: tuple[int, int, int], size: int) -> None:
    """The size is not bound, but under any size that verifies, these are the leaves shown."""
    first = run[0]
    leaves, proof, root = proved(run)
    for forged in (leaves[:-1], [*leaves, OTHER], [OTHER, *leaves[1:]]):
        with pytest.raises(ProofError):
            merkle.verify_run(forged, first, size, proof, root)


def test_the_size_is_not_bound_by_an_inclusion_proof() -> None:
    """A root must come with its own size: this proof also verifies one size further."""
    leaves = LEAVES[:6]
    path = merkle.inclusion_proof(0, 6, reader_of(leaves))
    merkle.verify_inclusion(leaves[0], 0, 7, path, naive_root(leaves))


def test_an_interior_node_passes_as_a_leaf_of_a_smaller_tree() -> None:
    """Callers hash the data themselves: a hash alone does not say that it is a leaf's."""
    node = merkle.node_hash(CT_LEAVES[0], CT_LEAVES[1])
    sibling = merkle.node_hash(CT_LEAVES[2], CT_LEAVES[3])
    merkle.verify_inclusion(node, 0, 2, [sibling], bytes.fromhex(CT_ROOTS[4]))


@given(
    st.integers(1, len(LEAVES)),
    st.integers(1, len(LEAVES)),
    st.integers(0, 10_000),
    st.integers(0, 255),
)
def test_a_tampered_consistency_proof_is_refused(one: int, two: int, at: int, bit: int) -> None:
    old, new = min(one, two), max(one, two)
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    proof = merkle.consistency_proof(old, new, reader_of(LEAVES[:new]))
    verify = merkle.verify_consistency
    verify(old, old_root, new, new_root, proof)

    refused("root-mismatch", verify, old, flipped(old_root, bit), new, new_root, proof)
    refused("root-mismatch", verify, old, old_root, new, flipped(new_root, bit), proof)
    refused("proof-too-long", verify, old, old_root, new, new_root, [*proof, OTHER])
    if proof:
        changed = list(proof)
        changed[at % len(proof)] = flipped(proof[at % len(proof)], bit)
        refused("root-mismatch", verify, old, old_root, new, new_root, changed)
        refused("proof-too-short", verify, old, old_root, new, new_root, proof[:-1])


@given(st.integers(1, len(LEAVES) - 1), st.integers(0, 10_000), st.integers(1, len(LEAVES)))
def test_a_rewritten_log_has_no_consistency_proof(old: int, at: int, grown: int) -> None:
    """A publisher that changes an old leaf finds no proof among those an honest tree gives."""
    new = min(old + grown, len(LEAVES))
    rewritten = list(LEAVES[:new])
    rewritten[at % old] = OTHER
    proof = merkle.consistency_proof(old, new, reader_of(rewritten))
    arguments = (old, naive_root(LEAVES[:old]), new, naive_root(rewritten), proof)
    refused("root-mismatch", merkle.verify_consistency, *arguments)


def test_consistency_from_nothing_and_with_itself() -> None:
    verify, empty, root = merkle.verify_consistency, merkle.EMPTY_ROOT, naive_root(LEAVES[:3])
    assert merkle.consistency_proof(0, 0, reader_of([])) == []
    assert merkle.consistency_proof(0, 3, reader_of([])) == []
    assert merkle.consistency_proof(3, 3, reader_of([])) == []
    verify(0, empty, 0, empty, [])
    verify(0, empty, 3, root, [])
    verify(3, root, 3, root, [])
    refused("root-mismatch", verify, 0, empty, 0, root, [])
    refused("root-mismatch", verify, 0, root, 3, root, [])
    refused("root-mismatch", verify, 0, OTHER, 0, OTHER, [])
    refused("root-mismatch", verify, 3, root, 3, OTHER, [])
    refused("proof-too-long", verify, 0, empty, 3, root, [root])
    refused("proof-too-long", verify, 3, root, 3, root, [root])


@pytest.mark.parametrize(
    ("code", "first", "count", "size"),
    [
        ("run-empty", 0, 0, 4),
        ("run-empty", 0, -1, 4),
        ("run-range", 0, 1, 0),
        ("run-range", -1, 1, 4),
        ("run-range", 4, 1, 4),
        ("run-range", 3, 2, 4),
        ("run-range", 2**40, 1, 4),
        ("size-range", 0, 1, 2**40),
        ("size-range", 0, 1, -1),
    ],
)
def test_bounds_of_runs(code: str, first: int, count: int, size: int) -> None:
    refused(code, merkle.run_proof, first, count, size, reader_of(LEAVES))
    if count >= 0:
        refused(code, merkle.verify_run, LEAVES[:count], first, size, [], OTHER)
    if count == 1:
        refused(code, merkle.inclusion_proof, first, size, reader_of(LEAVES))
        refused(code, merkle.verify_inclusion, OTHER, first, size, [], OTHER)


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("size-shrinks", 4, 3),
        ("size-shrinks", 1, 0),
        ("size-range", -1, 3),
        ("size-range", 3, 2**40),
        ("size-range", 2**40, 2**40),
    ],
)
def test_bounds_of_growth(code: str, old: int, new: int) -> None:
    refused(code, merkle.consistency_proof, old, new, reader_of(LEAVES))
    refused(code, merkle.verify_consistency, old, OTHER, new, OTHER, [])


@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_hashes_have_thirty_two_bytes(length: int) -> None:
    wrong = bytes(length)
    leaves = LEAVES[:4]
    root, read = naive_root(leaves), reader_of(leaves)
    path = merkle.inclusion_proof(0, 4, read)
    refused("hash-length", merkle.verify_inclusion, wrong, 0, 4, path, root)
    refused("hash-length", merkle.verify_inclusion, wrong, 0, 1, [], wrong)
    refused("hash-length", merkle.verify_inclusion, leaves[0], 0, 4, path, wrong)
    refused("hash-length", merkle.verify_inclusion, leaves[0], 0, 4, [wrong, path[1]], root)
    refused("hash-length", merkle.verify_consistency, 2, wrong, 4, root, path)
    refused("hash-length", merkle.verify_consistency, 2, root, 4, wrong, path)
    refused("hash-length", merkle.verify_consistency, 3, root, 4, root, [wrong])
    refused("hash-length", merkle.verify_consistency, 4, wrong, 4, wrong, [])
    refused("hash-length", merkle.inclusion_proof, 0, 4, lambda *_: wrong)
