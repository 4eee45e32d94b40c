"""Batches as large as a node takes them, and patience with one that is busy."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from orchestrator.chain.nodes.node import MOST_AT_ONCE, Node
from orchestrator.chain.rpc import NodeError, ReplyError, quantity
from orchestrator.core.refusal import RefusalKind
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.dialects import DIALECTS, Dialect, always, answering, failure, limited, refusal
from tests.support.rpc_proxy import Answer, Ask, Forward, RpcProxy

BALANCES = [("eth_getBalance", [f"0x{n:040x}", "latest"]) for n in range(1, 131)]


class Room(NamedTuple):
    proxy: RpcProxy
    node: Node
    pauses: list[float]


@pytest.fixture
def room(module_anvil: LocalAnvil) -> Iterator[Room]:
    pauses: list[float] = []
    with RpcProxy(module_anvil.rpc_url) as proxy, Node(proxy.url, pauses.append) as node:
        yield Room(proxy, node, pauses)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_request_is_answered_by_nodes_with_small_batches(
    room: Room, dialect: Callable[[], Dialect]
) -> None:
    expected = room.node.batch(BALANCES)
    room.proxy.batches.clear()
    room.proxy.fault = dialect()
    assert room.node.batch(BALANCES) == expected
    most = max(dialect().most, 1)
    # After the first few, no batch is longer than the node takes but for a rare try.
    assert sum(size > most for size in room.proxy.batches) < 20
    assert room.node.most_at_once <= 2 * most


def test_a_node_without_batches_gets_no_list_at_all(room: Room) -> None:
    def refuse_lists(asks: list[Ask], forward: Forward) -> list[Ask] | Answer:
        if room.proxy.batches[-1]:
            return Answer(b"<html>405 Not Allowed</html>", 405)
        return forward(asks)

    room.proxy.fault = refuse_lists
    assert len(room.node.batch(BALANCES[:20])) == 20
    assert 0 in room.proxy.batches


def test_the_size_grows_back(room: Room) -> None:
    room.proxy.fault = DIALECTS["geth"]()
    room.node.batch(BALANCES)
    room.proxy.fault = lambda asks, forward: forward(asks)
    for _ in range(4):
        room.node.batch(BALANCES)
    assert room.node.most_at_once == MOST_AT_ONCE


def test_answers_that_are_missing_are_asked_for_again(room: Room) -> None:
    expected = room.node.batch(BALANCES)
    room.proxy.fault = lambda asks, forward: forward(asks)[: max(1, len(asks) // 2)]
    assert room.node.batch(BALANCES) == expected


def test_answers_out_of_order_and_ids_as_texts(room: Room) -> None:
    expected = room.node.batch(BALANCES)
    room.proxy.fault = lambda asks, forward: [
        {**reply, "id": str(reply["id"])} for reply in reversed(forward(asks))
    ]
    assert room.node.batch(BALANCES) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda replies: [replies[0], *replies],
        lambda replies: [{**reply, "id": reply["id"] + 1} for reply in replies],
        lambda replies: [{**replies[0], "id": None}, *replies[1:]],
        lambda replies: [{**replies[0], "id": True}, *replies[1:]],
        lambda replies: [17, *replies[1:]],
        lambda _: [],
        lambda _: b"null",
        lambda _: b"17",
        lambda _: b'{"message": "no such project"}',
    ],
)
def test_ids_that_are_not_ours_spoil_an_answer(room: Room, spoil: Callable[[Any], Any]) -> None:
    room.proxy.fault = lambda asks, forward: spoil(forward(asks))
    with pytest.raises(NodeError) as caught:
        room.node.batch(BALANCES[:3])
    assert caught.value.code == "node-garbled"


def test_an_object_that_is_no_reply_is_told(room: Room) -> None:
    room.proxy.fault = lambda _, __: b'{"message": "no such project"}'
    with pytest.raises(NodeError, match="no such project"):
        room.node.call("eth_chainId")


def test_errors_are_short_and_keep_the_nodes_words(room: Room) -> None:
    error = failure(-32000, "nonce\ntoo low " + "x" * 10_000, "0xzz")
    room.proxy.fault = lambda _, __: [{"jsonrpc": "2.0", "id": 1, "error": error}]
    with pytest.raises(ReplyError) as caught:
        room.node.call("eth_chainId")
    assert caught.value.number == -32000
    assert caught.value.data == b""
    assert "nonce too low" in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Reverted 0x08c379a0", "08c379a0"),
        ("0x08c379a0", "08c379a0"),
        ({"data": "0x08c379a0"}, "08c379a0"),
        ("Reverted", ""),
        (None, ""),
    ],
)
def test_revert_data_in_any_wrapping(room: Room, data: object, expected: str) -> None:
    room.proxy.fault = Dialect(9, lambda _: [], {"eth_call": always(-32015, "VM error.", data)})
    with pytest.raises(ReplyError) as caught:
        room.node.call("eth_call", {"to": "0x" + "00" * 20}, "latest")
    assert caught.value.data == bytes.fromhex(expected)
    assert caught.value.kind is RefusalKind.REVERT


def test_a_busy_node_is_waited_for_as_long_as_it_asks(room: Room) -> None:
    room.proxy.fault = limited([0, 1], retry_after="3")
    assert len(room.node.batch(BALANCES[:50])) == 50
    assert room.pauses == [3, 3]


@pytest.mark.parametrize("status", [429, 503])
def test_a_node_that_stays_busy_is_told_with_its_words(room: Room, status: int) -> None:
    room.proxy.fault = limited(list(range(99)), status=status)
    with pytest.raises(NodeError, match="Too Many Requests") as caught:
        room.node.call("eth_chainId")
    assert caught.value.code == "node-busy"
    assert sum(room.pauses) <= 20


def test_only_the_requests_that_were_limited_are_asked_again(room: Room) -> None:
    expected = room.node.batch(BALANCES[:10])
    room.proxy.asks.clear()
    words = "request rate exceeded, too many requests"

    def limit_half(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = forward(asks)
        if len(room.proxy.asks) > 10:
            return replies
        return [*replies[:5], *(refusal(one["id"], -32005, words) for one in replies[5:])]

    room.proxy.fault = limit_half
    assert room.node.batch(BALANCES[:10]) == expected
    assert len(room.proxy.asks) == 15
    assert room.pauses == [0.25]
    assert room.node.most_at_once == MOST_AT_ONCE


def test_a_limit_that_says_not_which_is_waited_for_once(room: Room) -> None:
    room.proxy.fault = Dialect(99, lambda _: [], {"eth_getLogs": always(-32005, "limit exceeded")})
    (reply,) = room.node.batch([("eth_getLogs", [{}])])
    assert isinstance(reply, ReplyError)
    assert reply.kind is RefusalKind.LIMIT
    assert len(room.pauses) == 1


def test_a_batch_cut_short_for_its_answer_is_asked_in_parts(room: Room) -> None:
    def cut(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = forward(asks)
        return [
            *replies[:20],
            *(refusal(one["id"], -32003, "response too large") for one in replies[20:]),
        ]

    expected = room.node.batch(BALANCES)
    room.proxy.fault = cut
    assert room.node.batch(BALANCES) == expected


def test_silence_is_no_size_now_but_at_the_next_question(room: Room) -> None:
    room.proxy.fault = lambda _, __: None
    with pytest.raises(NodeError) as caught:
        room.node.batch(BALANCES)
    assert caught.value.code == "node-silent"
    assert len(room.proxy.batches) == 1
    assert room.node.most_at_once == MOST_AT_ONCE // 4


def test_what_may_have_been_sent_is_not_sent_again(room: Room) -> None:
    """After a refusal it is, and after anything else it is not."""
    sends = [("eth_sendRawTransaction", [f"0x{n:02x}"]) for n in range(8)]
    for answer in (b"<html>504</html>", None):
        room.proxy.batches.clear()
        room.proxy.fault = answering(answer)
        with pytest.raises(NodeError):
            room.node.batch(sends)
        assert len(room.proxy.batches) == 1
    room.proxy.fault = lambda asks, forward: forward(asks)[:2]
    with pytest.raises(NodeError, match="did not answer every call once"):
        room.node.batch(sends)
    room.proxy.fault = DIALECTS["besu"]()
    assert all(isinstance(reply, ReplyError) for reply in room.node.batch(sends))


def test_a_call_is_a_batch_of_one(room: Room) -> None:
    assert quantity(room.node.call("eth_chainId")) == 31337
    assert "127.0.0.1" in repr(room.node)
