"""The needs of the pipeline, tried on nodes that lack some of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.runtime.health.needs import Need, examine_node
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import DEPLOYER, STRANGER
from tests.support.dialects import (
    DIALECTS,
    Dialect,
    always,
    at,
    legacy,
    no_method,
)
from tests.support.rpc_proxy import RpcProxy

WHATS = [
    *("batches", "final blocks", "final state", "events", "fees", "trying calls out"),
    "transactions",
]


@pytest.fixture(scope="module")
def deployment(module_anvil: LocalAnvil) -> Deployment:
    return deploy_local(module_anvil.rpc_url, DEPLOYER)


@pytest.fixture
def proxy(module_anvil: LocalAnvil) -> Iterator[RpcProxy]:
    with RpcProxy(module_anvil.rpc_url) as proxy:
        yield proxy


def found(
    proxy: RpcProxy, deployment: Deployment, depth: int | None = None, payer: str | None = None
) -> dict[str, Need]:
    with Chain(proxy.url, deployment.addresses, depth) as chain:
        chain.node.pause = lambda _: None
        return {need.what: need for need in examine_node(chain, payer)}


def test_a_whole_node_has_all(proxy: RpcProxy, deployment: Deployment) -> None:
    needs = found(proxy, deployment)
    assert list(needs) == WHATS
    assert all(need.ok for need in needs.values())
    assert needs["batches"].detail == "takes 100 requests at once"
    assert needs["final state"].detail == "is kept"
    assert needs["trying calls out"].detail == "on the pending block"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_what_can_be_done_without_is_said_and_is_no_fault(
    proxy: RpcProxy, deployment: Deployment, dialect: Callable[[], Dialect]
) -> None:
    proxy.fault = dialect()
    needs = found(proxy, deployment)
    assert all(need.ok for need in needs.values()), needs
    if dialect is DIALECTS["jsonrpsee"]:
        assert "takes none" in needs["batches"].detail
    if dialect is DIALECTS["sequencer"]:
        assert "is not kept" in needs["final state"].detail


def test_a_legacy_chain_needs_a_depth(proxy: RpcProxy, deployment: Deployment) -> None:
    proxy.fault = legacy()
    needs = found(proxy, deployment)
    assert [what for what, need in needs.items() if not need.ok] == ["final blocks", "final state"]
    assert "set TALLYSTICK_FINAL_DEPTH" in needs["final blocks"].detail
    assert "hex string without 0x prefix" in needs["final blocks"].detail
    needs = found(proxy, deployment, depth=3)
    assert all(need.ok for need in needs.values()), needs
    assert "3 below the latest" in needs["final blocks"].detail
    assert "transactions are legacy" in needs["fees"].detail


PRUNED = always(4444, "pruned history unavailable")


@pytest.mark.parametrize(
    ("rules", "what", "words"),
    [
        ({"eth_getLogs": PRUNED}, "events", "pruned history unavailable"),
        (
            {"eth_estimateGas": no_method("eth_estimateGas")},
            "trying calls out",
            "eth_estimateGas does not exist",
        ),
        (
            {"eth_sendRawTransaction": always(-32601, "read only")},
            "transactions",
            "read only",
        ),
        (
            {"eth_getTransactionReceipt": always(-32000, "transaction indexing is off")},
            "transactions",
            "indexing is off",
        ),
        (
            {"eth_getBlockByNumber": at(("safe", "finalized"), -39001, "Unknown block")},
            "final blocks",
            "Unknown block",
        ),
    ],
)
def test_what_is_missing_is_named_in_the_nodes_words(
    proxy: RpcProxy, deployment: Deployment, rules: dict[str, Any], what: str, words: str
) -> None:
    proxy.fault = Dialect(100, lambda _: [], rules)
    needs = found(proxy, deployment)
    assert [one for one, need in needs.items() if not need.ok] == [what]
    assert words in needs[what].detail


def test_a_node_that_does_not_answer_is_tried_no_further(
    proxy: RpcProxy, deployment: Deployment
) -> None:
    proxy.fault = lambda _, __: b"<html>502 Bad Gateway</html>"
    (need,) = found(proxy, deployment).values()
    assert (need.what, need.ok) == ("answers", False)
    assert "502 Bad Gateway" in need.detail


def test_a_relayer_that_runs_dry_is_found_before_it_does(
    proxy: RpcProxy, deployment: Deployment, module_anvil: LocalAnvil
) -> None:
    with LocalChainClock(module_anvil.rpc_url) as clock:
        clock.fund(STRANGER, 10**10)
        need = found(proxy, deployment, payer=STRANGER)["gas money"]
        assert not need.ok
        assert f"{STRANGER} has 10000000000 wei for gas, and should have" in need.detail
        clock.fund(STRANGER, 10**24)
        assert found(proxy, deployment, payer=STRANGER)["gas money"].ok
