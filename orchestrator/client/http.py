"""TODO."""

import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from orchestrator.core.errors import InputError, ServerError

PAGE = 1000


MAX_PAGES = 10_000


MAX_ANSWER_BYTES = 32 * 1024 * 1024


TIMEOUT_S = 60


PAGES_S = 600


class Client:
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
                trust_env=False,
                # What is not compressed is as large and as late as what arrives.
                headers={"Accept-Encoding": "identity"},
            )
        except httpx.InvalidURL as error:
            raise InputError("api-url-malformed", f"{base_url!r}: {error}") from None
        self.server = f"the API at {self._http.base_url.netloc.decode()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """The JSON document at `path`; arguments that are None are left out of the query."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=given)

    def pages(self, path: str, items: str, **query: object) -> Iterator[Any]:
        """All items of a paged collection, page by page."""
        after, deadline = None, time.monotonic() + PAGES_S
        for _ in range(MAX_PAGES):
            page = self.get(path, after=after, **query)
            found = page.get(items) if isinstance(page, dict) else None
            if not isinstance(found, list) or "next" not in page:
                raise ServerError("answer-garbled", f"{self.server} sent no page of {items}")
            yield from found
            after = page["next"]
            if after is None:
                return
            if time.monotonic() > deadline:
                break
        raise ServerError("pages-endless", f"{path} did not come to an end")

    def _answer(self, method: str, path: str, **arguments: Any) -> Any:
        body, deadline = bytearray(), time.monotonic() + TIMEOUT_S
        try:
            with self._http.stream(method, path, **arguments) as response:
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
        said = response.reason_phrase
        if isinstance(answer, dict):
            said = f"{answer.get('title')}: {answer.get('detail')}"
        raise ServerError(
            f"http-{response.status_code}",
            f"{self.server} refused {method} {path} with {response.status_code}: {said}",
        )
