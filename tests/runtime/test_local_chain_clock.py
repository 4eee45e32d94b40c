"""A local chain's clock: it stands still until it is set."""

import pytest

from orchestrator.chain.rpc import read_block
from orchestrator.core.common.errors import ChainError
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import DEPLOYER, refused
from tests.support.rpc_proxy import RpcProxy


def test_the_clock_stands_still_until_it_is_set(module_anvil: LocalAnvil) -> None:
    with LocalChainClock(module_anvil.rpc_url) as clock:
        before_s = clock.now_s()
        clock.mine(5)
        assert clock.now_s() == before_s
        clock.set_to(before_s + 3_600)
        clock.mine()
        assert clock.now_s() == before_s + 3_600
        clock.set_to(before_s + 3_600)
        with pytest.raises(ChainError) as caught:
            clock.set_to(before_s)
        assert caught.value.code == "clock-backwards"
        latest = int(clock.node.call("eth_blockNumber"), 16)
        clock.finalize()
        final = read_block(clock.node.call("eth_getBlockByNumber", "finalized", False))
        assert final.number >= latest


def test_a_node_whose_clock_cannot_be_set_is_refused(module_anvil: LocalAnvil) -> None:
    with RpcProxy(module_anvil.rpc_url) as proxy:
        error = {"code": -32601, "message": "the method does not exist"}
        proxy.fault = lambda asks, _: [
            {"jsonrpc": "2.0", "id": ask["id"], "error": error} for ask in asks
        ]
        for act in (LocalChainClock, lambda url: deploy_local(url, DEPLOYER)):
            message = refused("clock-fixed", lambda act=act: act(proxy.url))  # type: ignore[misc]
            assert message == "the node at 127.0.0.1 does not let its clock be set; use anvil"
