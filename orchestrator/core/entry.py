"""The log entry: eight 32-byte words, `abi.encode`d, so that Solidity reads what the log stores.

| word | meaning |
|---|---|
| kind | ASCII label, one of `KINDS` |
| surface | surface id |
| actor | who did it: an address, left-padded, or a contract id |
| subject | what it is about |
| label | ASCII: to-state, action, level |
| value | integer whose unit the kind fixes |
| time_ms | UTC milliseconds |
| payload | packed facts, or a SHA-256 commitment to the rest |

There is exactly one encoding of an entry: `decode` refuses what `encode` would not have written.
Every function here raises `EntryError` and nothing else.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from orchestrator.core.errors import EntryError

WORD_BYTES = 32
ENTRY_BYTES = 8 * WORD_BYTES

VALUE_LIMIT = 1 << 256  # exclusive, as are the limits below
AMOUNT_LIMIT = 1 << 80
INDEX_LIMIT = 1 << 40
TIME_MS_LIMIT = 1 << 63

ZERO_WORD = bytes(WORD_BYTES)
ZERO_ADDRESS = "0x" + "00" * 20

KINDS = (
    "genesis",
    "touch",
    "lead.registered",
    "lead.transition",
    "lead.refused",
    "product.event",
    "outcome",
    "outcome.over",
    "outcome.refused",
    "outcome.reversed",
    "settlement",
    "payout",
    "contract.opened",
    "contract.closed",
    "operator.registered",
    "policy.published",
    "trust.changed",
    "dispute.opened",
    "dispute.ruled",
    "erasure",
)

_WORDS = Struct("32s" * 8)


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
    """The payload of an outcome: log indexes, the running count and sum of its contract's outcomes.

    `touch` is the winning touch, `prev` the contract's outcome before this one (0: none).
    `earned_after` is in token base units. An outcome that was not paid (over, refused) has
    `prev`, `n` and `earned_after` zero.
    """

    transition: int
    touch: int
    prev: int
    n: int
    earned_after: int


class ReversalFacts(NamedTuple):
    """The payload of `outcome.reversed`: which outcome, by which event, and the running sums.

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


class EventOpening(NamedTuple):
    """What the payload of a product's event commits to.

    `nth` counts the lead's entries into that state; `from_state` is empty and `nth` zero for a
    `product.event`. `request_hash` names the request that was taken,
    `commitment` the salted commitment to its body.
    """

    from_state: str
    nth: int
    received_ms: int
    request_hash: bytes
    commitment: bytes


class TouchOpening(NamedTuple):
    """What the payload of a touch commits to."""

    request_hash: bytes
    commitment: bytes


# Labels come from policies, addresses from registrations: few, and each written many times.
@lru_cache(maxsize=4096)
def ascii_word(text: str) -> bytes:
    """The 32-byte word of 0 to 32 printable ASCII characters: left-aligned, zero-padded."""
    if not (text.isascii() and text.isprintable()):
        raise EntryError("label-not-ascii", f"{text!r} is not printable ASCII")
    if len(text) > WORD_BYTES:
        raise EntryError("label-too-long", f"{text!r} has {len(text)} characters; at most 32 fit")
    return text.encode("ascii").ljust(WORD_BYTES, b"\0")


@lru_cache(maxsize=4096)
def ascii_text(word: bytes) -> str:
    """The text of a word, if `ascii_word` would write that text as this very word."""
    _check_word("label", word)
    text = word.rstrip(b"\0").decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        raise EntryError("label-not-ascii", f"word 0x{word.hex()} is not printable ASCII")
    return text


@lru_cache(maxsize=4096)
def address_word(address_hex: str) -> bytes:
    """The 32-byte word of an address (`0x` and 40 hex digits, in either case), left-padded."""
    digits = address_hex[2:]
    if not (address_hex.startswith("0x") and len(digits) == 40 and _is_hex(digits)):
        raise EntryError("address-malformed", f"{address_hex!r} is not 0x and 40 hex digits")
    return bytes(12) + bytes.fromhex(digits)


def encode(entry: Entry) -> bytes:
    """The 256 bytes of an entry, the leaf data of the log."""
    kind, surface, actor, subject, label, value, time_ms, payload = entry
    kind_word = _KIND_WORDS.get(kind)
    if kind_word is None:
        raise EntryError("kind-unknown", f"{kind!r} is not a kind of entry")
    if not len(surface) == len(actor) == len(subject) == len(payload) == WORD_BYTES:
        for name in ("surface", "actor", "subject", "payload"):
            _check_word(name, getattr(entry, name))
    if not 0 <= value < VALUE_LIMIT:
        raise EntryError("value-range", f"value {_shown(value)} is not in [0, 2^256)")
    if not 0 <= time_ms < TIME_MS_LIMIT:
        raise EntryError("time-range", f"time_ms {_shown(time_ms)} is not in [0, 2^63)")
    return b"".join(
        (
            kind_word,
            surface,
            actor,
            subject,
            ascii_word(label),
            value.to_bytes(WORD_BYTES),
            time_ms.to_bytes(WORD_BYTES),
            payload,
        )
    )


def decode(data: bytes) -> Entry:
    """The entry of 256 bytes; `encode(decode(data)) == data` for all that is accepted."""
    if len(data) != ENTRY_BYTES:
        raise EntryError("entry-length", f"an entry has 256 bytes, not {len(data)}")
    kind_word, surface, actor, subject, label_word, value_word, time_word, payload = _WORDS.unpack(
        data
    )
    kind = _KINDS_BY_WORD.get(kind_word)
    if kind is None:
        raise EntryError("kind-unknown", f"word 0x{kind_word.hex()} is not a kind of entry")
    time_ms = int.from_bytes(time_word)
    if time_ms >= TIME_MS_LIMIT:
        raise EntryError("time-range", f"time_ms {time_ms} is not in [0, 2^63)")
    value = int.from_bytes(value_word)
    return Entry(kind, surface, actor, subject, ascii_text(label_word), value, time_ms, payload)


def pack_outcome(transition: int, touch: int, prev: int, n: int, earned_after: int) -> bytes:
    """transition u40, touch u40, prev u40, n u40, earned_after u80, 0 u16; big-endian."""
    return _pack(_OUTCOME, (transition, touch, prev, n, earned_after))


def unpack_outcome(payload: bytes) -> OutcomeFacts:
    """The facts of an `outcome`, `outcome.over` or `outcome.refused` payload."""
    return OutcomeFacts(*_unpack(_OUTCOME, payload))


def pack_reversal(outcome: int, event: int, prev: int, n: int, reversed_after: int) -> bytes:
    """outcome u40, event u40, prev u40, n u40, reversed_after u80, 0 u16; big-endian."""
    return _pack(_REVERSAL, (outcome, event, prev, n, reversed_after))


def unpack_reversal(payload: bytes) -> ReversalFacts:
    """The facts of an `outcome.reversed` payload."""
    return ReversalFacts(*_unpack(_REVERSAL, payload))


def pack_settlement(earned: int, reversed: int, last_outcome: int, last_reversal: int) -> bytes:
    """earned u80, reversed u80, last_outcome u48, last_reversal u48; big-endian."""
    return _pack(_SETTLEMENT, (earned, reversed, last_outcome, last_reversal))


def unpack_settlement(payload: bytes) -> SettlementFacts:
    """The facts of a `settlement` payload."""
    return SettlementFacts(*_unpack(_SETTLEMENT, payload))


def event_payload(opening: EventOpening) -> bytes:
    """SHA-256(abi.encode(fromState, nth, receivedMs, requestHash, commitment))."""
    from_state, nth, received_ms, request_hash, commitment = opening
    if not 0 <= nth < INDEX_LIMIT:
        raise EntryError("field-range", f"nth {_shown(nth)} is not in [0, 2^40)")
    if not 0 <= received_ms < TIME_MS_LIMIT:
        raise EntryError("time-range", f"received_ms {_shown(received_ms)} is not in [0, 2^63)")
    _check_word("request_hash", request_hash)
    _check_word("commitment", commitment)
    return sha256(
        ascii_word(from_state)
        + nth.to_bytes(WORD_BYTES)
        + received_ms.to_bytes(WORD_BYTES)
        + request_hash
        + commitment
    ).digest()


def touch_payload(opening: TouchOpening) -> bytes:
    """SHA-256(abi.encode(requestHash, commitment))."""
    _check_word("request_hash", opening.request_hash)
    _check_word("commitment", opening.commitment)
    return sha256(opening.request_hash + opening.commitment).digest()


_KIND_WORDS = {kind: ascii_word(kind) for kind in KINDS}
_KINDS_BY_WORD = {word: kind for kind, word in _KIND_WORDS.items()}

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
            raise EntryError("field-range", f"{name} {_shown(value)} is not in [0, 2^{bits})")
        shift -= bits
        word |= value << shift
    return word.to_bytes(WORD_BYTES)


def _unpack(layout: _Layout, payload: bytes) -> list[int]:
    _check_word("payload", payload)
    word, shift = int.from_bytes(payload), 8 * WORD_BYTES
    values = []
    for _, bits in layout:
        shift -= bits
        values.append(word >> shift & ((1 << bits) - 1))
    if word & ((1 << shift) - 1):
        raise EntryError("padding-not-zero", f"payload 0x{payload.hex()} has bits in its padding")
    return values


def _check_word(name: str, word: bytes) -> None:
    if len(word) != WORD_BYTES:
        raise EntryError("word-length", f"{name} has {len(word)} bytes; a word has 32")


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _shown(value: int) -> str:
    """Python refuses to print integers of more than 4,300 digits."""
    bits = value.bit_length()
    return str(value) if bits <= 8 * WORD_BYTES else f"of {bits} bits"
