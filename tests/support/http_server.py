"""HTTP servers that answer as a test says, each on a port of its own."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[BaseHTTPRequestHandler], object]


class Request(NamedTuple):
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes


class Refusal(NamedTuple):
    """An answer with another status than 200."""

    status: int
    document: object


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve every GET, POST and DELETE by `answer`, at the URL that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            # A handshake that fails is its thread's, so it is made when the first byte is read.
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            scheme = "http" if tls is None else "https"
            yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def serving_json(answer: Callable[[Request], object]) -> AbstractContextManager[str]:
    """Serve the JSON documents that `answer` returns, and bytes as they are.

    A `Refusal` has a status of its own.
    """

    def respond(handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        sent = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(
            handler.command, url.path, dict(parse_qsl(url.query)), handler.headers, sent
        )
        document = answer(request)
        status = 200
        if isinstance(document, Refusal):
            status, document = document
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        send(handler, body, status=status)

    return serving(respond)


def send(
    handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, encoding: str = ""
) -> None:
    """Send an answer with this body."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    if encoding:
        handler.send_header("Content-Encoding", encoding)
    handler.end_headers()
    handler.wfile.write(body)
