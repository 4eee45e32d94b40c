"""The search for claims that the log refutes, so that none is paid unexamined.

An operator can claim by proof what was stated and paid before, or what an event has taken back, and
only the log shows that. The
refuter finds it by the same rules as a stranger who runs `tallystick refute`.
"""

from collections.abc import Callable

from orchestrator.actions.contract_state import ContractState, read_contract_state
from orchestrator.actions.evidence import plan_refutations
from orchestrator.chain.abi import Call, Claimed
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.core.errors import EscrowError
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.log.reader import LogReader
from orchestrator.verify.log_copy import LogCopy

# A contract is examined when a claim in it became final, and again this often: what answers the
# claim may become final after it.
CHECK_EVERY_MS = 3_600_000


class Refuter:
    """A reader of the claims in all contracts for which `is_ours` is true."""

    def __init__(
        self,
        log: LogReader,
        chain: Chain,
        indexer: Indexer,
        now_ms: Callable[[], int],
        is_ours: Callable[[bytes], bool],
    ) -> None:
        self._log = log
        self._chain = chain
        self._indexer = indexer
        self._now_ms = now_ms
        self._is_ours = is_ours
        # The contracts with claims and when each was examined, 0 if not since the last claim; and
        # the place of the last event that was read. A restart finds all of it again.
        self._examined_ms: dict[bytes, int] = {}
        self._read_to = (-1, -1)

    def find_refutations(self) -> list[tuple[str, Call]]:
        """Return the calls that lower a contract's false claims, each with a name of its own.

        Only one contract is examined at a time: for each the log is read whole, up to the last
        anchor.
        """
        self._read_claims()
        now_ms = self._now_ms()
        due = [
            name for name, at_ms in self._examined_ms.items() if now_ms - at_ms >= CHECK_EVERY_MS
        ]
        if not due:
            return []
        contract_id = due[0]
        # It goes behind the others before anything can fail, so that it cannot block them.
        self._examined_ms[contract_id] = self._examined_ms.pop(contract_id)
        state = read_contract_state(self._chain, contract_id)
        if state.now_s > state.times.refutable_until_s:
            del self._examined_ms[contract_id]
            return []
        calls = self._refuting_calls(state) if state.claims.open else []
        self._examined_ms[contract_id] = now_ms
        return calls

    def _refuting_calls(self, state: ContractState) -> list[tuple[str, Call]]:
        name = state.contract_id
        with LogCopy(self._pages, self._chain, self._log.log_id, name) as log:
            try:
                plan = plan_refutations(self._chain, log, state)
            except EscrowError:
                return []  # the log refutes none of them
        # A claim can be lowered more than once: what it is lowered to is part of the name.
        return [
            (f"{name.hex()}:{one.facts['key']}:{one.facts['left_units']}", one.call)
            for one in plan.transactions
        ]

    def _read_claims(self) -> None:
        """Note the contracts whose claims became final since the last call, a page at a time."""
        for event in self._indexer.final(Claimed, self._read_to):
            self._read_to = event.block_number, event.log_index
            if self._is_ours(event.contract_id):
                self._examined_ms[event.contract_id] = 0

    def _pages(self, start: int, limit: int) -> list[PublicEntry]:
        return [
            PublicEntry(one.data, one.opening or b"") for one in self._log.entries(start, limit)
        ]
