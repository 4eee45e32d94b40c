"""The reasons of outcomes: how they are made, stated, anchored, paid and taken back."""

import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.why.outcome import why_outcome
from orchestrator.core.why.reason import Code
from orchestrator.core.world.requests import CloseContract, RecordPayout, Settle
from tests.support.why_market import (
    BOB,
    FIRST,
    SIGNUP,
    USDC,
    SmallLog,
    deal,
    reported,
    touched,
)
from tests.support.worlds import policy, word

SOLD = [touched(500), SIGNUP, reported(2000, value=29_990_005)]


def payout(at_ms: int, units: int) -> tuple[int, RecordPayout]:
    return at_ms, RecordPayout(word("ann"), word("payee"), "paid", units, word("transaction"))


def test_an_amount_is_taken_apart() -> None:
    log = SmallLog([deal(revenue_share_bps=1000)], *SOLD)
    answer = why_outcome(log.source, log.position("outcome"))
    assert answer.code is Code.OUTCOME_PAYS
    reason = answer.find(Code.OUTCOME_AMOUNT)
    assert reason.text == (
        "10.999 USDC is the price of 8.00 USDC and 10 % of 29.990005 USDC, which is 2.999 USDC"
    )
    assert reason.numbers["share_units"] == 2_999_000
    touch, moved = log.position("touch"), log.position("lead.transition", 1)
    assert answer.find(Code.OUTCOME_TOUCH).positions == (touch,)
    assert answer.find(Code.OUTCOME_TRANSITION).positions == (moved,)


def test_an_outcome_is_stated_anchored_and_paid_in_turn() -> None:
    log = SmallLog([deal()], *SOLD)
    outcome = log.position("outcome")

    def codes() -> set[str]:
        return why_outcome(log.source, outcome).codes()

    assert Code.NOT_STATED in codes()
    log.add(3000, Settle())
    log.source = type(log.source)(log.records, log.world, 3000)
    stated = log.position("settlement")
    assert why_outcome(log.source, outcome).find(Code.STATED).positions == (stated,)
    assert {Code.NOT_ANCHORED, Code.NOT_PAID} <= codes()
    log.source.anchored = stated + 1
    assert Code.ANCHORED in codes()
    log.add(*payout(4000, 3 * USDC))
    log.source = type(log.source)(log.records, log.world, 4000)
    part = why_outcome(log.source, outcome).find(Code.PAID_IN_PART)
    assert "3.00 USDC of the 8.00 USDC" in part.text
    log.add(*payout(5000, 5 * USDC))
    log.source = type(log.source)(log.records, log.world, 5000)
    assert why_outcome(log.source, outcome).find(Code.PAID).positions == (len(log.records) - 1,)


def test_the_statement_is_the_first_behind_the_outcome() -> None:
    more = [touched(2600), reported(2700), (3000, Settle()), reported(3100), (4000, Settle())]
    log = SmallLog([deal(repeatable=True)], *SOLD, (2500, Settle()), *more)
    found = [
        why_outcome(log.source, log.position("outcome", nth)).find(Code.STATED).positions
        for nth in range(3)
    ]
    assert found == [(log.position("settlement", nth),) for nth in range(3)]


def test_what_is_stated_no_more_says_so() -> None:
    log = SmallLog([deal(statements_until_ms=5000)], *SOLD, now_ms=5001)
    reason = why_outcome(log.source, log.position("outcome")).find(Code.NEVER_STATED)
    assert "takes none of outcomes after 1970-01-01 00:00:05 UTC" in reason.text
    closing = (3000, CloseContract(word("ann"), 2500, word("closing")))
    log = SmallLog([deal()], *SOLD, closing)
    reason = why_outcome(log.source, log.position("outcome")).find(Code.NEVER_STATED)
    assert "closed" in reason.text


def test_an_outcome_past_the_budget_says_what_it_would_have_paid() -> None:
    log = SmallLog([deal(budget_units=5 * USDC)], *SOLD)
    answer = why_outcome(log.source, log.position("outcome.over"))
    assert answer.code is Code.OUTCOME_OVER_BUDGET
    assert answer.numbers == {"over_units": 8 * USDC, "budget_units": 5 * USDC}
    assert "8.00 USDC on top of what had been earned" in answer.text


@pytest.mark.parametrize(
    ("now_ms", "code"), [(12_000, Code.REVERSIBLE), (12_001, Code.NOT_REVERSIBLE)]
)
def test_an_outcome_can_be_taken_back_until_no_event_can_come(now_ms: int, code: Code) -> None:
    # 5 s of holdback after the event at 2 s, and 5 s in which events may be late.
    log = SmallLog([deal(holdback_period_ms=5000)], *SOLD, now_ms=now_ms)
    answer = why_outcome(log.source, log.position("outcome"))
    assert code in answer.codes()


def test_a_state_without_reversals_is_safe() -> None:
    governing = policy(reversals=[])
    log = SmallLog([deal(governing=governing)], *SOLD, governing=governing)
    reason = why_outcome(log.source, log.position("outcome")).find(Code.NOT_REVERSIBLE)
    assert reason.text == "no event of the policy takes outcomes into 'paid' back"


def test_a_reversal_is_answered_by_its_outcome() -> None:
    log = SmallLog([deal(holdback_period_ms=5000)], *SOLD, reported(2500, "refund"))
    answer = why_outcome(log.source, log.position("outcome.reversed"))
    assert answer == why_outcome(log.source, log.position("outcome"))
    assert answer.text.endswith("pays 8.00 USDC, of which 8.00 USDC was taken back")
    event, reversal = log.position("product.event"), log.position("outcome.reversed")
    assert answer.find(Code.REVERSED).positions == (event, reversal)
    assert answer.find(Code.NOT_REVERSIBLE).text == "all of it was taken back"


def test_those_that_lost_are_named() -> None:
    deals = [deal(), deal("bob", operator=BOB)]
    log = SmallLog(deals, touched(400), touched(500, BOB), SIGNUP, reported(2000))
    answer = why_outcome(log.source, log.position("outcome"))
    assert answer.find(Code.OTHER_TOUCH_FIRST).subject == word("bob")
    assert Code.RIVAL_WON not in answer.codes()


def test_what_is_no_outcome_is_refused() -> None:
    log = SmallLog([deal(governing=FIRST)], *SOLD)
    with pytest.raises(WhyError) as caught:
        why_outcome(log.source, log.position("touch"))
    assert caught.value.code == "not-an-outcome"
    log.world.contracts.clear()
    with pytest.raises(WhyError) as caught:
        why_outcome(log.source, log.position("outcome"))
    assert caught.value.code == "contract-unknown"
