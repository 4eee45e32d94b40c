"""A client of the public HTTP API that bounds the size and the time of every answer."""

import json
import math
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from orchestrator.core.common.errors import InputError, ServerError
from orchestrator.core.resource import Resource

# The most items that the API gives on a page.
PAGE = 1000
# The most pages of one collection: a cursor that leads in a circle comes to an end.
MAX_PAGES = 10_000
# A page of entries with openings is about 1 MB. What is longer than this would only fill memory.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
# An event of a stream is some 3 kB.
MAX_LINE_BYTES = 64 * 1024
# The most seconds of one answer as a whole, however often a byte of it arrives.
TIMEOUT_S = 60
# A rule's name, as the codes of our own errors are.
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
# The most seconds of one collection, all its pages together.
PAGES_S = 600
# The most bytes of one collection: a hundred thousand contracts with their terms have less.
MAX_PAGES_BYTES = 512 * 1024 * 1024
# The most letters of a server's own words about a refusal.
_MOST_WORDS = 1_000
# The first that an error is an instance of says what came in the way.
_TROUBLES = (
    (httpx.ConnectTimeout, "no connection was made in time"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.TimeoutException, "it was silent for too long, or its answer took too long"),
    (httpx.NetworkError, "the connection broke off"),
    (httpx.RemoteProtocolError, "what it sent is no HTTP, or broke off"),
)


class Until(float):
    """The most seconds of silence, in an answer that may not go on for longer than `lasts_s`.

    Clients for which `time_answers` was called take it as the timeout of their reads.
    """

    ends_s: float

    def __new__(cls, silence_s: float, lasts_s: float) -> "Until":
        made = super().__new__(cls, silence_s)
        made.ends_s = time.monotonic() + lasts_s
        return made


class _TimedStream(httpcore.NetworkStream):
    """A connection that takes no more of an answer once its time is over.

    httpx bounds the wait for each byte alone, and gives nothing back before an answer's headers are
    whole: a server could send these, or announcements of an answer, without end.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if isinstance(timeout, Until) and time.monotonic() > timeout.ends_s:
            raise httpcore.ReadTimeout("the answer takes too long")
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _TimedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _TimedStream(super().connect_tcp(host, port, timeout, local_address, socket_options))


def time_answers(client: httpx.Client) -> None:
    """Have a client take `Until` as the timeout of its reads, straight or by a proxy."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):
            # httpx has no place of its own for what httpcore takes as an argument.
            transport._pool._network_backend = _TimedBackend()  # noqa: SLF001


@cache
def tls_settings(*, trust_env: bool) -> ssl.SSLContext:
    """Return the TLS settings that all clients share: loading the certificates takes 30 ms."""
    return httpx.create_ssl_context(trust_env=trust_env)


class Client(Resource):
    """An HTTP client that stays within what a public caller may do.

    Its server is a stranger: every failure is a `ServerError`, every answer bounded in size and
    time.
    """

    def __init__(self, base_url: str, timeout_s: float = TIMEOUT_S) -> None:
        if not is_http_url(base_url):
            raise InputError("api-url-malformed", f"{base_url!r} is no http(s) URL of an API")
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_s,
            # No proxy or credentials of the environment: the URL is all that is asked.
            trust_env=False,
            verify=tls_settings(trust_env=False),
            # An answer that is not compressed is as large and as late as what arrives.
            headers={"Accept-Encoding": "identity"},
        )
        time_answers(self._http)
        self._received_bytes = 0
        self._timeout_s = timeout_s
        self.server = f"the API at {self._http.base_url.netloc.decode()}"

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON document at `path`; arguments that are None are left out of the query."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        return self._request("GET", path, params=params)

    def post(self, path: str, body: object, *, key: str | None = None, wait_s: int = 0) -> Any:
        """Post a document; a request to the log has an idempotency `key`. Return the answer."""
        headers = {} if key is None else request_headers(key, wait_s)
        return self._request("POST", path, json=body, headers=headers)

    def put(self, path: str, body: object) -> Any:
        """Put a document in place of what was there. Return the answer."""
        return self._request("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """End or erase what stands at `path`."""
        self._request("DELETE", path)

    def get_bytes(self, path: str, **query: object) -> bytes:
        """Return the bytes at `path`, whatever they are."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        return self._body("GET", path, params=params)

    def pages(self, path: str, items: str, **query: object) -> Iterator[Any]:
        """Yield all items of a paged collection, page by page."""
        after, deadline, left_bytes = None, time.monotonic() + PAGES_S, MAX_PAGES_BYTES
        for _ in range(MAX_PAGES):
            before = self._received_bytes
            page = self.get(path, after=after, **query)
            left_bytes -= self._received_bytes - before
            listed = page.get(items) if isinstance(page, dict) else None
            if not isinstance(listed, list) or "next" not in page:
                raise ServerError("answer-garbled", f"{self.server} sent no page of {items}")
            yield from listed
            after = page["next"]
            if after is None:
                return
            if time.monotonic() > deadline or left_bytes < 0:
                break
        raise ServerError("pages-endless", f"{path} did not come to an end")

    def lines(
        self,
        path: str,
        *,
        silence_s: float,
        headers: Mapping[str, str],
        lasts_s: float = math.inf,
        **query: object,
    ) -> Iterator[str]:
        """Yield the lines of an answer that has no end of its own, until the server ends it.

        Closing the iterator leaves the server. Raises ServerError for a refusal or a failure, a
        silence longer than this, what comes later than after `lasts_s`, and a line that is too
        long.
        """
        params = {name: str(value) for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(min(TIMEOUT_S, lasts_s), read=Until(silence_s, lasts_s))
        try:
            with self._http.stream(
                "GET", path, params=params, headers=dict(headers), timeout=timeout
            ) as response:
                if not response.is_success:
                    body = b"".join(islice(response.iter_raw(MAX_LINE_BYTES), 1))
                    raise self._refused("GET", path, response, json_or_none(body))
                waiting = b""
                for chunk in response.iter_raw():
                    *whole, waiting = (waiting + chunk).split(b"\n")
                    if max(map(len, (*whole, waiting))) > MAX_LINE_BYTES:
                        raise ServerError("answer-too-large", f"{self.server} sent too long a line")
                    for line in whole:
                        yield line.decode("utf-8", "replace").removesuffix("\r")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON document of an answer. Raises ServerError for a refusal or a failure."""
        body = self._body(method, path, **arguments)
        try:
            return self._decoded(body)
        except (ValueError, RecursionError):
            raise ServerError(
                "answer-unreadable", f"{self.server} did not answer {path} in JSON"
            ) from None

    def _body(self, method: str, path: str, **arguments: Any) -> bytes:
        """Return the body of an answer. Raises ServerError for a refusal or a failure."""
        body, until = bytearray(), Until(self._timeout_s, self._timeout_s)
        timeout = httpx.Timeout(self._timeout_s, read=until)
        try:
            with self._http.stream(method, path, timeout=timeout, **arguments) as response:
                # Raw bytes: nothing is unpacked, whatever encoding the server names.
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES or time.monotonic() > until.ends_s:
                        raise ServerError(
                            "answer-too-large", f"{self.server} sent too much, or too slowly"
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        self._received_bytes += len(body)
        if not response.is_success:
            raise self._refused(method, path, response, json_or_none(body))
        return bytes(body)

    def _decoded(self, body: bytes) -> Any:
        """Return the document of an answer's body. Raises ValueError for what is none."""
        return json.loads(body) if body else None

    def _unreachable(self, error: Exception) -> ServerError:
        return ServerError(
            "server-unreachable", f"{self.server} did not answer: {trouble_of(error)}"
        )

    def _refused(
        self, method: str, path: str, response: httpx.Response, answer: object
    ) -> ServerError:
        reason, problem = response.reason_phrase, ""
        if isinstance(answer, dict):
            reason = f"{_words(answer.get('title'))}: {_words(answer.get('detail'))}"
            told = answer.get("code")
            problem = told if isinstance(told, str) and _CODE.fullmatch(told) else ""
        return ServerError(
            f"http-{response.status_code}",
            f"{self.server} refused {method} {path} with {response.status_code}: {reason}",
            problem,
        )


def _words(told: object) -> str:
    """Return a server's words as a message has them."""
    return told[:_MOST_WORDS] if isinstance(told, str) else "no words"


def is_http_url(url: str) -> bool:
    """Return whether this is an http(s) URL with a host, and a port that can be."""
    try:
        parts, _ = urlsplit(url), httpx.URL(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        return False


def trouble_of(error: Exception) -> str:
    """Return in plain words why an exchange over HTTP failed; nothing of its URL is in them."""
    words = (said for kind, said in _TROUBLES if isinstance(error, kind))
    return next(words, "the exchange failed")


def request_headers(key: str, wait_s: int) -> dict[str, str]:
    """Return the headers that make a request count once, and wait until the log has it."""
    return {"Idempotency-Key": key, "Prefer": f"wait={wait_s}"}


def json_or_none(body: bytes | bytearray) -> object:
    """Return the value of a JSON text; None for what is none."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None
