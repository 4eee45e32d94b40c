"""The context of every route: the database, the log, the clock and the facts of this service."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Annotated, Literal, NamedTuple

from anyio import CapacityLimiter
from fastapi import Depends, Request

from orchestrator.core.site import TokenInfo
from orchestrator.core.terms import Domain, Terms
from orchestrator.core.units import DAY_MS
from orchestrator.log.feed import WINDOW_ENTRIES, Feed
from orchestrator.log.reader import LogReader
from orchestrator.storage.database import Database

# Returns when the log was marked as forked, UTC seconds, or None.
ForkTime = Callable[[], int | None]
# Returns what nothing on chain checks about terms, for their signers to look at. Raises ChainError
# while the chain cannot be asked.
Cautions = Callable[[Terms], Sequence[str]]
# (address, digest, signature) → True if the contract at that address accepts it (ERC-1271).
SignatureCheck = Callable[[str, bytes, bytes], bool]
# Returns the accounts that hold an ERC-8004 agent: its owner and its wallet; none if unknown.
AgentAccounts = Callable[[int], tuple[str, ...]]


class ChainReads(NamedTuple):
    """The questions that the API asks the chain; it is handed their answerers.

    `is_valid_signature` asks the contract at an address for its verdict on a digest's signature
    (ERC-1271, ERC-6492), `agent_accounts` who holds an ERC-8004 agent, `forked_at_s` when the log
    was marked as forked, `cautions_of` what to look at before signing terms.
    """

    is_valid_signature: SignatureCheck
    agent_accounts: AgentAccounts
    forked_at_s: ForkTime
    cautions_of: Cautions


class ServiceInfo(NamedTuple):
    """The service's public address, and its demands on terms. Addresses have checksums.

    `lens` reads the escrow, `feedback` and `evaluators` are the contracts for ERC-8004 and
    ERC-8183, where there are any.
    """

    public_url: str
    origin: str
    publisher: str
    verifier: str
    tokens: tuple[TokenInfo, ...]
    fee_bps: int
    fee_recipient: str
    lens: str | None = None
    feedback: str | None = None
    evaluators: str | None = None


class Limits(NamedTuple):
    """The allowances of one caller, and the lives of what it is given.

    A request costs 1, and a bulk request 1 more for each line. `source_*` is for callers without a
    key, by network address. `waiters` is for all callers together. `memory_*` bounds what an
    operator keeps on one surface, and `memories_bytes` on all of them. `streams` may be open at a
    time, `source_streams` of one source; of those that are behind, `replays` read at a time. One
    that takes nothing for `stream_stall_s` is left, and one of `stream_life_s` is to resume.
    """

    account_per_s: int = 5_000
    account_burst: int = 50_000
    source_per_s: int = 10
    source_burst: int = 200
    key_ttl_ms: int = 30 * DAY_MS
    nonce_ttl_ms: int = 600_000
    waiters: int = 200
    memory_entries: int = 1_000
    memory_bytes: int = 1_048_576
    memories_bytes: int = 16 * 1_048_576
    streams: int = 500
    source_streams: int = 20
    replays: int = 3
    stream_heartbeat_s: float = 15
    stream_stall_s: float = 30
    stream_life_s: float = 3_600
    stream_window: int = WINDOW_ENTRIES


class ConcurrencyLimit:
    """A limit on how many hold it at a time, which refuses at once instead of queueing."""

    def __init__(self, holders: int) -> None:
        self._free = BoundedSemaphore(holders)

    def acquire(self) -> bool:
        """Take a place and return True, or return False if none is free."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        self._free.release()


class Places:
    """The places for what callers hold for long: so many in all, and so many of one source."""

    def __init__(self, most: int, most_of_source: int) -> None:
        self._most = most
        self._most_of_source = most_of_source
        self._held: Counter[str] = Counter()
        self._lock = Lock()

    def take(self, source: str) -> Literal["taken", "full", "source-full"]:
        """Take a place for a source, if one is free."""
        with self._lock:
            if self._held[source] >= self._most_of_source:
                return "source-full"
            if self._held.total() >= self._most:
                return "full"
            self._held[source] += 1
            return "taken"

    def leave(self, source: str) -> None:
        """Give a place back."""
        with self._lock:
            self._held[source] -= 1
            if not self._held[source]:
                del self._held[source]


@dataclass(frozen=True)
class Service:
    """The context that `create_app` makes and every route takes as `TheService`."""

    database: Database
    log: LogReader
    log_id: bytes
    now_ms: Callable[[], int]
    escrow_domain: Domain
    event_log_domain: Domain
    is_valid_signature: SignatureCheck
    agent_accounts: AgentAccounts
    forked_at_s: ForkTime
    cautions_of: Cautions
    info: ServiceInfo
    limits: Limits
    waiting: ConcurrencyLimit
    feed: Feed
    streams: Places
    replaying: CapacityLimiter


def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("create_app sets the service")
    return service


TheService = Annotated[Service, Depends(_service)]
