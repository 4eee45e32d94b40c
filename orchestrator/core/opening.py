"""Openings: the public words that the payload of an entry is the SHA-256 of.

An opening holds nothing personal. Anyone checks it against the entry, and replays with it what the
entry alone does not say. Its bytes are ABI-encoded words; the entry's kind says which opening it
has (`orchestrator.core.kinds`).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple, Self, TypeVar

from orchestrator.core.entry import (
    POSITION_LIMIT,
    TIME_MS_LIMIT,
    WORD_BYTES,
    Entry,
    ascii_text,
    ascii_word,
    check_word,
    shown_integer,
)
from orchestrator.core.errors import EntryError
from orchestrator.core.hexadecimal import from_hex, to_hex

T = TypeVar("T")


class EventOpening(NamedTuple):
    """The opening of a product's event.

    Its bytes are abi.encode(fromState, nth, receivedMs, requestHash, commitment).
    `nth` counts the lead's entries into that state; `from_state` is empty and `nth` zero for a
    `product.event`. `request_hash` names the request that was taken, `commitment` is the salted
    commitment to its body.
    """

    from_state: str
    nth: int
    received_ms: int
    request_hash: bytes
    commitment: bytes

    def encode(self) -> bytes:
        """Return the 160 bytes. Raises EntryError for a field out of bounds."""
        from_state, nth, received_ms, request_hash, commitment = self
        if not 0 <= nth < POSITION_LIMIT:
            raise EntryError("field-range", f"nth {shown_integer(nth)} is not in [0, 2^40)")
        if not 0 <= received_ms < TIME_MS_LIMIT:
            raise EntryError(
                "time-range", f"received_ms {shown_integer(received_ms)} is not in [0, 2^63)"
            )
        check_word("request_hash", request_hash)
        check_word("commitment", commitment)
        return b"".join(
            (
                ascii_word(from_state),
                nth.to_bytes(WORD_BYTES),
                received_ms.to_bytes(WORD_BYTES),
                request_hash,
                commitment,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` writes. Raises EntryError for another length or no ASCII state."""
        from_state, nth, received_ms, request_hash, commitment = _words(data, 5)
        return cls(
            ascii_text(from_state),
            int.from_bytes(nth),
            int.from_bytes(received_ms),
            request_hash,
            commitment,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the public API."""
        return {
            "from_state": self.from_state,
            "nth": self.nth,
            "received_ms": self.received_ms,
            "request_hash": to_hex(self.request_hash),
            "commitment": to_hex(self.commitment),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON object. Raises LookupError, TypeError, ValueError or AttributeError."""
        _check_members(document, cls._fields)
        return cls(
            _of_type(str, document["from_state"]),
            _of_type(int, document["nth"]),
            _of_type(int, document["received_ms"]),
            from_hex(document["request_hash"], WORD_BYTES),
            from_hex(document["commitment"], WORD_BYTES),
        )


class TouchOpening(NamedTuple):
    """The opening of a touch: abi.encode(requestHash, commitment)."""

    request_hash: bytes
    commitment: bytes

    def encode(self) -> bytes:
        """Return the 64 bytes. Raises EntryError for what is no word."""
        check_word("request_hash", self.request_hash)
        check_word("commitment", self.commitment)
        return self.request_hash + self.commitment

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` writes. Raises EntryError for another length."""
        return cls(*_words(data, 2))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the public API."""
        return {
            "request_hash": to_hex(self.request_hash),
            "commitment": to_hex(self.commitment),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON object. Raises LookupError, TypeError, ValueError or AttributeError."""
        _check_members(document, cls._fields)
        return cls(
            from_hex(document["request_hash"], WORD_BYTES),
            from_hex(document["commitment"], WORD_BYTES),
        )


Opening = EventOpening | TouchOpening


class Record(NamedTuple):
    """An entry, and the public opening of its payload where the payload is a commitment."""

    entry: Entry
    opening: Opening | None = None


def receipt_ms(opening: Opening | None) -> int | None:
    """Return when the report behind an opening was received; None where nothing was reported."""
    return getattr(opening, "received_ms", None)


def payload_of(opening: Opening) -> bytes:
    """Return the payload that commits to this opening."""
    return sha256(opening.encode()).digest()


def _check_members(document: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if set(document) != set(names):
        raise ValueError(f"an opening of these members has no others: {', '.join(names)}")


def _of_type(wanted: type[T], value: Any) -> T:
    # By identity: to Python, `True` is an `int`, and 1.0 equals 1.
    if type(value) is not wanted:
        raise TypeError(f"{wanted.__name__} expected")
    found: T = value
    return found


def _words(data: bytes, count: int) -> list[bytes]:
    if len(data) != count * WORD_BYTES:
        raise EntryError(
            "opening-length", f"this opening has {count * WORD_BYTES} bytes, not {len(data)}"
        )
    return [data[start : start + WORD_BYTES] for start in range(0, len(data), WORD_BYTES)]
