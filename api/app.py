"""The application: what it stands on is handed in, and its description is what it does."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

from api.context import ConcurrencyLimit, Limits, Service, ServiceInfo, SignatureCheck
from api.http import problems, schemas
from api.http import submissions as requests
from api.http.middleware import RequestGuard
from api.routes import accounts, operators, owners, proposals, public
from orchestrator.core.errors import ChainError
from orchestrator.core.terms import Domain
from orchestrator.log.reader import LogReader
from orchestrator.storage.database import Database

VERSION = "1"
# Shapes that only bodies of newline-delimited JSON, or errors, are made of.
_FURTHER_SCHEMAS = (schemas.BulkProductEvent, schemas.BulkTouch, problems.Problem)


def create_app(
    *,
    database: Database,
    log_id: bytes,
    now_ms: Callable[[], int],
    escrow_domain: Domain,
    event_log_domain: Domain,
    is_valid_signature: SignatureCheck,
    info: ServiceInfo,
    limits: Limits | None = None,
) -> FastAPI:
    """The HTTP API over one log.

    `database` acts as `tallystick_api`; `now_ms` is our clock, UTC milliseconds, which may be a
    simulated one. The domains are those that the contracts state (EIP-5267). `is_valid_signature`
    asks the contract at an address whether it stands by a digest's signature (ERC-1271); False if
    there is none. Raises `ChainError` if the two contracts are not on one chain.
    """
    if escrow_domain.chain_id != event_log_domain.chain_id:
        raise ChainError(
            "chain-differs",
            f"the escrow is on chain {escrow_domain.chain_id}, "
            f"the event log on {event_log_domain.chain_id}",
        )
    limits = limits or Limits()
    app = FastAPI(
        title="Tallystick",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        responses=problems.documented(400, 413, 415, 422, 429, 500, 503),
    )
    app.state.service = Service(
        database=database,
        log=LogReader(database, log_id),
        log_id=log_id,
        now_ms=now_ms,
        escrow_domain=escrow_domain,
        event_log_domain=event_log_domain,
        is_valid_signature=is_valid_signature,
        info=info,
        limits=limits,
        waiting=ConcurrencyLimit(limits.waiters),
    )
    problems.install(app)
    app.add_middleware(RequestGuard)
    for part in (public, accounts, operators, owners, proposals, requests):
        app.include_router(part.router)
    _tell_methods(app)
    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    return app


def _tell_methods(app: FastAPI) -> None:
    """Name all methods of a path that was asked by another: each has a route of its own."""

    @app.exception_handler(405)
    def method_not_allowed(request: Request, _: Exception) -> Response:
        allowed = {
            method.upper()
            for template, item in app.openapi()["paths"].items()
            if compile_path(template)[0].match(request.url.path)
            for method in item
        }
        return problems.response(
            405,
            "method-not-allowed",
            f"{request.method} is not offered here",
            {"Allow": ", ".join(sorted(allowed))},
        )


def _description(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        description = get_openapi(
            title=app.title,
            version=app.version,
            summary="Pays operators for outcomes that a log can prove.",
            routes=app.routes,
        )
        known = description["components"]["schemas"]
        for model in _FURTHER_SCHEMAS:
            found = model.model_json_schema(ref_template="#/components/schemas/{model}")
            known |= found.pop("$defs", {})
            known[model.__name__] = found
        app.openapi_schema = description
    return app.openapi_schema
