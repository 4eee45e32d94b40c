"""The policies that a fold reads, by hash: all of them in a dict, or a bounded cache of them.

Anyone may open surfaces and publish policies, so a process that runs for long keeps only those it
used last, and has the others loaded again when an event or a touch needs them.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from orchestrator.core.policy import Policy

# The most bytes of documents whose policies stay in memory, where each byte takes up to nine: some
# 70 MB, for 256 policies of the largest size or ten thousand plain ones.
CACHED_BYTES = 8 * 1_048_576


class Policies(Protocol):
    """Policies by hash."""

    def __getitem__(self, hash_: bytes, /) -> Policy: ...

    def __setitem__(self, hash_: bytes, policy: Policy, /) -> None: ...


class PolicyCache:
    """Policies by hash, of which those used last are kept and the others loaded again.

    `load(hash)` returns the policy of a hash, or raises; it must know every policy that was put in
    here for as long as it may be asked for. What is kept has at most `most_bytes` of documents,
    or is the one policy that was used last.
    """

    def __init__(self, load: Callable[[bytes], Policy], most_bytes: int = CACHED_BYTES) -> None:
        self._load = load
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Policy] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, hash_: bytes) -> Policy:
        policy = self._kept.get(hash_)
        if policy is None:
            policy = self[hash_] = self._load(hash_)
        else:
            self._kept.move_to_end(hash_)
        return policy

    def __setitem__(self, hash_: bytes, policy: Policy) -> None:
        if hash_ not in self._kept:
            self._bytes += policy.document_bytes
        self._kept[hash_] = policy
        self._kept.move_to_end(hash_)
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._bytes -= forgotten.document_bytes

    def __len__(self) -> int:
        return len(self._kept)
