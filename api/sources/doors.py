"""The doors for Segment, Stripe and PostHog: their own payloads, read by the surface's settings.

What comes in goes the way of all events: the same submission, the same idempotency keys, the same
orders. It comes by the owner's key, or by the source's signature where the surface has its secret.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api.http import allowances
from api.http.answers import BulkStatus, LineStatus
from api.http.auth import acting
from api.http.fields import SurfaceId
from api.http.json_input import JSON_TYPE, StrictRoute, require_media_type
from api.http.problems import MAX_FAULTS, RETRY_S, Fault, Refusal, faults_of, status_of_refused
from api.http.submissions import CallerInbox, Item, decided
from api.routes.surfaces.bodies import BulkProductEvent
from api.routes.surfaces.owners import ReportInbox, own_surface, submit_events
from api.rules import SIGNED, SOURCE_EVENT
from api.sources.signing import SIGNERS, signed_inbox
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.intake.adapters import event_of, payloads_of
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.payload import read_payload
from orchestrator.core.surface.surface_settings import parse_settings

router = APIRouter(prefix="/v1/surfaces/{surface}", tags=["owner"], route_class=StrictRoute)
_SEGMENT_CALL = {
    "type": "track",
    "event": "Signed Up",
    "userId": "user-1842",
    "messageId": "ajs-next-9f86d081884c7d65",
    "timestamp": "2026-03-01T12:30:00.250Z",
    "properties": {"plan": "pro"},
}
_STRIPE_EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "charge.succeeded",
    "created": 1_772_701_200,
    "livemode": True,
    "data": {
        "object": {
            "id": "ch_1",
            "object": "charge",
            "amount": 2_990,
            "currency": "usd",
            "customer": "user-1842",
            "payment_intent": "pi_1",
        }
    },
}
_POSTHOG_EVENT = {
    "uuid": "018f2f0e-7c1a-7d3b-9e4f-5a6b7c8d9e0f",
    "event": "signed up",
    "distinct_id": "user-1842",
    "timestamp": "2026-03-01T12:30:00.250Z",
    "properties": {"plan": "pro"},
}


class SourceStatus(BulkStatus):
    """The outcome of another system's report: the events that it was, and what was left out."""

    ignored: dict[str, int] = Field(
        description="How many of its events were left out, by the reason: `event-unmapped` for "
        "what the surface's settings do not name."
    )


def _body(example: object, *security: dict[str, list[str]]) -> dict[str, Any]:
    """Return the description of a body, and of what it may come by besides a key."""
    media = {"schema": {"type": ["object", "array"]}, "example": example}
    sent = {
        "required": True,
        "description": "An event, or several, as the source writes them.",
        "content": {JSON_TYPE: media},
    }
    return {"requestBody": sent} | ({"security": list(security)} if security else {})


@router.post(
    "/events/segment",
    status_code=202,
    responses=decided(SourceStatus, 404, SOURCE_EVENT, SIGNED),
    openapi_extra=_body(_SEGMENT_CALL, {}),
)
async def report_segment(
    inbox: Annotated[CallerInbox, signed_inbox("segment")], surface: SurfaceId
) -> SourceStatus:
    """Take a call of Segment's API by its signature, or calls by the owner's key."""
    return await _report(inbox, surface, "segment")


@router.post(
    "/events/stripe",
    status_code=202,
    responses=decided(SourceStatus, 404, SOURCE_EVENT, SIGNED),
    openapi_extra=_body(_STRIPE_EVENT, {}),
)
async def report_stripe(
    inbox: Annotated[CallerInbox, signed_inbox("stripe")], surface: SurfaceId
) -> SourceStatus:
    """Take an event of Stripe by its signature, or events by the owner's key."""
    return await _report(inbox, surface, "stripe")


@router.post(
    "/events/posthog",
    status_code=202,
    responses=decided(SourceStatus, 404, SOURCE_EVENT),
    openapi_extra=_body(_POSTHOG_EVENT),
)
async def report_posthog(inbox: ReportInbox, surface: SurfaceId) -> SourceStatus:
    """Take events of PostHog, one or a batch, as its webhook destinations send them."""
    return await _report(inbox, surface, "posthog")


async def _report(inbox: CallerInbox, surface: str, source: str) -> SourceStatus:
    require_media_type(inbox.request, JSON_TYPE)
    body = await inbox.request.body()
    found, ignored = await run_in_threadpool(_read, inbox, surface, source, body)
    items = [Item(line.id, f"event {number}", line) for number, line in found]
    results = []
    if items:
        results = await inbox.take_items(
            items, lambda session, lines: submit_events(inbox, session, surface, lines)
        )
    else:
        inbox.response.status_code = 200
    _refuse_what_may_come_again(results)
    if source in SIGNERS and SIGNERS[source].header in inbox.request.headers:
        _refuse_what_waits(results)
    return SourceStatus(results=results, ignored=dict(ignored))


def _refuse_what_waits(results: Sequence[LineStatus]) -> None:
    """Raise `Refusal` for a signed event that is not decided yet: its source asks no second time.

    It is kept all the same, with its time, and is the same event when it comes again.
    """
    if any(one.status == "waiting" for one in results):
        detail = (
            "this is kept and not decided yet; send all of it again to learn what becomes of it"
        )
        raise Refusal(503, "undecided", detail, headers={"Retry-After": str(RETRY_S)})


def _refuse_what_may_come_again(results: Sequence[LineStatus]) -> None:
    """Raise `Refusal` for an event that the log refused for a reason that time changes.

    A refund can come before its payment. Sources send again what was answered by an error, and
    nothing else; events that were taken do not count twice.
    """
    for one in results:
        if one.retry and one.code is not None:
            status = status_of_refused(one.code)
            raise Refusal(status, one.code, f"{one.detail}; send all of this again later")


def _read(
    inbox: CallerInbox, surface: str, source: str, body: bytes
) -> tuple[list[tuple[int, BulkProductEvent]], Counter[str]]:
    """Return the events of a body, by their place in it, and how many were left out, by reason.

    Raises `Refusal` that names those at fault: all are taken, or none.
    """
    service = inbox.service
    payloads = list(payloads_of(source, read_payload(body)))
    # The request has paid for one of them already.
    if len(payloads) > 1:
        allowances.charge(
            acting(service, inbox.caller),
            inbox.request,
            inbox.caller.account,
            allowances.limits_in(inbox.request),
            {"events": len(payloads) - 1},
        )
    with acting(service, inbox.caller) as session:
        own_surface(service, session, inbox.caller, surface)
        row = session.one("api.surface_settings", log_id=service.log_id, surface=from_hex(surface))
    if row is None or row.settings is None:
        raise Refusal(
            409,
            "settings-missing",
            f"the surface has no settings, and so no mapping of {source}; publish some",
        )
    settings = parse_settings(row.settings).intake
    mapping = settings.mapping(source)
    found: list[tuple[int, BulkProductEvent]] = []
    ignored: Counter[str] = Counter()
    faults: list[tuple[str, Fault]] = []
    for number, payload in enumerate(payloads, 1):
        try:
            found.append((number, _line(event_of(mapping, settings.currencies, payload))))
        except SkippedError as error:
            ignored[error.code] += 1
        except IntakeError as error:
            faults.append((error.code, Fault(where=f"event {number}", detail=error.message)))
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        code, first = faults[0]
        listed = [fault for _, fault in faults]
        raise Refusal(422, code, f"{first.where}: {first.detail}", faults=listed)
    return found, ignored


def _line(event: FoundEvent) -> BulkProductEvent:
    """Return an event as the plain door takes it. Raises `IntakeError` for one that it does not."""
    if not event.id:
        raise IntakeError("id-missing", "id-missing: it has no id, so it could count twice")
    try:
        return BulkProductEvent(
            id=event.id,
            lead=event.lead,
            event=event.event,
            value=event.value_text(),
            order=event.order or None,
            time=event.time_text(),
        )
    except ValidationError as error:
        (first, *_) = faults_of(error.errors(include_input=False), "event")
        raise IntakeError("event-invalid", f"{first.where} {first.detail}") from None
