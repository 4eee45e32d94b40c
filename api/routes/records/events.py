"""The events of the log in pages: what a stream tells, for readers that come and go.

A page is what stands behind a position, of what is wanted. It looks at so many entries and no more,
so one that finds little moves the cursor on all the same.
"""

import asyncio
import time
from typing import Annotated

from anyio import move_on_after, to_thread
from fastapi import APIRouter, Query, Request, Response

from api.context import Service, TheService
from api.http import allowances
from api.http.auth import reader_of
from api.http.fields import Digits, Limit, TimeS
from api.http.json_input import StrictRoute
from api.http.problems import documented
from api.http.submissions import MAX_WAIT_S
from api.routes.records import answers
from api.routes.records.stream import (
    After,
    AsWanted,
    Wanted,
    begin,
    event_of,
    replayed,
    take_place,
)
from api.rules import joined, rules
from orchestrator.core.account.sources import NetworkSource
from orchestrator.log.feed import PAGE_ENTRIES, Told

# The most entries that are looked at for one page: those that are read from the stored log cost
# their reader's source a replay for each 250.
MOST_SEARCHED = 8 * PAGE_ENTRIES

router = APIRouter(prefix="/v1", tags=["public"], route_class=StrictRoute)

WaitS = Annotated[
    Annotated[int, Digits],
    Query(
        ge=0,
        le=MAX_WAIT_S,
        description="Where nothing is there yet, hold the answer back for so many seconds.",
    ),
]


UntilS = Annotated[
    TimeS, Digits, Query(description="Wait for this time to come, but ten seconds at most.")
]
_STREAMS = joined(rules(429, "streams-many"), rules(503, "streams-full"))


@router.get("/log/events", responses=documented(rules(422, "position-ahead"), _STREAMS))
async def events(
    service: TheService,
    request: Request,
    wanted: AsWanted,
    after: After = None,
    wait_s: WaitS = 0,
    limit: Limit = 100,
) -> answers.LogEvents:
    """Read what happened behind a position, decoded: a page of it, or what comes next."""
    source = allowances.source_of(service, request)
    await to_thread.run_sync(allowances.charge_read, service, request, source)
    reader = await to_thread.run_sync(reader_of, service, request, source)
    cursor = await begin(service, after)
    take_place(service, reader)
    try:
        found, cursor = await _search(service, reader.source, wanted, cursor, limit, wait_s)
    finally:
        service.streams.leave(reader)
    return answers.LogEvents(
        events=[answers.LogEvent.model_construct(**event_of(each)) for each in found],
        next=max(cursor, 0),
        has_more=cursor + 1 < service.feed.size,
    )


@router.get("/clock", responses=documented(_STREAMS))
async def clock(
    service: TheService, request: Request, response: Response, until_s: UntilS | None = None
) -> answers.Clock:
    """Return the time of the service: terms that begin in an hour begin an hour after it."""
    source = allowances.source_of(service, request)
    await to_thread.run_sync(allowances.charge_read, service, request, source)
    response.headers["Cache-Control"] = "no-store"
    until_ms, speed = (until_s or 0) * 1000, service.info.speed
    left_ms = until_ms - service.now_ms()
    if left_ms > 0 and speed:
        reader = await to_thread.run_sync(reader_of, service, request, source)
        take_place(service, reader)
        try:
            await asyncio.sleep(min(left_ms / speed / 1000, MAX_WAIT_S))
        finally:
            service.streams.leave(reader)
    now_ms = service.now_ms()
    has_come = None if until_s is None else now_ms >= until_ms
    return answers.Clock(time_ms=now_ms, speed=speed, has_come=has_come)


async def _search(
    service: Service, source: NetworkSource, wanted: Wanted, cursor: int, limit: int, wait_s: int
) -> tuple[list[Told], int]:
    """Return what is wanted behind a cursor, and the cursor behind what was looked at."""
    feed, found, searched = service.feed, list[Told](), 0
    woken, loop = asyncio.Event(), asyncio.get_running_loop()
    # Real time, as for every wait: our own clock may be a simulated one.
    end_s = time.monotonic() + wait_s
    with feed.following(lambda: loop.call_soon_threadsafe(woken.set)):
        while searched < MOST_SEARCHED:
            woken.clear()
            page = feed.after(cursor)
            if page is None:
                page = await replayed(service, source, cursor)
            for each in page.entries:
                cursor, searched = each.position, searched + 1
                if wanted.takes(each):
                    found.append(each)
                if len(found) == limit:
                    return found, cursor
            left_s = end_s - time.monotonic()
            if page.entries:
                continue
            if found or left_s <= 0 or feed.is_closed:
                break
            with move_on_after(left_s):
                await woken.wait()
    return found, cursor
