"""Payloads: JSON with one meaning each, whose decimals stay text, and the values in it by path.

Numbers of other systems are decimals as often as not. They are kept as the digits that were sent:
no amount ever passes through binary floating point. What has two meanings is refused: a key that
stands twice, NaN, half a surrogate pair.
"""

import json
from typing import NoReturn

from orchestrator.core.common.errors import shown
from orchestrator.core.intake.found import IntakeError

MAX_PATH_STEPS = 8
_MAX_DIGITS = 40
_SPACE = " \t\r\n"

# The keys that lead to a value, from the payload's top.
Path = tuple[str, ...]


class Number(str):
    """The digits of a JSON number, as they were sent."""

    __slots__ = ()


def read_payload(data: bytes | str) -> object:
    """Return the value of a JSON text: integers as `int`, other numbers as `Number`.

    Raises `IntakeError` for a text that is no JSON, or has more than one meaning.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as error:
        raise IntakeError("json-malformed", f"it is not UTF-8 at byte {error.start}") from None
    text = text.strip(_SPACE)
    value, end = read_item(text, 0)
    if end != len(text):
        raise IntakeError("json-malformed", f"it is not JSON at character {end}: Extra data")
    return value


def read_item(text: str, start: int) -> tuple[object, int]:
    """Return the JSON value that begins at a character, and the end of it. Raises `IntakeError`."""
    try:
        value, end = _SCAN(text, start)
    except StopIteration as error:
        raise IntakeError(
            "json-malformed", f"it is not JSON at character {error.value - start}: Expecting value"
        ) from None
    except json.JSONDecodeError as error:
        raise IntakeError(
            "json-malformed", f"it is not JSON at character {error.pos - start}: {error.msg}"
        ) from None
    # The decoder recurses into nested arrays and objects; Python's own limit stops it in time.
    except RecursionError:
        raise IntakeError("json-malformed", "it is nested too deeply") from None
    part = text[start:end]
    if "\\u" in part or not part.isascii():
        _check_text(part, value)
    return value, end


def _check_text(part: str, value: object) -> None:
    """Raise `IntakeError` for half a surrogate pair: an escape can hide one, or bytes not UTF-8."""
    try:
        part.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise IntakeError(
            "json-malformed", "it is not UTF-8, or has half a surrogate pair in a text"
        ) from None


def value_at(payload: object, path: Path) -> object:
    """Return the value at a path, or None where there is none."""
    for key in path:
        if not isinstance(payload, dict):
            return None
        payload = payload.get(key)
    return payload


def text_of(value: object) -> str | None:
    """Return a text, or a whole number as one; None for what is empty or neither."""
    if isinstance(value, str):
        return None if isinstance(value, Number) else (value or None)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise IntakeError("json-malformed", f"it has the key {shown(twice)} twice")
    return table


def _integer(text: str) -> int:
    # The digits are counted first: int() of a very long text is slow, and refused by Python.
    if len(text) > _MAX_DIGITS:
        raise IntakeError("json-malformed", f"it has the number {text[:24]}… of {len(text)} digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise IntakeError("json-malformed", f"it has the number {text}, which JSON does not know")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_integer,
    parse_float=Number,
    parse_constant=_refuse_constant,
)
# As `raw_decode` calls it, for each of millions of rows.
_SCAN = _DECODER.scan_once  # type: ignore[attr-defined]
