"""Outcomes of a log by motion, and the first order given back in part, from entries alone."""

from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.opening import Record
from orchestrator.simulation.outcomes import MotionResult, Outcomes, PartialRefund
from tests.support.decisions import FIRST, about, event, touch
from tests.support.worlds import begin, rules, word


def test_outcomes_are_counted_by_the_motion_of_their_transition() -> None:
    """One state is paid for, which leads enter by two motions; a tenth of what they spend."""
    terms = rules(
        "a",
        FIRST,
        repeatable=True,
        unit_price_units=0,
        revenue_share_bps=1_000,
        budget_units=10**6,
        holdback_period_ms=9_000,
    )
    world, records = begin(FIRST, terms)
    for now_ms, request in (
        (0, event("signup", 0)),
        (1, touch()),
        (2, about("first", event("buy", 2, 10_000))),
        (3, about("second", event("buy", 3, 4_000))),
        (4, about("third", event("buy", 4, 2_000))),
        (5, about("second", event("refund", 5), whole=True)),
        (6, about("first", event("refund", 6, 500))),
        (7, about("third", event("refund", 7, 100))),
    ):
        records += decide(world, request, now_ms)
    found = Outcomes(FIRST)
    found.take_all(records)
    assert found.motions == {
        "acquisition": MotionResult(),
        "conversion": MotionResult(1, 1_000, 1, 50),
        "expansion": MotionResult(2, 600, 2, 410),
        "activation": MotionResult(),
    }
    # The second order was given back as a whole, so the first comes before it here.
    assert found.refund == PartialRefund(word("a"), 10_000, 500, 1_000, 50)


def test_a_log_without_outcomes_has_none() -> None:
    _, records = begin(FIRST)
    found = Outcomes(FIRST)
    found.take_all([*records, Record(records[0].entry)])
    assert set(found.motions.values()) == {MotionResult()}
    assert found.refund is None
