"""A contract before a transition stands as `decide` had it, on any history."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import RequestError, WhyError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import advance
from orchestrator.core.log.entry import unpack_outcome
from orchestrator.core.log.opening import Record
from orchestrator.core.surface import attribution
from orchestrator.core.why.lead import why_lead
from orchestrator.core.why.reason import Code
from orchestrator.core.why.story import Market, read_story
from orchestrator.core.why.touch import why_touch
from orchestrator.core.world.requests import CloseContract, OpenContract, PublishPolicy
from orchestrator.core.world.world import World
from tests.support.why_market import SmallLog, deal
from tests.support.why_source import MemorySource
from tests.support.worlds import (
    LEADS,
    OWNER,
    SURFACE,
    begin,
    contract_lists,
    policy,
    request_lists,
    seeds,
    word,
)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Record], World]:
    """Draw a log in which contracts open, compete, are closed, and a policy may follow another."""
    random = draw(seeds)
    governing = policy(attribution=random.choice(["first_touch", "last_touch"]))
    contracts = draw(contract_lists(governing))
    late = contracts.pop() if random.random() < 0.5 else None
    steps: list[tuple[int, Any]] = [*draw(request_lists(contracts))]
    half = steps[len(steps) // 2][0]
    if late is not None:
        steps.insert(len(steps) // 2, (half, OpenContract(late, word("late"))))
    if random.random() < 0.3:
        closing = CloseContract(contracts[0].contract_id, half, word("closing"))
        steps.insert(len(steps) * 3 // 4, (steps[len(steps) * 3 // 4][0], closing))
    if random.random() < 0.3:
        # It is refused while a contract binds, which is as good.
        steps.append((steps[-1][0], PublishPolicy(SURFACE, OWNER, policy(lateness_s=6))))
    world, records = begin(governing, *contracts)
    for now, request in steps:
        try:
            records += decide(world, request, now)
        except RequestError:
            continue
    return records, world


def able_by_fold(world: World, record: Record) -> dict[bytes, int]:
    """Return the touches by which contracts may claim a transition, as the fold has it."""
    entry = record.entry
    lead, model = world.leads[entry.subject], world.surfaces[entry.surface].policy.attribution
    found = {}
    for contract in world.rivals(entry.surface, entry.label, entry.time_ms):
        history = lead.touches.get(contract.rules.operator)
        if history is None or contract.rules.contract_id in lead.counted:
            continue
        touch = attribution.qualifying_touch(history.touches, contract.rules, entry.time_ms, model)
        if touch is not None:
            found[contract.rules.contract_id] = touch.position
    return found


@given(markets())
def test_contracts_stand_as_the_fold_has_them(market: tuple[list[Record], World]) -> None:
    records, world = market
    source = MemorySource(records, world, world.time_ms)
    told = {lead: read_story(source, SURFACE, lead) for lead in world.leads}
    fold = World(policies=world.policies, settings=world.settings, rules=world.rules)
    for position, record in enumerate(records):
        if record.entry.kind == "lead.transition":
            placed = source.records[position]
            rivals = told[record.entry.subject].rivals(placed)
            able = {
                one.contract.rules.contract_id: one.touch.position for one in rivals if one.touch
            }
            assert able == able_by_fold(fold, record)
            assert all((one.barred is None) == (one.touch is not None) for one in rivals)
        advance(fold, record)


@given(markets())
def test_what_the_log_paid_is_what_an_answer_says(market: tuple[list[Record], World]) -> None:
    records, world = market
    source = MemorySource(records, world, world.time_ms)
    won: dict[int, str] = {}
    for record in records:
        if record.entry.kind == "outcome.over":
            won.setdefault(unpack_outcome(record.entry.payload).touch, "touch-over-budget")
        if record.entry.kind == "outcome":
            won[unpack_outcome(record.entry.payload).touch] = "touch-won"
    for position, record in enumerate(records):
        if record.entry.kind == "touch":
            answer = why_touch(source, position)
            assert Code.LOG_DIFFERS not in answer.codes()
            wanted = won.get(position)
            assert (
                answer.code == wanted
                if wanted
                else answer.code in (Code.TOUCH_LOST, Code.TOUCH_OPEN)
            )
    for lead in world.leads:
        assert Code.LOG_DIFFERS not in why_lead(source, SURFACE, lead).codes()


def test_a_market_needs_a_policy() -> None:
    world, records = begin(policy())
    with pytest.raises(WhyError, match="has published no policy") as caught:
        Market(MemorySource(records, world, 0), word("elsewhere"))
    assert caught.value.code == "surface-unknown"


def test_a_lead_of_which_the_log_says_nothing_has_no_story() -> None:
    world, records = begin(policy())
    with pytest.raises(WhyError) as caught:
        read_story(MemorySource(records, world, 0), SURFACE, LEADS[0])
    assert caught.value.code == "lead-unknown"


def test_contracts_of_others_do_not_compete() -> None:
    governing = policy()
    own, other = deal("own"), deal("other", owner=word("stranger"))
    market = Market(SmallLog([own, other], governing=governing).source, SURFACE)
    assert [one.rules.contract_id for one in market.contracts] == [own.contract_id]


def test_the_policy_in_force_is_that_before_a_position() -> None:
    first, second = policy(), policy(lateness_s=7)
    world, records = begin(first)
    records += decide(world, PublishPolicy(SURFACE, OWNER, second), 10)
    market = Market(MemorySource(records, world, 0), SURFACE)
    last = len(records) - 1
    assert market.policy_at(last) is first or market.policy_at(last).hash == first.hash
    assert market.policy_at(last + 1).hash == second.hash
    assert market.policy_in_force().hash == second.hash
