"""The trees and proofs of tests/vectors/merkle.json."""

from collections.abc import Iterator

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries import kinds
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import Entry, address_word
from orchestrator.core.log.opening import ActOpening, payload_of
from scripts.vectors.made_up import Json, address, hexes, word

LEAVES = 33
LARGEST = 2**40 - 1


def table() -> Json:
    """Return roots and proofs.

    Leaf i has `leaf_data[i]`; in `uniform_*` every leaf has `leaf_data[0]`. An invalid inclusion
    shows the data of leaf `shown`, an invalid run that of [shown_first, shown_first +
    shown_count), for what the other fields claim.
    """
    data = [kinds.encode(_leaf(i)) for i in range(LEAVES)]
    hashes = [merkle.leaf_hash(leaf) for leaf in data]
    return {
        "consistency": [_consistency(hashes, *sizes) for sizes in _growths()],
        "inclusion": [_inclusion(hashes, *place) for place in _places()],
        "invalid_consistency": [case | {"reason": why} for why, case in _no_consistency(hashes)],
        "invalid_inclusion": [case | {"reason": why} for why, case in _no_inclusion(hashes)],
        "invalid_runs": [case | {"reason": why} for why, case in _no_run(hashes)],
        "leaf_data": hexes(data),
        "leaf_hashes": hexes(hashes),
        "roots": [to_hex(merkle.root_of(hashes[:size])) for size in range(LEAVES + 1)],
        "runs": [_run(hashes, *run) for run in _runs()],
        "uniform_consistency": [
            {
                "new_root": to_hex(_uniform_root(hashes[0], new)),
                "new_size": new,
                "old_root": to_hex(_uniform_root(hashes[0], old)),
                "old_size": old,
                "proof": hexes(merkle.consistency_proof(old, new, _uniform(hashes[0]))),
            }
            for old, new in ((1, LARGEST), (2**39 + 1, LARGEST), (LARGEST - 1, LARGEST))
        ],
        "uniform_runs": [
            {
                "count": count,
                "first": first,
                "proof": hexes(merkle.run_proof(first, count, size, _uniform(hashes[0]))),
                "root": to_hex(_uniform_root(hashes[0], size)),
                "size": size,
            }
            for first, count, size in (
                (0, 1, LARGEST),
                (LARGEST - 1, 1, LARGEST),
                (2**39 - 3, 7, LARGEST),
                (2**32 - 1, 2, 2**39 + 2**32),
            )
        ],
    }


def _leaf(i: int) -> Entry:
    operator, lead = address_word(address("operator")), word(f"lead {i}")
    payload = payload_of(ActOpening(word(f"request {i}"), word(f"commitment {i}")))
    time_ms = 1_760_000_000_000 + i
    return Entry("touch", word("surface"), operator, lead, "email.send", 0, time_ms, payload)


def _edges(size: int) -> list[int]:
    return sorted({0, 1, size // 2, size - 2, size - 1} & set(range(size)))


def _places() -> Iterator[tuple[int, int]]:
    for size in (*range(1, 10), 15, 16, 17, 31, 32, 33):
        for position in range(size) if size < 10 else _edges(size):
            yield position, size


def _growths() -> Iterator[tuple[int, int]]:
    for new in (*range(1, 10), 15, 16, 17, 31, 32, 33):
        for old in range(new) if new < 10 else (0, *(edge + 1 for edge in _edges(new - 1))):
            yield old, new


def _runs() -> Iterator[tuple[int, int, int]]:
    for size in range(1, 9):
        for first in range(size):
            for count in range(1, size - first + 1):
                yield first, count, size
    for size in (15, 16, 17, 31, 32, 33):
        for first in _edges(size):
            for count in sorted({1, 2, 3, size // 2, size - first - 1, size - first}):
                if 0 < count <= size - first:
                    yield first, count, size


def _reader(hashes: list[bytes]) -> merkle.Reader:
    return lambda level, position: merkle.root_of(
        hashes[position << level : (position + 1) << level]
    )


def _inclusion(hashes: list[bytes], position: int, size: int) -> Json:
    return {
        "position": position,
        "proof": hexes(merkle.inclusion_proof(position, size, _reader(hashes))),
        "root": to_hex(merkle.root_of(hashes[:size])),
        "size": size,
    }


def _run(hashes: list[bytes], first: int, count: int, size: int) -> Json:
    return {
        "count": count,
        "first": first,
        "proof": hexes(merkle.run_proof(first, count, size, _reader(hashes))),
        "root": to_hex(merkle.root_of(hashes[:size])),
        "size": size,
    }


def _consistency(hashes: list[bytes], old: int, new: int) -> Json:
    return {
        "new_root": to_hex(merkle.root_of(hashes[:new])),
        "new_size": new,
        "old_root": to_hex(merkle.root_of(hashes[:old])),
        "old_size": old,
        "proof": hexes(merkle.consistency_proof(old, new, _reader(hashes))),
    }


def _perfect(leaf: bytes) -> list[bytes]:
    """Return, by level, the roots of perfect subtrees all of whose leaves have this hash."""
    roots = [leaf]
    while len(roots) < 40:
        roots.append(merkle.node_hash(roots[-1], roots[-1]))
    return roots


def _uniform(leaf: bytes) -> merkle.Reader:
    perfect = _perfect(leaf)
    return lambda level, _: perfect[level]


def _uniform_root(leaf: bytes, size: int) -> bytes:
    nodes = [root for level, root in enumerate(_perfect(leaf)) if size >> level & 1]
    return merkle.CompactRange(size, nodes[::-1]).root()


def _swapped(proof: list[str]) -> list[str]:
    return [proof[1], proof[0], *proof[2:]]


def _no_inclusion(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _inclusion(hashes, 5, 13) | {"shown": 5}
    proof, other = good["proof"], to_hex(word("other"))
    yield "root-mismatch", good | {"shown": 6}
    yield "root-mismatch", good | {"position": 4}
    yield "root-mismatch", good | {"position": 6, "shown": 6}
    yield "root-mismatch", good | {"root": other}
    yield "root-mismatch", good | {"root": to_hex(merkle.root_of(hashes[:12]))}
    yield "root-mismatch", good | {"proof": [*proof[:-1], other]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-short", good | {"size": 17}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "proof-too-long", good | {"size": 8}
    yield "proof-too-long", good | {"position": 12, "shown": 12}
    yield "run-range", good | {"position": 13}
    yield "run-range", good | {"position": LARGEST}
    yield "run-range", good | {"size": 0}
    yield "run-range", good | {"size": 5}
    yield "size-range", good | {"size": LARGEST + 1}
    single = _inclusion(hashes, 0, 1) | {"shown": 0}
    yield "proof-too-long", single | {"proof": [other]}
    yield "root-mismatch", single | {"shown": 1}


def _no_run(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _run(hashes, 5, 6, 13)
    del good["count"]
    good |= {"shown_count": 6, "shown_first": 5}
    proof, other = good["proof"], to_hex(word("other"))
    yield "root-mismatch", good | {"shown_first": 6}
    yield "root-mismatch", good | {"root": other}
    yield "root-mismatch", good | {"proof": [other, *proof[1:]]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "root-mismatch", good | {"shown_count": 5}
    yield "proof-too-long", good | {"first": 4, "shown_first": 4, "shown_count": 7}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "run-empty", good | {"shown_count": 0}
    yield "run-range", good | {"first": 8}
    yield "run-range", good | {"first": 13}
    yield "run-range", good | {"first": LARGEST}
    yield "run-range", good | {"size": 0}
    yield "size-range", good | {"size": LARGEST + 1}
    whole = _run(hashes, 0, 13, 13)
    del whole["count"]
    whole |= {"shown_count": 13, "shown_first": 0}
    yield "root-mismatch", whole | {"shown_first": 1}
    yield "proof-too-long", whole | {"proof": [other]}
    yield "run-range", whole | {"shown_count": 14}


def _no_consistency(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _consistency(hashes, 6, 13)
    proof, other = good["proof"], to_hex(word("other"))
    rewritten = [hashes[0], word("other"), *hashes[2:]]
    yield "root-mismatch", good | {"old_root": other}
    yield "root-mismatch", good | {"new_root": other}
    yield "root-mismatch", good | {"old_root": good["new_root"], "new_root": good["old_root"]}
    yield "root-mismatch", good | {"proof": [other, *proof[1:]]}
    yield "root-mismatch", good | {"proof": [*proof[:-1], other]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "root-mismatch", _consistency(rewritten, 6, 13) | {"old_root": good["old_root"]}
    yield "proof-too-short", good | {"old_size": 7}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "proof-too-long", good | {"old_size": 8}
    yield "size-shrinks", good | {"old_size": 14}
    yield "size-range", good | {"new_size": LARGEST + 1}
    perfect = _consistency(hashes, 8, 9)
    yield "root-mismatch", perfect | {"old_root": other}
    yield "root-mismatch", perfect | {"new_root": other}
    yield "proof-too-long", perfect | {"proof": [perfect["old_root"], *perfect["proof"]]}
    first = _consistency(hashes, 0, 13)
    yield "proof-too-long", first | {"proof": [first["new_root"]]}
