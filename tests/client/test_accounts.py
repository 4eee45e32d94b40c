"""Clients of accounts: they sign in when they must, send in bulk, and need no server's code."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import accounts
from orchestrator.client.accounts import (
    EventReport,
    LeadSummary,
    OperatorClient,
    OwnerClient,
    PartyClient,
    wallet,
)
from orchestrator.core.account.scopes import SCOPE_SETS
from orchestrator.core.account.sign_in import Audience, read_message
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.terms import (
    SET_BY_SURFACE,
    Terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
    recover,
)
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.http_server import Refusal, Request, serving_json
from tests.support.terms import DOMAIN, PLAIN

OWNER, OPERATOR = wallet(b"\1" * 32), wallet(b"\2" * 32)
IMPORTS = """
import sys
import orchestrator.client.accounts, orchestrator.client.log_server
print(" ".join(sorted(sys.modules)))
"""


class Server:
    """A server that takes a key for two requests, and keeps what it was sent."""

    uses = 2

    def __init__(self) -> None:
        self.signed_in = 0
        self.left = 0
        self.requests: list[Request] = []
        self.nonce: dict[str, object] = {}
        self.messages: list[str] = []
        self.proposals: list[dict[str, Any]] = []

    def answer(self, request: Request) -> object:
        if request.path == "/v1/sign-in/nonce":
            assert "Authorization" not in request.headers
            return self.asked(request)
        if request.path == "/v1/sign-in":
            self.signed_in += 1
            self.messages.append(json.loads(request.body)["message"])
            self.left = self.uses
            return {"key": f"key-{self.signed_in}"}
        if not self.left or request.headers["Authorization"] != f"Bearer key-{self.signed_in}":
            return Refusal(401, {"title": "Unauthorized", "detail": "the key has expired"})
        self.left -= 1
        self.requests.append(request)
        return self.answer_account(request)

    def asked(self, request: Request) -> dict[str, object]:
        """Return what a sign-in needs, with what the test makes of it."""
        host = request.headers["Host"]
        facts = {"nonce": "f" * 32, "time_ms": 1_767_222_000_000, "domain": host}
        facts["expires_ms"] = 1_767_225_600_000
        return facts | {"uri": f"http://{host}", "chain_id": 31337} | self.nonce

    def answer_account(self, request: Request) -> object:
        if request.path.endswith("/bulk"):
            return {"results": [json.loads(line)["id"] for line in request.body.splitlines()]}
        if request.path.endswith("/proposals") and request.method == "GET":
            return {"proposals": self.proposals, "next": None}
        if request.path == "/v1/surfaces/0x02":
            return {"terms": surface_terms()}
        return {"method": request.method}


def surface_terms() -> dict[str, object]:
    """Return the terms that a surface fixes, as the API states them."""
    document = PLAIN.to_json()
    fixed = {name: document[name] for name in SET_BY_SURFACE}
    return {**fixed, "tokens": [{"address": PLAIN.token}]}


@contextmanager
def running() -> Iterator[tuple[Server, str]]:
    server = Server()
    with serving_json(server.answer) as url:
        yield server, url


def test_the_client_needs_none_of_the_servers_code() -> None:
    """A company that uses the client installs no database driver, no web3 and no web framework."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("orchestrator.")}
    assert ours == {"client", "core"}
    assert not {"web3", "psycopg", "fastapi", "api"} & set(loaded)


def test_a_client_signs_in_again_when_its_key_has_expired() -> None:
    with running() as (server, url), OwnerClient(url, OWNER, "owner") as owner:
        for _ in range(5):
            owner.get("/v1/anything")
    assert server.signed_in == 3
    assert len(server.requests) == 5


def test_a_key_that_is_refused_at_once_is_no_reason_to_try_for_ever() -> None:
    with running() as (server, url), OwnerClient(url, OWNER, "owner") as owner:
        server.uses = 0
        with pytest.raises(ServerError) as refused:
            owner.get("/v1/anything")
    assert refused.value.code == "http-401"
    assert server.signed_in == 1


@pytest.mark.parametrize(
    ("nonce", "code"),
    [
        ({"uri": "https://elsewhere.example"}, "audience-differs"),
        ({"domain": "elsewhere.example"}, "audience-differs"),
        ({"chain_id": 1}, "audience-differs"),
        ({"nonce": "f" * 32 + "\nIssued At: now"}, "answer-garbled"),
        ({"expires_ms": 2**50}, "answer-garbled"),
        ({"nonce": None}, "answer-garbled"),
    ],
)
def test_nothing_is_signed_that_another_could_use(nonce: dict[str, object], code: str) -> None:
    with running() as (server, url):
        server.nonce = nonce | {"message": "a message of the server's own"}
        client = OwnerClient(url, OWNER, "owner", chain_id=31337)
        with client, pytest.raises(ServerError) as refused:
            client.sign_in()
    assert refused.value.code == code
    assert server.messages == []


def test_the_message_is_the_clients_own() -> None:
    with running() as (server, url), OwnerClient(url, OWNER, "owner") as owner:
        server.nonce = {"message": "a message of the server's own"}
        owner.sign_in()
    (message,) = server.messages
    asked = read_message(
        Audience(url.removeprefix("http://"), url, 31337), message, 1_767_225_000_000
    )
    assert (asked.address, asked.scopes) == (OWNER.address, SCOPE_SETS["owner"])


def test_events_are_sent_in_bulk_and_answered_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "BULK_LINES", 2)
    events = [EventReport(f"{n}", "ann", "buy", "7.50", 1_700_000_000_000 + n) for n in range(3)]
    with running() as (server, url), OwnerClient(url, OWNER, "owner") as owner:
        assert owner.report_events("0x02", events) == ["0", "1", "2"]
        owner.report_event("0x02", events[1], wait_s=5)
    assert [len(request.body.splitlines()) for request in server.requests] == [2, 1, 1]
    single = server.requests[-1]
    assert (single.headers["Idempotency-Key"], single.headers["Prefer"]) == ("1", "wait=5")
    assert json.loads(single.body) == {
        "lead": "ann",
        "event": "buy",
        "value": "7.50",
        "time": "2023-11-14T22:13:20.001Z",
    }


def test_an_erasure_has_a_key_that_does_not_name_the_lead() -> None:
    with running() as (server, url), OwnerClient(url, OWNER, "owner") as owner:
        for _ in range(2):
            owner.erase("0x02", "ann@example.com")
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(set(keys)) == 2
    assert not any("ann" in key for key in keys)


def test_touches_of_one_occasion_have_the_same_ids() -> None:
    leads = [LeadSummary(name, "new", 0, 0) for name in ("0xaa", "0xbb")]
    with running() as (server, url), OperatorClient(url, OPERATOR, "ann") as operator:
        first = operator.touch("0x02", leads, "email", "monday")
        assert operator.touch("0x02", leads, "email", "monday") == first
    assert first == ["monday-0xaa", "monday-0xbb"]
    assert server.requests[0].path == "/v1/surfaces/0x02/touches/bulk"


def test_a_proposal_is_signed_by_the_operator_and_accepted_by_the_owner() -> None:
    deal = {
        "outcome": "activated",
        "unit_price_units": "8000000",
        "budget_units": "400000000",
        "opens_at_s": PLAIN.opens_at_s,
        "deadline_s": PLAIN.deadline_s,
        "attribution_window_s": PLAIN.attribution_window_s,
        "grace_s": PLAIN.grace_s,
    }
    with (
        running() as (server, url),
        OperatorClient(url, OPERATOR, "ann") as operator,
        OwnerClient(url, OWNER, "owner") as owner,
    ):
        server.uses = 100
        id_ = operator.propose("0x02", DOMAIN, **deal)
        proposal = json.loads(server.requests[-1].body)
        terms = proposal["terms"]
        consent = operator_consent_digest(Terms.from_json(terms), DOMAIN)
        assert recover(consent, from_hex(proposal["operator_signature"])) == operator.address
        server.proposals = [
            {"status": "proposed", "contract_id": to_hex(id_), "terms": terms},
            {"status": "accepted", "contract_id": to_hex(id_), "terms": terms},
            {
                "status": "proposed",
                "contract_id": to_hex(id_),
                "terms": {**terms, "owner": PLAIN.token},
            },
        ]
        (accepted,) = owner.accept_all("0x02", DOMAIN)
        posted = [request for request in server.requests if request.path.endswith("/accept")]
    assert contract_id(accepted, DOMAIN) == id_
    assert accepted.is_plain
    assert (accepted.operator, accepted.payee) == (operator.address, operator.address)
    assert accepted.arbiter == ZERO_ADDRESS
    assert len(posted) == 1
    signature = from_hex(json.loads(posted[0].body)["owner_signature"])
    assert recover(owner_consent_digest(accepted, DOMAIN), signature) == owner.address


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "lost"},
        {"status": ["accepted"]},
        {"terms": {"opens_at_s": 1 << 40}},
        {"terms": {"opens_at_s": -1}},
        {"opening": {"tries": -1}},
        {"opening": {"next_ms": 1 << 63}},
        {"opening": 7},
    ],
)
def test_a_proposal_that_none_can_be_is_refused(changes: dict[str, object]) -> None:
    told: dict[str, Any] = {"status": "accepted", "opened_by": "service", "opening": None}
    told |= {"terms": {"opens_at_s": 7}}
    with serving_json(lambda _: told) as url, PartyClient(url, OWNER, "why") as client:
        assert client.proposal(bytes(32)).opens_at_ms == 7000
    with (
        serving_json(lambda _: told | changes) as url,
        PartyClient(url, OWNER, "why") as client,
        pytest.raises(ServerError, match="does not say what became of the proposal"),
    ):
        client.proposal(bytes(32))


@pytest.mark.parametrize("told", [None, [], {}, {"results": 7, "allowed": [7], "leads": [{}]}])
def test_what_an_agent_is_told_in_another_shape_is_the_servers_fault(told: object) -> None:
    with serving_json(lambda _: told) as url, OperatorClient(url, OPERATOR, "agent") as client:
        lead = LeadSummary("ann", "new", 0, 0)
        for said, ask in (
            ("what became of each line", lambda: client.touch("0x02", [lead], "email", "once")),
            ("which actions are allowed", lambda: client.act("0x02", [lead], "email", "once")),
            ("what its leads are|no page of leads", lambda: client.leads("0x02", "new")),
        ):
            with pytest.raises(ServerError, match=said) as refused:
                ask()
            assert refused.value.code == "answer-garbled"
