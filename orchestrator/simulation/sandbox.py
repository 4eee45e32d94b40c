"""A whole deployment on a clock that we move: for demonstrations, and for settling a history.

PostgreSQL and the chain are started in a folder and stopped again, unless others are named. One
clock gives `now` to API, sign-in and log, and the chain is set to the same second.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from eth_utils.crypto import keccak

from api.context import Limits
from orchestrator.chain.abi import Call
from orchestrator.chain.rpc import Json, quantity
from orchestrator.client.accounts import wallet
from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import ChainError
from orchestrator.core.site import Site, TokenInfo
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local, send_local
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.stack import Keys, Stack, http_server, listen

GAS_FUNDS_WEI = 10**20
MAX_STEPS_TO_REST = 50
# Nothing here is exposed to strangers, and the simulated clock refills no allowance.
_NO_LIMITS = Limits(
    account_per_s=10**6, account_burst=10**6, source_per_s=10**6, source_burst=10**6
)

Say = Callable[[str], None]


class SandboxOptions(NamedTuple):
    """What to rehearse. URLs that are None are servers of our own."""

    folder: Path
    start_ms: int
    origin: str
    fee_bps: int = 0
    database_url: str | None = None
    rpc_url: str | None = None


class SimulatedClock:
    """The clock of API, sign-in and log: UTC milliseconds, moved by hand, never back."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms

    def __call__(self) -> int:
        return self._now_ms

    def set_to(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)


def key_of(name: str) -> bytes:
    """The private key of a rehearsal's wallet. Anyone can derive it: never for real money."""
    return keccak(text=f"tallystick rehearsal: {name}")


def address_of(name: str) -> str:
    return str(wallet(key_of(name)).address)


class Sandbox:
    """A deployment on a simulated clock. `with` starts it and stops all that it started."""

    def __init__(self, plan: SandboxOptions, say: Say) -> None:
        self._exits = ExitStack()
        self.treasury = address_of("treasury")
        try:
            self._start(plan, say)
        except BaseException:
            self._exits.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def _start(self, plan: SandboxOptions, say: Say) -> None:
        if plan.rpc_url is None:
            say("starting a local chain")
            node = LocalAnvil(plan.folder / "chain", plan.start_ms // 1000)
            self.rpc_url = self._exits.enter_context(node).rpc_url
        else:
            self.rpc_url = plan.rpc_url
        self._chain_clock = LocalChainClock(self.rpc_url)
        self._exits.callback(self._chain_clock.node.close)
        # Deploying takes a few blocks, a second each; a chain much further on is another story's.
        start_s, chain_s = plan.start_ms // 1000, self._chain_clock.now_s()
        if chain_s > start_s + 3600:
            raise ChainError(
                "chain-too-late",
                f"this begins at {start_s}, but the chain is already at {chain_s}; "
                f"start anvil with --timestamp {start_s}",
            )
        database_url = plan.database_url
        if database_url is None:
            say("starting PostgreSQL")
            server = LocalPostgres(plan.folder / "postgres")
            database_url = self._exits.enter_context(server).url
        say("deploying the contracts and a test stablecoin")
        keys = Keys(key_of("publisher"), key_of("verifier"), key_of("relayer"))
        for name in (*Keys._fields, "owner", "treasury"):
            self.fund(name)
        made = deploy_local(
            self.rpc_url,
            key_of("registrant"),
            origin=plan.origin,
            publisher=address_of("publisher"),
        )
        self.token, self.stand_ins = made.token, made.stand_ins
        site = Site(
            addresses=made.addresses,
            log_id=made.log_id,
            origin=plan.origin,
            registrant=address_of("registrant"),
            verifier=address_of("verifier"),
            tokens=(TokenInfo(made.token, "TEST", 6),),
            fee_bps=plan.fee_bps,
            fee_recipient=self.treasury if plan.fee_bps else ZERO_ADDRESS,
        )
        self.clock = SimulatedClock(max(plan.start_ms, self._chain_clock.now_s() * 1000))
        sock = listen("127.0.0.1", 0)
        self._exits.callback(sock.close)
        host, port = sock.getsockname()[:2]
        self.stack = self._exits.enter_context(
            Stack(
                database_url=database_url,
                rpc_url=self.rpc_url,
                site=site,
                keys=keys,
                now_ms=self.clock,
                public_url=f"http://{host}:{port}",
                limits=_NO_LIMITS,
            )
        )
        self.stack.drain()
        self.url = self._exits.enter_context(http_server(self.stack.app, sock))

    def send(self, name: str, call: Call) -> int:
        """Send a transaction from a wallet of the rehearsal; returns the gas it used."""
        return quantity(self.transact(name, call).get("gasUsed"))

    def transact(self, name: str, call: Call) -> Mapping[str, Json]:
        """The same; returns the transaction's receipt."""
        return send_local(self._chain_clock.node, key_of(name), call.to, call.data)

    def fund(self, name: str) -> None:
        """Give a wallet of the rehearsal something to pay gas with."""
        self._chain_clock.fund(address_of(name), GAS_FUNDS_WEI)

    def pass_time(self, seconds: int) -> None:
        """Move the one clock on, and the chain with it."""
        self.clock.set_to(self.clock() + seconds * 1000)
        self._chain_clock.set_to(max(self.clock() // 1000, self._chain_clock.now_s()))

    def finalize(self) -> None:
        """Mine until what is in a block now is final."""
        self._chain_clock.finalize()

    def settle(self, key: str) -> None:
        """State all totals, and bring everything to its end on chain and back."""
        self.stack.pipeline.tick(key)
        self.stack.drain()
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Run the pipeline, mining blocks, until nothing is left to do."""
        self._chain_clock.set_to(max(self.clock() // 1000, self._chain_clock.now_s()))
        for _ in range(MAX_STEPS_TO_REST):
            self._chain_clock.finalize()
            is_moving = self.stack.pipeline.step()
            self.stack.drain()
            if not is_moving:
                return
        raise ChainError("never-settled", "the pipeline did not come to rest; see its transactions")
