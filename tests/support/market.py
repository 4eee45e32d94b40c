"""People of one small market, who act on its contracts with the command line."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from orchestrator.cli import main as cli
from orchestrator.cli.options import NOTHING_DONE
from orchestrator.client.accounts import EventReport, Operator, Owner, wallet
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, address_of, key_of
from tests.support.servers import CHAIN_START_S, server_folder

DAY_S = 86_400
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
    "actions": {"email": 0},
    "lateness_s": DAY_S,
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
DONE, FALSE, BAD, MISSING, NOTHING = (
    cli.OK, cli.FALSE_CLAIM, cli.BAD_INPUT, cli.MISSING, NOTHING_DONE,
)  # fmt: skip


class Outcome(NamedTuple):
    """How a run of the command ended."""

    code: int
    stdout: str
    stderr: str


Run = Callable[[list[str], str], Outcome]


class Market:
    """A deployment with one surface, whose people also have the command line."""

    def __init__(self, scene: Sandbox, folder: Path, run: Run) -> None:
        self.scene, self.chain, self._folder, self._run = scene, scene.stack.chain, folder, run
        for name in ("ada", "bo", "arbiter", "stranger"):
            scene.fund(name)
        self.owner = Owner(scene.url, wallet(key_of("owner")), "owner")
        self.operators = {
            name: Operator(scene.url, wallet(key_of(name)), name) for name in ("ada", "bo")
        }
        for actor in (self.owner, *self.operators.values()):
            actor.sign_in()
        self.surface = self.owner.open_surface("shop", POLICY)
        scene.stack.drain()
        scene.send("owner", self.chain.mint(scene.token, self.owner.address, 10 * BUDGET_UNITS))
        scene.send("owner", self.chain.approve(scene.token, 10 * BUDGET_UNITS))

    def close(self) -> None:
        for actor in (self.owner, *self.operators.values()):
            actor.close()

    def open(self, name: str, **deal: object) -> bytes:
        """A contract that both have signed, open in the escrow and in the log."""
        opens_at_s = self.scene.clock() // 1000 + 3600
        found = self.operators[name].propose(
            self.surface,
            self.scene.stack.escrow_domain,
            opens_at_s=opens_at_s,
            deadline_s=opens_at_s + 10 * DAY_S,
            **{**GUARDED, "arbiter": address_of("arbiter"), **deal},
        )
        self.owner.accept_all(self.surface, self.scene.stack.escrow_domain)
        self.scene.come_to_rest()
        assert self.chain.status_of(found) == "scheduled"
        return found

    def happens(self, lead: str, *events: str) -> None:
        """The owner reports events of a lead, an hour apart."""
        for event in events:
            self.scene.pass_time(3600)
            now_ms = self.scene.clock()
            purchase = EventReport(f"{lead}-{event}-{now_ms}", lead, event, "20.00", now_ms)
            self.owner.report(self.surface, [purchase])
            self.scene.stack.drain()

    def wins(self, name: str, lead: str) -> None:
        """An operator brings a new lead to buy."""
        self.happens(lead, "signup")
        operator = self.operators[name]
        leads = operator.leads(self.surface, "trial")
        assert len(leads) == 1
        operator.touch(self.surface, leads, "email", lead)
        self.scene.stack.drain()
        self.happens(lead, "buy")

    def until(self, time_s: int) -> None:
        """Let time pass up to a second, and let the log be anchored, without statements."""
        self.scene.pass_time(time_s - self.scene.clock() // 1000)
        self.scene.come_to_rest()

    def held(self, name: str) -> int:
        return self.chain.balance_of(self.scene.token, address_of(name))

    def run(
        self, command: str, *arguments: str, by: str | None = None, say: str = "", api: str = ""
    ) -> Outcome:
        """Run the command against the servers, with the key of a person, who says this."""
        given = [
            *command.split(),
            *arguments,
            "--api",
            api or self.scene.url,
            "--rpc",
            self.scene.rpc_url,
        ]
        if by is not None:
            path = self._folder / f"{by}.key"
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(key_of(by).hex() + "\n")
            given += ["--key-file", str(path)]
        done = self._run(given, say)
        if by is not None:
            assert key_of(by).hex() not in done.stdout + done.stderr
        return done

    def refused(self, code: int, words: str, *arguments: str, **how: Any) -> None:
        """The command must end with this code and these words, and send nothing."""
        sent = self.chain.node.call("eth_blockNumber")
        done = self.run(*arguments, **how)
        assert done.code == code, done
        assert words in done.stderr, done.stderr
        assert self.chain.node.call("eth_blockNumber") == sent


@contextmanager
def tampered(
    url: str, change: Callable[[dict[str, Any]], None], about: str = "entries"
) -> Iterator[str]:
    """A server of the log that gives the real one's answers, those about something changed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urlopen(url + self.path) as answer:  # noqa: S310 - our own server
                document = json.loads(answer.read())
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
    """The command's entry point in this process, where any traceback fails the test."""

    def run_it(arguments: list[str], answer: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run_it


@pytest.fixture
def market(run: Run, tmp_path: Path) -> Iterator[Market]:
    plan_start_ms = CHAIN_START_S * 1000
    with (
        server_folder() as folder,
        Sandbox(SandboxOptions(folder, plan_start_ms, "remedies.example"), lambda _: None) as scene,
    ):
        found = Market(scene, tmp_path, run)
        try:
            yield found
        finally:
            found.close()
