"""A sandbox: one clock for all its parts, wallets by name, and servers that end with it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.client.http import Client
from orchestrator.core.common.errors import ChainError, LogError, ServerError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import address_of as address_of_key
from orchestrator.runtime.local_chain import GAS_FUNDS_WEI, LocalChainClock
from orchestrator.simulation.sandbox import (
    MAX_CHAIN_LEAD_S,
    Sandbox,
    SandboxOptions,
    SimulatedClock,
    address_of,
    key_of,
)
from orchestrator.storage.database import WORKER, Unreachable
from orchestrator.storage.schema import create_log
from tests.support.sandboxes import running_sandbox
from tests.support.servers import CHAIN_START_S, open_as

FEE_BPS = 250


@pytest.fixture(scope="module")
def sandbox(module_database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("sandbox.example", module_database_url, FEE_BPS) as running:
        yield running


def test_the_clock_is_never_set_back_and_the_databases_own(database_url: str) -> None:
    with SimulatedClock(database_url, 1000) as clock, open_as(database_url, WORKER) as database:
        for to_ms, now_ms in ((1000, 1000), (3000, 3000), (2000, 3000)):
            clock.set_to(to_ms)
            with database.transaction() as session:
                row = session.one("database.clock")
            assert row is not None
            assert (clock(), row.now_ms, row.is_simulated) == (now_ms, now_ms, True)


def test_the_clock_goes_on_after_its_connection_was_lost(database_url: str) -> None:
    """As when the server has ended by itself and was started again."""
    ended = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with SimulatedClock(database_url, 1000) as clock:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(ended)
        with pytest.raises(Unreachable):
            clock.set_to(2000)
        assert clock() == 1000
        clock.set_to(3000)
        assert clock() == 3000


def test_a_log_of_real_times_gets_no_clock_that_is_moved(database_url: str) -> None:
    zero = "0x" + "0" * 40
    names = dict.fromkeys(("event_log", "escrow", "publisher"), zero)
    create_log(database_url, log_id=bytes(32), origin="real", chain_id=1, **names)
    with pytest.raises(LogError, match="name another one") as refused:
        SimulatedClock(database_url, 1000)
    assert refused.value.code == "clock-real"


def test_a_wallet_is_its_name() -> None:
    assert address_of("ada") == address_of_key(key_of("ada"))
    assert len({address_of(name) for name in ("ada", "bo", "ada")}) == 2


def test_it_serves_a_log_that_has_begun(sandbox: Sandbox) -> None:
    with Client(sandbox.url) as client:
        log = client.get("/v1/log")
        (genesis,) = client.get("/v1/log/entries", start=0, limit=1)["entries"]
    assert bytes.fromhex(log["log_id"][2:]) == sandbox.stack.site.log_id
    assert genesis["entry"].startswith("0x" + b"genesis".hex())
    assert sandbox.stack.site.fee_bps == FEE_BPS
    assert sandbox.stack.site.fee_recipient == sandbox.treasury


def test_time_passes_for_the_log_and_the_chain_together(sandbox: Sandbox) -> None:
    before_s = sandbox.clock() // 1000
    sandbox.pass_time(DAY_S)
    assert sandbox.clock() // 1000 == before_s + DAY_S
    assert sandbox.stack.chain.block().time_s >= before_s + DAY_S
    with LocalChainClock(sandbox.rpc_url) as clock:
        chain_s = clock.now_s()
        clock.set_to(chain_s + 100)
    # A chain that is ahead already is not set back.
    sandbox.pass_time(1)
    assert sandbox.stack.chain.block().time_s == chain_s + 100


def test_a_transaction_is_paid_by_the_wallet_that_sends_it(sandbox: Sandbox) -> None:
    chain, sender = sandbox.stack.chain, address_of("buyer")
    sandbox.fund("buyer")
    assert sandbox.send("buyer", chain.mint(sandbox.token, sender, 7)) > 21_000
    assert chain.balance_of(sandbox.token, sender) == 7
    left = chain.node.call("eth_getBalance", sender, "latest")
    assert isinstance(left, str)
    assert 0 < int(left, 16) < GAS_FUNDS_WEI
    with pytest.raises(ChainError) as refused:
        sandbox.send("buyer", chain.refund(bytes(32)))
    assert refused.value.code == "contract-unknown"


def test_the_pipeline_comes_to_rest_with_the_log_anchored(sandbox: Sandbox) -> None:
    sandbox.pass_time(DAY_S)
    sandbox.come_to_rest()
    newest = sandbox.stack.log.checkpoint()
    assert newest is not None
    anchor = sandbox.stack.chain.checkpoint(sandbox.stack.site.log_id)
    assert (anchor.size, anchor.root) == (newest.size, newest.root)


def test_a_chain_that_is_far_ahead_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.pass_time(MAX_CHAIN_LEAD_S + 1)
    steps: list[str] = []
    options = SandboxOptions(
        tmp_path, CHAIN_START_S * 1000, "late.example", rpc_url=sandbox.rpc_url
    )
    with pytest.raises(ChainError, match=f"start anvil with --timestamp {CHAIN_START_S}"):
        Sandbox(options, steps.append)
    assert steps == []


def test_it_stops_the_servers_that_it_started() -> None:
    with running_sandbox("own.example") as sandbox:
        url, rpc_url = sandbox.url, sandbox.rpc_url
        with Client(url) as client:
            assert client.get("/v1/log")
    with Client(url) as client, pytest.raises(ServerError):
        client.get("/v1/log")
    with pytest.raises(ChainError):
        LocalChainClock(rpc_url)
