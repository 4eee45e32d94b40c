"""A deployment refuses to start over what is not its own."""

from dataclasses import replace

import pytest

from orchestrator.core.errors import ChainError, InputError, LogError
from orchestrator.core.site import Site
from orchestrator.runtime.stack import Keys, Stack
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, address_of, key_of
from tests.support.servers import server_folder

START_MS = 1_700_000_000_000


def test_another_log_or_another_chain_is_refused(database_url: str) -> None:
    with server_folder() as folder:
        plan = SandboxOptions(folder / "one", START_MS, "one.tallystick", database_url=database_url)
        with Sandbox(plan, lambda _: None) as scene:
            site = scene.stack.site
            for addresses, code in (
                (site.addresses._replace(chain_id=1), "wrong-chain"),
                (site.addresses._replace(escrow=scene.token), "code-differs"),
            ):
                changed = replace(site, addresses=addresses)
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
        other = SandboxOptions(
            folder / "two", START_MS, "two.tallystick", database_url=database_url
        )
        with pytest.raises(LogError, match=r"keeps log .* of one\.tallystick, not"):
            Sandbox(other, lambda _: None)


def test_each_part_is_given_its_own_keys(database_url: str) -> None:
    """So that they can be kept apart: none has another's, and none works without its own."""
    with server_folder() as folder:
        plan = SandboxOptions(folder, START_MS, "keys.tallystick", database_url=database_url)
        with Sandbox(plan, lambda _: None) as scene:

            def stack(keys: Keys, site: Site = scene.stack.site) -> Stack:
                return Stack(
                    database_url=database_url,
                    rpc_url=scene.rpc_url,
                    site=site,
                    keys=keys,
                    now_ms=scene.clock,
                    public_url=scene.url,
                )

            publisher, verifier, relayer = (key_of(name) for name in Keys._fields)
            for keys, able in (
                (Keys(), ()),
                (Keys(publisher=publisher), ("sequencer",)),
                (Keys(relayer=relayer), ("relayer",)),
                (Keys(verifier=verifier), ()),
                (Keys(verifier=verifier, relayer=relayer), ("relayer", "pipeline")),
            ):
                with stack(keys) as made:
                    assert made.publisher == address_of("publisher")
                    assert repr(keys) == "Keys(…)"
                    for part in ("sequencer", "relayer", "pipeline"):
                        if part in able:
                            assert getattr(made, part) is getattr(made, part)
                            continue
                        with pytest.raises(InputError, match=r"this part needs the \w+'s key"):
                            getattr(made, part)
            for keys, name in (
                (Keys(publisher=verifier), "publisher"),
                (Keys(verifier=publisher), "verifier"),
            ):
                with pytest.raises(InputError, match=f"the {name} of this deployment is 0x"):
                    stack(keys)
            same = replace(scene.stack.site, verifier=address_of("publisher"))
            with pytest.raises(InputError, match="must be two accounts"):
                stack(Keys(), same)
