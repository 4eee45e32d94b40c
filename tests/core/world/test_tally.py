"""Tallies: counts by surface and operator, and classes of time."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.units import DAY_MS
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.requests import (
    CloseContract,
    OpenContract,
    ProductEvent,
    RecordPayout,
    Settle,
    Touch,
)
from orchestrator.core.world.tally import (
    MAX_POSITIONS,
    PAID_AFTER,
    SEVERAL,
    STATED_AFTER,
    Subject,
    Tallies,
    class_of_ms,
    median_of,
    motion_of,
    span_of,
)
from tests.support.worlds import LEADS, OPERATORS, SURFACE, begin, policy, rules, word


@given(st.integers(0, 10**14))
def test_a_class_holds_its_times_and_lies_close_around_them(time_ms: int) -> None:
    found = span_of(class_of_ms(time_ms))
    assert found.at_least_s <= time_ms // 1000 <= found.at_most_s
    assert found.at_most_s - found.at_least_s <= found.at_least_s // 8


@given(st.integers(0, 1000))
def test_classes_follow_each_other(class_: int) -> None:
    assert span_of(class_).at_most_s + 1 == span_of(class_ + 1).at_least_s
    assert class_of_ms(span_of(class_).at_least_s * 1000) == class_


def test_medians() -> None:
    assert median_of({}) is None
    assert median_of({3: 1, 5: 1}) == (3, 3)
    assert median_of({3: 1, 5: 2}) == (5, 5)
    assert median_of({class_of_ms(DAY_MS): 3, 0: 2}) == span_of(class_of_ms(DAY_MS))


def test_one_entry_counts_for_both_and_for_each() -> None:
    tallies = Tallies()
    for position in range(10):
        tallies.add(Subject(SURFACE, OPERATORS[0], "touch"), position)
    tallies.add(Subject(SURFACE, OPERATORS[1], "touch"), 10)
    both = tallies[Subject(SURFACE, ZERO_WORD, "touch")]
    assert (both.count, both.positions) == (11, [10, 9, 8, 7, 6])
    assert len(both.positions) == MAX_POSITIONS
    assert tallies[Subject(ZERO_WORD, OPERATORS[1], "touch")].count == 1
    assert tallies[Subject(SURFACE, OPERATORS[0], "touch")].count == 10
    assert Subject(ZERO_WORD, ZERO_WORD, "touch") not in tallies


def test_motions() -> None:
    assert motion_of(policy(), "trial") == "acquisition"
    assert motion_of(policy(), "paid") == SEVERAL
    assert motion_of(policy(states=["new", "trial", "paid", "lost"]), "lost") == ""


def test_a_contract_from_its_opening_to_its_payout() -> None:
    governing = policy()
    contract = rules("contract", governing, revenue_share_bps=5000, holdback_period_ms=10**6)
    world, _ = begin(governing, contract)
    world.tallies.clear()
    decide(world, Touch(SURFACE, LEADS[0], OPERATORS[0], "email"), 1000)
    decide(world, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2000), 2000)
    decide(world, ProductEvent(SURFACE, LEADS[0], "buy", 40, 3000), 3000)
    decide(world, Settle(), 63_000)
    decide(world, RecordPayout(contract.contract_id, word("payee"), "paid", 30, word("t")), 90_000)
    decide(world, ProductEvent(SURFACE, LEADS[0], "refund", 0, 90_500), 91_000)
    found = {
        (subject.what, subject.size): (tally.count, tally.units)
        for subject, tally in world.tallies.items()
        if (subject.surface, subject.operator) == (SURFACE, OPERATORS[0])
    }
    assert found[("outcome", 4)] == (1, 30)
    assert found[("settlement", 4)] == (1, 30)
    assert found[("payout", 4)] == (1, 30)
    assert found[(STATED_AFTER, class_of_ms(60_000))] == (1, 0)
    assert found[(PAID_AFTER, class_of_ms(87_000))] == (1, 0)
    assert found[("touch", 0)] == (1, 0)


def test_a_contract_that_only_names_a_surface_counts_nothing() -> None:
    governing = policy()
    strange = rules("strange", governing, owner=word("stranger"))
    world, _ = begin(governing)
    world.tallies.clear()
    decide(world, OpenContract(strange, word("transaction")), 0)
    decide(world, RecordPayout(strange.contract_id, word("payee"), "paid", 5, word("t")), 1)
    decide(world, CloseContract(strange.contract_id, 1, word("t")), 2)
    assert isinstance(world.contracts[strange.contract_id], Contract)
    assert not world.tallies
