"""The guard before every route: bounded bodies, fields that stand once, safe headers of answers.

What a request holds it gives back here once it is answered, and a failure shows no trace.
"""

import logging
from collections.abc import Collection
from contextlib import ExitStack

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import Service
from api.http import allowances, problems
from api.http.problems import Refusal
from api.places import CountHolders, SourceLimit
from orchestrator.storage.traces import Tracer, followed, following, is_trace

MAX_BODY_BYTES = 262_144
MAX_BULK_BYTES = 4 * 1_048_576
_BULK_PATHS = ("/bulk", "/events/segment", "/events/posthog")
_MAX_DIGITS = 18

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}

# Of two such fields one wins without a sign of it: here the first, at a proxy perhaps the last.
_ONCE = (
    "authorization",
    "content-type",
    "host",
    "idempotency-key",
)
# What pages of other origins may ask for, and read of an answer: without a key from anywhere, all
# else from the origins that the settings list. Cookies are never asked for.
_OPEN_HEADERS = "Last-Event-ID"
_LISTED_METHODS = "GET, POST, PUT, PATCH, DELETE"
_LISTED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer"
_EXPOSED = "Location, Preference-Applied, Retry-After, WWW-Authenticate"
_PREFLIGHT_S = "600"
_NO_ROUTE = "of no route"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

logger = logging.getLogger("tallystick.api")


class RequestGuard:
    """A guard that refuses too large a body unread, adds headers, and answers uncaught failures."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(allowances.headers_of(scope))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        most = MAX_BULK_BYTES if scope["path"].endswith(_BULK_PATHS) else MAX_BODY_BYTES
        try:
            sent = Headers(scope=scope)
            _check_once(sent)
            _check_length(sent.get("content-length", "0"), most)
        except Refusal as refusal:
            # The body stays unread on this connection, so it cannot carry a next request.
            answer = problems.response(
                refusal.status_code, refusal.code, refusal.detail, {"Connection": "close"}
            )
            await answer(scope, receive, send_with_headers)
            return
        try:
            with ExitStack() as exits:
                scope[allowances.EXITS] = exits
                await self.app(scope, _bounded(receive, most), send_with_headers)
        except ClientDisconnect:
            # Half a request, whose sender is gone or was given up.
            return
        except Exception:
            # The route and not the path, in which callers write what they like.
            logger.exception("%s %s failed", scope["method"], _route_of(scope))
            # Half an answer cannot be taken back; the server then drops the connection.
            if started:
                raise
            await problems.internal()(scope, receive, send_with_headers)


def _route_of(scope: Scope) -> str:
    """Return the template of the route that was found for a request."""
    if "route" not in scope and scope.get("endpoint") is not None and not scope["path_params"]:
        # One of Starlette's own, which is not named there; without parameters this is its path.
        return str(scope["path"])
    return str(getattr(scope.get("route"), "path", _NO_ROUTE))


def _check_once(headers: Headers) -> None:
    """Raise `Refusal` (400) for a field that stands twice and has one value."""
    for name in _ONCE:
        if len(headers.getlist(name)) > 1:
            raise Refusal(
                400, "header-doubled", f"the header {name} stands more than once; send it once"
            )


class Traced:
    """A span of each request, under the caller's own where it names one; its work follows that.

    A tool's call asks for its route in the same way, so that span is under the call's.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Without an answer, as of a caller that went away, there is no status.
        status = 0

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        span = self._tracer.begin(parent=_parent_of(scope), answers=True)
        try:
            with following(span.trace):
                await self.app(scope, receive, send_and_look)
        finally:
            # Methods and paths are what callers like; these are ours.
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            facts: dict[str, str | int] = {"http.request.method": method}
            if (route := _route_of(scope)) != _NO_ROUTE:
                facts["http.route"] = route
            if status:
                facts["http.response.status_code"] = status
            span.end(f"{method} {route}", facts, failed=status >= 500)


def _parent_of(scope: Scope) -> str:
    """Return the trace that a request goes on with; empty for none."""
    named = Headers(scope=scope).getlist("traceparent")
    if len(named) == 1 and is_trace(named[0]):
        return named[0]
    return followed()


class SourceGuard:
    """A guard that lets so many requests of a source come by proxies at a time.

    Behind a proxy a source has no connections of its own that the server could count.
    """

    def __init__(self, app: ASGIApp, service: Service, holders: CountHolders) -> None:
        self.app = app
        self._service = service
        self._most = service.limits.source_connections
        self._held = SourceLimit(self._most, service.limits.wide_sources, holders, "proxied")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = (scope.get("client") or ("",))[0]
        is_proxied = allowances.is_trusted(peer, self._service.info.trusted_proxies)
        if scope["type"] != "http" or not is_proxied:
            await self.app(scope, receive, send)
            return
        source = allowances.source_of(self._service, Request(scope))
        if not self._held.acquire(source):
            detail = f"{self._most} requests of your network are under way; wait for one"
            headers = {"Connection": "close", "Retry-After": "1"}
            answer = problems.response(429, "connections-many", detail, headers)
            await answer(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self._held.release(source)


class CrossOrigin:
    """Leave for pages of other origins: all may read what needs no key, listed ones do all."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self.app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is None:
            await self.app(scope, receive, send)
            return
        is_listed = origin in self._origins
        leave = {"Access-Control-Allow-Origin": origin if is_listed else "*", "Vary": "Origin"}
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            leave |= {
                "Access-Control-Allow-Methods": _LISTED_METHODS if is_listed else "GET",
                "Access-Control-Allow-Headers": _LISTED_HEADERS if is_listed else _OPEN_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_S,
            }
            await Response(status_code=204, headers=leave)(scope, receive, send)
            return
        leave["Access-Control-Expose-Headers"] = _EXPOSED

        async def send_with_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(leave)
            await send(message)

        await self.app(scope, receive, send_with_leave)


def _check_length(declared: str, most: int) -> None:
    """Raise `Refusal` for a Content-Length that is no number (400) or too large (413)."""
    if not declared.isdecimal():
        detail = f"Content-Length must be a whole number of bytes, not {declared[:60]!r}"
        raise Refusal(400, "length-malformed", detail)
    # The digits are counted first: int() of a very long text is slow, and refused by Python.
    if len(declared) > _MAX_DIGITS or int(declared) > most:
        raise _too_large(most)


def _bounded(receive: Receive, most: int) -> Receive:
    """Return a `receive` that raises `Refusal` (413) once the body is longer than `most` bytes."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > most:
                raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> Refusal:
    return Refusal(413, "body-too-large", f"the body has more than {most} bytes")
