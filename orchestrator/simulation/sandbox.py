"""A whole deployment on a simulated clock, for demonstrations and for settling a history.

PostgreSQL and the chain are started in a folder and stopped again, unless others are named. One
clock gives the time to API, sign-in and log, the database stamps receipts by it, and the chain is
set to the same second.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

from orchestrator.chain.abi import Call
from orchestrator.chain.rpc import Json, quantity
from orchestrator.client.accounts import wallet
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.keccak import keccak
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import TOKEN_DECIMALS
from orchestrator.core.deals.site import Site, TokenInfo
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.resource import Resource, ResourceGroup
from orchestrator.identity.registrar import registrar_thread
from orchestrator.runtime.connections import listen
from orchestrator.runtime.local_chain import (
    GAS_FUNDS_WEI,
    LocalChainClock,
    deploy_local,
    send_local,
)
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.migration import begin_log, prepare_schema
from orchestrator.runtime.serve import Progress
from orchestrator.runtime.stack import Keys, Stack, Surroundings, http_server
from orchestrator.storage.database import (
    NO_URLS,
    Connection,
    DatabaseUrls,
    Unreachable,
    connect_as_owner,
    set_clock,
)
from orchestrator.storage.traces import Tracer

MAX_STEPS_TO_REST = 50
# How far past the start a chain may be already: deploying takes a few blocks, a second each.
MAX_CHAIN_LEAD_S = 3600
# No stranger reaches the API, and a clock that stands still refills no allowance.
_NO_LIMITS = Limits(
    requests_a_minute=10**9,
    rows_a_minute=10**9,
    touches_a_day=10**9,
    events_a_day=10**9,
    acts_a_day=10**9,
    source_sign_ins_a_minute=10**9,
    source_reads_a_minute=10**9,
    source_rows_a_minute=10**9,
    waiting_requests=10**9,
    stored_bytes=10**15,
    openings_a_day=10**6,
    openings_of_all_a_day=10**6,
    opening_tokens=0,
)
# Webhooks of a sandbox go to this machine.
_AROUND = Surroundings(webhook_networks=(IPv4Network("127.0.0.0/8"),))


class SandboxOptions(NamedTuple):
    """The folder, start and log of a sandbox. Servers without URLs are started for it.

    A database that is named has all its logins, and an owner. What is signed is marked where a file
    is named for it.
    """

    folder: Path
    start_ms: int
    origin: str
    fee_bps: int = 0
    databases: DatabaseUrls = NO_URLS
    rpc_url: str | None = None
    mark: Path | None = None
    tracer: Tracer | None = None


class SimulatedClock(Resource):
    """The clock of API, sign-in and log: UTC milliseconds, moved by hand and never back.

    The database has it too, for it stamps receipts; it is set there as the owner of the schema, and
    stays set, so that no service mistakes the database for one of real time.
    """

    def __init__(self, database_url: str, start_ms: int) -> None:
        self._now_ms = -1
        self._database_url = database_url
        self._connection: Connection | None = None
        try:
            self.set_to(start_ms)
        except BaseException:
            self.close()
            raise

    def __call__(self) -> int:
        return self._now_ms

    def set_to(self, now_ms: int) -> None:
        """Move the clock on to this time, unless it is there.

        A connection that is lost is made again at the next call: the server may have been started
        again meanwhile.
        """
        if now_ms <= self._now_ms:
            return
        if self._connection is None:
            self._connection = connect_as_owner(self._database_url)
        try:
            with self._connection.transaction() as session:
                set_clock(session, now_ms)
        except Unreachable:
            self.close()
            raise
        self._now_ms = now_ms

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def key_of(name: str) -> bytes:
    """Return the private key of a sandbox wallet. Anyone can derive it: never for real money."""
    # The text is part of every address and contract id that a demonstration prints.
    return keccak(f"tallystick rehearsal: {name}".encode())


def address_of(name: str) -> str:
    return str(wallet(key_of(name)).address)


class Sandbox(ResourceGroup):
    """A deployment on a simulated clock, served over HTTP, with wallets by name.

    Closing it stops all servers that it started.
    """

    def __init__(self, options: SandboxOptions, report_progress: Progress) -> None:
        super().__init__()
        self.treasury = address_of("treasury")
        with self._opening():
            self._open_chain(options, report_progress)
            databases = options.databases
            if databases.are_unset:
                report_progress("starting PostgreSQL")
                server = LocalPostgres(options.folder / "postgres")
                databases = self._exits.enter_context(server).urls()
            report_progress("deploying the contracts and a test stablecoin")
            site = self._deploy(options)
            # Deploying moves the chain on, and the log must not be behind it.
            start_ms = max(options.start_ms, self._chain_clock.now_s() * 1000)
            prepare_schema(databases, limits=_NO_LIMITS)
            self.clock = self._exits.enter_context(SimulatedClock(databases.owners, start_ms))
            begin_log(databases, site, address_of("publisher"))
            self._serve(site, databases, _AROUND._replace(mark=options.mark, tracer=options.tracer))

    def _open_chain(self, options: SandboxOptions, report_progress: Progress) -> None:
        start_s = options.start_ms // 1000
        if options.rpc_url is None:
            report_progress("starting a local chain")
            node = LocalAnvil(options.folder / "chain", start_s)
            self.rpc_url = self._exits.enter_context(node).rpc_url
        else:
            self.rpc_url = options.rpc_url
        self._chain_clock = self._exits.enter_context(LocalChainClock(self.rpc_url))
        chain_s = self._chain_clock.now_s()
        if chain_s > start_s + MAX_CHAIN_LEAD_S:
            raise ChainError(
                "chain-too-late",
                f"this begins at {start_s}, but the chain is already at {chain_s}; "
                f"start anvil with --timestamp {start_s}",
            )

    def _deploy(self, options: SandboxOptions) -> Site:
        """Deploy the contracts, and give gas to those who send transactions from the start."""
        for name in (*Keys._fields, "owner", "treasury"):
            self.fund(name)
        deployed = deploy_local(
            self.rpc_url,
            key_of("registrant"),
            origin=options.origin,
            publisher=address_of("publisher"),
        )
        self.token, self.stand_ins = deployed.token, deployed.stand_ins
        return Site(
            addresses=deployed.addresses,
            log_id=deployed.log_id,
            origin=options.origin,
            registrant=address_of("registrant"),
            verifier=address_of("verifier"),
            tokens=(TokenInfo(deployed.token, "TEST", TOKEN_DECIMALS),),
            fee_bps=options.fee_bps,
            fee_recipient=self.treasury if options.fee_bps else ZERO_ADDRESS,
        )

    def _serve(self, site: Site, databases: DatabaseUrls, around: Surroundings) -> None:
        """Open the stack and serve its API on a free port, with the genesis in the log."""
        # The stack is told its URL when it is made, so the port is taken before.
        sock = listen("127.0.0.1", 0)
        self._exits.callback(sock.close)
        host, port = sock.getsockname()[:2]
        self.stack = self._exits.enter_context(
            Stack(
                databases=databases,
                rpc_url=self.rpc_url,
                site=site,
                keys=Keys(key_of("publisher"), key_of("verifier"), key_of("relayer")),
                now_ms=self.clock,
                speed=0,
                public_url=f"http://{host}:{port}",
                limits=_NO_LIMITS,
                around=around,
            )
        )
        self.stack.drain()
        self._exits.enter_context(registrar_thread(self.stack.registrar))
        self.url = self._exits.enter_context(http_server(self.stack.app, sock))

    def send(self, name: str, call: Call) -> int:
        """Send a transaction from the wallet of this name, and return the gas it used."""
        return quantity(self.transact(name, call).get("gasUsed"))

    def transact(self, name: str, call: Call) -> Mapping[str, Json]:
        """Send a transaction from the wallet of this name, and return its receipt."""
        return send_local(self._chain_clock.node, key_of(name), call.to, call.data)

    def fund(self, name: str) -> None:
        """Give the wallet of this name a balance to pay gas with."""
        self._chain_clock.fund(address_of(name), GAS_FUNDS_WEI)

    def pass_time(self, seconds: int) -> None:
        """Move the simulated clock on, and the chain with it."""
        self.clock.set_to(self.clock() + seconds * 1000)
        self._move_chain_on()

    def finalize(self) -> None:
        """Mine until all that was sent is final."""
        self._chain_clock.finalize()

    def settle(self, key: str) -> None:
        """State all totals, settle them on chain, and record the payouts in the log."""
        self.stack.pipeline.tick(key)
        self.stack.drain()
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Run the pipeline, mining blocks, until it has nothing left to do."""
        self._move_chain_on()
        for _ in range(MAX_STEPS_TO_REST):
            # The indexer reads final blocks alone.
            self._chain_clock.finalize()
            is_moving = self.stack.pipeline.step()
            self.stack.drain()
            if not is_moving:
                return
        raise ChainError("never-settled", "the pipeline did not come to rest; see its transactions")

    def _move_chain_on(self) -> None:
        # Every block may add a second, so the chain can be ahead; its clock never goes back.
        self._chain_clock.set_to(max(self.clock() // 1000, self._chain_clock.now_s()))
