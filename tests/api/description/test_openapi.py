"""The description: errors with closed codes, exactly those that an operation can answer."""

from typing import Any

import pytest
from fastapi import FastAPI

from api.description.openapi import describe
from api.http import problems
from api.http.json_input import StrictRoute
from api.rules import rules
from tests.support.api_service import ApiService
from tests.support.described import codes_of


@pytest.fixture(scope="module")
def description(service: ApiService) -> Any:
    return service.get("/v1/openapi.json")


def test_an_operation_lists_what_it_can_answer(description: Any) -> None:
    assert codes_of(description["paths"]["/v1/surfaces/{surface}/sources/{source}"]["put"]) == {
        "400": ["header-doubled", "json-malformed", "length-malformed"],
        "401": ["key-expired", "key-malformed", "key-missing", "key-revoked", "key-unknown"],
        "403": ["delegate-forbidden", "not-the-owner", "scope-missing", "surface-forbidden"],
        "404": ["not-found"],
        "413": ["body-too-large"],
        "415": ["media-type"],
        "422": ["invalid", "query-invalid"],
        "429": ["connections-many", "rate-limited", "too-many-at-once"],
        "500": ["internal"],
        "503": ["unavailable"],
    }
    # Without a key and without a body there is less to break.
    assert codes_of(description["paths"]["/v1/contracts/{contract}"]["get"]) == {
        "400": ["header-doubled", "length-malformed"],
        "404": ["not-found"],
        "413": ["body-too-large"],
        "422": ["invalid", "query-invalid"],
        "429": ["connections-many", "rate-limited", "reads-busy"],
        "500": ["internal"],
        "503": ["reads-busy", "unavailable"],
    }


def test_every_error_of_every_operation_has_its_codes(description: Any) -> None:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            for status, codes in codes_of(operation).items():
                assert codes, (method, path, status)
    # Nothing is left of how routes tell them.
    assert problems.CODES not in str(description)


def test_a_status_without_a_rule_is_not_described() -> None:
    app = FastAPI(responses=problems.documented(422))
    app.router.route_class = StrictRoute

    @app.get("/some", responses=problems.documented(404, 409, rules(404, "lead-unknown")))
    def some() -> None: ...

    assert codes_of(describe(app)["paths"]["/some"]["get"]).keys() == {
        *("400", "404", "413", "422", "429", "500", "503")
    }
