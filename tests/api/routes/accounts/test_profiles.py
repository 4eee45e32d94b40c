"""Profiles: what operators say of themselves, who sees it, and the agent that is checked."""

import httpx

from tests.support.api_service import (
    PUBLISHER,
    ApiService,
    draft_terms,
    open_surface,
    problem_of,
    proposal_of,
    wallet,
)

PROFILE = {
    "display_name": "Harvest",
    "contact": "ops@harvest.example",
    "capabilities": ["onboarding", "email", "email"],
}


def test_a_profile_is_public_but_for_its_contact(service: ApiService, owner: httpx.Client) -> None:
    account = wallet("described")
    agent = service.sign_in(account, "operator")
    problem_of(agent.get("/v1/profile"), 404, "not-found")
    answer = agent.put("/v1/profile", json=PROFILE)
    assert answer.status_code == 200, answer.text
    own = answer.json()
    assert own == agent.get("/v1/profile").json()
    assert own["capabilities"] == ["email", "onboarding"]
    path = f"/v1/operators/{account.address}/profile"
    surface = open_surface(owner, "described")
    assert owner.get(path).json() == own | {"contact": None}
    # Neither accounts without a surface, nor other operators.
    problem_of(service.sign_in(wallet("bystander"), "owner").get(path), 404, "not-found")
    problem_of(agent.get(path), 403, "scope-missing")
    parameters = agent.get(f"/v1/surfaces/{surface}").json()["terms"]
    terms = draft_terms(parameters, account.address)
    assert agent.post("/v1/proposals", json=proposal_of(terms, account)).status_code == 201
    assert owner.get(path).json() == own
    assert agent.delete("/v1/profile").status_code == 204
    problem_of(owner.get(path), 404, "not-found")


def test_an_agent_is_shown_as_checked_or_refused(service: ApiService) -> None:
    account = wallet("agent")
    client = service.sign_in(account, "operator")
    service.agents |= {7: (wallet("holder").address, account.address), 8: (PUBLISHER.address,)}
    answer = client.put("/v1/profile", json=PROFILE | {"agent_id": "7"})
    assert answer.json()["agent"] == {"agent_id": "7", "checked_ms": service.clock.now_ms}
    problem = problem_of(
        client.put("/v1/profile", json=PROFILE | {"agent_id": "8"}), 422, "agent-of-another"
    )
    assert PUBLISHER.address in str(problem["detail"])
    problem_of(client.put("/v1/profile", json=PROFILE | {"agent_id": "9"}), 422, "agent-unknown")
    assert client.get("/v1/profile").json()["agent"]["agent_id"] == "7"
    assert client.put("/v1/profile", json=PROFILE).json()["agent"] is None


def test_profiles_stay_off_the_log(service: ApiService) -> None:
    client = service.sign_in(wallet("discreet"), "operator")
    before = service.get("/v1/log/checkpoint")
    client.put("/v1/profile", json=PROFILE)
    assert service.get("/v1/log/checkpoint") == before
