"""Acceptance by rules: what they cover is signed and counted; of the rest it is said why not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.cli.deals.accept import read_rules
from orchestrator.client.accounts import OwnerClient
from orchestrator.connect.acceptor import accept_covered
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.deals.terms import Terms, operator_consent_digest
from orchestrator.storage.local.signed_budgets import open_ledger
from tests.support.api_service import (
    ESCROW,
    SETTINGS,
    START_MS,
    ApiService,
    give_level,
    open_surface,
    publish_settings,
    running_service,
    signed_digest,
    wallet,
)

NOW_S = START_MS // 1000
OWNER, OPERATOR = wallet("owner"), wallet("operator")


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url) as running:
        yield running


def rules_for(offer: Any, folder: Path, **changes: object) -> Path:
    document = {
        "chain_id": ESCROW.chain_id,
        "escrow": ESCROW.verifying_contract,
        "level": 1,
        "per_contract_units": 40_000_000,
        "outstanding_units": 60_000_000,
        "a_day_units": 100_000_000,
        "offers": {offer["offer"]: {"terms": offer["terms"], "lasts_s": offer["lasts_s"]}},
    }
    path = folder / "rules.yaml"
    path.write_text(json.dumps(document | changes))
    return path


def take(client: httpx.Client, offer: Any, **changes: Any) -> str:
    path = f"/v1/surfaces/{offer['surface']}/offers/{offer['offer']}/drafts"
    draft = client.post(path, json=changes).json()
    terms = Terms.from_json(draft["terms"])
    signature = signed_digest(OPERATOR, operator_consent_digest(terms, ESCROW))
    body = {"terms": draft["terms"], "operator_signature": signature, "offer": offer["offer"]}
    answer = client.post("/v1/proposals", json=body)
    assert answer.status_code == 201, answer.text
    name: str = answer.json()["contract_id"]
    return name


def test_what_the_rules_cover_is_signed_once_and_counted(
    service: ApiService, tmp_path: Path
) -> None:
    owner = service.sign_in(OWNER, "owner")
    operator = service.sign_in(OPERATOR, "operator")
    surface = open_surface(owner, "accept")
    give_level(service, surface, OPERATOR)
    offers = [
        owner.post(
            f"/v1/surfaces/{surface}/offers",
            json={"deal": {"outcome": outcome, "price": "8.00", "at_most": 50}},
        ).json()
        for outcome in ("activated", "subscribed")
    ]
    rules, ledger = read_rules(rules_for(offers[0], tmp_path)), tmp_path / "signed"
    covered, other = take(operator, offers[0]), take(operator, offers[1])

    def look(by: Any = rules) -> dict[str, str]:
        with OwnerClient(service.url, OWNER, "accept") as client:
            found = accept_covered(client, bytes(OWNER.key), by, ledger, NOW_S)
            return {one["contract_id"]: one["said"] for one in found}

    # Another deployment's rules make another digest, which the server turns away.
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    said = look(read_rules(rules_for(offers[0], wrong, level=2)))
    assert "level 1; the rules ask for 2" in said[covered]
    assert not ledger.read_text()

    said = look()
    assert said[covered] == "signed, for 40000000 base units"
    assert "which the rules lack" in said[other]
    assert owner.get(f"/v1/proposals/{covered}").json()["status"] == "accepted"
    assert owner.get(f"/v1/proposals/{other}").json()["status"] == "proposed"
    with open_ledger(ledger) as (signed, _):
        assert [(one.contract_id, one.budget_units) for one in signed] == [(covered, 40_000_000)]
    assert covered not in look()

    # What was signed stays counted, whatever the server makes of it.
    both = {one["offer"]: {"terms": one["terms"], "lasts_s": one["lasts_s"]} for one in offers}
    said = look(read_rules(rules_for(offers[0], tmp_path, offers=both)))
    assert "outstanding_units would be 80000000; the rules allow 60000000" in said[other]


def test_a_level_that_is_lost_or_suspended_signs_nothing(
    service: ApiService, tmp_path: Path
) -> None:
    """The level that the log has written last stands until the operator's next act."""
    owner = service.sign_in(OWNER, "owner")
    operator = service.sign_in(OPERATOR, "operator")
    surface = open_surface(owner, "lost")
    assert publish_settings(owner, surface, SETTINGS, "lost").is_success
    give_level(service, surface, OPERATOR)
    deal = {"outcome": "activated", "price": "8.00", "at_most": 50}
    path = f"/v1/surfaces/{surface}"
    offer = owner.post(f"{path}/offers", json={"deal": deal, "level": 2}).json()
    with service.admin() as admin:
        admin.execute("UPDATE standings SET level = 2 WHERE surface = %s", (from_hex(surface),))
        name = take(operator, offer)
        admin.execute(
            "UPDATE standings SET document ="
            " jsonb_set(document::jsonb, '{disputes_lost}', '1') WHERE surface = %s",
            (from_hex(surface),),
        )

    def look(level: int) -> str:
        rules = read_rules(rules_for(offer, tmp_path, level=level))
        with OwnerClient(service.url, OWNER, "accept") as client:
            found = accept_covered(client, bytes(OWNER.key), rules, tmp_path / "signed", NOW_S)
            return next(one["said"] for one in found if one["contract_id"] == name)

    assert "level 1; the rules ask for 2" in look(2)
    suspended = f"{path}/operators/{OPERATOR.address}/suspension"
    headers = {"Idempotency-Key": "lost"}
    assert owner.post(suspended, json={"reason": "spam"}, headers=headers).is_success
    assert "level 0; the rules ask for 1" in look(1)
