"""A JSON-RPC proxy before a node, which misbehaves in the way that a test sets."""

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

SEND_METHOD = "eth_sendRawTransaction"

Ask = dict[str, Any]
Forward = Callable[[list[Ask]], list[Ask]]


class Answer(NamedTuple):
    """An answer over HTTP: bytes, or what is written as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


# Takes the calls and a way to the node; returns replies, bytes, an answer, or None to close
# unanswered.
Fault = Callable[[list[Ask], Forward], list[Ask] | bytes | Answer | None]


def honest(asks: list[Ask], forward: Forward) -> list[Ask]:
    return forward(asks)


class RpcProxy:
    """A proxy that passes batches on to the node at `target`, through the fault that is set.

    With `mines_sent` the node makes a block of what it was sent before its answer is passed back,
    where by itself it would make one some time after it answered.
    """

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self._target = urlsplit(target).netloc
        self.fault: Fault = honest
        self.mines_sent = False
        self.asks: list[Ask] = []
        # The number of requests in each batch; 0 for a request that came alone.
        self.batches: list[int] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_batch = isinstance(asked, list)
                asks = asked if is_batch else [asked]
                proxy.asks += asks
                proxy.batches.append(len(asks) if is_batch else 0)
                try:
                    reply = proxy.fault(asks, proxy.forward)
                except (OSError, http.client.HTTPException):
                    return  # the node is away, so nobody answers
                if reply is None:
                    return
                if isinstance(reply, list):
                    reply = Answer(reply if is_batch or len(reply) != 1 else reply[0])
                elif isinstance(reply, bytes):
                    reply = Answer(reply)
                body = reply.body
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def forward(self, asks: list[Ask]) -> list[Ask]:
        replies = self._passed(asks)
        if self.mines_sent and any(ask["method"] == SEND_METHOD for ask in asks):
            self._passed([{"jsonrpc": "2.0", "id": 0, "method": "evm_mine", "params": []}])
        return replies

    def _passed(self, asks: list[Ask]) -> list[Ask]:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(asks), headers)
            replies: list[Ask] = json.loads(connection.getresponse().read())
            return replies
        finally:
            connection.close()

    def sent(self) -> list[str]:
        """Return the raw transactions that were to be sent, in order, repeats included."""
        sends = (ask for ask in self.asks if ask["method"] == SEND_METHOD)
        return [ask["params"][0] for ask in sends]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
