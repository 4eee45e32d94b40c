"""Observations: leads by their first entry, motions, and bounded memory."""

from orchestrator.core.common.units import DAY_S, NS_PER_S
from orchestrator.core.growth.observation import MAX_SPANS, Exposure, Observation
from orchestrator.core.surface.policy import parse
from tests.support.growth import FUNNEL


def observation() -> Observation:
    return Observation(parse(FUNNEL), ["ann"], ["a"])


def test_a_lead_counts_by_its_first_entry() -> None:
    seen = observation()
    # Touched before, touched after, touched in vain, never touched: once moved, once not.
    seen.touch("before", "ann")
    for lead in ("before", "after", "alone"):
        assert seen.move(lead, "buy", "new", "paid", 10) == "conversion"
    seen.touch("after", "another")
    assert seen.move("after", "buy", "paid", "paid", 5) == "expansion"
    seen.touch("vain", "ann")
    seen.event("idle")
    seen.finish()
    assert seen.exposures["paid"] == Exposure(
        organic_leads=3, organic_entered=2, touched_leads=2, touched_entered=1
    )
    conversion, expansion = seen.motions["conversion"], seen.motions["expansion"]
    assert (conversion.transitions, conversion.touched) == (3, 1)
    assert (conversion.revenue_units, conversion.organic_revenue_units) == (30, 20)
    assert (expansion.transitions, expansion.touched) == (1, 1)
    assert seen.lead_count == 5
    assert seen.leads_touched == {"ann": 2, "another": 1}


def test_a_state_that_was_not_in_reach_counts_no_lead() -> None:
    seen = observation()
    seen.event("x")
    seen.finish()
    assert seen.exposures["loyal"] == Exposure()


def test_spans_grow_with_the_history() -> None:
    seen = observation()
    for day in range(3 * MAX_SPANS):
        seen.pay("a", "conversion", 1, 1, 0, day * DAY_S * NS_PER_S)
    spans = seen.contracts["a"].by_span
    assert len(spans) <= MAX_SPANS
    assert spans.total() == 3 * MAX_SPANS
    assert seen.span_bits == 2


def test_an_outcome_over_the_budget_brings_nothing() -> None:
    seen = observation()
    seen.pay("a", "conversion", 7, None, 0, 1)
    seen.refund("a", 3)
    seen.refund(None, 4)
    one = seen.contracts["a"]
    assert (one.over, one.paid, one.revenue_units, one.refunded_units) == (1, 0, 0, 3)
    assert seen.refunded_units == 7


def test_strangers_are_counted_by_name_up_to_a_bound() -> None:
    seen = observation()
    for number in range(100):
        seen.touch("x", f"operator {number}")
    assert len(seen.touches) <= 22
    assert seen.touches.total() == 100
