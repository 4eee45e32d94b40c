"""A local chain: a clock that is set by hand, transactions by key, a whole deployment."""

from collections.abc import Iterator

import pytest

from orchestrator.chain.deployment import Chain, log_id_of
from orchestrator.chain.rpc import quantity
from orchestrator.core.common.errors import ChainError
from orchestrator.core.deals.terms import address_of
from orchestrator.runtime.local_chain import (
    GAS_FUNDS_WEI,
    Deployment,
    LocalChainClock,
    deploy_local,
    send_local,
)
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.rpc_proxy import Ask, Forward, RpcProxy

KEY, PUBLISHER_KEY = b"\1" * 32, b"\2" * 32


@pytest.fixture(scope="module")
def clock(module_anvil: LocalAnvil) -> Iterator[LocalChainClock]:
    with LocalChainClock(module_anvil.rpc_url) as clock:
        yield clock


@pytest.fixture(scope="module")
def deployment(module_anvil: LocalAnvil) -> Deployment:
    publisher = address_of(PUBLISHER_KEY)
    return deploy_local(module_anvil.rpc_url, KEY, origin="chain.example", publisher=publisher)


@pytest.fixture(scope="module")
def chain(module_anvil: LocalAnvil, deployment: Deployment) -> Iterator[Chain]:
    with Chain(module_anvil.rpc_url, deployment.addresses) as chain:
        yield chain


def test_time_stands_still_until_it_is_set(clock: LocalChainClock) -> None:
    start_s = clock.now_s()
    clock.mine(3)
    assert clock.now_s() == start_s
    clock.set_to(start_s + 500)
    clock.mine()
    assert clock.now_s() == start_s + 500
    with pytest.raises(ChainError) as refused:
        clock.set_to(start_s)
    assert refused.value.code == "clock-backwards"


def test_what_is_latest_becomes_final(clock: LocalChainClock) -> None:
    clock.mine(2)
    latest = quantity(clock.node.call("eth_blockNumber"))
    clock.finalize()
    final = clock.node.call("eth_getBlockByNumber", "finalized", False)
    assert isinstance(final, dict)
    assert quantity(final["number"]) >= latest


def test_what_was_sent_becomes_final(clock: LocalChainClock) -> None:
    """A node answers before it mines, so `finalize` is asked of what no block has yet."""
    clock.fund(address_of(KEY), GAS_FUNDS_WEI)
    clock.node.call("evm_setAutomine", False)
    sent = {"from": address_of(KEY), "to": address_of(PUBLISHER_KEY), "value": "0x1"}
    clock.node.call("anvil_impersonateAccount", address_of(KEY))
    tx_hash = clock.node.call("eth_sendTransaction", sent)
    clock.finalize()
    clock.node.call("evm_setAutomine", True)
    final = clock.node.call("eth_getBlockByNumber", "finalized", False)
    receipt = clock.node.call("eth_getTransactionReceipt", tx_hash)
    assert isinstance(final, dict)
    assert isinstance(receipt, dict)
    assert quantity(final["number"]) >= quantity(receipt["blockNumber"])


def test_a_node_whose_clock_cannot_be_set_is_refused(anvil: LocalAnvil) -> None:
    def without_anvil_methods(asks: list[Ask], forward: Forward) -> list[Ask]:
        for ask in asks:
            ask["method"] = ask["method"].replace("anvil_", "other_")
        return forward(asks)

    with RpcProxy(anvil.rpc_url) as proxy:
        proxy.fault = without_anvil_methods
        with pytest.raises(ChainError) as refused:
            LocalChainClock(proxy.url)
    assert refused.value.code == "clock-fixed"


def test_a_deployment_is_checked_final_and_has_a_log(
    clock: LocalChainClock, deployment: Deployment, chain: Chain
) -> None:
    chain.check()
    chain.check_companions()
    registrant = address_of(KEY)
    assert deployment.log_id == log_id_of(registrant, "chain.example")
    publisher = chain.check_log(deployment.log_id, registrant, "chain.example")
    assert publisher == address_of(PUBLISHER_KEY)
    assert chain.checkpoint(deployment.log_id).size == 0
    for address in deployment.stand_ins:
        assert clock.node.call("eth_getCode", address, "finalized") != "0x"


def test_a_transaction_is_mined_and_a_reverting_one_is_not_sent(
    clock: LocalChainClock, deployment: Deployment, chain: Chain
) -> None:
    sender = address_of(PUBLISHER_KEY)
    clock.fund(sender, GAS_FUNDS_WEI)
    mint = chain.mint(deployment.token, sender, 5)
    receipt = send_local(clock.node, PUBLISHER_KEY, mint.to, mint.data)
    assert quantity(receipt["status"]) == 1
    assert chain.balance_of(deployment.token, sender) == 5
    nonce = clock.node.call("eth_getTransactionCount", sender, "latest")
    nothing = chain.withdraw(deployment.token, sender, 1)
    with pytest.raises(ChainError, match="it would revert: ") as refused:
        send_local(clock.node, PUBLISHER_KEY, nothing.to, nothing.data)
    assert refused.value.code == "call-reverted"
    assert clock.node.call("eth_getTransactionCount", sender, "latest") == nonce
