"""The pipeline on nodes of every kind: outcomes are paid, and one trouble stops nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from orchestrator.chain.nodes.pool import NodePool
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import ChainError
from orchestrator.settlement.pipeline import AGREED_FOR_MS
from tests.support.chain_bench import rewritten
from tests.support.depth import cases
from tests.support.dialects import DIALECTS, Dialect, failure, legacy
from tests.support.rpc_proxy import Ask, Fault, RpcProxy, honest
from tests.support.single_contract import PRICE, SingleContract, single_contract

HOSTS = ("127.0.0.1", "127.0.0.2")


@contextmanager
def behind(market: SingleContract, *faults: Fault) -> Iterator[list[RpcProxy]]:
    """Put a proxy with each fault before the market's node, and have the pipeline ask these."""
    with ExitStack() as exits:
        proxies = [
            exits.enter_context(RpcProxy(market.sandbox.rpc_url, host))
            for host, _ in zip(HOSTS, faults, strict=False)
        ]
        for proxy, fault in zip(proxies, faults, strict=True):
            proxy.fault = fault
        direct, pool = market.chain.node, NodePool(",".join(proxy.url for proxy in proxies))
        exits.enter_context(pool)
        pool.pause = lambda _: None
        market.chain.node = pool
        try:
            yield proxies
        finally:
            market.chain.node = direct


@pytest.mark.parametrize("dialect", cases(DIALECTS, "erigon", "sequencer"))
def test_outcomes_are_paid_through_every_kind_of_node(database_url: str, dialect: str) -> None:
    """Also through one that keeps no final state: what the chain told by events stands for it."""
    with single_contract(database_url) as market, behind(market, DIALECTS[dialect]()):
        for number in range(2):
            market.convert(2)
            market.sandbox.settle(f"day {number}")
        assert market.paid_outcomes() == 4
        assert len(market.entries("payout")) == 2


def test_outcomes_are_paid_on_a_chain_without_base_fees_and_final_blocks(
    database_url: str,
) -> None:
    with single_contract(database_url) as market, behind(market, legacy()):
        market.convert(2)
        market.chain.final_depth = 2
        market.sandbox.settle("day")
        assert market.paid_outcomes() == 2
        assert len(market.entries("payout")) == 1


def test_without_final_blocks_and_a_depth_nothing_is_paid_and_the_node_is_quoted(
    database_url: str,
) -> None:
    with single_contract(database_url) as market, behind(market, legacy()):
        market.convert(2)
        with pytest.raises(ChainError, match="hex string without 0x prefix"):
            market.sandbox.settle("day")
        assert market.paid_outcomes() == 0


def test_a_statement_that_no_node_would_settle_holds_up_no_other(database_url: str) -> None:
    with single_contract(database_url) as market:
        market.fund_owner(100 * PRICE)
        other = market.propose(market.add_operator("bob"))
        market.accept()
        market.sandbox.pass_time(61)
        name = market.contract.hex()

        def rule(ask: Ask) -> dict[str, Any] | None:
            is_bad = name in ask["params"][0]["data"]
            return failure(-32015, "VM execution error.", "Reverted 0x") if is_bad else None

        stubborn = Dialect(100, lambda _: [], {"eth_estimateGas": rule})
        with behind(market, stubborn) as (proxy,):
            market.convert(1)
            market.convert(1, market.operators["bob"])
            market.sandbox.settle("day")
            assert market.paid_outcomes() == 0
            assert market.chain.paid_of(other) == PRICE
            # Once a node would do it, the next statement pays for both.
            proxy.fault = honest
            market.convert(1)
            market.sandbox.settle("next day")
            assert market.paid_outcomes() == 2


def test_a_step_that_fails_stops_no_other_step(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with single_contract(database_url) as market:

        def fail() -> int:
            raise ChainError("call-reverted", "this token has no balances")

        pipeline = market.sandbox.stack.pipeline
        monkeypatch.setattr(pipeline, "accept", fail)
        market.convert(1)
        pipeline.tick("day")
        market.sandbox.stack.drain()
        for _ in range(6):
            market.sandbox.finalize()
            with pytest.raises(ChainError, match="this token has no balances"):
                pipeline.step()
        assert market.paid_outcomes() == 1


def test_another_node_goes_on_where_one_fails(database_url: str) -> None:
    with (
        single_contract(database_url) as market,
        behind(market, lambda _, __: b"<html>502</html>", honest) as (first, second),
    ):
        market.convert(1)
        market.sandbox.settle("day")
        assert market.paid_outcomes() == 1
        # It is asked where nodes are compared, and else no more.
        assert len(first.asks) < len(second.asks) // 4


def test_nodes_that_show_two_final_chains_stop_everything(database_url: str) -> None:
    def forked(block: Any) -> Any:
        return block and {**block, "hash": "0x" + "ee" * 32}

    with (
        single_contract(database_url) as market,
        behind(market, honest, rewritten("eth_getBlockByNumber", forked)) as (first, second),
    ):
        market.convert(1)
        with pytest.raises(ChainError, match=r"127\.0\.0\.2 shows 0xeeee") as caught:
            market.sandbox.settle("day")
        assert caught.value.code == "nodes-disagree"
        assert not first.sent() + second.sent()
        assert market.entries("payout") == []
        second.fault = rewritten("eth_chainId", lambda _: "0x1")
        with pytest.raises(ChainError, match="is on chain 1, and the deployment is on 31337"):
            market.sandbox.come_to_rest()
        # A node that is silent says nothing against the other.
        second.fault = lambda _, __: None
        market.sandbox.come_to_rest()
        assert market.paid_outcomes() == 1
        market.sandbox.pass_time(AGREED_FOR_MS // 1000)
        second.fault = rewritten("eth_getBlockByNumber", forked)
        with pytest.raises(ChainError, match="at final block"):
            market.sandbox.come_to_rest()


def test_a_node_that_is_away_is_waited_for_once_a_step(database_url: str) -> None:
    with single_contract(database_url) as market, behind(market, honest) as (proxy,):
        market.convert(1)
        proxy.fault = lambda _, __: None
        with pytest.raises(NodeError):
            market.sandbox.settle("day")
        assert len(proxy.batches) <= 4
        proxy.fault = honest
        market.sandbox.come_to_rest()
        assert market.paid_outcomes() == 1


def test_a_relayer_without_money_for_gas_is_told_and_what_is_owed_waits(database_url: str) -> None:
    with single_contract(database_url) as market:
        sender = market.sandbox.stack.relayer.sender
        market.convert(1)
        market.chain.node.call("anvil_setBalance", sender, hex(10**9))
        with pytest.raises(ChainError, match=f"{sender} can begin nothing.*send it more") as caught:
            market.sandbox.settle("day")
        assert caught.value.code == "intents-untried"
        assert market.paid_outcomes() == 0
        market.chain.node.call("anvil_setBalance", sender, hex(10**24))
        market.sandbox.come_to_rest()
        assert market.paid_outcomes() == 1
