"""The guard before every route: bounded bodies, safe headers, and failures that show no trace."""

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.problems import Refusal

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
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        most = MAX_BULK_BYTES if scope["path"].endswith(_BULK_PATHS) else MAX_BODY_BYTES
        try:
            _check_length(Headers(scope=scope).get("content-length", "0"), most)
        except Refusal as refusal:
            # The body stays unread on this connection, so it cannot carry a next request.
            answer = problems.response(
                refusal.status_code, refusal.code, refusal.detail, {"Connection": "close"}
            )
            await answer(scope, receive, send_with_headers)
            return
        try:
            await self.app(scope, _bounded(receive, most), send_with_headers)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            # Half an answer cannot be taken back; the server then drops the connection.
            if started:
                raise
            await problems.internal()(scope, receive, send_with_headers)


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
