"""The verifier: a stranger with a key. It signs a statement only if its own replay gives it.

It reads the public log like anyone, judges every entry from the first to the last, hashes the tree
itself, and takes the terms from the chain. What it signs binds the tree and the run of statements
in it, so whoever anchors another log has no use for the signature.
"""

from orchestrator.core.entry import address_word
from orchestrator.core.terms import (
    Domain,
    address_of,
    sign_digest,
    verified_digest,
)
from orchestrator.verify.log_replay import LogReplay


class Verifier:
    """Signs `Verified` (EIP-712) for what it has replayed. `word` is its address in the log."""

    def __init__(self, log: LogReplay, key: bytes) -> None:
        self._log = log
        self._key = key
        self.word = address_word(address_of(key))

    def __repr__(self) -> str:
        return f"Verifier(log_id=0x{self._log.log_id.hex()}, size={self._log.size})"

    def sign(self, domain: Domain, size: int, root: bytes, first: int, count: int) -> bytes:
        """The signature over the statements `[first, first + count)` of the tree (size, root).

        `domain` says who may act on it: the escrow, or the factory of ERC-8183 evaluators. Raises
        `ReplayError` for a tree that its replay does not give: then nothing is signed.
        """
        self._log.advance_to(size, root)
        digest = verified_digest(domain, self._log.log_id, size, root, first, count)
        return sign_digest(digest, self._key)
