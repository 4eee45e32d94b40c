"""One exchange with a node over HTTP: requests out once, replies back, bounded in size and time.

Nothing is ever repeated here, for a transaction may have been sent.
"""

import json
import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from orchestrator.chain.rpc import Json, NodeError, Request, shown
from orchestrator.client.http import (
    Until,
    is_http_url,
    time_answers,
    tls_settings,
    trouble_of,
)
from orchestrator.core.common.errors import ChainError
from orchestrator.core.refusal import RefusalKind, kind_of
from orchestrator.core.resource import Resource

MAX_REPLY_BYTES = 32 * 1024 * 1024
CONNECT_S = 5
REPLY_S = 30
# A part of a URL that is at least so long may be a secret.
_SECRET_CHARS = 6
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)
_MARKUP = re.compile(r"<[^>]{0,500}>")
# Errors before the request was on its way.
_UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


class Endpoint(Resource):
    """The HTTP side of one node. Its URL is a secret: it may hold an access key."""

    def __init__(self, rpc_url: str) -> None:
        if not is_http_url(rpc_url):
            raise ChainError("rpc-url-malformed", "the chain's RPC URL must be an http(s) URL")
        parts = urlsplit(rpc_url)
        self.name = f"the node at {parts.hostname}"
        self._url = rpc_url
        secrets = re.split("[/?&=:@]", f"{parts.netloc}/{parts.path}?{parts.query}")
        written = {form for one in secrets for form in (one, unquote(one))} - {parts.hostname}
        self._secrets = sorted(one for one in written if len(one) >= _SECRET_CHARS)
        self._client = httpx.Client(
            verify=tls_settings(trust_env=True),
            # A compressed reply could grow beyond the bound while it is unpacked.
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
        )
        time_answers(self._client)

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def close(self) -> None:
        self._client.close()

    def exchange(self, requests: Sequence[Request]) -> Json:
        """Send the requests once, the first with id 1, and return the JSON that is answered.

        A single request goes as an object: nodes without batches refuse a list of one too. Raises
        NodeError if the answer is none, or says in HTTP that the node is busy or denies us.
        """
        asked: list[Json] = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, (method, params) in enumerate(requests, 1)
        ]
        response, body = self._post(json.dumps(asked if len(asked) > 1 else asked[0]).encode())
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
            words = _MARKUP.sub(" ", body[:2_000].decode(errors="replace"))
        else:
            words = json.dumps(answer)[:2_000]
            error = answer.get("error") if isinstance(answer, dict) else None
            words = str(error.get("message", error)) if isinstance(error, dict) else words
        self._check_status(response, words)
        if answer is None:
            raise NodeError(
                "node-garbled",
                f"{self.name} answered HTTP {response.status_code}, and not in JSON: "
                f"{self.redacted(words)}",
            )
        return answer

    def redacted(self, words: Json) -> str:
        """Write a node's words without what may be a secret of its URL."""
        text = shown(words)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _check_status(self, response: httpx.Response, words: str) -> None:
        """Raise NodeError for an HTTP status that speaks of us, and not of what was asked."""
        status = response.status_code
        said = f"{self.name} answered HTTP {status}: {self.redacted(words)}"
        if status in _DENIED:
            raise NodeError("node-denied", f"{said}; is the access key right?")
        retry_after_s = _retry_after_s(response.headers.get("Retry-After"))
        is_busy = status == HTTPStatus.TOO_MANY_REQUESTS or (
            status == HTTPStatus.SERVICE_UNAVAILABLE
            and (retry_after_s > 0 or kind_of(0, words) is RefusalKind.BUSY)
        )
        if is_busy:
            raise NodeError("node-busy", said, retry_after_s)

    def _post(self, body: bytes) -> tuple[httpx.Response, bytes]:
        # The wait for each piece is bounded, and the sum of all of them.
        received, until = bytearray(), Until(REPLY_S, REPLY_S)
        timeout = httpx.Timeout(REPLY_S, connect=CONNECT_S, read=until)
        try:
            with self._client.stream("POST", self._url, content=body, timeout=timeout) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > MAX_REPLY_BYTES:
                        raise NodeError("reply-too-large", f"{self.name} sent too much")
                    if time.monotonic() > until.ends_s:
                        raise NodeError("node-silent", f"{self.name} sent its answer too slowly")
        except httpx.HTTPError as error:
            # The error's own text can quote the URL, and with it the access key.
            code = "node-unreachable" if isinstance(error, _UNCONNECTED) else "node-silent"
            raise NodeError(code, f"{self.name} did not answer: {trouble_of(error)}") from None
        return response, bytes(received)


def _retry_after_s(value: Any) -> float:
    """Return the seconds that a Retry-After header names, 0 where it names none."""
    text = str(value or "").strip()
    if text.isdecimal():
        return float(min(int(text[:9]), 86_400))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
