"""Changes at the service, told to the client of this machine in either era.

The service is listened to for as long as the client is there. It says only that something changed,
and nothing of what passed while it was not heard. So the tools are listed again at each word of it
and after each lost connection, and the client is told if they are others than it was shown; and of
each resource that it wants to hear of, it is told after each gap that it may be another.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import httpx
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import event_to_notification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.connect.remote import RemoteServer

# Lists the tools again, and returns their names. Raises `MCPError` if the service does not.
Names = Callable[[], Awaitable[frozenset[str]]]
Context = ServerRequestContext[Any, Any]

METHOD = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
# The service gives a sign of life every 15 seconds.
SILENCE_S = 60.0
LEAST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
# How long a client waits for the service to hear of its wishes; it is told later of what it missed.
MOST_WAIT_S = 3.0
# The first word repeats the resources that it is asked for, the others are of some hundred bytes.
MAX_LINE_BYTES = 65_536
# Of one client, which needs one.
MAX_LISTENERS = 4
# What the service tells one listener of at a time, and how long the longest of them is named.
MAX_RESOURCES, MAX_URI = 100, 300
# Stands for the client of an earlier era, which has one session and asks for one after the other.
_EARLIER = object()


class Word(NamedTuple):
    """A notification of the service: its method, and the resource that it is about."""

    method: str
    uri: str | None


class _Bus(InMemorySubscriptionBus):
    """The way to one client that listens; it keeps what comes before its handler has begun."""

    def __init__(self) -> None:
        super().__init__()
        self._early: dict[ServerEvent, None] | None = {}

    async def publish(self, event: ServerEvent) -> None:
        if self._early is not None:
            self._early[event] = None
        await super().publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        early, self._early = self._early or {}, None
        for event in early:
            listener(event)
        return super().subscribe(listener)


class Changes:
    """The way from the service's word to the client. `follow` runs beside the server."""

    def __init__(self, remote: RemoteServer, names: Names) -> None:
        self._remote, self._names = remote, names
        self._is_wanted, self._is_heard = anyio.Event(), anyio.Event()
        # One time of listening, and the pause behind it.
        self._turn = anyio.CancelScope()
        self._shown: frozenset[str] | None = None
        # A client of an earlier era, which is told without having asked.
        self._session: ServerSession | None = None
        self._buses: dict[object, _Bus] = {}
        # What each listening wants to be told of beside its tools, and all that any may rely on.
        self._asked: dict[object, frozenset[ServerEvent]] = {}
        self._promised: frozenset[ServerEvent] = frozenset()

    def note_shown(self, ctx: Context, names: frozenset[str]) -> None:
        """Note the tools that the client has been shown, and how it can be told of others."""
        self._shown = names
        if self._is_earlier(ctx):
            self._is_wanted.set()

    async def note_listed(self, ctx: Context) -> None:
        """Note that the client has listed resources, and how it can be told of others."""
        if self._is_earlier(ctx):
            await self._ask(_EARLIER, self._of_earlier() | {ResourcesListChanged()})

    async def subscribe(
        self, ctx: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell the client of an earlier era of a resource's changes from now on."""
        if self._is_earlier(ctx):
            await self._ask(_EARLIER, self._of_earlier() | {ResourceUpdated(str(params.uri))})
        return types.EmptyResult()

    async def unsubscribe(
        self, _: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell it no more."""
        self._asked[_EARLIER] = self._of_earlier() - {ResourceUpdated(str(params.uri))}
        return types.EmptyResult()

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell a client of tools and resources until it goes; prompts are always the same."""
        if len(self._buses) >= MAX_LISTENERS:
            raise MCPError(types.INTERNAL_ERROR, f"{MAX_LISTENERS} listen already")
        asked = params.notifications.model_copy(update={"prompts_list_changed": None})
        ticket, bus = object(), _Bus()
        handler = ListenHandler(bus, max_subscriptions=1, max_buffered_events=2 * MAX_RESOURCES)
        self._buses[ticket] = bus
        try:
            await self._ask(ticket, frozenset(_events(asked)))
            return await handler(ctx, params.model_copy(update={"notifications": asked}))
        finally:
            del self._buses[ticket]
            self._asked.pop(ticket, None)

    async def follow(self) -> None:
        """Listen to the service, again and again, once a client wants to be told."""
        await self._is_wanted.wait()
        pause_s = LEAST_PAUSE_S
        async with self._remote.listening_client(SILENCE_S) as http:
            while True:
                # It ends before its time when a client wants to be told of more.
                with anyio.CancelScope() as self._turn:
                    with suppress(httpx.HTTPError, MCPError):
                        async for word in words(http, self._remote, self._wanted()):
                            pause_s = LEAST_PAUSE_S
                            # Of what it has noted it tells all.
                            with anyio.CancelScope(shield=True):
                                await self._take(word)
                    await anyio.sleep(pause_s)
                    pause_s = min(2 * pause_s, MAX_PAUSE_S)
                    # By this a key that has expired is renewed, too.
                    with suppress(MCPError), anyio.CancelScope(shield=True):
                        await self._compare()

    def _is_earlier(self, ctx: Context) -> bool:
        """Return whether a client is of an earlier era; keep its session if it is."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return False
        self._session = ctx.session
        return True

    def _of_earlier(self) -> frozenset[ServerEvent]:
        return self._asked.get(_EARLIER, frozenset())

    def _wanted(self) -> frozenset[ServerEvent]:
        return frozenset[ServerEvent]().union(*self._asked.values())

    async def _ask(self, ticket: object, events: frozenset[ServerEvent]) -> None:
        """Have the service asked for these events, and return once it has heard of them."""
        named = [each.uri for each in events | self._wanted() if isinstance(each, ResourceUpdated)]
        if len(named) > MAX_RESOURCES or any(len(uri) > MAX_URI for uri in named):
            raise MCPError(
                types.INVALID_PARAMS,
                f"{len(named)} resources; at most {MAX_RESOURCES} at a time, of {MAX_URI} "
                f"characters each",
            )
        is_more = not events <= self._wanted()
        self._asked[ticket] = events
        self._is_wanted.set()
        if is_more:
            heard = self._is_heard = anyio.Event()
            self._turn.cancel()
            with anyio.move_on_after(MOST_WAIT_S):
                await heard.wait()
        self._promised |= events

    async def _take(self, word: Word) -> None:
        """Tell the client what a word of the service means to it."""
        updated = word.uri and ResourceUpdated(word.uri)
        if word.method == ACKNOWLEDGED:
            self._is_heard.set()
            self._promised &= self._wanted()
            for event in sorted(self._promised, key=repr):
                await self._tell(event)
        elif word.method == "notifications/resources/list_changed":
            await self._tell(ResourcesListChanged())
        elif updated and updated in self._wanted():
            await self._tell(updated)
        await self._compare()

    async def _compare(self) -> None:
        """List the tools again, and tell the client if they are not those that it was shown."""
        names = await self._names()
        if self._shown is None or names == self._shown:
            return
        self._shown = names
        await self._tell(ToolsListChanged())

    async def _tell(self, event: ServerEvent) -> None:
        for bus in [*self._buses.values()]:
            await bus.publish(event)
        is_asked = isinstance(event, ToolsListChanged) or event in self._of_earlier()
        if self._session is not None and is_asked:
            await self._session.send_notification(event_to_notification(event, {}))


def _events(asked: types.SubscriptionFilter) -> Iterable[ServerEvent]:
    """Yield what a client asks to be told of beside its tools."""
    if asked.resources_list_changed:
        yield ResourcesListChanged()
    yield from map(ResourceUpdated, asked.resource_subscriptions or ())


def _filter(events: Iterable[ServerEvent]) -> types.SubscriptionFilter:
    named = sorted(each.uri for each in events if isinstance(each, ResourceUpdated))
    return types.SubscriptionFilter(
        tools_list_changed=True,
        resources_list_changed=ResourcesListChanged() in {*events} or None,
        resource_subscriptions=named or None,
    )


async def words(
    http: httpx.AsyncClient, remote: RemoteServer, events: frozenset[ServerEvent] = frozenset()
) -> AsyncIterator[Word]:
    """Yield what the service says of tools and these events, its acknowledgement first."""
    params = types.SubscriptionsListenRequestParams(notifications=_filter(events))
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
                if line.startswith(b"data:") and (word := _word(line[5:])) is not None:
                    yield word


def _word(data: bytes) -> Word | None:
    """Return a notification; None for what is none, as the end of the listening."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    method = found.get("method") if isinstance(found, dict) else None
    if not isinstance(method, str):
        return None
    params = found.get("params")
    uri = params.get("uri") if isinstance(params, dict) else None
    return Word(method, uri if isinstance(uri, str) else None)
