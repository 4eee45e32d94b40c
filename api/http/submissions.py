"""Requests to the log: taken in one transaction, then waited for as the caller prefers.

A request is taken with 202 and decided later. `Prefer: wait=N` (RFC 7240) holds the answer back for
up to N seconds, at most 10, until a checkpoint covers it; when too many wait already, none do.

The database stamps when a request is received. An event that is dated a little ahead of its clock,
as by a product whose own is fast, is taken when its time has come; one dated further ahead is
refused.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, sleep, to_thread
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService, service_of
from api.http import problems
from api.http.allowances import act_of, charge, limits_in
from api.http.answers import BulkStatus, LineStatus, RequestStatus
from api.http.auth import AnyCaller, Caller, acting, needs
from api.http.bodies import BulkLine
from api.http.fields import Key
from api.http.json_input import StrictRoute, read_lines, split_lines
from api.http.problems import Refusal, documented, not_found
from api.rules import TAKEN, Rules
from orchestrator.core.account.scopes import Scope
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.world.requests import Request as Requested
from orchestrator.log import inbox
from orchestrator.log.inbox import EventAheadError, Result, Submission, Taken
from orchestrator.storage.database import Session
from orchestrator.storage.traces import followed

Line = TypeVar("Line", bound=BulkLine)
Body_co = TypeVar("Body_co", covariant=True)
Part = TypeVar("Part")

MAX_WAIT_S = 10
MAX_LINES = 5_000
# The most requests that came one by one and are taken together.
MAX_GATHERED = 32
# How far ahead of the database's clock an event may be dated and is still waited for.
EVENT_PATIENCE_S = 5
_POLL_S = 0.05
# What an event's entries say of it, by their first words.
_REFUSED, _CLICKED = KINDS["lead.refused"].word, KINDS["touch.reported"].word
_ACCEPTED = {KINDS["lead.transition"].word, KINDS["product.event"].word}
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)


# --- Headers and responses ------------------------------------------------------------------------


# Not a plain function, which FastAPI would hand to a thread.
async def _wait_s(
    prefer: Annotated[
        str | None,
        Header(
            description="`wait=N`: hold the answer back for up to N seconds (at most 10).",
            examples=["wait=5"],
        ),
    ] = None,
) -> int:
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), MAX_WAIT_S) if match else 0


WaitS = Annotated[int, Depends(_wait_s)]
IdempotencyKey = Annotated[
    Key,
    Header(
        alias="Idempotency-Key",
        description="Yours to choose; the same key with the same body is the same request, which "
        "counts once. After a refusal with `retry`, sending it again has it decided anew. The key "
        "is kept for ever, so it must not name a person.",
    ),
]


def decided(model: type[BaseModel], *parts: int | Rules) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route to the log, besides 202: 200 and these errors."""
    done = {"description": "Decided: a checkpoint covers it.", "model": model}
    return {200: done, **documented(401, 403, 409, TAKEN, *parts)}


# --- Taking requests ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item(Generic[Body_co]):
    """One body of a request, or one of its lines.

    `key` makes it count once; `place` is `body` or `line N`, for the faults that are found in it.
    """

    key: str
    place: str
    body: Body_co


class Entering(NamedTuple, Generic[Body_co]):
    """One body about a surface, and as much of its request as the inbox lets it in by."""

    surface: str
    item: Item[Body_co]
    request: Requested


def by_surface(gathered: Iterable[Entering[Body_co]]) -> dict[str, list[Item[Body_co]]]:
    """Return the bodies about each surface, in their order."""
    found: dict[str, list[Item[Body_co]]] = {}
    for each in gathered:
        found.setdefault(each.surface, []).append(each.item)
    return found


@dataclass(frozen=True)
class CallerInbox:
    """The log's inbox as one HTTP request of a caller reaches it."""

    service: Service
    caller: Caller
    wait_s: int
    request: Request
    response: Response
    # How many take theirs at a time; None: as many as there are connections.
    limiter: CapacityLimiter | None = None
    # Those that the last transaction took which had not been taken before.
    _fresh: set[UUID] = field(default_factory=set)

    def submit(self, session: Session, submissions: Sequence[Submission]) -> list[UUID]:
        """Enter for requests, and take them; as `take` does."""
        if len(submissions) <= inbox.MAX_BULK:
            log_id, account = self.service.log_id, self.caller.account
            return self._noted(inbox.submit(session, log_id, account, submissions))
        # All of them before the first part: an event of the last part may be still to come.
        requests = [submission.request for submission in submissions]
        inbox.enter(session, self.service.log_id, requests)
        return self.take(session, submissions)

    def take(self, session: Session, submissions: Sequence[Submission]) -> list[UUID]:
        """Take requests, in order, in the session's transaction, which has entered for them.

        Return their ids.
        """
        log_id, account, ids = self.service.log_id, self.caller.account, list[UUID]()
        for part in in_bulks(submissions):
            ids += self._noted(inbox.take(session, log_id, account, part))
        return ids

    @property
    def fresh(self) -> Set[UUID]:
        """The requests of the last transaction that are no repeats."""
        return self._fresh

    def _noted(self, taken: Taken) -> list[UUID]:
        """Note which requests wait since now: once committed, nothing need be asked of these."""
        self._fresh.update(taken.fresh)
        return taken.ids

    def enter(self, session: Session, requests: Sequence[Requested]) -> None:
        """Raise as `inbox.enter` does, in a transaction that began by entering for these."""
        inbox.check_entered(session.key, requests)

    def submit_last(self, session: Session, submission: Submission) -> list[UUID]:
        """Enter for one request, take it, and end the session's transaction."""
        log_id, account = self.service.log_id, self.caller.account
        return self._noted(inbox.submit_last(session, log_id, account, submission))

    def take_last(self, session: Session, submissions: Sequence[Submission]) -> list[UUID]:
        """Take requests as `take` does; one alone ends the session's transaction too."""
        if len(submissions) > 1:
            return self.take(session, submissions)
        log_id, account = self.service.log_id, self.caller.account
        return self._noted(inbox.take_last(session, log_id, account, *submissions))

    async def take_one(
        self, take: Callable[[Session], list[UUID]], entering: Sequence[Requested] = ()
    ) -> RequestStatus:
        """Take one request in a transaction, and return its status. Raises `Refusal`.

        The transaction begins by entering for some requests, if they are known before it.
        """
        return await self._taken(await self._take(take, entering))

    async def take_gathered(
        self,
        what: str,
        entering: Entering[Body_co],
        take: Callable[[Session, Sequence[Entering[Body_co]]], list[UUID]],
    ) -> RequestStatus:
        """Take one request as `take_one` does, together with those that come with it.

        These are of the same key, and are taken by the same `take`, which `what` names. If they
        cannot be taken together, each is taken alone. Raises `Refusal`.
        """

        async def work(gathered: Sequence[Entering[Body_co]]) -> list[tuple[UUID, bool]]:
            ids = await self._take_now(
                lambda session: take(session, gathered), [each.request for each in gathered]
            )
            return [(each, each in self._fresh) for each in ids]

        # What is stored with a trace of its own goes alone.
        group = what, self.caller.secret, followed()
        try:
            name, is_fresh = await self.service.gathering.act(group, entering, work)
        except EventAheadError:
            # No others wait for its time.
            return await self.take_one(
                lambda session: take(session, [entering]), [entering.request]
            )
        self._fresh.clear()
        if is_fresh:
            self._fresh.add(name)
        return await self._taken([name])

    async def _taken(self, ids: Sequence[UUID]) -> RequestStatus:
        """Return the status of one request that was taken. Raises `Refusal` if it was refused."""
        (status,) = await self.wait_for(ids)
        if status.code is not None:
            raise Refusal(
                problems.status_of_refused(status.code), status.code, status.detail or "refused"
            )
        self.response.headers["Location"] = status.href
        return status

    async def take_lines(
        self, model: type[Line], take: Callable[[Session, list[Item[Line]]], list[UUID]]
    ) -> BulkStatus:
        """Take a body of lines in one transaction, and return the status of each by its own id.

        The caller is charged for every line before any is read: reading is what costs.
        """
        body = await self.request.body()

        def read() -> list[Item[Line]]:
            unread = split_lines(self.request, body, MAX_LINES)
            charge(
                acting(self.service, self.caller),
                self.request,
                self.caller.account,
                limits_in(self.request),
                {act_of(self.request): len(unread)},
            )
            return [
                Item(line.id, f"line {number}", line) for number, line in read_lines(unread, model)
            ]

        # Parsing thousands of lines blocks as the database does: neither on the event loop.
        items = await run_in_threadpool(read)
        return BulkStatus(results=await self.take_items(items, take))

    async def take_items(
        self,
        items: list[Item[Line]],
        take: Callable[[Session, list[Item[Line]]], list[UUID]],
    ) -> list[LineStatus]:
        """Take bodies that were read in one transaction; return the status of each by its id."""
        statuses = await self.wait_for(await self._take(lambda session: take(session, items)))
        return [
            LineStatus(id=item.key, **status.model_dump())
            for item, status in zip(items, statuses, strict=True)
        ]

    async def _take(
        self, take: Callable[[Session], list[UUID]], entering: Sequence[Requested] = ()
    ) -> list[UUID]:
        """Take requests in a transaction, after waiting for an event that is a little ahead.

        What is refused as dated too far ahead leaves nothing behind: its key is not used up. A wait
        holds one of the places that `Prefer` uses too, and no connection. Raises `Refusal`.
        """
        # The database's clock may be a simulated one; patience is measured in real time.
        deadline, has_place = math.inf, False
        try:
            while True:
                try:
                    return await self._take_now(take, entering)
                except EventAheadError as early:
                    wait_s, now_s = early.ahead_ms / 1000, time.monotonic()
                    deadline = min(deadline, now_s + EVENT_PATIENCE_S)
                    has_time = now_s + wait_s <= deadline
                    has_place = has_place or (
                        has_time and self.service.waiting.acquire(self.caller.account)
                    )
                    if not (has_time and has_place):
                        headers = {"Retry-After": str(math.ceil(wait_s))}
                        status = problems.status_of_refused(early.code)
                        raise Refusal(status, early.code, early.message, headers=headers) from None
                await sleep(wait_s)
        finally:
            if has_place:
                self.service.waiting.release(self.caller.account)

    async def _take_now(
        self, take: Callable[[Session], list[UUID]], entering: Sequence[Requested] = ()
    ) -> list[UUID]:
        """Take requests in a transaction. Raises `Refusal` or, for one ahead, `EventAheadError`."""
        begin = inbox.beginning(self.service.log_id, entering) if entering else None

        def in_transaction() -> list[UUID]:
            self._fresh.clear()
            with acting(self.service, self.caller, lets_go_early=True, entering=begin) as session:
                return take(session)

        return await to_thread.run_sync(in_transaction, limiter=self.limiter)

    async def wait_for(self, ids: Sequence[UUID]) -> list[RequestStatus]:
        """Return the statuses of requests after the wait that the caller prefers.

        The response's status becomes 200 if all are decided, 202 otherwise.
        """
        if self._fresh.issuperset(ids):
            statuses = [_status(Result(each, "waiting", *[None] * 4), None, None) for each in ids]
        else:
            statuses = await self._statuses(ids)
        must_wait = self.wait_s > 0 and not _all_decided(statuses)
        may_wait = must_wait and self._may_wait()
        if may_wait or (self.wait_s > 0 and not must_wait):
            self.response.headers["Preference-Applied"] = f"wait={self.wait_s}"
        if may_wait:
            try:
                # Our own clock may be a simulated one; patience is measured in real time.
                deadline = time.monotonic() + self.wait_s
                while not _all_decided(statuses) and time.monotonic() < deadline:
                    await sleep(_POLL_S)
                    # Requests are decided in order: before the last is, the others need no look.
                    if _all_decided(await self._statuses(ids[-1:])):
                        statuses = await self._statuses(ids)
            finally:
                self.service.waiting.release(self.caller.account)
        self.response.status_code = 200 if _all_decided(statuses) else 202
        return statuses

    def _may_wait(self) -> bool:
        return self.service.waiting.acquire(self.caller.account)

    async def _statuses(self, ids: Sequence[UUID]) -> list[RequestStatus]:
        return await run_in_threadpool(read_statuses, self.service, self.caller, ids)


def inbox_for(scope: Scope) -> Any:
    """Return the dependency of a route that takes requests by keys with this scope."""
    # Operators are strangers, and they wait for the surface's lock, as its owner does.
    is_operators = scope.startswith("operator:")

    async def open_inbox(
        caller: Annotated[Caller, needs(scope)],
        wait_s: WaitS,
        request: Request,
        response: Response,
    ) -> CallerInbox:
        service = service_of(request)
        limiter = service.touches if is_operators else None
        return CallerInbox(service, caller, wait_s, request, response, limiter)

    return Depends(open_inbox)


def in_bulks(items: Sequence[Part]) -> Iterator[Sequence[Part]]:
    """Divide items into parts that the inbox takes at once."""
    for start in range(0, len(items), inbox.MAX_BULK):
        yield items[start : start + inbox.MAX_BULK]


# --- Statuses -------------------------------------------------------------------------------------

router = APIRouter(prefix="/v1", tags=["requests"], route_class=StrictRoute)


@router.get("/requests/{request_id}", responses=documented(401, 403, 404))
def request_status(service: TheService, caller: AnyCaller, request_id: UUID) -> RequestStatus:
    """Return the status of a request that this account made."""
    statuses = read_statuses(service, caller, [request_id])
    if not statuses:
        raise not_found("request of yours")
    return statuses[0]


def read_statuses(service: Service, caller: Caller, ids: Sequence[UUID]) -> list[RequestStatus]:
    """Return the statuses of the caller's requests, in the order of `ids`, without unknown ones."""
    results: dict[UUID, Result] = {}
    with acting(service, caller) as session:
        for part in in_bulks(ids):
            results |= inbox.results_of(session, service.log_id, part)
        outcomes = _outcomes(service, session, results)
    return [
        _status(results[each], *outcomes.get(each, (None, None))) for each in ids if each in results
    ]


def _outcomes(
    service: Service, session: Session, results: dict[UUID, Result]
) -> dict[UUID, tuple[str, bool | None]]:
    """Return the policy's verdict on each of these requests that is a decided product event.

    Of one that came with a code, also whether the log took a click by it.
    """
    rows = session.all("api.product_events", log_id=service.log_id, request_ids=list(results))
    done = {row: result for row in rows if (result := results[row.request_id]).status == "done"}
    runs = [result for result in done.values() if result.entries]
    told: dict[int | None, set[bytes]] = {}
    for row in session.all(
        "api.kinds_in_runs",
        log_id=service.log_id,
        firsts=[result.first_position for result in runs],
        counts=[result.entries for result in runs],
        kinds=[_REFUSED, _CLICKED, *_ACCEPTED],
    ):
        told.setdefault(row.first, set()).add(row.kind)

    def verdict(kinds: set[bytes]) -> str:
        if _REFUSED in kinds:
            return "refused"
        return "accepted" if kinds & _ACCEPTED else "ignored"

    found = {}
    for row, result in done.items():
        kinds = told.get(result.first_position, set()) if result.entries else set()
        found[row.request_id] = verdict(kinds), (_CLICKED in kinds if row.has_ref else None)
    return found


def _status(result: Result, verdict: str | None, ref_used: bool | None) -> RequestStatus:
    return RequestStatus.model_validate(
        {
            "request_id": str(result.request_id),
            "status": result.status,
            "href": f"/v1/requests/{result.request_id}",
            "first_position": result.first_position if result.entries else None,
            "count": result.entries or 0,
            "verdict": verdict,
            "ref_used": ref_used,
            "code": result.code,
            "retry": result.is_retryable,
            "detail": result.message,
        }
    )


def _all_decided(statuses: Sequence[RequestStatus]) -> bool:
    return all(status.status != "waiting" for status in statuses)
