"""Proposals: from an operator's signed terms to the owner's signature over the same digest."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest

from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import (
    Terms,
    contract_id,
)
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract
from orchestrator.storage.database import API
from tests.support.api_service import (
    ESCROW,
    LOG_ID,
    POLICY,
    START_MS,
    ApiService,
    open_surface,
    problem_of,
    proposal_of,
    running_service,
    wallet,
)
from tests.support.proposals import OPERATOR, OWNER, accept, hex_id, propose, terms_of


def test_a_proposal_is_seen_by_its_parties_alone(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 1)
    answer = propose(operator, terms)
    assert answer.status_code == 201, answer.text
    reply = answer.json()
    assert (reply["contract_id"], reply["status"]) == (hex_id(terms), "proposed")
    assert Terms.from_json(reply["terms"]) == terms

    assert reply in operator.get("/v1/proposals").json()["proposals"]
    assert reply in owner.get("/v1/proposals").json()["proposals"]
    path = f"/v1/surfaces/{parameters['surface']}/proposals"
    assert reply in owner.get(path).json()["proposals"]
    stranger = service.sign_in(wallet("stranger"), "owner", "operator")
    assert stranger.get("/v1/proposals").json()["proposals"] == []
    for method, end in (("GET", ""), ("POST", "/decline"), ("POST", "/withdraw")):
        seen = stranger.request(method, f"/v1/proposals/{hex_id(terms)}{end}")
        assert (seen.status_code, seen.json()["code"]) == (404, "not-found")
    assert accept(stranger, terms, wallet("stranger")).status_code == 404
    assert stranger.get(path).status_code == 403


def test_cautions_are_told_until_a_proposal_is_decided(
    service: ApiService,
    owner: httpx.Client,
    operator: httpx.Client,
    parameters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terms = terms_of(parameters, 3)
    propose(operator, terms)
    asked: list[Terms] = []

    def cautions_of(of: Terms) -> list[str]:
        asked.append(of)
        return ["the payee 0x12 was never used"]

    monkeypatch.setattr(service, "cautions_of", cautions_of)

    account = "the payee 0x12 was never used"

    def told(client: httpx.Client) -> Any:
        answer = client.get(f"/v1/proposals/{hex_id(terms)}")
        assert answer.status_code == 200, answer.text
        return answer.json()["cautions"]

    # What the terms and the policy tell comes first, what the chain tells last.
    found = told(owner)
    assert found == told(operator)
    assert found[0].startswith("touches before 2026-01-01 00:01:00 UTC earn nothing")
    assert found[-1] == account
    assert asked == [terms, terms]

    def unreachable(_: Terms) -> list[str]:
        raise ChainError("node-silent", "the node does not answer")

    monkeypatch.setattr(service, "cautions_of", unreachable)
    assert told(owner)[:-1] == found[:-1]
    assert told(owner)[-1].startswith("the chain cannot be asked")
    monkeypatch.setattr(service, "cautions_of", cautions_of)
    assert accept(owner, terms).status_code == 200
    assert told(owner) is None
    assert len(asked) == 2


def test_the_same_terms_again_are_the_same_proposal(
    operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 2)
    assert propose(operator, terms).json() == propose(operator, terms).json()


def test_proposals_come_page_by_page(operator: httpx.Client, parameters: dict[str, Any]) -> None:
    wanted = {
        propose(operator, terms_of(parameters, n)).json()["contract_id"] for n in range(20, 25)
    }
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = operator.get("/v1/proposals", params=query).json()
        found += [item["contract_id"] for item in page["proposals"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert len(found) == len(set(found))
    assert wanted <= set(found)


def test_terms_with_every_feature_are_accepted(
    owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(
        parameters,
        30,
        arbiter=wallet("arbiter").address,
        exclusive=True,
        grace_s=7 * DAY_S,
        claim_period_s=8 * DAY_S,
        challenge_period_s=2 * DAY_S,
        arbitration_period_s=3 * DAY_S,
        holdback_bps=2000,
        holdback_period_s=15 * DAY_S,
        rate_cap_units="50000000",
        rate_period_s=DAY_S,
        agent_id_plus_one="1",
    )
    answer = propose(operator, terms)
    assert answer.status_code == 201, answer.text
    assert Terms.from_json(answer.json()["terms"]) == terms
    assert accept(owner, terms).json()["status"] == "accepted"


def test_an_address_needs_its_checksum(operator: httpx.Client, parameters: dict[str, Any]) -> None:
    body = proposal_of(terms_of(parameters, 5), OPERATOR)
    body["terms"]["payee"] = OPERATOR.address.lower()
    answer = operator.post("/v1/proposals", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "field-malformed")


def test_only_the_owner_accepts_and_only_once(
    owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 6)
    propose(operator, terms)
    forged = accept(owner, terms, OPERATOR)
    assert (forged.status_code, forged.json()["code"]) == (422, "signature-invalid")
    assert accept(operator, terms, OPERATOR).json()["code"] == "scope-missing"
    reply = accept(owner, terms).json()
    assert reply["status"] == "accepted"
    assert reply["accepted_ms"] == START_MS
    assert accept(owner, terms).json() == reply
    late = owner.post(f"/v1/proposals/{hex_id(terms)}/decline")
    assert (late.status_code, late.json()["code"]) == (409, "proposal-decided")


def test_an_operator_with_both_scopes_cannot_accept_its_own(
    service: ApiService, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 7)
    propose(operator, terms)
    both = service.sign_in(OPERATOR, "operator", "owner")
    answer = accept(both, terms, OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-the-owner")


def test_the_owner_declines_the_operator_withdraws_and_then_it_is_over(
    owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    ends = ((8, owner, "decline", "declined"), (9, operator, "withdraw", "withdrawn"))
    for n, party, verb, status in ends:
        terms = terms_of(parameters, n)
        propose(operator, terms)
        path = f"/v1/proposals/{hex_id(terms)}/{verb}"
        other = operator if party is owner else owner
        assert other.post(path).json()["code"] == "scope-missing"
        reply = party.post(path)
        assert (reply.status_code, reply.json()["status"]) == (200, status)
        assert reply.json()[f"{status}_ms"] == START_MS
        assert party.post(path).json() == reply.json()
        answer = accept(owner, terms)
        assert (answer.status_code, answer.json()["code"]) == (409, "proposal-decided")


@pytest.mark.parametrize("verb", ["decline", "withdraw"])
def test_neither_party_ends_a_proposal_in_the_others_name(
    service: ApiService,
    owner: httpx.Client,
    operator: httpx.Client,
    parameters: dict[str, Any],
    verb: str,
) -> None:
    terms = terms_of(parameters, {"decline": 20, "withdraw": 21}[verb])
    propose(operator, terms)
    signer = OPERATOR if verb == "decline" else OWNER
    both = service.sign_in(signer, "operator", "owner")
    answer = both.post(f"/v1/proposals/{hex_id(terms)}/{verb}")
    assert (answer.status_code, answer.json()["code"]) == (403, "not-the-party")
    assert owner.get(f"/v1/proposals/{hex_id(terms)}").json()["status"] == "proposed"


def test_a_proposal_expires_when_its_contract_could_no_longer_open(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 10)
    propose(operator, terms)
    with service.clock.moved_by(terms.opens_at_s * 1000 - service.clock.now_ms):
        answer = accept(owner, terms)
        reply = owner.get(f"/v1/proposals/{hex_id(terms)}").json()
    assert (answer.status_code, answer.json()["code"]) == (409, "proposal-decided")
    assert reply["status"] == "expired"


def test_terms_are_public_once_the_contract_is_open(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 11)
    propose(operator, terms)
    accept(owner, terms)
    propose(operator, terms_of(parameters, 12))
    path = f"/v1/contracts/{hex_id(terms)}"
    assert service.http.get(path).status_code == 404
    service.submit(
        "open-11", OpenContract(rules_of(terms, contract_id(terms, ESCROW)), b"\x11" * 32)
    )
    service.decide_waiting()
    reply = service.http.get(path).json()
    assert reply["status"] == "live"
    assert Terms.from_json(reply["terms"]) == terms
    assert owner.get(f"/v1/proposals/{hex_id(terms)}").json()["status"] == "opened"
    assert reply["contract_id"] in [
        item["contract_id"] for item in service.http.get("/v1/contracts").json()["contracts"]
    ]
    stranger = service.sign_in(wallet("stranger"), "owner", "operator")
    assert stranger.get(f"/v1/proposals/{hex_id(terms)}").status_code == 404
    assert stranger.get("/v1/proposals").json()["proposals"] == []
    # The row policy alone would hide the others' proposals, whatever a query asks for.
    with service.admin() as admin:
        admin.execute(f"SET ROLE {API}")
        shown = admin.execute("SELECT contract_id FROM proposals").fetchall()
    assert [bytes(row[0]) for row in shown] == [contract_id(terms, ESCROW)]


# --- Who opens it ---------------------------------------------------------------------------------


def test_the_proposal_says_who_opens_it(database_url: str) -> None:
    with running_service(database_url, Limits(opening_tokens=10)) as service:
        operator, owner = service.sign_in(OPERATOR, "operator"), service.sign_in(OWNER, "owner")
        surface = open_surface(owner, "contracts")
        parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
        assert parameters["openings_paid"]
        assert parameters["tokens"][0]["least_budget_units"] == "10000000"
        large = terms_of(parameters, 1, budget_units=str(10_000_000))
        terms = terms_of(parameters, 2, budget_units=str(9_999_999))
        assert propose(operator, large).json()["opened_by"] == "service"
        reply = propose(operator, terms).json()
        assert (reply["opened_by"], reply["opening"]) == ("parties", None)
        assert accept(owner, terms).status_code == 200
        with service.admin() as admin:
            admin.execute(
                "INSERT INTO openings (log_id, contract_id, tries, asked, waits_for, next_ms)"
                " VALUES (%s, %s, 0, 0, 'openings_a_day', 9)",
                (LOG_ID, contract_id(terms, ESCROW)),
            )
        for reader in (owner, operator):
            assert reader.get(f"/v1/proposals/{hex_id(terms)}").json()["opening"] == {
                "tries": 0,
                "reason": None,
                "waits_for": "openings_a_day",
                "next_ms": 9,
            }


def test_where_the_parties_pay_no_proposal_is_opened_by_us(database_url: str) -> None:
    with running_service(database_url, Limits(openings_a_day=0)) as service:
        operator, owner = service.sign_in(OPERATOR, "operator"), service.sign_in(OWNER, "owner")
        surface = open_surface(owner, "contracts")
        parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
        assert not parameters["openings_paid"]
        assert propose(operator, terms_of(parameters, 1)).json()["opened_by"] == "parties"


def test_dead_proposals_bind_no_policy_and_are_accepted_no_more(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "another policy")
    parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
    accepted, open_one = (terms_of(parameters, n) for n in (70, 71))
    for terms in (accepted, open_one):
        propose(operator, terms)
    assert accept(owner, accepted).json()["status"] == "accepted"
    published = owner.post(
        f"/v1/surfaces/{surface}/policy",
        json={"policy": POLICY | {"touches_per_lead": 7}},
        headers={"Idempotency-Key": "next"},
    )
    assert published.status_code == 200, published.text
    for terms in (accepted, open_one):
        seen = owner.get(f"/v1/proposals/{hex_id(terms)}").json()
        assert (seen["status"], seen["cautions"]) == ("lapsed", None)
    problem_of(accept(owner, open_one), 409, "proposal-decided")


# --- Versions -------------------------------------------------------------------------------------


def answering(operator: httpx.Client, terms: Terms, answered: str) -> httpx.Response:
    return operator.post("/v1/proposals", json=proposal_of(terms, OPERATOR) | {"answers": answered})


def test_an_owner_answers_with_terms_that_the_operator_signs(
    owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any], service: ApiService
) -> None:
    first = terms_of(parameters, 80)
    propose(operator, first)
    path = f"/v1/proposals/{hex_id(first)}"
    answer = owner.post(f"{path}/counter", json={"deal": {"outcome": "activated", "price": "7"}})
    assert answer.status_code == 200, answer.text
    draft = answer.json()
    second = Terms.from_json(draft["terms"])
    assert second == replace(first, unit_price_units=7_000_000, salt=second.salt)
    seen = operator.get(path).json()
    assert (seen["status"], seen["counter"]) == ("declined", draft["terms"])
    change = {"term": "price", "before": "8.00", "after": "7.00"}
    assert seen["counter_changes"] == [change]
    # The owner has signed nothing: it accepts what the operator has signed.
    assert seen["owner_signature"] is None
    reply = answering(operator, second, hex_id(first)).json()
    assert (reply["version"], reply["answers"]) == (2, hex_id(first))
    assert operator.get(path).json()["answered_by"] == hex_id(second)
    assert owner.get(f"/v1/proposals/{hex_id(second)}").json()["since_answered"] == [change]
    assert accept(owner, second).json()["status"] == "accepted"
    again = owner.post(f"{path}/counter", json={"deal": {"outcome": "activated"}})
    problem_of(again, 409, "proposal-decided")


def test_an_operator_answers_itself_and_the_former_version_ends(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    first, second = terms_of(parameters, 81), terms_of(parameters, 82, unit_price_units="9000000")
    propose(operator, first)
    assert answering(operator, second, hex_id(first)).status_code == 201
    problem_of(accept(owner, first), 409, "proposal-decided")
    late = terms_of(parameters, 83)
    problem_of(answering(operator, late, hex_id(first)), 409, "answered-already")
    problem_of(answering(operator, late, "0x" + "77" * 32), 409, "answer-unknown")
    assert accept(owner, second).status_code == 200
    problem_of(answering(operator, late, hex_id(second)), 409, "answer-accepted")
    both = service.sign_in(OPERATOR, "operator", "owner")
    path = f"/v1/proposals/{hex_id(second)}/counter"
    problem_of(both.post(path, json={"deal": {"outcome": "activated"}}), 403, "not-the-owner")


def test_a_deal_has_at_most_ten_versions(
    operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    chain = [terms_of(parameters, 90 + n) for n in range(11)]
    propose(operator, chain[0])
    for before, after in pairwise(chain[:10]):
        assert answering(operator, after, hex_id(before)).status_code == 201
    problem_of(answering(operator, chain[10], hex_id(chain[9])), 409, "versions-too-many")
