"""A node's replies: bounded, parsed strictly, and without the access key in any text."""

from collections.abc import Callable
from functools import partial

import pytest

from orchestrator.chain.rpc import (
    MAX_REPLY_BYTES,
    Node,
    NodeError,
    ReplyError,
    members,
    octets,
    quantity,
    read_base_fee,
    read_block,
    read_receipt,
)
from orchestrator.core.tx_plan import Mined
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import refused
from tests.support.rpc_proxy import RpcProxy


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://host", "http://", "file:///etc"])
def test_urls_that_are_no_nodes(url: str) -> None:
    refused("rpc-url-malformed", lambda: Node(url))


def test_replies_are_bounded_and_errors_short(module_anvil: LocalAnvil) -> None:
    with RpcProxy(module_anvil.rpc_url) as proxy, Node(proxy.url) as node:
        proxy.fault = lambda _, __: b"[" + b" " * MAX_REPLY_BYTES
        refused("reply-too-large", lambda: node.call("eth_chainId"))
        error = {"code": -32000, "message": "nonce\ntoo low " + "x" * 10_000, "data": "0xzz"}
        proxy.fault = lambda _, __: [{"jsonrpc": "2.0", "id": 0, "error": error}]
        with pytest.raises(ReplyError) as caught:
            node.call("eth_chainId")
        assert caught.value.number == -32000
        assert caught.value.data == b""
        assert "nonce too low" in caught.value.message
        assert len(caught.value.message) < 300


def test_the_url_stays_out_of_texts() -> None:
    node = Node("http://user:secret@127.0.0.1:1/key")
    assert "secret" not in repr(node)
    assert "key" not in repr(node)
    with node, pytest.raises(NodeError) as caught:
        node.call("eth_chainId")
    assert caught.value.code == "node-unreachable"
    assert "secret" not in str(caught.value)
    assert "/key" not in str(caught.value)


@pytest.mark.parametrize("read", [quantity, octets, partial(members, what="it"), read_block])
def test_a_reader_raises_a_refusal_as_it_is(read: Callable[[object], object]) -> None:
    refusal = ReplyError("no", 3, b"")
    with pytest.raises(ReplyError) as caught:
        read(refusal)
    assert caught.value is refusal


def test_a_receipt_of_another_transaction_is_refused() -> None:
    word = "0x" + "22" * 32
    receipt = {
        "transactionHash": word,
        "blockNumber": "0x5",
        "blockHash": "0x" + "33" * 32,
        "status": "0x1",
        "gasUsed": "0x5208",
    }
    expected = Mined(b"\x22" * 32, 5, b"\x33" * 32, True, 21_000)
    assert read_receipt(receipt, b"\x22" * 32) == expected
    assert read_receipt(receipt | {"status": "0x0"}, b"\x22" * 32) == expected._replace(
        succeeded=False
    )
    assert read_receipt(None, b"\x22" * 32) is None
    with pytest.raises(NodeError, match="mixed up receipts"):
        read_receipt(receipt, b"\x44" * 32)


def test_the_base_fee_is_the_next_blocks() -> None:
    assert read_base_fee({"baseFeePerGas": ["0x1", "0x2"]}) == 2
    malformed: list[object] = [{}, {"baseFeePerGas": []}, {"baseFeePerGas": "0x1"}, None]
    for fees in malformed:
        with pytest.raises(NodeError):
            read_base_fee(fees)


def test_a_block_of_no_time_is_refused() -> None:
    block = {"number": "0x1", "hash": "0x" + "11" * 32, "timestamp": hex(253_402_300_799)}
    assert read_block(block).time_s == 253_402_300_799
    for late in (253_402_300_800, 1 << 200):
        with pytest.raises(NodeError, match=f"is of second {late}"):
            read_block(block | {"timestamp": hex(late)})
