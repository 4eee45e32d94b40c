"""The stream of the log: its entries as they are written, as server-sent events.

The id of an event is the position of its entry. A follower that sends the last one it has seen goes
on right behind it and misses nothing, however long it was away: what is no longer in memory is read
from the stored log, at a price. Nothing is queued for a reader. One that falls behind what is in
memory, takes nothing for too long or has been there for long is told to resume, and let go.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, NamedTuple

from anyio import fail_after, move_on_after, sleep, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from api.context import Service, TheService
from api.http import allowances
from api.http.auth import reader_of
from api.http.fields import MAX_POSITION, Address, EntryKinds, Position, Word, address
from api.http.json_input import StrictRoute
from api.http.problems import RETRY_S, Refusal, documented
from api.places import Reader
from api.routes.records import answers
from api.rules import rules
from orchestrator.core.account.sources import NetworkSource
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import opening_json
from orchestrator.log.feed import Page, Told
from orchestrator.log.tree import Checkpoint
from orchestrator.storage.database import Unreachable

EVENT_STREAM = "text/event-stream"
# How long a client is told to wait before it connects again.
RECONNECT_MS = 2_000

router = APIRouter(prefix="/v1", tags=["public"], route_class=StrictRoute)


class Wanted(NamedTuple):
    """The entries that a stream is asked for: of each that is named, and of all that are not."""

    surface: bytes | None = None
    contract: bytes | None = None
    operator: bytes | None = None
    kinds: frozenset[str] = frozenset()

    def takes(self, told: Told) -> bool:
        """Return whether an entry is wanted."""
        return (
            (self.surface is None or told.entry.surface == self.surface)
            and (self.contract is None or told.contract == self.contract)
            and (self.operator is None or told.operator == self.operator)
            and (not self.kinds or told.entry.kind in self.kinds)
        )


def _wanted(
    surface: Annotated[Word | None, Query(description="Only on this surface.")] = None,
    contract: Annotated[Word | None, Query(description="Only about this contract.")] = None,
    operator: Annotated[
        Address | None, Query(description="Only about this operator, or a contract of its.")
    ] = None,
    kinds: Annotated[EntryKinds | None, Query()] = None,
) -> Wanted:
    return Wanted(
        from_hex(surface) if surface else None,
        from_hex(contract) if contract else None,
        address_word(operator) if operator else None,
        frozenset(kinds.split(",")) if kinds else frozenset(),
    )


AsWanted = Annotated[Wanted, Depends(_wanted)]
After = Annotated[
    Position | None,
    Query(description="The position to go on behind; by default, only what is new."),
]


class StreamAnswer(EventSourceResponse):
    """An answer without an end, whose reader must go on taking it; `leave` is called at its end."""

    def __init__(
        self, events: AsyncIterator[bytes], stall_s: float, leave: Callable[[], None]
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers)
        self._stall_s = stall_s
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except* TimeoutError:
            # Nothing more can be said to it. The server drops a connection whose answer is not
            # ended; the reader then connects again with the last id that it has seen.
            pass
        finally:
            self._leave()

    async def stream_response(self, send: Send) -> None:
        """Send the events, each within the time that a reader has to take it."""

        async def send_in_time(message: Any) -> None:
            with fail_after(self._stall_s):
                await send(message)

        await super().stream_response(send_in_time)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `entry`, each with a `StreamedEntry` as its data and the "
            "position as its id; ids without data, that the cursor moves on; and at its end an "
            "event `resume`: connect again with the last id.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **documented(
            rules(422, "event-id position-ahead"),
            rules(429, "streams-many"),
            rules(503, "streams-full"),
        ),
    },
)
async def stream(
    service: TheService,
    request: Request,
    wanted: AsWanted,
    after: After = None,
    last_event_id: Annotated[
        str | None,
        Header(description="The last id that was received; it goes before `after`."),
    ] = None,
) -> Response:
    """Follow the log: entries as server-sent events, from a position on or from now on.

    A key is not needed. With one, places are free that others do not take.
    """
    source = allowances.source_of(service, request)
    await to_thread.run_sync(allowances.charge_read, service, request, source)
    reader = await to_thread.run_sync(reader_of, service, request, source)
    if last_event_id is not None:
        after = _cursor(last_event_id)
    cursor = await begin(service, after)
    take_place(service, reader)
    return StreamAnswer(
        _events(service, reader.source, wanted, cursor),
        service.limits.stream_stall_ms / 1000,
        lambda: service.streams.leave(reader),
    )


async def begin(service: Service, after: int | None) -> int:
    """Return the cursor of a reader that goes on behind a position, or with what is new.

    Raises `Refusal` where the log does not reach that far.
    """
    size = await to_thread.run_sync(service.feed.open)
    if after is not None and after >= max(size, 1):
        # Another route may have told of entries that the feed has not read yet.
        size = await to_thread.run_sync(_stored_size, service)
    if after is not None and after >= max(size, 1):
        raise Refusal(
            422,
            "position-ahead",
            f"the log has {size} entries, so none stands at {after}; read GET /v1/log",
        )
    return size - 1 if after is None else after


def _stored_size(service: Service) -> int:
    newest = service.log.checkpoint()
    return newest.size if newest else 0


def _cursor(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 15 and int(text) <= MAX_POSITION):
        raise Refusal(
            422, "event-id", f"Last-Event-ID is the position of an entry, not {text[:40]!r}"
        )
    return int(text)


def take_place(service: Service, reader: Reader) -> None:
    """Take a place for a stream. Raises `Refusal` if none is free."""
    taken, retry = service.streams.take(reader), {"Retry-After": str(RETRY_S)}
    if taken == "reader-full":
        raise Refusal(
            429,
            "streams-many",
            f"of {'your account' if reader.account else 'your network'} as many streams are open "
            f"as may be now; end one",
            headers=retry,
        )
    if taken == "full":
        hint = "" if reader.account else ", or with a key, for which places are kept"
        raise Refusal(
            503, "streams-full", f"too many streams are open; try again{hint}", headers=retry
        )


# --- Events ---------------------------------------------------------------------------------------


async def _events(
    service: Service, source: NetworkSource, wanted: Wanted, cursor: int
) -> AsyncIterator[bytes]:
    """Yield the events behind a cursor, until the reader has to resume."""
    feed, limits = service.feed, service.limits
    woken, loop = asyncio.Event(), asyncio.get_running_loop()
    # Real time, as for every wait: our own clock may be a simulated one.
    end_s = time.monotonic() + limits.stream_life_ms / 1000
    has_caught_up = False
    with feed.following(lambda: loop.call_soon_threadsafe(woken.set)):
        yield _cursor_event(cursor, retry=RECONNECT_MS)
        while True:
            woken.clear()
            if feed.is_closed or time.monotonic() > end_s:
                yield _resume(cursor, "the server ends here" if feed.is_closed else "it is time")
                return
            page = feed.after(cursor)
            if page is None and has_caught_up:
                yield _resume(cursor, "you have fallen behind")
                return
            if page is None:
                try:
                    page = await replayed(service, source, cursor)
                except Unreachable:
                    yield _resume(cursor, "the log cannot be read just now")
                    return
            told = cursor
            for each in page.entries:
                cursor = each.position
                if wanted.takes(each) and page.checkpoint is not None:
                    yield _entry_event(each, page.checkpoint)
                    told = cursor
            if page.entries:
                # A cursor moves on past what is not wanted, or a replay would begin there again.
                if told != cursor:
                    yield _cursor_event(cursor)
                continue
            has_caught_up = True
            with move_on_after(limits.stream_heartbeat_ms / 1000) as waited:
                await woken.wait()
            if waited.cancelled_caught:
                yield _cursor_event(cursor)


async def replayed(service: Service, source: NetworkSource, cursor: int) -> Page:
    """Return a page of the stored log, which costs its source a request.

    Replays have an allowance of their own, so that a source which replays can still sign in. Once
    it is spent they go on as fast as it is earned.
    """
    while True:
        wait_us = await to_thread.run_sync(allowances.spend_on_replay, service, source)
        if not wait_us:
            break
        await sleep(wait_us / 1_000_000)
    return await to_thread.run_sync(service.feed.read, cursor, limiter=service.replaying)


def _entry_event(told: Told, checkpoint: Checkpoint) -> bytes:
    opening: Any = None if told.opening is None else opening_json(told.opening)
    # Its parts are ours, so nothing is validated: this runs for each entry and each reader.
    data = answers.StreamedEntry.model_construct(
        **event_of(told),
        entry=to_hex(told.data),
        opening=opening,
        checkpoint=answers.CoveringCheckpoint(size=checkpoint.size, root=to_hex(checkpoint.root)),
    )
    return format_sse_event(
        event="entry",
        id=str(told.position),
        data_str=data.model_dump_json(warnings=False),
    )


def event_of(told: Told) -> dict[str, Any]:
    """Return the fields of an `answers.LogEvent`."""
    entry = told.entry
    return {
        "position": told.position,
        "kind": entry.kind,
        "surface": to_hex(entry.surface),
        "actor": to_hex(entry.actor),
        "subject": to_hex(entry.subject),
        "label": entry.label,
        "value": str(entry.value),
        "time_ms": entry.time_ms,
        "payload": to_hex(entry.payload),
        "contract": None if told.contract is None else to_hex(told.contract),
        "operator": None if told.operator is None else address(told.operator),
    }


def _cursor_event(cursor: int, retry: int | None = None) -> bytes:
    """Return an id without data: a sign of life, which moves the reader's cursor and no more."""
    if cursor < 0:
        return format_sse_event(comment="the log is empty", retry=retry)
    return format_sse_event(comment="so far", id=str(cursor), retry=retry)


def _resume(cursor: int, reason: str) -> bytes:
    text = answers.Resume(after=max(cursor, 0), reason=reason).model_dump_json()
    return format_sse_event(event="resume", id=str(max(cursor, 0)), data_str=text)
