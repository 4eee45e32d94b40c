"""The context of every route: the database, the log, the clock and the facts of this service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from orchestrator.core.site import Funds, TokenInfo
from orchestrator.core.terms import Domain, Terms
from orchestrator.core.units import DAY_MS
from orchestrator.log.reader import LogReader
from orchestrator.storage.database import Database

# (token, account) → what the account has of the token, and how much of it the escrow may take.
FundsReader = Callable[[str, str], Funds]
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
    was marked as forked, `cautions_of` what to look at before signing terms,
    `funds_of` whether an owner can pay a budget.
    """

    is_valid_signature: SignatureCheck
    agent_accounts: AgentAccounts
    forked_at_s: ForkTime
    cautions_of: Cautions
    funds_of: FundsReader


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
    operator keeps on one surface, and `memories_bytes` on all of them.
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


class ConcurrencyLimit:
    """A limit on how many hold it at a time, which refuses at once instead of queueing."""

    def __init__(self, holders: int) -> None:
        self._free = BoundedSemaphore(holders)

    def acquire(self) -> bool:
        """Take a place and return True, or return False if none is free."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        self._free.release()


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
    funds_of: FundsReader
    info: ServiceInfo
    limits: Limits
    waiting: ConcurrencyLimit


def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("create_app sets the service")
    return service


TheService = Annotated[Service, Depends(_service)]
