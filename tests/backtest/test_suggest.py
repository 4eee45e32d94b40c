"""Suggestions: all operators count as one, by the rules of the log."""

import pytest

from orchestrator.backtest.inputs import EventRow, TouchRow
from orchestrator.backtest.suggest import suggest_terms
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import DAY_S, NS_PER_S
from orchestrator.core.surface.policy import parse
from tests.support.growth import FUNNEL

DAY_NS = DAY_S * NS_PER_S


def rows() -> list[EventRow | TouchRow]:
    return [
        TouchRow(0, "x", "ann", "email"),
        TouchRow(0, "y", "bob", "email"),
        EventRow(DAY_NS, "x", "buy", 10_000_000),
        EventRow(2 * DAY_NS, "y", "buy", 20_000_000),
        EventRow(3 * DAY_NS, "alone", "buy", 5_000_000),
        EventRow(20 * DAY_NS, "x", "buy", 5_000_000),
    ]


def test_the_price_pays_every_outcome_that_a_touch_won() -> None:
    (found,) = suggest_terms(rows, parse(FUNNEL), "conversion", 25_000_000, 7)
    assert (found.entered, found.outcomes, found.price_units) == (4, 2, 12_500_000)
    assert found.revenue_units == 30_000_000
    paid, loyal = suggest_terms(rows, parse(FUNNEL), "expansion", 25_000_000, 30)
    assert (paid.outcomes, loyal.outcomes, loyal.price_units) == (3, 0, None)


def test_a_motion_that_no_transition_has() -> None:
    with pytest.raises(InputError, match="has the motion 'acquisition'"):
        suggest_terms(rows, parse(FUNNEL), "acquisition", 1, 7)
