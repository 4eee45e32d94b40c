"""Terms that can earn nothing are told, and others have no such word."""

from dataclasses import replace

import pytest

from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.deal import draft_terms
from orchestrator.core.deals.prospects import find_prospects
from orchestrator.core.deals.terms import Terms
from orchestrator.core.surface.policy import parse
from tests.support.deals import FRAME, SURFACE_POLICY, USDC
from tests.support.terms import NOW_S, OPERATOR

TERMS = draft_terms(
    {"outcome": "activated", "price": "8.00", "at_most": 50, "opens_in": "1 day"},
    FRAME,
    OPERATOR,
    NOW_S,
    bytes(32),
).terms
OPEN_S = TERMS.opens_at_s


def told(terms: Terms = TERMS, now_s: int = OPEN_S) -> list[str]:
    return list(find_prospects(terms, FRAME.policy, USDC, now_s))


def test_good_terms_have_no_caution_once_they_are_open() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"unit_price_units": 400_000_001}, "is above the budget of 400.00 USDC: no outcome"),
        ({"budget_units": 399_500_000}, "7.50 USDC of the budget can never be paid"),
        ({"attribution_window_s": 0}, "the window is zero"),
        ({"deadline_s": OPEN_S + DAY_S}, "before the window of 7 days can end"),
        ({"deadline_s": OPEN_S}, "it ends in the second in which it opens"),
        ({"outcome": "subscribed"}, "a refund takes no outcome into 'subscribed' back"),
        ({"holdback_period_s": DAY_S}, "so the hold only delays payment"),
        ({"outcome": "subscribed", "holdback_period_s": 9 * DAY_S}, "the last outcomes are held"),
        ({"policy": bytes(32)}, "the surface's policy is another by now"),
        ({"attribution": "last_touch"}, "the owner can suspend the operator"),
    ],
)
def test_what_earns_nothing_or_less_is_told(changes: dict[str, object], part: str) -> None:
    found = told(replace(TERMS, **changes))  # type: ignore[arg-type]
    assert any(part in text for text in found), found


def test_touches_before_the_opening_earn_nothing() -> None:
    (soon,) = told(now_s=NOW_S)
    assert soon.startswith("touches before 2030-")
    (late,) = told(now_s=NOW_S - 30 * DAY_S)
    assert "31 days from now earn nothing" in late


def test_an_outcome_that_no_path_leads_to_is_told() -> None:
    transitions = [one for one in SURFACE_POLICY["transitions"] if one["on"] != "signup"]  # type: ignore[attr-defined]
    policy = parse(SURFACE_POLICY | {"transitions": transitions})
    terms = replace(TERMS, policy=policy.hash)
    (found,) = find_prospects(terms, policy, USDC, OPEN_S)
    assert found.startswith("no path in the policy leads from 'new' to 'activated'")
