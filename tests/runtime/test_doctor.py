"""The doctor finds what is missing, says so in one line, and shows no password."""

import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.core.deals.site import Addresses, Site, TokenInfo
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.runtime import doctor
from orchestrator.runtime.doctor import CheckResult, examine
from orchestrator.runtime.local_chain import Deployment, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.migration import begin_log
from orchestrator.runtime.settings import read_settings
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.chain_bench import rewritten
from tests.support.database_clock import DatabaseClock
from tests.support.dialects import Dialect, always
from tests.support.http_server import serving_json
from tests.support.rpc_proxy import RpcProxy
from tests.support.servers import fresh_database, server_folder, urls_of

SITE = Site(
    addresses=Addresses(1, ZERO_ADDRESS, ZERO_ADDRESS, 0),
    log_id=bytes([7] * 32),
    origin="log.example",
    registrant=address_of("publisher"),
    verifier=address_of("verifier"),
    tokens=(),
)
COMMAND = str(Path(sys.executable).with_name("tallystick"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server of root may use, which a test's own is not."""
    with server_folder() as made:
        yield made


def findings_of(**environment: str) -> dict[str, CheckResult]:
    """Examine what settings of these names need, and return the findings by their subjects."""
    named = {f"TALLYSTICK_{name}": value for name, value in environment.items()}
    return {finding.what: finding for finding in examine(lambda: read_settings(named))}


def postgresql_of(home: Path, api_url: str | None) -> list[CheckResult]:
    """Return the findings about the database of an API."""
    found = findings_of(HOME=str(home), API_DATABASE_URL=api_url or "")
    return [finding for what, finding in found.items() if what.startswith("postgresql")]


def test_a_local_deployment_needs_only_what_is_installed(folder: Path) -> None:
    home = folder / "not/there/yet"
    findings = findings_of(HOME=str(home))
    assert list(findings) == [
        *("python", "tallystick", "settings", "home", "disk", "port 8700", "postgresql", "anvil")
    ]
    del findings["port 8700"]  # another program of this machine may have it
    assert all(finding.ok for finding in findings.values())
    assert findings["settings"].detail == f"home {home}, API on 127.0.0.1"
    assert findings["home"].detail == f"{home}, which is made at the start"
    assert findings["disk"].detail.endswith(f"GiB free at {home}")
    assert findings["postgresql"].detail.startswith("our own, ")
    assert not home.exists()


def test_a_home_that_cannot_be_used_is_found(folder: Path) -> None:
    (folder / "file").touch()
    found = findings_of(HOME=str(folder / "file"))["home"]
    assert not found.ok
    assert (
        f"{folder / 'file'} is no folder that we may write in; set TALLYSTICK_HOME" in found.detail
    )
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    found = findings_of(HOME=str(closed / "home"))["home"]
    # Only root starts PostgreSQL as another user, who cannot enter.
    assert found.ok is (os.geteuid() != 0)
    assert found.ok or f"{closed} is closed to other users" in found.detail


@contextmanager
def who_may_enter_nothing(folder: Path) -> Iterator[None]:
    """Be a user for whom a folder is closed."""
    folder.chmod(0)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_folders_that_are_closed_to_us_are_found_and_end_nothing(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir()
    settings = read_settings({"TALLYSTICK_HOME": str(closed / "one/home")})
    with who_may_enter_nothing(closed):
        found = doctor._check("home", lambda: doctor._describe_home(settings))
        assert doctor._parts_with_keys(settings) == []
        disk = doctor._check("disk", lambda: doctor._describe_disk(settings.home))
    assert not found.ok
    assert f"{closed} is no folder that we may write in; set TALLYSTICK_HOME" in found.detail
    assert disk == CheckResult("disk", False, f"{closed / 'one/home'}: Permission denied")


def test_limits_that_cannot_be_read_are_found(folder: Path) -> None:
    path = folder / "limits.json"
    assert (
        f"{path}: No such file" in findings_of(HOME=str(folder), LIMITS=str(path))["limits"].detail
    )
    path.write_text('{"touches_a_dya": 1}')
    found = findings_of(HOME=str(folder), LIMITS=str(path))["limits"]
    assert not found.ok
    assert "touches_a_dya" in found.detail
    path.write_text('{"touches_a_day": 1}')
    assert findings_of(HOME=str(folder), LIMITS=str(path))["limits"].ok


def write_keys(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch(0o600)
        (folder / name).write_text(key_of(name).hex())


def test_keys_and_the_mark_are_those_of_the_parts_that_may_run_here(folder: Path) -> None:
    nowhere = {"HOME": str(folder), "RPC_URL": "http://127.0.0.1:1"}
    sequencer = {"SEQUENCER_DATABASE_URL": "postgresql://x@127.0.0.1:1/db"}
    worker = {"WORKER_DATABASE_URL": "postgresql://x@127.0.0.1:1/db"}
    keys = folder / "keys"

    def examined(**environment: str) -> tuple[CheckResult | None, CheckResult | None]:
        found = findings_of(**nowhere, **environment)
        return found.get("keys"), found.get("mark")

    # Of the parts with this login the webhooks' alone has no key.
    assert examined(**worker) == (None, None)
    missing, _ = examined(**worker, KEYS=str(folder / "none"))
    assert missing is not None
    assert missing == CheckResult(
        "keys", False, f"{folder}/none/verifier: No such file or directory"
    )
    told, mark = examined(**sequencer)
    assert told == CheckResult("keys", False, f"{keys}/publisher: No such file or directory")
    assert mark is not None
    assert f"{keys}/publisher.mark: its folder is not there" in mark.detail
    write_keys(keys, "publisher", "verifier", "relayer")
    told, mark = examined(**sequencer)
    assert told == CheckResult("keys", True, f"publisher {address_of('publisher')}")
    assert mark == CheckResult(
        "mark", True, f"{keys}/publisher.mark, which is made at the first checkpoint"
    )
    _, mark = examined(**sequencer, MARK=str(folder / "none/mark"))
    assert mark is not None
    assert not mark.ok
    (keys / "relayer").write_text(key_of("verifier").hex())
    told, _ = examined(**sequencer, **worker)
    assert told is not None
    assert "must differ" in told.detail


def test_a_database_without_this_log_or_with_other_limits_is_found(
    folder: Path, database_url: str
) -> None:
    site, limits = folder / "site.json", folder / "limits.json"
    site.write_text(json.dumps(SITE.to_json()))
    limits.write_text('{"waiting_requests": 7}')
    environment = {
        "HOME": str(folder),
        "RPC_URL": "http://127.0.0.1:1",
        "SITE": str(site),
        "API_DATABASE_URL": urls_of(database_url).api or "",
    }
    found = findings_of(**environment)["postgresql, api"]
    assert not found.ok
    assert "does not keep log 0x" in found.detail
    begin_log(urls_of(database_url), SITE, SITE.registrant)
    assert findings_of(**environment)["postgresql, api"].ok
    found = findings_of(**environment, LIMITS=str(limits))["postgresql, api"]
    assert not found.ok
    assert "run tallystick migrate with the same limits" in found.detail


def test_settings_that_cannot_be_right_end_the_examination() -> None:
    findings = findings_of(LISTEN="everywhere")
    assert list(findings) == ["python", "tallystick", "settings"]
    assert not findings["settings"].ok
    assert "TALLYSTICK_LISTEN must be host:port" in findings["settings"].detail


def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES", 2**80)
    found = findings_of(HOME=str(tmp_path))["disk"]
    assert not found.ok
    assert f"MiB are free at {tmp_path}; make it 1024 or more" in found.detail


def port_of(listener: socket.socket, **environment: str) -> CheckResult:
    """Return the finding about the port of an API that is to listen where a socket is bound."""
    port = listener.getsockname()[1]
    return findings_of(LISTEN=f"127.0.0.1:{port}", **environment)[f"port {port}"]


def test_a_port_is_free_taken_or_ours_already(tmp_path: Path) -> None:
    home = str(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = port_of(other, HOME=home)
    assert not taken.ok
    assert "another program listens at 127.0.0.1:" in taken.detail
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    free = findings_of(HOME=home, LISTEN=f"127.0.0.1:{port}")[f"port {port}"]
    assert free == CheckResult(f"port {port}", True, "free at 127.0.0.1")


@pytest.mark.parametrize(
    ("document", "is_ours"), [({"log_id": "0x"}, True), ({"parts": []}, True), (["log_id"], False)]
)
def test_a_service_of_ours_may_listen_already(
    tmp_path: Path, document: object, *, is_ours: bool
) -> None:
    with serving_json(lambda _: document) as url:
        port = url.rpartition(":")[2]
        found = findings_of(HOME=str(tmp_path), LISTEN=f"127.0.0.1:{port}")[f"port {port}"]
    assert found.ok is is_ours


def test_an_address_that_is_not_this_machines_cannot_be_listened_on(tmp_path: Path) -> None:
    found = findings_of(HOME=str(tmp_path), LISTEN="192.0.2.1:8700")["port 8700"]
    assert not found.ok
    assert "192.0.2.1:8700 cannot be listened on" in found.detail


def test_a_missing_anvil_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_ANVIL", "/no/such/anvil")
    found = findings_of(HOME=str(tmp_path))["anvil"]
    assert found == CheckResult(
        "anvil", False, "TALLYSTICK_ANVIL is /no/such/anvil, which is no program; correct it"
    )


def test_a_database_is_reachable_or_not(tmp_path: Path, database_url: str) -> None:
    urls = urls_of(database_url)
    found = findings_of(
        HOME=str(tmp_path),
        SEQUENCER_DATABASE_URL=urls.sequencer or "",
        WORKER_DATABASE_URL=urls.worker or "",
        API_DATABASE_URL=urls.api or "",
        REGISTRAR_DATABASE_URL=urls.registrar or "",
    )
    detail = "reachable, and set up for us; its clock is this machine's"
    for part in ("sequencer", "worker", "api", "registrar"):
        what = f"postgresql, {part}"
        assert found[what] == CheckResult(what, True, detail)
    missing = (urls.api or "").replace("/test_", "/missing_")
    (finding,) = postgresql_of(tmp_path, missing)
    assert not finding.ok
    assert "by the database URL of tallystick_api: it has no such database" in finding.detail


def test_a_database_that_was_not_migrated_is_found(
    tmp_path: Path, postgres: LocalPostgres, database_url: str
) -> None:
    with fresh_database(postgres, template="template1") as url:
        dbname = conninfo_to_dict(url)["dbname"]
        api = make_conninfo(urls_of(database_url).api or "", dbname=dbname)
        (finding,) = postgresql_of(tmp_path, api)
    assert not finding.ok
    assert finding.detail.endswith("does not exist; run tallystick migrate")


def test_a_login_that_could_do_more_is_found(tmp_path: Path, database_url: str) -> None:
    (finding,) = postgresql_of(tmp_path, database_url)
    assert not finding.ok
    assert "this part logs in as tallystick_api" in finding.detail


@pytest.mark.parametrize("ahead_s", [3600, -3600])
def test_clocks_that_differ_are_found(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    monkeypatch.setattr(doctor, "now_ms", lambda: time.time_ns() // 1_000_000 - 1000 * ahead_s)
    (found,) = postgresql_of(tmp_path, urls_of(database_url).api)
    assert not found.ok
    assert f"its clock is 3600 s {'ahead of' if ahead_s > 0 else 'behind'} this" in found.detail


def test_a_clock_that_is_moved_by_hand_is_found(tmp_path: Path, database_url: str) -> None:
    with DatabaseClock(database_url, time.time_ns() // 1_000_000):
        (found,) = postgresql_of(tmp_path, urls_of(database_url).api)
    assert not found.ok
    assert "moved by hand" in found.detail


def site_on(anvil: LocalAnvil) -> tuple[Deployment, Site]:
    """Deploy our contracts, and return them with the site of a log."""
    deployed = deploy_local(anvil.rpc_url, key_of("publisher"))
    return deployed, Site(
        addresses=deployed.addresses,
        log_id=deployed.log_id,
        origin="local.tallystick",
        registrant=address_of("publisher"),
        verifier=address_of("verifier"),
        tokens=(TokenInfo(deployed.token, "TEST", 6),),
    )


def test_each_node_is_tried_and_they_are_compared(tmp_path: Path, anvil: LocalAnvil) -> None:
    _, site = site_on(anvil)
    path = tmp_path / "site.json"
    path.write_text(json.dumps(site.to_json()))
    key_file = tmp_path / "relayer"
    key_file.write_text(key_of("relayer").hex())
    key_file.chmod(0o600)
    with RpcProxy(anvil.rpc_url, "127.0.0.2") as proxy:
        urls = f"{anvil.rpc_url},{proxy.url}"
        environment = {"HOME": str(tmp_path), "SITE": str(path), "KEYS": str(tmp_path)}

        def examined() -> dict[str, CheckResult]:
            return findings_of(**environment, RPC_URL=urls)

        found = examined()
        assert found["chain"].ok
        (dry,) = {one.detail for what, one in found.items() if what.endswith(", gas money")}
        assert f"the relayer {address_of('relayer')} has 0 wei for gas, and should have" in dry
        key_file.chmod(0o644)
        found = examined()
        assert found["gas money"] == CheckResult(
            "gas money", False, f"{key_file}: others may read it; run chmod 600 on it first"
        )
        assert found["node at 127.0.0.1, events"].ok
        key_file.chmod(0o600)
        proxy.fault = Dialect(99, lambda _: [], {"eth_getLogs": always(4444, "pruned history")})
        found = examined()
        assert found["node at 127.0.0.1, events"].ok
        assert not found["node at 127.0.0.2, events"].ok
        assert "pruned history" in found["node at 127.0.0.2, events"].detail
        proxy.fault = rewritten("eth_getBlockByNumber", lambda one: {**one, "hash": "0x" + WORD})
        assert "127.0.0.2 shows 0xeeee" in examined()["chain"].detail


WORD = "ee" * 32


def test_a_chain_is_approved_only_with_our_contracts(tmp_path: Path, anvil: LocalAnvil) -> None:
    deployed, site = site_on(anvil)
    path = tmp_path / "site.json"

    def examined(document: dict[str, object]) -> CheckResult:
        path.write_text(json.dumps(document))
        environment = {"HOME": str(tmp_path), "RPC_URL": anvil.rpc_url, "SITE": str(path)}
        return findings_of(**environment)["chain"]

    chain_id = deployed.addresses.chain_id
    assert examined(site.to_json()) == CheckResult(
        "chain", True, f"chain {chain_id} holds our contracts; the log is anchored at size 0"
    )
    for name in ("event_log", "escrow", "feedback", "evaluators", "rounds", "splits"):
        assert not examined(site.to_json() | {name: deployed.token}).ok
    assert not examined(site.to_json() | {"chain_id": chain_id + 1}).ok
    assert str(path) in examined({}).detail
    without_site = findings_of(HOME=str(tmp_path), RPC_URL=anvil.rpc_url)["chain"]
    assert "set TALLYSTICK_SITE" in without_site.detail


@pytest.mark.parametrize("password", ["tops%zzecret", "x@tops-ecret", "topsecret"])
def test_a_finding_shows_no_password(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], password: str
) -> None:
    findings = postgresql_of(tmp_path, f"postgresql://u:{password}@127.0.0.1:1/db")
    assert not findings[0].ok
    assert "database URL" in findings[0].detail
    # The driver and its pool may write to the terminal by themselves.
    written = capfd.readouterr()
    assert "ecret" not in f"{findings} {written.out} {written.err}"


def test_the_command_prints_the_findings_and_no_password(tmp_path: Path) -> None:
    environment = {
        "TALLYSTICK_HOME": str(tmp_path),
        "TALLYSTICK_API_DATABASE_URL": "postgresql://u:tops%zzecret@127.0.0.1:1/db",
    }
    done = subprocess.run(
        [COMMAND, "doctor"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "postgresql, api: the database URL is no PostgreSQL URL" in done.stdout
    assert "Traceback" not in done.stderr
    assert "ecret" not in done.stdout + done.stderr
