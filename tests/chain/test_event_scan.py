"""Events read in ranges of blocks, from nodes that refuse, lag or send what was not asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.chain import event_scan
from orchestrator.chain.abi import Event, Opened, Registered
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import (
    MAX_CONTRACTS,
    EventScan,
    events_of,
    whole_history_of,
)
from orchestrator.chain.rpc import NodeError, ReplyError
from orchestrator.core.deals.terms import Terms
from orchestrator.runtime.local_chain import LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_bench import Bench, limited_to, rewritten
from tests.support.chain_deal import open_contract
from tests.support.depth import cases
from tests.support.dialects import DIALECTS, Dialect, answering, failure, range_of
from tests.support.rpc_proxy import Answer, Ask, Fault, Forward, RpcProxy


def scan_of(bench: Bench, span_blocks: int) -> EventScan:
    addresses = bench.chain.addresses
    return EventScan(bench.chain, [addresses.event_log, addresses.escrow], span_blocks)


def read_to_the_end(scan: EventScan, latest: int) -> list[type[Event]]:
    """Return the kinds of all events up to the latest block, in the chain's order."""
    first, kinds = 0, []
    while first <= latest:
        page = scan.page(first, latest)
        kinds += [type(event.decode().event) for event in page.events]
        first = page.last + 1
    return kinds


def failing_beyond(blocks: int, answer: Answer | bytes | None) -> Fault:
    """Return a fault that answers longer ranges with this, or not at all."""

    def fault(asks: list[Ask], forward: Forward) -> Any:
        long = [ask for ask in asks if ask["method"] == "eth_getLogs" and range_of(ask) > blocks]
        return answer if long else forward(asks)

    return fault


UNHELPFUL = [
    Answer(b"<html>504 Gateway Time-out</html>", 504),
    Answer({"jsonrpc": "2.0", "id": None, "error": {"code": -32602, "message": "no"}}, 400),
    Answer({"message": "this is no reply"}, 200),
    b"",
    None,
]


@pytest.mark.parametrize("answer", UNHELPFUL, ids=["page", "object", "other", "empty", "silence"])
def test_a_node_that_fails_at_long_ranges_gets_short_ones(
    bench: Bench, answer: Answer | bytes | None
) -> None:
    bench.clock.mine(75)
    scan = scan_of(bench, 2_000)
    bench.proxy.fault = failing_beyond(10, answer)
    assert read_to_the_end(scan, bench.chain.block().number) == [Registered]
    assert scan.span_blocks <= 20


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_event_is_read_of_every_kind_of_node(
    bench: Bench, dialect: Callable[[], Dialect]
) -> None:
    bench.clock.mine(75)
    bench.proxy.fault = dialect()
    assert read_to_the_end(scan_of(bench, 2_000), bench.chain.block().number) == [Registered]


@pytest.mark.parametrize(
    "words", cases(["request rate limited", "limit exceeded"], "limit exceeded")
)
def test_one_refusal_for_the_rate_costs_next_to_nothing(bench: Bench, words: str) -> None:
    bench.clock.mine(1_500)
    latest = bench.chain.block().number
    refusals = iter([words] * 6)

    def rule(ask: Ask) -> dict[str, Any] | None:
        word = next(refusals, None)
        return None if word is None else failure(-32005, word)

    bench.proxy.fault = Dialect(100, lambda _: [], {"eth_getLogs": rule})
    bench.proxy.asks.clear()
    assert read_to_the_end(scan_of(bench, 1_000), latest) == [Registered]
    assert len(bench.proxy.asks) < 75


def test_a_limit_that_stands_is_seldom_tried(bench: Bench) -> None:
    bench.clock.mine(300)
    latest = bench.chain.block().number
    scan = scan_of(bench, 64)
    bench.proxy.fault = limited_to(5)
    read_to_the_end(scan, latest)
    asked = sum(ask["method"] == "eth_getLogs" for ask in bench.proxy.asks)
    assert asked < latest // 3 + 20


def test_a_node_that_has_gone_shortens_nothing(bench: Bench) -> None:
    """Whatever it answers, if it answers so to everything the range has no part in it."""
    bench.clock.mine(75)
    scan = scan_of(bench, 64)
    bench.proxy.batches.clear()
    for answer in UNHELPFUL:
        bench.proxy.fault = answering(answer)
        with pytest.raises((NodeError, ReplyError)):
            scan.page(0, 64)
        assert scan.span_blocks == 64
    assert len(bench.proxy.batches) <= 20


def test_a_history_of_too_many_pages_is_asked_of_another_node(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a chain, and of the ranges that it is shown in, are the node's word."""
    bench.clock.mine(20)
    last = bench.chain.block().number

    def read() -> int:
        escrow = bench.chain.addresses.escrow
        return len(list(whole_history_of(bench.chain, escrow, [], [Opened], 0, last)))

    bench.proxy.fault = limited_to(1)
    assert read() == 0
    monkeypatch.setattr(event_scan, "MAX_HISTORY_PAGES", 3)
    with pytest.raises(NodeError, match="1 blocks at a time; ask another node") as refused:
        read()
    assert refused.value.code == "events-many"


def test_a_node_that_refuses_even_one_block_is_given_up(bench: Bench) -> None:
    bench.proxy.fault = limited_to(0)
    with pytest.raises(ReplyError, match="range too long"):
        (scan := scan_of(bench, 8)).page(0, 3)
    # It was not the length: the next range is as long as before.
    assert scan.span_blocks == 8


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
