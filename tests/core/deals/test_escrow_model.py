"""The escrow's arithmetic: each rule at its edge, and what must hold whatever is called when."""

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise, permutations
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EscrowError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.escrow_model import (
    CloseResult,
    EscrowedContract,
    ProvenReversal,
    StatementResult,
    fee_of_payment,
    held_units,
    leaked_units,
    times_of,
)
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.depth import examples
from tests.support.terms import ARBITER, terms
from tests.support.worlds import seeds, word

# The escrow sees to the length of the periods; its arithmetic is the same when they are short.
END = 1000  # T2
LAST = 900 + DAY_S  # T4, where there are claims and no holdback


def challenged(**changes: Any) -> EscrowedContract:
    """Build a contract: statements can be challenged for 50 s, and ruled on for 30 s more."""
    periods = {"challenge_period_s": 50, "arbitration_period_s": 30, "arbiter": ARBITER}
    return EscrowedContract(terms(**{**periods, **changes}))


def refused(code: str, call: Callable[..., object], *arguments: Any, **named: Any) -> None:
    with pytest.raises(EscrowError) as caught:
        call(*arguments, **named)
    assert caught.value.code == code
    assert "\n" not in caught.value.message


# --- Arithmetic -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**80 - 1), max_size=6), st.integers(0, 10_000))
def test_splitting_payments_changes_no_fee(marks: list[int], bps: int) -> None:
    steps = [0, *sorted(marks)]
    pieces = [fee_of_payment(*pair, bps) for pair in pairwise(steps)]
    assert sum(pieces) == steps[-1] * bps // 10_000
    assert min(pieces, default=0) >= 0


@pytest.mark.parametrize(
    ("net", "young", "bps", "held"),
    [
        (100, 100, 0, 0),
        (100, 100, 2000, 20),
        (99, 99, 2000, 19),
        (100, 40, 2000, 8),
        (100, 0, 2000, 0),
        (60, 100, 2000, 12),
        (100, 100, 10_000, 100),
    ],
)
def test_held(net: int, young: int, bps: int, held: int) -> None:
    assert held_units(net, young, bps) == held


@pytest.mark.parametrize(
    ("level", "elapsed", "left"),
    [(5, 0, 5), (5, 1, 5), (5, 2, 4), (5, 9, 1), (5, 10, 0), (5, 99, 0)],
)
def test_leaked(level: int, elapsed: int, left: int) -> None:
    assert leaked_units(level, elapsed, 11, 10) == left


def test_times() -> None:
    assert times_of(terms(claim_period_s=200)) == (1000, 1200, LAST)
    assert times_of(terms(claim_period_s=DAY_S)) == (1000, 1000 + DAY_S, 1000 + 2 * DAY_S)
    assert times_of(terms()) == (1000, 1000, 1000)


# --- Statements -----------------------------------------------------------------------------------


def test_a_plain_contract_pays_at_once() -> None:
    contract = EscrowedContract(terms(unit_price_units=5))
    assert contract.settle(1, 7, 20, 5) == StatementResult("", 15)
    assert contract.settle(2, 9, 20, 10) == StatementResult("", 0)
    assert contract.settle(2, 9, 25, 0) == StatementResult("already-settled", 0)
    assert (contract.paid_units, contract.last_final(2), contract.last_signed()) == (15, 9, 9)
    refusals = [
        ("wrong-value", 25, 30),
        ("wrong-price", 26, 0),
        ("wrong-price", 25, 1),
        ("over-budget", 105, 0),
        ("earned-fell", 10, 0),
    ]
    for refusal, earned, reversed_ in refusals:
        assert contract.settle(3, 11, earned, reversed_) == StatementResult(refusal, 0)
    assert contract.settle(END + 1, 11, 25, 0) == StatementResult("ended", 0)
    assert contract.settle(END, 11, 100, 0) == StatementResult("", 85)
    refused("nothing-to-refund", contract.refund, END + 1)


def test_a_statement_waits_for_its_challenge_period() -> None:
    contract = challenged()
    assert contract.settle(100, 5, 40, 0) == StatementResult("", 0)
    assert (contract.last_final(150), contract.last_signed(), contract.net_units(150)) == (0, 5, 0)
    assert contract.settle(150, 6, 50, 0) == StatementResult("pending", 0)
    assert contract.releasable_at_s(150) == 151
    assert contract.release(150) == 0
    assert (contract.last_final(151), contract.net_units(151)) == (5, 40)
    assert contract.releasable_units(151) == 40
    assert contract.settle(151, 6, 50, 0) == StatementResult("", 40)
    assert contract.final_position == 5
    assert contract.settle(202, 6, 60, 0) == StatementResult("already-settled", 10)
    assert contract.settle(202, 7, 49, 0) == StatementResult("earned-fell", 0)


def test_totals_never_fall() -> None:
    contract = challenged(challenge_period_s=0, holdback_period_s=1)
    assert contract.settle(1, 5, 40, 10).paid_units == 30
    assert contract.settle(2, 6, 39, 0).refusal == "earned-fell"
    assert contract.settle(2, 6, 40, 9).refusal == "reversed-fell"
    assert contract.settle(2, 6, 40, 20) == StatementResult("", 0)
    assert (contract.net_units(2), contract.owed_units(2), contract.paid_units) == (20, 0, 30)
    assert contract.settle(3, 7, 60, 20) == StatementResult("", 10)


@pytest.mark.parametrize(
    ("at", "earned", "reversed_", "refusal"),
    [
        (END, 50, 0, ""),
        (END + 1, 50, 0, "ended"),
        (END + 1, 50, 1, "ended"),
        (END + 1, 40, 0, "ended"),
        (END + 1, 40, 1, ""),
        (END + 70, 40, 1, ""),
        (END + 71, 40, 1, "ended"),
    ],
)
def test_after_the_end_reversals_alone_are_stated(
    at: int, earned: int, reversed_: int, refusal: str
) -> None:
    contract = challenged(holdback_period_s=70)
    contract.settle(10, 5, 40, 0)
    assert contract.settle(at, 6, earned, reversed_).refusal == refusal


def test_what_is_held_back_is_released_in_time() -> None:
    contract = EscrowedContract(terms(holdback_bps=2500, holdback_period_s=60, lateness_s=5))
    assert contract.settle(100, 5, 40, 0) == StatementResult("", 30)
    assert contract.settle(120, 6, 60, 0) == StatementResult("", 15)
    assert contract.owed_units(120) == 15
    assert contract.releasable_at_s(120) == 185
    assert [contract.releasable_units(at) for at in (164, 165, 184, 185)] == [0, 10, 10, 15]
    assert contract.settle(170, 7, 60, 8) == StatementResult("", 2)  # 52 less a quarter of 60 - 40
    assert contract.release(400) == 5
    assert (contract.paid_units, contract.owed_units(400)) == (52, 0)
    assert contract.releasable_at_s(400) == 0


def test_a_reversed_outcome_does_not_make_a_new_one_old() -> None:
    contract = EscrowedContract(terms(holdback_bps=10_000, holdback_period_s=60))
    contract.settle(100, 5, 40, 0)
    contract.settle(150, 6, 40, 40)
    contract.settle(159, 7, 80, 40)
    assert [contract.releasable_units(at) for at in (160, 218, 219)] == [0, 0, 40]


def test_what_a_ruling_took_off_does_not_make_the_next_outcome_old() -> None:
    contract = challenged(holdback_bps=10_000, holdback_period_s=60)
    contract.settle(100, 5, 20, 0)
    contract.dispute(100, 5, by_owner=False)
    contract.rule(100, 5, 100)
    contract.settle(101, 6, 60, 0)  # final at 151, with 80 more than was stated
    contract.settle(152, 7, 60, 10)
    contract.dispute(152, 7, by_owner=True)
    contract.rule(152, 7, 100)  # 50 more than was stated, 30 less than before
    assert contract.lowered_units == 30
    contract.settle(153, 8, 60, 50)
    assert contract.release(211) == 60  # old: as much was final by 151
    contract.settle(220, 9, 90, 50)
    assert (contract.net_units(271), contract.release(271)) == (90, 0)
    assert contract.releasable_at_s(271) == 330
    assert (contract.release(329), contract.release(330)) == (0, 30)


def test_a_statement_matures_from_when_it_became_final_by_itself() -> None:
    contract = challenged(holdback_bps=5000, holdback_period_s=60)
    contract.settle(100, 5, 40, 0)
    # Final at 150, without any call; safe from reversals at 210.
    assert [contract.releasable_units(at) for at in (150, 151, 209, 210)] == [0, 20, 20, 40]
    assert contract.releasable_at_s(200) == 210
    assert contract.release(205) == 20
    assert contract.release(210) == 20


def test_a_rate_cap_delays() -> None:
    contract = EscrowedContract(terms(rate_cap_units=21, rate_period_s=100))
    assert contract.settle(100, 5, 25, 0) == StatementResult("", 10)
    assert contract.releasable_at_s(100) == 250
    assert contract.release(109) == 0
    assert contract.cap_at_s == 100  # what pays nothing changes nothing
    assert contract.release(110) == 1
    assert contract.release(210) == 10
    assert contract.releasable_at_s(210) == 250
    assert (contract.release(249), contract.release(250)) == (3, 0)
    assert contract.releasable_at_s(250) == 260  # at the latest
    assert contract.release(259) == 1
    assert contract.owed_units(259) == 0


def test_a_rate_cap_delays_what_was_held_back() -> None:
    # All of it is held back, and comes to an empty bucket.
    capped = {"rate_cap_units": 20, "rate_period_s": 100}
    contract = EscrowedContract(terms(holdback_bps=10_000, holdback_period_s=250, **capped))
    assert contract.settle(100, 5, 25, 0) == StatementResult("", 0)
    assert contract.releasable_at_s(100) == 350 + 150
    assert [contract.release(at) for at in (349, 350, 449)] == [0, 10, 9]
    # The release on the way has cost nine tenths of a unit.
    assert [contract.release(at) for at in (500, 509, 510)] == [5, 0, 1]
    # Half is held back, and comes while the other half is still leaking.
    contract = EscrowedContract(terms(holdback_bps=5000, holdback_period_s=50, **capped))
    assert contract.settle(100, 5, 40, 0) == StatementResult("", 10)
    assert contract.releasable_at_s(100) == 400
    assert [contract.release(at) for at in (150, 200, 300, 400)] == [5, 5, 10, 10]
    assert contract.owed_units(400) == 0


# --- Dispute and ruling ---------------------------------------------------------------------------


def test_a_dispute_moves_the_end_once() -> None:
    contract = challenged()
    refused("not-pending", contract.dispute, 1, 5, by_owner=True)
    contract.settle(100, 5, 40, 0)
    contract.dispute(150, 5, by_owner=True)
    assert contract.releasable_at_s(150) == 181
    refused("already-disputed", contract.dispute, 150, 5, by_owner=True)
    contract.dispute(150, 5, by_owner=False)
    refused("already-disputed", contract.dispute, 150, 5, by_owner=False)
    assert contract.releasable_at_s(150) == 181
    # A silent arbiter decides nothing: the statement stands.
    assert (contract.release(180), contract.release(181)) == (0, 40)
    refused("not-pending", contract.rule, 181, 5, 40)


def test_a_dispute_comes_in_time_and_before_an_arbiter() -> None:
    contract = challenged()
    contract.settle(100, 5, 40, 0)
    refused("not-pending", contract.dispute, 151, 5, by_owner=True)
    contract.settle(200, 6, 50, 0)
    refused("not-pending", contract.dispute, 250, 5, by_owner=True)
    contract.dispute(250, 6, by_owner=True)
    refused("dispute-too-late", contract.dispute, 251, 6, by_owner=False)
    without = challenged(arbiter=ZERO_ADDRESS)
    without.settle(100, 5, 40, 0)
    refused("no-arbiter", without.dispute, 100, 5, by_owner=True)


def test_a_ruling_holds_for_all_later_statements() -> None:
    contract = challenged()
    contract.settle(100, 5, 40, 0)
    assert contract.release(160) == 40
    contract.settle(200, 6, 60, 0)
    refused("not-disputed", contract.rule, 200, 6, 50)
    contract.dispute(210, 6, by_owner=True)
    refused("payable-out-of-range", contract.rule, 220, 6, 39)
    refused("payable-out-of-range", contract.rule, 220, 6, 101)
    assert contract.rule(280, 6, 45) == 5
    assert (contract.final_position, contract.net_units(280), contract.adjustment_units) == (
        6,
        45,
        -15,
    )
    assert contract.settle(290, 7, 70, 0).refusal == ""
    assert contract.release(341) == 10
    contract.settle(350, 8, 70, 30)
    contract.dispute(351, 8, by_owner=False)
    # What the statement itself takes back, the arbiter may leave taken back.
    refused("payable-out-of-range", contract.rule, 352, 8, 24)
    assert contract.rule(352, 8, 25) == 0
    assert (contract.net_units(352), contract.paid_units) == (25, 55)


def test_a_disproof_voids_what_is_pending() -> None:
    contract = challenged()
    contract.settle(100, 5, 40, 0)
    contract.settle(200, 6, 60, 0)
    contract.dispute(201, 6, by_owner=True)
    contract.retire(281)
    assert (contract.last_final(281), contract.net_units(281), contract.paid_units) == (6, 60, 40)
    refused("already-retired", contract.retire, 282)
    assert contract.settle(282, 7, 70, 0) == StatementResult("verifier-retired", 0)
    other = challenged()
    other.settle(100, 5, 40, 0)
    other.retire(150)
    assert (other.last_final(151), other.last_signed(), other.release(151)) == (0, 0, 0)


# --- Claims ---------------------------------------------------------------------------------------

K, L, NOTHING = word("k"), word("l"), word("nothing")


def claimable() -> EscrowedContract:
    contract = challenged(claim_period_s=200)
    contract.settle(100, 5, 40, 0)
    return contract


def test_claims_are_paid_after_their_time() -> None:
    contract = claimable()
    refused("claims-not-open", contract.file_claim, END, K, 10)
    contract.file_claim(END + 1, K, 10)
    refused("already-claimed", contract.file_claim, END + 1, K, 10)
    refused("claim-over-budget", contract.file_claim, END + 1, L, 51)
    contract.file_claim(END + 200, L, 50)
    contract.file_claim(END + 200, NOTHING, 0)
    refused("claims-not-open", contract.file_claim, END + 201, word("m"), 0)
    assert contract.owed_units(LAST) == 40
    assert contract.reserved_units(LAST) == 100
    refused("nothing-to-refund", contract.refund, LAST)
    contract.lower_claim(LAST, K, 0)
    refused("no-claim", contract.lower_claim, LAST, K, 0)
    # A share of nothing is nothing, and a claim all the same; there is nothing to lower.
    refused("not-lower", contract.lower_claim, LAST, NOTHING, 0)
    refused("already-claimed", copy.deepcopy(contract).file_claim, END + 200, K, 10)
    assert contract.refund(LAST) == 10
    refused("claims-not-open", contract.lower_claim, LAST + 1, L, 0)
    assert contract.release(LAST + 1) == 90
    assert (contract.paid_units, contract.refunded_units) == (90, 10)


def test_a_claim_is_lowered_in_parts() -> None:
    contract = claimable()
    contract.file_claim(END + 1, K, 10)
    contract.file_claim(END + 1, L, 20)
    contract.lower_claim(END + 2, K, 7)
    refused("not-lower", contract.lower_claim, END + 2, K, 7)
    refused("not-lower", contract.lower_claim, END + 2, K, 8)
    assert contract.claimed_units == 27
    contract.dispute_claims(END + 201)
    contract.rule_claims(END + 201, 25)
    # What the log refutes comes off their sum after the ruling as well.
    contract.lower_claim(END + 202, L, 15)
    assert contract.claimable_units == 22
    contract.lower_claim(END + 203, K, 0)
    refused("no-claim", contract.lower_claim, END + 203, K, 0)
    refused("already-claimed", copy.deepcopy(contract).file_claim, END + 200, K, 1)
    assert contract.release(LAST + 1) == 55


def test_claims_are_paid_once_no_event_can_take_them_back() -> None:
    """They are not held back, so their time lasts until reversals end."""
    late = challenged(claim_period_s=200, holdback_period_s=1000).terms
    shown_until_s = late.deadline_s + late.lateness_s + 1000 + DAY_S
    assert times_of(late).refutable_until_s == shown_until_s
    soon = challenged(claim_period_s=DAY_S, holdback_period_s=100).terms
    assert times_of(soon).refutable_until_s == END + 2 * DAY_S
    none = challenged(claim_period_s=0, holdback_period_s=1000).terms
    assert set(times_of(none)) == {END}


# --- Proven reversals -----------------------------------------------------------------------------


def held(**changes: Any) -> EscrowedContract:
    """Return a contract that holds back half of what it earns for 1,000 s."""
    return challenged(holdback_bps=5000, holdback_period_s=1000, **changes)


def proof(happened: int, outcome: int, amount_units: int) -> ProvenReversal:
    """Return what an event takes back of the outcome at 1, 2, …, each of ten units."""
    return ProvenReversal(happened, outcome, 10, 10 * outcome, amount_units)


def test_a_proven_reversal_counts_without_a_statement() -> None:
    contract = held()
    contract.settle(100, 5, 40, 0)
    contract.record_reversal(200, proof(8, 3, 6))
    assert contract.net_units(200) == 34
    refused("already-recorded", contract.record_reversal, 200, proof(8, 3, 1))
    refused("more-than-outcome", contract.record_reversal, 200, proof(9, 3, 5))
    contract.record_reversal(201, proof(6, 3, 4))
    contract.record_reversal(201, proof(7, 4, 5))
    assert contract.net_units(201) == 25


@pytest.mark.parametrize("order", list(permutations(["event", "statement", "later event"])))
def test_what_was_proven_above_a_statement_is_added_to_it(order: tuple[str, ...]) -> None:
    """The statement at 7 has the event at 6, and not the one at 8."""
    contract = held()
    contract.settle(100, 5, 40, 0)
    is_stale = order.index("later event") < order.index("statement")
    now_s = 200
    for step in order:
        now_s += 60
        if step == "statement":
            assert contract.settle(now_s, 7, 50, 10).refusal == ("stale" if is_stale else "")
        elif step == "later event":
            contract.record_reversal(now_s, proof(8, 2, 7))
        elif contract.last_final(now_s) < 6:
            contract.record_reversal(now_s, proof(6, 3, 10))
    now_s += 60
    # A statement above all that was shown is taken, and states it all.
    assert contract.net_units(now_s) == (23 if is_stale else 33)
    contract.settle(now_s, 9, 50, 17)
    assert contract.net_units(now_s + 60) == 33


def test_a_pending_statement_states_the_events_below_it() -> None:
    contract = held()
    contract.settle(100, 5, 40, 0)
    contract.settle(200, 7, 60, 10)
    contract.record_reversal(210, proof(8, 3, 3))
    contract.record_reversal(210, proof(6, 4, 10))
    assert contract.net_units(210) == 27
    assert contract.net_units(251) == 47
    contract.retire(211)
    contract.record_reversal(212, proof(9, 3, 5))
    assert contract.net_units(260) == 22


def test_a_ruling_stands_beside_what_was_proven() -> None:
    contract = held()
    contract.settle(100, 5, 40, 0)
    contract.settle(200, 7, 60, 10)
    contract.record_reversal(201, proof(6, 3, 10))
    contract.record_reversal(201, proof(8, 4, 2))
    contract.dispute(201, 7, by_owner=True)
    contract.rule(202, 7, 45)
    assert contract.net_units(202) == 45
    # The arbiter ruled in view of the twelve: only what is proven beyond them is taken back.
    contract.record_reversal(203, proof(9, 4, 2))
    assert contract.net_units(203) == 43


def test_reversals_are_proven_while_money_of_the_outcome_is_held() -> None:
    contract = held(lateness_s=15)
    contract.settle(100, 5, 10, 0)
    contract.settle(300, 6, 20, 0)
    since_s = 100 + contract.terms.challenge_period_s
    contract.release(400)
    free_s = since_s + 1015
    refused("not-held", contract.record_reversal, free_s, proof(7, 1, 1))
    contract.record_reversal(free_s, proof(7, 2, 1))
    assert contract.net_units(free_s) == 19
    contract.record_reversal(free_s + 199, proof(8, 2, 1))
    refused("not-held", contract.record_reversal, free_s + 200, proof(9, 2, 1))


def test_an_outcome_looks_no_older_for_a_ruling() -> None:
    for ruled in (5, 40):
        contract = held(lateness_s=15)
        contract.settle(100, 5, 20, 0)
        contract.dispute(101, 5, by_owner=True)
        contract.rule(102, 5, ruled)
        contract.settle(900, 6, 30, 0)
        contract.record_reversal(102 + 1015, proof(7, 3, 10))
        assert contract.net_units(102 + 1015) == ruled


def test_no_reversal_is_proven_of_what_is_paid_for_good() -> None:
    for contract in (EscrowedContract(terms()), challenged()):
        contract.settle(100, 5, 40, 0)
        refused("not-held", contract.record_reversal, 151, proof(6, 3, 10))
    contract = held()
    contract.settle(100, 5, 40, 0)
    contract.close(120, 40)
    refused("already-closed", contract.record_reversal, 121, proof(6, 3, 10))


def test_a_refused_call_leaves_the_matured_statement_as_it_was() -> None:
    """It reverts on chain. What is brought next still finds the statement pending, and pays it."""
    contract = challenged()
    contract.settle(100, 5, 40, 0)
    before = copy.deepcopy(contract)
    refused("not-pending", contract.dispute, 151, 5, by_owner=True)
    refused("not-held", contract.record_reversal, 151, proof(6, 3, 10))
    assert contract == before
    assert contract.settle(151, 5, 40, 0) == ("already-settled", 40)
    assert contract.settle(152, 5, 40, 0) == ("already-settled", 0)


def test_a_closed_contract_retires_no_verifier() -> None:
    contract = challenged()
    contract.retire(100)
    refused("already-retired", contract.retire, 101)
    contract.close(102, 0)
    refused("already-closed", contract.retire, 103)


def test_claims_wait_for_a_statement_that_adds() -> None:
    contract = challenged(claim_period_s=200, holdback_period_s=100)
    contract.settle(100, 5, 40, 0)
    contract.settle(END, 6, 50, 0)
    refused("statement-pending", contract.file_claim, END + 50, K, 10)
    contract.file_claim(END + 51, K, 10)
    contract.settle(END + 60, 7, 50, 10)
    # One that only takes back does not keep the operator from claiming; the higher net counts.
    refused("claim-over-budget", contract.file_claim, END + 60, L, 41)
    contract.file_claim(END + 60, L, 40)
    assert contract.reserved_units(END + 110) == 100
    assert contract.reserved_units(END + 111) == 90


def test_an_arbiter_decides_on_all_claims_together() -> None:
    contract = claimable()
    refused("no-claims", contract.dispute_claims, END + 201)
    contract.file_claim(END + 1, K, 10)
    contract.file_claim(END + 1, L, 20)
    refused("claims-not-open", contract.dispute_claims, END + 200)
    refused("claims-not-disputed", contract.rule_claims, END + 201, 5)
    contract.dispute_claims(END + 201)
    refused("claims-already-disputed", contract.dispute_claims, END + 201)
    contract.lower_claim(END + 202, K, 0)
    refused("more-than-claimed", contract.rule_claims, END + 203, 21)
    refused("claims-not-open", copy.deepcopy(contract).rule_claims, LAST + 1, 5)
    contract.rule_claims(LAST, 5)
    refused("claims-already-disputed", contract.dispute_claims, LAST)
    refused("claims-not-disputed", contract.rule_claims, LAST, 5)
    assert contract.release(LAST + 1) == 45


@pytest.mark.parametrize(("ruled", "paid"), [(30, 20), (20, 20), (19, 19), (0, 0)])
def test_a_ruling_on_claims_is_the_most_and_ends_no_refutation(ruled: int, paid: int) -> None:
    contract = claimable()
    contract.file_claim(END + 1, K, 10)
    contract.file_claim(END + 1, L, 20)
    contract.dispute_claims(END + 201)
    contract.rule_claims(END + 201, ruled)
    assert contract.reserved_units(END + 201) == 40 + ruled
    assert contract.releasable_at_s(END + 201) == END + 201  # the 40
    contract.lower_claim(LAST, K, 0)
    refused("no-claim", contract.lower_claim, LAST, K, 0)
    assert contract.reserved_units(LAST) == 40 + paid
    assert contract.release(LAST) == 40
    assert contract.releasable_at_s(LAST) == (LAST + 1 if paid else 0)
    assert contract.release(LAST + 1) == paid


def test_what_a_ruling_took_off_claims_can_be_ruled_otherwise() -> None:
    contract = challenged(claim_period_s=200, holdback_period_s=300)
    contract.settle(100, 5, 40, 0)
    contract.file_claim(END + 1, K, 30)
    contract.dispute_claims(END + 201)
    contract.rule_claims(END + 201, 10)
    assert contract.refund(END + 202) == 50
    contract.settle(END + 203, 6, 40, 5)
    contract.dispute(END + 203, 6, by_owner=False)
    refused("payable-out-of-range", contract.rule, END + 203, 6, 41)
    contract.rule(END + 203, 6, 40)
    contract.release(LAST + 301)
    assert contract.paid_units == 50


def test_nothing_is_refuted_once_the_parties_have_closed() -> None:
    contract = claimable()
    contract.file_claim(END + 1, K, 10)
    contract.close(END + 2, 45)
    refused("already-closed", contract.lower_claim, END + 2, K, 0)
    assert contract.paid_units == 45


# --- End ------------------------------------------------------------------------------------------


def test_the_parties_close_at_any_amount_between_paid_and_budget() -> None:
    contract = challenged(
        holdback_bps=5000, holdback_period_s=10**6, rate_cap_units=60, rate_period_s=10
    )
    contract.settle(100, 5, 40, 0)
    assert contract.release(151) == 20
    contract.settle(200, 6, 90, 0)
    refused("payable-out-of-range", contract.close, 201, 19)
    refused("payable-out-of-range", contract.close, 201, 101)
    assert contract.close(201, 70) == CloseResult(30, 30)
    for call in (contract.close, contract.retire):
        refused("already-closed", call, 202, *([70] if call == contract.close else []))
    refused("already-closed", contract.file_claim, END + 1, K, 1)
    assert contract.settle(202, 7, 95, 0) == StatementResult("closed", 0)
    refused("not-pending", contract.dispute, 202, 6, by_owner=True)
    assert contract.release(300) == 20
    assert (contract.paid_units, contract.refunded_units, contract.owed_units(300)) == (70, 30, 0)
    refused("nothing-to-refund", contract.refund, END + 1)


def test_refunds_follow_what_can_still_become_payable() -> None:
    contract = challenged(holdback_period_s=100)
    contract.settle(100, 5, 40, 0)
    refused("refund-too-early", contract.refund, END)
    contract.settle(END, 6, 60, 0)
    # An arbiter may make anything of what is pending.
    refused("nothing-to-refund", contract.refund, END + 50)
    assert contract.refund(END + 51) == 40
    assert contract.settle(END + 60, 7, 60, 30) == StatementResult("", 20)
    refused("nothing-to-refund", contract.refund, END + 110)
    # What was paid before is not taken back.
    refused("nothing-to-refund", contract.refund, END + 111)
    late = challenged(arbiter=ZERO_ADDRESS, holdback_period_s=100)
    late.settle(100, 5, 40, 0)
    assert late.refund(END + 1) == 60
    late.settle(END + 2, 6, 40, 15)
    refused("nothing-to-refund", late.refund, END + 52)
    late.retire(END + 52)
    assert (late.paid_units, late.owed_units(END + 53)) == (40, 0)


# --- Whatever is called when ----------------------------------------------------------------------


@st.composite
def deals(draw: st.DrawFn) -> Terms:
    random = draw(seeds)
    pick = random.choice
    claim_period_s = pick([0, 0, 150])
    return terms(
        budget_units=pick([1, 50, 100, 1000]),
        unit_price_units=pick([1, 1, 7]),
        challenge_period_s=pick([0, 0, 20, 60]),
        arbitration_period_s=pick([0, 30]),
        arbiter=ARBITER if claim_period_s else pick([ARBITER, ZERO_ADDRESS]),
        holdback_bps=pick([0, 0, 1, 2500, 10_000]),
        holdback_period_s=pick([0, 40, 200]),
        lateness_s=pick([0, 15]),
        rate_cap_units=pick([0, 0, 2, 3, 25]),
        rate_period_s=pick([1, 7, 100]),
        claim_period_s=claim_period_s,
    )


class Call(NamedTuple):
    """A call that a party tries at this second; amounts are taken modulo what is possible."""

    now_s: int
    name: str
    arguments: tuple[Any, ...] = ()

    def reversal(self, contract: EscrowedContract) -> ProvenReversal:
        """Return what an event above the last final statement takes back of one of its outcomes."""
        above, number, amount = self.arguments
        happened = contract.last_final(self.now_s) + 1 + above
        unit, pending = contract.terms.unit_price_units, contract.pending
        is_final = pending is not None and contract._is_matured(self.now_s)
        earned = pending.earned_units if pending and is_final else contract.earned_units
        return ProvenReversal(happened, number, 9, earned - number % 2 * unit, amount)

    def on(self, contract: EscrowedContract) -> bool:
        """Make the call; return whether the escrow takes it."""
        arguments: tuple[Any, ...] = self.arguments
        named: dict[str, bool] = {}
        if self.name == "settle":
            unit = contract.terms.unit_price_units
            position, earned, reversed_ = arguments
            arguments = (position, earned * unit, reversed_ * unit)
        elif self.name == "close":
            arguments = (arguments[0] % (contract.budget_units + 1),)
        elif self.name == "rule":
            arguments = (contract.last_signed(), arguments[0] % (contract.budget_units + 1))
        elif self.name == "record_reversal":
            arguments = (self.reversal(contract),)
        elif self.name == "dispute":
            named = {"by_owner": arguments[0]}
            arguments = (contract.last_signed(),)
        try:
            answer = getattr(contract, self.name)(self.now_s, *arguments, **named)
        except EscrowError:
            return False
        return not (isinstance(answer, StatementResult) and answer.refusal)


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Draw calls of all parties, in order of time, past all ends; totals mostly grow."""
    random = draw(seeds)
    found: list[Call] = []
    now, position, earned, reversed_ = random.choice([1, 500, 900]), 1, 0, 0
    for _ in range(random.choice([5, 20, 60])):
        now += random.choice([0, 0, 1, 10, 30, 70]) + random.choice([0] * 40 + [DAY_S])
        n, amount, key = (
            random.randint(0, 60),
            random.randint(0, 1000),
            word(str(random.randrange(9))),
        )
        match random.randrange(13):
            case 0 | 1 | 2 | 3:
                position += random.choice([1, 1, 1, 0])
                earned += n
                reversed_ = min(earned, reversed_ + random.choice([0, 0, n // 3]))
                found.append(Call(now, "settle", (position, earned, reversed_)))
            case 4:
                found.append(Call(now, "dispute", (n % 2 == 0,)))
            case 5:
                # Of single calls few would meet: a ruling needs a dispute, and that a statement.
                position, earned = position + 1, earned + n
                found += [
                    Call(now, "settle", (position, earned, reversed_)),
                    Call(now, "dispute", (n % 2 == 0,)),
                    Call(now, "rule", (amount,)),
                ]
            case 6 | 7:
                found.append(Call(now, "file_claim", (key, n)))
            case 8:
                found.append(Call(now, "lower_claim", (key, random.choice([0, 0, n // 2]))))
            case 9:
                found += [Call(now, "dispute_claims"), Call(now, "rule_claims", (n,))]
            case 10:
                found.append(Call(now, "refund"))
            case 11 if n < 40:
                # Often while a statement is pending.
                position, earned = position + n % 2, earned + n
                found += [
                    Call(now, "settle", (position, earned, reversed_)),
                    Call(now, "record_reversal", (n % 4, n % 5, 1 + n % 3)),
                ]
            case _ if n < 3:
                found.append(Call(now, "retire"))
            case _ if n < 6:
                found.append(Call(now, "close", (amount,)))
            case _:
                found.append(Call(now, "release"))
    return found


def drain(contract: EscrowedContract, now_s: int) -> int:
    """Release and refund until nothing is left to do; return when that was."""
    for _ in range(2000):
        contract.release(now_s)
        if not contract.owed_units(now_s):
            break
        now_s = max(now_s + 1, contract.releasable_at_s(now_s))
    Call(now_s, "refund").on(contract)
    return now_s


def test_what_must_hold_whatever_is_called_when() -> None:
    seen: Counter[str] = Counter()

    @examples(400)
    @given(deals(), calls())
    def run(deal: Terms, steps: list[Call]) -> None:
        contract, escrowed = EscrowedContract(deal), deal.budget_units
        last_paid = last_final = now = 0
        shown: dict[int, int] = {}
        payments: list[tuple[int, int]] = []
        for call in steps:
            now, taken = call.now_s, False
            if call.name == "record_reversal":
                reversal = call.reversal(contract)
                taken = call.on(contract)
                shown |= {reversal.happened: reversal.amount_units} if taken else {}
                seen["proven"] += taken
                seen["proven while pending"] += taken and contract.pending is not None
            else:
                taken = call.on(contract)
            seen["taken" if taken else "refused"] += 1
            paid, final = contract.paid_units, contract.last_final(now)
            # I3: nothing is moved that was not escrowed; paid never falls.
            reserved = contract.reserved_units(now)
            assert paid <= reserved <= contract.budget_units
            assert contract.budget_units + contract.refunded_units == escrowed
            assert paid >= last_paid
            assert contract.owed_units(now) <= reserved - paid
            assert 0 <= contract.releasable_units(now) <= contract.owed_units(now)
            assert contract.closed_at_s or final >= last_final
            if paid > last_paid:
                payments.append((now, paid - last_paid))
            # Nothing is taken back twice: a statement stands for all events below it.
            above = [units for at, units in shown.items() if at > contract.final_position]
            assert contract.proven_units == sum(above)
            if contract.pending:
                position = contract.pending.position
                above = [units for at, units in shown.items() if at > position]
                assert contract.proven_above_units == sum(above)
            assert sum(shown.values()) == sum(contract.taken_units.values())
            assert max(contract.taken_units.values(), default=0) <= 9
            last_paid, last_final = paid, final
        if deal.rate_cap_units:
            for start, _ in payments:
                window = [x for at, x in payments if start <= at <= start + deal.rate_period_s]
                assert sum(window) <= deal.rate_cap_units
                seen["capped"] += len(window) > 1
        # L1: past all ends, everything is paid or goes back without a party's consent.
        ends = max(now, times_of(deal).refutable_until_s + deal.holdback_period_s) + 500
        drain(contract, ends)
        assert contract.paid_units + contract.refunded_units == escrowed
        assert contract.owed_units(ends * 10**6) == 0
        seen["paid"] += contract.paid_units > 0
        seen["claimed"] += any(contract.claims.values())
        seen["ruled"] += contract.adjustment_units != 0
        seen["refunded"] += contract.refunded_units > 0

    run()
    rare = ("taken", "capped", "paid", "claimed", "ruled", "refunded", "proven")
    assert min(seen[name] for name in rare) >= 10, seen
    assert seen["proven while pending"] >= 3, seen


def test_what_is_owed_is_released_by_the_time_that_is_named() -> None:
    """Under a cap: but for a unit for each release that paid on the way, and for a caller who
    releases what comes due at once, and then in every period.
    """
    seen: Counter[str] = Counter()

    @examples(800)
    @given(deals(), calls(), seeds)
    def run(deal: Terms, steps: list[Call], random: Any) -> None:
        contract = EscrowedContract(deal)
        now = 0
        for call in steps[: random.randint(1, len(steps))]:
            now = call.now_s
            call.on(contract)
        if not contract._is_matured(now):
            contract.pending = None  # it could still take something back
        owed, due_s = contract.owed_units(now), contract.releasable_at_s(now)
        period_s = deal.rate_period_s if deal.rate_cap_units else 10**6
        if not owed or (due_s - now) // period_s > 1000:
            return
        promised = contract.paid_units + owed
        seen["held"] += (is_held := contract._held_back(now) > 0)
        seen["capped"] += (is_capped := bool(deal.rate_cap_units)) and due_s > now
        seen["both"] += is_held and is_capped
        on_the_way = 0
        contract.release(now)
        final_s = contract.final_totals[-1].since_s if contract.final_totals else 0
        free_s = final_s + deal.holdback_period_s + deal.lateness_s
        while now < due_s:
            on_the_way += contract.release(now) > 0
            wait_s = random.randint(1, period_s)
            now = min(due_s, now + (min(wait_s, free_s - now) if now < free_s else wait_s))
        contract.release(due_s)
        left = promised - contract.paid_units
        assert left <= (on_the_way if is_capped else 0)
        seen["left"] += left > 0
        for late in range(on_the_way if left > 0 else 0):
            contract.release(due_s + (late + 1) * period_s)
        assert contract.paid_units >= promised

    run()
    assert min(seen[name] for name in ("held", "capped", "both")) >= 15, seen


def test_releasing_more_often_changes_nothing_but_when() -> None:
    seen: Counter[bool] = Counter()

    @examples(200)
    @given(deals(), calls())
    def run(deal: Terms, steps: list[Call]) -> None:
        often, seldom = EscrowedContract(deal), EscrowedContract(deal)
        previous = steps[0].now_s
        for call in steps:
            for between in sorted({previous, (previous + call.now_s) // 2, call.now_s}):
                often.release(between)
            previous = call.now_s
            one, other = call.on(often), call.on(seldom)
            # A party can close at what is paid already, and what that is depends on when.
            if one != other or often.budget_units != seldom.budget_units:
                return
        end = 10**7
        drain(often, end)
        drain(seldom, end)
        if not deal.holdback_bps and not often.reversed_units and not often.proven_units:
            assert often.paid_units == seldom.paid_units
            seen[True] += 1
        assert often.paid_units >= seldom.paid_units

    run()
    assert seen[True] >= 30, seen
