"""Events read in ranges of blocks, from nodes that refuse, lag or send what was not asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.chain.abi import Opened, Registered
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import MAX_CONTRACTS, EventScan, events_of
from orchestrator.chain.rpc import NodeError, ReplyError
from orchestrator.core.terms import Terms
from orchestrator.runtime.local_chain import LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_bench import Bench, limited_to, rewritten
from tests.support.chain_deal import open_contract
from tests.support.rpc_proxy import RpcProxy


def scan_of(bench: Bench, span_blocks: int) -> EventScan:
    addresses = bench.chain.addresses
    return EventScan(bench.chain, [addresses.event_log, addresses.escrow], span_blocks)


def test_a_scan_narrows_until_the_node_answers_and_stays_narrow(bench: Bench) -> None:
    bench.clock.mine(40)
    latest = bench.chain.block().number
    scan = scan_of(bench, 64)
    bench.proxy.fault = limited_to(5)
    first, kinds = 0, []
    while first <= latest:
        page = scan.page(first, latest)
        assert page.last_hash == bench.chain.block(page.last).block_hash
        kinds += [type(event.decode().event) for event in page.events]
        assert scan.span_blocks == 4
        first = page.last + 1
    assert kinds == [Registered]


def test_a_node_that_refuses_even_one_block_is_given_up(bench: Bench) -> None:
    bench.proxy.fault = limited_to(0)
    with pytest.raises(ReplyError, match="range too long"):
        scan_of(bench, 8).page(0, 3)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda log: log | {"blockHash": "0x" + "ee" * 32}, "node-lags"),
        (lambda log: log | {"blockNumber": hex(10**6)}, "node-lags"),
        (lambda log: log | {"address": "0x" + "ee" * 20}, "node-unreadable"),
        (lambda log: log | {"data": None}, "node-unreadable"),
        (lambda _: None, "node-lags"),
    ],
)
def test_an_event_that_cannot_be_right_is_refused(
    bench: Bench, change: Callable[[Any], Any], code: str
) -> None:
    latest = bench.chain.block().number
    bench.proxy.fault = rewritten("eth_getLogs", lambda logs: [change(log) for log in logs])
    with pytest.raises(NodeError) as caught:
        scan_of(bench, 100).page(0, latest)
    assert caught.value.code == code


def test_a_block_outside_the_range_is_refused(bench: Bench) -> None:
    latest = bench.chain.block().number
    (event,) = scan_of(bench, 100).page(0, latest).events
    whole = bench.node.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(latest)})
    log = next(log for log in whole if int(log["blockNumber"], 16) == event.block_number)
    bench.proxy.fault = rewritten("eth_getLogs", lambda _: [log])
    with pytest.raises(NodeError, match="sent other events"):
        scan_of(bench, 100).page(event.block_number + 1, latest)


def test_events_of_contracts_are_those_and_no_others(
    chain: Chain, clock: LocalChainClock, terms: Terms, module_anvil: LocalAnvil
) -> None:
    """More ids than one filter holds give each event once, from blocks after the second."""
    before_s = clock.now_s()
    clock.set_to(before_s + 1)
    contract = open_contract(chain, terms)
    last = chain.block().number
    ids = [contract, *(n.to_bytes(32) for n in range(MAX_CONTRACTS))]
    escrow = chain.addresses.escrow
    (event,) = events_of(chain, escrow, ids, before_s, last)
    assert isinstance(event.event, Opened)
    assert event.contract_id == contract
    assert list(events_of(chain, escrow, ids[1:], before_s, last)) == []
    assert list(events_of(chain, escrow, ids, clock.now_s(), last)) == []
    assert list(events_of(chain, escrow, [], 0, last)) == []
    # A node that leaves the filter out shows events that were not asked for.
    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as misled:
        whole = chain.node.call(
            "eth_getLogs",
            {"fromBlock": "0x0", "toBlock": hex(last), "address": chain.addresses.escrow},
        )
        proxy.fault = rewritten("eth_getLogs", lambda _: whole)
        with pytest.raises(NodeError, match="sent other events"):
            list(events_of(misled, escrow, ids[1:], before_s, last))
