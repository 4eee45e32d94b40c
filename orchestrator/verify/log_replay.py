"""A replay of a whole public log that can be brought up to any later size."""

from collections.abc import Callable, Iterable

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import format_second
from orchestrator.core.decisions.replay import Replay
from orchestrator.core.entries.kinds import encode
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world.contract import ContractRules, rules_of
from orchestrator.verify.resuming.kept_fold import Kept, KeptFold

# Yields the log's records of positions [start, stop) in order, or fewer of them: the rest is asked
# for again.
RecordSource = Callable[[int, int], Iterable[Record]]

# Is told how many entries of how many were taken.
Told = Callable[[int, int], None]

# The most sizes whose roots are remembered, so that a statement under an earlier anchor can be
# signed; the smallest is forgotten first.
KNOWN_ROOTS = 1024
# The entries after which a replay is kept on its way, so that its memory stays bounded.
KEEP_ENTRIES = 20_000
# What says nothing against what was kept.
_SAYS_NOTHING = ("clock-ahead", "entries-short")


def say_nothing(_done: int, _total: int) -> None:
    """Tell nothing of how far the work is."""


class LogReplay:
    """A replay of the whole public log `log_id` that can be brought up to any later size.

    `records(start, stop)` yields the records of those positions, `policy(hash)` and
    `settings(hash)` return published documents; terms, openings and closings are the chain's.
    `now_ms` is the reader's own clock, UTC milliseconds; `told` is told of each thousandth entry.
    `kept` is where the replay is kept, and from where it goes on after a restart.
    """

    def __init__(
        self,
        log_id: bytes,
        records: RecordSource,
        policy: Callable[[bytes], Policy],
        settings: Callable[[bytes], SurfaceSettings],
        chain: Chain,
        now_ms: Callable[[], int],
        told: Callable[[int], None] = lambda _: None,
        kept: KeptFold | None = None,
    ) -> None:
        self.log_id = log_id
        self._told = told
        self._records = records
        self._chain = chain
        self._now_ms = now_ms
        self._documents = Documents(
            policy, settings, self._rules, chain.opening_number_of, chain.closed_at
        )
        self._kept = kept
        self._begin()

    def _begin(self) -> None:
        """Begin where the replay was kept, or at the first entry."""
        kept = None if self._kept is None else self._kept.open(self._documents)
        world, self._tree, self._roots = kept or (None, CompactRange(), {})
        self._replay = Replay(self._documents, self._now_ms, world)
        self._roots.setdefault(self._tree.size, self._tree.root())
        self._kept_size = self.size
        # Until the log has shown that what was kept is of it.
        self._is_doubtful = self.size > 0

    @property
    def size(self) -> int:
        return self._replay.size

    def advance_to(self, size: int, root: bytes) -> Replay:
        """Judge all entries below `size` and check that their tree has this root.

        Raises `ReplayError` if an entry is not what the rules give, or the root is another one;
        or if the size was passed already and was not asked for then.
        """
        try:
            self._advance_to(size, root)
        except ReplayError as error:
            if self._kept is None or not self._is_doubtful or error.code in _SAYS_NOTHING:
                raise
            self._kept.doubt(f"what was kept does not fit the log: {error}")
            self._begin()
            self._advance_to(size, root)
        self._is_doubtful = False
        self._keep()
        return self._replay

    def _advance_to(self, size: int, root: bytes) -> None:
        # An entry is hashed only once it is judged: an error leaves the tree at the same size.
        for record in self._records(self.size, size):
            self._replay.take(record)
            self._tree.append(leaf_hash(encode(record.entry)))
            if self._kept is not None:
                self._kept.note(record.entry)
            if self.size % 1_000 == 0:
                self._told(self.size)
            if self.size - self._kept_size >= KEEP_ENTRIES:
                self._keep()
        if self.size < size:
            raise ReplayError(
                "entries-short", f"only {self.size} of {size} entries could be read; ask again"
            )
        if self.size == size:
            self._roots[size] = self._tree.root()
            while len(self._roots) > KNOWN_ROOTS:
                del self._roots[min(self._roots)]
        known = self._roots.get(size)
        if known is None:
            raise ReplayError(
                "size-passed",
                f"this replay is at size {self.size} and was not asked for size {size}, so it has "
                f"no root to compare there; ask for size {self.size} or more",
            )
        if known != root:
            raise ReplayError(
                "root-differs",
                f"the entries give root {to_hex(known)} at size {size}, but the checkpoint says "
                f"{to_hex(root)}",
            )

    def _keep(self) -> None:
        """Keep the replay, if it has moved and stands where it can be gone on with."""
        if self._kept is not None and self.size > self._kept_size and self._replay.expects_nothing:
            self._kept.save(Kept(self._replay.world, self._tree, self._roots))
            self._kept_size = self.size

    def check_unforked(self) -> None:
        """Raise ReplayError if the chain has the log marked as forked: it told two histories."""
        forked_at_s = self._chain.forked_at(self.log_id)
        if forked_at_s is not None:
            raise ReplayError(
                "log-forked",
                f"log {to_hex(self.log_id)} was marked as forked at {format_second(forked_at_s)}: "
                f"its publisher has told two histories; sign nothing for it",
            )

    def _rules(self, named: bytes) -> ContractRules:
        """Return a contract's rules by the chain's terms, which have the digest that names it."""
        terms = self._chain.terms_of(named)
        # The escrow lets only contracts on one log compete; this one would take what it never pays.
        if terms.log_id != self.log_id:
            raise ReplayError(
                "contract-elsewhere",
                f"entry {self.size} says that contract {to_hex(named)} was opened on this log, "
                f"{to_hex(self.log_id)}, but its terms name log {to_hex(terms.log_id)}; "
                f"rely on nothing from this entry on",
            )
        return rules_of(terms, named)
