"""Problems: the status and the text of every kind of error."""

import json

import psycopg
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError

from api.http import fields, problems
from api.http.middleware import RequestGuard
from orchestrator.core.common.errors import ChainError, LogError, RequestError
from orchestrator.core.common.names import SHORT_NAME_RULE
from orchestrator.core.world.requests import RETRYABLE
from tests.support.api_service import ApiService, answer_of, problem_of


def test_an_unknown_path_is_a_problem(service: ApiService) -> None:
    problem_of(service.http.get("/nowhere"), 404, "not-found")
    problem_of(service.http.get("/v1/log/"), 404, "not-found")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (psycopg.OperationalError("password=hunter2"), 503, "unavailable"),
        (ChainError("rpc-unreachable", "password=hunter2"), 503, "unavailable"),
        (LogError("root-mismatch", "password=hunter2"), 500, "internal"),
        (RuntimeError("password=hunter2"), 500, "internal"),
        (RequestError("policy-in-force", "3 contracts"), 409, "policy-in-force"),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int, code: str) -> None:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(RequestGuard)

    @app.get("/")
    def fail() -> None:
        raise error

    answer = answer_of(app)
    problem_of(answer, status, code)
    assert "hunter2" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("contract-unknown", 404),
        ("event-late", 422),
        ("event-ahead", 422),
        ("inbox-full", 503),
        ("policy-in-force", 409),
    ],
)
def test_a_refusal_of_the_log_has_the_status_of_its_rule(code: str, status: int) -> None:
    assert problems.status_of_refused(code) == status
    assert problems.status_of(RequestError(code, "a rule")) == status


@pytest.mark.parametrize(
    ("code", "is_retryable"),
    [(code, True) for code in sorted(RETRYABLE)] + [("event-late", False), ("not-found", False)],
)
def test_a_problem_says_if_time_changes_it(code: str, is_retryable: bool) -> None:
    body = json.loads(bytes(problems.response(409, code, "a rule").body))
    assert body.get("retry") is (True if is_retryable else None)


def test_a_fault_names_its_place_as_a_json_pointer() -> None:
    errors = [
        {"loc": ("body", "a/b~c", 0), "type": "missing", "msg": "is wrong"},
        {"loc": ("x" * 99,), "type": "missing", "msg": "too"},
    ]
    assert [fault.where for fault in problems.faults_of(errors[:1])] == ["body/a~1b~0c/0"]
    assert [fault.where for fault in problems.faults_of(errors[1:], "line 3")] == [
        f"line 3/{'x' * 61}..."
    ]


def test_a_fault_says_its_rule_in_words() -> None:
    class Asked(BaseModel):
        key: fields.Key
        name: fields.Name
        amount: fields.Amount
        time: fields.Moment

    asked = {"key": "a b", "name": "sign\u00fcp", "amount": "1e3", "time": "2026-02-30T00:00:00Z"}
    with pytest.raises(ValidationError) as caught:
        Asked.model_validate(asked)
    assert [fault.detail for fault in problems.faults_of(caught.value.errors(), "body")] == [
        "must be 1 to 128 visible ASCII characters, without spaces",
        f"must be {SHORT_NAME_RULE}, not 'sign\\xfcp'",
        'must be a decimal amount as text with at most 6 decimals, such as "29.90"',
        "'2026-02-30T00:00:00Z' is no time: day is out of range for month",
    ]
