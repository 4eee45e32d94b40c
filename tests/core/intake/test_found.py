"""Found events: what they look like at the event door."""

from orchestrator.core.common.units import parse_event_time, parse_time_ns
from orchestrator.core.intake.found import FoundEvent


def test_a_whole_second_stays_one_and_a_millisecond_too() -> None:
    second = FoundEvent("1", "x", "buy", 29_900_000, "", parse_time_ns("2026-03-01"), True)
    exact = second._replace(is_whole_second=False, value_units=None)
    assert (second.value_text(), exact.value_text()) == ("29.900000", None)
    assert parse_event_time(second.time_text()) == (second.time_ns // 10**6, 999)
    assert parse_event_time(exact.time_text()) == (second.time_ns // 10**6, 0)
    assert (second.latest_ns - second.time_ns, exact.latest_ns) == (999_000_000, exact.time_ns)
    late = exact._replace(time_ns=exact.time_ns + 5_000_000)
    assert late.time_text() == "2026-03-01T00:00:00.005Z"
