"""The context of every route: the database, the log, the clock and the facts of this service."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal, NamedTuple

from anyio import CapacityLimiter
from fastapi import Depends, Request

from orchestrator.core.agent_card import CardKey
from orchestrator.core.limits import SHARE, Limits
from orchestrator.core.site import Funds, TokenInfo
from orchestrator.core.sources import Source, SourcePlaces
from orchestrator.core.terms import Domain, Terms
from orchestrator.log.feed import Feed
from orchestrator.log.reader import LogReader
from orchestrator.storage.database import Database
from orchestrator.storage.listening import Bell

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


Network = IPv4Network | IPv6Network


class ServiceInfo(NamedTuple):
    """The service's public address, and its demands on terms. Addresses have checksums.

    What a request from one of the `trusted_proxies` says of where it comes from is believed.
    Webhooks may reach the `webhook_networks` although they are not of the public Internet.
    Documents of OAuth's clients may be read in the `client_networks`, which are closed otherwise.
    `lens` reads the escrow, `feedback` and `evaluators` are the contracts for ERC-8004 and
    ERC-8183, `splits` makes payees that share, where there are any. `folder` is on the disk that
    must have room. `speed` is how many seconds of the service's clock one of real time has; 0 for a
    clock that is moved by hand. `cards` signs agent cards; without it they are not signed.
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
    splits: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    webhook_networks: tuple[Network, ...] = ()
    folder: Path = Path("/")
    client_networks: tuple[Network, ...] = ()
    speed: int = 1
    cards: CardKey | None = None


class ConcurrencyLimit:
    """A limit on how many hold it at a time, of all and of one; it refuses, and never queues.

    One holds no more than its share of what is free: accounts cost nothing, and however many take
    all that they can, some places are left for the next.
    """

    def __init__(self, holders: int, of_one: int) -> None:
        self._holders = holders
        self._of_one = of_one
        self._held: Counter[str] = Counter()
        self._held_by_all = 0
        self._lock = Lock()

    def acquire(self, holder: str) -> bool:
        """Take a place for a holder and return True, or return False if none is free for it."""
        with self._lock:
            free = self._holders - self._held_by_all
            if not free or self._held[holder] >= min(self._of_one, max(1, free // SHARE)):
                return False
            self._held[holder] += 1
            self._held_by_all += 1
            return True

    def release(self, holder: str) -> None:
        with self._lock:
            self._held[holder] -= 1
            self._held_by_all -= 1
            if not self._held[holder]:
                del self._held[holder]


class SourceLimit:
    """A limit on how many a source holds at a time; it refuses, and never queues."""

    def __init__(self, most: int, wide_sources: int) -> None:
        self._places = SourcePlaces(most, wide_sources)
        self._lock = Lock()

    def acquire(self, source: Source) -> bool:
        """Take a place for a source and return True, or return False if it may have no more."""
        with self._lock:
            if self._places.full(source) is not None:
                return False
            self._places.take(source)
            return True

    def release(self, source: Source) -> None:
        with self._lock:
            self._places.leave(source)


class Reader(NamedTuple):
    """One who follows the log: where from, and as which account if it has shown a key."""

    source: Source
    account: str | None = None


class StreamPlaces:
    """The places for streams, which are held for long.

    Who shows a key needs none of the places of those who do not: these have a part of all. Either
    way a source holds only so many, and with a key an account does, too; and none holds more than
    its share of what is free.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_public = max(1, limits.streams * limits.public_streams_percent // 100)
        self._public, self._keyed = (
            SourcePlaces(limits.source_streams, limits.wide_sources) for _ in range(2)
        )
        self._accounts: Counter[str] = Counter()
        self._held_by_public = 0
        self._lock = Lock()

    def take(self, reader: Reader) -> Literal["taken", "full", "reader-full"]:
        """Take a place for a reader, if one is free."""
        with self._lock:
            free = self._limits.streams - self._held_by_public - self._accounts.total()
            places = self._keyed
            if reader.account is None:
                free = min(free, self._most_public - self._held_by_public)
                places = self._public
            if free <= 0:
                return "full"
            most = min(self._limits.account_streams, max(1, free // SHARE))
            held = 0 if reader.account is None else self._accounts[reader.account]
            if held >= most or places.full(reader.source, free) is not None:
                return "reader-full"
            places.take(reader.source)
            self._count(reader, 1)
            return "taken"

    def leave(self, reader: Reader) -> None:
        """Give a place back."""
        with self._lock:
            places = self._public if reader.account is None else self._keyed
            places.leave(reader.source)
            self._count(reader, -1)

    def _count(self, reader: Reader, more: int) -> None:
        if reader.account is None:
            self._held_by_public += more
            return
        self._accounts[reader.account] += more
        if not self._accounts[reader.account]:
            del self._accounts[reader.account]


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
    # Who waits for a decision, by account; who is answered now, by account; who reads, by source.
    waiting: ConcurrencyLimit
    feed: Feed
    bell: Bell
    streams: StreamPlaces
    replaying: CapacityLimiter
    at_once: ConcurrencyLimit
    reading: SourceLimit
    # Public reads that are under way, and touches that are being stored: few at a time, in the
    # order in which they came, so that others find the processor and the database free.
    reads: CapacityLimiter
    touches: CapacityLimiter


# Not a plain function, which FastAPI would hand to a thread.
async def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("create_app sets the service")
    return service


TheService = Annotated[Service, Depends(_service)]
