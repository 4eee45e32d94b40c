"""Agent cards: what they say of the service, of surfaces and operators, and who has signed them."""

import httpx
from eth_account.signers.local import LocalAccount

from api.routes.records.cards import CACHED
from orchestrator.core.account.agent_card import KEYS_PATH, RECORD, check_card
from tests.support.api_service import (
    SETTINGS,
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    publish_settings,
    report,
    touch,
    wallet,
)

PROFILE = {"display_name": "Harvest", "contact": "ops@harvest.example", "capabilities": ["email"]}


def signed_card(service: ApiService, path: str) -> dict[str, object]:
    """Return a card once its signature has held, by the key that the service publishes."""
    answer = service.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == CACHED
    tag = answer.headers["ETag"]
    again = service.http.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    (jwk,) = service.get(KEYS_PATH)["keys"]
    document: dict[str, object] = answer.json()
    check_card(document, jwk)
    return document


def record_of(card: dict[str, object]) -> dict[str, str]:
    capabilities = card["capabilities"]
    assert isinstance(capabilities, dict)
    (extension,) = capabilities["extensions"]
    assert extension["uri"] == RECORD
    record: dict[str, str] = extension["params"]
    return record


def test_the_service_has_a_card(service: ApiService) -> None:
    card = signed_card(service, "/.well-known/agent-card.json")
    assert card["documentationUrl"] == f"{card['provider']['url']}/docs"  # type: ignore[index]
    assert record_of(card)["log"] == service.get("/v1/log")["log_id"]


def test_a_surface_has_a_card_with_its_motions(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "carded")
    card = signed_card(service, f"/v1/surfaces/{surface}/agent-card.json")
    assert card["name"] == "carded"
    assert record_of(card)["surface"] == surface
    skills = card["skills"]
    assert isinstance(skills, list)
    assert {one["id"] for one in skills} == {"acquisition", "activation", "conversion"}
    unknown = "0x" + 64 * "7"
    problem_of(service.http.get(f"/v1/surfaces/{unknown}/agent-card.json"), 404, "not-found")


def test_an_operator_says_whether_its_card_has_its_name(
    service: ApiService, owner: httpx.Client
) -> None:
    account = wallet("carded")
    path = f"/v1/operators/{account.address}/agent-card.json"
    problem_of(service.http.get(path), 404, "not-found")
    agent = service.sign_in(account, "operator")
    agent.put("/v1/profile", json=PROFILE)
    problem_of(service.http.get(path), 404, "not-found")
    _act(service, owner, agent, account)
    service.agents |= {11: (account.address,)}
    for is_public in (False, True, False):
        body = PROFILE | {"agent_id": "11", "is_public": is_public}
        assert agent.put("/v1/profile", json=body).json()["is_public"] is is_public
        card = signed_card(service, path)
        assert card["name"] == ("Harvest" if is_public else account.address)
        record = record_of(card)
        assert record["wallet"] == account.address
        assert record.get("erc8004AgentId") == ("11" if is_public else None)
        assert ("email" in str(card["skills"])) is is_public
        assert "harvest.example" not in str(card)
    agent.put("/v1/profile", json=PROFILE | {"is_public": True})
    assert agent.delete("/v1/profile").status_code == 204
    assert signed_card(service, path)["name"] == account.address


def test_a_profile_alone_makes_a_card(service: ApiService) -> None:
    account = wallet("newcomer")
    agent = service.sign_in(account, "operator")
    agent.put("/v1/profile", json=PROFILE | {"is_public": True})
    card = signed_card(service, f"/v1/operators/{account.address}/agent-card.json")
    assert card["name"] == "Harvest"


def _act(
    service: ApiService, owner: httpx.Client, agent: httpx.Client, account: LocalAccount
) -> None:
    """Have an operator act once, by which it is in the log."""
    surface = open_surface(owner, "acted on")
    publish_settings(owner, surface, SETTINGS)
    report(owner, surface, "acted-on", event())
    give_level(service, surface, account)
    (lead,) = leads(agent, surface)
    assert touch(agent, surface, "acted", lead["lead"], "email").status_code == 200
