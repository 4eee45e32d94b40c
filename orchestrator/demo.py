"""The demonstration: eighteen months of a real market, on a real chain, in a few minutes.

1. Start PostgreSQL and a local chain a day before the first purchase, deploy, open the log.
2. The owner opens a surface and lets the escrow take its budget.
3. Operators sign in, propose contracts; the owner accepts; the escrow opens them.
4. Day by day the owner reports purchases; week by week agents look and act; every four weeks the
   log is anchored, statements are settled and payouts come back into the log.
5. What is left goes back to the owner.
6. A stranger replays the public log with the terms from the chain and compares with the wallets.
7. One receipt is checked, then tampered with and refused.

Everybody speaks HTTP to the real server. One clock moves the API, the log and the chain.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from eth_utils.crypto import keccak

from api.service import Limits, TokenInfo
from orchestrator import cdnow, checks
from orchestrator.actors import Client, Operator, Owner, wallet
from orchestrator.cdnow import DAY_MS, DAY_S, OFFERS, POLICY, SURFACE_NAME
from orchestrator.chain import LocalChainClock, deploy_local, send_local
from orchestrator.contracts import Call
from orchestrator.core.errors import ChainError, ReplayError
from orchestrator.core.settlement import BPS
from orchestrator.local import LocalAnvil, LocalPostgres
from orchestrator.stack import Keys, Site, Stack, Transaction, http_server, listen

START_MS = int(datetime(1996, 12, 31, tzinfo=UTC).timestamp()) * 1000
OPENS_S = START_MS // 1000 + DAY_S
DEADLINE_S = int(datetime(1998, 7, 1, tzinfo=UTC).timestamp()) - 1
GRACE_S = 7 * DAY_S
WEEK_MS = 7 * DAY_MS
ROUND_MS = 28 * DAY_MS
ORIGIN = "demo.tallystick/cdnow"
FEE_BPS = 200
OWNER_FUNDS_UNITS = 20_000_000_000
GAS_FUNDS_WEI = 10**20
MAX_ROUNDS_TO_FINISH = 20
OPERATORS = ("ada", "bo", "cy", "dee")

Say = Callable[[str], None]


class SimulatedClock:
    """The one clock: `now_ms` for API, sign-in and log; the chain is set to the same second."""

    def __init__(self, start_ms: int, chain: LocalChainClock) -> None:
        self._now_ms = start_ms
        self._chain = chain

    def __call__(self) -> int:
        return self._now_ms

    def set_to(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)

    def sync_chain(self) -> None:
        """Let the chain's clock catch up with ours."""
        self._chain.set_to(max(self._now_ms // 1000, self._chain.now_s()))


class Earned(NamedTuple):
    """What became of one contract; amounts in token base units."""

    operator: str
    outcome: str
    contract_id: bytes
    outcomes: int
    over_units: int
    paid_units: int
    fee_units: int
    budget_units: int
    refund_units: int


@dataclass(slots=True)
class Story:
    """What the demonstration found out, for whoever prints it."""

    contracts: list[Earned] = field(default_factory=list)
    events: int = 0
    touches: int = 0
    entries: int = 0
    rounds: int = 0
    transactions: list[Transaction] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    owner_refund_units: int = 0
    replay: checks.Comparison | None = None
    receipt: dict[str, Any] | None = None
    shown: list[str] = field(default_factory=list)
    tampered: checks.Tampered | None = None
    urls: dict[str, str] = field(default_factory=dict)


def key_of(name: str) -> bytes:
    """A demonstration wallet's private key. Anyone can derive it: never for real money."""
    return keccak(text=f"tallystick demonstration: {name}")


class Demo:
    """One run. `with` starts the servers and stops them; `run` tells the story."""

    def __init__(self, folder: Path, say: Say, rpc_url: str | None, database_url: str | None):
        self._folder = folder
        self._say = say
        self._rpc_url = rpc_url
        self._database_url = database_url
        self._exits = ExitStack()
        self.story = Story()

    def __enter__(self) -> "Demo":
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    # 1

    def _start(self) -> None:
        if self._database_url is None:
            self._say("starting PostgreSQL")
            postgres = self._exits.enter_context(LocalPostgres(self._folder / "postgres"))
            self._database_url = postgres.url
        if self._rpc_url is None:
            self._say("starting a local chain, on 31 December 1996")
            node = LocalAnvil(self._folder / "chain", START_MS // 1000)
            self._rpc_url = self._exits.enter_context(node).rpc_url
        self.rpc_url = self._rpc_url
        chain_clock = LocalChainClock(self.rpc_url)
        if chain_clock.now_s() > START_MS // 1000 + DAY_S // 2:
            raise ChainError(
                "chain-too-young",
                f"the demonstration begins in 1996, but the chain is already at "
                f"{chain_clock.now_s()}; start anvil with --timestamp {START_MS // 1000}",
            )
        self.chain_clock = chain_clock
        self.clock = SimulatedClock(START_MS, chain_clock)
        self._say("deploying the contracts and a test stablecoin")
        keys = Keys(key_of("publisher"), key_of("verifier"), key_of("relayer"))
        for key in keys:
            chain_clock.fund(str(wallet(key).address), GAS_FUNDS_WEI)
        deployment = deploy_local(
            self.rpc_url,
            key_of("registrant"),
            origin=ORIGIN,
            publisher=str(wallet(keys.publisher).address),
        )
        self.token = deployment.token
        self.treasury = str(wallet(key_of("treasury")).address)
        site = Site(
            addresses=deployment.addresses,
            log_id=deployment.log_id,
            origin=ORIGIN,
            registrant=str(wallet(key_of("registrant")).address),
            tokens=(TokenInfo(self.token, "tUSD", 6),),
            fee_bps=FEE_BPS,
            fee_recipient=self.treasury,
        )
        self.clock.set_to(chain_clock.now_s() * 1000)
        sock = listen("127.0.0.1", 0)
        url = "http://{}:{}".format(*sock.getsockname()[:2])
        self.stack = self._exits.enter_context(
            Stack(
                database_url=self._database_url,
                rpc_url=self.rpc_url,
                site=site,
                keys=keys,
                now_ms=self.clock,
                public_url=url,
                limits=Limits(source_burst=100_000, source_per_s=100_000),
            )
        )
        self.stack.drain()
        self.url = self._exits.enter_context(http_server(self.stack.app, sock))
        self.owner = self._exits.enter_context(Owner(self.url, wallet(key_of("owner")), "owner"))
        self.operators = {
            name: self._exits.enter_context(Operator(self.url, wallet(key_of(name)), name))
            for name in OPERATORS
        }

    def run(self) -> Story:
        """Tell the whole story; the servers stay up until the `with` block ends."""
        self._open_surface()
        self._open_contracts()
        self._live()
        self._refund()
        self._tell()
        self._replay()
        self._check_receipt()
        return self.story

    # 2

    def _open_surface(self) -> None:
        self._say("the owner opens its surface and lets the escrow take its budget")
        self.owner.sign_in()
        self.surface = self.owner.open_surface(SURFACE_NAME, POLICY)
        self.stack.drain()
        chain = self.stack.chain
        self.chain_clock.fund(self.owner.address, GAS_FUNDS_WEI)
        self._send("owner", chain.mint(self.token, self.owner.address, OWNER_FUNDS_UNITS))
        self._send("owner", chain.approve(self.token, OWNER_FUNDS_UNITS))

    def _send(self, name: str, call: Call) -> None:
        send_local(self.chain_clock.node, key_of(name), call.to, call.data)

    # 3

    def _open_contracts(self) -> None:
        self._say(f"{len(OPERATORS)} operators propose {len(OFFERS)} contracts; the owner accepts")
        for operator in self.operators.values():
            operator.sign_in()
        self.stack.drain()
        self.offers = {
            self.operators[offer.operator].propose(
                self.surface,
                self.stack.escrow_domain,
                outcome=offer.outcome,
                repeatable=offer.repeatable,
                unit_price_units=str(offer.unit_price_units),
                revenue_share_bps=offer.revenue_share_bps,
                budget_units=str(offer.budget_units),
                opens_at_s=OPENS_S,
                deadline_s=DEADLINE_S,
                attribution_window_s=offer.window_days * DAY_S,
                grace_s=GRACE_S,
            ): offer
            for offer in OFFERS
        }
        self.owner.accept_all(self.surface, self.stack.escrow_domain)
        self._finish_intents()
        opened = len(self.stack.log.contracts(-1, len(OFFERS) + 1))
        if opened != len(OFFERS):
            raise ChainError("open-failed", f"{opened} of {len(OFFERS)} contracts were opened")

    # 4

    def _live(self) -> None:
        doing = cdnow.habits()
        next_look_ms, next_round_ms = START_MS + DAY_MS, START_MS + ROUND_MS
        for day_ms, bought in cdnow.purchases():
            while next_look_ms <= day_ms:
                self.clock.set_to(next_look_ms)
                for name, operator in self.operators.items():
                    self.story.touches += cdnow.work(
                        operator, self.surface, doing[name], next_look_ms
                    )
                self.stack.drain()
                next_look_ms += WEEK_MS
            self.clock.set_to(day_ms + DAY_MS - 1)
            self.owner.report(self.surface, bought)
            self.stack.drain()
            self.story.events += len(bought)
            if day_ms >= next_round_ms:
                self._round(day_ms)
                next_round_ms += ROUND_MS
        self.clock.set_to(DEADLINE_S * 1000)
        self._round(DEADLINE_S * 1000)

    def _round(self, at_ms: int) -> None:
        """State, anchor, settle, and bring the payouts back into the log."""
        self.story.rounds += 1
        month = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%B %Y")
        self.stack.pipeline.tick(f"{at_ms}")
        self.stack.drain()
        self._finish_intents()
        self._say(f"settled up to {month}")

    def _finish_intents(self) -> None:
        """Run the pipeline, mining blocks, until nothing is left to do."""
        self.clock.sync_chain()
        for _ in range(MAX_ROUNDS_TO_FINISH):
            is_moving = self.stack.pipeline.step()
            self.stack.drain()
            self.chain_clock.finalize()
            if not is_moving:
                return
        raise ChainError("never-settled", "the pipeline did not come to rest")

    # 5

    def _refund(self) -> None:
        self._say("the contracts have ended; what is left goes back to the owner")
        self.clock.set_to((DEADLINE_S + GRACE_S + 1) * 1000)
        self.clock.sync_chain()
        chain = self.stack.chain
        before = chain.balance_of(self.token, self.owner.address)
        for contract_id, offer in self.offers.items():
            if chain.paid_of(contract_id) < offer.budget_units:
                self._send("owner", chain.refund(contract_id))
        self._finish_intents()
        self.story.owner_refund_units = chain.balance_of(self.token, self.owner.address) - before

    def _tell(self) -> None:
        story, chain, log = self.story, self.stack.chain, self.stack.log
        newest = log.checkpoint()
        story.entries = newest.size if newest else 0
        for contract in log.contracts(-1, len(OFFERS) + 1):
            contract_id = contract.rules.contract_id
            offer, paid = self.offers[contract_id], chain.paid_of(contract_id)
            story.contracts.append(
                Earned(
                    offer.operator,
                    offer.outcome,
                    contract_id,
                    contract.outcomes,
                    contract.over_units,
                    paid,
                    paid * FEE_BPS // BPS,
                    offer.budget_units,
                    offer.budget_units - paid,
                )
            )
        story.transactions = self.stack.transactions()
        story.balances = {
            actor.address: chain.balance_of(self.token, actor.address)
            for actor in self.operators.values()
        } | {self.treasury: chain.balance_of(self.token, self.treasury)}
        story.urls = {"api": self.url, "rpc": self.rpc_url}

    # 6

    def _replay(self) -> None:
        self._say("a stranger replays the public log with the terms from the chain")
        with Client(self.url) as client:
            chain, log_id = checks.connect(client, self.rpc_url)
            try:
                found = checks.replay(client, chain, log_id)
            finally:
                chain.close()
        due = found.due_units()
        if due != self.story.balances:
            raise ReplayError(
                "payouts-differ", f"the replay gives {due}, the wallets hold {self.story.balances}"
            )
        unpaid = [c for c in found.contracts if c.paid_units != c.payable_units]
        if unpaid:
            raise ReplayError("payouts-missing", f"{len(unpaid)} contracts were not paid in full")
        self.story.replay = found

    # 7

    def _check_receipt(self) -> None:
        self._say("checking a receipt, then one that was tampered with")
        with Client(self.url) as client:
            document = client.get(f"/v1/receipts/{self._first_paid_outcome()}")
        chain = checks.receipt_chain(document, self.rpc_url)
        try:
            self.story.receipt = document
            self.story.shown = checks.check_receipt(document, chain)
            self.story.tampered = checks.tamper(document, chain)
        finally:
            chain.close()

    def _first_paid_outcome(self) -> int:
        for contract_id in self.offers:
            for stored in self.stack.log.outcomes_of(contract_id, 0, 1000):
                if stored.entry.kind == "outcome":
                    return stored.position
        raise ReplayError("nothing-paid", "no outcome was paid")
