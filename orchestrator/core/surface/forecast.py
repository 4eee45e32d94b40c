"""Forecasts: how many of a state's leads will move on, and who said so better than the record.

A surface asks *questions*: of the leads that are in one state at 00:00 UTC, how many enter another
within some days? All times here are of the log's clock, which never goes back, so that whoever
replays the log counts the same:

* A lead's *stay* in a state lasts from the time at which its transition (or registration) was
  folded to the time at which its next one was: [began, left). Entering the same state again begins
  a new stay.
* The *cohort* of a question and a day is every lead whose stay in the question's first state holds
  that day's midnight D: began ≤ D < left. So it is known once the clock has passed D.
* A lead of the cohort *moved* if that stay ended by entering the question's second state, and
  left ≤ D + horizon. So the cohort is final once the clock has passed D + horizon.
* A forecast, made on the day before, is of the cohort of the next midnight. At its making, two
  *baselines* are known to all, for the day D - 1 has begun: the *latest* cohort that is final by
  then, of day D - 1 - horizon, and all the final ones, that one included, *pooled*.
* The error of a probability p for a cohort of n, of which the share a moved, is n (p - a)². A
  forecaster's *skill* against a baseline is 1 - Σ its errors / Σ the baseline's, over forecasts
  whose windows do not overlap; what counts is its skill against the better baseline.

A share of few leads is mostly chance: the latest cohort alone is beaten by any average, and the
average alone by any glance at the latest. Hence two baselines. Of a large cohort one error can be a
thousand times that of a small one: hence a window's two errors are scaled down together until the
larger is a half at most, and no single window decides. The odds of passing by luck are in
docs/security/forecast-odds.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.core.common.errors import LogError, RequestError
from orchestrator.core.common.units import BPS, DAY_MS, format_ms

MAX_QUESTIONS = 16
MAX_HORIZON_DAYS = 31
# How long after its window a forecast may be opened. One that counts and is not opened forfeits.
OPENING_DAYS = 7
# Errors are whole hundred-millionths: p has four decimals, and its square eight.
ERROR_UNIT = BPS * BPS
# The most that a window weighs. By chance alone the error of a right probability is a quarter.
MAX_WEIGHT = ERROR_UNIT // 2

# --- Questions and days ---------------------------------------------------------------------------


class Question(NamedTuple):
    """A thing to forecast: the share of leads that go from one state into another in time."""

    from_state: str
    to_state: str
    horizon_days: int

    def end(self, day: int) -> int:
        """Return the day at whose midnight the window of this day's cohort ends."""
        return day + self.horizon_days

    @property
    def ring_days(self) -> int:
        """The number of days that are kept: a forecast can be scored until its opening is late.

        Of the day itself, of the latest cohort before it, and of all between and since.
        """
        return 2 * self.horizon_days + OPENING_DAYS + 1


def forecast_day(at_ms: int) -> int:
    """Return the day whose cohort a forecast made at this time is of: that of the next midnight."""
    return at_ms // DAY_MS + 1


def check_opening_time(question: Question, day: int, at_ms: int) -> None:
    """Raise RequestError unless a forecast of this day's cohort can be opened at this time."""
    from_ms = question.end(day) * DAY_MS
    until_ms = from_ms + OPENING_DAYS * DAY_MS
    if at_ms <= from_ms:
        raise RequestError(
            "opening-early",
            f"the forecast's window ends at {format_ms(from_ms)}, and it is {format_ms(at_ms)}; "
            f"open it when that has passed",
        )
    if at_ms > until_ms:
        raise RequestError(
            "opening-late",
            f"the forecast was to be opened until {format_ms(until_ms)}, and it is "
            f"{format_ms(at_ms)}",
        )


# --- Cohorts --------------------------------------------------------------------------------------


class Cohort(NamedTuple):
    """The number of leads in a state at a midnight, and of those that moved in time."""

    n: int
    moved: int

    def plus(self, other: "Cohort") -> "Cohort":
        """Return both together."""
        return Cohort(self.n + other.n, self.moved + other.moved)


class CohortDay(NamedTuple):
    """A day of a question's history. What moved may still grow until it `is_final`."""

    day: int
    cohort: Cohort
    is_final: bool


class Baseline(NamedTuple):
    """The record that a forecast is measured against: known to all when it was made."""

    latest: Cohort
    pooled: Cohort


NO_COHORT = Cohort(0, 0)


@dataclass(slots=True)
class _Series:
    """A question's cohorts, of the days from `first` on, and beside each the pooled baseline.

    `n` and `moved` stand apart, so that counting a move is cheap. `pooled` is that of the last day.
    """

    question: Question
    first: int
    n: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    baselines: list[Cohort] = field(default_factory=list)
    pooled: Cohort = NO_COHORT

    @property
    def next(self) -> int:
        """The first day whose midnight has not passed."""
        return self.first + len(self.n)

    def of(self, day: int) -> Cohort | None:
        if not self.first <= day < self.next:
            return None
        return Cohort(self.n[day - self.first], self.moved[day - self.first])

    def latest_before(self, day: int) -> Cohort:
        """Return the cohort that became final last before the day before `day` began."""
        return self.of(day - 1 - self.question.horizon_days) or NO_COHORT

    def pass_midnights(self, occupied: int, until: int) -> None:
        """Take up the cohorts of all days before `until`, at whose midnights so many were there."""
        # A ring that is full of one and the same cohort stays as it is: however many days have
        # passed, two rings of them are enough.
        self._push(occupied, min(until - self.next, self.question.ring_days))
        skipped = until - self.next - self.question.ring_days
        if skipped > 0:
            self.pooled = self.pooled.plus(Cohort(occupied * skipped, 0))
            self.first += skipped
        self._push(occupied, until - self.next)
        excess = len(self.n) - self.question.ring_days
        if excess > 0:
            del self.n[:excess], self.moved[:excess], self.baselines[:excess]
            self.first += excess

    def _push(self, occupied: int, days: int) -> None:
        for _ in range(days):
            self.pooled = self.pooled.plus(self.latest_before(self.next))
            self.n.append(occupied)
            self.moved.append(0)
            self.baselines.append(self.pooled)

    def count_move(self, began_ms: int, left_ms: int) -> None:
        """Count a stay that ended in the question's second state: at most a horizon of days."""
        since_ms = max(began_ms, left_ms - self.question.horizon_days * DAY_MS)
        since = max(-(-since_ms // DAY_MS) - self.first, 0)
        for index in range(since, len(self.moved)):
            self.moved[index] += 1


@dataclass(slots=True)
class _Occupancy:
    """The number of leads in a state, of those that entered it after `since_ms`."""

    count: int
    since_ms: int


@dataclass(slots=True)
class Cohorts:
    """A surface's cohorts, of each question that it asks: a fold over what its leads do.

    Each call that takes a time moves `clock_ms` to it; an earlier one counts as that of the clock.
    Leads are counted in the states of the policy in force. Where a policy takes up a state again
    that one before it had dropped, leads that were left in it are counted when they enter again.
    """

    clock_ms: int = 0
    _states: dict[str, _Occupancy] = field(default_factory=dict)
    _series: list[_Series] = field(default_factory=list)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that are asked."""
        return tuple(series.question for series in self._series)

    def at(self, at_ms: int) -> None:
        """Move the clock: cohorts of all midnights that it has passed are taken up."""
        self.clock_ms = max(self.clock_ms, at_ms)
        until = self._next_day()
        for series in self._series:
            if series.next < until:
                here = self._states.get(series.question.from_state)
                series.pass_midnights(here.count if here else 0, until)

    def ask(self, states: Iterable[str], questions: Iterable[Question], at_ms: int) -> None:
        """Take up a policy's states and a surface's questions.

        A question that was asked before keeps its cohorts, a new one has none, and those of one
        that is no longer asked are forgotten.
        """
        self.at(at_ms)
        # No lead was there before the first policy.
        since_ms = self.clock_ms if self._states else -1
        self._states = {
            state: self._states.get(state) or _Occupancy(0, since_ms) for state in states
        }
        before = {series.question: series for series in self._series}
        self._series = [
            before.get(question) or _Series(question, self._next_day()) for question in questions
        ]

    def enter(self, state: str, at_ms: int) -> int:
        """Begin a lead's first stay; returns the time at which it began."""
        self.at(at_ms)
        self._count(state)
        return self.clock_ms

    def move(self, from_state: str, to_state: str, began_ms: int, at_ms: int) -> int:
        """End a lead's stay, which began then, and begin its next; returns when that began."""
        self.at(at_ms)
        here = self._states.get(from_state)
        if here is not None and began_ms > here.since_ms:
            here.count -= 1
            for series in self._series:
                if series.question[:2] == (from_state, to_state):
                    series.count_move(began_ms, self.clock_ms)
        self._count(to_state)
        return self.clock_ms

    def counts(self) -> dict[str, int]:
        """Return how many leads are in each state of the policy in force."""
        return {state: here.count for state, here in self._states.items()}

    def cohort(self, question: Question, day: int) -> Cohort | None:
        """Return the cohort of a day, None if it is not kept or its midnight has not passed."""
        series = self._find(question)
        return None if series is None else series.of(day)

    def is_final(self, question: Question, day: int) -> bool:
        """Return whether the clock has passed the window of this day's cohort."""
        return self.clock_ms > question.end(day) * DAY_MS

    def baseline(self, question: Question, day: int) -> Baseline | None:
        """Return what the forecasts of a day are measured against, None if it is not kept.

        That of the next midnight's is known too.
        """
        series = self._find(question)
        if series is None or not series.first <= day <= series.next:
            return None
        latest = series.latest_before(day)
        if day == series.next:
            return Baseline(latest, series.pooled.plus(latest))
        return Baseline(latest, series.baselines[day - series.first])

    def history(self, question: Question) -> tuple[CohortDay, ...]:
        """Return all that is kept of a question, oldest first: at most 70 days."""
        series = self._find(question)
        if series is None:
            return ()
        return tuple(
            CohortDay(day, Cohort(*found), self.is_final(question, day))
            for day, found in enumerate(zip(series.n, series.moved, strict=True), series.first)
        )

    def measured(self, question: Question, day: int, min_n: int) -> tuple[Cohort, Baseline] | None:
        """Return what a forecast of this day is measured by, once its window has passed.

        None where it is void: the cohort or the latest before it is not kept, or has fewer leads.
        """
        cohort, baseline = self.cohort(question, day), self.baseline(question, day)
        if cohort is None or baseline is None or not self.is_final(question, day):
            return None
        # The pooled baseline has the latest in it.
        if min(cohort.n, baseline.latest.n) < min_n:
            return None
        return cohort, baseline

    def to_document(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {
            "clock_ms": self.clock_ms,
            "states": {state: [here.count, here.since_ms] for state, here in self._states.items()},
            "series": [
                {
                    "question": list(series.question),
                    "first": series.first,
                    "n": list(series.n),
                    "moved": list(series.moved),
                    "baselines": [list(baseline) for baseline in series.baselines],
                    "pooled": list(series.pooled),
                }
                for series in self._series
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Cohorts":
        """Return the cohorts of such an object. Raises LogError if it is none."""
        try:
            return cls(
                document["clock_ms"],
                {state: _Occupancy(*words) for state, words in document["states"].items()},
                [
                    _Series(
                        Question(*found["question"]),
                        found["first"],
                        list(found["n"]),
                        list(found["moved"]),
                        [Cohort(*baseline) for baseline in found["baselines"]],
                        Cohort(*found["pooled"]),
                    )
                    for found in document["series"]
                ],
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise LogError(
                "cohorts-malformed", f"a surface's cohorts are not what was written: {error!r}"
            ) from None

    def _next_day(self) -> int:
        """Return the first day whose midnight the clock has not passed."""
        return -(-self.clock_ms // DAY_MS)

    def _count(self, state: str) -> None:
        here = self._states.get(state)
        if here is not None and self.clock_ms > here.since_ms:
            here.count += 1

    def _find(self, question: Question) -> _Series | None:
        return next((one for one in self._series if one.question == question), None)


# --- Scores and skill -----------------------------------------------------------------------------


class ForecastRules(NamedTuple):
    """The skill that earns level 1, and on how much it must rest.

    `min_n` is the fewest leads of a cohort and of its baselines, `min_counted` the fewest windows,
    and `min_denominator` the least sum of each baseline's errors: twenty windows of full weight,
    or more of less.
    """

    min_counted: int = 20
    min_denominator: int = 20 * MAX_WEIGHT
    skill_bps: int = 5_000
    min_n: int = 30


class Score(NamedTuple):
    """The error of a forecast, and of the two baselines for the same cohort."""

    error: int
    latest_error: int
    pooled_error: int


def score(cohort: Cohort, baseline: Baseline, probability_bps: int) -> Score:
    """Return the score of a probability for a cohort that is final.

    What is rounded is rounded against the forecaster: its error up, those of the baselines down.
    """
    off = probability_bps * cohort.n - BPS * cohort.moved
    return Score(
        -(-off * off // cohort.n),
        _baseline_error(cohort, baseline.latest),
        _baseline_error(cohort, baseline.pooled),
    )


def _baseline_error(cohort: Cohort, baseline: Cohort) -> int:
    off = baseline.moved * cohort.n - cohort.moved * baseline.n
    return ERROR_UNIT * off * off // (cohort.n * baseline.n * baseline.n)


@dataclass(slots=True)
class Margin:
    """A forecaster's errors beside those of one baseline, both summed up."""

    numerator: int = 0
    denominator: int = 0

    def add(self, error: int, baseline_error: int) -> None:
        """Add a window's two errors, scaled down together until the larger is a half at most."""
        larger = max(error, baseline_error, MAX_WEIGHT)
        self.numerator += -(-error * MAX_WEIGHT // larger)
        self.denominator += baseline_error * MAX_WEIGHT // larger

    def forfeit(self) -> None:
        """Take back what was gained, and leave what was lost."""
        self.numerator = max(self.numerator, self.denominator)

    def is_at_least(self, skill_bps: int) -> bool:
        """Return whether the skill is that much, compared without rounding."""
        return BPS * (self.denominator - self.numerator) >= skill_bps * self.denominator


@dataclass(slots=True)
class Skill:
    """An operator's skill on one surface, over all questions together.

    A forecast counts if, when it is made, its window begins no earlier than the end of the last one
    that counts: decided then, so that nothing can be picked out afterwards. `unopened` are the days
    at which the windows end of those that count and are not opened yet. One that is not opened in
    time forfeits what was gained, and the number of those that counted begins anew.
    """

    latest: Margin = field(default_factory=Margin)
    pooled: Margin = field(default_factory=Margin)
    counted: int = 0
    window_end: int = 0
    unopened: list[int] = field(default_factory=list)

    def commit(self, question: Question, day: int, at_ms: int) -> bool:
        """Take up a forecast of this day's cohort when it is made; returns whether it counts."""
        self._forfeit_lapsed(at_ms)
        if day < self.window_end:
            return False
        self.window_end = question.end(day)
        self.unopened.append(self.window_end)
        return True

    def add(self, question: Question, day: int, score: Score | None, at_ms: int) -> None:
        """Add the score of a forecast that counts, opened in time; None if it is void.

        Raises RequestError for one that did not count, or is not to be opened any more.
        """
        self._forfeit_lapsed(at_ms)
        end = question.end(day)
        if end not in self.unopened:
            raise RequestError(
                "forecast-uncounted",
                f"no forecast that counts and is to be opened has its window's end at "
                f"{format_ms(end * DAY_MS)}",
            )
        self.unopened.remove(end)
        if score is not None:
            self.latest.add(score.error, score.latest_error)
            self.pooled.add(score.error, score.pooled_error)
            self.counted += 1

    def skill_bps(self) -> int | None:
        """Return the skill against the better baseline, rounded down; None without any errors."""
        if not (self.latest.denominator and self.pooled.denominator):
            return None
        return min(
            BPS * (one.denominator - one.numerator) // one.denominator
            for one in (self.latest, self.pooled)
        )

    def passes(self, rules: ForecastRules, at_ms: int) -> bool:
        """Return whether this skill earns level 1 at this time."""
        return (
            not self._has_lapsed(at_ms)
            and self.counted >= rules.min_counted
            and all(
                one.denominator >= rules.min_denominator and one.is_at_least(rules.skill_bps)
                for one in (self.latest, self.pooled)
            )
        )

    def to_document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "latest": [self.latest.numerator, self.latest.denominator],
            "pooled": [self.pooled.numerator, self.pooled.denominator],
            "counted": self.counted,
            "window_end": self.window_end,
            "unopened": list(self.unopened),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Skill":
        """Return the skill of such an object. Raises LogError if it is none."""
        try:
            return cls(
                Margin(*document["latest"]),
                Margin(*document["pooled"]),
                document["counted"],
                document["window_end"],
                list(document["unopened"]),
            )
        except (LookupError, TypeError) as error:
            raise LogError(
                "skill-malformed", f"an operator's skill is not what was written: {error!r}"
            ) from None

    def _has_lapsed(self, at_ms: int) -> bool:
        # They stand in the order of their windows.
        return bool(self.unopened) and at_ms > (self.unopened[0] + OPENING_DAYS) * DAY_MS

    def _forfeit_lapsed(self, at_ms: int) -> None:
        while self._has_lapsed(at_ms):
            del self.unopened[0]
            self.latest.forfeit()
            self.pooled.forfeit()
            self.counted = 0
