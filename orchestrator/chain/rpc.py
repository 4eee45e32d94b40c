"""A client of one Ethereum node: JSON-RPC over HTTP, where every request is sent once.

A reply is bounded in size and time, and each of its values is parsed strictly. Whether a value is
true is for the caller to judge. Nothing is ever repeated here: a transaction may have been sent.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from orchestrator.client.http import tls_settings
from orchestrator.core.errors import ChainError
from orchestrator.core.resource import Resource
from orchestrator.core.tx_plan import Mined

Json = Any
Request = tuple[str, list[Json]]  # a method and its parameters
Tag = str | int  # "latest", "pending", "safe", "finalized" or a block's number

MAX_REPLY_BYTES = 32 * 1024 * 1024
CONNECT_S = 5
REPLY_S = 30
MAX_TIME_S = 253_402_300_799  # the end of the year 9999
_SHOWN_CHARS = 200
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_OCTETS = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class Block(NamedTuple):
    """A block's number, hash and time (UTC seconds)."""

    number: int
    block_hash: bytes
    time_s: int


class NodeError(ChainError):
    """A missing or unusable answer. The node may have done what was asked: look before repeating.

    `node-lags` means that the node does not know something, maybe not yet.
    """


class ReplyError(ChainError):
    """An error that the node answered with: its number, its text, and a contract's revert data."""

    def __init__(self, message: str, number: int, data: bytes) -> None:
        super().__init__("node-refused", message)
        self.number = number
        self.data = data


class Node(Resource):
    """One node, by its URL, which is a secret: it may hold an access key."""

    def __init__(self, rpc_url: str) -> None:
        parts = urlsplit(rpc_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ChainError("rpc-url-malformed", "the chain's RPC URL must be an http(s) URL")
        self.name = f"the node at {parts.hostname}"
        self._url = rpc_url
        self._client = httpx.Client(
            timeout=httpx.Timeout(REPLY_S, connect=CONNECT_S),
            verify=tls_settings(trust_env=True),
            # A compressed reply could grow beyond the bound while it is unpacked.
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, *params: Json) -> Json:
        """Return the result of one request. Raises `NodeError` or `ReplyError`."""
        (reply,) = self.batch([(method, list(params))])
        return result(reply)

    def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Return the results of several requests, sent as one so that one node answers them all.

        A request that the node refused has its `ReplyError` in its place. Raises `NodeError`.
        """
        body = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, (method, params) in enumerate(requests)
        ]
        replies = self._post(json.dumps(body).encode())
        if not isinstance(replies, list):
            error = replies.get("error") if isinstance(replies, dict) else None
            reason = f": {_shown(error)}" if error else ""
            raise NodeError("node-unreadable", f"{self.name} answered no call{reason}")
        # Replies may come in any order; an id that is missing, unknown or doubled spoils them all.
        by_id = {
            reply["id"]: reply
            for reply in replies
            if isinstance(reply, dict) and isinstance(reply.get("id"), int)
        }
        if len(replies) != len(requests) or by_id.keys() != set(range(len(requests))):
            raise NodeError("node-unreadable", f"{self.name} did not answer every call once")
        return [self._result(by_id[n]) for n in range(len(requests))]

    def _result(self, reply: Mapping[str, Json]) -> Json:
        error = reply.get("error")
        if error is None:
            if "result" not in reply:
                raise NodeError("node-unreadable", f"{self.name} sent neither result nor error")
            return reply["result"]
        number, data = (
            (error.get("code"), error.get("data")) if isinstance(error, dict) else (None, None)
        )
        return ReplyError(
            f"{self.name}: {_shown(error)}",
            number if isinstance(number, int) else 0,
            octets(data) if isinstance(data, str) and _OCTETS.fullmatch(data) else b"",
        )

    def _post(self, body: bytes) -> Json:
        # httpx bounds the wait for each piece only; the deadline bounds their sum.
        deadline = time.monotonic() + REPLY_S
        received = bytearray()
        try:
            with self._client.stream("POST", self._url, content=body) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > MAX_REPLY_BYTES or time.monotonic() > deadline:
                        raise NodeError(
                            "reply-too-large", f"{self.name} sent too much, or too slowly"
                        )
        except httpx.HTTPError as error:
            # The error's own text can quote the URL, and with it the access key.
            kind = type(error).__name__
            raise NodeError("node-unreachable", f"{self.name} did not answer: {kind}") from None
        try:
            return json.loads(received)
        except (ValueError, RecursionError):
            status = response.status_code
            raise NodeError(
                "node-unreadable", f"{self.name} answered HTTP {status}, and not in JSON"
            ) from None


# --- Requests -------------------------------------------------------------------------------------

# The next block's base fee and the tip that the node suggests; `read_base_fee` reads the first.
FEE_REQUESTS: tuple[Request, Request] = (
    ("eth_feeHistory", ["0x1", "latest", []]),
    ("eth_maxPriorityFeePerGas", []),
)


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
    raise NodeError("node-unreadable", f"the node sent {_shown(value)!r} for an integer")


def octets(reply: Json, length: int | None = None) -> bytes:
    """Return JSON-RPC data, of this many bytes if a length is given."""
    value = result(reply)
    if isinstance(value, str) and _OCTETS.fullmatch(value):
        data = bytes.fromhex(value[2:])
        if length in (None, len(data)):
            return data
    raise NodeError("node-unreadable", f"the node sent {_shown(value)!r} for bytes")


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


def read_base_fee(reply: Json) -> int:
    """Return the next block's base fee in wei from the reply to the first of `FEE_REQUESTS`."""
    base_fees = items(members(reply, "its fees").get("baseFeePerGas"), "base fees")
    if not base_fees:
        raise NodeError("node-unreadable", "the node sent no base fee")
    # The last one is of the block to come.
    return quantity(base_fees[-1])


def _shown(value: Json) -> str:
    text = value.get("message") if isinstance(value, dict) else value
    return " ".join(str(text).split())[:_SHOWN_CHARS]
