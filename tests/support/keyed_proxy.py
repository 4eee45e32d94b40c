"""A proxy on loopback that shows a key for clients which cannot: it adds `Authorization`."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import httpx
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from orchestrator.client.http import tls_settings
from tests.support.api_service import serving

# What belongs to one connection, or is made anew.
_OF_ONE_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"host"}


@contextmanager
def keyed_proxy(url: str, key: str) -> Iterator[str]:
    """Run the proxy to a service until the block ends; yield its own URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # It answers the server's questions about its life, too.
        app = Starlette(routes=[Mount("", _Proxy(url, key, own))])
        with serving(app, listener):
            yield own


class _Proxy:
    def __init__(self, url: str, key: str, own: str) -> None:
        self._url, self._key = url, key
        self._own = {own, own.replace("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        async with httpx.AsyncClient(
            trust_env=False, timeout=30, verify=tls_settings(trust_env=False)
        ) as http:
            request = httpx.Request(
                scope["method"],
                f"{self._url}{scope['path']}",
                headers=[*self._headers(scope)],
                content=body,
            )
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(watch)
                await _pass_on(await http.send(request, stream=True), send)
                tasks.cancel_scope.cancel()

    def _headers(self, scope: Scope) -> Iterator[tuple[bytes, bytes]]:
        """Yield the request's headers as if it had been made to the service itself."""
        hosts = {urlsplit(own).netloc for own in self._own}
        for name, value in scope["headers"]:
            text = value.decode("latin-1")
            if name == b"host":
                ours = urlsplit(self._url).netloc if text in hosts else text
                yield name, ours.encode()
            elif name == b"origin" and text in self._own:
                yield name, self._url.encode()
            elif name not in _OF_ONE_HOP:
                yield name, value
        yield b"authorization", f"Bearer {self._key}".encode()


async def _pass_on(answer: httpx.Response, send: Send) -> None:
    headers = [pair for pair in answer.headers.raw if pair[0].lower() not in _OF_ONE_HOP]
    # A connection that were kept could end just as its client sends the next request.
    headers.append((b"connection", b"close"))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
    await send(start)
    async for chunk in answer.aiter_raw():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    await answer.aclose()
