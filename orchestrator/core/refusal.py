"""The reasons for which nodes refuse requests, told apart by code first and by words last.

Every client words the same refusal differently, and some use one code for several. So a code
decides where it has one meaning; words decide where it has none; and what neither tells is found
out by behaviour: it is asked again, in parts, or of another node.
"""

from enum import StrEnum


class RefusalKind(StrEnum):
    """The kinds of refusal that we act on."""

    REVERT = "revert"  # the call itself would fail
    BUSY = "busy"  # asked too often: later is right
    SIZE = "size"  # asked for too much at once: less is right
    LIMIT = "limit"  # one of these two, and the node does not say which
    METHOD = "method"  # not offered by this node
    STATE = "state"  # a state that this node has not kept
    FEE = "fee"  # a transaction that pays too little, or replaces one that pays as much
    NONCE = "nonce"  # a transaction whose nonce is spent, or too far ahead
    KNOWN = "known"  # a transaction that the node holds already
    OTHER = "other"


# Codes with one meaning. -32000, -32002, -32003, -32005 to -32010, -32600, -32602 and -32603 have
# several.
_BY_CODE = {
    3: RefusalKind.REVERT,
    -32015: RefusalKind.REVERT,
    429: RefusalKind.BUSY,
    4444: RefusalKind.STATE,
    -32601: RefusalKind.METHOD,
    -32604: RefusalKind.METHOD,
    -32004: RefusalKind.METHOD,
}
_LIMIT_EXCEEDED = -32005
# The first line with a word of the message decides. A contract's own reason may hold any words.
_BY_WORDS: tuple[tuple[RefusalKind, tuple[str, ...]], ...] = (
    (
        RefusalKind.REVERT,
        ("revert", "out of gas", "gas required", "vm execution", "always failing", "bad jump"),
    ),
    (RefusalKind.KNOWN, ("already known", "alreadyknown", "already imported", "known transaction")),
    (
        RefusalKind.FEE,
        (
            "underpriced",
            "fee too low",
            "feetoolow",
            "replacementnotallowed",
            "replacement not allowed",
            "could not replace",
            "gas price too low",
            "gas price below",
            "less than block base fee",
            "max fee per gas less than",
        ),
    ),
    (RefusalKind.NONCE, ("nonce",)),
    (
        RefusalKind.STATE,
        (
            "missing trie node",
            "historical state",
            "state is not available",
            "state not available",
            "state unavailable",
            "no state available",
            "pruned",
            "state at block",
        ),
    ),
    (
        RefusalKind.BUSY,
        (
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many requests",
            "per second",
            "requests per",
            "throttl",
            "overloaded",
            "compute units",
            "ran out of cu",
            "quota",
            "capacity",
            "try again later",
        ),
    ),
    (
        RefusalKind.SIZE,
        (
            "batch",
            "range",
            "too large",
            "too big",
            "more than",
            "response size",
            "exceeds max",
            "results",
            "timed out",
            "timeout",
        ),
    ),
    (
        RefusalKind.METHOD,
        ("does not exist/is not available", "method not", "not supported", "unsupported method"),
    ),
)


def kind_of(number: int, words: str, data: bytes = b"") -> RefusalKind:
    """Return the kind of a refusal with this JSON-RPC code, these words, and this revert data."""
    if data:
        return RefusalKind.REVERT
    if number in _BY_CODE:
        return _BY_CODE[number]
    text = words.lower()
    found = next((kind for kind, parts in _BY_WORDS if any(part in text for part in parts)), None)
    if number == _LIMIT_EXCEEDED and found not in (
        RefusalKind.BUSY,
        RefusalKind.SIZE,
        RefusalKind.METHOD,
    ):
        return RefusalKind.LIMIT
    return found or RefusalKind.OTHER


def is_of_batch(number: int, words: str) -> bool:
    """Return whether a refusal is about the batch as a whole, not about the request in it."""
    text = words.lower()
    return "batch" in text or (number == -32003 and "response too large" in text)
