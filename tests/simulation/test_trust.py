"""Trust in the demonstration: what its forecaster says, and the level that it earns."""

from collections.abc import Iterator
from itertools import pairwise

from orchestrator.client.accounts import EventReport
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.surface.forecast import Cohorts, Skill, forecast_day, score
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.simulation.cdnow import POLICY, START_MS, Day, read_purchases, settings
from orchestrator.simulation.trust import QUESTION, Forecaster

NEXT = {"visitor": "buyer", "buyer": "repeat_buyer", "repeat_buyer": "regular"}


class Said:
    """A client that remembers what it was to forecast."""

    def __init__(self) -> None:
        self.probabilities: list[int] = []

    def forecast(self, surface: str, question: object, probability_bps: int) -> None:
        assert (surface, question) == ("here", QUESTION._asdict())
        self.probabilities.append(probability_bps)


def weeks() -> Iterator[int]:
    yield from range(START_MS + DAY_MS, START_MS + 200 * DAY_MS, 7 * DAY_MS)


def test_it_forecasts_when_its_last_window_is_over_and_there_are_leads_enough() -> None:
    client = Said()
    forecaster = Forecaster(client, "here", read_purchases())  # type: ignore[arg-type]
    made = [now_ms for now_ms in weeks() if forecaster.forecast(now_ms)]
    assert {late - early for early, late in pairwise(made)} == {14 * DAY_MS}
    assert all(bps % 100 == 0 for bps in client.probabilities)
    assert not Forecaster(client, "here", []).forecast(START_MS)  # type: ignore[arg-type]


def test_what_it_says_earns_the_first_level_by_the_settings_of_the_demonstration() -> None:
    """The log's own count of the sample, beside what the forecaster has said of it."""
    asked = parse_settings(settings("0x" + "11" * 20)).forecasts
    assert asked is not None
    cohorts, skill, client = Cohorts(), Skill(), Said()
    cohorts.ask(list(POLICY["states"]), asked.questions, START_MS)  # type: ignore[call-overload]
    forecaster = Forecaster(client, "here", read_purchases())  # type: ignore[arg-type]
    pending: list[tuple[int, int]] = []
    leads: dict[str, tuple[str, int]] = {}
    days: Iterator[Day] = read_purchases()
    day_ms, events = next(days)
    risen_ms = None
    for now_ms in weeks():
        while day_ms + DAY_MS <= now_ms:
            at_ms = day_ms + DAY_MS - 1
            for event in events:
                report(cohorts, leads, event, at_ms)
            day_ms, events = next(days)
        cohorts.at(now_ms)
        while pending and QUESTION.end(pending[0][0]) * DAY_MS < now_ms:
            day, probability_bps = pending.pop(0)
            found = cohorts.measured(QUESTION, day, asked.rules.min_n)
            scored = None if found is None else score(*found, probability_bps)
            skill.add(QUESTION, day, scored, now_ms)
        if risen_ms is None and skill.passes(asked.rules, now_ms):
            risen_ms = now_ms
        if forecaster.forecast(now_ms):
            skill.commit(QUESTION, forecast_day(now_ms), now_ms)
            pending.append((forecast_day(now_ms), client.probabilities[-1]))
    assert risen_ms is not None
    assert 60 < (risen_ms - START_MS) // DAY_MS < 120


def report(
    cohorts: Cohorts, leads: dict[str, tuple[str, int]], event: EventReport, at_ms: int
) -> None:
    state, began_ms = leads.get(event.lead) or ("visitor", cohorts.enter("visitor", at_ms))
    to = NEXT.get(state, state)
    leads[event.lead] = (to, cohorts.move(state, to, began_ms, at_ms))
