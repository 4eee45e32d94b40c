"""The context of every route: the database, the log, the clock and the facts of this service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import Depends, Request

from api.gathering import Gathering
from api.places import ConcurrencyLimit, CountHolders, SourceLimit, StreamPlaces, count_alone
from orchestrator.core.account.agent_card import CardKey
from orchestrator.core.common.limits import Limits
from orchestrator.core.deals.site import Funds, TokenInfo
from orchestrator.core.deals.terms import Domain, Terms
from orchestrator.log.feed import Feed
from orchestrator.log.reader import LogReader
from orchestrator.storage.allowances import Admission
from orchestrator.storage.database import Database
from orchestrator.storage.listening import Bell
from orchestrator.storage.traces import Tracer

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
    `holders` counts who holds what at a time, together with other processes if there are some.
    `tracer` is told of each request.
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
    holders: CountHolders = count_alone
    tracer: Tracer | None = None


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
    # Requests that come one by one and are taken together: each becomes an id, and whether it waits
    # since now.
    gathering: Gathering[Any, tuple[UUID, bool]]
    # Requests that are let in together.
    admissions: Gathering[Any, Admission]


def service_of(request: Request) -> Service:
    """Return the service that answers a request: for dependencies, each of which costs FastAPI."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("create_app sets the service")
    return service


# Not a plain function, which FastAPI would hand to a thread.
async def _service(request: Request) -> Service:
    return service_of(request)


TheService = Annotated[Service, Depends(_service)]
