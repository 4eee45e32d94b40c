"""`tallystick serve` as a process: it comes up, takes work, stops in order, and goes on."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.cli.main import main
from orchestrator.client.accounts import EventReport, OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.account.agent_card import check_card
from orchestrator.core.common.errors import (
    ChainError,
    DomainError,
    InputError,
    LogError,
    ServerError,
)
from orchestrator.core.deals.site import Site, TokenInfo
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.runtime.serve import (
    Worker,
    now_ms,
    open_deployment,
    repeat_until_stopped,
)
from orchestrator.runtime.settings import Settings, read_settings, read_site
from orchestrator.runtime.stack import PARTS, Keys
from orchestrator.simulation import cdnow
from orchestrator.simulation.sandbox import address_of, key_of
from orchestrator.storage.database import API, LOGINS, NO_URLS
from orchestrator.storage.local.files import closed_folder
from orchestrator.storage.trouble import Trouble
from tests.support.depth import deep_only
from tests.support.servers import free_port, server_folder, urls_of

# The longest that a log may be without a writer where a standby runs.
TAKEOVER_S = 5.0
COMMAND = str(Path(sys.executable).with_name("tallystick"))
# Those of a local deployment, and what the journal calls them.
OWN_SERVERS = {"postgres": "PostgreSQL", "anvil": "anvil"}


@contextmanager
def started(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command and yield its process, which is killed at the end if it still runs."""
    with subprocess.Popen(
        [COMMAND, "serve", "--json", *options],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(environment: dict[str, str], *options: str) -> Iterator[IO[str]]:
    """Run the command and yield its output. It must end with exit code 0, and soon."""
    with started(environment, *options) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
            code = process.wait(timeout=60)
        assert code == 0, rest
        lines = [json.loads(line) for line in rest.splitlines()]
        assert lines[-1]["said"] == "stopped"
        assert not [line for line in lines if line["level"] == "error"]


def heard(output: IO[str], words: str) -> dict[str, Any]:
    """Return the next line of the journal that says this."""
    for line in output:
        found: dict[str, Any] = json.loads(line)
        if words in found["said"]:
            return found
    raise AssertionError(f"it never said {words!r}")


@contextmanager
def served(environment: dict[str, str], port: int, *options: str) -> Iterator[str]:
    """Run the command with its API, and yield the API's URL once it is up."""
    listen = {"TALLYSTICK_LISTEN": f"127.0.0.1:{port}", "TALLYSTICK_SETTLE_EVERY_S": "1"}
    with running(environment | listen, *options) as output:
        heard(output, "API on ")
        yield f"http://127.0.0.1:{port}"


def test_it_serves_and_goes_on_after_a_restart() -> None:
    with server_folder() as home:
        port, environment = free_port(), {"TALLYSTICK_HOME": str(home)}
        listen = {"TALLYSTICK_LISTEN": f"127.0.0.1:{port}", "TALLYSTICK_SETTLE_EVERY_S": "1"}
        url = f"http://127.0.0.1:{port}"
        with (
            running(environment | listen) as output,
            OperatorClient(url, wallet(key_of("ada")), "ada") as ada,
        ):
            heard(output, "API on ")
            ada.sign_in()
            with OwnerClient(url, wallet(key_of("owner")), "owner") as owner:
                owner.sign_in()
                surface = owner.open_surface("shop", cdnow.POLICY, wait_s=10)
                purchase = EventReport("one", "customer", "purchase", "1.50", now_ms())
                answer = owner.report_event(surface, purchase, wait_s=10)
                assert (answer["status"], answer["verdict"]) == ("done", "accepted")
                leads = owner.pages(f"/v1/surfaces/{surface}/leads", "leads")
                assert [lead["state"] for lead in leads] == ["buyer"]
                for name in OWN_SERVERS:
                    kill_beneath(output, home, name)
                    event = EventReport(name, "customer", "purchase", "1.50", now_ms())
                    assert is_decided(owner, surface, event)
            # An operator sees leads from level 1 on.
            assert ada.leads(surface, "buyer") == []
            before = ada.get("/v1/log")
            (jwk,) = ada.get("/.well-known/jwks.json")["keys"]
            check_card(ada.get(f"/v1/surfaces/{surface}/agent-card.json"), jwk)
        assert (home / "agent-cards.key").stat().st_mode & 0o777 == 0o600
        assert not list(home.glob("postgres/**/postmaster.pid"))
        assert {path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()} == {0o600}
        metrics = f"127.0.0.1:{free_port()}"
        several = {"TALLYSTICK_LISTEN": f"127.0.0.1:{port}", "TALLYSTICK_METRICS": metrics}
        with (
            running(environment | several, "--workers", "2") as output,
            ExitStack() as exits,
        ):
            (process, _) = heard(output, "API is answered by processes ")["said"].split(" ")[-2:]
            heard(output, "API on ")
            client = exits.enter_context(Client(url))
            after = client.get("/v1/log")
            # The key that readers have pinned is the same.
            check_card(client.get("/.well-known/agent-card.json"), jwk)
            acknowledged = _reported_while_one_is_killed(
                output, int(process.rstrip(",")), url, surface
            )
            status = httpx.get(f"http://{metrics}/status").json()["processes"]
            assert list(status) == ["1", "2"]
            ready = httpx.get(f"http://{metrics}/readyz?part=database")
            assert ready.is_success == all(ready.json()["processes"].values())
            numbers = httpx.get(f"http://{metrics}/metrics").text
            assert re.search(r'http_answers_total{process="2",status="2xx"} [1-9]', numbers)
            assert 'tallystick_api_process_up{process="2"} 1.0' in numbers
            owner = exits.enter_context(OwnerClient(url, wallet(key_of("owner")), "owner"))
            owner.sign_in()
            leads = owner.pages(f"/v1/surfaces/{surface}/leads", "leads")
            assert {f"lead {key}" for key in acknowledged} <= {
                lead["external_id"] for lead in leads
            }
            code, refused = _checked(environment)
            assert (code, refused["error"]["code"]) == (3, "already-running")
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        assert after["splits"] == before["splits"] is not None
        assert after["log_id"] == before["log_id"]
        assert after["size"] >= before["size"]
        code, checked = _checked(environment)
        assert (code, checked["findings"]) == (0, [])
        assert checked["size"] >= after["size"]


def _checked(environment: dict[str, str]) -> tuple[int, Any]:
    """Check a local deployment; return the exit code and the document."""
    command, given = [COMMAND, "fsck", "--json"], os.environ | environment
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def _reported_while_one_is_killed(
    output: IO[str], process: int, url: str, surface: str
) -> list[str]:
    """Report events from several threads, kill a process meanwhile; return those acknowledged."""
    acknowledged: list[str] = []
    killed = threading.Event()

    def report(thread: int, owner: OwnerClient) -> None:
        for number in count():
            key = f"{thread}-{number}"
            event = EventReport(key, f"lead {key}", "purchase", "1.50", now_ms())
            with suppress(ServerError):
                owner.report_event(surface, event, wait_s=10)
                acknowledged.append(key)
            if killed.is_set() and number > 20:
                return

    with ExitStack() as exits:
        threads = []
        # All have signed in before the kill: who is met by it while signing in has no answer.
        for number in range(3):
            client = OwnerClient(url, wallet(key_of("owner")), f"owner {number}")
            owner = exits.enter_context(client)
            owner.sign_in()
            threads.append(threading.Thread(target=report, args=(number, owner)))
        for thread in threads:
            thread.start()
        wait = threading.Event()
        assert any(len(acknowledged) > 9 or wait.wait(0.1) for _ in range(600))
        os.kill(process, signal.SIGKILL)
        assert heard(output, "of the API had ended by itself")["level"] == "warning"
        killed.set()
        for thread in threads:
            thread.join(60)
    return acknowledged


@deep_only
def test_its_own_servers_are_started_again_and_a_stop_waits_for_no_peer() -> None:
    with server_folder() as home:
        port = free_port()
        environment = {
            "TALLYSTICK_HOME": str(home),
            "TALLYSTICK_LISTEN": f"127.0.0.1:{port}",
            "TALLYSTICK_METRICS": f"127.0.0.1:{free_port()}",
            "TALLYSTICK_SETTLE_EVERY_S": "1",
        }
        url = f"http://127.0.0.1:{port}"
        with ExitStack() as exits:
            output = exits.enter_context(running(environment))
            rpc_url = heard(output, "a local chain on ")["said"].split()[4].rstrip(",")
            heard(output, "API on ")
            site = read_site(home / "site.json")
            chain = exits.enter_context(Chain(rpc_url, site.addresses))
            size = partial(anchored_size, chain, site.log_id)
            owner = exits.enter_context(OwnerClient(url, wallet(key_of("owner")), "owner"))
            owner.sign_in()
            surface = owner.open_surface("shop", cdnow.POLICY, wait_s=10)
            wait = threading.Event()
            assert any(size() or wait.wait(0.1) for _ in range(600))
            anchored = size()
            own = f"http://{environment['TALLYSTICK_METRICS']}"
            assert any(is_ready(own) or wait.wait(0.1) for _ in range(600))
            for name in OWN_SERVERS:
                kill_beneath(output, home, name)
                event = EventReport(name, name, "purchase", "1.50", now_ms())
                assert is_decided(owner, surface, event)
                assert any(is_ready(url) or wait.wait(0.1) for _ in range(600))
                # Its chain, as its database, is as it was.
                assert any(size() >= anchored or wait.wait(0.1) for _ in range(600))
            peer = exits.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.sendall(b"POST /v1/sign-in/nonce HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        log = (home / "postgres/postgres.log").read_text()
        assert log.count("starting PostgreSQL") == 2


def kill_beneath(output: IO[str], home: Path, name: str) -> None:
    """Kill a server of a local deployment, and return once it is started again."""
    os.kill(process_of(home, name), signal.SIGKILL)
    assert heard(output, f"{OWN_SERVERS[name]} had ended by itself")["level"] == "warning"


def is_decided(owner: OwnerClient, surface: str, event: EventReport) -> bool:
    """Report an event until it is decided; return whether it ever was."""
    wait = threading.Event()
    return any(reports(owner, surface, event) or wait.wait(0.1) for _ in range(600))


def is_ready(url: str) -> bool:
    """Return whether all parts are well."""
    try:
        return httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def process_of(home: Path, name: str) -> int:
    """Return the process of a server of a local deployment."""
    mark = {"postgres": f"-D\0{home}/postgres/data\0", "anvil": f"{home}/chain/chain.json"}[name]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if mark in path.read_text():
                return int(path.parent.name)
    raise AssertionError(f"no process of {name}")


def anchored_size(chain: Chain, log_id: bytes) -> int:
    """Return the size at which the log is anchored; 0 while the node is away."""
    try:
        return chain.checkpoint(log_id).size
    except ChainError:
        return 0


def reports(owner: OwnerClient, surface: str, event: EventReport) -> bool:
    """Return whether an event was taken and decided."""
    try:
        return bool(owner.report_event(surface, event, wait_s=1)["status"] == "done")
    except ServerError:
        return False


def test_its_parts_run_apart_each_with_its_own_keys_and_login(database_url: str) -> None:
    """Run an API without any key, a sequencer with the publisher's, a pipeline with the others.

    None of them can do anything to the schema: `tallystick migrate` has prepared the database.
    """
    urls = urls_of(database_url)
    with (
        server_folder() as folder,
        LocalAnvil(folder / "chain", options=("--block-time", "1")) as node,
    ):
        deployed = deploy_local(
            node.rpc_url, key_of("publisher"), publisher=address_of("publisher")
        )
        with LocalChainClock(node.rpc_url) as clock:
            clock.fund(address_of("relayer"), 10**18)
            clock.release()
        site = Site(
            addresses=deployed.addresses,
            log_id=deployed.log_id,
            origin="local.tallystick",
            registrant=address_of("publisher"),
            verifier=address_of("verifier"),
            tokens=(TokenInfo(deployed.token, "TEST", 6),),
        )
        # Addresses are taken without the checksum of their capital letters as well.
        (folder / "site.json").write_text(json.dumps(site.to_json()).lower())

        def part(name: str, database: dict[str, str | None], *keys: str) -> dict[str, str]:
            (folder / name).mkdir()
            for key in keys:
                _write_key(folder / name / key, key)
            return {
                "TALLYSTICK_HOME": str(folder / name),
                **{f"TALLYSTICK_{name}_DATABASE_URL": url or "" for name, url in database.items()},
                "TALLYSTICK_RPC_URL": node.rpc_url,
                "TALLYSTICK_SITE": str(folder / "site.json"),
                "TALLYSTICK_KEYS": str(folder / name),
            }

        subprocess.run(
            [COMMAND, "migrate"],
            env=os.environ | part("owner", {"SCHEMA": urls.owner}),
            check=True,
        )
        writing = part("sequencer", {"SEQUENCER": urls.sequencer}, "publisher")
        with (
            started(writing, "--only", "sequencer") as writer,
            running(
                part("pipeline", {"WORKER": urls.worker}, "verifier", "relayer"),
                *("--only", "pipeline"),
            ),
            served(part("api", {"API": urls.api}), free_port(), "--only", "api") as url,
            running(
                part("registrar", {"REGISTRAR": urls.registrar}) | {"TALLYSTICK_PUBLIC_URL": url},
                *("--only", "registrar"),
            ),
            OwnerClient(url, wallet(key_of("owner")), "owner") as owner,
            Chain(node.rpc_url, deployed.addresses) as chain,
        ):
            # The registrar may start later than the API, which says so meanwhile.
            assert any(_signs_in(owner) for _ in range(30)), "no registrar has started"
            wait = threading.Event()
            assert any(owner.get("/v1/log")["size"] or wait.wait(0.1) for _ in range(600)), (
                "the sequencer has written no genesis"
            )
            owner.open_surface("shop", cdnow.POLICY, wait_s=30)
            assert any(
                chain.checkpoint(deployed.log_id).size or wait.wait(0.1) for _ in range(600)
            ), "the pipeline has anchored nothing"
            with running(writing, "--only", "sequencer") as standby:
                assert heard(standby, "standing by")["level"] == "info"
                writer.kill()
                begun = time.monotonic()
                owner.open_surface("another", cdnow.POLICY, wait_s=30)
                # Its tries are three seconds apart; the rest is for it to decide the request.
                assert time.monotonic() - begun < TAKEOVER_S
                heard(standby, "works again")


def _signs_in(owner: OwnerClient) -> bool:
    try:
        owner.sign_in()
    except ServerError as error:
        if error.code != "http-503":
            raise
        return False
    return True


def _write_key(path: Path, name: str) -> None:
    path.touch(0o600)
    path.write_text(key_of(name).hex())


def test_a_bad_setting_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALLYSTICK_LISTEN", "everywhere")
    monkeypatch.setattr(sys, "argv", ["tallystick", "serve"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "TALLYSTICK_LISTEN must be host:port" in capsys.readouterr().err


def test_a_failing_worker_goes_on_and_says_trouble_and_its_end_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, let_go = threading.Event(), list[str]()
    results: list[Exception | None] = [
        InputError("first", "the first reason"),
        InputError("first", "the first reason"),
        ValueError("a secret"),
        None,
        None,
        LogError("sequencer-busy", "another writes"),
        None,
    ]

    def act() -> None:
        result = results.pop(0)
        if not results:
            stop.set()
        if result is not None:
            raise result

    with caplog.at_level(logging.INFO, "tallystick"):
        repeat_until_stopped(Worker("worker", act, 0.001, lambda: let_go.append("gone")), stop)
    unexpected = "worker: unexpected ValueError, please report it; trying again"
    again = "worker: works again after 0 s"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "worker: the first reason; trying again"),
        ("ERROR", unexpected),
        ("INFO", again),
        ("INFO", "worker: another writes; standing by"),
        ("INFO", again),
    ]
    assert let_go == ["gone"]


def test_a_worker_whose_act_goes_on_says_itself_that_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, trouble, acts = threading.Event(), Trouble("long"), list[int]()

    def act() -> None:
        acts.append(len(acts))
        if len(acts) == 1:
            raise InputError("first", "the first reason")
        trouble.end()
        said.extend(record.getMessage() for record in caplog.records)
        stop.set()

    said = list[str]()
    with caplog.at_level(logging.INFO, "tallystick"):
        repeat_until_stopped(Worker("long", act, 0.001, trouble=trouble), stop)
    assert said == ["long: the first reason; trying again", "long: works again after 0 s"]


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Make settings whose database and node do not answer, with the keys of all parts."""
    for name in Keys._fields:
        _write_key(tmp_path / name, name)
    return read_settings(
        {
            "TALLYSTICK_HOME": str(tmp_path),
            "TALLYSTICK_KEYS": str(tmp_path),
            **{
                f"TALLYSTICK_{name}_DATABASE_URL": f"postgresql://{login}@127.0.0.1:1/db"
                for name, login in zip(
                    ("SEQUENCER", "WORKER", "API", "REGISTRAR"), LOGINS, strict=True
                )
            },
            "TALLYSTICK_RPC_URL": "http://127.0.0.1:1",
            "TALLYSTICK_SITE": str(tmp_path / "site.json"),
        }
    )


def open_refused(settings: Settings, *parts: str) -> str:
    """Return the message of the error that refuses to open a deployment with these settings."""
    steps: list[str] = []
    with pytest.raises(InputError) as refused, open_deployment(settings, parts, steps.append):
        pass
    assert steps == []
    return refused.value.message


def test_keys_are_checked_before_a_database_or_a_node_is_asked(nowhere: Settings) -> None:
    (nowhere.keys / "relayer").chmod(0o640)
    assert "relayer: others may read it" in open_refused(nowhere, *PARTS)
    (nowhere.keys / "relayer").unlink()
    assert "relayer: No such file" in open_refused(nowhere, "pipeline")
    _write_key(nowhere.keys / "relayer", "verifier")
    assert "the keys of verifier and relayer must differ" in open_refused(nowhere, "pipeline")
    # A part does not ask for the keys of another: this one goes on to the site.
    assert "site.json: No such file" in open_refused(nowhere, "sequencer")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ANVIL", "/nope", "TALLYSTICK_ANVIL is /nope, which is no program"),
        ("LIMITS", "/nope", "/nope: No such file"),
        ("KEYS", "/dev/null", "/dev/null"),
    ],
)
def test_what_is_missing_is_told_before_a_server_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"TALLYSTICK_{name}", value)
    with server_folder() as folder:
        home, steps = folder / "home", list[str]()
        settings = read_settings({**os.environ, "TALLYSTICK_HOME": str(home)})
        with (
            pytest.raises((DomainError, OSError)) as refused,
            open_deployment(settings, PARTS, steps.append),
        ):
            pass
        assert said in str(refused.value)
        assert steps == []
        assert not list(home.glob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as whoever starts it, but for root")
def test_a_home_that_root_makes_can_be_entered_by_its_postgres_alone(nowhere: Settings) -> None:
    before = os.umask(0o077)
    try:
        with server_folder() as folder:
            ours = replace(nowhere, home=folder / "ours", databases=NO_URLS)
            open_refused(ours, "api")
            assert closed_folder(ours.home / "postgres") is None
            # A database elsewhere needs nothing of it.
            others = replace(nowhere, home=folder / "others")
            open_refused(others, "api")
            assert closed_folder(others.home) == others.home
    finally:
        os.umask(before)


def test_a_part_without_a_login_of_its_own_is_refused(nowhere: Settings) -> None:
    api_alone = replace(nowhere, databases=nowhere.databases.only({API}))
    assert "site.json: No such file" in open_refused(api_alone, "api")
    for part, name in (("sequencer", "SEQUENCER"), ("pipeline", "WORKER")):
        assert f"set TALLYSTICK_{name}_DATABASE_URL" in open_refused(api_alone, "api", part)


def test_a_node_without_a_site_is_refused(nowhere: Settings) -> None:
    assert "set TALLYSTICK_SITE" in open_refused(replace(nowhere, site=None), "api")
