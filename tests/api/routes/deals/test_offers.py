"""Standing offers: published by owners, taken within places, levels and budgets."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.deals.terms import Terms, operator_consent_digest
from orchestrator.core.log.entry import address_word
from tests.support.api_service import (
    ESCROW,
    POLICY,
    ApiService,
    event,
    give_level,
    open_surface,
    problem_of,
    report,
    signed_digest,
    wallet,
)

NUMBERS = count()
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 50, "hold": "3 days"}


@pytest.fixture
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, f"offers {next(NUMBERS)}")


def publish(owner: httpx.Client, surface: str, deal: Any = DEAL, **body: Any) -> Any:
    answer = owner.post(f"/v1/surfaces/{surface}/offers", json={"deal": deal} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def drafted(client: httpx.Client, offer: Any, **body: Any) -> Any:
    path = f"/v1/surfaces/{offer['surface']}/offers/{offer['offer']}/drafts"
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def take(client: httpx.Client, who: Any, offer: Any, draft: Any = None, **changes: Any) -> Any:
    """Propose a draft from an offer, with these terms changed."""
    terms = Terms.from_json((draft or drafted(client, offer))["terms"] | changes)
    signature = signed_digest(who, operator_consent_digest(terms, ESCROW))
    body = {"terms": terms.to_json(), "operator_signature": signature, "offer": offer["offer"]}
    return client.post("/v1/proposals", json=body)


def taker(service: ApiService, surface: str, name: str) -> tuple[httpx.Client, Any]:
    """Return an operator of level 1 on a surface."""
    give_level(service, surface, wallet(name))
    return service.sign_in(wallet(name), "operator"), wallet(name)


def listed(service: ApiService, offer: Any) -> Any:
    found = service.get(f"/v1/surfaces/{offer['surface']}/offers")["offers"]
    return next(one for one in found if one["offer"] == offer["offer"])


def test_an_offer_is_public_and_taken_as_it_stands(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    offer = publish(owner, surface, places=2, level=1)
    assert (offer["status"], offer["places_left"]) == ("open", 2)
    assert (offer["first_budget_units"], offer["budget_units"]) == ("40000000", "400000000")
    assert offer["deal"]["price"] == "8.00"
    assert listed(service, offer) == offer
    client, who = taker(service, surface, "operator")
    draft = drafted(client, offer)
    assert (draft["terms"]["operator"], draft["terms"]["budget_units"]) == (
        who.address,
        "40000000",
    )
    answer = take(client, who, offer, draft)
    assert answer.status_code == 201, answer.text
    assert answer.json()["offer"] == offer["offer"]
    seen = owner.get(f"/v1/proposals/{draft['contract_id']}").json()
    assert seen["since_offer"] == []
    assert listed(service, offer)["places_left"] == 1
    # How many leads could bring what it pays for: who is in the state before it.
    assert report(owner, surface, "countable", event("countable")).status_code == 200
    assert listed(service, offer)["leads"] == offer["leads"] + 1
    # The same terms again are the same proposal.
    assert take(client, who, offer, draft).status_code == 201


def test_a_level_that_is_lost_takes_no_offer_though_the_log_says_nothing_yet(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    """A level falls in the log with the operator's next act, and rises when it is asked for."""
    offer, higher = publish(owner, surface, level=1), publish(owner, surface, level=2)
    client, who = taker(service, surface, "faller")
    with service.admin() as admin:
        admin.execute("UPDATE standings SET level = 2 WHERE surface = %s", (from_hex(surface),))
        draft = drafted(client, higher)
        admin.execute(
            "UPDATE standings SET document = jsonb_set(document::jsonb, '{disputes_lost}', '1')"
            " WHERE surface = %s",
            (from_hex(surface),),
        )
    problem = problem_of(take(client, who, higher, draft), 409, "level-too-low")
    assert problem["detail"] == (
        "the offer is for level 2 and above, and you have 2; a judgement now gives you 1"
    )
    answer = take(client, who, offer)
    assert answer.status_code == 201, answer.text
    with service.admin() as admin:
        admin.execute("UPDATE standings SET level = 0 WHERE surface = %s", (from_hex(surface),))
    problem = problem_of(take(client, who, publish(owner, surface)), 409, "level-too-low")
    assert "gives you 1, so ask for one: POST" in str(problem["detail"])
    judged = client.post(
        f"/v1/surfaces/{surface}/judgements", headers={"Idempotency-Key": "risen-again"}
    )
    assert judged.is_success, judged.text


def test_a_taker_needs_the_level_and_no_suspension(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    offer = publish(owner, surface, level=2)
    newcomer = service.sign_in(wallet("newcomer"), "operator")
    problem = problem_of(take(newcomer, wallet("newcomer"), offer), 409, "level-too-low")
    assert problem["detail"] == "the offer is for level 2 and above, and you have 0"
    client, who = taker(service, surface, "operator")
    problem_of(take(client, who, offer), 409, "level-too-low")
    easier = publish(owner, surface)
    path = f"/v1/surfaces/{surface}/operators/{who.address}/suspension"
    headers = {"Idempotency-Key": "suspend"}
    assert owner.post(path, json={"reason": "spam"}, headers=headers).status_code == 200
    problem_of(take(client, who, easier), 403, "operator-suspended")


def test_the_terms_of_a_taker_are_those_of_the_offer(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    offer = publish(owner, surface)
    client, who = taker(service, surface, "operator")
    draft = drafted(client, offer)
    for changes, code in (
        ({"unit_price_units": "9000000"}, "offer-differs"),
        ({"holdback_period_s": 0}, "offer-differs"),
        ({"deadline_s": draft["terms"]["deadline_s"] + 1}, "offer-differs"),
        ({"budget_units": "40000001"}, "offer-budget"),
    ):
        problem_of(take(client, who, offer, draft, **changes), 409, code)
    other = publish(owner, open_surface(owner, f"offers {next(NUMBERS)}"))
    problem_of(take(client, who, other | {"surface": surface}, draft), 409, "offer-unknown")
    assert take(client, who, offer, draft, budget_units="8000000").status_code == 201


def test_of_many_takers_at_once_only_as_many_as_there_are_places_have_one(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    offer = publish(owner, surface, places=3)
    takers = [taker(service, surface, f"taker {n}") for n in range(6)]
    drafts = [drafted(client, offer) for client, _ in takers]
    with ThreadPoolExecutor(6) as pool:
        found = list(
            pool.map(
                lambda one: take(one[0][0], one[0][1], offer, one[1]),
                zip(takers, drafts, strict=True),
            )
        )
    assert sorted(answer.status_code for answer in found) == [201] * 3 + [409] * 3
    assert {answer.json().get("code") for answer in found if answer.status_code == 409} == {
        "offer-taken"
    }
    assert listed(service, offer)["status"] == "taken"
    # A place that is given back is free again.
    place = next(n for n, answer in enumerate(found) if answer.status_code == 201)
    late = next(n for n, answer in enumerate(found) if answer.status_code == 409)
    path = f"/v1/proposals/{drafts[place]['contract_id']}/withdraw"
    assert takers[place][0].post(path).status_code == 200
    assert take(*takers[late], offer).status_code == 201


def test_the_next_budget_comes_when_the_first_is_used(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    offer = publish(owner, surface)
    client, who = taker(service, surface, "operator")
    draft = drafted(client, offer)
    assert take(client, who, offer, draft).status_code == 201
    problem_of(take(client, who, offer), 409, "offer-waiting")
    # It opens, and its budget is used up.
    contract = from_hex(draft["contract_id"])
    word = address_word(who.address)
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO contracts SELECT log_id, %s, surface, owner, %s, opened, NULL, 0, 0, 0, 0,"
            " 0, 0, 0, 0, rules FROM contracts WHERE operator = %s LIMIT 1",
            (contract, word, word),
        )
        problem_of(take(client, who, offer), 409, "budget-unused")
        # One that ended with nothing earned, or with all taken back, has shown nothing.
        for earned, taken_back in ((0, 0), (40_000_000, 40_000_000)):
            admin.execute(
                "UPDATE contracts SET closed_at_ms = 1, earned_units = %s, reversed_units = %s"
                " WHERE contract_id = %s",
                (earned, taken_back, contract),
            )
            assert drafted(client, offer)["terms"]["budget_units"] == "40000000"
        admin.execute(
            "UPDATE contracts SET closed_at_ms = NULL, earned_units = 40000000, reversed_units = 0"
            " WHERE contract_id = %s",
            (contract,),
        )
        again = drafted(client, offer)
        assert again["terms"]["budget_units"] == "400000000"
        assert take(client, who, offer, again).status_code == 201


def test_an_exclusive_offer_with_two_takers_is_refused(owner: httpx.Client, surface: str) -> None:
    path, exclusive = f"/v1/surfaces/{surface}/offers", DEAL | {"exclusive": True}
    body: dict[str, Any] = {"deal": exclusive, "places": 2}
    problem_of(owner.post(path, json=body), 422, "offer-exclusive")
    publish(owner, surface, exclusive)
    # Beside it no other offer can pay for the same outcome.
    problem_of(owner.post(path, json={"deal": DEAL}), 409, "offer-contested")
    assert publish(owner, surface, DEAL | {"outcome": "subscribed"})["status"] == "open"


def test_an_offer_ends(service: ApiService, owner: httpx.Client, surface: str) -> None:
    client, who = taker(service, surface, "operator")
    withdrawn, ending = publish(owner, surface), publish(owner, surface, ends_in="3 days")
    path = f"/v1/surfaces/{surface}/offers/{withdrawn['offer']}/withdraw"
    assert owner.post(path).json()["status"] == "withdrawn"
    assert owner.post(path).json()["status"] == "withdrawn"
    problem_of(take(client, who, withdrawn), 409, "offer-ended")
    with service.clock.moved_by(3 * DAY_MS):
        assert listed(service, ending)["status"] == "ended"
        problem_of(take(client, who, ending), 409, "offer-ended")


def test_a_new_policy_ends_an_offer(service: ApiService, owner: httpx.Client, surface: str) -> None:
    offer = publish(owner, surface)
    answer = owner.post(
        f"/v1/surfaces/{surface}/policy",
        json={"policy": POLICY | {"touches_per_lead": 9}},
        headers={"Idempotency-Key": "next"},
    )
    assert answer.status_code == 200, answer.text
    assert listed(service, offer)["status"] == "lapsed"


def test_only_the_owner_of_a_surface_offers_there(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, surface: str
) -> None:
    path = f"/v1/surfaces/{surface}/offers"
    problem_of(operator.post(path, json={"deal": DEAL}), 403, "scope-missing")
    stranger = service.sign_in(wallet("stranger"), "owner")
    problem_of(stranger.post(path, json={"deal": DEAL}), 403, "not-the-owner")
    offer = publish(owner, surface)
    problem_of(stranger.post(f"{path}/{offer['offer']}/withdraw"), 403, "not-the-owner")
    for body, code in (
        ({"first_budget": "500"}, "first-budget-range"),
        ({"first_budget": "x"}, "first-budget-malformed"),
        ({"ends_in": "soon"}, "duration-malformed"),
        ({"ends_in": "367 days"}, "duration-range"),
        ({"level": 0}, "invalid"),
        ({"places": 1001}, "invalid"),
    ):
        problem_of(owner.post(path, json={"deal": DEAL} | body), 422, code)
    assert service.http.get("/v1/surfaces/0x" + "99" * 32 + "/offers").status_code == 404
