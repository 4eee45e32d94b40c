"""The endorsing of statements for ERC-8183 jobs, kept for every client that needs one.

A job is completed for good, so it takes a signature under the evaluators' own EIP-712 domain.
Every statement of our verifier gets one: which of them a job waits for cannot be known.
"""

from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.core.common.errors import ReplayError
from orchestrator.log.reader import LogReader
from orchestrator.settlement.runs import neighbours
from orchestrator.settlement.troubles import kept
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import Database

STATEMENTS_PAGE = 1_000


class Endorser:
    """Signs our statements below the last final anchor, in the log's order, each once."""

    def __init__(
        self,
        database: Database,
        log: LogReader,
        chain: Chain,
        indexer: Indexer,
        verifier: Verifier,
    ) -> None:
        self._database = database
        self._log = log
        self._chain = chain
        self._indexer = indexer
        self._verifier = verifier
        # The last position that was examined; None: to be read from the database.
        self._endorsed_to: int | None = None

    def endorse(self) -> int:
        """Sign a page of statements, and return how many statements were examined."""
        domain = self._chain.evaluators_domain
        if domain is None:
            return 0
        if self._endorsed_to is None:
            with self._database.transaction() as session:
                (row,) = session.all("pipeline.endorsed", log_id=self._log.log_id)
            self._endorsed_to = row.until - 1
        page = self._log.of_kind("settlement", self._endorsed_to, STATEMENTS_PAGE)
        if not page:
            return 0
        # Only a final anchor will do: nothing here is ever signed again under another root.
        anchor = kept(lambda: self._chain.checkpoint(self._log.log_id, "finalized"))
        if anchor is None:
            anchor = self._indexer.final_anchor(self._log.log_id)
        covered = [stored for stored in page if stored.position < anchor.size]
        signer = self._verifier.address_word
        ours = [stored.position for stored in covered if stored.entry.actor == signer]
        try:
            signed = [
                (first, count, self._verifier.sign(domain, anchor.size, anchor.root, first, count))
                for first, count in neighbours(ours)
            ]
        except ReplayError as error:
            if error.code != "size-passed":
                raise
            # A round is signed before its root is anchored, so the replay may be past an anchor
            # that nothing was signed under. That of the round becomes final soon.
            return 0
        is_alone = True
        with self._database.transaction() as session:
            for first, count, signature in signed:
                is_alone = bool(
                    session.run(
                        "pipeline.endorse",
                        log_id=self._log.log_id,
                        first=first,
                        count=count,
                        size=anchor.size,
                        root=anchor.root,
                        signature=signature,
                    )
                )
                if not is_alone:
                    break  # another orchestrator has signed: go on from where it is
        if covered:
            self._endorsed_to = covered[-1].position if is_alone else None
        return len(covered)
