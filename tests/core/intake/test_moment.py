"""Moments: the forms of times that exports have."""

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.units import format_time
from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.moment import parse_moment, parse_zone
from orchestrator.core.intake.payload import Number


@pytest.mark.parametrize(
    ("value", "written", "is_whole"),
    [
        ("2026-03-01T12:30:00Z", "2026-03-01T12:30:00Z", True),
        ("2026-03-01T12:30:00.000Z", "2026-03-01T12:30:00Z", False),
        ("2026-03-01T12:30:00.123456+02:00", "2026-03-01T10:30:00.123456Z", False),
        ("2026-03-01 12:30:00", "2026-03-01T11:30:00Z", True),
        ("2026-03-01T12:30:00", "2026-03-01T11:30:00Z", True),
        ("2026-03-01 12:30", "2026-03-01T11:30:00Z", True),
        ("2026-03-01 12:30:00 UTC", "2026-03-01T12:30:00Z", True),
        ("2026-03-01 12:30:00.5+0530", "2026-03-01T07:00:00.500Z", False),
        ("2026-03-01 12:30:00+00", "2026-03-01T12:30:00Z", True),
        ("2026-03-01", "2026-02-28T23:00:00Z", False),
        (1_772_368_200, "2026-03-01T12:30:00Z", True),
        ("1772368200", "2026-03-01T12:30:00Z", True),
        (1_772_368_200_250, "2026-03-01T12:30:00.250Z", False),
        (Number("1772368200.5"), "2026-03-01T12:30:00.500Z", False),
        (0, "1970-01-01T00:00:00Z", True),
    ],
)
def test_a_time_as_exports_have_it(value: object, written: str, is_whole: bool) -> None:
    time_ns, found = parse_moment(value, "+01:00")
    assert (format_time(time_ns), found) == (written, is_whole)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "soon",
        "2026-02-30T00:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T12:30:00+99:00",
        "1969-12-31T23:59:59Z",
        "2026-W01-1",
        "20260301",
        -1,
        10**16,
        Number("1e9"),
        Number("NaN"),
        [2026],
        "\u0662\u0660\u0662\u0666-03-01",
    ],
)
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(IntakeError) as caught:
        parse_moment(value)
    assert caught.value.code == "time-invalid"


def test_a_zone_is_a_difference_to_utc() -> None:
    assert (parse_zone("UTC"), parse_zone("-08:30")) == ("+00:00", "-08:30")
    for value in ("Europe/Berlin", "+1:00", "+15:00", 1, None):
        with pytest.raises(DocumentError, match="zone must be UTC or"):
            parse_zone(value)
