"""The verifier: an independent key that signs only statements which its own replay confirms.

It reads the public log, judges every entry from the first to the last, hashes the tree itself, and
takes the terms from the chain. Its signature binds the tree and the run of statements in it, so it
is worthless to a publisher that anchors another log. So it may sign before the tree is anchored,
too, as for a round: under any other root, or where a reorganization drops the anchor, nothing
follows from it. For a log that the chain has marked as forked it signs nothing.
"""

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import Domain, address_of, sign_digest, verified_digest
from orchestrator.core.log.entry import address_word
from orchestrator.verify.log_replay import LogReplay


class Verifier:
    """A signer of `Verified` (EIP-712) for what it has replayed.

    `address_word` is its address as entries hold it.
    """

    def __init__(self, log: LogReplay, key: bytes) -> None:
        self._log = log
        self._key = key
        self.address_word = address_word(address_of(key))

    def __repr__(self) -> str:
        return f"Verifier(log_id={to_hex(self._log.log_id)}, size={self._log.size})"

    def sign(self, domain: Domain, size: int, root: bytes, first: int, count: int) -> bytes:
        """Return the signature over the statements [first, first + count) of the tree (size, root).

        `domain` names the contract that may act on it: the escrow, or the factory of ERC-8183
        evaluators. Raises ReplayError for a tree that the replay does not give, for one with times
        ahead of our own clock, and for a forked log.
        """
        self._log.check_unforked()
        # The replay comes first: without it nothing is signed.
        self._log.advance_to(size, root)
        digest = verified_digest(domain, self._log.log_id, size, root, first, count)
        return sign_digest(digest, self._key)
