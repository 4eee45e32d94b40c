"""The life of a sandbox: its accounts are made once, have what they need, and its workers live."""

from pathlib import Path

from orchestrator.core.deals.terms import address_of
from orchestrator.runtime.local_chain import GAS_FUNDS_WEI
from orchestrator.simulation.market.life import (
    OWNER,
    OWNER_UNITS,
    RESIDENTS,
    SandboxPlace,
    living,
)
from orchestrator.simulation.market.running_clock import RunningClock
from orchestrator.storage.local.files import read_key
from tests.support.sandboxes import running_sandbox


def test_accounts_are_made_once_and_have_what_they_need(
    module_database_url: str, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "keys").mkdir()
    with (
        running_sandbox("life.example", module_database_url) as sandbox,
        RunningClock(database_url, sandbox.rpc_url, 1) as clock,
    ):
        place = SandboxPlace(tmp_path, sandbox.url, sandbox.rpc_url)
        names, keys = [OWNER, *(one.name for one in RESIDENTS)], []
        usual = ["clock", "chain", "market"]
        for _ in range(2):
            with living(sandbox.stack, clock, place, "seed") as workers:
                assert [worker.name for worker in workers] == [*usual, "residents"]
            keys.append([read_key(tmp_path / "keys" / name) for name in names])
        assert keys[0] == keys[1]
        assert len({*keys[0]}) == len(names)
        with living(sandbox.stack, clock, place, "seed", residents=0) as workers:
            assert [worker.name for worker in workers] == usual
        owner = address_of(keys[0][0])
        chain, token = sandbox.stack.chain, sandbox.token
        assert chain.balance_of(token, owner) >= OWNER_UNITS
        assert chain.funds_of(token, owner).allowance_units == OWNER_UNITS
        gas = chain.node.call("eth_getBalance", owner, "latest")
        assert isinstance(gas, str)
        assert GAS_FUNDS_WEI // 2 < int(gas, 16) <= GAS_FUNDS_WEI
        assert (tmp_path / "keys" / OWNER).stat().st_mode & 0o777 == 0o600
