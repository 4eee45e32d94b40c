"""A client and a server that does not mean well: no answer takes longer than it may."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread

import pytest

from orchestrator.client import http
from orchestrator.client.http import Client
from orchestrator.core.errors import ServerError

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("byte", [b" ", gzip.compress(b"{}")[:1]])
def test_a_server_that_drips_is_left(byte: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, so that no wait for one is ever over."""
    monkeypatch.setattr(http, "TIMEOUT_S", 0.4)
    ended = SimpleQueue[str]()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if byte != b" ":
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        try:
            for at in range(600):
                handler.wfile.write(byte if at == 0 else b"\0")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            ended.put("left")
        else:
            ended.put("finished")

    with served(drip) as url, Client(url) as client:
        with pytest.raises(ServerError, match="sent too much, or too slowly"):
            client.get("/v1/log")
        assert ended.get(timeout=60) == "left"


def test_nothing_is_unpacked() -> None:
    """What is asked for plain and comes packed could be of any size."""

    def packed(handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(b'{"size": 1}')
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with served(packed) as url, Client(url) as client:
        with pytest.raises(ServerError) as told:
            client.get("/v1/log")
        assert told.value.code == "answer-unreadable"


@pytest.mark.parametrize(
    "page", [b"{}", b"[]", b"null", b'{"items":[]}', b'{"items":1,"next":null}', b'"items"', b"7"]
)
def test_a_page_of_another_shape_is_the_servers_fault(page: bytes) -> None:
    def garbled(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page)

    with served(garbled) as url, Client(url) as client, pytest.raises(ServerError) as found:
        list(client.pages("/v1/things", "items"))
    assert found.value.code == "answer-garbled"


def test_pages_without_end_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"items":[1],"next":1}'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with served(endless) as url, Client(url) as client:
        for name, most in (("MAX_PAGES", 3), ("PAGES_S", 0)):
            with monkeypatch.context() as limits:
                limits.setattr(http, name, most)
                with pytest.raises(ServerError, match="did not come to an end"):
                    list(client.pages("/v1/things", "items"))
