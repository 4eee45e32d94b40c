"""What operators see and do: surfaces, their leads by pseudonym, and touches."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.context import Service, TheService
from api.http import fields as words
from api.http import schemas
from api.http import submissions as requests
from api.http.auth import AnyCaller, Caller, Operator
from api.http.encoding import AfterWord, Limit, SurfaceId, address
from api.http.json_input import StrictRoute, ndjson_body
from api.http.problems import Fault, Refusal, documented, not_found
from api.http.submissions import IdempotencyKey, WaitS
from orchestrator.core.hexadecimal import from_hex, to_hex
from orchestrator.core.policy import canonical_json
from orchestrator.core.requests import Touch
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Row, Session

FIRST_LEVEL = "0"

router = APIRouter(prefix="/v1", tags=["operator"], route_class=StrictRoute)


@router.get("/surfaces", responses=documented(401, 403))
def surfaces(
    service: TheService, caller: AnyCaller, after: AfterWord = None, limit: Limit = 100
) -> schemas.Surfaces:
    """The surfaces that one could work on."""
    with service.database.transaction(caller.account) as session:
        rows = session.all(
            "api.surface_page",
            log_id=service.log_id,
            after=from_hex(after) if after else b"",
            limit=limit,
        )
    found = [schemas.Surface(**_surface(row)) for row in rows]
    return schemas.Surfaces(surfaces=found, next=found[-1].surface if len(found) == limit else None)


@router.get("/surfaces/{surface}", responses=documented(401, 403, 404))
def surface_detail(
    service: TheService, caller: AnyCaller, surface: SurfaceId
) -> schemas.SurfaceDetail:
    """One surface: its policy, and all that terms for a contract on it must say."""
    with service.database.transaction(caller.account) as session:
        row = _known_surface(service, session, surface)
    return schemas.SurfaceDetail(
        **_surface(row), policy=row.document, terms=terms_parameters(service, row)
    )


@router.get("/surfaces/{surface}/leads", responses=documented(401, 403, 404))
def leads(
    service: TheService,
    caller: AnyCaller,
    surface: SurfaceId,
    state: Annotated[words.Name | None, Query(description="Only leads in this state.")] = None,
    after: words.LeadCursor | None = None,
    limit: Limit = 100,
) -> schemas.Leads:
    """A surface's leads by pseudonym; to the surface's owner, with its own ids beside them."""
    after_state, _, after_lead = after.rpartition(".") if after else ("", "", "0x")
    with service.database.transaction(caller.account) as session:
        _known_surface(service, session, surface)
        rows = session.all(
            "api.lead_page",
            log_id=service.log_id,
            surface=from_hex(surface),
            caller=caller.word,
            state=state,
            after_state=after_state,
            after_lead=from_hex(after_lead),
            limit=limit,
        )
    return schemas.Leads(
        leads=[
            schemas.LeadSummary(
                lead=to_hex(row.lead),
                state=row.state,
                since_ms=row.since_ms,
                own_touches=row.own_touches,
                external_id=row.external_id,
            )
            for row in rows
        ],
        next=f"{rows[-1].state}.{to_hex(rows[-1].lead)}" if len(rows) == limit else None,
    )


@router.post(
    "/surfaces/{surface}/touches",
    status_code=202,
    responses=requests.decided(schemas.RequestStatus, 404),
)
async def touch(
    service: TheService,
    operator: Operator,
    surface: SurfaceId,
    key: IdempotencyKey,
    body: schemas.Touch,
    wait_s: WaitS,
    response: Response,
) -> schemas.RequestStatus:
    """Record an action that you took on a lead."""

    def take(session: Session) -> UUID:
        return _take_touches(service, session, operator, surface, [(key, "body", body)])[0]

    return await requests.single(service, operator, take, wait_s, response)


@router.post(
    "/surfaces/{surface}/touches/bulk",
    status_code=202,
    responses=requests.decided(schemas.BulkStatus, 404),
    openapi_extra=ndjson_body(schemas.BulkTouch, requests.MAX_LINES),
)
async def touches(
    service: TheService,
    operator: Operator,
    surface: SurfaceId,
    wait_s: WaitS,
    request: Request,
    response: Response,
) -> schemas.BulkStatus:
    """Record many touches, one to a line, each with an `id` of its own: all are taken, or none."""

    def take(session: Session, lines: list[tuple[int, schemas.BulkTouch]]) -> list[UUID]:
        placed = [(touch.id, f"line {number}", touch) for number, touch in lines]
        return _take_touches(service, session, operator, surface, placed)

    return await requests.bulk(
        service, operator, schemas.BulkTouch, take, wait_s, request, response
    )


def terms_parameters(service: Service, row: Row) -> schemas.TermsParameters:
    """What terms on a surface must say, from its row and this service."""
    info, escrow = service.info, service.escrow_domain
    return schemas.TermsParameters(
        owner=address(row.owner),
        log_id=to_hex(service.log_id),
        surface=to_hex(row.surface),
        policy=to_hex(row.policy_hash),
        attribution=row.document["attribution"],
        lateness_s=row.document["lateness_s"],
        verifier=info.verifier,
        fee_bps=info.fee_bps,
        fee_recipient=info.fee_recipient,
        tokens=[schemas.Token(**token._asdict()) for token in info.tokens],
        chain_id=escrow.chain_id,
        escrow=escrow.verifying_contract,
        domain_name=escrow.name,
        domain_version=escrow.version,
    )


def level_of(service: Service, session: Session, operator: Caller) -> int:
    """A registered operator's trust level. Raises `Refusal` for one that is not registered."""
    row = session.one("api.operator", log_id=service.log_id, operator=operator.word)
    if row is None:
        raise Refusal(
            403,
            "operator-unregistered",
            "your registration is not in the log yet; sign in as operator, then wait a moment",
        )
    return int(row.level)


def _take_touches(
    service: Service,
    session: Session,
    operator: Caller,
    surface: str,
    touches: Sequence[tuple[str, str, schemas.Touch]],
) -> list[UUID]:
    """Take touches, given as (idempotency key, where it stands, touch): all of them or none."""
    row = _known_surface(service, session, surface)
    level = level_of(service, session, operator)
    actions = row.document["actions"]
    wanted = list({from_hex(touch.lead) for _, _, touch in touches})
    there = {
        found.lead
        for found in session.all(
            "api.leads_there", log_id=service.log_id, surface=row.surface, leads=wanted
        )
    }
    for _, where, touch in touches:
        _check_touch(where, touch, there, actions, level)
    submissions = [_touch_submission(key, surface, operator, touch) for key, _, touch in touches]
    return requests.submit(service, session, operator, submissions)


def _check_touch(
    where: str, touch: schemas.Touch, there: set[bytes], actions: dict[str, int], level: int
) -> None:
    """Deny by default: a known lead, and an action that the policy gives to this level."""
    needed = actions.get(touch.action)
    if from_hex(touch.lead) not in there:
        status, code, detail = 404, "lead-unknown", "this surface has no such lead"
        pointer = "lead"
    elif needed is None:
        status, code = 403, "action-unknown"
        detail = f"the surface's policy offers no action {touch.action!r}"
        pointer = "action"
    elif needed > level:
        status, code = 403, "level-too-low"
        detail = f"action {touch.action!r} needs trust level {needed}; yours is {level}"
        pointer = "action"
    else:
        return
    where = f"{where}/{pointer}"
    raise Refusal(status, code, f"{where}: {detail}", faults=[Fault(where=where, detail=detail)])


def _touch_submission(key: str, surface: str, operator: Caller, touch: schemas.Touch) -> Submission:
    """A touch holds nothing personal, so its request hash binds all of it, and needs no salt."""
    body = canonical_json({"surface": surface, "lead": touch.lead, "action": touch.action})
    request = Touch(
        from_hex(surface),
        from_hex(touch.lead),
        operator.word,
        touch.action,
        sha256(body).digest(),
    )
    return Submission(f"touch:{surface}:{key}", request, body)


def _known_surface(service: Service, session: Session, surface: str) -> Row:
    row = session.one("api.surface", log_id=service.log_id, surface=from_hex(surface))
    if row is None:
        raise not_found("surface")
    return row


def _surface(row: Row) -> dict[str, object]:
    return {
        "surface": to_hex(row.surface),
        "name": row.name,
        "owner": address(row.owner),
        "version": row.version,
        "policy_hash": to_hex(row.policy_hash),
        "attribution": row.document["attribution"],
    }
