"""Amounts and times as people write them: read exactly, or refused with the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.units import (
    AMOUNT_LIMIT,
    BPS,
    format_amount,
    format_duration,
    format_ms,
    format_percent,
    format_second,
    format_time,
    parse_amount,
    parse_duration_s,
    parse_event_time,
    parse_percent_bps,
    parse_time_ns,
)

MOST = AMOUNT_LIMIT - 1

# --- Times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-02 00:00:01", 86_401_000_000_000),
        ("1970-01-01T01:00:00Z", 3_600_000_000_000),
        ("1970-01-01t01:00:00.5z", 3_600_500_000_000),
        ("1970-01-01T03:00:00+02:00", 3_600_000_000_000),
        ("1970-01-01T00:00:00.123456789-01:00", 3_600_123_456_789),
        ("2024-02-29", 1_709_164_800_000_000_000),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999_999_999),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert parse_time_ns(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2023-02-29",
        "2024-01-01T00:00:00",
        "2024-1-1",
        "20240101",
        "1969-12-31",
        "2024-01-01 25:00:00",
        "2024-01-01T00:00:00+25:00",
        "2024-01-01T00:00:00+00:60",
        "2024-01-01T00:00:60Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠٢٤-01-01",
    ],
)
def test_times_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|is no time|needs a time zone|before 1970"):
        parse_time_ns(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (500_000_000, "1970-01-01T00:00:00.500Z"),
        (1_000_000, "1970-01-01T00:00:00.001Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (1_709_164_800_000_000_001, "2024-02-29T00:00:00.000000001Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_are_written_with_the_decimals_they_need(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text
    assert parse_time_ns(text) == nanoseconds


@given(st.integers(0, 253_402_300_799_999_999_999))
def test_times_survive_writing(nanoseconds: int) -> None:
    assert parse_time_ns(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (1_709_164_800, "2024-02-29 00:00:00 UTC"),
        (1 << 63, "second 9223372036854775808"),
        (1 << 255, f"second {1 << 255}"),
    ],
)
def test_seconds(second: int, text: str) -> None:
    assert format_second(second) == text


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_867_200_250, "2026-11-28T12:00:00.250Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        # Messages show whatever a caller or an entry names.
        (253_402_300_800_000, "253402300800000 ms"),
        (-1, "-1 ms"),
        ((1 << 63) - 1, f"{(1 << 63) - 1} ms"),
    ],
)
def test_milliseconds_are_shown_as_a_time(time_ms: int, text: str) -> None:
    assert format_ms(time_ms) == text
    if text.endswith("Z"):
        assert parse_event_time(text) == (time_ms, 0)


@pytest.mark.parametrize(
    ("text", "time_ms", "span_ms"),
    [
        ("2026-11-28T12:00:00Z", 1_795_867_200_000, 999),
        ("2026-11-28T13:00:00+01:00", 1_795_867_200_000, 999),
        ("2026-11-28T12:00:00.0Z", 1_795_867_200_000, 0),
        ("2026-11-28T12:00:00.25Z", 1_795_867_200_250, 0),
        ("2026-11-28T12:00:00.250999999Z", 1_795_867_200_250, 0),
    ],
)
def test_a_time_without_a_fraction_means_any_of_its_second(
    text: str, time_ms: int, span_ms: int
) -> None:
    assert parse_event_time(text) == (time_ms, span_ms)


# --- Amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "units"),
    [("0", 0), ("8.10", 8_100_000), ("0.000001", 1), ("007", 7_000_000), ("1.500000", 1_500_000)],
)
def test_amounts(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+1",
        "1e3",
        "1,000",
        ".5",
        "5.",
        "1.0000000",
        "nan",
        "\u0661",
        " 1",
        "$1",
        "9" * 30,
        "",
    ],
)
def test_amounts_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|decimals|more than"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 6, "0.00"),
        (8_100_000, 6, "8.10"),
        (1, 6, "0.000001"),
        (1_234_500_000, 6, "1,234.50"),
        (5, 0, "5.00"),
        (1_234, 2, "12.34"),
        (10**18 + 1, 18, "1.000000000000000001"),
    ],
)
def test_amounts_are_written_exactly(units: int, decimals: int, text: str) -> None:
    assert format_amount(units, decimals) == text


@given(st.integers(0, MOST), st.integers(2, 24))
def test_amounts_survive_writing(units: int, decimals: int) -> None:
    assert parse_amount(format_amount(units, decimals).replace(",", ""), decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("1.5", 1, 15),
        ("1", 0, 1),
        ("0.000001", 18, 10**12),
        (str(AMOUNT_LIMIT - 1), 0, AMOUNT_LIMIT - 1),
    ],
)
def test_amounts_have_the_decimals_of_their_token(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "complaint"),
    [
        ("1.50", 1, "more than 1 decimals"),
        ("1.0", 0, "more than 0"),
        (str(AMOUNT_LIMIT), 0, "more than any"),
    ],
)
def test_amounts_past_their_token_are_refused(text: str, decimals: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_amount(text, decimals)


def test_a_long_text_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"not 'x{56}\.\.\.$"):
        parse_amount("x" * 1000)


def test_an_amount_of_any_length_is_too_large() -> None:
    """Python refuses to convert so many digits."""
    with pytest.raises(ValueError, match="is more than any escrow holds"):
        parse_amount("9" * 10_000)


# --- Durations and percentages --------------------------------------------------------------------


@given(st.integers(0, 10**8))
def test_a_duration_is_read_as_it_is_written(duration_s: int) -> None:
    assert parse_duration_s(format_duration(duration_s)) == duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7 days", 604_800),
        ("1 day", 86_400),
        ("36hours", 129_600),
        ("2 weeks", 1_209_600),
        ("0 seconds", 0),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "7 d", "1.5 days", "-1 days", "007 days", "7  days"])
def test_durations_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number of seconds"):
        parse_duration_s(text)


def test_durations_are_written_in_their_largest_unit() -> None:
    written = [format_duration(each) for each in (0, 1, 90, 120, 3600, 86_400, 604_800)]
    assert written == [
        "0 seconds",
        "1 second",
        "90 seconds",
        "2 minutes",
        "1 hour",
        "1 day",
        "7 days",
    ]


@given(st.integers(0, BPS))
def test_a_percentage_is_read_as_it_is_written(bps: int) -> None:
    assert parse_percent_bps(format_percent(bps)) == bps


def test_percentages() -> None:
    assert [parse_percent_bps(text) for text in ("10 %", "2.5", "0.01%", "100")] == [
        1000,
        250,
        1,
        BPS,
    ]
    assert [format_percent(bps) for bps in (0, 1, 250, 1000)] == ["0 %", "0.01 %", "2.5 %", "10 %"]


@pytest.mark.parametrize("text", ["", "%", "10.", "1.234", "-1", "01", "100.01"])
def test_percentages_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a percentage|more than 100"):
        parse_percent_bps(text)
