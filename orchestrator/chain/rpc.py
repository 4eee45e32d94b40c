"""The wire to an Ethereum node: JSON-RPC over HTTP, one request, one reply, nothing ever repeated.

A node is not trusted with form: replies are bounded in size and time, and every value is read
strictly. What a reply *says* is judged by who asked.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from orchestrator.core.errors import ChainError

Json = Any
Ask = tuple[str, list[Json]]  # a method and its parameters

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
    """No usable answer came. What was asked may have happened: look again before anything else."""


class ReplyError(ChainError):
    """The node answered with an error: its number, its words, and what a contract reverted with."""

    def __init__(self, message: str, number: int, data: bytes) -> None:
        super().__init__("node-refused", message)
        self.number = number
        self.data = data


class Node:
    """One node, by its URL, which is a secret: it may hold an access key."""

    def __init__(self, rpc_url: str) -> None:
        parts = urlsplit(rpc_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ChainError("rpc-url-malformed", "the chain's RPC URL must be an http(s) URL")
        self.name = f"the node at {parts.hostname}"
        self._url = rpc_url
        self._client = httpx.Client(
            timeout=httpx.Timeout(REPLY_S, connect=CONNECT_S),
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, *params: Json) -> Json:
        """The result of one call. Raises `NodeError` or `ReplyError`."""
        (reply,) = self.batch([(method, list(params))])
        return result(reply)

    def batch(self, asks: Sequence[Ask]) -> list[Json]:
        """The results of several calls in one HTTP request, so that one node answers them all.

        A call that the node refused has its `ReplyError` in its place. Raises `NodeError`.
        """
        body = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, (method, params) in enumerate(asks)
        ]
        replies = self._post(json.dumps(body).encode())
        if not isinstance(replies, list):
            error = replies.get("error") if isinstance(replies, dict) else None
            said = f": {_shown(error)}" if error else ""
            raise NodeError("node-unreadable", f"{self.name} answered no call{said}")
        by_id = {
            reply["id"]: reply
            for reply in replies
            if isinstance(reply, dict) and isinstance(reply.get("id"), int)
        }
        if len(replies) != len(asks) or by_id.keys() != set(range(len(asks))):
            raise NodeError("node-unreadable", f"{self.name} did not answer every call once")
        return [self._result(by_id[n]) for n in range(len(asks))]

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
            kind = type(error).__name__
            raise NodeError("node-unreachable", f"{self.name} did not answer: {kind}") from None
        try:
            return json.loads(received)
        except (ValueError, RecursionError):
            status = response.status_code
            raise NodeError(
                "node-unreadable", f"{self.name} answered HTTP {status}, and not in JSON"
            ) from None


def result(reply: Json) -> Json:
    """A batch's reply, or its error raised."""
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def quantity(value: Json) -> int:
    """A JSON-RPC integer of at most 256 bits."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise NodeError("node-unreadable", f"the node sent {_shown(value)!r} for an integer")


def octets(value: Json, length: int | None = None) -> bytes:
    """JSON-RPC data, of this many bytes if that is given."""
    if isinstance(value, str) and _OCTETS.fullmatch(value):
        data = bytes.fromhex(value[2:])
        if length in (None, len(data)):
            return data
    raise NodeError("node-unreadable", f"the node sent {_shown(value)!r} for bytes")


def members(value: Json, what: str) -> Mapping[str, Json]:
    """A JSON-RPC object. Null is how a node says that it does not know `what`, maybe not yet."""
    if isinstance(value, dict):
        return value
    raise NodeError("node-lags", f"the node does not know {what}; try again")


def read_block(reply: Json) -> Block:
    """The block that a node answered with. Raises NodeError if it has none."""
    block = members(result(reply), "that block")
    time_s = quantity(block.get("timestamp"))
    if time_s > MAX_TIME_S:
        raise NodeError("node-unreadable", f"the node says that a block is of second {time_s}")
    return Block(quantity(block.get("number")), octets(block.get("hash"), 32), time_s)


def _shown(value: Json) -> str:
    said = value.get("message") if isinstance(value, dict) else value
    return " ".join(str(said).split())[:_SHOWN_CHARS]
