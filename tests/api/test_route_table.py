"""The table of routes finds what the search through all of them would find."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Match, Mount, Route

from api.app import create_app
from api.context import ChainReads, ServiceInfo
from api.route_table import RouteTable, add_routes
from orchestrator.core.deals.site import Funds
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import API
from tests.support.api_service import ESCROW, EVENT_LOG, LOG_ID, START_MS
from tests.support.servers import fresh_database, open_as


@pytest.fixture(scope="module")
def app(postgres: LocalPostgres) -> Iterator[FastAPI]:
    with fresh_database(postgres) as url, open_as(url, API) as database:
        yield create_app(
            database=database,
            log_id=LOG_ID,
            now_ms=lambda: START_MS,
            escrow_domain=ESCROW,
            event_log_domain=EVENT_LOG,
            chain=ChainReads(
                lambda *_: False, lambda _: (), lambda: None, lambda _: [], lambda *_: Funds(0, 0)
            ),
            info=ServiceInfo("http://x", "x", "", "", (), 0, ZERO_ADDRESS),
        )


def searched(app: FastAPI, method: str, path: str) -> object:
    """Return the first route that takes a request, by trying one after the other."""
    scope = {"type": "http", "method": method, "path": path}
    for route in app.router.routes:
        if route.matches(scope)[0] is Match.FULL:
            return route
    return None


def test_each_route_is_found_as_by_a_search(app: FastAPI) -> None:
    table, found = RouteTable(app.router), 0
    templates = {route.path for route in app.router.routes if isinstance(route, Route)}
    for template in templates:
        for filler in ("0x" + "a" * 64, "log", "bulk", "", "a.b"):
            path = "/".join(filler if "{" in one else one for one in template.split("/"))
            is_open = "" in path.split("/")[1:]
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
                scope = {"type": "http", "method": method, "path": path}
                route = table.find(scope)
                expected = searched(app, method, path)
                # An empty parameter is seen where the path is compared, and by the search then.
                assert route is expected or (expected is None and is_open), (method, path)
                found += route is not None
    assert found > len(templates) > 50


@pytest.mark.parametrize("path", ["", "/", "/v1/nothing", "/v1/log/", "//v1/log", "/v2/log"])
def test_no_other_path_is_found(app: FastAPI, path: str) -> None:
    scope = {"type": "http", "method": "DELETE", "path": path}
    assert RouteTable(app.router).find(scope) is None


def test_the_first_of_two_routes_is_meant() -> None:
    app, router = FastAPI(openapi_url=None, docs_url=None, redoc_url=None), APIRouter()
    for path in ("/things/all", "/things/{thing}", "/things/none"):
        router.add_api_route(path, lambda: None)
    add_routes(app, router)
    table, routes = RouteTable(app.router), app.router.routes
    paths = ("/things/all", "/things/one", "/things/none")
    scopes = [{"type": "http", "method": "GET", "path": path} for path in paths]
    assert [table.find(scope) for scope in scopes] == [routes[0], routes[1], routes[1]]
    # A request that came by a prefix is left to the search.
    assert table.find(scopes[0] | {"root_path": "/things"}) is None


def test_a_path_that_the_table_cannot_have_is_refused() -> None:
    for route in (Route("/{rest:path}", lambda _: None), Mount("/more", routes=[])):
        router = APIRouter()
        router.routes.append(route)
        with pytest.raises(TypeError):
            RouteTable(router)
