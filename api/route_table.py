"""A table of routes: a request finds its route by the shape of its path, and not by a search.

FastAPI tries one route after the other, those of a router that it includes twice: of what the API
does for a small request that was a quarter. So routes are added one by one, and looked up by their
method and those segments of the path that are no parameters. What the table does not have (another
method, a path that is none, a part that was added later) is left to the search.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

_PARAMETER = re.compile(r"\{\w+\}")

# The places of a path's segments that are no parameters, and what stands there.
_Places = tuple[int, ...]
_Words = tuple[str, ...]


class _Found(NamedTuple):
    """A route after its number: of several that match, the first is meant."""

    number: int
    route: Route


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add the routes of a router to an application, as routes of its own."""
    for route in router.routes:
        if isinstance(route, Route) and hasattr(route, "responses"):
            route.responses = app.router.responses | route.responses
        app.router.routes.append(route)


class RouteTable:
    """The table of an application's routes, in place of its router's search."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        # By method and number of segments, the places that any of their routes has words at.
        self._places: dict[tuple[str, int], list[_Places]] = {}
        self._routes: dict[tuple[str, int, _Places, _Words], _Found] = {}
        for number, route in enumerate(router.routes):
            for method, segments, plain in _paths_of(route):
                self._add(method, segments, _Found(number, plain))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.find(scope) if scope["type"] == "http" else None
        match, found = (Match.NONE, {}) if route is None else route.matches(scope)
        if route is None or match is not Match.FULL:
            await self._router.app(scope, receive, send)
            return
        scope.setdefault("router", self._router)
        scope.update(found)
        await route.handle(scope, receive, send)

    def find(self, scope: Scope) -> Route | None:
        """Return the route that a request's path and method look like, if there is one."""
        if scope.get("root_path"):
            return None
        method, segments = scope["method"], scope["path"].split("/")
        first: _Found | None = None
        for places in self._places.get((method, len(segments)), ()):
            words = tuple([segments[n] for n in places])
            found = self._routes.get((method, len(segments), places, words))
            if found is not None and (first is None or found.number < first.number):
                first = found
        return None if first is None else first.route

    def _add(self, method: str, segments: list[str], found: _Found) -> None:
        places = tuple(n for n, one in enumerate(segments) if not _PARAMETER.fullmatch(one))
        known = self._places.setdefault((method, len(segments)), [])
        if places not in known:
            known.append(places)
        words = tuple(segments[n] for n in places)
        self._routes.setdefault((method, len(segments), places, words), found)


def _paths_of(route: BaseRoute) -> Iterator[tuple[str, list[str], Route]]:
    """Yield the methods of a route with the segments of its path, and the route as what it is.

    Raises `TypeError` for a route whose path has parameters that are no whole segments: the search
    might find it before another, and the table would not.
    """
    if not isinstance(route, Route):
        raise TypeError(f"{route} is no route of one path")
    segments = route.path.split("/")
    if any("{" in one and not _PARAMETER.fullmatch(one) for one in segments):
        raise TypeError(f"{route.path} has a parameter that is no whole segment")
    for method in route.methods or ():
        yield method, segments, route
