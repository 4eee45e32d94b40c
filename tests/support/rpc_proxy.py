"""A JSON-RPC proxy before a node, which misbehaves in the way that a test sets."""

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

Ask = dict[str, Any]
Forward = Callable[[list[Ask]], list[Ask]]
# Takes the calls and a way to the node; returns replies, raw bytes, or None to close unanswered.
Fault = Callable[[list[Ask], Forward], list[Ask] | bytes | None]


def honest(asks: list[Ask], forward: Forward) -> list[Ask]:
    return forward(asks)


class RpcProxy:
    """A proxy that passes batches on to the node at `target`, through the fault that is set."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target).netloc
        self.fault: Fault = honest
        self.asks: list[Ask] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asks = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                proxy.asks += asks
                reply = proxy.fault(asks, proxy.forward)
                if reply is None:
                    return
                body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def forward(self, asks: list[Ask]) -> list[Ask]:
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
        sends = (ask for ask in self.asks if ask["method"] == "eth_sendRawTransaction")
        return [ask["params"][0] for ask in sends]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
