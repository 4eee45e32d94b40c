"""A deployment refuses to start over what is not its own."""

import pytest

from orchestrator.core.errors import ChainError, LogError
from orchestrator.rehearsal import Plan, Rehearsal
from orchestrator.stack import Keys, Stack
from tests.conftest import server_folder

START_MS = 1_700_000_000_000


def test_another_log_or_another_chain_is_refused(database_url: str) -> None:
    with server_folder() as folder:
        plan = Plan(folder / "one", START_MS, "one.tallystick", database_url=database_url)
        with Rehearsal(plan, lambda _: None) as scene:
            site = scene.stack.site
            for addresses, code in (
                (site.addresses._replace(chain_id=1), "wrong-chain"),
                (site.addresses._replace(escrow=scene.token), "code-differs"),
            ):
                changed = type(site)(
                    addresses, site.log_id, site.origin, site.registrant, site.tokens
                )
                with pytest.raises(ChainError) as refused:
                    Stack(
                        database_url=database_url,
                        rpc_url=scene.rpc_url,
                        site=changed,
                        keys=Keys(b"\1" * 32, b"\2" * 32, b"\3" * 32),
                        now_ms=scene.clock,
                        public_url=scene.url,
                    )
                assert refused.value.code == code
        other = Plan(folder / "two", START_MS, "two.tallystick", database_url=database_url)
        with pytest.raises(LogError, match=r"keeps log .* of one\.tallystick, not"):
            Rehearsal(other, lambda _: None)
