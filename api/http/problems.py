"""Errors as `application/problem+json` (RFC 9457), and the only place that gives codes a status.

`code` is stable and names the violated rule; `detail` is one sentence for a person. A failure
inside the service is logged, and its cause is never sent to the caller.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.http.fields import PATTERN_RULES
from api.rules import BY_STATUS, Rules, joined
from orchestrator.core.common.errors import (
    ChainError,
    DocumentError,
    DomainError,
    EntryError,
    InputError,
    ProofError,
    RequestError,
    SignInError,
    TermsError,
    WhyError,
)
from orchestrator.core.intake.found import IntakeError
from orchestrator.core.world.requests import RETRYABLE
from orchestrator.storage.database import DatabaseError, Unreachable, is_away
from orchestrator.storage.sql.sqlstates import ACCOUNT_FULL, ALL_FULL

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
RETRY_S = 2
_UNAVAILABLE = 503
# Where a response has its codes until the API is described.
CODES = "x-codes"

logger = logging.getLogger("tallystick.api")

# The status of an area of the domain, unless the rule has one of its own.
_STATUS_BY_AREA: dict[type[DomainError], int] = {
    EntryError: 422,
    InputError: 422,
    DocumentError: 422,
    ProofError: 422,
    TermsError: 422,
    RequestError: 409,
    SignInError: 401,
    ChainError: 503,
    WhyError: 404,
    IntakeError: 422,
}
_STATUS_BY_CODE = {
    "code-unknown": 404,
    "contract-unknown": 404,
    "event-ahead": 422,
    "event-late": 422,
    "inbox-full": 503,
    "json-malformed": 400,
    "kind-not-listed": 422,
    "message-malformed": 422,
    "scopes-unknown": 422,
    "search-open": 422,
    "signature-malformed": 401,
    "signature-wrong": 401,
    "source-unmapped": 409,
    "statement-differs": 422,
    "storage-limit": 403,
    "surface-unknown": 404,
    "wallet-unasked": 503,
}
_CODE_BY_STATUS = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    500: "internal",
    503: "unavailable",
}


class Fault(BaseModel):
    """One fault of a request."""

    where: str = Field(
        description="`body`, `line N` of it, `query`, `path` or `header`, then a JSON pointer."
    )
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:tallystick:problem:idempotency-conflict"])
    title: str
    status: int
    detail: str
    code: str = Field(description="The stable name of the rule that was violated.")
    retry: Literal[True] | None = Field(
        default=None,
        description="There if time changes the answer: the same request can be sent again, with "
        "the same key and body. `Retry-After` says when, where that is known.",
    )
    errors: list[Fault] | None = Field(
        default=None, description="The faults of the request, one by one (the first 20)."
    )


class Refusal(HTTPException):
    """The refusal of a request by a rule of this API."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        faults: list[Fault] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.faults = faults


def not_found(noun: str) -> Refusal:
    """Return the refusal of what does not exist, or what the caller may not know to exist."""
    return Refusal(404, "not-found", f"there is no such {noun}")


def status_of(error: DomainError) -> int:
    """Return the HTTP status of a violated rule; 500 where the caller is not to blame."""
    for area, status in _STATUS_BY_AREA.items():
        if isinstance(error, area):
            return _STATUS_BY_CODE.get(error.code, status)
    return 500


def status_of_refused(code: str) -> int:
    """Return the HTTP status of a request that the log has refused with this code."""
    return _STATUS_BY_CODE.get(code, 409)


def response(
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    faults: list[Fault] | None = None,
) -> JSONResponse:
    """Return a problem as a response."""
    problem = Problem(
        type=f"urn:tallystick:problem:{code}",
        title=code.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        retry=True if code in RETRYABLE or status == _UNAVAILABLE else None,
        errors=faults,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def internal() -> JSONResponse:
    """Return the response to a failure that the caller can do nothing about."""
    return response(500, "internal", "the service failed; the request may be repeated")


def unavailable() -> JSONResponse:
    """Return the response while something that the service needs cannot be reached."""
    return response(
        503,
        "unavailable",
        f"the service cannot answer just now; send the same again in {RETRY_S} s, under the same "
        "Idempotency-Key if it has one: it counts once",
        {"Retry-After": str(RETRY_S)},
    )


def say_unavailable(app: FastAPI, path: str, answer: Callable[[], Response]) -> None:
    """Have a path answer in its protocol's form while the service cannot."""
    app.state.unavailable[path] = answer


def _not_now(request: Request) -> Response:
    forms: Mapping[str, Callable[[], Response]] = request.app.state.unavailable
    answer = forms.get(request.url.path, unavailable)()
    answer.headers["Retry-After"] = str(RETRY_S)
    return answer


def documented(*parts: int | Rules) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route as its OpenAPI responses: statuses, and rules that it may break.

    The codes of what every route may answer are added when the API is described.
    """
    families = [BY_STATUS.get(each, {each: frozenset()}) for each in parts if isinstance(each, int)]
    families += [each for each in parts if not isinstance(each, int)]
    return {
        status: {"description": HTTPStatus(status).phrase, CODES: sorted(codes)}
        for status, codes in joined(*families).items()
    }


def codes_of(response: Mapping[str, Any]) -> list[str]:
    """Return the codes of a response that `documented` has made; none of another."""
    codes: list[str] = response.get(CODES, [])
    return codes


def install(app: FastAPI) -> None:
    """Make this app answer every error as a problem."""
    app.state.unavailable = {}

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, Refusal):
            return response(
                error.status_code, error.code, error.detail, error.headers, error.faults
            )
        code = _CODE_BY_STATUS.get(error.status_code, "refused")
        return response(error.status_code, code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = faults_of(error.errors()[:MAX_FAULTS])
        return response(422, "invalid", f"{faults[0].where}: {faults[0].detail}", faults=faults)

    @app.exception_handler(DomainError)
    def domain(request: Request, error: DomainError) -> Response:
        status = status_of(error)
        if status < 500:
            return response(status, error.code, error.message)
        if error.code == "inbox-full":
            return response(status, error.code, error.message, {"Retry-After": str(RETRY_S)})
        # The message may name tables, nodes or keys of ours, so it goes to the log alone.
        _log(request, error)
        return _not_now(request) if status == 503 else internal()

    @app.exception_handler(DatabaseError)
    def unkept(request: Request, error: DatabaseError) -> Response:
        """Answer what the database keeps no more of; the rest is a failure of ours."""
        if error.sqlstate == ACCOUNT_FULL:
            detail = "as much of this is kept of your account as may be"
            return response(403, "storage-limit", detail)
        if error.sqlstate != ALL_FULL and not is_away(error):
            raise error
        return unreachable(request, error)

    def unreachable(request: Request, error: Exception) -> Response:
        # Of a database that is away the journal is told once, and not for each request.
        if not is_away(error):
            _log(request, error)
        return _not_now(request)

    for kind in Unreachable:
        app.add_exception_handler(kind, unreachable)


def faults_of(errors: Sequence[Any], place: str | None = None) -> list[Fault]:
    """Return pydantic's errors as faults, without the values, which may be secret.

    `place` names the item's place; without it, each error's path starts with that.
    """
    faults = []
    for error in errors:
        path = list(error["loc"])
        where = place or (path.pop(0) if path else "body")
        pointer = "".join(f"/{_escaped(part)}" for part in path)
        faults.append(Fault(where=f"{where}{pointer}", detail=_detail(error)))
    return faults


def _detail(error: Mapping[str, Any]) -> str:
    """Return the message of one of pydantic's errors, with its pattern put in words."""
    message: str = error["msg"]
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_RULES.get(error["ctx"]["pattern"], message)
    return message.removeprefix("Value error, ")


def _escaped(part: object) -> str:
    """Return a part of a JSON pointer (RFC 6901), shortened: a caller chooses its keys."""
    text = str(part)
    text = text if len(text) <= 64 else text[:61] + "..."
    return text.replace("~", "~0").replace("/", "~1")


def _log(request: Request, error: Exception) -> None:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
