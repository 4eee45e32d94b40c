"""`tallystick serve` as a person runs it: it comes up, takes work, stops in order, and goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.client.accounts import EventReport, OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.site import Site, TokenInfo
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.runtime.serve import now_ms
from orchestrator.simulation import cdnow
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.servers import server_folder

COMMAND = str(Path(sys.executable).with_name("tallystick"))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(environment: dict[str, str], *options: str) -> Iterator[IO[str]]:
    """The command at work, and what it says; it must end with exit code 0."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--json", *options],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.stdout.close()
        code = process.wait(timeout=60)
    assert code == 0, rest
    assert json.loads(rest.splitlines()[-1])["said"] == "stopped"


@contextmanager
def served(environment: dict[str, str], port: int, *options: str) -> Iterator[str]:
    """The service's URL."""
    listen = {"TALLYSTICK_LISTEN": f"127.0.0.1:{port}", "TALLYSTICK_SETTLE_EVERY_S": "1"}
    with running(environment | listen, *options) as said:
        for line in said:
            if json.loads(line)["said"].startswith("API on "):
                break
        yield f"http://127.0.0.1:{port}"


def test_it_serves_and_goes_on_after_a_restart() -> None:
    with server_folder() as home:
        port, here = free_port(), {"TALLYSTICK_HOME": str(home)}
        with (
            served(here, port) as url,
            OperatorClient(url, wallet(key_of("ada")), "ada") as ada,
        ):
            ada.sign_in()
            with OwnerClient(url, wallet(key_of("owner")), "owner") as owner:
                owner.sign_in()
                surface = owner.open_surface("trial", cdnow.POLICY, wait_s=10)
                bought = EventReport("one", "someone", "purchase", "1.50", now_ms())
                told = owner.report_event(surface, bought, wait_s=10)
                assert (told["status"], told["verdict"]) == ("done", "accepted")
            assert [lead.state for lead in ada.leads(surface, "buyer")] == ["buyer"]
            before = ada.get("/v1/log")
        assert not list(home.glob("postgres/**/postmaster.pid"))
        assert {path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()} == {0o600}
        with served(here, port) as url, Client(url) as anyone:
            after = anyone.get("/v1/log")
        assert after["log_id"] == before["log_id"]
        assert after["size"] >= before["size"]


def test_its_parts_run_apart_each_with_its_own_keys(database_url: str) -> None:
    """An API without any key, a sequencer with the publisher's, a pipeline with the other two."""
    with (
        server_folder() as folder,
        LocalAnvil(folder / "chain", options=("--block-time", "1")) as node,
    ):
        made = deploy_local(node.rpc_url, key_of("publisher"), publisher=address_of("publisher"))
        with LocalChainClock(node.rpc_url) as clock:
            clock.fund(address_of("relayer"), 10**18)
            clock.release()
        site = Site(
            addresses=made.addresses,
            log_id=made.log_id,
            origin="local.tallystick",
            registrant=address_of("publisher"),
            verifier=address_of("verifier"),
            tokens=(TokenInfo(made.token, "TEST", 6),),
        )
        # Checksums are for people who type: addresses are taken without as well.
        (folder / "site.json").write_text(json.dumps(site.to_json()).lower())

        def part(name: str, *keys: str) -> dict[str, str]:
            (folder / name).mkdir()
            for key in keys:
                _write_key(folder / name / key, key)
            return {
                "TALLYSTICK_HOME": str(folder / name),
                "TALLYSTICK_DATABASE_URL": database_url,
                "TALLYSTICK_RPC_URL": node.rpc_url,
                "TALLYSTICK_SITE": str(folder / "site.json"),
                "TALLYSTICK_KEYS": str(folder / name),
            }

        with (
            running(part("sequencer", "publisher"), "--only", "sequencer"),
            running(part("pipeline", "verifier", "relayer"), "--only", "pipeline"),
            served(part("api"), free_port(), "--only", "api") as url,
            OwnerClient(url, wallet(key_of("owner")), "owner") as owner,
            Chain(node.rpc_url, made.addresses) as chain,
        ):
            owner.sign_in()
            owner.open_surface("trial", cdnow.POLICY, wait_s=30)
            wait = threading.Event()
            assert any(chain.checkpoint(made.log_id).size or wait.wait(0.1) for _ in range(600)), (
                "the pipeline has anchored nothing"
            )
            lacking = part("lacking", "verifier") | {"TALLYSTICK_LISTEN": "127.0.0.1:1"}
            done = subprocess.run(
                [COMMAND, "serve", "--only", "pipeline"],
                env=os.environ | lacking,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, "relayer: No such file" in done.stderr) == (2, True)


def _write_key(path: Path, name: str) -> None:
    path.touch(0o600)
    path.write_text(key_of(name).hex())


def test_a_bad_setting_is_one_line() -> None:
    environment = {**os.environ, "TALLYSTICK_LISTEN": "everywhere"}
    done = subprocess.run(
        [COMMAND, "serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "TALLYSTICK_LISTEN must be host:port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("password", ["tops%zzecret", "x@tops-ecret", "topsecret"])
def test_the_doctor_tells_no_password(tmp_path: Path, password: str) -> None:
    told = {
        "TALLYSTICK_HOME": str(tmp_path),
        "TALLYSTICK_DATABASE_URL": f"postgresql://u:{password}@127.0.0.1:1/db",
    }
    done = subprocess.run(
        [COMMAND, "doctor"], env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert "postgresql: " in done.stdout
    assert "TALLYSTICK_DATABASE_URL" in done.stdout
    assert "Traceback" not in done.stderr
    assert "ecret" not in done.stdout + done.stderr


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    """Before anything is asked of a database or a node."""
    for name in ("publisher", "verifier", "relayer"):
        _write_key(tmp_path / name, name)
    (tmp_path / "relayer").chmod(0o640)
    told = {
        "TALLYSTICK_HOME": str(tmp_path),
        "TALLYSTICK_KEYS": str(tmp_path),
        "TALLYSTICK_DATABASE_URL": "postgresql://u@127.0.0.1:1/db",
        "TALLYSTICK_RPC_URL": "http://127.0.0.1:1",
        "TALLYSTICK_SITE": str(tmp_path / "site.json"),
    }
    done = subprocess.run(
        [COMMAND, "serve"], env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "relayer: others may read it" in done.stderr) == (2, True)
