"""The OpenAPI description is true: random requests that it allows get answers that it describes."""

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.context import Limits
from tests.support.api_service import Stage, event, leads, open_surface, report, stage, wallet
from tests.support.depth import examples


@schemathesis.serializer("application/x-ndjson")
def lines(_: object, value: object) -> bytes:
    """An array as newline-delimited JSON; anything else as it is."""
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


description = schemathesis.pytest.from_fixture("described")


@pytest.fixture(scope="module")
def here(module_database_url: str) -> Any:
    """A service that random requests do not exhaust."""
    with stage(module_database_url, Limits(source_per_s=1000, source_burst=100_000)) as running:
        yield running


# By what status a request that the description forbids may be turned away. 413 is among them: a
# list with too many items is often too large a body before anybody has counted.
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]


@pytest.fixture(scope="module")
def described(here: Stage) -> Any:
    checks = {"negative_data_rejection": {"expected-statuses": REFUSALS}}
    config = SchemathesisConfig.from_dict({"checks": checks})
    return schemathesis.openapi.from_url(f"{here.url}/v1/openapi.json", config=config)


@pytest.fixture(scope="module")
def caller(here: Stage) -> httpx.Client:
    """Someone who may do everything that an account can be allowed to do."""
    return here.sign_in(wallet("owner"), "owner", "operator")


@pytest.fixture(scope="module")
def known(caller: httpx.Client) -> dict[str, object]:
    """A surface that is there, and one lead of it."""
    surface = open_surface(caller, "described")
    report(caller, surface, "one", event())
    return {"surface": surface, "lead": leads(caller, surface)[0]["lead"]}


def test_errors_media_types_and_keys_are_described(here: Stage) -> None:
    told = here.http.get("/v1/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    public = ("/v1/log", "/v1/policies", "/v1/contracts", "/v1/receipts", "/v1/sign-in")
    for path, item in told["paths"].items():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                expected = "application/json" if status < "300" else "application/problem+json"
                assert set(answer.get("content", {expected: 0})) == {expected}
            assert bool(operation.get("security")) != path.startswith(public), path
    for model in ("BulkProductEvent", "BulkTouch", "Problem"):
        assert model in told["components"]["schemas"]
    assert "HTTPValidationError" not in told["components"]["schemas"]


def test_every_reference_leads_somewhere(here: Stage) -> None:
    told = here.http.get("/v1/openapi.json")
    names = {part.split('"')[0] for part in told.text.split('"#/components/schemas/')[1:]}
    assert names <= set(told.json()["components"]["schemas"])


# What JSON Schema cannot say of these: fields that depend on each other or on the log, and
# that 1.0 is no integer. All else about their answers is checked.
MORE_THAN_A_SCHEMA_SAYS = {
    "GET /v1/log/proofs/inclusion",
    "GET /v1/log/proofs/consistency",
    "GET /v1/log/proofs/run",
    "POST /v1/surfaces",
    "POST /v1/surfaces/{surface}/policy",
    "POST /v1/surfaces/{surface}/events",
    "POST /v1/surfaces/{surface}/events/bulk",
    "POST /v1/surfaces/{surface}/erasures",
    "POST /v1/surfaces/{surface}/touches/bulk",
    "POST /v1/proposals",
    "POST /v1/sign-in",
}


@description.parametrize()
@settings(examples(8, deep=32), suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(
    case: Case[Any], here: Stage, caller: httpx.Client, known: dict[str, object]
) -> None:
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        for name in set(case.path_parameters or ()) & set(known):
            case.path_parameters[name] = known[name]
    client = caller
    if case.method == "DELETE":
        client = here.sign_in(wallet("owner"), "owner")
    demanding = case.operation.label in MORE_THAN_A_SCHEMA_SAYS
    # Where the case has no key, or none of its form, that is what it tries.
    if str(case.headers.get("Authorization")).startswith("Bearer "):
        case.headers["Authorization"] = client.headers["Authorization"]
    case.call_and_validate(excluded_checks=[positive_data_acceptance] if demanding else [])
