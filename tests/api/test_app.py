"""The OpenAPI description is true: random requests that it allows get answers that it describes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.app import create_app
from api.context import ChainReads, ServiceInfo
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.limits import Limits
from orchestrator.core.deals.site import Funds
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.storage.database import API
from tests.support.api_service import (
    ESCROW,
    EVENT_LOG,
    LOG_ID,
    START_MS,
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    report,
    touch,
    wallet,
)
from tests.support.depth import PROFILE, deep_only, examples
from tests.support.servers import open_as


def test_the_api_loads_neither_backtests_nor_chains() -> None:
    """The API is deployed alone; what it needs from the chain is handed in."""
    script = "import sys, api.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "orchestrator.core.common.units" in loaded
    for name in ("orchestrator.backtest", "orchestrator.chain", "orchestrator.simulation", "yaml"):
        assert not [module for module in loaded if (module + ".").startswith(name + ".")]


def test_contracts_on_two_chains_make_no_app(database_url: str) -> None:
    with open_as(database_url, API) as database, pytest.raises(ChainError, match="chain 31337"):
        create_app(
            database=database,
            log_id=LOG_ID,
            now_ms=lambda: START_MS,
            escrow_domain=ESCROW,
            event_log_domain=EVENT_LOG._replace(chain_id=1),
            chain=ChainReads(
                lambda *_: False, lambda _: (), lambda: None, lambda _: [], lambda *_: Funds(0, 0)
            ),
            info=ServiceInfo("http://x", "x", "", "", (), 0, ZERO_ADDRESS),
        )


def test_a_wrong_method_is_answered_with_the_right_ones(service: ApiService) -> None:
    answer = service.http.put("/v1/log")
    problem_of(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET"
    assert service.http.put("/v1/surfaces").headers["Allow"] == "GET, POST"


@schemathesis.serializer("application/x-ndjson")
def lines(_: object, value: object) -> bytes:
    """An array as newline-delimited JSON; anything else as it is."""
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


# A stream has no end; its own tests try it.
description = schemathesis.pytest.from_fixture("described").exclude(path="/v1/stream")
drawn_description = schemathesis.pytest.from_fixture("drawn").exclude(path="/v1/stream")


# Random requests do not exhaust them.
LIMITS = Limits(source_sign_ins_a_minute=100_000, source_reads_a_minute=100_000, acts_a_day=10**6)


# The statuses with which a request that the description forbids may be refused. 413 is among them:
# a list with too many items is often too large a body before its items are counted.
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]


@pytest.fixture(scope="module")
def described(service: ApiService) -> Any:
    """The service's description; a deep run also tries each limit of each field, one by one."""
    checks = {"negative_data_rejection": {"expected-statuses": REFUSALS}}
    phases = {"coverage": {"enabled": PROFILE == "deep"}}
    config = SchemathesisConfig.from_dict({"checks": checks, "phases": phases})
    return schemathesis.openapi.from_url(f"{service.url}/v1/openapi.json", config=config)


@pytest.fixture(scope="module")
def drawn(service: ApiService) -> Any:
    """The same description, of which requests that it allows are drawn at random."""
    checks = {"negative_data_rejection": {"expected-statuses": REFUSALS}}
    phases = {"examples": {"enabled": False}, "coverage": {"enabled": False}}
    generation = {"mode": "positive"}
    config = SchemathesisConfig.from_dict(
        {"checks": checks, "phases": phases, "generation": generation}
    )
    return schemathesis.openapi.from_url(f"{service.url}/v1/openapi.json", config=config)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """A connection that all cases share: to make one, and its TLS, takes longer than to use it."""
    with requests.Session() as shared:
        yield shared


@pytest.fixture(scope="module")
def caller(service: ApiService) -> httpx.Client:
    """An account with both scopes, so that it may do all that an account can."""
    return service.sign_in(wallet("owner"), "owner", "operator")


@pytest.fixture(scope="module")
def known(caller: httpx.Client) -> dict[str, object]:
    """A surface that is there, the caller's board on it, and one lead of it."""
    surface = open_surface(caller, "described")
    report(caller, surface, "one", event())
    return {"surface": surface, "board": surface, "lead": leads(caller, surface)[0]["lead"]}


# What is no JSON.
OTHER_MEDIA = {
    ("/v1/stream", "200"): "text/event-stream",
    ("/v1/log/bundles", "200"): "application/octet-stream",
}


def test_errors_media_types_and_keys_are_described(service: ApiService) -> None:
    reply = service.http.get("/v1/openapi.json").json()
    assert reply["openapi"].startswith("3.1")
    public = (
        *("/v1/clock", "/v1/log", "/v1/policies", "/v1/settings", "/v1/contracts", "/v1/receipts"),
        *("/v1/sign-in", "/v1/stream", "/v1/clock"),
    )
    directory = {
        ("get", "/v1/surfaces"),
        ("get", "/v1/surfaces/{surface}/answers"),
        ("get", "/v1/surfaces/{surface}/totals"),
        ("get", "/v1/surfaces/{surface}/offers"),
        ("get", "/v1/surfaces/{surface}/agent-card.json"),
        ("get", "/v1/operators/{operator}/agent-card.json"),
        ("get", "/v1/operators"),
        ("get", "/v1/operators/{operator}/record"),
    }
    for path, item in reply["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                expected = "application/json" if status < "300" else "application/problem+json"
                expected = OTHER_MEDIA.get((path, status), expected)
                assert set(answer.get("content", {expected: 0})) == {expected}
            is_public = (
                path.startswith(public)
                or (path.endswith("/why") and not path.startswith("/v1/requests"))
                or (method, path) in directory
            )
            assert bool(operation.get("security")) != is_public, path
    for model in ("BulkProductEvent", "BulkTouch", "Problem", "StreamedEntry", "Resume"):
        assert model in reply["components"]["schemas"]
    assert "HTTPValidationError" not in reply["components"]["schemas"]


def test_every_reference_leads_somewhere(service: ApiService) -> None:
    reply = service.http.get("/v1/openapi.json")
    names = {part.split('"')[0] for part in reply.text.split('"#/components/schemas/')[1:]}
    assert names <= set(reply.json()["components"]["schemas"])


# An answer that has not ended by then is a failure, and not a test that waits for ever.
DEADLINE_S = 60

# What JSON Schema cannot say of these: fields that depend on each other or on the log, and
# that 1.0 is no integer. All else about their answers is checked.
MORE_THAN_A_SCHEMA_SAYS = {
    "GET /v1/log/search",
    "GET /v1/log/proofs/inclusion",
    "GET /v1/log/proofs/consistency",
    "GET /v1/log/proofs/run",
    "POST /v1/surfaces",
    "POST /v1/surfaces/{surface}/policy",
    "POST /v1/surfaces/{surface}/settings",
    "POST /v1/surfaces/{surface}/forecasts",
    "POST /v1/surfaces/{surface}/events",
    "POST /v1/surfaces/{surface}/events/bulk",
    "POST /v1/surfaces/{surface}/erasures",
    "POST /v1/surfaces/{surface}/touches",
    "POST /v1/surfaces/{surface}/touches/bulk",
    "POST /v1/proposals",
    "POST /v1/surfaces/{surface}/actions",
    "POST /v1/surfaces/{surface}/actions/{position}/taken",
    "POST /v1/surfaces/{surface}/codes",
    "POST /v1/surfaces/{surface}/drafts",
    "POST /v1/surfaces/{surface}/offers",
    "POST /v1/surfaces/{surface}/offers/{offer}/drafts",
    "POST /v1/proposals/{contract}/counter",
    "POST /v1/sign-in",
    "POST /v1/keys",
    "POST /v1/keys/{key}/rotation",
    "PATCH /v1/keys/{key}",
    "POST /v1/webhooks",
    "PATCH /v1/webhooks/{webhook}",
    "POST /v1/webhooks/{webhook}/rotation",
    "PUT /v1/boards/{board}/leases/{item}",
    "POST /v1/boards/{board}/leases/{item}/release",
    "POST /v1/boards/{board}/messages",
    "PUT /v1/profile",
    "PUT /v1/surfaces/{surface}/memory/{key}",
}


@description.parametrize()
@settings(examples(1, deep=32), suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(
    case: Case[Any],
    service: ApiService,
    session: requests.Session,
    caller: httpx.Client,
    known: dict[str, object],
) -> None:
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        for name in set(case.path_parameters or ()) & set(known):
            case.path_parameters[name] = known[name]
        case.query.pop("wait_s", None)
    client = caller
    if case.method == "DELETE":
        # It may end every key of its account.
        client = service.sign_in(wallet("leaver"), "owner", "operator")
    demanding = case.operation.label in MORE_THAN_A_SCHEMA_SAYS
    # Where the case has no key, or none of its form, that is what it tries.
    if str(case.headers.get("Authorization")).startswith("Bearer "):
        case.headers["Authorization"] = client.headers["Authorization"]
    case.call_and_validate(
        session=session,
        timeout=DEADLINE_S,
        excluded_checks=[positive_data_acceptance] if demanding else [],
    )


# --- Each role, beside another tenant's data ------------------------------------------------------

CANARY = "canary-5ba1e"
# By role: the scopes of its wallet's key, and what of it a delegate has; None for the wallet.
ROLES: dict[str, tuple[str, dict[str, object] | None] | None] = {
    "no key": None,
    "operator": ("operator", None),
    "delegate": ("operator", {"scopes": ["operator:touch"]}),
    "owner": ("owner", None),
    "reviewer": ("owner", {"scopes": ["reviewer"]}),
    "reader": ("owner", {"scopes": ["reader"]}),
}


def client_of(service: ApiService, role: str) -> httpx.Client:
    """Return a client of a role, with a key of its own."""
    found = ROLES[role]
    if found is None:
        return httpx.Client(base_url=service.url)
    scopes, delegated = found
    client = service.sign_in(wallet(f"roles {scopes}"), scopes)
    if delegated is None:
        return client
    answer = client.post("/v1/keys", json={"name": role, **delegated})
    assert answer.status_code == 201, answer.text
    return service.client(answer.json()["key"])


@pytest.fixture(scope="module")
def canaries(service: ApiService) -> dict[str, object]:
    """Plant data of another tenant that name the canary; return how paths name it."""
    owner = service.sign_in(wallet("canary owner"), "owner")
    operator = wallet("canary operator")
    agent = service.sign_in(operator, "operator")
    surface = open_surface(owner, "another")
    give_level(service, surface, operator)
    answers = [
        report(owner, surface, f"{CANARY}-event", event(f"{CANARY}-lead")),
        agent.put(f"/v1/surfaces/{surface}/memory/{CANARY}", json={"value": CANARY}),
        agent.put(
            "/v1/profile",
            json={"display_name": "Another", "contact": f"{CANARY}@x.org"},
        ),
        agent.post("/v1/keys", json={"name": CANARY, "scopes": ["operator:read"]}),
        agent.put(f"/v1/boards/{surface}/leases/{CANARY}", json={}),
        agent.post(
            f"/v1/boards/{surface}/messages",
            json={"kind": "result", "item": CANARY, "body": {"said": CANARY}},
        ),
    ]
    assert [answer.status_code // 100 for answer in answers] == [2] * 6
    lead = leads(agent, surface)[0]["lead"]
    assert touch(agent, surface, f"{CANARY}-touch", lead, "email").status_code // 100 == 2
    # The owner sees its own; else nothing would show that the others do not.
    assert CANARY in owner.get(f"/v1/surfaces/{surface}/leads").text
    assert CANARY in agent.get(f"/v1/surfaces/{surface}/memory").text
    return {
        "surface": surface,
        "board": surface,
        "lead": lead,
        "operator": operator.address,
        "key": answers[3].json()["id"],
        "request_id": answers[0].json()["request_id"],
    }


@pytest.fixture(scope="module")
def roles(service: ApiService) -> dict[str, httpx.Client]:
    return {role: client_of(service, role) for role in ROLES}


@deep_only
@drawn_description.parametrize()
@settings(examples(1, deep=8), suppress_health_check=list(HealthCheck))
def test_no_role_is_shown_another_tenants_data(
    case: Case[Any],
    service: ApiService,
    session: requests.Session,
    roles: dict[str, httpx.Client],
    canaries: dict[str, object],
) -> None:
    """Each answer is described, none is a failure, and the canary is in none of them."""
    for name in set(case.path_parameters or ()) & set(canaries):
        case.path_parameters[name] = canaries[name]
    case.query.pop("wait_s", None)
    for role, usual in roles.items():
        # It may end its own key.
        client = client_of(service, role) if case.method == "DELETE" else usual
        case.headers.pop("Authorization", None)
        if "Authorization" in client.headers:
            case.headers["Authorization"] = client.headers["Authorization"]
        answer = case.call_and_validate(
            session=session, timeout=DEADLINE_S, excluded_checks=[positive_data_acceptance]
        )
        assert CANARY.encode() not in answer.content, role
