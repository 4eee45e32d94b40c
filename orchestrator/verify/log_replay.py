"""A replay of a whole public log that can be brought up to any later size."""

from collections.abc import Callable, Iterable

from orchestrator.chain.deployment import Chain
from orchestrator.core.contract import ContractRules, rules_of
from orchestrator.core.errors import ReplayError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.kinds import encode
from orchestrator.core.merkle import CompactRange, leaf_hash
from orchestrator.core.opening import Record
from orchestrator.core.policy import Policy
from orchestrator.core.replay import Replay
from orchestrator.core.replay_rules import Documents
from orchestrator.core.terms import (
    contract_id,
)

# Gives the log's records from this position on, in order; it may stop early and be asked again.
Source = Callable[[int, int], Iterable[Record]]


# How many sizes' roots are remembered, so that a statement under an earlier anchor can be signed.
KNOWN_ROOTS = 1024


class LogReplay:
    """A replay of the whole public log `log_id` that can be brought up to any later size.

    `records(start, stop)` gives the records of those positions, `policy(hash)` a published policy;
    terms, openings and closings are the chain's.
    """

    def __init__(
        self, log_id: bytes, records: Source, policy: Callable[[bytes], Policy], chain: Chain
    ) -> None:
        self.log_id = log_id
        self._records = records
        self._chain = chain
        self._replay = Replay(
            Documents(policy, self._rules, chain.opening_number_of, chain.closed_at)
        )
        self._tree = CompactRange()
        self._roots: dict[int, bytes] = {0: self._tree.root()}

    @property
    def size(self) -> int:
        return self._replay.size

    def advance_to(self, size: int, root: bytes) -> Replay:
        """Judge all entries below `size` and check that their tree has this root.

        Raises `ReplayError` if an entry is not what the rules give, or the root is another one;
        a size that was passed already is known only if it was asked for then.
        """
        for record in self._records(self.size, size):
            self._replay.take(record)
            self._tree.append(leaf_hash(encode(record.entry)))
        if self.size < size:
            raise ReplayError(
                "entries-short", f"only {self.size} of {size} entries could be read; ask again"
            )
        if self.size == size:
            self._roots[size] = self._tree.root()
            while len(self._roots) > KNOWN_ROOTS:
                del self._roots[min(self._roots)]
        found = self._roots.get(size)
        if found is None or found != root:
            raise ReplayError(
                "root-differs",
                f"the entries give root {_hex(found)} at size {size}, "
                f"but the checkpoint says {_hex(root)}",
            )
        return self._replay

    def _rules(self, asked: bytes) -> ContractRules:
        terms = self._chain.terms_of(asked)
        if contract_id(terms, self._chain.escrow_domain) != asked:
            raise ReplayError(
                "terms-false", f"the terms given for contract 0x{asked.hex()} have another digest"
            )
        # The escrow lets only contracts on one log compete; this one would take what it never pays.
        if terms.log_id != self.log_id:
            raise ReplayError(
                "contract-elsewhere",
                f"entry {self.size} says that contract 0x{asked.hex()} was opened on this log, "
                f"0x{self.log_id.hex()}, but its terms name log 0x{terms.log_id.hex()}; "
                f"rely on nothing from this entry on",
            )
        return rules_of(terms, asked)


def _hex(root: bytes | None) -> str:
    return "unknown" if root is None else to_hex(root)
