"""A node's replies, parsed strictly."""

from collections.abc import Callable
from functools import partial

import pytest

from orchestrator.chain.rpc import (
    NodeError,
    Prices,
    ReplyError,
    members,
    octets,
    quantity,
    read_block,
    read_prices,
    read_receipt,
)
from orchestrator.core.tx_plan import Mined


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


METHOD = ReplyError("no such method", -32601, b"")
BLOCK = {"baseFeePerGas": hex(800)}


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ((BLOCK, {"baseFeePerGas": ["0x1", "0x2"]}, "0x7", "0x9"), Prices(2, 7)),
        ((BLOCK, METHOD, "0x7", METHOD), Prices(901, 7)),
        ((BLOCK, METHOD, METHOD, hex(805)), Prices(901, 5)),
        ((BLOCK, METHOD, METHOD, "0x1"), Prices(901, 0)),
        ((BLOCK, METHOD, METHOD, METHOD), Prices(901, 10**9)),
        # The block decides, for nodes offer methods that mean nothing on their chain.
        (({}, {"baseFeePerGas": ["0x0", "0x0"]}, "0x7", "0x9"), Prices(0, 9, is_legacy=True)),
    ],
)
def test_prices_are_read_from_what_the_node_has(replies: list[object], expected: Prices) -> None:
    assert read_prices(replies) == expected


@pytest.mark.parametrize("fees", [{}, {"baseFeePerGas": []}, {"baseFeePerGas": "0x1"}, None])
def test_prices_that_are_none_are_refused(fees: object) -> None:
    for replies in ((BLOCK, fees, "0x7", "0x9"), (fees and {}, METHOD, METHOD, METHOD)):
        with pytest.raises((NodeError, ReplyError)):
            read_prices(replies)


def test_a_block_of_no_time_is_refused() -> None:
    block = {"number": "0x1", "hash": "0x" + "11" * 32, "timestamp": hex(253_402_300_799)}
    assert read_block(block).time_s == 253_402_300_799
    for late in (253_402_300_800, 1 << 200):
        with pytest.raises(NodeError, match=f"is of second {late}"):
            read_block(block | {"timestamp": hex(late)})
