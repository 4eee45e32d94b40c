"""`tallystick serve` as a person runs it: it comes up, takes work, stops in order, and goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator import cdnow
from orchestrator.actors import Client, Operator, Owner, Purchase, wallet
from orchestrator.rehearsal import key_of
from orchestrator.serve import now_ms
from tests.conftest import server_folder

COMMAND = str(Path(sys.executable).with_name("tallystick"))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def served(home: Path, port: int) -> Iterator[str]:
    """The service's URL; it must end with exit code 0 and leave no server behind."""
    environment = {
        **os.environ,
        "TALLYSTICK_HOME": str(home),
        "TALLYSTICK_LISTEN": f"127.0.0.1:{port}",
        "TALLYSTICK_SETTLE_EVERY_S": "1",
    }
    process = subprocess.Popen(
        [COMMAND, "serve", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if json.loads(line)["said"].startswith("API on "):
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.stdout.close()
        code = process.wait(timeout=60)
    assert code == 0, rest
    assert json.loads(rest.splitlines()[-1])["said"] == "stopped"


def test_it_serves_and_goes_on_after_a_restart() -> None:
    with server_folder() as home:
        port = free_port()
        with served(home, port) as url, Operator(url, wallet(key_of("ada")), "ada") as ada:
            ada.sign_in()
            with Owner(url, wallet(key_of("owner")), "owner") as owner:
                owner.sign_in()
                surface = owner.open_surface("trial", cdnow.POLICY, wait_s=10)
                bought = Purchase("one", "someone", "purchase", "1.50", now_ms())
                told = owner.report_one(surface, bought, wait_s=10)
                assert (told["status"], told["verdict"]) == ("done", "accepted")
            assert [lead.state for lead in ada.leads(surface, "buyer")] == ["buyer"]
            before = ada.get("/v1/log")
        assert not list(home.glob("postgres/**/postmaster.pid"))
        assert {path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()} == {0o600}
        with served(home, port) as url, Client(url) as anyone:
            after = anyone.get("/v1/log")
        assert after["log_id"] == before["log_id"]
        assert after["size"] >= before["size"]


def test_a_bad_setting_is_one_line() -> None:
    environment = {**os.environ, "TALLYSTICK_LISTEN": "everywhere"}
    done = subprocess.run(
        [COMMAND, "serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "TALLYSTICK_LISTEN must be host:port" in done.stderr
    assert "Traceback" not in done.stderr
