"""The routes of codes: what operators hand out, the clicks by it, and its end."""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated
from uuid import UUID

import jsonschema_rs
from fastapi import APIRouter, Query

from api.context import Service, TheService
from api.http.answers import RequestStatus, next_cursor
from api.http.auth import Caller, acting, needs
from api.http.fields import Address, AfterPosition, CodeId, Limit, SurfaceId, address
from api.http.json_input import StrictRoute
from api.http.problems import MAX_FAULTS, Fault, Refusal, documented, not_found
from api.http.submissions import CallerInbox, IdempotencyKey, Item, decided, inbox_for
from api.routes.surfaces import answers, bodies
from api.routes.surfaces.bodies import ProductEvent
from api.routes.surfaces.schema_faults import schema_faults
from api.rules import ACT, ENDED, OWNERS, QUALIFICATION, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.entry import ZERO_WORD, address_word
from orchestrator.core.world.codec import request_id
from orchestrator.core.world.requests import EndCode, EndOwnCode, IssueCode
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Row, Session

# So many clicks on a code in one minute are more than people do.
MANY_CLICKS = 30

IssueInbox = Annotated[CallerInbox, inbox_for("operator:issue")]
ReviewInbox = Annotated[CallerInbox, inbox_for("owner:review")]
Reader = Annotated[Caller, needs("operator:read", "owner:read")]

router = APIRouter(prefix="/v1", tags=["codes"], route_class=StrictRoute)


@router.post(
    "/surfaces/{surface}/codes",
    status_code=202,
    responses=decided(
        answers.CodeRequest,
        404,
        ACT,
        QUALIFICATION,
        rules(409, "code-expiry code-limit code-uses codes-unoffered pool-limit"),
    ),
)
async def issue_code(
    inbox: IssueInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.NewCode
) -> answers.CodeRequest:
    """Get a code to hand out. The log holds a random id of it, and you read the code here."""
    service, operator = inbox.service, inbox.caller
    name = f"code:{surface}:{key}"
    asked_by = UUID(bytes=request_id(service.log_id, operator.account, name))
    asked = {"surface": surface, "max_uses": body.max_uses, "expires_ms": body.expires_ms}
    code, ref = b"", ""

    def take(session: Session) -> list[UUID]:
        nonlocal code, ref
        if session.one("api.surface", log_id=service.log_id, surface=from_hex(surface)) is None:
            raise not_found("surface")
        # The same request has the same code. Two at once must not both find that there is none.
        session.run("api.lock_account", account=operator.account)
        row = session.one("api.code_of_request", log_id=service.log_id, request_id=asked_by)
        code, ref = (
            (secrets.token_bytes(32), secrets.token_hex(16))
            if row is None
            else (bytes(row.code), row.name)
        )
        public = canonical_json(asked | {"code": to_hex(code)})
        request = IssueCode(
            from_hex(surface),
            code,
            operator.word,
            body.max_uses,
            body.expires_ms,
            sha256(public).digest(),
            ZERO_WORD,
            operator.delegate,
        )
        ids = inbox.submit(session, [Submission(name, request, canonical_json(asked))])
        if row is None:
            session.run(
                "api.add_code_name",
                log_id=service.log_id,
                code=code,
                surface=from_hex(surface),
                account=operator.account,
                name=ref,
                request_id=asked_by,
            )
        return ids

    status = await inbox.take_one(take)
    return answers.CodeRequest(**status.model_dump(), code_id=to_hex(code), ref=ref)


@router.get("/surfaces/{surface}/codes", responses=documented(401, 403, 404))
def codes(
    service: TheService,
    caller: Reader,
    surface: SurfaceId,
    operator: Annotated[Address | None, Query(description="Only codes of this operator.")] = None,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> answers.IssuedCodes:
    """List the codes of a surface with their clicks: your own, or all if the surface is yours."""
    with acting(service, caller) as session:
        if session.one("api.surface", log_id=service.log_id, surface=from_hex(surface)) is None:
            raise not_found("surface")
        rows = session.all(
            "api.code_page",
            log_id=service.log_id,
            surface=from_hex(surface),
            caller=caller.word,
            operator=None if operator is None else address_word(operator),
            after=after,
            limit=limit,
        )
    return answers.IssuedCodes(
        codes=[_issued(row) for row in rows],
        next=next_cursor(rows, limit, lambda last: int(last.position)),
    )


@router.get("/surfaces/{surface}/codes/{code}/clicks", responses=documented(401, 403, 404))
def clicks(
    service: TheService,
    caller: Reader,
    surface: SurfaceId,
    code: CodeId,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> answers.CodeClicks:
    """List the clicks on a code, and the leads that it brought, by pseudonym."""
    with acting(service, caller) as session:
        found = session.one(
            "api.code_of",
            log_id=service.log_id,
            surface=from_hex(surface),
            code=from_hex(code),
            caller=caller.word,
        )
        if found is None:
            raise not_found("code of yours, or of your surface's")
        rows = session.all(
            "api.click_page",
            log_id=service.log_id,
            code=from_hex(code),
            after=after,
            limit=limit,
        )
    return answers.CodeClicks(
        clicks=[
            answers.CodeClick(
                position=row.position,
                lead=to_hex(row.lead),
                time_ms=row.time_ms,
                is_new_lead=row.is_new_lead,
            )
            for row in rows
        ],
        next=next_cursor(rows, limit, lambda last: int(last.position)),
    )


@router.post(
    "/surfaces/{surface}/codes/{code}/end",
    status_code=202,
    responses=decided(RequestStatus, 404, ENDED, rules(409, "code-of-another")),
)
async def end_code(
    inbox: IssueInbox, surface: SurfaceId, code: CodeId, key: IdempotencyKey, body: bodies.CodeEnd
) -> RequestStatus:
    """End a code of yours: no lead comes by it any more, and what came by it stands."""
    request = EndOwnCode(from_hex(surface), inbox.caller.word, from_hex(code), body.reason)
    return await _take_end(inbox, f"end:{surface}:{key}", request)


@router.post(
    "/surfaces/{surface}/codes/{code}/revocation",
    status_code=202,
    responses=decided(RequestStatus, 404, ENDED, OWNERS),
)
async def revoke_code(
    inbox: ReviewInbox,
    surface: SurfaceId,
    code: CodeId,
    key: IdempotencyKey,
    body: bodies.CodeEnd,
) -> RequestStatus:
    """End a code of an operator on your surface; what came by it stands, and pays."""
    request = EndCode(from_hex(surface), inbox.caller.word, from_hex(code), body.reason)
    return await _take_end(inbox, f"revoke-code:{surface}:{key}", request)


async def _take_end(inbox: CallerInbox, name: str, request: EndCode | EndOwnCode) -> RequestStatus:
    body = canonical_json(
        {
            "surface": to_hex(request.surface),
            "code": to_hex(request.code),
            "reason": request.reason,
        }
    )

    def take(session: Session) -> list[UUID]:
        found = session.one(
            "api.code_of",
            log_id=inbox.service.log_id,
            surface=request.surface,
            code=request.code,
            caller=inbox.caller.word,
        )
        if found is None:
            raise not_found("code of yours, or of your surface's")
        return inbox.submit_last(session, Submission(name, request, body))

    return await inbox.take_one(take)


def _issued(row: Row) -> answers.IssuedCode:
    return answers.IssuedCode.model_validate(
        {
            "code_id": to_hex(row.code),
            "ref": row.name,
            "operator": address(row.operator),
            "position": row.position,
            "issued_ms": row.since_ms,
            "expires_ms": row.until_ms,
            "max_uses": row.most_uses,
            "is_ended": row.is_ended,
            "clicks": row.uses,
            "leads": row.brought,
            "repeats": row.repeats,
            "most_in_a_minute": row.peak,
            "flags": [
                flag
                for flag, applies in (
                    ("fast", row.peak >= MANY_CLICKS),
                    ("own_operator", row.operator == row.surface_owner),
                    ("repeated", row.repeats > 0),
                )
                if applies
            ],
        }
    )


# --- Qualification --------------------------------------------------------------------------------


def check_qualification(
    service: Service, session: Session, surface: bytes, items: Sequence[Item[ProductEvent]]
) -> None:
    """Raise `Refusal` unless each event with a code brings the fields that the settings ask for.

    Fields that are not asked for are refused too: what is personal is not kept without a reason.
    """
    with_names = [item for item in items if item.body.ref is not None or item.body.fields]
    if not with_names:
        return
    row = session.one("api.surface_settings", log_id=service.log_id, surface=surface)
    codes = row.settings.get("codes") if row is not None and row.settings is not None else None
    schema = codes.get("fields") if codes else None
    validator = jsonschema_rs.Draft202012Validator(schema) if schema else None
    faults: list[Fault] = []
    for item in with_names:
        fields, where = item.body.fields, f"{item.place}/fields"
        if fields and (validator is None or item.body.ref is None):
            faults.append(Fault(where=where, detail="the settings ask for no fields here"))
        elif validator is not None and item.body.ref is not None:
            faults += schema_faults(validator, fields or {}, where)
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        detail = f"{faults[0].where}: {faults[0].detail}"
        raise Refusal(422, "fields-invalid", detail, faults=faults[:MAX_FAULTS])
