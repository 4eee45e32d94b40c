"""Deals at a server that lies: terms are made here, and those of another are not signed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.client import deals
from orchestrator.client.accounts import OperatorClient, wallet
from orchestrator.core.common.errors import DomainError, ReplayError, ServerError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms, contract_id, operator_consent_digest, recover
from orchestrator.core.surface import policy as policies
from tests.support.deals import SURFACE_POLICY
from tests.support.http_server import Request, serving_json
from tests.support.terms import ESCROW, FEES, NOW_S, OWNER, PAYEE, PLAIN, TOKEN, VERIFIER

SURFACE, POLICY = "0x" + "02" * 32, policies.parse(SURFACE_POLICY)
PINS = Pins(31337, ESCROW, PAYEE, "0x" + "10" * 32, VERIFIER, (TokenInfo(TOKEN, "USDC", 6),))
ASKED: dict[str, Any] = {
    "owner": OWNER,
    "policy": to_hex(POLICY.hash),
    "fee_bps": 250,
    "fee_recipient": FEES,
    # What is pinned is not asked for.
    "verifier": PAYEE,
    "escrow": PAYEE,
    "log_id": "0x" + "66" * 32,
    "tokens": [{"address": PAYEE, "symbol": "USDC", "decimals": 0}],
}
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5}


class Server:
    """A server whose answers a test changes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            f"/v1/surfaces/{SURFACE}": {"terms": ASKED, "settings_hash": None},
            f"/v1/policies/{to_hex(POLICY.hash)}": {"document": SURFACE_POLICY},
        }
        self.posted: list[Request] = []

    def answer(self, request: Request) -> object:
        if request.method == "POST":
            self.posted.append(request)
        return self.answers[request.path]


@contextmanager
def serving_deals() -> Iterator[tuple[Server, OperatorClient]]:
    server = Server()
    with (
        serving_json(server.answer) as url,
        OperatorClient(url, wallet(b"\2" * 32), "ann") as client,
    ):
        yield server, client


def drafted(client: OperatorClient) -> Terms:
    return deals.draft(client, PINS, SURFACE, DEAL, NOW_S).terms


def test_terms_hold_what_is_pinned_whatever_the_server_says() -> None:
    with serving_deals() as (_, client):
        terms = drafted(client)
    assert (terms.verifier, to_hex(terms.log_id), terms.token) == (VERIFIER, PINS.log_id, TOKEN)
    assert (terms.unit_price_units, terms.budget_units) == (8_000_000, 40_000_000)
    assert (terms.owner, terms.fee_bps, terms.policy) == (OWNER, 250, POLICY.hash)


def test_a_policy_that_is_another_is_refused() -> None:
    with serving_deals() as (server, client):
        path = f"/v1/policies/{to_hex(POLICY.hash)}"
        server.answers[path] = {"document": SURFACE_POLICY | {"lateness_s": 1}}
        with pytest.raises(ReplayError, match="another document"):
            drafted(client)


@pytest.mark.parametrize(
    "changes", [{"policy": "0x12"}, {"fee_bps": "much"}, {"fee_bps": None}, {"policy": None}]
)
def test_what_is_no_surface_is_told(changes: dict[str, object]) -> None:
    with serving_deals() as (server, client):
        server.answers[f"/v1/surfaces/{SURFACE}"]["terms"] = ASKED | changes
        with pytest.raises(DomainError):
            drafted(client)


def test_terms_of_another_contract_are_not_taken_for_it() -> None:
    name = to_hex(contract_id(PLAIN, PINS.domain))
    other = "0x" + "77" * 32
    with serving_deals() as (server, client):
        for contract in (name, other):
            server.answers[f"/v1/proposals/{contract}"] = {"terms": PLAIN.to_json()}
        assert deals.proposed_terms(client, PINS, name) == PLAIN
        with pytest.raises(ServerError, match="other terms"):
            deals.proposed_terms(client, PINS, other)


def test_what_is_proposed_is_signed_for_the_pinned_escrow() -> None:
    with serving_deals() as (server, client):
        terms = drafted(client)
        server.answers["/v1/proposals"] = {"status": "proposed"}
        done = deals.propose(client, PINS, terms, answers=None)
        body = json.loads(server.posted[-1].body)
    signer = recover(
        operator_consent_digest(terms, PINS.domain), from_hex(body["operator_signature"])
    )
    assert signer == client.address
    assert done == (to_hex(contract_id(terms, PINS.domain)), terms, "proposed")


def proposal(status: str, *changes: tuple[str, str, str]) -> dict[str, object]:
    """Return a proposal as the server shows it, with the terms that its owner would change."""
    named = [dict(zip(("term", "before", "after"), each, strict=True)) for each in changes]
    return {"status": status, "counter_changes": named or None}


def test_an_owners_signature_is_waited_for() -> None:
    contract = "0x" + "77" * 32
    with serving_deals() as (server, client):
        path = f"/v1/proposals/{contract}"
        server.answers[path] = proposal("proposed")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                server.answers[path] = proposal("accepted")

        deals.wait_for_owner(client, contract, pause)
    assert pauses == [deals.LOOK_PAUSE_S] * 3


def test_what_else_becomes_of_a_proposal_is_told() -> None:
    contract = "0x" + "77" * 32
    with serving_deals() as (server, client):
        path = f"/v1/proposals/{contract}"
        for answer, code, told in (
            (proposal("expired"), "proposal-expired", "is expired"),
            (
                proposal("declined", ("price", "9.00", "8.00"), ("window", "1 day", "3 days")),
                "proposal-declined",
                "is declined; its owner would sign price 8.00, not 9.00; window 3 days, not 1 day",
            ),
            ({"status": 7}, "answer-garbled", "does not say"),
        ):
            server.answers[path] = answer
            with pytest.raises(ServerError) as refused:
                deals.wait_for_owner(client, contract)
            assert refused.value.code == code
            assert refused.value.message.endswith(told) or told == "does not say"


def test_cautions_are_the_servers_words_about_a_deal() -> None:
    with serving_deals() as (server, client):
        path = f"/v1/surfaces/{SURFACE}/drafts"
        server.answers[path] = {"cautions": ["one", "two"]}
        assert deals.served_cautions(client, SURFACE, DEAL) == ["one", "two"]
        assert json.loads(server.posted[-1].body) == {"deal": DEAL}
        server.answers[path] = {}
        with pytest.raises(ServerError, match="what to look at first"):
            deals.served_cautions(client, SURFACE, DEAL)
