"""`tallystick sandbox` as a process: strangers' agents come with nothing, and are paid.

They know the URL and the name of a surface, and what the service tells.
"""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from api.mcp.catalogue import TOOLS
from orchestrator.chain.nodes.node import Node
from orchestrator.chain.rpc import quantity
from orchestrator.cli.main import main
from orchestrator.cli.sandbox.command import PORT, _settings, sandbox_limits
from orchestrator.client.accounts import OperatorClient, OwnerClient, wallet
from orchestrator.client.boards import Board
from orchestrator.client.deals import draft, propose, served_pins, served_time_s, wait_until
from orchestrator.client.http import Client as HttpClient
from orchestrator.client.stream import Stream
from orchestrator.connect.local_tools import RESERVED
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import read_limits
from orchestrator.core.common.units import BPS, DAY_S, UNITS_PER_TOKEN
from orchestrator.core.deals.split import Split
from orchestrator.runtime.connections import listen
from orchestrator.simulation.market.faucet import GRANTS, TOKENS
from orchestrator.simulation.market.life import OTHER, PARTNER, RESIDENTS, TEAM
from orchestrator.simulation.market.market import VISITORS_FRESH
from orchestrator.simulation.market.surfaces import SHOP, TRIAL
from orchestrator.simulation.market.teams import FIRST_BPS
from orchestrator.storage.local.files import closed_folder, read_key
from tests.support import schema_client
from tests.support.connecting import COMMAND, ROOT, Connector
from tests.support.depth import deep_only
from tests.support.schema_client import SchemaClient
from tests.support.servers import free_port, server_folder

MOST_S = 180
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}


class Box:
    """A sandbox in a process of its own, which stops and starts again in the same folder."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.keys, self.rpc_url = folder / "box" / "keys", ""
        self.url = f"http://127.0.0.1:{port}"
        self._command = [
            *(sys.executable, *COMMAND, "sandbox", "--json", "--home", str(folder / "box")),
            *("--port", str(port), "--seed", "test"),
        ]
        self._environment = ENVIRONMENT | {"HOME": str(folder)}

    def start(self) -> None:
        """Start it and wait until its market has begun: its customers are in the log."""
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)["said"]
            if chain := re.match(r"a local chain on (\S+),", said):
                self.rpc_url = chain[1]
            if "API on " in said:
                break
        with HttpClient(self.url) as client:
            for found in Stream(client, 0, kinds=("lead.transition",)):
                if found.position > VISITORS_FRESH:
                    break

    def stop(self) -> None:
        """Stop it; it must end with exit code 0, and soon."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Box]:
    with server_folder() as folder:
        box = Box(folder)
        try:
            box.start()
            yield box
        finally:
            box.stop()


def fresh_key(folder: Path) -> Path:
    """Return the file of a new wallet's key; it has nothing on any chain."""
    path = folder / "fresh.key"
    path.touch(0o600)
    path.write_text(bytes(Account.create().key).hex())
    return path


def surface_named(client: HttpClient, name: str) -> str:
    found: str = client.get("/v1/surfaces", name=name)["surfaces"][0]["surface"]
    return found


@pytest.fixture(scope="module")
def http_agent(
    sandbox: Box, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """The example of the documentation, at work beside the tests that follow."""
    key = fresh_key(tmp_path_factory.mktemp("agent"))
    with subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "docs/examples/agent_http.py")),
            *(sandbox.url, TRIAL.name, str(key)),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_the_readme_leads_there() -> None:
    text = (ROOT / "README.md").read_text()
    (steps,) = (part for part in text.split("\n## ") if part.startswith("From a clone"))
    assert len(steps.splitlines()) <= 32
    command = f"docs/examples/agent_http.py http://127.0.0.1:{PORT} {TRIAL.name} agent.key"
    assert f"PYTHONPATH=. .venv/bin/python {command}\n" in steps
    assert ".venv/bin/tallystick sandbox " in steps


def test_the_scripted_client_knows_no_tool() -> None:
    source = inspect.getsource(schema_client)
    known = {tool.name for tool in TOOLS} | RESERVED
    assert {word for word in re.findall(r"\w+", source) if word in known} == set()
    assert known


@pytest.mark.usefixtures("http_agent")
def test_a_client_that_goes_by_what_the_server_says_is_paid(sandbox: Box, tmp_path: Path) -> None:
    ceilings = ("--outstanding", "1000", "--a-day", "1000", "--confirm", "never")
    account = Account.create()
    connector = Connector(tmp_path, sandbox.url, account, *ceilings)
    paid = connector.run(lambda client: SchemaClient(client).follow(), "auto")
    assert paid["payee"][0] == account.address
    assert int(paid["gross_units"][0]) >= 4 * UNITS_PER_TOKEN
    # People see it as well, among the operators' records.
    front = httpx.get(f"{sandbox.url}/", trust_env=False).text
    (row,) = re.findall(f">{account.address}</a></td>(.*?)</tr>", front)
    assert re.search(r"<td>[1-9][0-9]*</td><td>0 %</td><td>[0-9]+\.[0-9]{2} TEST</td>", row), row


def test_an_agent_over_http_is_paid(http_agent: subprocess.Popen[str]) -> None:
    said, trouble = http_agent.communicate(timeout=MOST_S)
    assert http_agent.returncode == 0, trouble
    paid, receipt, why = said.splitlines()[-3:]
    assert paid.startswith("paid ")
    assert float(paid.split()[1]) >= 8
    assert (receipt.split()[1], why.split()[1]) == ("receipt", "why")


@deep_only
def test_an_owner_goes_from_nothing_to_a_payout_by_its_page(sandbox: Box, tmp_path: Path) -> None:
    page = (ROOT / "docs/owner.md").read_text()
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}

    def stands(command: str) -> list[str]:
        """Return the words of a command of the page, as it is called here."""
        assert f"{command}\n" in page or f"{command};" in page, command
        here = command.replace(f"http://127.0.0.1:{PORT}", sandbox.url)
        here = here.replace(".venv/bin/python", sys.executable)
        here = here.replace(" docs/", f" {ROOT}/docs/")
        return here.split()

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for who in ("owner", "agent"):
        path = tmp_path / f"{who}.key"
        path.touch(0o600)
        path.write_text(bytes(Account.create().key).hex())
    calls = ".venv/bin/python docs/examples/"
    mine, url = "my-trial owner.key", f"http://127.0.0.1:{PORT}"
    opened = run(stands(f"{calls}owner_open.py {url} {mine} docs/example/surface.json"))
    approve = opened.splitlines()[-1]
    shape = re.sub(r"0x[0-9a-fA-F]{40}", "0x", approve)
    assert shape in re.sub(r"0x[A-Z]+", "0x", page)
    cast = ROOT / "node_modules/.bin" / approve
    run(["bash", "-c", f"{cast} {sandbox.rpc_url}"])
    assert "ann signup done" in run(stands(f"{calls}owner.py {url} {mine} ann:signup"))
    agent = subprocess.Popen(
        stands(f"{calls}agent_http.py {url} my-trial agent.key"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with agent:
        assert agent.stdout is not None
        try:
            said = (line.split() for line in agent.stdout)
            contract = next(words[1] for words in said if words[0] == "proposed")
            assert run(stands(f"{calls}owner.py {url} {mine}")) == f"accepted {contract}\n"
            assert next(words for words in said if words[0] == "touched")[1:] == ["1", "of", "1"]
            assert "done" in run(stands(f"{calls}owner.py {url} {mine} ann:activate"))
            assert next(words for words in said if words[0] == "paid") == ["paid", "8.00"]
        finally:
            agent.kill()
    shown = stands(f".venv/bin/tallystick contract 0xCONTRACT --api {url} --rpc $RPC")
    shown = [contract if word == "0xCONTRACT" else word for word in shown]
    shown = [sandbox.rpc_url if word == "$RPC" else word for word in shown]
    assert "8.00" in run([sys.executable, *COMMAND, *shown[1:]])


@pytest.fixture(scope="module")
def resident_wallets(sandbox: Box) -> list[LocalAccount]:
    return [wallet(read_key(sandbox.keys / one.name)) for one in RESIDENTS]


@deep_only
def test_residents_are_hired_and_paid_beside_visitors(
    sandbox: Box, resident_wallets: list[LocalAccount]
) -> None:
    paid = set[str]()
    with HttpClient(sandbox.url) as client:
        for found in Stream(client, 0, kinds=("payout",)):
            contract = client.get(f"/v1/contracts/{to_hex(found.record.entry.subject)}")
            paid |= {contract["operator"]} & {one.address for one in resident_wallets}
            if len(paid) == len(RESIDENTS):
                break
        for one in resident_wallets:
            record = client.get(f"/v1/operators/{one.address}/record")
            assert record["outcomes"]["count"] >= 1


@deep_only
def test_a_team_of_residents_works_by_leases(
    sandbox: Box, resident_wallets: list[LocalAccount]
) -> None:
    with OperatorClient(sandbox.url, resident_wallets[TEAM], "team") as team:
        team.sign_in()
        messages, _ = Board(team, surface_named(team, SHOP.name)).messages()
    assert {"claim", "handover", "result"} <= {each["kind"] for each in messages}


@deep_only
def test_partners_among_the_residents_share_by_a_split(
    sandbox: Box, resident_wallets: list[LocalAccount]
) -> None:
    first, second = (resident_wallets[at].address for at in (PARTNER, OTHER))
    with HttpClient(sandbox.url) as client, Node(sandbox.rpc_url) as node:
        log, now_s = client.get("/v1/log"), served_time_s(client)
        (contract, *_) = client.get("/v1/contracts", operator=first)["contracts"]
        payee = contract["terms"]["payee"]
        # Its wallet gets nothing but by the split, once that is paid out.
        for at_s in range(now_s, now_s + 2 * DAY_S, 600):
            if units_of(node, log["tokens"][0]["address"], first) > 0:
                break
            wait_until(client, at_s)
        code = node.call("eth_getCode", payee, "latest")
    split = Split.of_account(payee, from_hex(str(code)), log["splits"])
    assert split is not None
    shares = {share.payee: share.bps for share in split.shares}
    assert shares == {first: FIRST_BPS, second: BPS - FIRST_BPS}


def units_of(node: Node, token: str, holder: str) -> int:
    """Return how much of a token an account holds."""
    data = "0x70a08231" + holder[2:].lower().rjust(64, "0")
    return quantity(node.call("eth_call", {"to": token, "data": data}, "latest"))


def test_its_parts_are_well_by_real_time(sandbox: Box) -> None:
    with HttpClient(sandbox.url) as client:
        parts = client.get("/readyz", part="sequencer")["parts"]
    assert parts == {"sequencer": True}


def test_a_dear_proposal_is_answered_with_the_offer(sandbox: Box) -> None:
    dear = {"outcome": "activated", "price": "80.00", "at_most": 1}
    with OperatorClient(sandbox.url, wallet(bytes(Account.create().key)), "dear") as agent:
        agent.sign_in()
        pins, surface = served_pins(agent), surface_named(agent, TRIAL.name)
        contract = propose(agent, pins, draft(agent, pins, surface, dear).terms).contract
        now_s, counter = served_time_s(agent), None
        # A look every ten minutes of the sandbox's clock, for two days.
        for at_s in range(now_s, now_s + 2 * DAY_S, 600):
            wait_until(agent, at_s)
            counter = agent.get(f"/v1/proposals/{contract}")["counter"]
            if counter is not None:
                break
    assert counter is not None
    assert counter["unit_price_units"] == str(8 * UNITS_PER_TOKEN)


def test_the_faucet_gives_an_account_so_much_and_no_more(sandbox: Box) -> None:
    with OwnerClient(sandbox.url, wallet(bytes(Account.create().key)), "dry") as owner:
        owner.sign_in()
        grants = [owner.post("/v1/faucet", {}) for _ in range(GRANTS)]
        assert [grant["left"] for grant in grants] == [*range(GRANTS)][::-1]
        assert grants[0]["units"] == str(TOKENS * UNITS_PER_TOKEN)
        with pytest.raises(ServerError, match="begin another sandbox"):
            owner.post("/v1/faucet", {})


def test_it_goes_on_after_a_restart(sandbox: Box) -> None:
    with HttpClient(sandbox.url) as client:
        before, clock = client.get("/v1/log"), client.get("/v1/clock")
        surfaces = {surface_named(client, one.name) for one in (TRIAL, SHOP)}
    sandbox.stop()
    sandbox.start()
    with HttpClient(sandbox.url) as client:
        after, later = client.get("/v1/log"), client.get("/v1/clock")
        assert surfaces == {surface_named(client, one.name) for one in (TRIAL, SHOP)}
    assert after["log_id"] == before["log_id"]
    assert after["size"] >= before["size"]
    # What passed between the two runs did not pass for the sandbox.
    assert clock["time_ms"] <= later["time_ms"] < clock["time_ms"] + 60 * DAY_S * 1000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--speed", "1441"), "a day a minute"),
        (("--speed", "0"), "from 1 to 1440"),
        (("--public", "http://x"), "a name or an IPv4 address"),
        (("--public", "0.0.0.0"), "an address at which others reach this machine"),  # noqa: S104
        (("--residents", "6"), "from 0 to 5"),
        (("--home", "/etc/hostname"), "/etc/hostname is a file; name a folder"),
        (("--home", "/etc/hostname/box"), "/etc/hostname is a file; name a folder"),
    ],
)
def test_what_cannot_be_is_refused(
    options: tuple[str, str], words: str, monkeypatch: Any, capsys: Any
) -> None:
    with server_folder() as folder:
        command = ["tallystick", "sandbox", "--home", str(folder), *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not list(folder.iterdir())
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_port_in_use_is_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_folder() as folder, listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        arguments = ["sandbox", "--home", str(folder / "box"), "--port", str(port)]
        monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not list(folder.iterdir())
    assert ended.value.code == 3
    said = capsys.readouterr()
    assert f"port {port} is in use (on 127.0.0.1): end what listens there, or give" in said.err
    assert f"--port {port + 1}" in said.err or f"--port {PORT}" in said.err
    assert said.out == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as whoever starts it, but for root")
def test_a_folder_closed_to_postgres_is_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(sys, "argv", ["tallystick", "sandbox", "--home", str(tmp_path / "box")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "for example: tallystick sandbox --home /" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as whoever starts it, but for root")
def test_a_folder_that_root_makes_is_open_to_postgres_whatever_the_umask() -> None:
    before = os.umask(0o077)
    try:
        with server_folder() as folder:
            settings = _settings(folder / "box", 1440, free_port(), None)
            assert closed_folder(settings.home) is None
            assert settings.limits is not None
            assert settings.limits.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_an_interrupted_start_ends_at_once_and_says_so() -> None:
    with server_folder() as folder:
        command = [sys.executable, *COMMAND, "sandbox", "--home", str(folder / "box")]
        with subprocess.Popen(
            [*command, "--port", str(free_port())],
            env=ENVIRONMENT | {"HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "starting PostgreSQL" in said
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    lines = err.splitlines()
    assert "stopping…" in lines[0]
    assert lines[-1].endswith("stopped")
    assert "local chain" not in err


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("HOME", "name its folder with --home"),
        ("LISTEN", "name its port with --port, and its address with --public"),
        ("LIMITS", "there is no option in its place"),
    ],
)
def test_a_setting_that_it_does_not_go_by_is_refused(
    name: str, instead: str, monkeypatch: Any, capsys: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv(f"TALLYSTICK_{name}", "127.0.0.1:9000")
    monkeypatch.setattr(sys, "argv", ["tallystick", "sandbox", "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"tallystick: a sandbox does not go by TALLYSTICK_{name}: unset it; {instead}\n"
    )
    assert not home.exists()


def test_beyond_this_machine_accounts_get_less() -> None:
    own, public = (read_limits(sandbox_limits(1440, is_public=each)) for each in (False, True))
    assert public.requests_a_minute < own.requests_a_minute
    assert public.stored_bytes == own.stored_bytes
    # A nonce lives for a minute of real time, which is a day of the clock.
    assert own.nonce_ttl_ms == DAY_S * 1000
    assert read_limits(sandbox_limits(1, is_public=False)).nonce_ttl_ms == 600_000
