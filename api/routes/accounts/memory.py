"""The routes of an operator's private memory: entries by key on a surface, for the operator alone.

An entry that names a lead goes when the lead is erased: a reference in the database sees to it.
"""

import json
from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.auth import Caller, acting, needs
from api.http.fields import (
    MAX_MEMORY_BYTES,
    Limit,
    MemoryCursor,
    MemoryKey,
    SurfaceId,
    Word,
)
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.accounts import answers, bodies
from api.rules import rules
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.storage.database import DatabaseError, Row, Session
from orchestrator.storage.sql.sqlstates import REFERENCE_MISSING

Rememberer = Annotated[Caller, needs("operator:memory")]

router = APIRouter(prefix="/v1", tags=["operator"], route_class=StrictRoute)


@router.put(
    "/surfaces/{surface}/memory/{key}",
    responses=documented(
        401,
        403,
        404,
        409,
        rules(404, "lead-unknown"),
        rules(409, "memory-bytes memories-bytes memory-entries"),
        rules(422, "memory-too-long"),
    ),
)
def remember(
    service: TheService,
    operator: Rememberer,
    surface: SurfaceId,
    key: MemoryKey,
    body: bodies.MemoryEntry,
) -> answers.MemoryEntry:
    """Put an entry of your memory on a surface, in place of any other of this key."""
    value = json.dumps(body.value, separators=(",", ":"))
    if len(value) > MAX_MEMORY_BYTES:
        raise Refusal(
            422,
            "memory-too-long",
            f"body/value: {len(value)} bytes as JSON in ASCII; at most {MAX_MEMORY_BYTES}",
        )
    which = {"log_id": service.log_id, "surface": from_hex(surface), "key": key}
    size = len(key) + len(value)
    try:
        with acting(service, operator) as session:
            if session.one("api.surface", log_id=service.log_id, surface=which["surface"]) is None:
                raise not_found("surface")
            # Two entries at once must not both find the last place free.
            session.run("api.lock_memory", account=operator.account)
            _check_room(session.one("api.memory_size", **which), size, service.limits)
            lead = None if body.lead is None else from_hex(body.lead)
            session.run("api.remember", **which, value=value, bytes=size, lead=lead)
            return _entry(session.one("api.memory", **which))
    except DatabaseError as error:
        # A lead that has no identity.
        if error.sqlstate != REFERENCE_MISSING:
            raise
        raise Refusal(
            404, "lead-unknown", "body/lead: this surface has no such lead, or it was erased"
        ) from None


@router.get("/surfaces/{surface}/memory", responses=documented(401, 403))
def entries(
    service: TheService,
    operator: Rememberer,
    surface: SurfaceId,
    lead: Annotated[Word | None, Query(description="Only entries about this lead.")] = None,
    after: MemoryCursor | None = None,
    limit: Limit = 100,
) -> answers.Memory:
    """List your memory on a surface."""
    with acting(service, operator) as session:
        rows = session.all(
            "api.memory_page",
            log_id=service.log_id,
            surface=from_hex(surface),
            lead=None if lead is None else from_hex(lead),
            after=after or "",
            limit=limit,
        )
    return answers.Memory(
        entries=[_entry(row) for row in rows], next=next_cursor(rows, limit, lambda last: last.key)
    )


@router.get("/surfaces/{surface}/memory/{key}", responses=documented(401, 403, 404))
def entry(
    service: TheService, operator: Rememberer, surface: SurfaceId, key: MemoryKey
) -> answers.MemoryEntry:
    """Return an entry of your memory."""
    with acting(service, operator) as session:
        return _entry(_find(service, session, surface, key))


@router.delete("/surfaces/{surface}/memory/{key}", status_code=204, responses=documented(401, 403))
def forget(service: TheService, operator: Rememberer, surface: SurfaceId, key: MemoryKey) -> None:
    """Erase an entry of your memory."""
    with acting(service, operator) as session:
        session.run("api.forget", log_id=service.log_id, surface=from_hex(surface), key=key)


@router.delete("/surfaces/{surface}/memory", status_code=204, responses=documented(401, 403))
def forget_all(service: TheService, operator: Rememberer, surface: SurfaceId) -> None:
    """Erase all of your memory on a surface."""
    with acting(service, operator) as session:
        session.run("api.forget_all", log_id=service.log_id, surface=from_hex(surface))


def _check_room(used: Row | None, size: int, limits: Limits) -> None:
    """Raise `Refusal` (409) if an entry of this size is more than an operator may keep."""
    if used is None or used.entries >= limits.memory_entries:
        raise Refusal(
            409,
            "memory-entries",
            f"you keep {limits.memory_entries} entries on this surface, the most; erase some",
        )
    for code, most, have in (
        ("memory-bytes", limits.memory_bytes, used.bytes),
        ("memories-bytes", limits.memories_bytes, used.all_bytes),
    ):
        if have + size > most:
            where = "on this surface" if code == "memory-bytes" else "on all surfaces"
            raise Refusal(
                409,
                code,
                f"you keep {have} bytes {where}; {size} more would pass {most}; erase some",
            )


def _find(service: Service, session: Session, surface: str, key: str) -> Row | None:
    return session.one("api.memory", log_id=service.log_id, surface=from_hex(surface), key=key)


def _entry(row: Row | None) -> answers.MemoryEntry:
    if row is None:
        raise not_found("entry of your memory")
    return answers.MemoryEntry(
        key=row.key,
        value=row.value,
        lead=None if row.lead is None else to_hex(row.lead),
        updated_ms=row.updated_ms,
    )
