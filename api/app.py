"""The application: its parts are handed in, and its OpenAPI description is made from its routes."""

from collections.abc import Callable, Collection
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.routing import compile_path

from api.context import ChainReads, Service, ServiceInfo
from api.description.openapi import describe
from api.gathering import Gathering
from api.http import problems, submissions
from api.http.middleware import CrossOrigin, RequestGuard, SourceGuard, Traced
from api.mcp import server as mcp
from api.oauth import server as oauth
from api.places import ConcurrencyLimit, SourceLimit, StreamPlaces
from api.route_table import RouteTable, add_routes
from api.routes.accounts import boards, keys, memory, profiles, sign_in, webhooks
from api.routes.deals import drafts, offers, proposals
from api.routes.pages import checking, for_models, front, receipt_page, reference
from api.routes.records import cards as agent_cards
from api.routes.records import directory, events, public, stream, why
from api.routes.surfaces import actions, codes, operators, owners, trust
from api.sources import doors, signing
from api.watch import Watch, health_router
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.limits import MOST, Limits
from orchestrator.core.deals.terms import Domain
from orchestrator.log.feed import Feed
from orchestrator.log.reader import LogReader
from orchestrator.storage.database import Database, is_unanswered
from orchestrator.storage.listening import Bell

VERSION = "1"


def create_app(
    *,
    database: Database,
    log_id: bytes,
    now_ms: Callable[[], int],
    escrow_domain: Domain,
    event_log_domain: Domain,
    chain: ChainReads,
    info: ServiceInfo,
    limits: Limits | None = None,
    origins: Collection[str] = (),
) -> FastAPI:
    """Return the HTTP API over one log.

    `database` acts as `tallystick_api`; `now_ms` is our clock, UTC milliseconds, which may be a
    simulated one. The domains are those that the contracts state (EIP-5267).
    Pages of these origins may send keys; those of all others may read what needs none.
    Raises `ChainError` if the two contracts are not on one chain.
    """
    if escrow_domain.chain_id != event_log_domain.chain_id:
        raise ChainError(
            "chain-differs",
            f"the escrow is on chain {escrow_domain.chain_id}, "
            f"the event log on {event_log_domain.chain_id}",
        )
    limits, holders = limits or Limits(), info.holders
    app = FastAPI(
        title="Tallystick",
        version=VERSION,
        # Pages of documentation load scripts of other origins, which our own headers forbid.
        docs_url=None,
        redoc_url=None,
        # It is a read like others, which costs its reader as much.
        openapi_url=None,
        # A path with a slash too many is unknown; a redirect would ask for the body once more.
        redirect_slashes=False,
        # Else FastAPI describes an answer of its own to what is invalid.
        responses=problems.documented(422),
    )
    app.state.service = Service(
        database=database,
        log=LogReader(database, log_id),
        log_id=log_id,
        now_ms=now_ms,
        escrow_domain=escrow_domain,
        event_log_domain=event_log_domain,
        **chain._asdict(),
        info=info,
        limits=limits,
        waiting=ConcurrencyLimit(limits.waiters, limits.waiters_of_account, holders("waiting")),
        at_once=ConcurrencyLimit(MOST, limits.requests_at_once, holders("at-once")),
        reading=SourceLimit(limits.source_reads_at_once, limits.wide_sources, holders, "reading"),
        reads=CapacityLimiter(limits.reads_at_once),
        touches=CapacityLimiter(limits.touches_at_once),
        feed=Feed(database, log_id, window_entries=limits.stream_window),
        bell=Bell(database),
        streams=StreamPlaces(limits, holders),
        replaying=CapacityLimiter(limits.replays_at_once),
        gathering=Gathering(submissions.MAX_GATHERED, is_unanswered),
        admissions=Gathering(submissions.MAX_GATHERED, is_unanswered),
    )
    problems.install(app)
    app.add_middleware(CrossOrigin, origins=origins)
    app.add_middleware(SourceGuard, service=app.state.service, holders=holders)
    app.add_middleware(RequestGuard)
    if info.tracer is not None:
        app.add_middleware(Traced, tracer=info.tracer)
    parts = (
        *(front, receipt_page, checking, for_models, reference),
        *(public, stream, events, directory, agent_cards, why),
        *(sign_in, keys, profiles, memory, boards, webhooks),
        *(operators, owners, actions, codes, trust, doors, signing),
        *(drafts, offers, proposals, submissions),
    )
    further = (
        *(why.own_router, agent_cards.own_router, reference.description_router),
        *(actions.public_router, offers.public_router),
    )
    for router in (*(part.router for part in parts), *further):
        add_routes(app, router)
    add_routes(app, health_router(Watch(database, log_id, info.folder, info.speed)))
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    oauth.install(app, app.state.service)
    mcp.install(app, app.state.service, VERSION)
    app.router.middleware_stack = RouteTable(app.router)
    _name_allowed_methods(app)
    return app


def _name_allowed_methods(app: FastAPI) -> None:
    """Answer a wrong method with all methods of its path: each of them has a route of its own."""

    @app.exception_handler(405)
    def method_not_allowed(request: Request, _: Exception) -> Response:
        paths = app.openapi()["paths"]
        # A path that is described by itself is none of those that a template stands for.
        templates = [request.url.path] if request.url.path in paths else paths
        allowed = {
            method.upper()
            for template in templates
            if compile_path(template)[0].match(request.url.path)
            for method in paths[template]
        }
        return problems.response(
            405,
            "method-not-allowed",
            f"{request.method} is not offered here",
            {"Allow": ", ".join(sorted(allowed))},
        )


# What is said of the same routes is the same in all apps of a process, and takes a second to make.
_described: dict[tuple[str, ...], Any] = {}


def _describe(app: FastAPI) -> dict[str, Any]:
    """Return the app's OpenAPI description, made once."""
    routes = tuple(str(getattr(route, "path", "")) for route in app.routes)
    if routes not in _described:
        _described[routes] = describe(app)
    described: dict[str, Any] = _described[routes]
    return described
