"""Signing in and out: nonces, keys, and an operator's registration."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import httpx

from orchestrator.core.scopes import SCOPE_SETS
from tests.support.api_service import (
    PUBLISHER,
    ApiService,
    draft_terms,
    open_surface,
    problem_of,
    proposal_of,
    signed,
    wallet,
)


def test_a_nonce_comes_with_all_that_a_message_needs(service: ApiService) -> None:
    answer = service.http.post("/v1/sign-in/nonce")
    assert answer.status_code == 200
    reply = answer.json()
    assert reply["message"] is None
    assert reply["domain"] == service.url.removeprefix("http://")
    assert (reply["uri"], reply["chain_id"]) == (service.url, 31337)
    assert reply["expires_ms"] > service.clock.now_ms
    assert reply["nonce"] != service.http.post("/v1/sign-in/nonce").json()["nonce"]


def test_a_key_is_shown_once_and_kept_as_a_hash(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    reply = service.post_sign_in(message, signed(wallet("visitor"), message)).json()
    assert reply["account"] == wallet("visitor").address
    assert reply["scopes"] == list(SCOPE_SETS["owner"])
    with service.admin() as admin:
        kept = {bytes(row[0]) for row in admin.execute("SELECT secret_hash FROM api_keys")}
    secret = hashlib.sha256(reply["key"].encode()).digest()
    assert hashlib.sha256(secret).digest() in kept
    # What a transaction presents is not in the table either.
    assert secret not in kept


def test_signing_in_writes_nothing_to_the_log(service: ApiService) -> None:
    before = service.get("/v1/log/checkpoint")["size"]
    for _ in range(2):
        service.sign_in(wallet("newcomer"), "operator", "owner")
    service.decide_waiting()
    assert service.get("/v1/log/checkpoint")["size"] == before


def test_a_nonce_is_used_once(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    signature = signed(wallet("visitor"), message)
    assert service.post_sign_in(message, signature).status_code == 201
    again = service.post_sign_in(message, signature)
    assert (again.status_code, again.json()["code"]) == (401, "nonce-unknown")


def test_a_failed_sign_in_leaves_the_nonce_for_its_owner(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    assert service.post_sign_in(message, signed(wallet("thief"), message)).status_code == 401
    assert service.post_sign_in(message, signed(wallet("visitor"), message)).status_code == 201


def test_of_many_sign_ins_with_one_nonce_one_wins(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    signature = signed(wallet("visitor"), message)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: service.post_sign_in(message, signature), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 5]


def test_a_key_ends_when_it_is_revoked(service: ApiService) -> None:
    client = service.sign_in(wallet("leaver"), "owner")
    other = service.sign_in(wallet("leaver"), "owner")
    assert client.delete("/v1/keys/current").status_code == 204
    assert client.get("/v1/surfaces").json()["code"] == "key-revoked"
    assert other.get("/v1/surfaces").status_code == 200


# --- Profiles -------------------------------------------------------------------------------------


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
