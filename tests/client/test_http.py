"""A client and a hostile server: no answer is longer or later than it may be."""

import gzip
import time
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue

import pytest

from orchestrator.client import http
from orchestrator.client.http import Client
from orchestrator.core.common.errors import InputError, ServerError
from tests.support.http_server import Request, send, serving, serving_json


@pytest.mark.parametrize("byte", [b" ", gzip.compress(b"{}")[:1]])
def test_a_server_that_answers_a_byte_at_a_time_is_left(byte: bytes) -> None:
    """Each byte comes in time, so that no wait for one is ever over."""
    ended = SimpleQueue[str]()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if byte != b" ":
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        try:
            for sent in range(600):
                handler.wfile.write(byte if sent == 0 else b"\0")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            ended.put("left")
        else:
            ended.put("finished")

    with serving(drip) as url, Client(url, timeout_s=1) as client:
        with pytest.raises(ServerError, match="sent too much, or too slowly"):
            client.get("/v1/log")
        assert ended.get(timeout=60) == "left"


@pytest.mark.parametrize(
    ("first", "part"),
    [
        # Announcements of an answer, its headers, and the size of a piece of it.
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
    ids=["announced", "headers", "size"],
)
def test_an_answer_that_never_comes_to_its_body_is_left(first: bytes, part: bytes) -> None:
    ended = SimpleQueue[str]()

    def announce(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(first)
            for _ in range(600):
                handler.wfile.write(part)
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            ended.put("left")
        else:
            ended.put("finished")

    with serving(announce) as url, Client(url, timeout_s=1) as client:
        with pytest.raises(ServerError, match="its answer took too long") as refused:
            client.get("/v1/log")
        assert refused.value.code == "server-unreachable"
        assert ended.get(timeout=60) == "left"


def test_nothing_is_unpacked() -> None:
    """An answer that is asked for plain and comes packed could be of any size."""

    def packed(handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        send(handler, gzip.compress(b'{"size": 1}'), encoding="gzip")

    with serving(packed) as url, Client(url) as client:
        with pytest.raises(ServerError) as refused:
            client.get("/v1/log")
        assert refused.value.code == "answer-unreadable"


@pytest.mark.parametrize(
    "page", [b"{}", b"[]", b"null", b'{"items":[]}', b'{"items":1,"next":null}', b'"items"', b"7"]
)
def test_a_page_of_another_shape_is_the_servers_fault(page: bytes) -> None:
    with (
        serving(lambda handler: send(handler, page)) as url,
        Client(url) as client,
        pytest.raises(ServerError) as refused,
    ):
        list(client.pages("/v1/things", "items"))
    assert refused.value.code == "answer-garbled"


def test_pages_without_end_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b'{"items":[1],"next":1}'
    with serving(lambda handler: send(handler, page)) as url, Client(url) as client:
        for name, most in (("MAX_PAGES", 3), ("PAGES_S", 0), ("MAX_PAGES_BYTES", 2 * len(page))):
            with monkeypatch.context() as limits:
                limits.setattr(http, name, most)
                with pytest.raises(ServerError, match="did not come to an end"):
                    list(client.pages("/v1/things", "items"))


def test_all_pages_are_read_and_what_is_none_is_left_out_of_the_query() -> None:
    def paged(request: Request) -> object:
        first = int(request.query.get("after", "0"))
        assert set(request.query) <= {"after", "state"}
        return {"items": [first, first + 1], "next": first + 2 if first < 4 else None}

    with serving_json(paged) as url, Client(url) as client:
        assert list(client.pages("/v1/things", "items", state="new", owner=None)) == list(range(6))


@pytest.mark.parametrize(
    ("body", "reason", "problem"),
    [
        (
            b'{"title": "Not found", "detail": "no such log", "code": "log-unknown"}',
            "Not found: no such log",
            "log-unknown",
        ),
        (b'{"title": "No", "detail": "no", "code": ["log-unknown"]}', "No: no", ""),
        (b'{"title": "No", "detail": "no", "code": "\\u001b[2J"}', "No: no", ""),
        (b'{"title": ["No"], "detail": {"no": 1}}', "no words: no words", ""),
        (b"{}", "no words: no words", ""),
        (b'{"title": "No", "detail": "' + b"o" * 100_000 + b'"}', "No: o{1000}$", ""),
        (b"<html>", "Not Found", ""),
        (b"", "Not Found", ""),
    ],
    ids=["all", "list", "escape", "other", "none", "long", "page", "nothing"],
)
def test_a_refusal_says_why(body: bytes, reason: str, problem: str) -> None:
    with (
        serving(lambda handler: send(handler, body, status=404)) as url,
        Client(url) as client,
        pytest.raises(ServerError, match=f"with 404: {reason}") as refused,
    ):
        client.get("/v1/log")
    assert (refused.value.code, refused.value.problem) == ("http-404", problem)


def test_a_server_that_is_not_there_and_a_url_that_is_none() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ServerError) as unreachable:
        client.get("/v1/log")
    assert unreachable.value.code == "server-unreachable"
    for url in ("ftp://example.com", "log.example.com", "http://[::1"):
        with pytest.raises(InputError) as refused:
            Client(url)
        assert refused.value.code == "api-url-malformed"


@pytest.mark.parametrize("body", [b"no", b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_no_json_is_the_servers_fault(body: bytes) -> None:
    with (
        serving(lambda handler: send(handler, body)) as url,
        Client(url) as client,
        pytest.raises(ServerError) as refused,
    ):
        client.get("/v1/log")
    assert refused.value.code == "answer-unreadable"


def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 100)
    with (
        serving(lambda handler: send(handler, b"1" * 101)) as url,
        Client(url) as client,
        pytest.raises(ServerError) as refused,
    ):
        client.get("/v1/log")
    assert refused.value.code == "answer-too-large"
