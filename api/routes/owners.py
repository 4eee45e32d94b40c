"""What a surface's owner does: open it, change its policy, report events, erase leads.

An owner names leads by its own ids. These go into an erasable table and nowhere else: the log, its
hashes and every operator know a lead by a random pseudonym.
"""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.context import Service, TheService
from api.http import schemas
from api.http import submissions as requests
from api.http.auth import Caller, Owner
from api.http.encoding import SurfaceId
from api.http.json_input import StrictRoute, ndjson_body
from api.http.problems import Refusal, not_found
from api.http.submissions import IdempotencyKey, WaitS
from orchestrator.core import policy
from orchestrator.core.codec import commitment, request_id
from orchestrator.core.entry import ascii_word
from orchestrator.core.hexadecimal import from_hex, to_hex
from orchestrator.core.policy import Policy, canonical_json
from orchestrator.core.requests import Erasure, ProductEvent, PublishPolicy
from orchestrator.core.units import parse_amount, parse_time_ns
from orchestrator.log import inbox
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Row, Session

router = APIRouter(prefix="/v1", tags=["owner"], route_class=StrictRoute)


def surface_id(owner: bytes, name: str) -> bytes:
    """The id of the surface that the owner (a word) calls by this name: nobody else can have it."""
    return sha256(owner + ascii_word(name)).digest()


@router.post("/surfaces", status_code=202, responses=requests.decided(schemas.SurfaceRequest))
async def open_surface(
    service: TheService,
    owner: Owner,
    key: IdempotencyKey,
    body: schemas.NewSurface,
    wait_s: WaitS,
    response: Response,
) -> schemas.SurfaceRequest:
    """Open a surface under its first policy. Its id follows from the owner and the name."""
    rules = policy.parse(body.policy)
    surface = surface_id(owner.word, body.name)

    def take(session: Session) -> UUID:
        submission = _publication(f"surface:{key}", owner, surface, rules)
        row = session.one("api.surface", log_id=service.log_id, surface=surface)
        if row is not None and not _earlier(service, session, owner, submission.idempotency_key):
            raise Refusal(
                409,
                "surface-exists",
                f"you have a surface {body.name!r}; POST its next policy to "
                f"/v1/surfaces/{to_hex(surface)}/policy",
            )
        session.run(
            "api.add_surface_name",
            log_id=service.log_id,
            surface=surface,
            owner=owner.word,
            name=body.name,
        )
        return requests.submit(service, session, owner, [submission])[0]

    status = await requests.single(service, owner, take, wait_s, response)
    return _surface_request(status, surface, rules)


@router.post(
    "/surfaces/{surface}/policy",
    status_code=202,
    responses=requests.decided(schemas.SurfaceRequest, 404),
)
async def publish_policy(
    service: TheService,
    owner: Owner,
    surface: SurfaceId,
    key: IdempotencyKey,
    body: schemas.NewPolicy,
    wait_s: WaitS,
    response: Response,
) -> schemas.SurfaceRequest:
    """Publish the next version of a surface's policy, if no contract was signed under this one."""
    rules = policy.parse(body.policy)

    def take(session: Session) -> UUID:
        own_surface(service, session, owner, surface)
        submission = _publication(f"policy:{surface}:{key}", owner, from_hex(surface), rules)
        return requests.submit(service, session, owner, [submission])[0]

    status = await requests.single(service, owner, take, wait_s, response)
    return _surface_request(status, from_hex(surface), rules)


@router.post(
    "/surfaces/{surface}/events",
    status_code=202,
    responses=requests.decided(schemas.RequestStatus, 404),
)
async def report_event(
    service: TheService,
    owner: Owner,
    surface: SurfaceId,
    key: IdempotencyKey,
    body: schemas.ProductEvent,
    wait_s: WaitS,
    response: Response,
) -> schemas.RequestStatus:
    """Report something that happened in the product to a lead."""

    def take(session: Session) -> UUID:
        return _take_events(service, session, owner, surface, [(key, body)])[0]

    return await requests.single(service, owner, take, wait_s, response)


@router.post(
    "/surfaces/{surface}/events/bulk",
    status_code=202,
    responses=requests.decided(schemas.BulkStatus, 404),
    openapi_extra=ndjson_body(schemas.BulkProductEvent, requests.MAX_LINES),
)
async def report_events(
    service: TheService,
    owner: Owner,
    surface: SurfaceId,
    wait_s: WaitS,
    request: Request,
    response: Response,
) -> schemas.BulkStatus:
    """Report many events, one to a line, each with an `id` of its own: all are taken, or none."""

    def take(session: Session, lines: list[tuple[int, schemas.BulkProductEvent]]) -> list[UUID]:
        events = [(event.id, event) for _, event in lines]
        return _take_events(service, session, owner, surface, events)

    return await requests.bulk(
        service, owner, schemas.BulkProductEvent, take, wait_s, request, response
    )


@router.post(
    "/surfaces/{surface}/erasures",
    status_code=202,
    responses=requests.decided(schemas.RequestStatus, 404),
)
async def erase_lead(
    service: TheService,
    owner: Owner,
    surface: SurfaceId,
    key: IdempotencyKey,
    body: schemas.Erasure,
    wait_s: WaitS,
    response: Response,
) -> schemas.RequestStatus:
    """Forget who a lead is, and what was said of it beside the log, at once and for good.

    The log keeps a pseudonym that leads to nobody, and says that it was erased. Every proof holds.
    """

    def take(session: Session) -> UUID:
        own_surface(service, session, owner, surface)
        return _take_erasure(service, session, owner, surface, f"erase:{surface}:{key}", body)

    return await requests.single(service, owner, take, wait_s, response)


def own_surface(service: Service, session: Session, caller: Caller, surface: str) -> Row:
    """The caller's own surface. Raises `Refusal` for one that is not there or another's."""
    row = session.one("api.surface", log_id=service.log_id, surface=from_hex(surface))
    if row is None:
        raise not_found("surface; a new one is there once its first policy is in the log")
    if row.owner != caller.word:
        raise Refusal(403, "not-the-owner", "this surface belongs to another owner")
    return row


def _publication(key: str, owner: Caller, surface: bytes, rules: Policy) -> Submission:
    body = canonical_json({"surface": to_hex(surface), "policy": rules.document()})
    return Submission(key, PublishPolicy(surface, owner.word, rules), body)


def _earlier(service: Service, session: Session, caller: Caller, key: str) -> UUID | None:
    """The id of the request that the caller has made under this key, if any."""
    found = UUID(bytes=request_id(service.log_id, caller.account, key))
    return found if inbox.results_of(session, service.log_id, [found]) else None


def _surface_request(
    status: schemas.RequestStatus, surface: bytes, rules: Policy
) -> schemas.SurfaceRequest:
    return schemas.SurfaceRequest(
        **status.model_dump(), surface=to_hex(surface), policy_hash=to_hex(rules.hash)
    )


def _take_events(
    service: Service,
    session: Session,
    owner: Caller,
    surface: str,
    events: Sequence[tuple[str, schemas.ProductEvent]],
) -> list[UUID]:
    """Take events, given as (idempotency key, event): all of them or none."""
    own_surface(service, session, owner, surface)
    leads = _pseudonyms(service, session, from_hex(surface), [event.lead for _, event in events])
    submissions = [
        _event_submission(key, surface, leads[event.lead], event) for key, event in events
    ]
    return requests.submit(service, session, owner, submissions)


def _take_erasure(
    service: Service,
    session: Session,
    owner: Caller,
    surface: str,
    key: str,
    body: schemas.Erasure,
) -> UUID:
    earlier = _earlier(service, session, owner, key)
    if earlier is not None:
        return earlier  # of whom it was can no longer be compared
    of = service.log_id, from_hex(surface)
    lead = inbox.pseudonym_of(session, *of, body.lead)
    if lead is None:
        raise not_found("lead; it was erased before, or never reported")
    inbox.erase(session, *of, lead)
    told = canonical_json({"surface": surface, "lead": to_hex(lead)})
    submission = Submission(key, Erasure(of[1], lead, owner.word), told)
    return requests.submit(service, session, owner, [submission])[0]


def _pseudonyms(
    service: Service, session: Session, surface: bytes, external_ids: Sequence[str]
) -> dict[str, bytes]:
    wanted = sorted(set(external_ids))
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), inbox.MAX_BULK):
        part = wanted[start : start + inbox.MAX_BULK]
        fresh = [secrets.token_bytes(32) for _ in part]
        found |= inbox.pseudonyms_for(session, service.log_id, surface, part, fresh)
    return found


def _event_submission(
    key: str, surface: str, lead: bytes, event: schemas.ProductEvent
) -> Submission:
    """The request hash names nobody and can be recomputed; the salted commitment binds it all."""
    value_units = 0 if event.value is None else parse_amount(event.value)
    time_ms = parse_time_ns(event.time) // 1_000_000
    public = {
        "surface": surface,
        "lead": to_hex(lead),
        "event": event.event,
        "value_units": str(value_units),
        "time_ms": time_ms,
    }
    private = {
        "surface": surface,
        "lead": event.lead,
        "event": event.event,
        "value": event.value,
        "time": event.time,
    }
    body, salt = canonical_json(private), secrets.token_bytes(32)
    request = ProductEvent(
        from_hex(surface),
        lead,
        event.event,
        value_units,
        time_ms,
        sha256(canonical_json(public)).digest(),
        commitment(salt, body),
    )
    return Submission(f"event:{surface}:{key}", request, body, salt)
