"""The market: customers arrive and respond, the owner answers, and a restart goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.accounts import OperatorClient
from orchestrator.core.common.units import DAY_MS
from orchestrator.simulation.market.customers import is_residents
from orchestrator.simulation.market.market import (
    MOST_FRESH,
    RESIDENTS_FRESH,
    VISITORS_FRESH,
    LivingMarket,
)
from orchestrator.simulation.market.surfaces import SHOP, TRIAL
from tests.support.api_service import give_level, wallet
from tests.support.living_market import Stage, running_stage

OPERATOR = wallet("operator")


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with running_stage(database_url, tmp_path) as running:
        yield running


def test_customers_arrive_until_there_are_enough(stage: Stage) -> None:
    stage.live(8)
    fresh = stage.owner.leads(TRIAL, TRIAL.initial)
    theirs = sum(is_residents(lead["lead"]) for lead in fresh)
    is_enough = theirs >= RESIDENTS_FRESH and len(fresh) - theirs >= VISITORS_FRESH
    assert is_enough or len(fresh) == MOST_FRESH
    assert stage.states() == {"signed_up": len(fresh)}
    assert len(fresh) <= MOST_FRESH
    assert stage.owner.surfaces.keys() == {TRIAL.name, SHOP.name}
    before = json.loads(stage.path.read_text())
    stage.live(2)
    assert json.loads(stage.path.read_text())["arrived"] == before["arrived"]


def test_customers_respond_to_what_agents_do(stage: Stage) -> None:
    stage.live(6)
    surface = stage.owner.surfaces[TRIAL.name]
    give_level(stage.service, surface, OPERATOR)
    with OperatorClient(stage.service.url, OPERATOR, "agent") as agent:
        agent.touch(surface, agent.leads(surface, "signed_up"), "email", "first")
        stage.service.decide_waiting()
        before = stage.states()
        stage.live()
        assert stage.states().keys() == before.keys() == {"signed_up"}  # nothing happens at once
        stage.service.clock.now_ms += DAY_MS // 4
        stage.live()
        activated = stage.states()["activated"]
        # By chance a third of some fifty; the seed and their number say how many.
        assert 5 <= activated <= 40
        # What is planned outlives a restart, and what was told is not told again.
        told = json.loads(stage.path.read_text())
        again = LivingMarket(stage.owner, stage.path)
        again.step(stage.service.clock.now_ms)
        stage.service.decide_waiting()
        assert stage.states()["activated"] == activated
        assert json.loads(stage.path.read_text())["seed"] == told["seed"]


def test_a_requested_action_is_taken_and_works(stage: Stage) -> None:
    stage.live(6)
    surface = stage.owner.surfaces[TRIAL.name]
    give_level(stage.service, surface, OPERATOR)
    with OperatorClient(stage.service.url, OPERATOR, "agent") as agent:
        for lead in agent.leads(surface, "signed_up")[:20]:
            agent.request_action(surface, lead.lead, "extend_trial", lead.lead[:20], wait_s=10)
        stage.live()
        actions = list(agent.pages(f"/v1/surfaces/{surface}/actions", "actions"))
        assert {(one["state"], one["result"]["days"]) for one in actions} == {("taken", 7)}
        stage.service.clock.now_ms += DAY_MS // 2
        stage.live()
        assert 3 <= stage.states()["activated"] <= 18
