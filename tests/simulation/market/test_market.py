"""The market: customers arrive and respond, the owner answers, and a restart goes on."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.client.accounts import OperatorClient, OwnerClient
from orchestrator.core.units import DAY_MS
from orchestrator.simulation.market.market import FRESH, Market
from orchestrator.simulation.market.owner import MarketOwner
from orchestrator.simulation.market.surfaces import SHOP, TRIAL
from tests.support.api_service import (
    ESCROW,
    TOKEN,
    ApiService,
    give_level,
    running_service,
    wallet,
)

OPERATOR = wallet("operator")


class Stage(NamedTuple):
    """A market at a service, and what it needs to begin once more."""

    service: ApiService
    owner: MarketOwner
    market: Market
    path: Path

    def live(self, steps: int = 1) -> None:
        """Let the market live on; its requests are decided before the next step."""
        for _ in range(steps):
            self.market.step(self.service.clock.now_ms)
            self.service.decide_waiting()

    def states(self) -> Counter[str]:
        """Return how many customers of the trial are in each state."""
        path = f"/v1/surfaces/{self.owner.surfaces[TRIAL.name]}/leads"
        return Counter(lead["state"] for lead in self.owner.client.pages(path, "leads"))


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with (
        running_service(database_url) as service,
        OwnerClient(service.url, wallet("owner"), "owner") as client,
    ):
        owner = MarketOwner(client, ESCROW, TOKEN, tmp_path)
        market = Market(owner, tmp_path / "market.json", "seed")
        yield Stage(service, owner, market, tmp_path / "market.json")


def test_customers_arrive_until_there_are_enough(stage: Stage) -> None:
    stage.live(6)
    assert stage.states() == {"signed_up": FRESH}
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
        stage.live()
        assert stage.states() == {"signed_up": FRESH}  # nothing happens at once
        stage.service.clock.now_ms += DAY_MS // 4
        stage.live()
        activated = stage.states()["activated"]
        # By chance 14 of 40; the seed says how many.
        assert 5 <= activated <= 25
        # What is planned outlives a restart, and what was told is not told again.
        told = json.loads(stage.path.read_text())
        again = Market(stage.owner, stage.path)
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
