"""Looking for claims that the log refutes, so that none is paid because nobody looked.

An operator can claim by proof what was stated and paid already, and only the log tells. Whoever
runs a log has it at hand, and looks by the same rules as any stranger who runs `tallystick refute`.
"""

from collections.abc import Callable

from orchestrator.actions.contract_state import ContractState, read
from orchestrator.actions.evidence import refute
from orchestrator.chain.abi import Call, Claimed
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Watcher
from orchestrator.core.errors import EscrowError
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.log.reader import LogReader
from orchestrator.verify.log_copy import LogCopy

# A contract with claims is looked at when one was filed, and then this often: what answers a claim
# may become final after it.
LOOK_EVERY_MS = 3_600_000


class Refuter:
    """Looks at the claims in the contracts that `is_ours` says yes to."""

    def __init__(
        self,
        log: LogReader,
        chain: Chain,
        watcher: Watcher,
        now_ms: Callable[[], int],
        is_ours: Callable[[bytes], bool],
    ) -> None:
        self._log = log
        self._chain = chain
        self._watcher = watcher
        self._now_ms = now_ms
        self._is_ours = is_ours
        # Contracts with claims, and when we looked at them: 0 if not since the last was filed. And
        # how far claims were read. All of it is found again after a restart.
        self._claimed: dict[bytes, int] = {}
        self._read_to = (-1, -1)

    def look(self) -> list[tuple[str, Call]]:
        """What has unfounded claims dropped, each under a name of its own.

        At one contract at a time: the log is read whole for it, up to the last anchor.
        """
        self._read_claims()
        now_ms = self._now_ms()
        due = [name for name, at_ms in self._claimed.items() if now_ms - at_ms >= LOOK_EVERY_MS]
        if not due:
            return []
        contract_id = due[0]
        # Behind the others, should anything fail.
        self._claimed[contract_id] = self._claimed.pop(contract_id)
        found = read(self._chain, contract_id)
        if found.now_s > found.times.refutable_until_s:
            del self._claimed[contract_id]
            return []
        calls = self._calls(found) if found.claims.open else []
        self._claimed[contract_id] = now_ms
        return calls

    def _calls(self, found: ContractState) -> list[tuple[str, Call]]:
        name = found.contract_id
        with LogCopy(self._pages, self._chain, self._log.log_id, name) as book:
            try:
                brief = refute(self._chain, book, found)
            except EscrowError:
                return []  # the log speaks against none of them
        return [(f"{name.hex()}:{deed.facts['key']}", deed.call) for deed in brief.deeds]

    def _read_claims(self) -> None:
        """Take note of claims that became final, a page at a time."""
        for event in self._watcher.final(Claimed, self._read_to):
            self._read_to = event.block_number, event.log_index
            if self._is_ours(event.contract_id):
                self._claimed[event.contract_id] = 0

    def _pages(self, start: int, limit: int) -> list[PublicEntry]:
        return [PublicEntry(one.data, one.opened) for one in self._log.entries(start, limit)]
