"""One small market: its parties act on their contracts by the command line."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from orchestrator.cli import main as cli
from orchestrator.cli.options import NOTHING_DONE
from orchestrator.core.common.units import DAY_S
from orchestrator.core.log.bundle import read_bundle, write_bundle
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, address_of, key_of
from tests.support.parties import Parties
from tests.support.servers import CHAIN_START_S, server_folder, urls_of

PRICE_UNITS, BUDGET_UNITS = 10_000_000, 100_000_000
POLICY: dict[str, object] = {
    "initial": "new",
    "states": ["new", "trial", "paid"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
        {"on": "buy", "from": ["trial"], "to": "paid", "motion": "conversion"},
        {"on": "lapse", "from": ["paid"], "to": "trial", "motion": "activation"},
    ],
    "reversals": [{"on": "refund", "of": "paid"}],
    "attribution": "last_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}
GUARDED: dict[str, object] = {
    "outcome": "paid",
    "unit_price_units": str(PRICE_UNITS),
    "budget_units": str(BUDGET_UNITS),
    "attribution_window_s": 7 * DAY_S,
    "grace_s": 6 * DAY_S,
    "claim_period_s": 8 * DAY_S,
    "challenge_period_s": 2 * DAY_S,
    "arbitration_period_s": 2 * DAY_S,
}
# The changes that make a contract pay as soon as it is settled.
PLAIN: dict[str, object] = {
    "claim_period_s": 0,
    "challenge_period_s": 0,
    "arbitration_period_s": 0,
    "arbiter": ZERO_ADDRESS,
}
DONE, FALSE, BAD, MISSING, NOTHING = (
    cli.OK, cli.FALSE_CLAIM, cli.BAD_INPUT, cli.MISSING, NOTHING_DONE,
)  # fmt: skip


class Outcome(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str


Run = Callable[[list[str], str], Outcome]


def no_command(_arguments: list[str], _answer: str) -> Outcome:
    raise NotImplementedError("these parties do not use the command line")


class Market(Parties):
    """A deployment with one surface, whose parties also have the command line."""

    def __init__(self, sandbox: Sandbox, folder: Path, run: Run = no_command) -> None:
        self._folder, self._run = folder, run
        for name in ("ada", "bo", "arbiter", "stranger"):
            sandbox.fund(name)
        super().__init__(sandbox, "shop", POLICY, ["ada", "bo"])
        self.fund_owner(10 * BUDGET_UNITS)

    def open(self, name: str, **deal: object) -> bytes:
        """Let an operator and the owner sign a contract; return its id once it is in the log."""
        contract_id = self.propose(name, **deal)
        self.accept(contract_id)
        return contract_id

    def accept(self, contract_id: bytes) -> None:
        """Let the owner sign what is proposed; return once the contract is in the log."""
        self.owner.accept_all(self.surface, self.sandbox.stack.escrow_domain)
        self.sandbox.come_to_rest()
        assert self.chain.status_of(contract_id) == "scheduled"

    def propose(self, name: str, **deal: object) -> bytes:
        """Let an operator propose a contract that opens in an hour; return its id."""
        opens_at_s = self.sandbox.clock() // 1000 + 3600
        return self.operators[name].propose(
            self.surface,
            self.sandbox.stack.escrow_domain,
            opens_at_s=opens_at_s,
            deadline_s=opens_at_s + 10 * DAY_S,
            **{**GUARDED, "arbiter": address_of("arbiter"), **deal},
        )

    def report_hourly(self, lead: str, *events: str) -> None:
        """Let the owner report events of a lead, an hour apart."""
        for event in events:
            self.sandbox.pass_time(3600)
            self.report(event, [lead], "20.00")

    def win(self, name: str, lead: str) -> None:
        """Let an operator bring a new lead to buy."""
        self.report_hourly(lead, "signup")
        operator = self.operators[name]
        leads = operator.leads(self.surface, "trial")
        assert len(leads) == 1
        operator.touch(self.surface, leads, "email", lead)
        self.sandbox.stack.drain()
        self.report_hourly(lead, "buy")

    def advance_to(self, time_s: int) -> None:
        """Let time pass up to a second, and the log be anchored, without new statements."""
        self.sandbox.pass_time(time_s - self.sandbox.clock() // 1000)
        self.sandbox.come_to_rest()

    def balance_of(self, name: str) -> int:
        """Return the tokens that the wallet of this name holds, in base units."""
        return self.chain.balance_of(self.sandbox.token, address_of(name))

    def run(
        self, command: str, *arguments: str, by: str | None = None, say: str = "", api: str = ""
    ) -> Outcome:
        """Run a command against the servers, with a party's key and its answer on stdin."""
        line = [
            *command.split(),
            *arguments,
            "--api",
            api or self.sandbox.url,
            "--rpc",
            self.sandbox.rpc_url,
        ]
        if by is not None:
            path = self._folder / f"{by}.key"
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(key_of(by).hex() + "\n")
            line += ["--key-file", str(path)]
        done = self._run(line, say)
        if by is not None:
            assert key_of(by).hex() not in done.stdout + done.stderr
        return done

    def refused(self, code: int, text: str, *arguments: str, **options: Any) -> None:
        """Check that a command ends with this code and this text, and sends nothing."""
        block = self.chain.node.call("eth_blockNumber")
        done = self.run(*arguments, **options)
        assert done.code == code, done
        assert text in done.stderr, done.stderr
        assert self.chain.node.call("eth_blockNumber") == block


def paid_receipt(market: Market) -> dict[str, Any]:
    """Return the receipt of an outcome that was paid, once all of it is anchored."""
    contract_id = market.open("ada", **PLAIN)
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    market.win("ada", "one")
    for name in ("first", "second"):
        market.sandbox.settle(name)
        market.advance_to(market.sandbox.clock() // 1000 + 3600)
    (outcome,) = market.sandbox.stack.log.outcomes_of(contract_id, 0, 10)
    receipt: dict[str, Any] = market.owner.get(f"/v1/receipts/{outcome.position}")
    assert receipt["pending"] == []
    return receipt


@contextmanager
def tampered(url: str, change: Callable[[Any], None], about: str = "bundles") -> Iterator[str]:
    """Serve the real server's answers at a URL, with those that have `about` changed.

    Bundles are given as the list of their entries with their openings.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urlopen(url + self.path) as answer:  # noqa: S310 - our own server
                body = answer.read()
            if "/log/bundles" in self.path:
                items = list(read_bundle(body))
                if about == "bundles":
                    change(items)
                body = write_bundle(items)
            else:
                document = json.loads(body)
                if about in document:
                    change(document)
                body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command in this process; a traceback fails the test."""

    def run_it(arguments: list[str], answer: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run_it


@pytest.fixture
def market(run: Run, tmp_path: Path, database_url: str) -> Iterator[Market]:
    """A market on a chain and in a database of its own."""
    with server_folder() as folder:
        options = SandboxOptions(
            folder, CHAIN_START_S * 1000, "market.example", databases=urls_of(database_url)
        )
        with (
            Sandbox(options, lambda _: None) as sandbox,
            closing(Market(sandbox, tmp_path, run)) as market,
        ):
            yield market
