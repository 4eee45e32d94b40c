"""An owner, one operator, and one contract between them, moved by the pipeline of a sandbox."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from orchestrator.client.accounts import OperatorClient
from orchestrator.client.http import Client
from orchestrator.core.common.units import DAY_S
from orchestrator.core.log.entry import Entry
from orchestrator.runtime.stack import Keys, Stack
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, key_of
from orchestrator.storage.traces import Tracer
from orchestrator.verify.comparison import Comparison, replay
from tests.support.parties import Parties
from tests.support.servers import server_folder, urls_of

START_MS = 1_700_000_000_000
PRICE = 8_000_000
POLICY: dict[str, object] = {
    "initial": "visitor",
    "states": ["visitor", "trial", "active"],
    "transitions": [
        {"on": "signup", "from": ["visitor"], "to": "trial", "motion": "acquisition"},
        {"on": "activate", "from": ["trial"], "to": "active", "motion": "activation"},
    ],
    "reversals": [{"on": "refund", "of": "active"}],
    "attribution": "last_touch",
    "touches_per_lead": 50,
}


class SingleContract(Parties):
    """The parties of one contract that is open in the log; `deal` changes its terms."""

    def __init__(self, sandbox: Sandbox, **deal: object) -> None:
        super().__init__(sandbox, "trials", POLICY, ["ada"])
        self._leads = 0
        self.operator = self.operators["ada"]
        self.fund_owner(100 * PRICE)
        self.contract = self.propose(self.operator, **deal)
        self.accept()
        sandbox.pass_time(60)

    def propose(self, operator: OperatorClient, **deal: object) -> bytes:
        """Let an operator propose a contract of this price; return its id."""
        domain = self.sandbox.stack.escrow_domain
        return operator.propose(self.surface, domain, **self.deal(**deal))

    def deal(self, **changes: object) -> dict[str, object]:
        """Return the terms of a contract of this price that the surface leaves open."""
        now_s = self.sandbox.clock() // 1000
        defaults: dict[str, object] = {
            "outcome": "active",
            "unit_price_units": str(PRICE),
            "budget_units": str(100 * PRICE),
            "opens_at_s": now_s + 60,
            "deadline_s": now_s + 60 * DAY_S,
            "attribution_window_s": 7 * DAY_S,
            "grace_s": 7 * DAY_S,
        }
        return defaults | changes

    def accept(self) -> None:
        """Let the owner accept all proposals, and wait until they are open."""
        self.owner.accept_all(self.surface, self.sandbox.stack.escrow_domain)
        self.sandbox.pass_time(30)
        self.sandbox.come_to_rest()

    def convert(self, count: int, operator: OperatorClient | None = None) -> None:
        """Let new leads sign up, be touched by the operator, and become active."""
        operator = operator or self.operator
        names = [f"person-{self._leads + n}" for n in range(count)]
        self._leads += count
        self.report("signup", names)
        operator.touch(
            self.surface, operator.leads(self.surface, "trial"), "email", f"round-{self._leads}"
        )
        self.sandbox.stack.drain()
        self.report("activate", names)

    def paid_outcomes(self) -> int:
        """Return what the wallet holds and the escrow has paid, in prices; -1 for a fraction."""
        held = self.chain.balance_of(self.sandbox.token, self.operator.address)
        assert held == self.chain.paid_of(self.contract)
        return held // PRICE if held % PRICE == 0 else -1

    def settle_transactions(self) -> int:
        """Return how many transactions were to settle, in rounds or apart from the anchor."""
        keys = [sent.intent_key for sent in self.sandbox.stack.transactions()]
        return sum(key.startswith(("settle:", "round:")) for key in keys)

    def replay(self) -> Comparison:
        """Replay the log and compare it with the chain."""
        with Client(self.sandbox.url) as client:
            return replay(client, self.chain, self.sandbox.stack.site.log_id)

    def entries(self, kind: str) -> list[Entry]:
        """Return the log's entries of a kind."""
        return [stored.entry for stored in self.sandbox.stack.log.of_kind(kind, 0, 1000)]


@contextmanager
def single_contract(
    database_url: str, tracer: Tracer | None = None, /, **deal: object
) -> Iterator[SingleContract]:
    """Start a sandbox on this database, which tells this tracer, and open the contract in it."""
    with server_folder() as folder:
        databases = urls_of(database_url)
        options = SandboxOptions(
            folder, START_MS, "guarded.tallystick", databases=databases, tracer=tracer
        )
        with (
            Sandbox(options, lambda _: None) as sandbox,
            closing(SingleContract(sandbox, **deal)) as market,
        ):
            yield market


def second_stack(
    sandbox: Sandbox, database_url: str, *, evaluators: bool = True, rounds: bool = True
) -> Stack:
    """Return another orchestrator of the same log, with or without a contract beside the escrow."""
    site = sandbox.stack.site
    if not evaluators:
        site = replace(site, addresses=site.addresses._replace(evaluators=None))
    if not rounds:
        site = replace(site, addresses=site.addresses._replace(rounds=None))
    return Stack(
        databases=urls_of(database_url),
        rpc_url=sandbox.rpc_url,
        site=site,
        keys=Keys(key_of("publisher"), key_of("verifier"), key_of("relayer")),
        now_ms=sandbox.clock,
        public_url=sandbox.url,
        limits=sandbox.stack.limits,
        speed=0,
    )
