"""The roots of a log that the chain is known to hold, for a database to be compared with."""

from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.indexer import stored_anchor
from orchestrator.core.common.errors import ChainError
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.storage.database import Database


class Anchors:
    """The newest anchors of a log: by the node's state, and by the events that were read last.

    The contract lets an anchor only extend the one before. So a log that has the newest has all.
    """

    def __init__(self, chain: Chain, log_id: bytes) -> None:
        self._chain = chain
        self._log_id = log_id
        self._seen: Anchor | None = None

    def known(self, database: Database) -> list[KnownRoot]:
        """Return them, after another look at the chain.

        A node that does not answer counts as if nothing had been anchored since the last look; the
        first one must succeed, or raises ChainError.
        """
        try:
            self._seen = self._chain.checkpoint(self._log_id)
        except ChainError:
            if self._seen is None:
                raise
        read = stored_anchor(database, self._chain.addresses, self._log_id)
        return [
            KnownRoot(self._seen.size, self._seen.root, "the anchor on chain"),
            KnownRoot(read.size, read.root, "an anchor that was read from the chain"),
        ]
