"""Residents: they are hired by the owner's rules, act within bounds, and go on after a restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.accounts import OperatorClient
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.units import DAY_MS
from orchestrator.simulation.market import residents
from orchestrator.simulation.market.customers import is_residents
from orchestrator.simulation.market.market import MOST_FRESH
from orchestrator.simulation.market.residents import (
    PATIENCE_MS,
    REST_MS,
    Population,
    Resident,
    Strategy,
)
from orchestrator.simulation.market.surfaces import SHOP, TRIAL
from tests.support.api_service import wallet
from tests.support.depth import PROFILE
from tests.support.living_market import Stage, running_stage

EMAIL = Strategy("emails", "Emails", TRIAL, ("call", "email"))
TRIALS = Strategy("trials", "Trials", TRIAL, ("extend_trial",))
SHOPS = Strategy("shops", "Shops", SHOP, ("email",))
# A market that only fills up is dead by the tenth day.
DAYS, LAST_DAYS, STEPS_A_DAY = (60, 10, 4) if PROFILE == "deep" else (14, 4, 2)


@pytest.fixture(scope="module")
def stage(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("stage")
    with running_stage(module_database_url, folder) as running:
        running.live(3)
        yield running


@pytest.fixture
def client(stage: Stage, request: pytest.FixtureRequest) -> Iterator[OperatorClient]:
    """A wallet of its own for each test."""
    name = request.node.name[-30:]
    with OperatorClient(stage.service.url, wallet(name), name) as one:
        yield one


def hired(stage: Stage, resident: Resident) -> Any:
    """Let a resident begin until its first contract is open; return what it proposed."""
    resident.step(stage.service.clock.now_ms)
    stage.live()
    # It waits for the owner's signature, and for the opening.
    resident.step(stage.service.clock.now_ms)
    return stage.open_signed(resident.client)


def touches(stage: Stage, client: OperatorClient) -> list[str]:
    """Return the customers that an operator has touched, in the order of the log."""
    stage.service.decide_waiting()
    stage.service.heard_size()
    found = stage.service.get("/v1/log/events", after=0, operator=client.address, kinds="touch")
    return [each["subject"] for each in found["events"]]


def test_a_resident_is_hired_by_the_owners_rules_and_acts_within_bounds(
    stage: Stage, client: OperatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before its contract ends.
    monkeypatch.setattr(residents, "VISITORS_MS", 2 * PATIENCE_MS)
    resident = Resident(client, EMAIL, "seed")
    proposal = hired(stage, resident)
    assert 5_600_000 <= int(proposal["terms"]["unit_price_units"]) <= 8_000_000
    assert client.get("/v1/profile")["display_name"] == EMAIL.title
    clock = stage.service.clock
    resident.step(clock.now_ms)
    assert len(touches(stage, client)) == resident.at_once
    resident.at_once = 1_000
    for _ in range(3):
        clock.now_ms += 1_000  # or a repeat would be the very same request
        resident.step(clock.now_ms)
    found = touches(stage, client)
    # Each customer once in its time, however often it looks, and no customer of the visitors'.
    waiting = [lead.lead for lead in client.leads(resident.surface, TRIAL.initial)]
    assert sorted(found) == [lead for lead in sorted(waiting) if is_residents(lead)]
    assert len(found) < len(waiting)
    assert len(list(client.pages("/v1/proposals", "proposals"))) == 1
    clock.now_ms += PATIENCE_MS
    resident.step(clock.now_ms)
    assert touches(stage, client) == [*found, *found]
    # Those that no visitor has turned to meanwhile are anyone's.
    clock.now_ms += PATIENCE_MS
    resident.step(clock.now_ms)
    assert set(touches(stage, client)) == set(waiting)


def test_a_resident_that_begins_again_goes_on_with_its_contract(
    stage: Stage, client: OperatorClient
) -> None:
    proposal = hired(stage, Resident(client, TRIALS, "seed"))
    again, clock = Resident(client, TRIALS, "seed"), stage.service.clock
    again.step(clock.now_ms)
    stage.service.decide_waiting()
    path = f"/v1/surfaces/{stage.owner.surfaces[TRIAL.name]}/actions"
    assert {one["action"] for one in client.pages(path, "actions")} == {"extend_trial"}
    assert len(list(client.pages("/v1/proposals", "proposals"))) == 1
    # The next contract is proposed when the first has ended, at the same price.
    clock.now_ms = proposal["terms"]["deadline_s"] * 1000
    again.step(clock.now_ms)
    *_, second = client.pages("/v1/proposals", "proposals")
    assert second["contract_id"] != proposal["contract_id"]
    assert second["terms"]["unit_price_units"] == proposal["terms"]["unit_price_units"]


def test_a_surface_that_has_had_half_of_its_customers_is_left_to_visitors(
    stage: Stage, client: OperatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residents, "MAX_CUSTOMERS", 2)
    Resident(client, EMAIL, "seed").step(stage.service.clock.now_ms)
    assert not list(client.pages("/v1/proposals", "proposals"))


def test_after_an_error_a_resident_rests_and_the_next_goes_on(
    stage: Stage, client: OperatorClient
) -> None:
    now_ms = stage.service.clock.now_ms
    with OperatorClient("http://127.0.0.1:9", wallet("nowhere"), "nowhere") as nowhere:
        population = Population([Resident(nowhere, EMAIL, "seed"), Resident(client, EMAIL, "seed")])
        with pytest.raises(ServerError, match="did not answer"):
            population.step(now_ms)
        population.step(now_ms)
        assert len(list(client.pages("/v1/proposals", "proposals"))) == 1
        population.step(now_ms + REST_MS - 1)
        population.step(now_ms)
        with pytest.raises(ServerError, match="did not answer"):
            population.step(now_ms + REST_MS)


def test_a_contract_that_can_pay_no_more_is_worked_on_no_more() -> None:
    rules = {"budget_units": "24", "unit_price_units": "8"}
    for earned, reversed_, has_room in (
        (16, 0, True),
        (17, 0, False),
        (24, 0, False),
        (24, 8, True),
    ):
        contract = {"rules": rules, "earned_units": str(earned), "reversed_units": str(reversed_)}
        assert residents.has_room(contract) == has_room


def test_what_is_drawn_differs_by_seed_and_never_passes_the_offer() -> None:
    deals = [EMAIL.deal(str(seed)) for seed in range(40)]
    assert len({deal["price"] for deal in deals}) > 20
    assert {deal["at_most"] for deal in deals} == {4, 5, 6, 7, 8}
    assert all(5.6 <= float(str(deal["price"])) <= 8 for deal in deals)
    assert EMAIL.deal("7") == deals[7]
    assert DAY_MS == PATIENCE_MS


def test_a_market_without_visitors_lives_on(database_url: str, tmp_path: Path) -> None:
    with (
        running_stage(database_url, tmp_path) as stage,
        OperatorClient(stage.service.url, wallet("trials"), "trials") as trials,
        OperatorClient(stage.service.url, wallet("shops"), "shops") as shops,
    ):
        stage.live(3)
        clock, begun_ms = stage.service.clock, stage.service.clock.now_ms
        living = [Resident(trials, EMAIL, "seed"), Resident(shops, SHOPS, "seed")]
        for one in living:
            one.at_once = 10
        opened: set[str] = set()
        for step in range(DAYS * STEPS_A_DAY):
            clock.now_ms = max(clock.now_ms, begun_ms + step * DAY_MS // STEPS_A_DAY)
            for one in living:
                one.step(clock.now_ms)
            stage.live()
            for one in living:
                *_, newest = one.client.pages("/v1/proposals", "proposals")
                if newest["status"] == "accepted" and newest["contract_id"] not in opened:
                    opened.add(newest["contract_id"])
                    stage.open_signed(one.client)
        since_ms = begun_ms + (DAYS - LAST_DAYS) * DAY_MS
        for one in living:
            outcomes = _outcomes(stage, one.client, since_ms)
            fresh = list(one.client.leads(one.surface, one.strategy.surface.initial))
            assert outcomes >= LAST_DAYS // 2, (one.strategy.name, outcomes)
            assert len(fresh) <= MOST_FRESH


def _outcomes(stage: Stage, client: OperatorClient, since_ms: int) -> int:
    """Return how many outcomes of an operator the log has since a time."""
    after, found = 0, []
    while True:
        page = stage.service.get(
            "/v1/log/events", after=after, operator=client.address, kinds="outcome", limit=1000
        )
        found += page["events"]
        if not page["events"]:
            return sum(each["time_ms"] >= since_ms for each in found)
        after = page["next"]
