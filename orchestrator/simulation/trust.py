"""Trust in the demonstration: an agent that earns its first level by forecasting, and the rest.

The forecaster has no model of its own. It is told what the sample's customers will do, to the whole
percent: as much as an agent knows that has talked to them, and no more than the log will show.
"""

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.client.accounts import OperatorClient
from orchestrator.core.entry import address_word
from orchestrator.core.forecast import Question, forecast_day
from orchestrator.core.kinds import KINDS, Topic
from orchestrator.core.opening import TrustOpening
from orchestrator.core.units import BPS, DAY_MS
from orchestrator.log.reader import LogReader
from orchestrator.simulation.cdnow import Day

QUESTION = Question("buyer", "repeat_buyer", 14)
PERCENT_BPS = BPS // 100
MAX_CHANGES = 1_000


class LevelChange(NamedTuple):
    """A change of an operator's standing: its level and ground, or the owner's hand."""

    time_ms: int
    operator: str
    what: str
    position: int


class Forecaster:
    """An agent that forecasts the same question again and again, each time its last window is over.

    `purchases` are the sample's days, from which it knows what comes.
    """

    def __init__(self, client: OperatorClient, surface: str, purchases: Iterable[Day]) -> None:
        self.client = client
        self._surface = surface
        self._second_day = _second_purchases(purchases)
        self._next_day = 0

    def forecast(self, now_ms: int) -> bool:
        """Make the forecast that is due; return False if none is, or its cohort is too small."""
        day = forecast_day(now_ms)
        cohort = [second for first, second in self._second_day.values() if first < day <= second]
        if day < self._next_day or len(cohort) < 2 * BPS // PERCENT_BPS:
            return False
        moved = sum(second < QUESTION.end(day) for second in cohort)
        percent = (200 * moved + len(cohort)) // (2 * len(cohort))
        self.client.forecast(self._surface, QUESTION._asdict(), percent * PERCENT_BPS)
        self._next_day = QUESTION.end(day)
        return True

    @property
    def level(self) -> int:
        """The agent's level on the surface."""
        level: int = self.client.standing(self._surface)["level"]
        return level


def _second_purchases(purchases: Iterable[Day]) -> dict[str, tuple[int, int]]:
    """Return the days of each customer's first and second purchase; a second may never come."""
    found: dict[str, tuple[int, int]] = {}
    never = 1 << 40
    for start_ms, events in purchases:
        day = start_ms // DAY_MS
        for event in events:
            if event.event != "purchase":
                continue
            first, second = found.get(event.lead, (day, never))
            if event.lead in found and second == never:
                second = day
            found[event.lead] = (first, second)
    return found


def level_changes(log: LogReader, names: dict[str, str]) -> list[LevelChange]:
    """Return what happened to the standings of operators, whose names are given by address."""
    words = {address_word(address): name for address, name in names.items()}
    found = []
    for kind in (one.name for one in KINDS.values() if one.topic is Topic.LEVEL):
        for stored in log.of_kind(kind, -1, MAX_CHANGES):
            entry, opening = stored.entry, stored.opened
            if entry.subject not in words:
                continue
            what = f"{kind.rpartition('.')[2]} ({entry.label})"
            if isinstance(opening, TrustOpening):
                what = f"level {opening.level_before} → {entry.label} by {opening.ground}"
            found.append(LevelChange(entry.time_ms, words[entry.subject], what, stored.position))
    return sorted(found, key=lambda change: change.position)
