"""Teams share customers by leases and messages; partners share pay by what both have signed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.accounts import OperatorClient
from orchestrator.client.boards import Board
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.deals.split import Agreement
from orchestrator.simulation.market.residents import Strategy
from orchestrator.simulation.market.surfaces import TRIAL
from orchestrator.simulation.market.teams import CLOSER, FIRST_BPS, SCOUT, Team, agreed
from tests.support.api_service import wallet
from tests.support.living_market import Stage, running_stage

PAIR = Strategy("pair", "Pair", TRIAL, ("email",))
FACTORY = wallet("factory").address


@pytest.fixture(scope="module")
def stage(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("stage")
    with running_stage(module_database_url, folder) as running:
        running.live(3)
        yield running


@pytest.fixture(scope="module")
def client(stage: Stage) -> Iterator[OperatorClient]:
    with OperatorClient(stage.service.url, wallet("pair"), "pair") as one:
        yield one


@pytest.fixture(scope="module")
def team(stage: Stage, client: OperatorClient) -> Iterator[Team]:
    """A team whose first contract is open."""
    found = Team(client, PAIR, "seed")
    found.step(stage.service.clock.now_ms)
    stage.live()
    stage.open_signed(client)
    yield found
    found.close()


def said(client: OperatorClient, surface: str) -> Counter[str]:
    messages, _ = Board(client, surface).messages()
    return Counter(each["kind"] for each in messages)


def names(client: OperatorClient) -> list[str]:
    """Return the names of the delegates' keys that are live."""
    keys = client.get("/v1/keys")["keys"]
    return [key["name"] for key in keys if key["parent"] and key["revoked_ms"] is None]


def test_what_the_scout_finds_the_closer_acts_on(
    stage: Stage, client: OperatorClient, team: Team
) -> None:
    now_ms, surface = stage.service.clock.now_ms, stage.owner.surfaces[TRIAL.name]
    team.step(now_ms)
    found = said(client, surface)
    assert found["claim"] == found["handover"] == team.at_once
    assert found["result"] == 0
    (leases, holders) = leases_of(client, surface)
    assert {*holders} == {CLOSER}
    team.step(now_ms)
    assert said(client, surface)["result"] == team.at_once
    stage.service.heard_size()
    told = stage.service.get("/v1/log/events", after=0, operator=client.address, kinds="touch")
    assert {each["subject"] for each in told["events"]} == {*leases}
    # What was acted on is free again.
    assert not {*leases} & {*leases_of(client, surface)[0]}
    assert sorted(names(client)) == sorted([SCOUT, CLOSER])


def leases_of(client: OperatorClient, surface: str) -> tuple[list[str], list[Any]]:
    held = client.get(f"/v1/boards/{surface}/leases")["leases"]
    return [each["item"] for each in held], [each["holder_name"] for each in held]


def test_what_the_contract_has_no_room_for_is_given_back(
    stage: Stage, client: OperatorClient, team: Team
) -> None:
    surface = stage.owner.surfaces[TRIAL.name]
    before = said(client, surface)
    team.work(stage.service.clock.now_ms + DAY_MS, has_room=True)
    results = said(client, surface)["result"]
    team.work(stage.service.clock.now_ms + DAY_MS, has_room=False)
    after = said(client, surface)
    assert after["release"] == after["handover"] - results > 0
    assert after["result"] == results
    assert before["release"] == 0
    assert leases_of(client, surface)[0] == []


def test_a_team_that_begins_again_or_whose_keys_have_ended_makes_others(
    stage: Stage, client: OperatorClient, team: Team
) -> None:
    now_ms = stage.service.clock.now_ms + 3 * DAY_MS
    again = Team(client, PAIR, "seed")
    again.step(now_ms)
    assert sorted(names(client)) == sorted([SCOUT, CLOSER])
    # The keys that the first had are revoked by that: it makes its own again.
    team.work(now_ms, has_room=True)
    team.work(now_ms, has_room=True)
    assert sorted(names(client)) == sorted([SCOUT, CLOSER])
    again.close()


def test_partners_are_paid_by_shares_that_both_have_signed(client: OperatorClient) -> None:
    with OperatorClient("http://127.0.0.1:9", wallet("other"), "other") as other:
        agreement = agreed(31_337, FACTORY, client, other)
        again = agreed(31_337, FACTORY, client, other)
    shares = {share.payee: share.bps for share in agreement.split.shares}
    assert shares == {client.address: FIRST_BPS, other.address: 10_000 - FIRST_BPS}
    assert agreement.unsigned == []
    # After a restart it is the same address, or what was earned would be lost to them.
    assert again.address == agreement.address
    assert Agreement.from_json(agreement.to_json()) == agreement
