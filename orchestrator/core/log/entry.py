"""The log entry: eight 32-byte words, `abi.encode`d, so that Solidity reads what the log stores.

| word | meaning |
|---|---|
| kind | ASCII label, one of `orchestrator.core.entries.kinds.KINDS` |
| surface | surface id |
| actor | who did it: an address, left-padded, or a contract id |
| subject | what it is about |
| label | ASCII: to-state, action, level |
| value | integer whose unit the kind fixes |
| time_ms | UTC milliseconds |
| payload | packed facts, or a SHA-256 commitment to the rest |

Here are the words and what is packed into them; `orchestrator.core.entries.kinds` reads and writes
whole entries. Every function raises `EntryError` and nothing else.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from orchestrator.core.common.errors import EntryError

WORD_BYTES = 32
ENTRY_BYTES = 8 * WORD_BYTES

VALUE_LIMIT = 1 << 256  # exclusive, as are the limits below
POSITION_LIMIT = 1 << 40
TIME_MS_LIMIT = 1 << 63

ZERO_WORD = bytes(WORD_BYTES)
ZERO_ADDRESS = "0x" + "00" * 20
# The labels of an answer to a requested action.
TAKEN, FAILED, EXPIRED = "taken", "failed", "expired"
CLICK = "click"  # the label of a touch by code; no action may be named so


class Entry(NamedTuple):
    """One log record. `surface`, `actor`, `subject` and `payload` are whole 32-byte words."""

    kind: str
    surface: bytes
    actor: bytes
    subject: bytes
    label: str
    value: int
    time_ms: int
    payload: bytes


class OutcomeFacts(NamedTuple):
    """The payload of an outcome: positions in the log, and its contract's running count and sum.

    `touch` is the winning touch, `prev` the contract's outcome before this one (0: none).
    `earned_after` is in token base units. An outcome that was not paid (`outcome.over`) has `prev`,
    `n` and `earned_after` zero.
    """

    transition: int
    touch: int
    prev: int
    n: int
    earned_after: int


class ReversalFacts(NamedTuple):
    """The payload of `outcome.reversed`: the outcome, the event, and the running count and sum.

    `prev` is the contract's reversal before this one (0: none); `reversed_after` in base units.
    """

    outcome: int
    event: int
    prev: int
    n: int
    reversed_after: int


class SettlementFacts(NamedTuple):
    """The payload of a settlement: cumulative base units and the last entries that they cover."""

    earned: int
    reversed: int
    last_outcome: int
    last_reversal: int


# Labels come from policies, addresses from registrations: few, and each written many times.
@lru_cache(maxsize=4096)
def ascii_word(text: str) -> bytes:
    """Return the 32-byte word of 0 to 32 printable ASCII characters: left-aligned, zero-padded."""
    if not (text.isascii() and text.isprintable()):
        raise EntryError("label-not-ascii", f"{text!r} is not printable ASCII")
    if len(text) > WORD_BYTES:
        raise EntryError("label-too-long", f"{text!r} has {len(text)} characters; at most 32 fit")
    return text.encode("ascii").ljust(WORD_BYTES, b"\0")


@lru_cache(maxsize=4096)
def ascii_text(word: bytes) -> str:
    """Return the text of a word, if `ascii_word` would write that text as this very word."""
    check_word("label", word)
    text = word.rstrip(b"\0").decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        raise EntryError("label-not-ascii", f"word 0x{word.hex()} is not printable ASCII")
    return text


@lru_cache(maxsize=4096)
def address_word(address_hex: str) -> bytes:
    """Return the left-padded word of an address: `0x` and 40 hex digits, in either case."""
    digits = address_hex[2:]
    if not (address_hex.startswith("0x") and len(digits) == 40 and _is_hex(digits)):
        raise EntryError("address-malformed", f"{address_hex!r} is not 0x and 40 hex digits")
    return bytes(12) + bytes.fromhex(digits)


def pack_outcome(transition: int, touch: int, prev: int, n: int, earned_after: int) -> bytes:
    """Pack transition u40, touch u40, prev u40, n u40, earned_after u80, 0 u16; big-endian."""
    return _pack(_OUTCOME, (transition, touch, prev, n, earned_after))


def unpack_outcome(payload: bytes) -> OutcomeFacts:
    """Return the facts of an `outcome` or `outcome.over` payload."""
    return OutcomeFacts(*_unpack(_OUTCOME, payload))


def pack_reversal(outcome: int, event: int, prev: int, n: int, reversed_after: int) -> bytes:
    """Pack outcome u40, event u40, prev u40, n u40, reversed_after u80, 0 u16; big-endian."""
    return _pack(_REVERSAL, (outcome, event, prev, n, reversed_after))


def unpack_reversal(payload: bytes) -> ReversalFacts:
    """Return the facts of an `outcome.reversed` payload."""
    return ReversalFacts(*_unpack(_REVERSAL, payload))


def pack_settlement(earned: int, reversed: int, last_outcome: int, last_reversal: int) -> bytes:
    """Pack earned u80, reversed u80, last_outcome u48, last_reversal u48; big-endian."""
    return _pack(_SETTLEMENT, (earned, reversed, last_outcome, last_reversal))


def unpack_settlement(payload: bytes) -> SettlementFacts:
    """Return the facts of a `settlement` payload."""
    return SettlementFacts(*_unpack(_SETTLEMENT, payload))


# Field names and widths in bits, high bits first. What is left of the word is zero.
_Layout = tuple[tuple[str, int], ...]
_OUTCOME: _Layout = (
    ("transition", 40),
    ("touch", 40),
    ("prev", 40),
    ("n", 40),
    ("earned_after", 80),
)
_REVERSAL: _Layout = (
    ("outcome", 40),
    ("event", 40),
    ("prev", 40),
    ("n", 40),
    ("reversed_after", 80),
)
_SETTLEMENT: _Layout = (
    ("earned", 80),
    ("reversed", 80),
    ("last_outcome", 48),
    ("last_reversal", 48),
)


def _pack(layout: _Layout, values: Sequence[int]) -> bytes:
    word, shift = 0, 8 * WORD_BYTES
    for (name, bits), value in zip(layout, values, strict=True):
        if not 0 <= value < 1 << bits:
            raise EntryError(
                "field-range", f"{name} {shown_integer(value)} is not in [0, 2^{bits})"
            )
        shift -= bits
        word |= value << shift
    return word.to_bytes(WORD_BYTES)


def _unpack(layout: _Layout, payload: bytes) -> list[int]:
    check_word("payload", payload)
    word, shift = int.from_bytes(payload), 8 * WORD_BYTES
    values = []
    for _, bits in layout:
        shift -= bits
        values.append(word >> shift & ((1 << bits) - 1))
    if word & ((1 << shift) - 1):
        raise EntryError("padding-not-zero", f"payload 0x{payload.hex()} has bits in its padding")
    return values


def check_word(name: str, word: bytes) -> None:
    """Raise EntryError unless these are 32 bytes."""
    if len(word) != WORD_BYTES:
        raise EntryError("word-length", f"{name} has {len(word)} bytes; a word has 32")


def described(entry: Entry) -> str:
    """Describe an entry in a phrase of an error."""
    return f"{entry.kind} {entry.label!r} of 0x{entry.subject.hex()[:16]}, value {entry.value}"


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def shown_integer(value: int) -> str:
    """Write an integer of any size: Python refuses to print more than 4,300 digits."""
    bits = value.bit_length()
    return str(value) if bits <= 8 * WORD_BYTES else f"of {bits} bits"
