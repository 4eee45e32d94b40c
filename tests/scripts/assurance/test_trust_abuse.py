"""assurance/trust_abuse: the abuses are run by the core's rules, and the page is of these runs."""

from functools import cache

import pytest

from scripts.assurance.trust_abuse import (
    BEGIN,
    DOCUMENT,
    END,
    SETTINGS,
    Farmed,
    Guess,
    bought_table,
    buy,
    by_knowledge,
    by_luck,
    farm,
    own_leads_table,
    split,
)
from tests.support.depth import deep_only

MEASURED = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]


@cache
def farmed(guess: Guess) -> Farmed:
    """Return what ten accounts come to in a year of guesses."""
    return farm(10, guess, 52)


@deep_only
def test_the_page_has_what_a_run_gives_now() -> None:
    """Run again what takes seconds; the rest of the page is of the same script."""
    assert own_leads_table(60) in MEASURED
    assert bought_table(60) in MEASURED
    for guess in (by_luck, by_knowledge):
        found = " | ".join(map(str, farmed(guess)))
        assert f"| 10 | {guess.__name__.replace('_', ' ')} | {found} |" in MEASURED


def test_a_farm_that_knows_gets_the_places_of_the_pool_and_no_more() -> None:
    found, pool = farmed(by_knowledge), SETTINGS["pool"]
    assert found.passed > pool["places"]
    assert (found.places, found.leads, found.touches) == (
        pool["places"],
        pool["leads_a_day"],
        pool["touches_a_day"],
    )


def test_wallets_without_a_contract_of_their_own_add_nothing() -> None:
    one, ten = split(1, 1, 10), split(10, 1, 10)
    assert one == ten
    assert one.leads == SETTINGS["levels"][0]["leads_a_day"]


@pytest.mark.parametrize(
    ("count", "then", "level"),
    [(19, "nothing", 1), (20, "nothing", 2), (20, "refunds", 1), (20, "a ruling", 1)],
)
def test_bought_outcomes_give_a_level_that_refunds_and_rulings_take(
    count: int, then: str, level: int
) -> None:
    assert buy(count, 60, then)[0] == level
