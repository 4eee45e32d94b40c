"""Forecasts: cohorts against an oracle that keeps every stay, scores, and what counts as skill."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import DomainError, LogError, RequestError
from orchestrator.core.common.units import BPS, DAY_MS
from orchestrator.core.surface.forecast import (
    ERROR_UNIT,
    MAX_QUESTIONS,
    NO_COHORT,
    OPENING_DAYS,
    Baseline,
    Cohort,
    CohortDay,
    Cohorts,
    ForecastRules,
    Margin,
    Question,
    Score,
    Skill,
    check_opening_time,
    forecast_day,
    score,
)
from tests.support.depth import examples

STATES = ("new", "trial", "paid")
TO_TRIAL = Question("new", "trial", 2)
D = 10 * DAY_MS  # a midnight
HALF = ERROR_UNIT // 2


def asked(*questions: Question, at_ms: int = 0) -> Cohorts:
    cohorts = Cohorts()
    cohorts.ask(STATES, questions or (TO_TRIAL,), at_ms)
    return cohorts


@contextmanager
def refused(code: str, kind: type[DomainError], message: str = ".") -> Iterator[None]:
    with pytest.raises(kind, match=message) as caught:
        yield
    assert caught.value.code == code


# --- Questions and days ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_ms", "day"), [(D - 1, 10), (D, 11), (D + 1, 11), (D + DAY_MS - 1, 11), (0, 1)]
)
def test_a_forecast_is_of_the_next_midnight(at_ms: int, day: int) -> None:
    assert forecast_day(at_ms) == day
    assert (day - 1) * DAY_MS <= at_ms < day * DAY_MS


def test_a_forecast_is_opened_after_its_window_and_in_time() -> None:
    end = D + 2 * DAY_MS
    for at_ms in (end + 1, end + OPENING_DAYS * DAY_MS):
        check_opening_time(TO_TRIAL, 10, at_ms)
    with refused("opening-early", RequestError, "window ends at 1970-01-13T00:00:00.000Z"):
        check_opening_time(TO_TRIAL, 10, end)
    with refused("opening-late", RequestError, "until 1970-01-20T00:00:00.000Z"):
        check_opening_time(TO_TRIAL, 10, end + OPENING_DAYS * DAY_MS + 1)


# --- Cohorts, edge by edge ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("began_ms", "left_ms", "to_state", "found"),
    [
        # the beginning of the stay: at the midnight itself it is of the cohort
        (D - 1, D + 5, "trial", Cohort(1, 1)),
        (D, D + 5, "trial", Cohort(1, 1)),
        (D + 1, D + 5, "trial", NO_COHORT),
        # its end: who leaves at the midnight itself was not there
        (D - 9, D - 1, "trial", NO_COHORT),
        (D - 9, D, "trial", NO_COHORT),
        (D - 9, D + 1, "trial", Cohort(1, 1)),
        # the end of the window counts in
        (D - 9, D + 2 * DAY_MS - 1, "trial", Cohort(1, 1)),
        (D - 9, D + 2 * DAY_MS, "trial", Cohort(1, 1)),
        (D - 9, D + 2 * DAY_MS + 1, "trial", Cohort(1, 0)),
        # another way out
        (D - 9, D + 5, "paid", Cohort(1, 0)),
        (D - 9, D + 5, "new", Cohort(1, 0)),
    ],
)
def test_a_stay_and_a_midnight(began_ms: int, left_ms: int, to_state: str, found: Cohort) -> None:
    cohorts = asked()
    assert cohorts.enter("new", began_ms) == began_ms
    assert cohorts.move("new", to_state, began_ms, left_ms) == left_ms
    cohorts.at(D + 10 * DAY_MS)
    assert cohorts.cohort(TO_TRIAL, 10) == found


def test_only_the_next_exit_counts() -> None:
    cohorts = asked()
    began = cohorts.enter("new", D - 5)
    began = cohorts.move("new", "paid", began, D + 5)
    began = cohorts.move("paid", "new", began, D + 10)
    cohorts.move("new", "trial", began, D + 20)
    assert cohorts.cohort(TO_TRIAL, 10) == Cohort(1, 0)
    cohorts.at(D + DAY_MS + 1)
    assert cohorts.cohort(TO_TRIAL, 11) == NO_COHORT


def test_a_state_that_is_entered_again_is_a_new_stay() -> None:
    again = Question("paid", "paid", 1)
    cohorts = asked(again)
    began = cohorts.enter("paid", D - 5)
    began = cohorts.move("paid", "paid", began, D + 5)
    began = cohorts.move("paid", "paid", began, D + 6)
    cohorts.move("paid", "paid", began, D + DAY_MS + 1)
    assert [day.cohort for day in cohorts.history(again)][-2:] == [Cohort(1, 1), Cohort(1, 1)]


def test_midnights_without_entries_are_taken_up_together() -> None:
    cohorts = asked()
    began = cohorts.enter("new", D - 5)
    cohorts.move("new", "trial", began, D + 5 * DAY_MS + 1)
    assert [tuple(day) for day in cohorts.history(TO_TRIAL)[-7:]] == [
        (9, NO_COHORT, True),
        (10, Cohort(1, 0), True),
        (11, Cohort(1, 0), True),
        (12, Cohort(1, 0), True),
        (13, Cohort(1, 0), True),
        (14, Cohort(1, 1), False),
        (15, Cohort(1, 1), False),
    ]


def test_a_cohort_is_final_once_the_clock_has_passed_its_window() -> None:
    cohorts = asked()
    end = D + 2 * DAY_MS
    cohorts.at(end)
    assert not cohorts.is_final(TO_TRIAL, 10)
    cohorts.at(end + 1)
    assert cohorts.is_final(TO_TRIAL, 10)


def test_the_clock_never_goes_back() -> None:
    cohorts = asked()
    cohorts.at(D + 7)
    assert cohorts.enter("new", D - 5) == D + 7
    assert cohorts.move("new", "trial", D + 7, D - 1) == D + 7
    assert cohorts.cohort(TO_TRIAL, 10) == NO_COHORT


def test_the_midnight_ahead_has_no_cohort_but_a_baseline() -> None:
    cohorts = asked()
    began = cohorts.enter("new", 5 * DAY_MS - 1)
    cohorts.move("new", "trial", began, 7 * DAY_MS)
    cohorts.at(D - 1)
    day = forecast_day(D - 1)
    assert cohorts.cohort(TO_TRIAL, day) is None
    # of days 5 and 6 the lead was; day 7 is the last that is final before day 9 begins
    known = Baseline(latest=NO_COHORT, pooled=Cohort(2, 2))
    assert cohorts.baseline(TO_TRIAL, day) == known
    assert cohorts.baseline(TO_TRIAL, day + 1) is None
    cohorts.enter("new", D - 1)
    cohorts.at(D + 1)
    assert cohorts.baseline(TO_TRIAL, day) == known


def test_a_baseline_is_known_before_the_day_on_which_forecasts_are_made() -> None:
    cohorts = asked()
    began = [cohorts.enter("new", 7 * DAY_MS) for _ in range(3)]
    # the cohort of day 7 ends with day 9's midnight, at which the forecasts of day 10 begin
    cohorts.move("new", "trial", began[0], 9 * DAY_MS)
    before = cohorts.baseline(TO_TRIAL, 10)
    assert before is None
    cohorts.move("new", "trial", began[1], 9 * DAY_MS + 1)
    known = cohorts.baseline(TO_TRIAL, 10)
    assert known is not None
    assert known.latest == Cohort(3, 1)
    cohorts.at(D + 1)
    assert cohorts.baseline(TO_TRIAL, 10) == known


def test_unknown_questions_have_nothing() -> None:
    cohorts, other = asked(), Question("new", "trial", 3)
    cohorts.at(D)
    assert cohorts.cohort(other, 5) is None
    assert cohorts.baseline(other, 5) is None
    assert cohorts.history(other) == ()
    assert cohorts.measured(other, 5, 0) is None
    assert cohorts.questions == (TO_TRIAL,)


def test_questions_that_stay_keep_their_cohorts() -> None:
    three = Question("new", "trial", 3)
    cohorts = asked()
    cohorts.enter("new", 5)
    cohorts.ask(STATES, (three, TO_TRIAL), D)
    kept = cohorts.history(TO_TRIAL)
    assert kept[-1] == CohortDay(9, Cohort(1, 0), is_final=False)
    assert cohorts.history(three) == ()
    cohorts.at(D + 1)
    assert cohorts.history(three) == (CohortDay(10, Cohort(1, 0), is_final=False),)
    cohorts.ask(STATES, (three,), D + 1)
    cohorts.ask(STATES, (three, TO_TRIAL), D + 1)
    assert cohorts.history(TO_TRIAL) == ()


def test_a_lead_of_the_first_policys_own_millisecond_is_counted() -> None:
    cohorts = asked(at_ms=D)
    cohorts.enter("new", D)
    cohorts.at(D + 1)
    assert cohorts.cohort(TO_TRIAL, 10) == Cohort(1, 0)


def test_a_stay_from_before_the_question_counts_once_a_day() -> None:
    month = Question("new", "trial", 31)
    cohorts = Cohorts()
    cohorts.ask(STATES, (), 0)
    began = cohorts.enter("new", 5)
    cohorts.ask(STATES, (month,), D)
    cohorts.move("new", "trial", began, D + DAY_MS + 1)
    assert [tuple(day) for day in cohorts.history(month)] == [
        (10, Cohort(1, 1), False),
        (11, Cohort(1, 1), False),
    ]


def test_leads_left_in_a_state_that_was_dropped_count_when_they_enter_again() -> None:
    cohorts = asked()
    old = cohorts.enter("new", 5)
    cohorts.ask(("trial",), (TO_TRIAL,), D)
    cohorts.ask(STATES, (TO_TRIAL,), D)
    same = cohorts.enter("new", D)  # in the same millisecond: which of the two came first?
    young = cohorts.enter("new", D + 1)
    cohorts.at(D + DAY_MS + 1)
    assert cohorts.cohort(TO_TRIAL, 11) == Cohort(1, 0)
    for began in (old, same, young):
        cohorts.move("new", "trial", began, D + DAY_MS + 2)
    assert cohorts.cohort(TO_TRIAL, 11) == Cohort(1, 1)
    cohorts.at(D + 2 * DAY_MS + 1)
    assert cohorts.cohort(TO_TRIAL, 12) == NO_COHORT


@pytest.mark.parametrize("horizon", [1, 2, 31])
def test_a_day_is_kept_until_its_forecasts_cannot_be_opened(horizon: int) -> None:
    question = Question("new", "trial", horizon)
    cohorts = asked(question)
    began = [cohorts.enter("new", 1) for _ in range(4)]
    day = 100
    cohorts.move("new", "trial", began[0], (day - 1) * DAY_MS)
    cohorts.move("new", "trial", began[1], day * DAY_MS + 1)
    latest = (day + horizon + OPENING_DAYS) * DAY_MS
    cohorts.at(latest)
    check_opening_time(question, day, latest)
    found = cohorts.baseline(question, day)
    assert found is not None
    assert found.latest == Cohort(4, 1)
    assert cohorts.cohort(question, day) == Cohort(3, 1)
    assert len(cohorts.history(question)) == question.ring_days <= 70
    cohorts.at(latest + 2 * DAY_MS)
    found = cohorts.baseline(question, day)
    assert found is not None
    assert found.latest == NO_COHORT  # so that its score would be void


def test_an_age_without_entries_costs_no_more_than_two_rings() -> None:
    cohorts = asked()
    cohorts.enter("new", 1)
    cohorts.at(10**12 * DAY_MS)
    assert cohorts.baseline(TO_TRIAL, 10**12 - 1) == Baseline(
        Cohort(1, 0), Cohort(10**12 - 1 - 3, 0)
    )
    assert len(cohorts.history(TO_TRIAL)) == TO_TRIAL.ring_days


def test_many_questions_of_one_pair_are_bounded() -> None:
    questions = [Question("new", "trial", 31 - number) for number in range(MAX_QUESTIONS)]
    cohorts = asked(*questions)
    began = [cohorts.enter("new", 1) for _ in range(1000)]
    for number, at in enumerate(began):
        cohorts.move("new", "trial", at, D * 20 + number)
    assert all(len(cohorts.history(one)) <= 70 for one in questions)
    assert len(json.dumps(cohorts.to_document())) < 32_000


@pytest.mark.parametrize("make", [Cohorts, Skill])
@pytest.mark.parametrize("document", [{}, [], None, {"clock_ms": 0, "states": [], "series": []}])
def test_documents_that_were_not_written(
    make: type[Cohorts] | type[Skill], document: object
) -> None:
    with pytest.raises(LogError, match="not what was written"):
        make.from_document(document)  # type: ignore[arg-type]


# --- Cohorts against an oracle --------------------------------------------------------------------


class Stay(NamedTuple):
    state: str
    began: int
    left: int | None = None
    to: str = ""


class Ask(NamedTuple):
    at_ms: int
    states: tuple[str, ...]
    questions: tuple[Question, ...]


def is_counted(stay: Stay, asks: Sequence[Ask]) -> bool:
    """Return whether a stay is counted: its state was watched when it began, and ever since."""
    since: int | None = None
    for number, ask in enumerate(asks):
        if stay.state not in ask.states:
            since = None
        elif since is None:
            since = ask.at_ms if number else -1
    return since is not None and stay.began > since


def asked_since(question: Question, asks: Sequence[Ask]) -> int | None:
    since: int | None = None
    for ask in asks:
        since = (ask.at_ms if since is None else since) if question in ask.questions else None
    return since


class Exit(NamedTuple):
    """A stay that has ended, and how many lists of states there were before its end."""

    stay: Stay
    asks: int


QUESTIONS = tuple(
    Question(from_state, to_state, days)
    for from_state, to_state in (("new", "trial"), ("trial", "trial"), ("paid", "new"))
    for days in (1, 3, 31)
)
PAUSES = st.sampled_from((0, 0, 1, 1000, DAY_MS // 2, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 200 * DAY_MS))
TO_MIDNIGHT = -1


@given(
    steps=st.lists(
        st.tuples(
            st.one_of(PAUSES, st.just(TO_MIDNIGHT)),
            st.sampled_from(("enter", "move", "move", "move", "ask", "at", "store")),
            st.integers(0, 5),
            st.sampled_from(STATES),
            st.sets(st.sampled_from(QUESTIONS), max_size=4),
            st.sets(st.sampled_from(STATES), min_size=2),
        ),
        max_size=60,
    ),
    start=st.sampled_from((0, 1, D, D + 1, D + DAY_MS // 3)),
)
@examples(300)
def test_cohorts_are_those_of_every_stay(
    steps: list[tuple[int, str, int, str, set[Question], set[str]]], start: int
) -> None:
    cohorts, now = Cohorts(), start
    asks = [Ask(now, STATES, QUESTIONS)]
    cohorts.ask(STATES, QUESTIONS, now)
    current: list[Stay] = []
    ended: list[Exit] = []
    for pause, what, lead, state, questions, states in steps:
        now = -(-now // DAY_MS) * DAY_MS if pause == TO_MIDNIGHT else now + pause
        if what == "ask":
            asks.append(Ask(now, tuple(sorted(states)), tuple(sorted(questions))))
            cohorts.ask(asks[-1].states, asks[-1].questions, now)
        elif what == "store":
            stored = json.loads(json.dumps(cohorts.to_document()))
            assert Cohorts.from_document(stored) == cohorts
            cohorts = Cohorts.from_document(stored)
        elif what == "enter":
            current.append(Stay(state, cohorts.enter(state, now)))
        elif what == "move" and current:
            stay = current.pop(lead % len(current))
            ended.append(Exit(stay._replace(left=now, to=state), len(asks)))
            current.append(Stay(state, cohorts.move(stay.state, state, stay.began, now)))
        else:
            cohorts.at(now)
    cohorts.at(now)

    def cohort(question: Question, day: int) -> Cohort:
        midnight = day * DAY_MS
        known = [ask for ask in asks if ask.at_ms <= midnight]
        there = [
            one
            for one in [*ended, *(Exit(stay, 0) for stay in current)]
            if one.stay.state == question.from_state
            and one.stay.began <= midnight
            and (one.stay.left is None or midnight < one.stay.left)
        ]
        moved = [
            one
            for one in there
            if one.stay.left is not None
            and one.stay.left <= midnight + question.horizon_days * DAY_MS
            and one.stay.to == question.to_state
            and is_counted(one.stay, asks[: one.asks])
        ]
        return Cohort(sum(is_counted(one.stay, known) for one in there), len(moved))

    for question in QUESTIONS:
        since = asked_since(question, asks)
        if since is None:
            assert cohorts.history(question) == ()
            continue
        first, upto = -(-since // DAY_MS), -(-now // DAY_MS)
        all_of = {day: cohort(question, day) for day in range(first, upto)}
        kept = list(range(max(first, upto - question.ring_days), upto))
        assert [found.day for found in cohorts.history(question)] == kept
        for day, found, is_final in cohorts.history(question):
            assert found == all_of[day] == cohorts.cohort(question, day)
            assert is_final == (now > (day + question.horizon_days) * DAY_MS)
        for day in [*kept, upto]:
            last = day - 1 - question.horizon_days
            pooled = NO_COHORT
            for earlier in range(first, last + 1):
                pooled = pooled.plus(all_of[earlier])
            latest = all_of[last] if last in kept else NO_COHORT
            assert cohorts.baseline(question, day) == Baseline(latest, pooled)


# --- Scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cohort", "baseline", "bps", "found"),
    [
        # a forecast, and baselines, that are right
        (Cohort(40, 10), (Cohort(4, 1), Cohort(400, 100)), 2_500, Score(0, 0, 0)),
        # 40 x 0.1² and 40 x 0.25² and 40 x 0.75²
        (
            Cohort(40, 10),
            (Cohort(1, 0), Cohort(9, 9)),
            3_500,
            Score(40_000_000, 250_000_000, 2_250_000_000),
        ),
        # the ends
        (Cohort(1, 1), (Cohort(1, 0), Cohort(1, 1)), 0, Score(ERROR_UNIT, ERROR_UNIT, 0)),
        (Cohort(1, 0), (Cohort(1, 0), Cohort(1, 1)), BPS, Score(ERROR_UNIT, 0, ERROR_UNIT)),
        # a third: 3333 bps are off by 1/30000, so 3 x that² is a third of a unit: up to one
        (Cohort(3, 1), (Cohort(30, 10), Cohort(3, 1)), 3_333, Score(1, 0, 0)),
        # 7 x (1/3 - 2/7)² is 1/63 = 0.015873015...: down; 3333 bps: 0.01585080...: up
        (Cohort(7, 2), (Cohort(3, 1), Cohort(3, 1)), 3_333, Score(1_585_081, 1_587_301, 1_587_301)),
    ],
)
def test_scores(cohort: Cohort, baseline: tuple[Cohort, Cohort], bps: int, found: Score) -> None:
    assert score(cohort, Baseline(*baseline), bps) == found


COHORTS = st.integers(1, 5_000).flatmap(lambda n: st.builds(Cohort, st.just(n), st.integers(0, n)))


@given(COHORTS, COHORTS, COHORTS, st.integers(0, BPS))
def test_what_is_rounded_is_rounded_against_the_forecaster(
    cohort: Cohort, latest: Cohort, pooled: Cohort, bps: int
) -> None:
    share = Fraction(cohort.moved, cohort.n)
    exact = [
        cohort.n * (probability - share) ** 2 * ERROR_UNIT
        for probability in (
            Fraction(bps, BPS),
            Fraction(latest.moved, latest.n),
            Fraction(pooled.moved, pooled.n),
        )
    ]
    found = score(cohort, Baseline(latest, pooled), bps)
    assert 0 <= found.error - exact[0] < 1
    assert 0 <= exact[1] - found.latest_error < 1
    assert 0 <= exact[2] - found.pooled_error < 1


@pytest.mark.parametrize(
    ("n", "baseline_n", "is_void"), [(30, 30, False), (29, 300, True), (300, 29, True)]
)
def test_a_score_of_few_leads_is_void(n: int, baseline_n: int, is_void: bool) -> None:
    cohorts = asked()
    for _ in range(min(n, baseline_n)):
        cohorts.enter("new", DAY_MS)
    leaving = [cohorts.enter("new", DAY_MS) for _ in range(baseline_n - n)]
    for began in leaving:
        cohorts.move("new", "paid", began, D)
    for _ in range(n - baseline_n):
        cohorts.enter("new", D)
    cohorts.at(D + 2 * DAY_MS)
    assert cohorts.measured(TO_TRIAL, 10, 30) is None  # not final yet
    cohorts.at(D + 2 * DAY_MS + 1)
    assert (cohorts.measured(TO_TRIAL, 10, 30) is None) == is_void
    assert cohorts.measured(TO_TRIAL, 3, 1) is None  # without a latest cohort


# --- Skill ----------------------------------------------------------------------------------------

ONE_DAY = Question("new", "trial", 1)
RULES = ForecastRules(min_counted=3, min_denominator=3, skill_bps=2_500, min_n=1)


def scored(*scores: Score) -> Skill:
    skill = Skill()
    for number, one in enumerate(scores):
        at_ms = number * DAY_MS
        assert skill.commit(ONE_DAY, number + 1, at_ms)
        skill.add(ONE_DAY, number + 1, one, at_ms + 2 * DAY_MS + 1)
    return skill


def test_windows_that_overlap_the_last_that_counts_do_not_count() -> None:
    skill = Skill()
    week = Question("new", "trial", 7)
    assert skill.commit(week, 10, D - 5)
    assert not skill.commit(ONE_DAY, 10, D - 5)
    assert not skill.commit(ONE_DAY, 16, D + 6 * DAY_MS - 5)
    assert skill.commit(ONE_DAY, 17, D + 7 * DAY_MS - 5)
    assert skill.unopened == [17, 18]
    skill.add(ONE_DAY, 17, Score(1, 2, 3), D + 8 * DAY_MS + 1)
    skill.add(week, 10, Score(10, 20, 30), D + 8 * DAY_MS + 1)
    assert skill == Skill(Margin(11, 22), Margin(11, 33), 2, 18, [])
    with refused("forecast-uncounted", RequestError, "1970-01-18T00:00:00.000Z"):
        skill.add(week, 10, Score(10, 20, 30), D + 8 * DAY_MS + 1)


def test_a_void_score_counts_for_nothing_but_its_window() -> None:
    skill = Skill()
    assert skill.commit(ONE_DAY, 10, D - 5)
    skill.add(ONE_DAY, 10, None, D + DAY_MS + 1)
    assert skill == Skill(window_end=11)
    assert not skill.commit(ONE_DAY, 10, D - 5)


def test_what_is_not_opened_in_time_forfeits_what_was_gained() -> None:
    skill = scored(*[Score(1, 8, 9)] * 3)
    assert skill.passes(RULES, 0)
    assert skill.commit(ONE_DAY, 10, D - 5)
    latest = (11 + OPENING_DAYS) * DAY_MS
    assert skill.passes(RULES, latest)
    assert not skill.passes(RULES, latest + 1)
    in_time = deepcopy(skill)
    in_time.add(ONE_DAY, 10, Score(1, 1, 1), latest)
    assert in_time.counted == 4
    with refused("forecast-uncounted", RequestError):
        skill.add(ONE_DAY, 10, Score(1, 1, 1), latest + 1)
    assert skill == Skill(Margin(24, 24), Margin(27, 27), 0, 11, [])
    lost = scored(*[Score(9, 8, 1)] * 3)
    assert lost.commit(ONE_DAY, 10, D - 5)
    assert lost.commit(ONE_DAY, 30, 29 * DAY_MS)
    assert (lost.latest, lost.pooled, lost.counted) == (Margin(27, 24), Margin(27, 3), 0)


@given(st.data())
def test_it_does_not_matter_when_a_lapse_is_noticed(data: st.DataObject) -> None:
    one, other = Skill(), Skill()
    now = 0
    made: list[int] = []
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.sampled_from((1, DAY_MS, 3 * DAY_MS, 9 * DAY_MS)))
        day = forecast_day(now)
        if data.draw(st.booleans()):
            counts = one.commit(ONE_DAY, day, now)
            assert other.commit(ONE_DAY, day, now) == counts
            made += [day] * counts
        # `other` alone looks at every time that passes
        other._forfeit_lapsed(now)
        open_days = [day for day in made if 0 < now - (day + 1) * DAY_MS <= 7 * DAY_MS]
        chosen = data.draw(st.integers(0, 2 * len(open_days)))
        if chosen < len(open_days):
            day = open_days[chosen]
            made.remove(day)
            points = Score(*(data.draw(st.integers(0, 3 * ERROR_UNIT)) for _ in range(3)))
            one.add(ONE_DAY, day, points, now)
            other.add(ONE_DAY, day, points, now)
        assert one.passes(RULES, now) == other.passes(RULES, now)
        assert len(one.unopened) <= OPENING_DAYS + 2
        assert Skill.from_document(json.loads(json.dumps(one.to_document()))) == one
    one._forfeit_lapsed(now)
    assert one == other


@pytest.mark.parametrize(
    ("scores", "bps", "does_pass"),
    [
        ([], None, False),
        ([Score(3, 4, 4)] * 2, 2_500, False),  # too few
        ([Score(3, 4, 4)] * 3, 2_500, True),
        ([Score(3, 4, 4)] * 2 + [Score(4, 4, 4)], 1_666, False),
        ([Score(3, 5, 4)] * 2 + [Score(3, 4, 4)], 2_500, True),
        ([Score(3, 3, 9)] * 3, 0, False),  # one baseline is as good
        ([Score(3, 9, 3)] * 3, 0, False),
        ([Score(0, 0, 9)] * 3, None, False),  # one baseline has no error at all
        ([Score(0, 1, 1)] * 3, BPS, True),
        ([Score(5, 1, 9)] * 3, -40_000, False),
        ([Score(10_000, 13_333, 13_333)] * 3, 2_499, False),  # less than a quarter by a hair
    ],
)
def test_what_passes(scores: list[Score], bps: int | None, does_pass: bool) -> None:
    skill = scored(*scores)
    assert skill.skill_bps() == bps
    assert skill.passes(RULES, 0) == does_pass


def test_a_denominator_that_is_too_small_passes_nothing() -> None:
    assert scored(*[Score(0, 1, 1)] * 3).passes(RULES, 0)
    assert not scored(*[Score(0, 1, 1)] * 3).passes(RULES._replace(min_denominator=4), 0)
    assert not scored(*[Score(0, 9, 1)] * 3).passes(RULES._replace(min_denominator=4), 0)
    assert not scored(*[Score(0, 1, 9)] * 3).passes(RULES._replace(min_denominator=4), 0)


@pytest.mark.parametrize(
    ("error", "baseline", "found"),
    [
        (3, 5, Margin(3, 5)),
        (HALF, 7, Margin(HALF, 7)),
        (2 * HALF, 8, Margin(HALF, 4)),
        (8, 2 * HALF, Margin(4, HALF)),
        (4 * HALF, 2 * HALF, Margin(HALF, HALF // 2)),
        # rounded against the forecaster
        (3 * HALF, 2 * HALF, Margin(HALF, 33_333_333)),
        (2 * HALF, 3 * HALF, Margin(33_333_334, HALF)),
    ],
)
def test_a_windows_errors_are_scaled_to_a_half_at_most(
    error: int, baseline: int, found: Margin
) -> None:
    margin = Margin()
    margin.add(error, baseline)
    assert margin == found


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), max_size=30))
def test_no_window_weighs_more_than_a_half(errors: list[tuple[int, int]]) -> None:
    margin = Margin()
    for error, baseline in errors:
        before = deepcopy(margin)
        margin.add(error, baseline)
        gained = margin.denominator - before.denominator
        lost = margin.numerator - before.numerator
        assert 0 <= gained <= HALF
        assert 0 <= lost <= HALF
        # who copies the baseline, or is worse, gains nothing
        assert error < baseline or lost >= gained


@given(COHORTS, st.integers(0, 20))
def test_a_baseline_that_is_copied_is_no_skill(cohort: Cohort, part: int) -> None:
    """Try baselines that are written in basis points exactly."""
    baseline = Baseline(Cohort(20, part), Cohort(40, 2 * part))
    points = score(cohort, baseline, part * 500)
    skill = scored(*[points] * 3)
    assert (skill.skill_bps() or 0) <= 0
    assert not skill.passes(RULES, 0)
