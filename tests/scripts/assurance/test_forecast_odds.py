"""assurance/forecast_odds: the trial repeats itself, its worlds are fair, its page is of it."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from orchestrator.core.surface.forecast import ERROR_UNIT, MAX_WEIGHT, ForecastRules, Score
from scripts.assurance.forecast_odds import (
    BEGIN,
    DOCUMENT,
    END,
    FULL,
    HISTORY,
    HONEST,
    LUCKY,
    QUESTIONS,
    RULES,
    SEED,
    WINDOWS,
    Odds,
    Size,
    Wallet,
    average,
    bell,
    common_shocks,
    direction,
    made_world,
    never,
    odds,
    passed_at,
    scores_of,
    steady,
    tables,
    write,
)

SMALL = Size(worlds=2, lucky=2, honest=2)
GOOD = Score(0, MAX_WEIGHT, MAX_WEIGHT)
BAD = Score(MAX_WEIGHT, MAX_WEIGHT, 0)


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a trial is to be repeated


def test_a_run_gives_the_same_again() -> None:
    first = tables(SMALL)
    assert tables(SMALL) == first
    assert all(kind in first for kind in (*LUCKY, *HONEST))


def test_the_page_is_of_these_rules_and_this_trial() -> None:
    text = DOCUMENT.read_text()
    measured = text.split(BEGIN)[1].split(END)[0]
    assert f"Seed {SEED}; {FULL.worlds} worlds of each sort" in measured
    assert f"{FULL.lucky} wallets of each kind that guess" in measured
    assert ForecastRules() == RULES
    assert f"at least {RULES.min_counted} windows" in text
    assert f"errors of at least {RULES.min_denominator // ERROR_UNIT} in all" in text
    assert RULES.min_denominator % ERROR_UNIT == 0
    assert f"skill of\n{RULES.skill_bps:,} bps" in text
    assert f"of {RULES.min_n} leads or more" in text
    assert f"{WINDOWS} weekly windows" in text
    assert HISTORY == 10


def test_worlds_are_made_of_their_rates() -> None:
    world = made_world(dice(1), steady)
    assert len(world) == WINDOWS
    for number, (n, rate) in enumerate(QUESTIONS):
        assert {(window[number].cohort.n, window[number].rate_bps) for window in world} == {
            (n, rate)
        }
        mean = sum(window[number].cohort.moved for window in world) * 10_000 // (n * WINDOWS)
        assert abs(mean - rate) < 400
    for before, after in pairwise(world):
        for one, other in zip(before, after, strict=True):
            assert other.baseline.latest == one.cohort
            assert other.baseline.pooled == one.baseline.pooled.plus(one.cohort)
    assert world[0][0].baseline.pooled.n == HISTORY * QUESTIONS[0][0]


def test_common_shocks_are_common_and_as_large_as_is_said() -> None:
    shocks = [common_shocks(dice(seed), 0, 0, [3_000, 4_500]) for seed in range(2_000)]
    assert all(other - one == 1_500 for one, other in shocks)
    deviation = sum((one - 3_000) ** 2 for one, _ in shocks) // len(shocks)
    assert 750**2 < deviation < 850**2
    assert abs(sum(bell(dice(seed), 800) for seed in range(2_000))) < 2_000 * 60


def test_who_passes_is_who_passes_by_the_core() -> None:
    assert passed_at([GOOD] * WINDOWS) == RULES.min_counted
    assert passed_at([GOOD] * (RULES.min_counted - 1)) is None
    assert passed_at([BAD] * WINDOWS) is None
    assert passed_at([BAD, GOOD] * 26) is None
    assert passed_at([Score(MAX_WEIGHT, MAX_WEIGHT, MAX_WEIGHT), GOOD, GOOD] * 20) == 20


def test_what_is_opened_by_choice_passes_only_in_a_row() -> None:
    chosen = [Score(MAX_WEIGHT, MAX_WEIGHT, MAX_WEIGHT), *[GOOD] * 2] * 17
    assert passed_at(chosen) == RULES.min_counted
    assert passed_at(chosen, opens_all=False) is None
    assert passed_at([GOOD] * 30, opens_all=False) == RULES.min_counted


def test_the_average_and_what_is_rare_have_no_skill() -> None:
    world = made_world(dice(3), steady)
    for forecast, question in ((average, None), (never, 17)):
        scores = scores_of(Wallet(dice(4)), world, forecast, question)
        assert passed_at(scores) is None
    coins = scores_of(Wallet(dice(4)), world, direction(800), 16)
    assert sum(one.error > one.pooled_error for one in coins) > WINDOWS // 2


def test_odds() -> None:
    found = odds([None, 30, 20, 25, None, None, None])
    assert found == Odds(7, 3, 25)
    assert found.percent == "42.85"
    assert Odds(1_000, 1, 9).percent == "0.10"
    assert Odds(10, 0, 0).percent == "0.00"


def test_what_is_measured_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    write(page, "new\n")
    write(page, "newer\n")
    assert page.read_text() == f"before\n{BEGIN}newer\n{END}after\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="not enough values"):
        write(page, "new\n")
