"""The doors for Segment, Stripe and PostHog: their own payloads, read by the surface's settings.

What comes in goes the way of all events: the same submission, the same idempotency keys, the same
orders. Segment and PostHog send the owner's key. Stripe sends none and signs instead: the database
keeps the secret with a delegate's key, and hands that out for a report whose signature holds.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import allowances, answers, bodies
from api.http.auth import (
    AnyCaller,
    Caller,
    acting,
    admit,
    new_key,
    secret_of,
)
from api.http.fields import SurfaceId
from api.http.json_input import JSON_TYPE, StrictRoute, require_media_type
from api.http.problems import MAX_FAULTS, Fault, Refusal, documented, faults_of, not_found
from api.http.submissions import Intake, Item, WaitS, decided
from api.routes.surfaces.owners import ReportIntake, own_surface, submit_events
from orchestrator.core.hexadecimal import from_hex, to_hex
from orchestrator.core.intake.adapters import event_of, payloads_of
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.payload import read_payload
from orchestrator.core.intake.signature import read_stripe_signature
from orchestrator.core.surface_settings import parse_settings

STRIPE = "stripe"
_BLOCK_BYTES = 64
_REPORT = "owner:report"

router = APIRouter(prefix="/v1/surfaces/{surface}", tags=["owner"], route_class=StrictRoute)
_BODY = {
    "requestBody": {
        "required": True,
        "description": "An event, or several, as the source writes them.",
        "content": {JSON_TYPE: {"schema": {"type": ["object", "array"]}}},
    }
}
_key = HTTPBearer(scheme_name="key", auto_error=False)


# --- Reports --------------------------------------------------------------------------------------


@router.post(
    "/events/segment",
    status_code=202,
    responses=decided(answers.SourceStatus, 404),
    openapi_extra=_BODY,
)
async def report_segment(intake: ReportIntake, surface: SurfaceId) -> answers.SourceStatus:
    """Take calls of Segment's API, one or a batch, as its webhooks send them."""
    return await _report(intake, surface, "segment")


@router.post(
    "/events/posthog",
    status_code=202,
    responses=decided(answers.SourceStatus, 404),
    openapi_extra=_BODY,
)
async def report_posthog(intake: ReportIntake, surface: SurfaceId) -> answers.SourceStatus:
    """Take events of PostHog, one or a batch, as its webhook destinations send them."""
    return await _report(intake, surface, "posthog")


async def _stripe_intake(
    service: TheService,
    surface: SurfaceId,
    wait_s: WaitS,
    request: Request,
    response: Response,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_key)],
    signature: Annotated[
        str | None,
        Header(alias="Stripe-Signature", description="As Stripe writes it: `t=…,v1=…`."),
    ] = None,
) -> Intake:
    """Return the intake of a report that Stripe signed, or that came with a key."""
    body = await request.body()

    def caller() -> Caller:
        if credentials is not None:
            return admit(service, request, secret_of(credentials.credentials), [_REPORT])
        secret = _secret_of_signed(service, surface, signature or "", body)
        if secret is None:
            # Who signs wrongly has no account: it is charged by where it comes from.
            allowances.charge_sign_in(service, request)
            raise Refusal(
                401,
                "signature-wrong",
                "no secret of this surface made this signature in the last 300 s",
                headers={"WWW-Authenticate": 'Bearer realm="tallystick"'},
            )
        return admit(service, request, secret, [_REPORT])

    return Intake(service, await run_in_threadpool(caller), wait_s, request, response)


@router.post(
    "/events/stripe",
    status_code=202,
    responses=decided(answers.SourceStatus, 404),
    openapi_extra=_BODY | {"security": [{"key": []}, {}]},
)
async def report_stripe(
    intake: Annotated[Intake, Depends(_stripe_intake)], surface: SurfaceId
) -> answers.SourceStatus:
    """Take an event of Stripe, by its signature or by the owner's key."""
    return await _report(intake, surface, STRIPE)


async def _report(intake: Intake, surface: str, source: str) -> answers.SourceStatus:
    require_media_type(intake.request, JSON_TYPE)
    body = await intake.request.body()
    found, ignored = await run_in_threadpool(_read, intake, surface, source, body)
    items = [Item(line.id, f"event {number}", line) for number, line in found]
    results = []
    if items:
        results = await intake.take_items(
            items, lambda session, lines: submit_events(intake, session, surface, lines)
        )
    else:
        intake.response.status_code = 200
    return answers.SourceStatus(results=results, ignored=dict(ignored))


def _read(
    intake: Intake, surface: str, source: str, body: bytes
) -> tuple[list[tuple[int, bodies.BulkProductEvent]], Counter[str]]:
    """Return the events of a body, by their place in it, and how many were left out, by reason.

    Raises `Refusal` that names those at fault: all are taken, or none.
    """
    service = intake.service
    payloads = list(payloads_of(source, read_payload(body)))
    # The request has paid for one of them already.
    if len(payloads) > 1:
        allowances.charge(
            acting(service, intake.caller),
            intake.request,
            intake.caller.account,
            allowances.limits_in(intake.request),
            {"events": len(payloads) - 1},
        )
    with acting(service, intake.caller) as session:
        own_surface(service, session, intake.caller, surface)
        row = session.one("api.surface_settings", log_id=service.log_id, surface=from_hex(surface))
    if row is None or row.settings is None:
        raise Refusal(
            409,
            "settings-missing",
            f"the surface has no settings, and so no mapping of {source}; publish some",
        )
    settings = parse_settings(row.settings).intake
    mapping = settings.mapping(source)
    found: list[tuple[int, bodies.BulkProductEvent]] = []
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


def _line(event: FoundEvent) -> bodies.BulkProductEvent:
    """Return an event as the plain door takes it. Raises `IntakeError` for one that it does not."""
    if not event.id:
        raise IntakeError("id-missing", "id-missing: it has no id, so it could count twice")
    try:
        return bodies.BulkProductEvent(
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


# --- Secrets --------------------------------------------------------------------------------------


@router.put("/sources/stripe", responses=documented(401, 403, 404, 409))
def set_stripe_secret(
    service: TheService, caller: AnyCaller, surface: SurfaceId, body: bodies.SourceSecret
) -> answers.SourceKey:
    """Set the secret that Stripe signs reports to this surface with, in place of an earlier one.

    Reports come by a delegate's key that is made for it: it is listed among your keys, ends with
    the key that you use now, and can be revoked.
    """
    _check_wallet_key(caller)
    key, id_ = secret_of(new_key()), secrets.token_bytes(32)
    inner, outer = _padded(body.secret.encode())
    with acting(service, caller) as session:
        own_surface(service, session, caller, surface)
        named = {"log_id": service.log_id, "surface": from_hex(surface), "source": STRIPE}
        earlier = session.one("api.source_key", **named)
        if earlier is not None:
            session.run("api.revoke_key", key=bytes(earlier.key))
            session.run("api.drop_source_secret", **named)
        session.run(
            "api.add_delegate",
            key=id_,
            secret=key,
            name=STRIPE,
            scopes=[_REPORT],
            surfaces=[from_hex(surface)],
            expires_ms=caller.expires_ms,
        )
        session.run(
            "api.add_source_secret",
            **named,
            key=id_,
            secret=key,
            inner_pad=inner,
            outer_pad=outer,
        )
    return answers.SourceKey(source=STRIPE, key=to_hex(id_), expires_ms=caller.expires_ms)


@router.delete("/sources/stripe", status_code=204, responses=documented(401, 403, 404))
def drop_stripe_secret(service: TheService, caller: AnyCaller, surface: SurfaceId) -> None:
    """Forget the secret, and revoke the key that Stripe's reports came by."""
    _check_wallet_key(caller)
    named = {"log_id": service.log_id, "surface": from_hex(surface), "source": STRIPE}
    with acting(service, caller) as session:
        row = session.one("api.source_key", **named)
        if row is None:
            raise not_found("secret of this surface")
        session.run("api.revoke_key", key=bytes(row.key))
        session.run("api.drop_source_secret", **named)


def _check_wallet_key(caller: Caller) -> None:
    if caller.parent is not None or _REPORT not in caller.scopes:
        raise Refusal(
            403,
            "delegate-forbidden",
            f"this needs a wallet's own key with the scope {_REPORT}",
        )


def _padded(secret: bytes) -> tuple[bytes, bytes]:
    """Return the two blocks of an HMAC-SHA256 by this secret (RFC 2104)."""
    block = sha256(secret).digest() if len(secret) > _BLOCK_BYTES else secret
    block = block.ljust(_BLOCK_BYTES, b"\0")
    return bytes(one ^ 0x36 for one in block), bytes(one ^ 0x5C for one in block)


def _secret_of_signed(service: Service, surface: str, header: str, body: bytes) -> bytes | None:
    """Return the secret of the key that a signed report comes by; None if no signature holds."""
    signed_s, signatures = read_stripe_signature(header)
    hashes: Sequence[bytes] = [sha256(one).digest() for one in signatures]
    with service.database.transaction() as session:
        row = session.one(
            "api.signed_key",
            log_id=service.log_id,
            surface=from_hex(surface),
            signed_s=signed_s,
            report=body,
            signatures=list(hashes),
        )
    return None if row is None or row.secret is None else bytes(row.secret)
