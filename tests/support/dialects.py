"""Nodes as others run them: a real chain, behind the limits, gaps and words of real servers.

A dialect is a fault for `RpcProxy`: it refuses what such a node refuses, with its codes and words,
and passes on the rest. The limits are small, so that tests of a short chain meet them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.rpc_proxy import Answer, Ask, Fault, Forward

Reply = dict[str, Any]
# Returns the error with which a node refuses a request, or None.
Rule = Callable[[Ask], dict[str, Any] | None]


def failure(code: int, message: str, data: object = None) -> dict[str, Any]:
    error = {"code": code, "message": message}
    return error if data is None else {**error, "data": data}


def refusal(name: object, code: int, message: str) -> Reply:
    return {"jsonrpc": "2.0", "id": name, "error": failure(code, message)}


@dataclass
class Dialect:
    """A node with a limit on batches, and rules by method; both refuse in its own words.

    `too_many` makes the answer to a batch that is too long; `most` is how many it may hold, 0 for
    a node that takes no batch at all, whatever it holds.
    """

    most: int
    too_many: Callable[[list[Ask]], list[Ask] | Answer]
    rules: dict[str, Rule] = field(default_factory=dict)
    change: Callable[[str, Any], Any] = lambda _, result: result

    def __call__(self, asks: list[Ask], forward: Forward) -> list[Ask] | Answer:
        if len(asks) > max(self.most, 1):
            return self.too_many(asks)
        errors = {}
        for ask in asks:
            rule = self.rules.get(ask["method"])
            error = rule(ask) if rule is not None else None
            if error is not None:
                errors[ask["id"]] = error
        passed = [ask for ask in asks if ask["id"] not in errors]
        methods = {ask["id"]: ask["method"] for ask in asks}
        replies = [
            {**reply, "result": self.change(methods[reply["id"]], reply["result"])}
            if "result" in reply
            else reply
            for reply in (forward(passed) if passed else [])
        ]
        refused = [{"jsonrpc": "2.0", "id": name, "error": one} for name, one in errors.items()]
        # Servers may answer in any order.
        return [*refused, *reversed(replies)]


def range_of(ask: Ask) -> int:
    wanted = ask["params"][0]
    return int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1


def ranges(most: int, code: int, words: str) -> Rule:
    """Return a rule that refuses longer ranges of blocks; `{}` in its words is the range."""
    return lambda ask: failure(code, words.format(range_of(ask))) if range_of(ask) > most else None


def always(code: int, words: str, data: object = None) -> Rule:
    return lambda _: failure(code, words, data)


def at(tags: tuple[str, ...], code: int, words: str) -> Rule:
    """Return a rule that refuses these block tags."""
    return lambda ask: failure(code, words) if any(one in tags for one in ask["params"]) else None


def no_method(method: str) -> Rule:
    return always(-32601, f"the method {method} does not exist/is not available")


def geth() -> Dialect:
    """go-ethereum with small limits: a batch too long is one error, under the first id."""
    return Dialect(
        4,
        lambda asks: [refusal(asks[0]["id"], -32600, "batch too large")],
        {"eth_getLogs": ranges(9, -32000, "exceed maximum block range: 9")},
    )


def erigon() -> Dialect:
    words = (
        "batch limit 5 exceeded (can increase by --rpc.batch.limit). Requested batch of size: {}"
    )
    return Dialect(5, lambda asks: [refusal(asks[0]["id"], -32600, words.format(len(asks)))])


def nethermind() -> Dialect:
    """Nethermind: a batch too long is one error without an id."""
    return Dialect(
        6,
        lambda _: Answer(refusal(None, -32005, "Batch size limit exceeded")),
    )


def besu() -> Dialect:
    """Besu: one code for a batch and for a range that is too long."""
    return Dialect(
        3,
        lambda _: Answer(refusal(None, -32005, "Number of requests exceeds max batch size")),
        {"eth_getLogs": ranges(7, -32005, "Requested range exceeds maximum RPC range limit")},
    )


def jsonrpsee() -> Dialect:
    """A server without batches, as Rust nodes can be set up."""
    words = "Batched requests are not supported by this server"
    return Dialect(0, lambda _: Answer(refusal(None, -32005, words)))


def sequencer() -> Dialect:
    """The public door of an L2: a long range is HTTP 413, old state is not kept."""
    stale = at(
        ("safe", "finalized"),
        -32000,
        "missing trie node 1f2e (path ) state 0x1f2e is not available, not found",
    )

    def state(ask: Ask) -> dict[str, Any] | None:
        return stale(ask) if ask["method"] != "eth_getBlockByNumber" else None

    return Dialect(
        10,
        lambda _: Answer(refusal(None, -32600, "batch length limit exceeded"), 400),
        {
            "eth_getLogs": ranges(5, -32614, "eth_getLogs is limited to a 5 range"),
            "eth_call": state,
            "eth_getTransactionCount": state,
        },
    )


def legacy() -> Dialect:
    """A chain without EIP-1559 and without final blocks."""

    def typed(ask: Ask) -> dict[str, Any] | None:
        is_typed = ask["params"][0][:4] in ("0x01", "0x02")
        return failure(-32000, "transaction type not supported") if is_typed else None

    def without_fees(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return {key: value for key, value in result.items() if key != "baseFeePerGas"}
        return result

    tags = at(("safe", "finalized"), -32602, "invalid argument 0: hex string without 0x prefix")
    methods = ("eth_feeHistory", "eth_maxPriorityFeePerGas")
    tagged = ("eth_getBlockByNumber", "eth_call", "eth_getTransactionCount")
    return Dialect(
        100,
        lambda _: [],
        {
            **{name: no_method(name) for name in methods},
            **dict.fromkeys(tagged, tags),
            "eth_sendRawTransaction": typed,
        },
        without_fees,
    )


def limited(calls: list[int], *, status: int = 429, retry_after: str | None = "1") -> Fault:
    """Return a public endpoint that answers the n-th HTTP request for n in `calls`, from 0."""
    turn: Iterator[int] = iter(range(1_000_000))

    def fault(asks: list[Ask], forward: Forward) -> list[Ask] | Answer:
        if next(turn) in calls:
            headers = {} if retry_after is None else {"Retry-After": retry_after}
            return Answer(json.dumps({"error": "Too Many Requests"}).encode(), status, headers)
        return forward(asks)

    return fault


def answering(answer: Answer | bytes | None) -> Fault:
    """Return a server that answers everything with this, or not at all."""
    return lambda _, __: answer


DIALECTS = {one.__name__: one for one in (geth, erigon, nethermind, besu, jsonrpsee, sequencer)}
