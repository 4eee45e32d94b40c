"""The sandbox's owner: it signs what is sensible, and keeps its offers standing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.accounts import OperatorClient, OwnerClient
from orchestrator.client.deals import draft, propose, served_pins
from orchestrator.simulation.market.owner import MarketOwner
from orchestrator.simulation.market.surfaces import TRIAL
from tests.support.api_service import ESCROW, TOKEN, ApiService, running_service, wallet


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url) as running:
        yield running


@pytest.fixture
def owner(service: ApiService, tmp_path: Path) -> Iterator[MarketOwner]:
    with OwnerClient(service.url, wallet("owner"), "owner") as client:
        owner = MarketOwner(client, ESCROW, TOKEN, tmp_path)
        owner.open_surface(TRIAL)
        owner.keep_offers(TRIAL)
        yield owner


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "accepted"),
        ({"price": "5.00"}, "accepted"),
        ({"price": "8.01"}, "countered"),
        ({"at_most": 26}, "countered"),
        ({"window": "30 days"}, "countered"),
        ({"claims": "30 days", "arbiter": TOKEN}, "countered"),
        ({"closes_in": "90 days"}, "countered"),
        ({"share": "10 %", "at_most": None, "budget": "40.00"}, "countered"),
        ({"outcome": "signed_up"}, "proposed"),
    ],
)
def test_a_proposal_is_judged_by_the_offer(
    service: ApiService, owner: MarketOwner, changes: dict[str, Any], status: str
) -> None:
    deal = {"outcome": "activated", "price": "8.00", "at_most": 5} | changes
    surface = owner.surfaces[TRIAL.name]
    with OperatorClient(service.url, wallet("operator"), "agent") as agent:
        pins = served_pins(agent)
        contract = propose(agent, pins, draft(agent, pins, surface, deal).terms).contract
        owner.answer_proposals(None, service.clock.now_ms // 1000)
        found = agent.get(f"/v1/proposals/{contract}")
    if status == "countered":
        assert found["status"] == "declined"
        assert found["counter"]["unit_price_units"] == "8000000"
        assert found["counter"]["revenue_share_bps"] == 0
    else:
        assert (found["status"], found["counter"]) == (status, None)


def test_the_cursor_passes_what_was_answered(service: ApiService, owner: MarketOwner) -> None:
    after = owner.answer_proposals(None, service.clock.now_ms // 1000)
    assert after is not None
    assert owner.answer_proposals(after, service.clock.now_ms // 1000) == after


def test_offers_that_have_ended_are_published_anew(service: ApiService, owner: MarketOwner) -> None:
    path = f"/v1/surfaces/{owner.surfaces[TRIAL.name]}/offers"
    offers = list(owner.client.pages(path, "offers"))
    owner.keep_offers(TRIAL)
    assert list(owner.client.pages(path, "offers")) == offers
    owner.client.post(f"{path}/{offers[0]['offer']}/withdraw", {})
    owner.keep_offers(TRIAL)
    after = [each["status"] for each in owner.client.pages(path, "offers")]
    assert after.count("open") == len(TRIAL.offers)
    assert len(after) == len(offers) + 1
