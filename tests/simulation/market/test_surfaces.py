"""The market's surfaces: legal documents, chances for every action, and the same on the page."""

import re
from pathlib import Path

import pytest

from orchestrator.core.common.units import BPS, format_percent
from orchestrator.core.surface.policy import Verdict
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.simulation.market.surfaces import SURFACES, MarketSurface, settings_of

PAGE = Path(__file__).parents[3] / "docs/sandbox.md"
TOKEN = "0x" + "11" * 20


@pytest.mark.parametrize("surface", SURFACES, ids=lambda one: one.name)
def test_every_way_of_a_customer_is_one_of_the_policy(surface: MarketSurface) -> None:
    policy = surface.parsed_policy
    actions = parse_settings(settings_of(surface, TOKEN)).actions
    ways = [(one.state, one.event, one.chance_bps) for one in surface.responses]
    ways += [(one.state, one.event, one.chance_bps) for one in surface.habits]
    for state, event, chance_bps in ways:
        assert policy.step(state, event).verdict is Verdict.ACCEPTED
        assert 0 < chance_bps < BPS
    assert {one.action for one in surface.responses} == set(actions)
    assert policy.step(policy.initial, surface.arrival).to == surface.initial
    assert {one.outcome for one in surface.offers} <= {move.to for move in policy.transitions}


@pytest.mark.parametrize("surface", SURFACES, ids=lambda one: one.name)
def test_the_page_has_the_same_chances(surface: MarketSurface) -> None:
    text = re.sub(r" +", " ", PAGE.read_text())
    for one in surface.responses:
        row = f"`{one.state}` | `{one.action}` | `{one.event}` | {format_percent(one.chance_bps)} |"
        assert f"| {row} {one.within_h} h |" in text, row
    for habit in surface.habits:
        chance = format_percent(habit.chance_bps)
        row = f"| `{habit.state}` | `{habit.event}` | {chance} | {habit.within_days} days |"
        assert row in text, row
    for offer in surface.offers:
        assert f"| `{offer.outcome}` | {offer.price} | {offer.budget} |" in text
