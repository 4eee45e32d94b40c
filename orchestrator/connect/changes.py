"""Changes of the service's tools, told to the client of this machine in either era.

The service is listened to for as long as the client is there. It says only that something changed,
and nothing of what passed while it was not heard. So the tools are listed again at each word of it
and after each lost connection, and the client is told if they are others than it was shown.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.connect.remote import RemoteServer

# Lists the tools again, and returns their names. Raises `MCPError` if the service does not.
Names = Callable[[], Awaitable[frozenset[str]]]
Context = ServerRequestContext[Any, Any]

METHOD = "subscriptions/listen"
# The service gives a sign of life every 15 seconds.
SILENCE_S = 60.0
LEAST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
# A notification is some hundred bytes.
MAX_LINE_BYTES = 16_384
# Of one client, which needs one.
MAX_LISTENERS = 4
_WANTED = types.SubscriptionFilter(tools_list_changed=True)


class Changes:
    """The way from the service's word to the client. `follow` runs beside the server."""

    def __init__(self, remote: RemoteServer, names: Names) -> None:
        self._remote, self._names = remote, names
        self._bus = InMemorySubscriptionBus()
        self._handler = ListenHandler(
            self._bus, max_subscriptions=MAX_LISTENERS, max_buffered_events=MAX_LISTENERS
        )
        self._is_wanted = anyio.Event()
        self._shown: frozenset[str] | None = None
        # A client of an earlier era, which is told without having asked.
        self._session: ServerSession | None = None

    def note_shown(self, ctx: Context, names: frozenset[str]) -> None:
        """Note the tools that the client has been shown, and how it can be told of others."""
        self._shown = names
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._session = ctx.session
            self._is_wanted.set()

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell a client of changed tools until it goes; of nothing else."""
        asked = params.notifications.tools_list_changed
        kept = types.SubscriptionFilter(tools_list_changed=asked)
        self._is_wanted.set()
        return await self._handler(ctx, params.model_copy(update={"notifications": kept}))

    async def follow(self) -> None:
        """Listen to the service, again and again, once a client wants to be told."""
        await self._is_wanted.wait()
        pause_s = LEAST_PAUSE_S
        async with self._remote.listening_client(SILENCE_S) as http:
            while True:
                with suppress(httpx.HTTPError, MCPError):
                    async for _ in words(http, self._remote):
                        pause_s = LEAST_PAUSE_S
                        await self._compare()
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
                # By this a key that has expired is renewed, too.
                with suppress(MCPError):
                    await self._compare()

    async def _compare(self) -> None:
        """List the tools again, and tell the client if they are not those that it was shown."""
        names = await self._names()
        if self._shown is None or names == self._shown:
            return
        self._shown = names
        await self._bus.publish(ToolsListChanged())
        if self._session is not None:
            await self._session.send_tool_list_changed()


async def words(http: httpx.AsyncClient, remote: RemoteServer) -> AsyncIterator[str]:
    """Yield the methods of what the service says, beginning with its acknowledgement."""
    params = types.SubscriptionsListenRequestParams(notifications=_WANTED)
    body = remote.request(METHOD, params.model_dump(mode="json", by_alias=True, exclude_none=True))
    headers = remote.headers(METHOD)
    async with http.stream("POST", "/mcp", json=body, headers=headers) as response:
        response.raise_for_status()
        waiting = b""
        async for chunk in response.aiter_raw():
            *whole, waiting = (waiting + chunk).split(b"\n")
            if max(map(len, (*whole, waiting))) > MAX_LINE_BYTES:
                return
            for line in whole:
                if line.startswith(b"data:") and (method := _method(line[5:])) is not None:
                    yield method


def _method(data: bytes) -> str | None:
    """Return the method of a notification; None for what is none, as the end of the listening."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    method = found.get("method") if isinstance(found, dict) else None
    return method if isinstance(method, str) else None
