"""Moments: times as exports have them.

RFC 3339 and ISO 8601 with a zone; without one, in the zone that the mapping states; seconds or
milliseconds since 1970, as a number or its digits. From 10**11 on a number is of milliseconds: as
seconds it would be of the year 5138, and that many milliseconds were over in 1973.
"""

import re
from functools import lru_cache

from orchestrator.core.common.errors import DocumentError, shown
from orchestrator.core.common.units import NS_PER_MS, NS_PER_S, parse_time_ns
from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.payload import Number

UTC_ZONE = "+00:00"
_FIRST_MS = 10**11
_END_MS = 253_402_300_800_000
_ZONE = re.compile(r"[+-](?:0[0-9]|1[0-4]):[0-5][0-9]")
_CLOCK = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]{1,9})?[0-9]{0,9}"
    r" ?(Z|z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9})[0-9]{0,9})?")


def parse_zone(value: object) -> str:
    """Return a zone as `+01:00`, which times without one are in. Raises `DocumentError`."""
    if value in ("UTC", "Z"):
        return UTC_ZONE
    if not isinstance(value, str) or not _ZONE.fullmatch(value):
        raise DocumentError(
            "zone-invalid",
            f"zone must be UTC or the difference to it, such as +01:00, not {shown(value)}",
        )
    return value


def parse_moment(value: object, zone: str = UTC_ZONE) -> tuple[int, bool]:
    """Return the nanoseconds since 1970, and whether the clock knows whole seconds alone.

    Raises `IntakeError`.
    """
    if isinstance(value, str) and not isinstance(value, Number):
        return _of_text(value, zone)
    if type(value) is int:
        return _of_number(value, "", value)
    match = _EPOCH.fullmatch(value) if isinstance(value, Number) else None
    if match is None:
        raise _invalid(value)
    return _of_number(int(match[1]), match[2] or "", value)


# Rows of one time often stand together, and reading times is much of the work.
@lru_cache(maxsize=4096)
def _of_text(text: str, zone: str) -> tuple[int, bool]:
    match = _CLOCK.fullmatch(text)
    if match is None:
        epoch = _EPOCH.fullmatch(text)
        if epoch is None or len(epoch[1]) < 9:
            raise _invalid(text)
        return _of_number(int(epoch[1]), epoch[2] or "", text)
    day, minute, second, fraction, offset = match.groups()
    if minute is None:
        clock, offset = "00:00:00", zone
    else:
        clock = f"{minute}{second or ':00'}{fraction or ''}"
    if offset is None:
        offset = zone
    elif offset in ("Z", "z", "UTC"):
        offset = UTC_ZONE
    elif len(offset) != 6:
        digits = offset[1:].replace(":", "").ljust(4, "0")
        offset = f"{offset[0]}{digits[:2]}:{digits[2:]}"
    try:
        return parse_time_ns(f"{day}T{clock}{offset}"), minute is not None and fraction is None
    except ValueError:
        raise _invalid(text) from None


def _of_number(whole: int, fraction: str, value: object) -> tuple[int, bool]:
    if whole >= _FIRST_MS:
        if whole >= _END_MS:
            raise _invalid(value)
        return whole * NS_PER_MS + int(fraction.ljust(9, "0")[:6] or 0), False
    if whole < 0:
        raise _invalid(value)
    return whole * NS_PER_S + int(fraction.ljust(9, "0")), not fraction


def _invalid(value: object) -> IntakeError:
    return IntakeError(
        "time-invalid",
        f"time must be as 2026-03-01T12:30:00Z, 2026-03-01 12:30:00, or seconds or milliseconds "
        f"since 1970, not {shown(value)}",
    )
