"""Local servers start, keep their data, and never outlive the process that started them."""

import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import httpx
import psycopg
import pytest

from orchestrator.core.common.errors import LocalError
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from tests.support.servers import CHAIN_START_S, server_folder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as path:
        yield path


def ask(node: LocalAnvil, method: str, *parameters: object) -> object:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    return httpx.post(node.rpc_url, json=request).json()["result"]


def test_postgres_keeps_its_data_through_stop_and_kill(folder: Path) -> None:
    with LocalPostgres(folder) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(server.url)
            server.start()
            with psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_killed_postgres_leaves_no_shared_memory_behind(folder: Path) -> None:
    """It would be lost to the machine: no later server looks for that of an earlier one."""
    with LocalPostgres(folder) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)
        segments = folder / "data/pg_dynshmem"
        assert {*segments.iterdir()}
        server.kill()
        left = {*segments.iterdir()}
        server.start()
        assert left.isdisjoint(segments.iterdir())


def test_a_killed_postgres_leaves_no_process_that_could_go_on(folder: Path) -> None:
    with LocalPostgres(folder) as server, psycopg.connect(server.url) as connection:
        # A stopped backend does not notice that its parent ends; continued, it would commit.
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        process = os.pidfd_open(backend)
        try:
            assert backend in processes_in(folder / "data")
            server.kill()
            assert processes_in(folder / "data") == []
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)
        server.start()
        server.kill()
        server.kill()  # there is nothing left to kill


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working folder this is, as a cluster's is its data."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended, or is none of ours
            if cwd.readlink() == folder.resolve():
                found.append(int(cwd.parent.name))
    return found


def test_postgres_wants_its_password_and_listens_on_no_network(folder: Path) -> None:
    with LocalPostgres(folder) as server:
        password = (folder / "password").read_text()
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
        assert password not in repr(server)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url.replace(password, "guess"))
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_postgres_refuses_a_folder_that_cannot_hold_its_socket(folder: Path) -> None:
    long = folder / ("x" * 90)
    with pytest.raises(LocalError) as refusal:
        LocalPostgres(long).start()
    assert refusal.value.code == "folder-too-long"


def test_postgres_started_by_root_wants_a_folder_that_others_may_enter(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid() == 0:
        with pytest.raises(LocalError) as refusal:
            LocalPostgres(closed / "new").start()
        assert refusal.value.code == "folder-closed"
        assert not list(closed.iterdir())
    else:
        with LocalPostgres(closed) as server, psycopg.connect(server.url):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as whoever starts it, but for root")
def test_postgres_started_by_root_runs_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with LocalPostgres(folder / "a/b") as server, psycopg.connect(server.url):
            modes = {path.stat().st_mode & 0o777 for path in (folder / "a", folder / "a/b")}
            assert modes == {0o711}
            assert (folder / "a/b/password").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_postgres_says_why_it_does_not_start(folder: Path) -> None:
    with LocalPostgres(folder) as server:
        server.stop()
        with (folder / "data/postgresql.conf").open("a") as settings:
            settings.write("no_such_setting = 1\n")
        with pytest.raises(LocalError, match="no_such_setting"):
            server.start()


def test_a_second_postgres_in_one_folder_is_refused_and_the_first_goes_on(folder: Path) -> None:
    with LocalPostgres(folder) as server:
        with pytest.raises(LocalError, match=f"PostgreSQL runs in {folder} already") as refusal:
            LocalPostgres(folder).start()
        assert refusal.value.code == "already-running"
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_is_started_by_the_main_thread_only(folder: Path) -> None:
    refusals: list[LocalError] = []

    def start() -> None:
        try:
            LocalAnvil(folder).start()
        except LocalError as error:
            refusals.append(error)

    thread = Thread(target=start)
    thread.start()
    thread.join()
    assert [refusal.code for refusal in refusals] == ["not-main-thread"]


CHILD = """
import sys, time
from pathlib import Path
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
server = {"postgres": LocalPostgres, "anvil": LocalAnvil}[sys.argv[1]](Path(sys.argv[2]))
server.start()
print(server._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["postgres", "anvil"])
def test_a_server_ends_when_its_parent_is_killed(folder: Path, name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, name, str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        server = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            assert wait_for_end(server)
        finally:
            os.close(server)


def wait_for_end(process: int) -> bool:
    """Return whether the process of this descriptor ends within a minute."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(60_000))


def test_anvil_starts_its_clock_at_the_given_second_and_finalizes_after_two_blocks(
    folder: Path,
) -> None:
    with LocalAnvil(folder, CHAIN_START_S) as node:
        genesis = ask(node, "eth_getBlockByNumber", "0x0", False)
        assert isinstance(genesis, dict)
        assert int(genesis["timestamp"], 16) == CHAIN_START_S
        ask(node, "anvil_mine", "0x5")
        final = ask(node, "eth_getBlockByNumber", "finalized", False)
        assert isinstance(final, dict)
        assert int(final["number"], 16) == 3


def test_anvil_keeps_its_chain_and_its_port(folder: Path) -> None:
    with LocalAnvil(folder, CHAIN_START_S) as node:
        url = node.rpc_url
        ask(node, "anvil_mine", "0x5")
        head = ask(node, "eth_getBlockByNumber", "latest", False)
        node.stop()
        with pytest.raises(httpx.ConnectError):
            ask(node, "eth_blockNumber")
        node.start()
        assert node.rpc_url == url
        assert ask(node, "eth_getBlockByNumber", "latest", False) == head


def test_anvil_passes_options_on_and_says_why_it_does_not_start(folder: Path) -> None:
    with LocalAnvil(folder, options=("--chain-id", "99")) as node:
        assert ask(node, "eth_chainId") == hex(99)
    with pytest.raises(LocalError, match="no-such-option"):
        LocalAnvil(folder, options=("--no-such-option",)).start()


def test_anvil_may_be_named_by_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_ANVIL", "/bin/false")
    with pytest.raises(LocalError, match="did not start"):
        LocalAnvil(folder).start()
    monkeypatch.setenv("TALLYSTICK_ANVIL", "/no/such/anvil")
    with pytest.raises(LocalError, match="TALLYSTICK_ANVIL is /no/such/anvil, which is no program"):
        LocalAnvil(folder).start()
