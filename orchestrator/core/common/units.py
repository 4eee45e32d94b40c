"""Money and time: token base units, basis points, seconds and days, and how people write them.

Money is whole token base units, time is UTC. Amounts and times are parsed and written here alone.
Text that cannot be parsed raises `ValueError`; its message is a phrase to put behind a field's
name.
"""

import re
from datetime import UTC, datetime, timedelta

from orchestrator.core.common.errors import shown

TOKEN_DECIMALS = 6
UNITS_PER_TOKEN = 10**TOKEN_DECIMALS
AMOUNT_LIMIT = 1 << 80  # exclusive
BPS = 10_000
DAY_S = 86_400
HOUR_S = 3_600
DAY_MS = 1000 * DAY_S
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
# How much later than a time of whole seconds the event may have been.
WHOLE_SECOND_MS = 999
# How far one clock may be ahead of another: more, and one of the two is wrong.
MAX_AHEAD_MS = 5_000

_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]{1,80}))?")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:([Tt ])([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])?)?"
)
_DURATION = re.compile(r"(0|[1-9][0-9]{0,8}) ?(second|minute|hour|day|week)s?")
_DURATIONS_S = {"second": 1, "minute": 60, "hour": 3600, "day": DAY_S, "week": 7 * DAY_S}
_PERCENT = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,2}))?(?: ?%)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_S = 253_402_300_800  # the year 10000, which RFC 3339 cannot write
_MAX_WHOLE_DIGITS = 30


def parse_amount(text: str, decimals: int = TOKEN_DECIMALS) -> int:
    """Return the base units of a decimal amount such as `8.10`, of a token with these decimals."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a decimal amount, zero or more, not {shown(text)}")
    whole: str = match[1]
    fraction: str = match[2] or ""
    if len(fraction) > decimals:
        raise ValueError(f"{shown(text)} has more than {decimals} decimals")
    # Python refuses to convert thousands of digits: those are counted instead.
    is_short = len(whole) <= _MAX_WHOLE_DIGITS
    units = int(whole + fraction.ljust(decimals, "0")) if is_short else AMOUNT_LIMIT
    if units >= AMOUNT_LIMIT:
        raise ValueError(f"{shown(text)} is more than any escrow holds")
    return units


def format_amount(units: int, decimals: int = TOKEN_DECIMALS) -> str:
    """Write an amount exactly, with thousands separated and two decimals at least: `1,234.50`."""
    whole, rest = divmod(units, 10**decimals)
    fraction = f"{rest:0{decimals}}" if decimals else ""
    return f"{whole:,}.{fraction.rstrip('0').ljust(2, '0')}"


def parse_duration_s(text: str) -> int:
    """Return the seconds of a duration such as `7 days`, `36 hours` or `90 seconds`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"must be a whole number of seconds, minutes, hours, days or weeks, such as '7 days', "
            f"not {shown(text)}"
        )
    return int(match[1]) * _DURATIONS_S[match[2]]


def format_duration(duration_s: int) -> str:
    """Write a duration in the largest unit that divides it, weeks apart: `7 days`, `90 seconds`."""
    for noun in ("day", "hour", "minute"):
        if duration_s and duration_s % _DURATIONS_S[noun] == 0:
            count = duration_s // _DURATIONS_S[noun]
            break
    else:
        noun, count = "second", duration_s
    return counted(count, noun).replace(",", "")


def counted(count: int, noun: str, many: str = "") -> str:
    """Write a count of things: `1 lead`, `2,000 leads`; `many` is a plural that takes no `s`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def parse_percent_bps(text: str) -> int:
    """Return the basis points of a share such as `10 %` or `2.5`, of 100 % at most."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"must be a percentage with at most two decimals, such as '10 %', not {shown(text)}"
        )
    bps = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if bps > BPS:
        raise ValueError(f"{shown(text)} is more than 100 %")
    return bps


def format_percent(bps: int) -> str:
    """Write basis points as a percentage with as few decimals as it needs: `2.5 %`."""
    whole, rest = divmod(bps, 100)
    fraction = f"{rest:02}".rstrip("0")
    return f"{whole}.{fraction} %" if fraction else f"{whole} %"


def parse_time_ns(text: str) -> int:
    """Return the nanoseconds since 1970 of an RFC 3339 time or `YYYY-MM-DD[ HH:MM:SS]` in UTC."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"must be RFC 3339 or YYYY-MM-DD[ HH:MM:SS] in UTC, not {shown(text)}")
    day, separator, clock, fraction, offset = match.groups()
    if separator in ("T", "t") and offset is None:
        raise ValueError(f"{text!r} needs a time zone: end it with Z or an offset")
    # `datetime` keeps microseconds, so the fraction stays apart and is added as nanoseconds.
    iso = f"{day}T{clock or '00:00:00'}{'+00:00' if offset in (None, 'Z', 'z') else offset}"
    try:
        elapsed = datetime.fromisoformat(iso) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: {error}") from None
    seconds = elapsed.days * DAY_S + elapsed.seconds
    if not 0 <= seconds < _END_S:
        raise ValueError(f"{text!r} is before 1970 or after 9999")
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def parse_event_time(text: str) -> tuple[int, int]:
    """Return the milliseconds of a time as `parse_time_ns` reads it, and how many more it may mean.

    A clock of whole seconds writes no fraction, and means any millisecond of its second: 999 more.
    """
    match = _TIME.fullmatch(text)
    time_ms = parse_time_ns(text) // NS_PER_MS
    return time_ms, 0 if match and match[4] else WHOLE_SECOND_MS


def format_time(time_ns: int) -> str:
    """Write RFC 3339 in UTC, with as many decimals of a second as it needs: 0, 3, 6 or 9."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
    fraction = f"{rest:09}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def format_ms(time_ms: int) -> str:
    """Write UTC milliseconds as `2026-11-28T12:00:00.250Z`, or as a number if no calendar has them.

    It is for messages, which must show any number that a log or a caller may name.
    """
    if not 0 <= time_ms < _END_S * 1000:
        return f"{time_ms} ms"
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return f"{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def format_second(time_s: int) -> str:
    """Write a UTC second as people read it, or its number if no calendar has it."""
    # A chain's clock may hold any number.
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"second {time_s}"


def format_day(day: int) -> str:
    """Write a day, given in days since 1970, as `2026-03-01`."""
    return (_EPOCH + timedelta(days=day)).date().isoformat()
