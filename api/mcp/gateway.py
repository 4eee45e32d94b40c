"""The way from a tool to its route: each call is a request to the same application, in-process.

So authorisation, limits, validation and idempotency are those of the routes, and stand nowhere
twice.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
from starlette.types import ASGIApp

from api.http.json_input import JSON_TYPE, NDJSON_TYPE

_BASE = "http://tallystick.internal"
# How long a request to the log is waited for before its number is returned instead (RFC 7240).
_PREFER = "wait=10"


class Origin(NamedTuple):
    """The client that a call is made for: its `Authorization`, and where it comes from.

    Behind a proxy the address is the proxy's, and `forwarded` are the fields by which it says whom
    it serves: without them all of its clients would have one allowance of reads between them.
    """

    authorization: str
    address: tuple[str, int]
    forwarded: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """A route's answer; the body is None where there is none."""

    status: int
    headers: httpx.Headers
    body: Any

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Gateway:
    """The application's routes, asked without a connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(
        self,
        origin: Origin,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Return the answer of a route to a caller; a list is a body of lines."""
        headers = [("Prefer", _PREFER), ("Accept", "application/json"), *origin.forwarded]
        if origin.authorization:
            headers.append(("Authorization", origin.authorization))
        if idempotency_key is not None:
            headers.append(("Idempotency-Key", idempotency_key))
        content = b""
        if isinstance(body, list):
            headers.append(("Content-Type", NDJSON_TYPE))
            content = b"\n".join(json.dumps(line).encode() for line in body)
        elif body is not None:
            headers.append(("Content-Type", JSON_TYPE))
            content = json.dumps(body).encode()
        url = f"{_BASE}{path}" + (f"?{urlencode(query)}" if query else "")
        request = httpx.Request(method, url, headers=headers, content=content)
        transport = httpx.ASGITransport(app=self._app, client=origin.address)
        response = await transport.handle_async_request(request)
        data = await response.aread()
        return Answer(response.status_code, response.headers, json.loads(data) if data else None)
