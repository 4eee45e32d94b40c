"""Drafts: a short deal becomes terms that any wallet can sign, and words that say what they are."""

from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import (
    Terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
)
from tests.support.api_service import (
    ESCROW,
    SETTINGS,
    ApiService,
    give_level,
    open_surface,
    problem_of,
    publish_settings,
    wallet,
)

DEAL = {"outcome": "activated", "from": "signed_up", "price": "8.00 TUSD", "at_most": 50}


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, "drafts")


def drafted(client: httpx.Client, surface: str, **body: Any) -> Any:
    answer = client.post(f"/v1/surfaces/{surface}/drafts", json={"deal": DEAL} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_draft_is_signed_by_any_wallet_and_proposed_as_it_is(
    owner: httpx.Client, operator: httpx.Client, surface: str
) -> None:
    draft = drafted(operator, surface)
    terms = Terms.from_json(draft["terms"])
    assert draft["contract_id"] == to_hex(contract_id(terms, ESCROW))
    assert (terms.operator, terms.unit_price_units) == (wallet("operator").address, 8_000_000)
    assert draft["sentences"][0].startswith("Pays 8.00 TUSD for each lead, once, that enters")
    signatures = {}
    for party, digest in (
        ("operator", operator_consent_digest(terms, ESCROW)),
        ("owner", owner_consent_digest(terms, ESCROW)),
    ):
        # A wallet knows the typed data alone; what it hashes is what the contract checks.
        message = encode_typed_data(full_message=draft[party]["typed_data"])
        signed = Account.sign_message(message, wallet(party).key)
        assert bytes(signed.message_hash) == digest == from_hex(draft[party]["digest"])
        signatures[party] = to_hex(signed.signature)
    body = {"terms": draft["terms"], "operator_signature": signatures["operator"]}
    assert operator.post("/v1/proposals", json=body).status_code == 201
    path = f"/v1/proposals/{draft['contract_id']}"
    seen = owner.get(path).json()
    assert (seen["sentences"], seen["deal"]) == (draft["sentences"], draft["deal"])
    accepted = owner.post(f"{path}/accept", json={"owner_signature": signatures["owner"]})
    assert accepted.json()["status"] == "accepted"


def test_a_draft_says_what_each_signature_costs_at_most(
    operator: httpx.Client, surface: str
) -> None:
    draft = drafted(operator, surface)
    assert draft["owner"]["costs_at_most_units"] == "400000000"
    assert draft["operator"]["costs_at_most_units"] == "0"
    assert any("It costs 400.00 TUSD at most" in text for text in draft["owner"]["sentences"])


def test_every_default_is_told_and_the_settings_come_first(
    owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "defaults")
    defaults = {one["term"]: one for one in drafted(operator, surface)["defaults"]}
    assert defaults["window"] == {"term": "window", "value": "7 days", "source": "usual"}
    deals = {"window_s": 3 * DAY_S, "hold_s": DAY_S, "hold_bps": 2500}
    answer = publish_settings(owner, surface, SETTINGS | {"deals": deals}, "with-deals")
    assert answer.status_code == 200, answer.text
    draft = drafted(operator, surface)
    defaults = {one["term"]: one for one in draft["defaults"]}
    assert defaults["window"] == {"term": "window", "value": "3 days", "source": "settings"}
    assert defaults["hold_share"]["value"] == draft["deal"]["hold_share"] == "25 %"
    assert "price" not in defaults


def test_an_owner_drafts_for_a_named_operator(owner: httpx.Client, surface: str) -> None:
    path = f"/v1/surfaces/{surface}/drafts"
    problem_of(owner.post(path, json={"deal": DEAL}), 422, "operator-unnamed")
    named = wallet("stranger").address
    assert drafted(owner, surface, operator=named)["terms"]["operator"] == named


def test_the_same_salt_gives_the_same_terms(operator: httpx.Client, surface: str) -> None:
    salt = "0x" + "07" * 32
    assert drafted(operator, surface, salt=salt) == drafted(operator, surface, salt=salt)
    assert drafted(operator, surface)["contract_id"] != drafted(operator, surface)["contract_id"]


def test_a_draft_that_earns_nothing_is_told_so(operator: httpx.Client, surface: str) -> None:
    deal = DEAL | {"at_most": None, "budget": "7.99", "opens_in": "30 days", "closes_in": "33 days"}
    cautions = drafted(operator, surface, deal=deal)["cautions"]
    for part in (
        "above the budget of 7.99 TUSD",
        "30 days from now earn nothing",
        "before the window of 7 days can end",
        "the owner can suspend the operator",
    ):
        assert any(part in text for text in cautions), (part, cautions)


def test_an_open_contract_of_the_operator_for_the_outcome_is_told(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "twice")
    give_level(service, surface, wallet("operator"))
    found = [
        text for text in drafted_for(operator, surface, "subscribed") if "same outcome" in text
    ]
    (contract,) = service.get("/v1/contracts", surface=surface)["contracts"]
    (told,) = found
    assert told.startswith(f"the operator's contract {contract['contract_id']} for the same")
    assert "is open until 2026-01-31" in told
    assert "(800.00 TUSD of its budget is left" in told
    # Another's, another outcome's, and one that has ended before are none.
    stranger = service.sign_in(wallet("stranger"), "operator")
    for client, outcome, deal in (
        (stranger, "subscribed", {}),
        (operator, "activated", {}),
        (operator, "subscribed", {"opens_in": "31 days", "closes_in": "40 days"}),
    ):
        told_to = drafted_for(client, surface, outcome, **deal)
        assert not [text for text in told_to if "same outcome" in text]


def test_an_open_contract_in_another_token_is_told_in_that(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "other-token")
    give_level(service, surface, wallet("operator"), token=bytes(31) + b"\7")
    (told,) = (
        text for text in drafted_for(operator, surface, "subscribed") if "same outcome" in text
    )
    assert "(800,000,000 base units of its budget is left" in told


def drafted_for(client: httpx.Client, surface: str, outcome: str, **deal: str) -> list[str]:
    """Return the cautions about a deal for an outcome."""
    deal = {"outcome": outcome, "price": "8.00", "budget": "80.00"} | deal
    cautions: list[str] = drafted(client, surface, deal=deal)["cautions"]
    return cautions


@pytest.mark.parametrize(
    ("deal", "code"),
    [
        (DEAL | {"outcome": "delighted"}, "outcome-unknown"),
        (DEAL | {"price": "8.0000001"}, "price-malformed"),
        (DEAL | {"price": 8}, "invalid"),
        (DEAL | {"opens_at": "2025-12-31T00:00:00Z"}, "opens-in-past"),
        (DEAL | {"colour": "red"}, "invalid"),
    ],
)
def test_a_deal_that_cannot_be_is_refused(
    operator: httpx.Client, surface: str, deal: dict[str, Any], code: str
) -> None:
    answer = operator.post(f"/v1/surfaces/{surface}/drafts", json={"deal": deal})
    problem_of(answer, 422, code)


def test_drafts_need_a_surface_and_a_scope(service: ApiService, operator: httpx.Client) -> None:
    path = "/v1/surfaces/0x" + "99" * 32 + "/drafts"
    problem_of(operator.post(path, json={"deal": DEAL}), 404, "not-found")
    reader = service.sign_in(wallet("reader"), "operator:read")
    problem_of(reader.post(path, json={"deal": DEAL}), 403, "scope-missing")
