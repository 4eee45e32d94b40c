"""The odds of earning level 1 by luck: forecasters of every sort, in worlds of every sort.

    .venv/bin/python scripts/assurance/forecast_odds.py [--write]

Simulates weekly windows of sixteen questions, scores forecasts by the rules of the core and counts
who passes the default thresholds within a year. Prints tables; `--write` puts them into
docs/security/forecast-odds.md. All numbers are integers and the seed is fixed, so that another run
gives the same.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from orchestrator.core.common.units import BPS, DAY_MS
from orchestrator.core.surface.forecast import (
    MAX_WEIGHT,
    NO_COHORT,
    Baseline,
    Cohort,
    ForecastRules,
    Question,
    Score,
    Skill,
    score,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "security" / "forecast-odds.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
SEED = 0x7A11
RULES = ForecastRules()
WEEK = Question("from", "to", 7)
HISTORY, WINDOWS, YEARS = 10, 52, 3
# What varies beside chance: a standard deviation of eight points.
SHOCK_BPS, STEP_BPS, RISE_BPS = 800, 400, 150
SIZES, RATES = (40, 80, 160, 320), (1_500, 3_000, 4_500, 6_000)
LARGE = 1_000
QUESTIONS = [(n, rate) for n in SIZES for rate in RATES]
THE_LARGE, THE_RARE = 16, 17  # questions beside the sixteen, for attackers
LEAST_BPS, MOST_BPS = 50, 9_950


class Size(NamedTuple):
    """The number of worlds of each sort, and of forecasters of one kind in each."""

    worlds: int
    lucky: int
    honest: int


FULL = Size(60, 40, 10)


# --- Worlds ---------------------------------------------------------------------------------------


class Window(NamedTuple):
    """A cohort with the rate that chance made it from, and the baseline of its forecasts."""

    cohort: Cohort
    rate_bps: int
    baseline: Baseline


World = list[list[Window]]  # by window, then by question
# The rates of all questions in one window.
Rates = Callable[[Random, int, int, Sequence[int]], list[int]]


def steady(_draw: Random, _window: int, _walk: int, rates: Sequence[int]) -> list[int]:
    return list(rates)


def shocks(draw: Random, _window: int, _walk: int, rates: Sequence[int]) -> list[int]:
    return [rate + bell(draw, SHOCK_BPS) for rate in rates]


def common_shocks(draw: Random, _window: int, _walk: int, rates: Sequence[int]) -> list[int]:
    shock = bell(draw, SHOCK_BPS)
    return [rate + shock for rate in rates]


def coin(draw: Random, _window: int, _walk: int, rates: Sequence[int]) -> list[int]:
    shock = SHOCK_BPS * sign(draw)
    return [rate + shock for rate in rates]


def drift(_draw: Random, _window: int, walk: int, rates: Sequence[int]) -> list[int]:
    return [rate + walk for rate in rates]


def rise(_draw: Random, window: int, _walk: int, _rates: Sequence[int]) -> list[int]:
    return [500 + RISE_BPS * window] * (len(QUESTIONS) + 2)


WORLDS: dict[str, Rates] = {
    "steady": steady,
    "shocks": shocks,
    "common shocks": common_shocks,
    "coin": coin,
    "drift": drift,
    "rise": rise,
}


def sign(draw: Random) -> int:
    return 1 if draw.random() < 0.5 else -1


def below(draw: Random, limit: int) -> int:
    """Return a whole number from 0 to below the limit; the same on every machine."""
    return int(draw.random() * limit)


def bell(draw: Random, deviation: int) -> int:
    """Return a number around zero, nearly normal, of this standard deviation."""
    reach = deviation * 866 // 1000
    return sum(below(draw, 2 * reach + 1) - reach for _ in range(4))


def made_world(draw: Random, rates_of: Rates, windows: int = WINDOWS) -> World:
    """Return so many windows, each with what was known when its forecasts were made."""
    sizes = [*(n for n, _ in QUESTIONS), LARGE, 40]
    usual = [*(rate for _, rate in QUESTIONS), 4_500, LEAST_BPS]
    pooled, latest = [NO_COHORT] * len(sizes), [NO_COHORT] * len(sizes)
    world, walk = [], 0
    for number in range(HISTORY + windows):
        walk += bell(draw, STEP_BPS)
        rates = [clamp(rate) for rate in rates_of(draw, number, walk, usual)]
        rates[THE_RARE] = LEAST_BPS
        cohorts = []
        for n, rate in zip(sizes, rates, strict=True):
            share = rate / BPS
            cohorts.append(Cohort(n, sum(draw.random() < share for _ in range(n))))
        if number >= HISTORY:
            world.append(
                [
                    Window(*known[:2], Baseline(*known[2:]))
                    for known in zip(cohorts, rates, latest, pooled, strict=True)
                ]
            )
        pooled = [one.plus(other) for one, other in zip(pooled, cohorts, strict=True)]
        latest = cohorts
    return world


def clamp(rate: int) -> int:
    return max(LEAST_BPS, min(MOST_BPS, rate))


def share(cohort: Cohort) -> int:
    return cohort.moved * BPS // cohort.n


# --- Forecasters ----------------------------------------------------------------------------------


@dataclass
class Wallet:
    """A forecaster: its dice, and the direction that it believes in for good."""

    draw: Random
    bias: int = field(init=False)

    def __post_init__(self) -> None:
        self.bias = sign(self.draw)


# The probability that a wallet gives, of the world, the window's number and the question's.
Forecast = Callable[[Wallet, World, int, int], int]


def uniform(wallet: Wallet, _world: World, _window: int, _question: int) -> int:
    return below(wallet.draw, BPS + 1)


def near(reach: int) -> Forecast:
    """Guess around the average of all that is known."""

    def guess(wallet: Wallet, world: World, window: int, question: int) -> int:
        known = share(world[window][question].baseline.pooled)
        return clamp(known + below(wallet.draw, 2 * reach + 1) - reach)

    return guess


def direction(step: int) -> Forecast:
    """Toss a coin in each window: so far above the average, or below."""

    def guess(wallet: Wallet, world: World, window: int, question: int) -> int:
        known = share(world[window][question].baseline.pooled)
        return clamp(known + step * sign(wallet.draw))

    return guess


def bias(step: int, name: str) -> Forecast:
    """Toss a coin once, and stay that far above a baseline, or below, for good."""

    def guess(wallet: Wallet, world: World, window: int, question: int) -> int:
        return clamp(share(getattr(world[window][question].baseline, name)) + step * wallet.bias)

    return guess


def average(_wallet: Wallet, world: World, window: int, question: int) -> int:
    return share(world[window][question].baseline.pooled)


def latest(_wallet: Wallet, world: World, window: int, question: int) -> int:
    return share(world[window][question].baseline.latest)


def mixture(_wallet: Wallet, world: World, window: int, question: int) -> int:
    baseline = world[window][question].baseline
    return (share(baseline.pooled) + share(baseline.latest)) // 2


def never(_wallet: Wallet, _world: World, _window: int, _question: int) -> int:
    return 0


def late_copy(_wallet: Wallet, world: World, window: int, question: int) -> int:
    """Say what the best forecaster of all said of the window before, and has opened since."""
    return world[max(0, window - 1)][question].rate_bps


def informed(noise: int) -> Forecast:
    """See the rate itself through noise, and weigh it as it deserves."""
    signal, both = SHOCK_BPS**2, SHOCK_BPS**2 + noise**2

    def guess(wallet: Wallet, world: World, window: int, question: int) -> int:
        known = share(world[window][question].baseline.pooled)
        seen = world[window][question].rate_bps + bell(wallet.draw, noise)
        return clamp(known + (seen - known) * signal // both)

    return guess


LUCKY: dict[str, tuple[Forecast, int | None]] = {
    "any probability": (uniform, None),
    "the average ± up to 8 points": (near(800), None),
    "the average ± 4 points, a coin each window": (direction(400), None),
    "the average ± 6 points, a coin each window": (direction(600), None),
    "the average ± 8 points, a coin each window, the largest question": (direction(800), THE_LARGE),
    "the average ± 5 points, a coin once": (bias(500, "pooled"), None),
    "the latest ± 4 points, a coin once": (bias(400, "latest"), None),
    "never, of what is rare": (never, THE_RARE),
}
COPIES: dict[str, tuple[Forecast, int | None]] = {
    "the average": (average, None),
    "the latest": (latest, None),
    "half of each": (mixture, None),
    "the best forecaster's, a window late": (late_copy, None),
}
HONEST: dict[str, tuple[Forecast, int | None]] = {
    "knows the rate": (informed(0), None),
    "knows it but for 4 points": (informed(400), None),
    "knows it but for 6 points": (informed(600), None),
    "knows it but for 8 points": (informed(800), None),
}


# --- Careers --------------------------------------------------------------------------------------


def scores_of(
    wallet: Wallet, world: World, forecast: Forecast, question: int | None
) -> list[Score]:
    """Return the scores of one forecast in each window, of any question or always the same."""
    found = []
    for number, window in enumerate(world):
        chosen = below(wallet.draw, len(QUESTIONS)) if question is None else question
        guess = forecast(wallet, world, number, chosen)
        found.append(score(window[chosen].cohort, window[chosen].baseline, guess))
    return found


def passed_at(
    scores: Sequence[Score], rules: ForecastRules = RULES, *, opens_all: bool = True
) -> int | None:
    """Return the number of windows after which a forecaster passes, by the rules of the core.

    One that does not open all opens what beat both baselines, and lets the rest lapse.
    """
    skill = Skill()
    for number, one in enumerate(scores):
        day = 1 + number * WEEK.horizon_days
        made_ms, opened_ms = day * DAY_MS - 1, WEEK.end(day) * DAY_MS + 1
        skill.commit(WEEK, day, made_ms)
        if opens_all or one.error < min(one.latest_error, one.pooled_error):
            skill.add(WEEK, day, one, opened_ms)
        if skill.passes(rules, opened_ms):
            return number + 1
    return None


class Odds(NamedTuple):
    """The wallets that tried, those that passed, and after how many windows half of them had."""

    tried: int
    passed: int
    median: int

    @property
    def percent(self) -> str:
        whole, part = divmod(self.passed * BPS // self.tried, 100)
        return f"{whole}.{part:02}"


def odds(found: Sequence[int | None]) -> Odds:
    times = sorted(one for one in found if one is not None)
    return Odds(len(found), len(times), times[len(times) // 2] if times else 0)


def tried(
    draw: Random, worlds: Sequence[World], count: int, forecast: Forecast, question: int | None
) -> list[list[int | None]]:
    """Return by world after how many windows each wallet passed."""
    return [
        [passed_at(scores_of(Wallet(draw), world, forecast, question)) for _ in range(count)]
        for world in worlds
    ]


# --- Tables ---------------------------------------------------------------------------------------


def tables(size: Size) -> str:
    """Return all that is measured, as Markdown."""
    worlds = {
        name: [made_world(Random(SEED + number), rates) for number in range(size.worlds)]  # noqa: S311
        for name, rates in WORLDS.items()
    }
    counts = f"{size.lucky} wallets of each kind that guess, {size.honest} that copy or know"
    parts = [
        f"Seed {SEED}; {size.worlds} worlds of each sort, and in each {counts}. Percent pass.",
        _table("who guesses", LUCKY, worlds, size.lucky),
        _table("who copies what is public", COPIES, worlds, size.honest),
        _table("who knows", HONEST, worlds, size.honest, times=True),
        _farm_table(worlds, size),
        _thresholds_table(worlds, size),
        _without_table(worlds, size),
    ]
    return "\n\n".join(parts) + "\n"


def _table(
    title: str,
    kinds: dict[str, tuple[Forecast, int | None]],
    worlds: dict[str, list[World]],
    count: int,
    *,
    times: bool = False,
) -> str:
    lines = [f"| {title} | {' | '.join(worlds)} |", f"|---|{'---:|' * len(worlds)}"]
    for kind, (forecast, question) in kinds.items():
        cells = []
        for name, those in worlds.items():
            draw = Random(f"{SEED} {kind} {name}")  # noqa: S311
            found = tried(draw, those, count, forecast, question)
            one = odds([at for world in found for at in world])
            cells.append(f"{one.percent} ({one.median})" if times and one.passed else one.percent)
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _farm_table(worlds: dict[str, list[World]], size: Size) -> str:
    """Return how often the best of many wallets passes, each by the best way to guess."""
    farms = (1, 3, 10, 30, 100)
    lines = [
        f"| one of so many passes | {' | '.join(map(str, farms))} | wallets for each pass |",
        f"|---|{'---:|' * (len(farms) + 1)}",
    ]
    for name, (forecast, question) in {
        "common shocks": LUCKY["the average ± 6 points, a coin each window"],
        "coin": LUCKY["the average ± 8 points, a coin each window, the largest question"],
    }.items():
        draw = Random(f"{SEED} farm {name}")  # noqa: S311
        found = tried(draw, worlds[name], max(1, size.lucky * 5 // 2), forecast, question)
        cells = []
        for farm in farms:
            groups = [
                world[start : start + farm]
                for world in found
                for start in range(0, len(world) - farm + 1, farm)
            ]
            won = sum(any(at is not None for at in group) for group in groups)
            cells.append(odds([0] * won + [None] * (len(groups) - won)).percent if groups else "")
        one = odds([at for world in found for at in world])
        cells.append(str(one.tried // one.passed) if one.passed else f"> {one.tried}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _thresholds_table(worlds: dict[str, list[World]], size: Size) -> str:
    """Return what other thresholds would let pass, and these in longer time."""
    guess, large = direction(800), THE_LARGE
    knows, rest = HONEST["knows it but for 4 points"]
    draw = Random(f"{SEED} thresholds")  # noqa: S311
    lucky = [
        scores_of(Wallet(draw), world, guess, large)
        for world in worlds["coin"]
        for _ in range(size.lucky)
    ]
    honest = [
        scores_of(Wallet(draw), world, knows, rest)
        for world in worlds["common shocks"]
        for _ in range(size.honest)
    ]
    lines = [
        (
            "| windows of full weight | skill | guesses in the world of coins "
            "| knows but for 4 points, common shocks |"
        ),
        "|---:|---:|---:|---:|",
    ]
    for windows, skill_bps in ((16, 5_000), (20, 4_500), (20, 5_000), (20, 6_000), (24, 5_000)):
        rules = RULES._replace(
            min_counted=windows, min_denominator=windows * MAX_WEIGHT, skill_bps=skill_bps
        )
        one, other = (odds([passed_at(s, rules) for s in those]) for those in (lucky, honest))
        lines.append(f"| {windows} | {skill_bps} bps | {one.percent} | {other.percent} |")
    longer = [
        passed_at(scores_of(Wallet(draw), world, guess, large))
        for world in (made_world(draw, coin, YEARS * WINDOWS) for _ in range(size.worlds // 2))
        for _ in range(size.lucky)
    ]
    first = odds([None if at is None or at > WINDOWS else at for at in longer])
    lines.append(
        f"\nWho guesses so for {YEARS} years passes in {odds(longer).percent}, "
        f"and of the same wallets {first.percent} in the first."
    )
    return "\n".join(lines)


def _without_table(worlds: dict[str, list[World]], size: Size) -> str:
    """Return what passes by the rules, and what would pass if one of them were left out."""
    coins = direction(800)

    def careers(name: str, forecast: Forecast, question: int | None) -> list[list[Score]]:
        draw = Random(f"{SEED} without {name}")  # noqa: S311
        return [
            scores_of(Wallet(draw), world, forecast, question)
            for world in worlds[name]
            for _ in range(size.lucky)
        ]

    averages = careers("steady", average, None)
    large = careers("coin", coins, THE_LARGE)
    calm = careers("coin", average, THE_RARE)
    # Two windows of the largest question, and baselines copied where hardly anything happens.
    few = [one[:2] + other[2:] for one, other in zip(large, calm, strict=True)]
    rows = [
        (
            "the average, in a steady world",
            [passed_at(one) for one in averages],
            "the latest cohort were the only baseline",
            [_passed_plainly([(s.error, s.latest_error) for s in one]) for one in averages],
        ),
        (
            "a coin in two windows of the largest question, else the average of what is rare",
            [passed_at(one) for one in few],
            "errors were not scaled",
            [_passed_plainly([(s.error, s.pooled_error) for s in one]) for one in few],
        ),
        (
            "a coin each window of the largest question, opened only if it beat both baselines",
            [passed_at(one, opens_all=False) for one in large],
            "what is not opened just did not count",
            [
                passed_at([s for s in one if s.error < min(s.latest_error, s.pooled_error)])
                for one in large
            ],
        ),
    ]
    lines = ["| who | passes | if | would pass |", "|---|---:|---|---:|"]
    lines += [
        f"| {who} | {odds(found).percent} | {what} | {odds(else_found).percent} |"
        for who, found, what, else_found in rows
    ]
    return "\n".join(lines)


def _passed_plainly(errors: Sequence[tuple[int, int]]) -> int | None:
    """Return when one baseline is beaten by the sums of errors as they are."""
    numerator = denominator = 0
    for number, (error, baseline_error) in enumerate(errors, 1):
        numerator += error
        denominator += baseline_error
        if (
            number >= RULES.min_counted
            and denominator >= RULES.min_denominator
            and BPS * (denominator - numerator) >= RULES.skill_bps * denominator
        ):
            return number
    return None


def write(document: Path, measured: str) -> None:
    """Put what was measured between its marks."""
    text = document.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    document.write_text(f"{before}{BEGIN}{measured}{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The odds of earning level 1 by luck.")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {DOCUMENT.name}")
    measured = tables(FULL)
    print(measured)
    if parser.parse_args().write:
        write(DOCUMENT, measured)


if __name__ == "__main__":
    main()
