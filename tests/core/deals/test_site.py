"""The description of a deployment: one JSON form, and the contracts that it settles."""

import dataclasses
import json
from typing import Any

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.site import Addresses, Funds, Site, TokenInfo
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.origins import NO_ORIGINS
from tests.support.terms import ESCROW, FEES, LOG, OPERATOR, OWNER, PLAIN, TOKEN, VERIFIER

SITE = Site(
    addresses=Addresses(31337, LOG, ESCROW, start_block=7, feedback=OWNER),
    log_id=b"\x01" * 32,
    origin="log.example",
    registrant=OPERATOR,
    verifier=VERIFIER,
    tokens=(TokenInfo(TOKEN, "USDC", 6),),
    fee_bps=250,
    fee_recipient=FEES,
)


def test_a_site_survives_json() -> None:
    document = json.loads(json.dumps(SITE.to_json()))
    assert Site.from_json(document) == SITE
    assert document["feedback"] == OWNER
    assert document["evaluators"] is None


def test_addresses_are_read_in_any_case_and_get_their_checksum() -> None:
    document: dict[str, Any] = {
        "chain_id": "31337",
        "event_log": LOG.lower(),
        "escrow": ESCROW.lower(),
        "anything": "else",
    }
    assert Addresses.from_json(document) == Addresses(31337, LOG, ESCROW)


@pytest.mark.parametrize(
    "changes",
    [
        {"escrow": "0x12"},
        {"log_id": "0xzz"},
        {"log_id": 7},
        {"tokens": [{"address": TOKEN, "symbol": "USDC"}]},
        {"tokens": 7},
        {"fee_bps": "much"},
        {"fee_recipient": None},
        {"start_block": None},
        {"chain_id": []},
        *({"origin": one} for one in NO_ORIGINS),
    ],
)
def test_a_garbled_member_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        Site.from_json(SITE.to_json() | changes)
    assert caught.value.code == "site-malformed"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SITE.to_json()
        if name not in ("lens", "feedback", "evaluators", "rounds", "splits")
    ],
)
def test_a_missing_member_is_refused(name: str) -> None:
    document = SITE.to_json()
    del document[name]
    with pytest.raises(InputError, match="no site description"):
        Site.from_json(document)


@pytest.mark.parametrize("document", [None, [], "site", 7])
def test_what_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InputError, match="no site description"):
        Site.from_json(document)


@pytest.mark.parametrize(
    ("changes", "serves"),
    [
        ({}, True),
        ({"token": OWNER}, False),
        ({"fee_bps": 249}, False),
        ({"fee_recipient": ZERO_ADDRESS}, False),
        ({"payee": OPERATOR, "unit_price_units": 1}, True),
    ],
)
def test_a_site_serves_contracts_by_token_and_fee(changes: dict[str, Any], serves: bool) -> None:
    terms = dataclasses.replace(PLAIN, fee_bps=250, fee_recipient=FEES)
    assert SITE.serves(dataclasses.replace(terms, **changes)) is serves


def test_a_shortage_says_what_to_do() -> None:
    token = TokenInfo(TOKEN, "USDC", 6)

    def shortage(balance: int, allowance: int) -> str | None:
        return Funds(balance, allowance).shortage(5_000_000, OWNER, token, ESCROW)

    assert shortage(5_000_000, 5_000_000) is None
    assert shortage(4_999_999, 5_000_000) == (
        f"{OWNER} lacks 0.000001 USDC (1 base units): send it that much of {TOKEN}"
    )
    assert shortage(5_000_000, 1_000_000) == (
        f"the escrow may take 1.00 USDC (1000000 base units) only: have {OWNER} call "
        f"approve({ESCROW}, 5000000) on {TOKEN}"
    )
    assert "; " in (shortage(0, 0) or "")
