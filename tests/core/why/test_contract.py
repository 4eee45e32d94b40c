"""The reasons of contracts: what they have come to, and what stands against them."""

from typing import Any

import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.why.contract import why_contract
from orchestrator.core.why.reason import Code
from orchestrator.core.world.requests import (
    CloseContract,
    OpenContract,
    PublishPolicy,
    PublishSettings,
    RecordDispute,
    RecordRuling,
    Request,
    Settle,
    SuspendOperator,
)
from tests.support.why_market import ANN, PLAIN, SIGNUP, USDC, SmallLog, deal, reported, touched
from tests.support.worlds import OWNER, SURFACE, policy, word

SOLD = [touched(500), SIGNUP, reported(2000)]
SUSPENDED = (3000, SuspendOperator(SURFACE, OWNER, ANN, "spam"))
NO_ACTIONS = (3000, PublishSettings(SURFACE, OWNER, parse_settings({**PLAIN, "actions": {}})))


def test_totals_are_told_with_their_entries() -> None:
    sold = [*SOLD, (2500, Settle()), reported(2600, "refund")]
    log = SmallLog([deal(holdback_period_ms=5000)], *sold)
    answer = why_contract(log.source, word("ann"))
    assert "pays 8.00 USDC for 'paid', up to 100.00 USDC" in answer.text
    opened, outcome = log.position("contract.opened"), log.position("outcome")
    assert answer.positions == (opened,)
    assert answer.find(Code.EARNED).positions == (outcome,)
    assert answer.find(Code.EARNED).numbers == {"outcomes": 1, "earned_units": 8 * USDC}
    reversal = log.position("outcome.reversed")
    assert answer.find(Code.REVERSED).positions == (reversal,)
    assert answer.find(Code.STATED).numbers == {"stated_units": 8 * USDC}
    assert answer.find(Code.NOT_STATED).positions == (reversal,)
    assert answer.find(Code.PAYABLE).numbers == {"payable_units": 0}
    assert answer.find(Code.CAN_EARN).numbers == {"room_units": 100 * USDC}


def test_outcomes_past_the_budget_are_told_apart() -> None:
    log = SmallLog([deal(budget_units=5 * USDC, unit_price_units=0, revenue_share_bps=9000)])
    for step in [touched(500), SIGNUP, reported(2000, value=7 * USDC)]:
        log.add(*step)
    answer = why_contract(log.source, word("ann"))
    assert answer.find(Code.OVER).numbers == {"over_units": 6_300_000}
    assert Code.CAN_EARN in answer.codes()


# By name: the contract, further steps, the time, and what rules out that it earns more.
BARRED: dict[str, tuple[Any, list[Any], int, Code]] = {
    "past its deadline": (deal(deadline_ms=5000), [], 10_001, Code.DEADLINE_PASSED),
    "closed": (
        deal(),
        [(3000, CloseContract(word("ann"), 2500, word("closing")))],
        4000,
        Code.CONTRACT_CLOSED,
    ),
    "its budget is used": (deal(budget_units=15 * USDC), SOLD, 3000, Code.BUDGET_USED),
    "of another account": (deal(owner=word("stranger")), [], 3000, Code.OWNER_OTHER),
    "of another policy": (deal(governing=policy(lateness_s=9)), [], 3000, Code.OTHER_POLICY),
    "without a price": (deal(unit_price_units=0), [], 3000, Code.TERMS_EARN_NOTHING),
    "dearer than its budget": (deal(budget_units=USDC), [], 3000, Code.TERMS_EARN_NOTHING),
    "over before it counts": (
        deal(opens_at_ms=4000, deadline_ms=3500),
        [],
        3000,
        Code.TERMS_EARN_NOTHING,
    ),
    "for a state that nothing reaches": (
        deal(outcome="nowhere"),
        [],
        3000,
        Code.TERMS_EARN_NOTHING,
    ),
}


@pytest.mark.parametrize("name", BARRED)
def test_what_rules_a_contract_out_is_named(name: str) -> None:
    contract, steps, now_ms, code = BARRED[name]
    log = SmallLog([contract], *steps, now_ms=now_ms)
    reason = why_contract(log.source, word("ann")).find(Code.CAN_EARN_NOTHING)
    barred = [
        part.code for part in reason.parts if part.code in {one[3] for one in BARRED.values()}
    ]
    assert barred == [code]
    assert all(position < len(log.records) for part in reason.parts for position in part.positions)


def test_events_of_the_last_moment_may_be_late() -> None:
    log = SmallLog([deal(deadline_ms=5000)], now_ms=10_000)
    assert Code.CAN_EARN in why_contract(log.source, word("ann")).codes()


# By name: the contract, further steps, and what stands against it for now.
SLOWED: dict[str, tuple[Any, list[Any], Code]] = {
    "not open yet": (deal(opens_at_ms=9000), [], Code.NOT_YET_OPEN),
    "suspended": (deal(), [SUSPENDED], Code.SUSPENDED),
    "no action": (deal(), [NO_ACTIONS], Code.LEVEL_TOO_LOW),
    "no lead in reach": (deal(), [], Code.NO_LEADS),
}


@pytest.mark.parametrize("name", SLOWED)
def test_what_slows_a_contract_is_named(name: str) -> None:
    contract, steps, code = SLOWED[name]
    log = SmallLog([contract], *steps)
    reason = why_contract(log.source, word("ann")).find(Code.CAN_EARN)
    assert code in {part.code for part in reason.parts}


def test_a_suspension_has_its_entry() -> None:
    log = SmallLog([deal()], SIGNUP, SUSPENDED)
    reason = why_contract(log.source, word("ann")).find(Code.SUSPENDED)
    assert reason.positions == (log.position("operator.suspended"),)


def test_leads_in_reach_are_nothing_to_speak_of() -> None:
    log = SmallLog([deal()], SIGNUP)
    assert why_contract(log.source, word("ann")).find(Code.CAN_EARN).parts == ()


def test_an_older_contract_of_the_same_operator_is_named_until_it_ends() -> None:
    first = deal("first", budget_units=15 * USDC, deadline_ms=50_000)
    sold = [touched(500), SIGNUP, reported(2000)]
    log = SmallLog([first, deal()], *sold)
    assert log.records[log.position("outcome")].entry.actor == word("first")
    why = why_contract(log.source, word("ann")).find(Code.OLDER_CONTRACT_FIRST)
    assert "7.00 USDC of its budget is left" in why.text
    assert why.numbers == {"room_units": 7 * USDC, "deadline_ms": 50_000}
    assert (why.subject, why.positions[0]) == (word("first"), log.position("contract.opened"))
    # The older one has nothing before it, and the later one neither once that has ended.
    assert Code.OLDER_CONTRACT_FIRST not in why_contract(log.source, word("first")).codes()
    log.source.now_ms = 50_001
    assert Code.OLDER_CONTRACT_FIRST not in why_contract(log.source, word("ann")).codes()


def test_a_level_below_every_action_is_named() -> None:
    levels = [{"leads_a_day": 9}, {**RESULTS, "leads_a_day": 9}]
    settings = parse_settings({**PLAIN, "actions": {"call": {"level": 2}}, "levels": levels})
    log = SmallLog([deal()], SIGNUP, (2000, PublishSettings(SURFACE, OWNER, settings)))
    reason = why_contract(log.source, word("ann")).find(Code.LEVEL_TOO_LOW)
    assert "level 1, and every action of the settings needs level 2" in reason.text


RESULTS = {
    "outcomes": 1,
    "units": "0",
    "age_s": 0,
    "reversed_bps": 0,
    "keep_reversed_bps": 0,
    "disputes_lost": 0,
}


def test_a_contract_on_no_surface_earns_nothing() -> None:
    log = SmallLog([deal()])
    log.add(10, OpenContract(deal("lost", surface=word("nowhere")), word("opening")))
    assert Code.NO_SURFACE in why_contract(log.source, word("lost")).codes()


def test_a_new_policy_leaves_a_contract_behind() -> None:
    log = SmallLog(
        [deal(deadline_ms=100)], (20_000, PublishPolicy(SURFACE, OWNER, policy(lateness_s=6)))
    )
    reason = why_contract(log.source, word("ann")).find(Code.OTHER_POLICY)
    assert reason.positions == (
        log.position("contract.opened"),
        log.position("policy.published", 1),
    )


def test_an_unknown_contract_is_refused() -> None:
    with pytest.raises(WhyError) as caught:
        why_contract(SmallLog([]).source, word("none"))
    assert caught.value.code == "contract-unknown"


def test_disputes_are_told_with_what_the_rulings_did() -> None:
    tx, ann = word("tx"), word("ann")
    told_by_chain: list[Request] = [
        RecordDispute(ann, OWNER, "owner", 8 * USDC, tx),
        RecordRuling(ann, word("arbiter"), "lowered", 5 * USDC, tx),
        RecordDispute(ann, ANN, "claims by operator", USDC, tx),
        RecordRuling(ann, word("arbiter"), "claims kept", USDC, tx),
    ]
    log = SmallLog([deal()], *SOLD, *((3000, request) for request in told_by_chain))
    found = why_contract(log.source, word("ann"))
    told = [part for part in found.parts if part.code in (Code.DISPUTED, Code.RULED)]
    assert [part.positions for part in told] == [
        (log.position(kind, nth),) for nth in (0, 1) for kind in ("dispute.opened", "dispute.ruled")
    ]
    assert "the owner disputed a statement of 8.00 USDC" in told[0].text
    assert "lowered a statement: 5.00 USDC" in told[1].text
    assert "the operator disputed claims of 1.00 USDC" in told[2].text
    assert "kept claims: 1.00 USDC" in told[3].text
