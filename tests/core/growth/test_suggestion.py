"""Suggested terms: a price within the budget, and what it would have meant."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.units import DAY_S
from orchestrator.core.growth.report import Lift
from orchestrator.core.growth.suggestion import Suggestion, Target, price_within, targets_of
from orchestrator.core.surface.policy import parse
from tests.support.growth import FUNNEL

LIFT = Lift("paid", 10, 5, 20, 4, 5_000, 2_000, 2, 3)


def suggestion(**changes: object) -> Suggestion:
    plain = Suggestion(
        "conversion",
        Target("paid", repeatable=False),
        7 * DAY_S,
        100_000_000,
        9,
        5,
        100_000_000,
        10_000_000,
        LIFT,
        20_000_000,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


def test_the_targets_of_a_motion() -> None:
    policy = parse(FUNNEL)
    assert targets_of(policy, "conversion") == [Target("paid", repeatable=False)]
    assert targets_of(policy, "expansion") == [Target("paid", True), Target("loyal", False)]
    assert targets_of(policy, "acquisition") == []


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_a_price_is_the_highest_that_the_budget_pays(budget: int, outcomes: int) -> None:
    price = price_within(budget, outcomes)
    if price is None:
        assert outcomes == 0 or budget < outcomes
    else:
        step = 10_000 if price >= 10_000 else 1
        assert price * outcomes <= budget < (price + step) * outcomes


def test_it_is_said_in_plain_words() -> None:
    words = suggestion().words()
    assert "9 times in this history, 5 of them within 7 days of a touch" in words[0]
    assert "a price of 20.00 for an outcome pays all of them: 100.00 in all" in words[1]
    assert "One brought 18.00 on average after refunds, so that 111.11%" in words[2]
    assert "which is more than all of it" in words[2]
    assert "20.00% entered it as well, of touched ones 50.00%: of 5 touched" in words[3]
    assert words[4] == "Each of the 3 that came on top would have cost 33.333333."
    assert suggestion(outcomes=0, price_units=None).words()[-1].startswith("There is nothing to")
    assert suggestion(price_units=None).words()[-1] == (
        "A budget of 100.00 is too small for that many."
    )
    assert suggestion().to_json()["unit_price_units"] == "20000000"
