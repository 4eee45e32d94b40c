"""Asking something of the log: submit, then perhaps wait for the checkpoint, then tell.

A request is taken with 202 and decided later. `Prefer: wait=N` (RFC 7240) holds the answer back for
up to N seconds, at most 10, until a checkpoint covers it; when too many wait already, none do.
"""

import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from anyio import sleep
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import problems
from api.http.auth import AnyCaller, Caller, charge
from api.http.fields import Key
from api.http.json_input import StrictRoute, read_lines, split_lines
from api.http.problems import Refusal, documented, not_found
from api.http.schemas import BulkProductEvent, BulkStatus, BulkTouch, LineStatus, RequestStatus
from orchestrator.log import inbox
from orchestrator.log.inbox import Result, Submission
from orchestrator.storage.database import Session

Line = TypeVar("Line", BulkProductEvent, BulkTouch)

MAX_WAIT_S = 10
MAX_LINES = 5_000
_POLL_S = 0.05
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)


def _wait_s(
    prefer: Annotated[
        str | None,
        Header(
            description="`wait=N`: hold the answer back for up to N seconds (at most 10).",
            examples=["wait=5"],
        ),
    ] = None,
) -> int:
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), MAX_WAIT_S) if found else 0


WaitS = Annotated[int, Depends(_wait_s)]
IdempotencyKey = Annotated[
    Key,
    Header(
        alias="Idempotency-Key",
        description="Yours to choose; the same key with the same body is the same request. It is "
        "kept for ever: let it name nobody.",
    ),
]


def decided(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that asks something of the log, besides 202: 200 and errors."""
    done = {"description": "Decided: a checkpoint covers it.", "model": model}
    return {200: done, **documented(401, 403, 409, *statuses)}


def submit(
    service: Service, session: Session, caller: Caller, submissions: Sequence[Submission]
) -> list[UUID]:
    """Take a caller's requests, in order, in the session's transaction."""
    now_ms = service.now_ms()
    ids = []
    for start in range(0, len(submissions), inbox.MAX_BULK):
        part = submissions[start : start + inbox.MAX_BULK]
        ids += inbox.submit(session, service.log_id, caller.account, part, now_ms)
    return ids


async def single(
    service: Service,
    caller: Caller,
    take: Callable[[Session], UUID],
    wait_s: int,
    response: Response,
) -> RequestStatus:
    """Take one request in a transaction, and tell what became of it; a refusal is raised."""

    def taken() -> UUID:
        with service.database.transaction(caller.account) as session:
            return take(session)

    request_id = await run_in_threadpool(taken)
    (status,) = await awaited(service, caller, [request_id], wait_s, response)
    if status.code is not None:
        raise Refusal(
            problems.status_of_refused(status.code), status.code, status.detail or "refused"
        )
    response.headers["Location"] = status.href
    return status


async def bulk(
    service: Service,
    caller: Caller,
    model: type[Line],
    take: Callable[[Session, list[tuple[int, Line]]], list[UUID]],
    wait_s: int,
    request: Request,
    response: Response,
) -> BulkStatus:
    """Take a body of lines in one transaction, and tell what became of each beside its own id.

    The caller is charged for every line before any is read. `take` is given the lines' numbers too.
    """
    body = await request.body()

    def taken() -> tuple[list[str], list[UUID]]:
        unread = split_lines(request, body, MAX_LINES)
        charge(service, caller, len(unread))
        lines = read_lines(unread, model)
        with service.database.transaction(caller.account) as session:
            return [line.id for _, line in lines], take(session, lines)

    line_ids, request_ids = await run_in_threadpool(taken)
    statuses = await awaited(service, caller, request_ids, wait_s, response)
    results = [
        LineStatus(id=line_id, **status.model_dump())
        for line_id, status in zip(line_ids, statuses, strict=True)
    ]
    return BulkStatus(results=results)


async def awaited(
    service: Service, caller: Caller, ids: Sequence[UUID], wait_s: int, response: Response
) -> list[RequestStatus]:
    """What became of requests that were taken; 200 once all are decided, 202 before."""
    statuses = await run_in_threadpool(read_statuses, service, caller.account, ids)
    must_wait = wait_s > 0 and not _decided(statuses)
    may_wait = must_wait and service.waiting.acquire()
    if may_wait or (wait_s > 0 and not must_wait):
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    if may_wait:
        try:
            # Our own clock may be a simulated one; patience is measured in real time.
            deadline = time.monotonic() + wait_s
            while not _decided(statuses) and time.monotonic() < deadline:
                await sleep(_POLL_S)
                last = await run_in_threadpool(read_statuses, service, caller.account, ids[-1:])
                if _decided(last):
                    statuses = await run_in_threadpool(read_statuses, service, caller.account, ids)
        finally:
            service.waiting.release()
    response.status_code = 200 if _decided(statuses) else 202
    return statuses


def read_statuses(service: Service, account: str, ids: Sequence[UUID]) -> list[RequestStatus]:
    """What became of an account's requests, in the order of `ids`; unknown ones are left out."""
    found: dict[UUID, Result] = {}
    with service.database.transaction(account) as session:
        for start in range(0, len(ids), inbox.MAX_BULK):
            part = ids[start : start + inbox.MAX_BULK]
            found |= inbox.results_of(session, service.log_id, part)
        verdicts = _verdicts(service, session, found)
    return [_status(found[each], verdicts.get(each)) for each in ids if each in found]


def _verdicts(service: Service, session: Session, found: dict[UUID, Result]) -> dict[UUID, str]:
    """What the policy made of those requests that are product events and are decided."""
    events = {
        row.request_id
        for row in session.all("api.product_events", log_id=service.log_id, request_ids=list(found))
    }
    decided = [found[each] for each in events if found[each].status == "done"]
    refused = {
        row.first
        for row in session.all(
            "api.refused_transitions",
            log_id=service.log_id,
            firsts=[result.first_position for result in decided],
            counts=[result.entries for result in decided],
        )
    }
    return {
        result.request_id: "ignored"
        if not result.entries
        else "refused"
        if result.first_position in refused
        else "accepted"
        for result in decided
    }


def _status(result: Result, verdict: str | None) -> RequestStatus:
    return RequestStatus.model_validate(
        {
            "request_id": str(result.request_id),
            "status": result.status,
            "href": f"/v1/requests/{result.request_id}",
            "first_position": result.first_position if result.entries else None,
            "count": result.entries or 0,
            "verdict": verdict,
            "code": result.code,
            "detail": result.message,
        }
    )


def _decided(statuses: Sequence[RequestStatus]) -> bool:
    return all(status.status != "waiting" for status in statuses)


router = APIRouter(prefix="/v1", tags=["requests"], route_class=StrictRoute)


@router.get("/requests/{request_id}", responses=documented(401, 403, 404))
def request_status(service: TheService, caller: AnyCaller, request_id: UUID) -> RequestStatus:
    """What became of a request that this account made."""
    statuses = read_statuses(service, caller.account, [request_id])
    if not statuses:
        raise not_found("request of yours")
    return statuses[0]
