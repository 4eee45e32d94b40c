"""The reasons of leads: their paths, and at each step what barred every contract."""

import pytest

from orchestrator.core.common.errors import ReplayError, WhyError
from orchestrator.core.decisions.replay import replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.opening import Record
from orchestrator.core.why.lead import why_lead, why_step
from orchestrator.core.why.reason import Code
from orchestrator.core.world.requests import Arrival, Erasure, IssueCode, ProductEvent
from tests.support.why_market import (
    ANN,
    BOB,
    SIGNUP,
    USDC,
    SmallLog,
    deal,
    reported,
    touched,
)
from tests.support.worlds import LEADS, OWNER, SURFACE, word

X = LEADS[0]


def test_a_path_is_told_step_by_step() -> None:
    steps = [touched(500), SIGNUP, reported(2000), reported(2500, "lapse")]
    log = SmallLog([deal()], *steps)
    answer = why_lead(log.source, SURFACE, X)
    assert "'new' → 'trial' → 'paid' → 'new', with 1 touch by 1 operator" in answer.text
    assert [part.code for part in answer.parts] == [
        Code.TRANSITION_UNPAID,
        Code.TRANSITION_PAID,
        Code.EVENT_TOOK_NOTHING,
        Code.TRANSITION_UNPAID,
    ]
    moves = [log.position("lead.transition", nth) for nth in range(3)]
    assert answer.positions == tuple(moves)
    assert answer.parts[1].positions == (moves[1], log.position("outcome"))
    assert "from 'trial' to 'paid' at 1970-01-01 00:00:02 UTC" in answer.parts[1].text


def test_a_lead_that_a_code_brought_says_whose() -> None:
    issue = IssueCode(SURFACE, word("code"), ANN, 2, 50_000, *(bytes(32),) * 2)
    came = Arrival(SURFACE, X, word("code"), False, False, "signup", 0, 1000)
    log = SmallLog([deal(outcome="trial")], (500, issue), (1000, came))
    answer = why_lead(log.source, SURFACE, X)
    assert [part.code for part in answer.parts] == [Code.LEAD_BROUGHT, Code.TRANSITION_PAID]
    places = [log.position(kind) for kind in ("lead.registered", "code.issued", "touch.reported")]
    assert answer.parts[0].positions == tuple(places)
    assert "with 1 touch by 1 operator" in answer.text


def test_every_rival_has_its_reason() -> None:
    deals = [
        deal(),
        deal("bob", operator=BOB, attribution_window_ms=10),
        deal("past", deadline_ms=1500),
        deal("idle", operator=word("carl")),
    ]
    log = SmallLog(deals, touched(500), touched(600, BOB), SIGNUP, reported(2000))
    bought = why_step(log.source, log.position("lead.transition", 1))
    assert bought.code is Code.TRANSITION_PAID
    assert [(part.code, part.subject) for part in bought.parts] == [
        (Code.RIVAL_WON, word("ann")),
        (Code.FIRST_TOUCH_TOO_OLD, word("bob")),
        (Code.AFTER_DEADLINE, word("past")),
        (Code.UNTOUCHED, b""),
    ]
    assert bought.parts[3].numbers == {"contracts": 1}


def test_a_transition_without_a_contract_says_so() -> None:
    log = SmallLog([deal("bob", operator=BOB)], SIGNUP)
    answer = why_step(log.source, log.position("lead.transition"))
    assert answer.code is Code.TRANSITION_UNPAID
    assert "the owner has opened none for state 'trial'" in answer.text


def test_an_outcome_past_the_budget_is_told() -> None:
    log = SmallLog([deal(budget_units=5 * USDC)], touched(500), SIGNUP, reported(2000))
    answer = why_step(log.source, log.position("lead.transition", 1))
    assert answer.code is Code.TRANSITION_OVER_BUDGET
    reason = answer.find(Code.RIVAL_OVER_BUDGET)
    assert "its budget of 5.00 USDC had no room for 8.00 USDC" in reason.text
    assert reason.positions == (log.position("touch"), log.position("outcome.over"))


def test_a_refused_event_names_the_policy() -> None:
    log = SmallLog([deal()], reported(2000))
    answer = why_step(log.source, log.position("lead.refused"))
    assert answer.code is Code.TRANSITION_REFUSED
    assert "no way there from 'new'" in answer.text
    assert answer.positions == (log.position("lead.refused"), log.position("policy.published"))


def test_a_refund_tells_what_it_took() -> None:
    steps = [touched(500), SIGNUP, reported(2000), reported(2500, "refund")]
    log = SmallLog([deal(holdback_period_ms=5000)], *steps)
    event = log.position("product.event")
    answer = why_step(log.source, event)
    assert answer.code is Code.EVENT_TOOK
    assert "took 8.00 USDC back" in answer.text
    bought = log.position("lead.transition", 1)
    assert answer.positions == (event, bought, log.position("outcome.reversed"))


def test_a_refund_that_comes_late_took_nothing() -> None:
    steps = [touched(500), SIGNUP, reported(2000), reported(2500, "refund")]
    log = SmallLog([deal(holdback_period_ms=100)], *steps)
    answer = why_step(log.source, log.position("product.event"))
    assert answer.code is Code.EVENT_TOOK_NOTHING
    assert "its holdback period had passed" in answer.text


def test_a_refund_of_another_order_than_the_paid_one_is_told_of_its_order() -> None:
    def ordered(name: str, at: int, event: str = "buy") -> tuple[int, ProductEvent]:
        now, request = reported(at, event)
        assert isinstance(request, ProductEvent)
        return now, request._replace(order=word(name))

    # The first purchase is refused, since it comes before the lead has signed up.
    log = SmallLog(
        [deal(holdback_period_ms=5000)],
        *(touched(500), ordered("early", 600), SIGNUP, ordered("paid", 2000)),
        ordered("early", 2500, "refund"),
    )
    answer = why_step(log.source, log.position("product.event"))
    assert answer.code is Code.EVENT_TOOK_NOTHING
    # An outcome of the lead was open all the same.
    assert "nothing of its order was open to it, because the policy refused" in answer.text
    assert "no outcome" not in answer.text


def test_an_erased_lead_is_told_of() -> None:
    log = SmallLog([deal()], touched(500), (600, Erasure(SURFACE, X, OWNER)))
    assert "erased" in why_step(log.source, log.position("erasure")).text


def test_a_log_that_pays_another_is_contradicted_as_the_replay_does() -> None:
    deals = [deal(), deal("bob", operator=BOB)]
    log = SmallLog(deals, touched(500), touched(600, BOB), SIGNUP, reported(2000))
    paid = log.position("outcome")
    honest = log.records[paid]
    log.records[paid] = Record(honest.entry._replace(actor=word("bob")))
    log.source.records[paid] = log.source.records[paid]._replace(record=log.records[paid])
    answer = why_step(log.source, log.position("lead.transition", 1))
    assert answer.find(Code.LOG_DIFFERS)
    documents = Documents(
        log.world.policies.__getitem__, log.world.settings.__getitem__, log.world.rules.__getitem__
    )
    with pytest.raises(ReplayError):
        replay(log.records, documents)
    log.records[paid] = honest
    replay(log.records, documents)


def test_a_log_that_keeps_an_outcome_back_is_contradicted() -> None:
    log = SmallLog([deal()], touched(500), SIGNUP, reported(2000))
    del log.source.records[log.position("outcome")]
    answer = why_step(log.source, log.position("lead.transition", 1))
    assert (answer.code, answer.parts[0].code) == (Code.TRANSITION_UNPAID, Code.LOG_DIFFERS)


def test_a_long_path_is_cut_at_its_beginning() -> None:
    steps = [SIGNUP, *[reported(2000 + n) for n in range(40)]]
    log = SmallLog([deal()], *steps)
    answer = why_lead(log.source, SURFACE, X)
    assert answer.parts[0].code is Code.CUT
    assert answer.parts[0].numbers == {"left_out": 16}
    assert answer.parts[-1].positions == (log.position("lead.transition", -1),)


def test_what_is_no_step_is_refused() -> None:
    log = SmallLog([deal()], touched(500))
    with pytest.raises(WhyError) as caught:
        why_step(log.source, log.position("touch"))
    assert caught.value.code == "not-a-step"
