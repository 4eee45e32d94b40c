"""A cache of policies: bounded, and the same as all of them to who reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.policies import CACHED_BYTES, PolicyCache
from orchestrator.core.policy import MAX_DOCUMENT_BYTES, Policy
from tests.support.depth import examples
from tests.support.worlds import policy

ALL = {each.hash: each for each in (policy(lateness_s=number) for number in range(1, 9))}
HASHES = list(ALL)
ONE = ALL[HASHES[0]].document_bytes


def counted() -> tuple[list[bytes], PolicyCache]:
    """Return the hashes that a cache of three policies has loaded, and the cache."""
    loaded: list[bytes] = []

    def load(hash_: bytes) -> Policy:
        loaded.append(hash_)
        return ALL[hash_]

    return loaded, PolicyCache(load, 3 * ONE)


@examples(100)
@given(st.lists(st.sampled_from(HASHES), max_size=40))
def test_every_policy_is_read_and_few_are_kept(wanted: list[bytes]) -> None:
    loaded, cache = counted()
    recent: list[bytes] = []
    for hash_ in wanted:
        known = len(loaded)
        assert cache[hash_] is ALL[hash_]
        # Loaded again unless it is among the three that were used last.
        assert (len(loaded) > known) is (hash_ not in recent)
        recent = [*(each for each in recent if each != hash_), hash_][-3:]
        assert len(cache) == len(recent)


def test_a_policy_that_is_put_in_is_not_loaded() -> None:
    loaded, cache = counted()
    cache[HASHES[0]] = cache[HASHES[0]] = ALL[HASHES[0]]
    assert cache[HASHES[0]] is ALL[HASHES[0]]
    assert loaded == []
    assert len(cache) == 1


def test_a_policy_larger_than_the_bound_is_kept_until_the_next() -> None:
    cache = PolicyCache(ALL.__getitem__, 1)
    assert cache[HASHES[0]] is ALL[HASHES[0]]
    assert cache[HASHES[1]] is ALL[HASHES[1]]
    assert len(cache) == 1


def test_what_cannot_be_loaded_is_not_kept() -> None:
    cache = PolicyCache(ALL.__getitem__)
    with pytest.raises(KeyError):
        cache[b"none"]
    assert len(cache) == 0


def test_the_largest_policies_are_a_few_hundred() -> None:
    assert CACHED_BYTES // MAX_DOCUMENT_BYTES == 256
