"""The routes of boards: leases on what agents work on, and messages between them.

Who is on a board, and what its lease lets whom do, the database decides in the statement that acts
(`take_lease` and its like); here its verdicts become answers.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from anyio import move_on_after
from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.auth import Caller, acting, needs
from api.http.fields import (
    BoardId,
    Digits,
    Limit,
    MessageLimit,
    MessageNumber,
    WorkItem,
    WorkItemId,
    checksummed,
)
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented
from api.http.submissions import MAX_WAIT_S
from api.routes.accounts import answers, bodies
from api.rules import joined, rules
from orchestrator.core.account.board import MAX_BODY_BYTES
from orchestrator.core.common.errors import LogError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import format_ms
from orchestrator.storage.database import DatabaseError, NamedQuery, Row, Session
from orchestrator.storage.listening import LOOK_S
from orchestrator.storage.sql.sqlstates import REFERENCE_MISSING

# An operator, or the owner of a contract: which of them a board is for, the database knows.
Member = Annotated[Caller, needs("operator:coordinate", "owner:review")]

# What is answered of boards, and of leases on them.
_BOARD = rules(404, "board-unknown")
_LEASE = joined(rules(409, "board-closed lease-lost"), rules(423, "lease-held"))

router = APIRouter(prefix="/v1", tags=["boards"], route_class=StrictRoute)

# The verdicts that refuse: status, code, and what to do.
_REFUSALS = {
    "unknown": (
        404,
        "board-unknown",
        (
            "your key is on no such board; ids are those of surfaces, for keys with "
            "operator:coordinate, and of contracts, for their owners' keys with owner:review too"
        ),
    ),
    "closed": (409, "board-closed", "this contract is closed: its board can only be read"),
    "lost": (
        409,
        "lease-lost",
        "no lease of yours on this item has this fence; stop this work, or take the item anew",
    ),
    "absent": (
        404,
        "receiver-unknown",
        "no live key on this board has this id, or of your account alone this name",
    ),
}


# --- Leases ---------------------------------------------------------------------------------------


@router.put(
    "/boards/{board}/leases/{item}",
    responses=documented(
        401, 403, _BOARD, _LEASE, rules(404, "lead-unknown"), rules(409, "lease-limit")
    ),
)
def take_lease(
    service: TheService, member: Member, board: BoardId, item: WorkItemId, body: bodies.LeaseWish
) -> answers.Lease:
    """Take an item for your key alone, or renew the lease whose fence you give."""
    which = {"log_id": service.log_id, "board": from_hex(board), "item": item}
    most = service.limits.leases
    with _acting_on(service, member) as session:
        times = {"fence": body.fence, "for_ms": 1000 * body.ttl_s, "most": most}
        row = _last_of(session, ("boards.take", {**which, **times}))
    if row.outcome == "full":
        raise Refusal(409, "lease-limit", f"you hold {most} leases, the most; release some")
    lease = _lease(member, which, row)
    _check(row.outcome, lease)
    return _there(lease)


@router.post(
    "/boards/{board}/leases/{item}/release",
    responses=documented(401, 403, _BOARD, _LEASE, rules(404, "receiver-unknown")),
)
def release_lease(
    service: TheService, member: Member, board: BoardId, item: WorkItemId, body: bodies.LeaseRelease
) -> answers.Released:
    """End a lease early, or hand it over to another key or account on the board.

    A wallet's own key may do so for its delegates. To end one that has ended is no error.
    """
    which = {"log_id": service.log_id, "board": from_hex(board), "item": item}
    with _acting_on(service, member) as session:
        told = {"fence": body.fence, "to": body.to}
        row = _told(session.one("boards.release", **which, **told))
        lease = _lease(member, which, row)
        if row.outcome == "handed":
            to = _there(lease).holder_key
            note = bodies.NewMessage(kind="handover", item=item, to=to, body=body.note or {})
            # Not yet the end: a note that is refused undoes the handover.
            query, said = _sending(service, which, note)
            _check(_told(session.one(query, **said)).outcome, None)
    if row.outcome != "lost" or body.to is not None:
        _check(row.outcome, lease)
    return answers.Released(lease=lease)


@router.get("/boards/{board}/leases", responses=documented(401, 403, _BOARD))
def leases(
    service: TheService,
    member: Member,
    board: BoardId,
    after: WorkItem | None = None,
    limit: Limit = 100,
) -> answers.Leases:
    """List the leases on a board that have not ended."""
    which = {"log_id": service.log_id, "board": from_hex(board)}
    with acting(service, member) as session:
        rows = session.all("boards.leases", **which, after=after or "", limit=limit)
        if not rows:
            _topic(session, which)
    return answers.Leases(
        leases=[lease for row in rows if (lease := _lease(member, which, row))],
        next=next_cursor(rows, limit, lambda last: last.item),
    )


def _lease(member: Caller, which: Mapping[str, Any], row: Row) -> answers.Lease | None:
    """Return the lease in a row; None where the row has none."""
    if row.item is None:
        return None
    return answers.Lease(
        board=to_hex(which["board"]),
        item=row.item,
        holder=checksummed(row.holder),
        holder_key=_hex_or_none(row.holder_key),
        holder_name=row.holder_name,
        is_yours=row.holder == member.account and row.holder_key in (None, member.key),
        fence=row.fence,
        taken_ms=row.taken_ms,
        expires_ms=row.expires_ms,
    )


# --- Messages -------------------------------------------------------------------------------------


@router.post(
    "/boards/{board}/messages",
    status_code=201,
    responses=documented(
        401,
        403,
        _BOARD,
        rules(404, "lead-unknown receiver-unknown"),
        rules(409, "board-closed"),
        rules(422, "message-too-long"),
    ),
)
def send_message(
    service: TheService, member: Member, board: BoardId, body: bodies.NewMessage
) -> answers.SentMessage:
    """Put a message on a board, for all who are on it."""
    which = {"log_id": service.log_id, "board": from_hex(board)}
    with _acting_on(service, member) as session:
        sent = _last_of(session, _sending(service, which, body))
    _check(sent.outcome, None)
    return answers.SentMessage(number=sent.number)


@router.get("/boards/{board}/messages", responses=documented(401, 403, _BOARD))
async def messages(
    service: TheService,
    member: Member,
    board: BoardId,
    after: Annotated[
        MessageNumber, Query(description="The `cursor` of the answer before; 0: from the oldest.")
    ] = 0,
    limit: MessageLimit = 50,
    wait_s: Annotated[
        Annotated[int, Query(ge=0, le=MAX_WAIT_S), Digits],
        Query(description="Wait so many seconds for a message, if there is none yet."),
    ] = 0,
) -> answers.Messages:
    """Read the messages of a board behind a cursor, or wait for the next."""
    which = {"log_id": service.log_id, "board": from_hex(board)}

    def read() -> answers.Messages:
        with acting(service, member) as session:
            return _page(service, session, which, after, limit)

    if wait_s == 0 or not service.waiting.acquire(member.account):
        return await run_in_threadpool(read)
    try:
        return await _awaited(service, member, which, read, wait_s)
    finally:
        service.waiting.release(member.account)


async def _awaited(
    service: Service,
    member: Caller,
    which: Mapping[str, Any],
    read: Callable[[], answers.Messages],
    wait_s: int,
) -> answers.Messages:
    """Return the next messages, or none after the wait. It holds no connection meanwhile."""

    def topic() -> str:
        service.bell.open()
        with acting(service, member) as session:
            return _topic(session, which)

    woken, loop = asyncio.Event(), asyncio.get_running_loop()
    # Real time, as for every wait: our own clock may be a simulated one.
    end_s = time.monotonic() + wait_s
    news = await run_in_threadpool(topic)
    with service.bell.waiting(news, lambda: loop.call_soon_threadsafe(woken.set)):
        while True:
            woken.clear()
            page = await run_in_threadpool(read)
            left_s = end_s - time.monotonic()
            if page.messages or left_s <= 0 or service.bell.is_closed:
                return page
            with move_on_after(min(left_s, LOOK_S)):
                await woken.wait()


def _page(
    service: Service, session: Session, which: Mapping[str, Any], after: int, limit: int
) -> answers.Messages:
    life_ms = service.limits.message_ttl_ms
    asked = {"after": after, "limit": limit, "life_ms": life_ms}
    # A board of others' gives no messages either, but no topic.
    rows, (topic,) = session.conclude(
        ("boards.messages", {**which, **asked}), ("boards.topic", which)
    )
    _check_topic(topic)
    return answers.Messages(
        messages=[_message(row) for row in rows], cursor=rows[-1].number if rows else after
    )


def _message(row: Row) -> answers.BoardMessage:
    facts: dict[str, Any] = row._asdict()
    facts["sender"] = checksummed(row.sender)
    facts["sender_key"] = to_hex(row.sender_key)
    facts["to_key"] = _hex_or_none(row.to_key)
    return answers.BoardMessage(**facts)


def _sending(service: Service, which: Mapping[str, Any], message: bodies.NewMessage) -> NamedQuery:
    """Return the query that puts a message on a board."""
    body = json.dumps(message.body, separators=(",", ":"))
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(
            422,
            "message-too-long",
            f"body: {len(body)} bytes as JSON in ASCII; at most {MAX_BODY_BYTES}",
        )
    return "boards.send", {
        "log_id": which["log_id"],
        "board": which["board"],
        "kind": message.kind,
        "item": message.item,
        "to": message.to,
        "body": body,
        "most": service.limits.messages,
        "life_ms": service.limits.message_ttl_ms,
    }


# --- Verdicts -------------------------------------------------------------------------------------


@contextmanager
def _acting_on(service: Service, member: Caller) -> Iterator[Session]:
    """Open the member's transaction. Raises `Refusal` for a lead that the surface has not."""
    try:
        with acting(service, member) as session:
            yield session
    except DatabaseError as error:
        # A lead that has no identity.
        if error.sqlstate != REFERENCE_MISSING:
            raise
        raise Refusal(
            404, "lead-unknown", "the item: this surface has no such lead, or it was erased"
        ) from None


def _check(verdict: str, lease: answers.Lease | None) -> None:
    """Raise `Refusal` for a verdict that is one."""
    if verdict == "held":
        held = _there(lease)
        by = "your own key" if held.is_yours else f"key {held.holder_name or held.holder_key}"
        raise Refusal(
            423,
            "lease-held",
            f"{held.item} is held by {by} of {held.holder} until {format_ms(held.expires_ms)} "
            f"(fence {held.fence}); work on another item; what is yours is renewed by its fence",
        )
    if verdict in _REFUSALS:
        raise Refusal(*_REFUSALS[verdict])


def _topic(session: Session, which: Mapping[str, Any]) -> str:
    """Return what those who wait for a board are told by. Raises `Refusal` (404) for no member."""
    return _check_topic(_told(session.one("boards.topic", **which)))


def _check_topic(row: Row) -> str:
    """Return the topic in a row. Raises `Refusal` (404) where there is none."""
    if row.topic is None:
        raise Refusal(*_REFUSALS["unknown"])
    topic: str = row.topic
    return topic


def _last_of(session: Session, asked: NamedQuery) -> Row:
    """Return the one row of the last query of a transaction, which ends in the same round trip.

    The functions of boards ask themselves whether the key is live, and change nothing otherwise.
    """
    ((row,),) = session.conclude(asked)
    return row


def _told(row: Row | None) -> Row:
    """Return the one row of a function's answer."""
    if row is None:
        raise LogError("board-silent", "the database gave no verdict")
    return row


def _there(lease: answers.Lease | None) -> answers.Lease:
    """Return a lease that must be there, as the same transaction has just seen it."""
    if lease is None:
        raise Refusal(*_REFUSALS["lost"])
    return lease


def _hex_or_none(word: bytes | None) -> str | None:
    return None if word is None else to_hex(word)
