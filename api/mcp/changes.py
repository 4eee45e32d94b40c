"""Changes that a client has asked to be told of (`subscriptions/listen`, from 2026-07-28 on).

A client is told when its list of tools has changed, as its trust has, when there is a surface more,
and when a resource that it named has changed. All is read from the feed, so nothing is kept for a
client while it is away: it listens again, and lists again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from api.context import Service
from api.http.allowances import source_of
from api.http.auth import reader_of
from api.http.fields import address
from api.http.problems import Refusal
from api.mcp.library import SCHEME
from api.routes.records.stream import take_place
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import KINDS, Topic
from orchestrator.log.feed import Told

# The most resources that one client names at a time.
MAX_RESOURCES = 100
_TRUST = frozenset(kind.name for kind in KINDS.values() if kind.topic is Topic.LEVEL)
# The kinds of entries after which a list of tools may be another.
_TOOLS = _TRUST | {"settings.published"}
_FUNNEL = frozenset({"lead.registered", "lead.transition"})
_SURFACE = frozenset({"policy.published", "settings.published"})

# Returns what a caller may do; another value than before says that its tools are others. Raises
# `MCPError` once its key has ended.
Allowed = Callable[[], Awaitable[object]]


class _Bus(InMemorySubscriptionBus):
    """The way to the handler of one client, which hears nothing before it has subscribed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_heard = anyio.Event()

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self.is_heard.set()
        return super().subscribe(listener)


class Changes:
    """The changes of one log, told to clients that listen."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def listen(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: types.SubscriptionsListenRequestParams,
        allowed: Allowed,
    ) -> types.SubscriptionsListenResult:
        """Tell a client of changes until it goes, its key ends, or it is to listen again."""
        named = params.notifications.resource_subscriptions or ()
        if len(named) > MAX_RESOURCES:
            raise MCPError(
                types.INVALID_PARAMS, f"{len(named)} resources; at most {MAX_RESOURCES} at a time"
            )
        if ctx.request is None:
            raise TypeError("the endpoint hands each request on")
        source = source_of(self._service, ctx.request)
        reader = await anyio.to_thread.run_sync(reader_of, self._service, ctx.request, source)
        await anyio.to_thread.run_sync(self._service.feed.open)
        try:
            take_place(self._service, reader)
        except Refusal as refusal:
            raise MCPError(types.INTERNAL_ERROR, f"{refusal.code}: {refusal.detail}") from None
        try:
            return await self._serve(ctx, params, named, allowed)
        finally:
            self._service.streams.leave(reader)

    async def _serve(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: types.SubscriptionsListenRequestParams,
        named: Collection[str],
        allowed: Allowed,
    ) -> types.SubscriptionsListenResult:
        bus = _Bus()
        handler = ListenHandler(bus, max_subscriptions=1, max_buffered_events=MAX_RESOURCES)
        cursor, before = self._service.feed.size - 1, await allowed()

        async def follow() -> None:
            try:
                await bus.is_heard.wait()
                await self._follow(bus, cursor, before, named, allowed)
            finally:
                handler.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            result = await handler(ctx, params)
            tasks.cancel_scope.cancel()
        return result

    async def _follow(
        self,
        bus: _Bus,
        cursor: int,
        before: object,
        named: Collection[str],
        allowed: Allowed,
    ) -> None:
        """Publish what changes behind a cursor; return when the client is to listen again."""
        feed, limits = self._service.feed, self._service.limits
        woken, loop = asyncio.Event(), asyncio.get_running_loop()
        as_named = {uri.lower(): uri for uri in named}
        # Real time, as for every wait: our own clock may be a simulated one.
        end_s = time.monotonic() + limits.stream_life_ms / 1000
        with feed.following(lambda: loop.call_soon_threadsafe(woken.set)):
            while not feed.is_closed and (left_s := end_s - time.monotonic()) > 0:
                woken.clear()
                page = feed.after(cursor)
                if page is None:
                    return
                for event in _events(page.entries, as_named):
                    await bus.publish(event)
                if any(each.entry.kind in _TOOLS for each in page.entries):
                    try:
                        now = await allowed()
                    except MCPError:
                        return
                    if now != before:
                        await bus.publish(ToolsListChanged())
                    before = now
                if page.entries:
                    cursor = page.entries[-1].position
                    continue
                with anyio.move_on_after(left_s):
                    await woken.wait()


def _events(entries: Collection[Told], as_named: dict[str, str]) -> Iterator[ServerEvent]:
    """Yield what a page of entries changes but the tools, each once."""
    # A surface begins with its first policy.
    if any(each.entry.kind == "policy.published" for each in entries):
        yield ResourcesListChanged()
    changed = dict.fromkeys(uri for each in entries for uri in _resources(each))
    yield from (ResourceUpdated(as_named[uri]) for uri in changed if uri in as_named)


def _resources(told: Told) -> Iterator[str]:
    """Yield the URIs, in small letters, of what an entry changes."""
    kind, surface = told.entry.kind, f"{SCHEME}surfaces/{to_hex(told.entry.surface)}"
    if told.contract is not None:
        yield f"{SCHEME}contracts/{to_hex(told.contract)}"
    if kind in _SURFACE:
        yield surface
    if kind in _FUNNEL:
        yield f"{surface}/funnel"
    if kind in _TRUST and told.operator is not None:
        yield f"{surface}/operators/{address(told.operator).lower()}"
