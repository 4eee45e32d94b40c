"""The routes of a surface's owner: opening it, its policy, product events, and erasures.

An owner names leads by its own ids. These go into an erasable table and nowhere else: the log, its
hashes and every operator know a lead by a random pseudonym.
"""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.context import Service
from api.http.answers import BulkStatus, RequestStatus
from api.http.auth import Caller, check_surface
from api.http.fields import SurfaceId
from api.http.json_input import StrictRoute, ndjson_body
from api.http.problems import Refusal, not_found
from api.http.submissions import (
    MAX_LINES,
    CallerInbox,
    Entering,
    IdempotencyKey,
    Item,
    by_surface,
    decided,
    in_bulks,
    inbox_for,
)
from api.routes.surfaces import answers, bodies
from api.routes.surfaces.codes import check_qualification
from api.rules import EVENT, OWNERS, POLICY, PUBLISHED, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import parse_amount, parse_event_time
from orchestrator.core.log.entry import ZERO_WORD, ascii_word
from orchestrator.core.surface import policy
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.codec import commitment, request_id
from orchestrator.core.world.requests import Arrival, Erasure, ProductEvent, PublishPolicy
from orchestrator.log import inbox as log_inbox
from orchestrator.log.arrivals import Bound, EventNames, bind
from orchestrator.log.inbox import OwnOrder, Submission
from orchestrator.storage.database import Row, Session

PublishInbox = Annotated[CallerInbox, inbox_for("owner:publish")]
ReportInbox = Annotated[CallerInbox, inbox_for("owner:report")]
EraseInbox = Annotated[CallerInbox, inbox_for("owner:erase")]

router = APIRouter(prefix="/v1", tags=["owner"], route_class=StrictRoute)


# --- Surfaces and policies ------------------------------------------------------------------------


@router.post(
    "/surfaces",
    status_code=202,
    responses=decided(
        answers.SurfaceRequest,
        POLICY,
        PUBLISHED,
        rules(403, "surface-forbidden"),
        rules(409, "surface-exists surface-limit policy-limit"),
    ),
)
async def open_surface(
    inbox: PublishInbox, key: IdempotencyKey, body: bodies.NewSurface
) -> answers.SurfaceRequest:
    """Open a surface under its first policy. Its id follows from the owner and the name."""
    # As slow as a policy may be, which is too slow for the event loop.
    published = await run_in_threadpool(policy.parse, body.policy)
    surface = surface_id(inbox.caller.word, body.name)
    check_surface(inbox.caller, surface)
    submission = _publication(f"surface:{key}", inbox.caller, surface, published)
    status = await inbox.take_one(
        lambda session: _submit_surface(inbox, session, body.name, submission)
    )
    return _surface_request(status, surface, published)


@router.post(
    "/surfaces/{surface}/policy",
    status_code=202,
    responses=decided(
        answers.SurfaceRequest, 404, POLICY, OWNERS, PUBLISHED, rules(409, "policy-limit")
    ),
)
async def publish_policy(
    inbox: PublishInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.NewPolicy
) -> answers.SurfaceRequest:
    """Publish the next version of a surface's policy, if no contract was signed under this one."""
    published = await run_in_threadpool(policy.parse, body.policy)
    submission = _publication(f"policy:{surface}:{key}", inbox.caller, from_hex(surface), published)

    def take(session: Session) -> list[UUID]:
        own_surface(inbox.service, session, inbox.caller, surface)
        check_room(inbox, session, submission.idempotency_key, "policy")
        return inbox.submit_last(session, submission)

    return _surface_request(await inbox.take_one(take), from_hex(surface), published)


def surface_id(owner: bytes, name: str) -> bytes:
    """Return the id of an owner's surface of this name; no other owner can have the same."""
    return sha256(owner + ascii_word(name)).digest()


def own_surface(service: Service, session: Session, caller: Caller, surface: str) -> Row:
    """Return the row of the caller's surface. Raises `Refusal` if it is unknown or another's."""
    row = session.one("api.surface", log_id=service.log_id, surface=from_hex(surface))
    return _owned(row, caller)


def _owned(row: Row | None, caller: Caller) -> Row:
    """Return a surface's row. Raises `Refusal` if there is none, or the surface is another's."""
    if row is None:
        raise not_found("surface; a new one is there once its first policy is in the log")
    if row.owner != caller.word:
        raise Refusal(403, "not-the-owner", "this surface belongs to another owner")
    return row


def _submit_surface(
    inbox: CallerInbox, session: Session, name: str, submission: Submission
) -> list[UUID]:
    """Submit the first policy of a new surface, and keep the surface's name."""
    service, owner = inbox.service, inbox.caller
    surface = surface_id(owner.word, name)
    row = session.one("api.surface", log_id=service.log_id, surface=surface)
    # The request that opened it may come again; it has the same answer as the first time.
    if row is not None and _earlier(inbox, session, submission.idempotency_key) is None:
        raise Refusal(
            409,
            "surface-exists",
            f"you have a surface {name!r}; POST its next policy to "
            f"/v1/surfaces/{to_hex(surface)}/policy",
        )
    check_room(inbox, session, submission.idempotency_key, "surface")
    # The id is a hash of the name, so the name is kept even before the log has the surface.
    session.run(
        "api.add_surface_name", log_id=service.log_id, surface=surface, owner=owner.word, name=name
    )
    return inbox.submit_last(session, submission)


def _publication(key: str, owner: Caller, surface: bytes, published: Policy) -> Submission:
    body = canonical_json({"surface": to_hex(surface), "policy": published.document()})
    return Submission(key, PublishPolicy(surface, owner.word, published), body)


def check_room(inbox: CallerInbox, session: Session, key: str, what: str) -> None:
    """Raise `Refusal` if the caller has as many of these as an account may.

    A request that was taken before is not another one. `what` is `surface`, `policy` or `settings`;
    a surface comes with its first policy.
    """
    log_id, caller = inbox.service.log_id, inbox.caller
    limits = inbox.service.limits
    # Two requests at once must not both find the last place free.
    session.run("api.lock_account", account=caller.account)
    if _earlier(inbox, session, key) is not None:
        return
    room = session.one(
        "api.has_room",
        log_id=log_id,
        account=caller.account,
        owner=caller.word,
        surfaces=limits.surfaces,
        policies=limits.policies,
        settings=limits.settings,
    )
    if what == "surface" and not (room and room.for_surface):
        raise Refusal(
            409,
            "surface-limit",
            f"this account has opened {limits.surfaces} surfaces, the most that one may; use one "
            f"of them, or another account",
        )
    if what == "settings" and not (room and room.for_settings):
        raise Refusal(
            409,
            "settings-limit",
            f"this account has published settings {limits.settings} times, refused ones among "
            f"them, the most that one may; use another account",
        )
    if what != "settings" and not (room and room.for_policy):
        raise Refusal(
            409,
            "policy-limit",
            f"this account has published {limits.policies} policies, refused ones among them, the "
            f"most that one may; use another account",
        )


def _earlier(inbox: CallerInbox, session: Session, key: str) -> UUID | None:
    """Return the id of the request that the caller has made under this key, if any."""
    log_id = inbox.service.log_id
    earlier = UUID(bytes=request_id(log_id, inbox.caller.account, key))
    return earlier if log_inbox.results_of(session, log_id, [earlier]) else None


def _surface_request(
    status: RequestStatus, surface: bytes, published: Policy
) -> answers.SurfaceRequest:
    return answers.SurfaceRequest(
        **status.model_dump(), surface=to_hex(surface), policy_hash=to_hex(published.hash)
    )


# --- Product events -------------------------------------------------------------------------------


@router.post(
    "/surfaces/{surface}/events",
    status_code=202,
    responses=decided(RequestStatus, 404, EVENT),
)
async def report_event(
    inbox: ReportInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.ProductEvent
) -> RequestStatus:
    """Report something that happened in the product to a lead."""
    item = Item(key, "body", body)
    if body.lead is None or body.ref is not None or body.fields:
        return await inbox.take_one(lambda session: submit_events(inbox, session, surface, [item]))
    return await inbox.take_gathered(
        "own events",
        Entering(surface, item, _dated(item, from_hex(surface))),
        lambda session, gathered: _submit_own(inbox, session, gathered),
    )


@router.post(
    "/surfaces/{surface}/events/bulk",
    status_code=202,
    responses=decided(BulkStatus, 404, EVENT),
    openapi_extra=ndjson_body(bodies.BulkProductEvent, MAX_LINES),
)
async def report_events(inbox: ReportInbox, surface: SurfaceId) -> BulkStatus:
    """Report many events, one to a line, each with an `id` of its own: all are taken, or none."""
    return await inbox.take_lines(
        bodies.BulkProductEvent,
        lambda session, items: submit_events(inbox, session, surface, items),
    )


def submit_events(
    inbox: CallerInbox,
    session: Session,
    surface: str,
    items: Sequence[Item[bodies.ProductEvent]],
) -> list[UUID]:
    """Submit events: all of them, or none if one is refused."""
    service, word = inbox.service, from_hex(surface)
    own_surface(service, session, inbox.caller, surface)
    check_qualification(service, session, word, items)
    # Leads are bound in the order of receipt, which is that of the surface's lock.
    log_inbox.enter(session, service.log_id, [_dated(item, word) for item in items])
    named = [EventNames(item.body.lead, item.body.ref) for item in items]
    bound = bind(session, service.log_id, word, named, _new_word)
    own_orders = [_own_order(item, one.lead) for item, one in zip(items, bound, strict=True)]
    orders = _order_words(service, session, word, own_orders)
    return inbox.take(
        session,
        [
            _event_submission(item, surface, one, orders[order] if order else ZERO_WORD)
            for item, one, order in zip(items, bound, own_orders, strict=True)
        ],
    )


def _submit_own(
    inbox: CallerInbox, session: Session, gathered: Sequence[Entering[bodies.ProductEvent]]
) -> list[UUID]:
    """Submit events that came by the owner's own ids alone; the transaction entered for them.

    It does what `submit_events` does for all others, in few round trips.
    """
    service, here = inbox.service, by_surface(gathered)
    offered = {
        from_hex(surface): {item.body.lead or "": _new_word() for item in items}
        for surface, items in here.items()
    }
    found = log_inbox.own_pseudonyms_for(session, service.log_id, offered)
    for rows in found:
        _owned(rows[0] if rows else None, inbox.caller)
    inbox.enter(session, [each.request for each in gathered])
    leads: dict[str, dict[str | None, bytes]] = {}
    orders: dict[str, dict[OwnOrder, bytes]] = {}
    for (surface, items), rows in zip(here.items(), found, strict=True):
        leads[surface] = {row.external_id: row.lead for row in rows}
        named = [_own_order(item, leads[surface][item.body.lead]) for item in items]
        orders[surface] = _order_words(service, session, from_hex(surface), named)
    submissions = []
    for surface, item, _ in gathered:
        lead = leads[surface][item.body.lead]
        order = _own_order(item, lead)
        word = orders[surface][order] if order else ZERO_WORD
        submissions.append(_event_submission(item, surface, Bound(lead, None), word))
    return inbox.take_last(session, submissions)


def _own_order(item: Item[bodies.ProductEvent], lead: bytes) -> OwnOrder | None:
    """Return the order that an event of a lead names."""
    return OwnOrder(lead, item.body.order) if item.body.order is not None else None


def _new_word() -> bytes:
    return secrets.token_bytes(32)


def _dated(item: Item[bodies.ProductEvent], surface: bytes) -> ProductEvent:
    """Return as much of an event as the inbox must see before it lets it in."""
    time_ms, _ = parse_event_time(item.body.time)
    return ProductEvent(surface, ZERO_WORD, item.body.event, 0, time_ms)


def _order_words(
    service: Service,
    session: Session,
    surface: bytes,
    own_orders: Sequence[OwnOrder | None],
) -> dict[OwnOrder, bytes]:
    """Return the words of the orders that events name; a new order gets a random one."""
    named = {order for order in own_orders if order is not None}
    found: dict[OwnOrder, bytes] = {}
    # Sorted, so that two requests lock the rows of new orders in one order.
    for part in in_bulks(sorted(named)):
        fresh = [secrets.token_bytes(32) for _ in part]
        found |= log_inbox.order_words_for(session, service.log_id, surface, part, fresh)
    return found


def _event_submission(
    item: Item[bodies.ProductEvent], surface: str, bound: Bound, order: bytes
) -> Submission:
    """Return an event as a submission.

    Its request hash names no person and can be recomputed; its salted commitment binds all of it.
    """
    event, (lead, code, is_alias) = item.body, bound
    value_units = 0 if event.value is None else parse_amount(event.value)
    time_ms, span_ms = parse_event_time(event.time)
    public: dict[str, object] = {
        "surface": surface,
        "lead": to_hex(lead),
        "event": event.event,
        "value_units": str(value_units),
        "time_ms": time_ms,
        "order": to_hex(order),
        "whole": event.value is None,
        "span_ms": span_ms,
    }
    private: dict[str, object] = {
        "surface": surface,
        "lead": event.lead,
        "event": event.event,
        "value": event.value,
        "time": event.time,
        "order": event.order,
    }
    ref = b""
    if event.ref is not None:
        # The log cannot tell what is no code from a code that is of no use, and says so of neither.
        ref = code or _new_word()
        public |= {"ref": to_hex(ref), "alone": event.lead is None}
        # Of a lead that has neither an id nor a code, nothing personal is kept.
        is_nameless = event.lead is None and code is None
        private |= {"ref": event.ref, "fields": None if is_nameless else event.fields}
    body, salt = canonical_json(private), _new_word()
    request = ProductEvent(
        from_hex(surface),
        lead,
        event.event,
        value_units,
        time_ms,
        sha256(canonical_json(public)).digest(),
        commitment(salt, body),
        order,
        whole=event.value is None,
        span_ms=span_ms,
    )
    name = f"event:{surface}:{item.key}"
    if not ref:
        return Submission(name, request, body, salt)
    is_alone = event.lead is None
    arrival = Arrival(**request._asdict(), ref=ref, is_alone=is_alone, is_alias=is_alias)
    return Submission(name, arrival, body, salt)


# --- Erasures -------------------------------------------------------------------------------------


@router.post(
    "/surfaces/{surface}/erasures",
    status_code=202,
    responses=decided(RequestStatus, 404, OWNERS, rules(409, "lead-elsewhere lead-id")),
)
async def erase_lead(
    inbox: EraseInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.Erasure
) -> RequestStatus:
    """Delete a lead's identity, and what was reported of it beside the log, at once and for good.

    The log keeps a pseudonym that leads to no person, and records the erasure. Every proof holds.
    """
    return await inbox.take_one(
        lambda session: _submit_erasure(inbox, session, surface, Item(key, "body", body))
    )


def _submit_erasure(
    inbox: CallerInbox, session: Session, surface: str, item: Item[bodies.Erasure]
) -> list[UUID]:
    """Erase a lead's rows, and submit the entry that says so, in one transaction."""
    service, owner = inbox.service, inbox.caller
    own_surface(service, session, owner, surface)
    key = f"erase:{surface}:{item.key}"
    # Before any row is gone: who names a lead has the surface, and waits for such rows.
    request = Erasure(from_hex(surface), ZERO_WORD, owner.word)
    log_inbox.enter(session, service.log_id, [request])
    earlier = _earlier(inbox, session, key)
    # The rows that would show if it is the same lead are gone, so the key alone decides.
    if earlier is not None:
        return [earlier]
    if item.body.lead is not None:
        lead = log_inbox.pseudonym_of(session, service.log_id, from_hex(surface), item.body.lead)
    else:
        lead = log_inbox.forget_waiting(
            session, service.log_id, from_hex(surface), item.body.ref or ""
        )
    if lead is None:
        raise not_found("lead; it was erased before, or never reported")
    log_inbox.erase(session, service.log_id, from_hex(surface), lead)
    # Only the pseudonym: what is kept of this request must not say who was erased.
    body = canonical_json({"surface": surface, "lead": to_hex(lead)})
    return inbox.take_last(session, [Submission(key, request._replace(lead=lead), body)])
