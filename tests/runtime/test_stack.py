"""A stack opens only on its own log, chain and keys, and each of its parts has its own key."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.client.http import Client
from orchestrator.core.common.errors import ChainError, InputError, LogError
from orchestrator.core.common.limits import Limits
from orchestrator.core.deals.site import Site
from orchestrator.runtime.connections import listen
from orchestrator.runtime.stack import Keys, Stack, http_server
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of
from tests.support.sandboxes import running_sandbox
from tests.support.servers import urls_of

PUBLISHER, VERIFIER, RELAYER = (key_of(name) for name in Keys._fields)
NO_KEYS = Keys()


@pytest.fixture(scope="module")
def sandbox(module_database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("one.tallystick", module_database_url) as running:
        yield running


def open_stack(
    sandbox: Sandbox,
    database_url: str,
    keys: Keys = NO_KEYS,
    site: Site | None = None,
    *,
    speed: int | None = 0,
    limits: Limits | None = None,
) -> Stack:
    """Open a second stack on the sandbox's chain and database, with these keys alone."""
    return Stack(
        databases=urls_of(database_url),
        rpc_url=sandbox.rpc_url,
        site=site or sandbox.stack.site,
        keys=keys,
        now_ms=sandbox.clock,
        public_url=sandbox.url,
        speed=speed,
        limits=limits or sandbox.stack.limits,
    )


def test_a_clock_that_is_moved_by_hand_serves_no_real_time(
    sandbox: Sandbox, module_database_url: str
) -> None:
    with pytest.raises(LogError, match="name another database") as refused:
        open_stack(sandbox, module_database_url, speed=None)
    assert refused.value.code == "clock-simulated"


def test_limits_that_the_database_does_not_hold_requests_to_are_refused(
    sandbox: Sandbox, module_database_url: str
) -> None:
    """Callers are told of limits: they must be those that bind them."""
    with pytest.raises(LogError, match="run tallystick migrate") as refused:
        open_stack(sandbox, module_database_url, limits=Limits(waiting_requests=77_777))
    assert refused.value.code == "limits-unmigrated"


def test_another_chain_is_refused(sandbox: Sandbox, module_database_url: str) -> None:
    site = sandbox.stack.site
    for addresses, code in (
        (site.addresses._replace(chain_id=1), "wrong-chain"),
        (site.addresses._replace(escrow=sandbox.token), "code-differs"),
    ):
        with pytest.raises(ChainError) as refused:
            open_stack(sandbox, module_database_url, site=replace(site, addresses=addresses))
        assert refused.value.code == code


@pytest.mark.usefixtures("sandbox")
def test_a_database_of_another_log_is_refused(module_database_url: str) -> None:
    with (
        pytest.raises(LogError, match=r"keeps log .* of one\.tallystick, not"),
        running_sandbox("two.tallystick", module_database_url),
    ):
        pass


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        (NO_KEYS, ()),
        (Keys(publisher=PUBLISHER), ("sequencer",)),
        (Keys(relayer=RELAYER), ("relayer",)),
        (Keys(verifier=VERIFIER), ()),
        (Keys(verifier=VERIFIER, relayer=RELAYER), ("relayer", "pipeline")),
    ],
)
def test_a_part_needs_its_own_keys_and_no_others(
    sandbox: Sandbox, module_database_url: str, keys: Keys, parts: tuple[str, ...]
) -> None:
    with open_stack(sandbox, module_database_url, keys) as stack:
        assert stack.publisher == address_of("publisher")
        for part in ("sequencer", "relayer", "pipeline"):
            if part in parts:
                assert getattr(stack, part) is getattr(stack, part)
                continue
            with pytest.raises(InputError, match=r"this part needs the \w+'s key"):
                getattr(stack, part)


def test_keys_show_nothing_of_themselves() -> None:
    assert repr(Keys(PUBLISHER, VERIFIER, RELAYER)) == "Keys(…)"


@pytest.mark.parametrize(
    ("keys", "name"),
    [(Keys(publisher=VERIFIER), "publisher"), (Keys(verifier=PUBLISHER), "verifier")],
)
def test_a_key_of_another_account_is_refused(
    sandbox: Sandbox, module_database_url: str, keys: Keys, name: str
) -> None:
    with pytest.raises(InputError, match=f"the {name} of this deployment is 0x"):
        open_stack(sandbox, module_database_url, keys)


def test_publisher_and_verifier_must_be_two_accounts(
    sandbox: Sandbox, module_database_url: str
) -> None:
    site = replace(sandbox.stack.site, verifier=address_of("publisher"))
    with pytest.raises(InputError, match="must be two accounts"):
        open_stack(sandbox, module_database_url, site=site)


def test_records_end_where_the_log_ends(sandbox: Sandbox) -> None:
    (genesis,) = sandbox.stack.records(0, 1000)
    assert genesis.entry.kind == "genesis"
    assert list(sandbox.stack.records(1, 1000)) == []


def test_the_api_is_served_until_the_block_ends(sandbox: Sandbox, module_database_url: str) -> None:
    with open_stack(sandbox, module_database_url) as stack:
        with http_server(stack.app, listen("127.0.0.1", 0)) as url:
            with Client(url) as client:
                assert client.get("/v1/log")["origin"] == "one.tallystick"
            port = int(url.rpartition(":")[2])
            with pytest.raises(ChainError, match=f"port {port} is in use"):
                listen("127.0.0.1", port)
        listen("127.0.0.1", port).close()
