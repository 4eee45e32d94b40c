"""Openings: the public words that the payload of an entry is the SHA-256 of.

An opening holds nothing personal. Anyone checks it against the entry, and replays with it what the
entry alone does not say. Its bytes are ABI-encoded words, one for each field in order; the entry's
kind says which opening it has (`orchestrator.core.entries.kinds`). A field's type says its form: it
is read off the annotations of a NamedTuple.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

from orchestrator.core.common.errors import EntryError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.log.entry import (
    POSITION_LIMIT,
    TIME_MS_LIMIT,
    WORD_BYTES,
    ZERO_WORD,
    Entry,
    ascii_text,
    ascii_word,
    check_word,
    shown_integer,
)

T = TypeVar("T")

# The most words of an opening.
MAX_OPENING_WORDS = 9
_DIGITS = re.compile(r"0|[1-9][0-9]{0,24}")


class _Form(NamedTuple):
    """The forms of a field: its word in the opening's bytes, and its value in JSON.

    `write` and `read` raise EntryError, `from_json` TypeError or ValueError.
    """

    write: Callable[[str, Any], bytes]
    read: Callable[[str, bytes], Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _of_type(wanted: type[T]) -> Callable[[Any], T]:
    def check(value: Any) -> T:
        # By identity: to Python, `True` is an `int`, and 1.0 equals 1.
        if type(value) is not wanted:
            raise TypeError(f"{wanted.__name__} expected")
        found: T = value
        return found

    return check


def _whole_below(limit: int, code: str) -> _Form:
    def write(name: str, value: int) -> bytes:
        if not 0 <= value < limit:
            bits = limit.bit_length() - 1
            raise EntryError(code, f"{name} {shown_integer(value)} is not in [0, 2^{bits})")
        return value.to_bytes(WORD_BYTES)

    def read(name: str, word: bytes) -> int:
        value = int.from_bytes(word)
        write(name, value)
        return value

    return _Form(write, read, lambda value: value, _of_type(int))


def _write_word(name: str, value: bytes) -> bytes:
    if len(value) != WORD_BYTES:
        check_word(name, value)
    return value


def _write_truth(_: str, value: bool) -> bytes:
    return int(value).to_bytes(WORD_BYTES)


def _read_truth(name: str, word: bytes) -> bool:
    value = int.from_bytes(word)
    if value > 1:
        raise EntryError("field-range", f"{name} {shown_integer(value)} is not 0 or 1")
    return value == 1


def _unchanged(value: Any) -> Any:
    return value


def _units(text: Any) -> int:
    digits = _of_type(str)(text)
    if not _DIGITS.fullmatch(digits):
        raise ValueError("a whole number of units, as decimal text, expected")
    return int(digits)


_Word = Annotated[
    bytes,
    _Form(_write_word, lambda _, word: word, to_hex, lambda value: from_hex(value, WORD_BYTES)),
]
_Text = Annotated[
    str,
    _Form(
        lambda _, text: ascii_word(text),
        lambda _, word: ascii_text(word),
        _unchanged,
        _of_type(str),
    ),
]
_Position = Annotated[int, _whole_below(POSITION_LIMIT, "field-range")]
_TimeMs = Annotated[int, _whole_below(TIME_MS_LIMIT, "time-range")]
_Units = Annotated[
    int,
    # Amounts are text in JSON: readers there have 53 bits.
    _whole_below(AMOUNT_LIMIT, "field-range")._replace(to_json=str, from_json=_units),
]
_Truth = Annotated[bool, _Form(_write_truth, _read_truth, _unchanged, _of_type(bool))]


# --- Openings by kind -----------------------------------------------------------------------------


class ActOpening(NamedTuple):
    """The opening of an act that was asked for: a touch, an action, a suspension or its end.

    `request_hash` names the request that was taken, `commitment` is the salted commitment to its
    body; `key` is the random id of the delegate's key that it came by, zero for the wallet's own.
    """

    request_hash: _Word
    commitment: _Word
    key: _Word = ZERO_WORD


class ReportedTouchOpening(NamedTuple):
    """The opening of a touch that others report: of a click by code, or of an action carried out.

    `cause` is the position of the code's issue or of the action's request.
    """

    cause: _Position
    received_ms: _TimeMs
    request_hash: _Word
    commitment: _Word


class AnswerOpening(NamedTuple):
    """The opening of an answer to a requested action: a code of the reason, empty for none.

    `request_hash` names the request by which the owner answered, zero where others noted it: that
    the owner's endpoint took the action, or that its time has passed.
    """

    reason: _Text
    request_hash: _Word


class TransitionOpening(NamedTuple):
    """The opening of a lead's transition, or of one that was refused.

    `counted` is the position of the lead's last outcome into that state, paid or over a budget, of
    whichever contract (0: none). `order` is the random word of the order that the event names, zero
    for none.
    """

    from_state: _Text
    counted: _Position
    received_ms: _TimeMs
    order: _Word
    request_hash: _Word
    commitment: _Word


class EventOpening(NamedTuple):
    """The opening of an event that takes back.

    `of` is the position of the transition that it takes back from (0: it takes back nothing), and
    `previous` that of the event which took back from it before (0: none). Of the transition's
    revenue, `refunded_before_units` was given back before this event, and `refunded_after_units`
    with it; `whole` says that it takes back all that was left.
    """

    received_ms: _TimeMs
    order: _Word
    of: _Position
    previous: _Position
    refunded_before_units: _Units
    refunded_after_units: _Units
    whole: _Truth
    request_hash: _Word
    commitment: _Word


class CodeOpening(NamedTuple):
    """The opening of a code's issue: its expiry and, as for a touch, its request and key."""

    expires_ms: _TimeMs
    request_hash: _Word
    commitment: _Word
    key: _Word = ZERO_WORD


class TrustOpening(NamedTuple):
    """The opening of a change of level: its ground, the level before, and the evidence it rests on.

    Of ripe outcomes it states the number and the worth, of all that are remembered what they earned
    and what was reversed, in base units of the settings' token.
    """

    ground: _Text
    level_before: _Position
    ripe_outcomes: _Position
    ripe_units: _Units
    earned_units: _Units
    reversed_units: _Units
    disputes_lost: _Position


class ForecastOpening(NamedTuple):
    """The opening of a forecast's score: the forecast itself, and what it is measured by.

    `probability_bps` and `salt` are what its entry committed to. Of the `n` leads of its cohort so
    many `moved`; so did those of the two baselines. All are zero where the forecast is void.
    """

    probability_bps: _Position
    salt: _Word
    n: _Position
    moved: _Position
    latest_n: _Position
    latest_moved: _Position
    pooled_n: _Position
    pooled_moved: _Position


Opening = (
    ActOpening
    | ReportedTouchOpening
    | AnswerOpening
    | TransitionOpening
    | EventOpening
    | CodeOpening
    | TrustOpening
    | ForecastOpening
)


class Record(NamedTuple):
    """An entry, and the public opening of its payload where the payload is a commitment."""

    entry: Entry
    opening: Opening | None = None


def receipt_ms(opening: Opening | None) -> int | None:
    """Return when the report behind an opening was received; None where nothing was reported."""
    return getattr(opening, "received_ms", None)


# --- Bytes and JSON -------------------------------------------------------------------------------


def payload_of(opening: Opening) -> bytes:
    """Return the payload that commits to this opening."""
    return sha256(encode_opening(opening)).digest()


# The writer of the log asks twice for each: for the payload that commits to it, and to store it.
# By its type too, for tuples of equal values are equal whatever their fields may hold.
@lru_cache(maxsize=64, typed=True)
def encode_opening(opening: Opening) -> bytes:
    """Return the words of an opening. Raises EntryError for a field out of bounds."""
    return b"".join(
        [
            form.write(name, value)
            for (name, form), value in zip(_forms_of(type(opening)), opening, strict=True)
        ]
    )


def decode_opening(make: type[Opening], data: bytes) -> Opening:
    """Read what `encode_opening` writes of this type. Raises EntryError for anything else."""
    forms = _forms_of(make)
    if len(data) != len(forms) * WORD_BYTES:
        raise EntryError(
            "opening-length", f"this opening has {len(forms) * WORD_BYTES} bytes, not {len(data)}"
        )
    words = (data[start : start + WORD_BYTES] for start in range(0, len(data), WORD_BYTES))
    found: Any = make
    opening: Opening = found(
        *[form.read(name, word) for (name, form), word in zip(forms, words, strict=True)]
    )
    return opening


def opening_json(opening: Opening) -> dict[str, Any]:
    """Return an opening as the JSON object of the public API."""
    return {
        name: form.to_json(value)
        for (name, form), value in zip(_forms_of(type(opening)), opening, strict=True)
    }


def read_opening(make: type[Opening], document: Mapping[str, Any]) -> Opening:
    """Read the JSON object of an opening of this type.

    Raises LookupError, TypeError, ValueError or AttributeError for anything else.
    """
    forms = _forms_of(make)
    names = [name for name, _ in forms]
    if set(document) != set(names):
        raise ValueError(f"an opening of these members has no others: {', '.join(names)}")
    found: Any = make
    opening: Opening = found(*[form.from_json(document[name]) for name, form in forms])
    return opening


def _forms_of(make: Any) -> tuple[tuple[str, _Form], ...]:
    found: tuple[tuple[str, _Form], ...] = _cached_forms_of(make)
    return found


@cache
def _cached_forms_of(make: Any) -> tuple[tuple[str, _Form], ...]:
    hints = get_type_hints(make, include_extras=True)
    return tuple((name, hints[name].__metadata__[0]) for name in make._fields)
