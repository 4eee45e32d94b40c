"""The words of JSON-RPC: requests, and replies whose every value is parsed strictly.

Whether a value is true is for the caller to judge. `chain.nodes` sends and receives.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.core.common.errors import ChainError
from orchestrator.core.refusal import RefusalKind, kind_of
from orchestrator.core.tx_plan import Mined

Json = Any
Request = tuple[str, list[Json]]  # a method and its parameters
Tag = str | int  # "latest", "pending", "safe", "finalized" or a block's number

MAX_TIME_S = 253_402_300_799  # the end of the year 9999
_SHOWN_CHARS = 200
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
OCTETS = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class Block(NamedTuple):
    """A block's number, hash and time (UTC seconds)."""

    number: int
    block_hash: bytes
    time_s: int


class Prices(NamedTuple):
    """The next block's base fee and a fit tip, in wei per gas.

    On a chain without EIP-1559 there is no base fee, and the tip is the whole price.
    """

    base_fee_wei: int
    tip_wei: int
    is_legacy: bool = False


class NodeError(ChainError):
    """A missing or unusable answer. The node may have done what was asked: look before repeating.

    Its code says which kind of trouble it is: `node-unreachable` and `node-silent`, `node-busy`
    (with the seconds that the node asked us to wait), `node-denied`, `reply-too-large`
    and `node-garbled` for what is no reply, `node-unreadable` for a value that cannot be, and
    `node-lags` where the node does not know something, maybe not yet.
    """

    def __init__(self, code: str, message: str, retry_after_s: float = 0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s

    @property
    def is_of_all(self) -> bool:
        """True if the node answers nothing now, whatever it is asked."""
        return self.code in ("node-unreachable", "node-silent", "node-busy", "node-denied")


class ReplyError(ChainError):
    """An error that the node answered with: its number, its text, and a contract's revert data.

    `kind` says what it means; it follows from the node's own `words`, if they are not the message.
    """

    def __init__(self, message: str, number: int, data: bytes, words: str | None = None) -> None:
        super().__init__("node-refused", message)
        self.number = number
        self.data = data
        self.words = message if words is None else words
        self.kind: RefusalKind = kind_of(number, self.words, data)

    @property
    def is_of_node(self) -> bool:
        """True if this says something of the node, and nothing of what was asked."""
        return self.kind in (
            RefusalKind.BUSY,
            RefusalKind.LIMIT,
            RefusalKind.METHOD,
            RefusalKind.STATE,
        )


# --- Requests -------------------------------------------------------------------------------------

# The latest block, the fees of the next, the tip that the node suggests, and a legacy price;
# `read_prices` reads the four replies.
FEE_REQUESTS: tuple[Request, ...] = (
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_feeHistory", ["0x1", "latest", []]),
    ("eth_maxPriorityFeePerGas", []),
    ("eth_gasPrice", []),
)
# The tip where the node suggests none in any way.
_PLAIN_TIP_WEI = 10**9


def block_request(block: Tag) -> Request:
    """Return the request for a block, which `read_block` reads."""
    return "eth_getBlockByNumber", [tag_text(block), False]


def nonce_request(account: str, block: Tag) -> Request:
    """Return the request for the number of an account's transactions up to a block."""
    return "eth_getTransactionCount", [account, tag_text(block)]


def tag_text(block: Tag) -> str:
    """Write a block as a node expects it."""
    return hex(block) if isinstance(block, int) else block


# --- Replies --------------------------------------------------------------------------------------
# Each reader takes an item of a batch: it raises the item if that is a `ReplyError`, and NodeError
# if it is malformed.


def result(reply: Json) -> Json:
    """Return a batch's item, or raise it if it is an error."""
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def quantity(reply: Json) -> int:
    """Return a JSON-RPC integer of at most 256 bits."""
    value = result(reply)
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise NodeError("node-unreadable", f"the node sent {shown(value)!r} for an integer")


def octets(reply: Json, length: int | None = None) -> bytes:
    """Return JSON-RPC data, of this many bytes if a length is given."""
    value = result(reply)
    if isinstance(value, str) and OCTETS.fullmatch(value):
        data = bytes.fromhex(value[2:])
        if length in (None, len(data)):
            return data
    raise NodeError("node-unreadable", f"the node sent {shown(value)!r} for bytes")


def members(reply: Json, what: str) -> Mapping[str, Json]:
    """Return a JSON-RPC object. A node says by null that it does not know `what`, maybe not yet."""
    value = result(reply)
    if isinstance(value, dict):
        return value
    raise NodeError("node-lags", f"the node does not know {what}; try again")


def items(reply: Json, what: str) -> list[Json]:
    """Return a JSON array of `what`."""
    value = result(reply)
    if isinstance(value, list):
        return value
    raise NodeError("node-unreadable", f"the node sent no list of {what}")


def read_block(reply: Json) -> Block:
    """Return the block of a reply."""
    block = members(reply, "that block")
    time_s = quantity(block.get("timestamp"))
    if time_s > MAX_TIME_S:
        raise NodeError("node-unreadable", f"the node says that a block is of second {time_s}")
    return Block(quantity(block.get("number")), octets(block.get("hash"), 32), time_s)


def read_receipt(reply: Json, tx_hash: bytes) -> Mined | None:
    """Return the receipt of this transaction, or None if the node has none.

    Whether its block is the chain's is not checked here.
    """
    if result(reply) is None:
        return None
    receipt = members(reply, "that receipt")
    if octets(receipt.get("transactionHash"), 32) != tx_hash:
        raise NodeError("node-unreadable", "the node mixed up receipts")
    return Mined(
        tx_hash,
        quantity(receipt.get("blockNumber")),
        octets(receipt.get("blockHash"), 32),
        quantity(receipt.get("status")) == 1,
        quantity(receipt.get("gasUsed")),
    )


def read_prices(replies: Sequence[Json]) -> Prices:
    """Return the prices in the replies to `FEE_REQUESTS`.

    A block without a base fee is one of a chain without EIP-1559, whatever methods the node has.
    """
    block, history, tip, gas_price = replies
    latest_wei = members(block, "its latest block").get("baseFeePerGas")
    if latest_wei is None:
        return Prices(0, quantity(gas_price), is_legacy=True)
    if isinstance(history, ReplyError):
        # The next block's base fee is an eighth higher at most.
        base_fee_wei = quantity(latest_wei) * 9 // 8 + 1
    else:
        base_fee_wei = _next_base_fee(history)
    if not isinstance(tip, ReplyError):
        return Prices(base_fee_wei, quantity(tip))
    if isinstance(gas_price, ReplyError):
        return Prices(base_fee_wei, _PLAIN_TIP_WEI)
    return Prices(base_fee_wei, max(0, quantity(gas_price) - quantity(latest_wei)))


def _next_base_fee(history: Json) -> int:
    base_fees = items(members(history, "its fees").get("baseFeePerGas"), "base fees")
    if not base_fees:
        raise NodeError("node-unreadable", "the node sent no base fee")
    # The last one is of the block to come.
    return quantity(base_fees[-1])


def shown(value: Json) -> str:
    """Write a node's own words on one line, cut to a length that fits into an error."""
    text = value.get("message") if isinstance(value, dict) and "message" in value else value
    return " ".join(str(text).split())[:_SHOWN_CHARS]
