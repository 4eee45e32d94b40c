"""A client of the public HTTP API that bounds the size and the time of every answer."""

import json
import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx

from orchestrator.core.errors import InputError, ServerError
from orchestrator.core.resource import Resource

# The most items that the API gives on a page.
PAGE = 1000
# The most pages of one collection: a cursor that leads in a circle comes to an end.
MAX_PAGES = 10_000
# A page of entries with openings is about 1 MB. What is longer than this would only fill memory.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
# The most seconds of one answer as a whole, however often a byte of it arrives.
TIMEOUT_S = 60
# The most seconds of one collection, all its pages together.
PAGES_S = 600


@cache
def tls_settings(*, trust_env: bool) -> ssl.SSLContext:
    """Return the TLS settings that all clients share: loading the certificates takes 30 ms."""
    return httpx.create_ssl_context(trust_env=trust_env)


class Client(Resource):
    """An HTTP client that stays within what a public caller may do.

    Its server is a stranger: every failure is a `ServerError`, every answer bounded in size and
    time.
    """

    def __init__(self, base_url: str) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InputError("api-url-malformed", f"{base_url!r} is no http(s) URL of an API")
        try:
            self._http = httpx.Client(
                base_url=base_url,
                timeout=TIMEOUT_S,
                # No proxy or credentials of the environment: the URL is all that is asked.
                trust_env=False,
                verify=tls_settings(trust_env=False),
                # An answer that is not compressed is as large and as late as what arrives.
                headers={"Accept-Encoding": "identity"},
            )
        except httpx.InvalidURL as error:
            raise InputError("api-url-malformed", f"{base_url!r}: {error}") from None
        self.server = f"the API at {self._http.base_url.netloc.decode()}"

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON document at `path`; arguments that are None are left out of the query."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        return self._request("GET", path, params=params)

    def pages(self, path: str, items: str, **query: object) -> Iterator[Any]:
        """Yield all items of a paged collection, page by page."""
        after, deadline = None, time.monotonic() + PAGES_S
        for _ in range(MAX_PAGES):
            page = self.get(path, after=after, **query)
            listed = page.get(items) if isinstance(page, dict) else None
            if not isinstance(listed, list) or "next" not in page:
                raise ServerError("answer-garbled", f"{self.server} sent no page of {items}")
            yield from listed
            after = page["next"]
            if after is None:
                return
            if time.monotonic() > deadline:
                break
        raise ServerError("pages-endless", f"{path} did not come to an end")

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON document of an answer. Raises ServerError for a refusal or a failure."""
        body, deadline = bytearray(), time.monotonic() + TIMEOUT_S
        try:
            with self._http.stream(method, path, **arguments) as response:
                # Raw bytes: nothing is unpacked, whatever encoding the server names. httpx bounds
                # the wait for each byte alone, so the whole is timed here.
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                        raise ServerError(
                            "answer-too-large", f"{self.server} sent too much, or too slowly"
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerError(
                "server-unreachable",
                f"{self.server} did not answer: {type(error).__name__}",
            ) from None
        try:
            answer = json.loads(body) if body else None
        except (ValueError, RecursionError):
            answer = None
            if response.is_success:
                raise ServerError(
                    "answer-unreadable", f"{self.server} did not answer {path} in JSON"
                ) from None
        if response.is_success:
            return answer
        reason = response.reason_phrase
        if isinstance(answer, dict):
            reason = f"{answer.get('title')}: {answer.get('detail')}"
        raise ServerError(
            f"http-{response.status_code}",
            f"{self.server} refused {method} {path} with {response.status_code}: {reason}",
        )
