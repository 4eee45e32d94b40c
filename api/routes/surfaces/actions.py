"""The routes of actions that surfaces carry out: operators request them, the owner answers.

An owner may pull the requests with its key instead of having them sent to an endpoint of its own.
"""

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

import jsonschema_rs
from fastapi import APIRouter, Path, Query

from api.context import TheService
from api.http.answers import RequestStatus, next_cursor
from api.http.auth import Caller, acting, needs
from api.http.fields import ActionState, AfterPosition, Digits, Limit, SurfaceId, address
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.http.submissions import CallerInbox, IdempotencyKey, decided, inbox_for
from api.routes.public_route import PublicRoute
from api.routes.surfaces import answers, bodies
from api.routes.surfaces.operators import check_lease, known_surface
from api.routes.surfaces.owners import own_surface
from api.routes.surfaces.schema_faults import schema_faults
from api.rules import ANSWERED, LEASED, TOUCHED, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.parameters import MAX_PARAMETER_BYTES, closed_schema
from orchestrator.core.log.entry import FAILED, TAKEN
from orchestrator.core.surface.surface_settings import SURFACE
from orchestrator.core.world.codec import commitment, json_text
from orchestrator.core.world.requests import AnswerAction, RequestAction
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Row, Session

# The newest requests of an action that its public figures are made of.
MEASURED = 1_000
MAX_FAULTS = 10

router = APIRouter(prefix="/v1", tags=["actions"], route_class=StrictRoute)
public_router = APIRouter(prefix="/v1", tags=["actions"], route_class=PublicRoute)

RequestInbox = Annotated[CallerInbox, inbox_for("operator:request")]
AnswerInbox = Annotated[CallerInbox, inbox_for("owner:answer")]
Reader = Annotated[Caller, needs("operator:read", "owner:read", "owner:answer")]
ActionPosition = Annotated[
    int,
    Path(ge=0, le=2**40 - 1, description="The position of the entry that requests the action."),
    Digits,
]


@router.post(
    "/surfaces/{surface}/actions",
    status_code=202,
    responses=decided(
        RequestStatus,
        404,
        422,
        TOUCHED,
        LEASED,
        rules(409, "action-expiry action-limit"),
        rules(422, "parameters-invalid parameters-too-long"),
    ),
)
async def request_action(
    inbox: RequestInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.NewAction
) -> RequestStatus:
    """Request that the surface act on a lead. It is a touch once it was taken and did not fail."""

    def take(session: Session) -> list[UUID]:
        offered = _offered(inbox, session, surface, body)
        asked = _submission(inbox.caller, surface, key, body, offered)
        taken = inbox.submit(session, [asked])
        check_lease(inbox, session, surface, body, taken)
        return taken

    return await inbox.take_one(take)


@router.get("/surfaces/{surface}/actions", responses=documented(401, 403, 404))
def actions(
    service: TheService,
    caller: Reader,
    surface: SurfaceId,
    state: Annotated[ActionState | None, Query(description="Only actions in this state.")] = None,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> answers.Actions:
    """List requested actions, oldest first: all for the surface's owner, your own otherwise."""
    with acting(service, caller) as session:
        here = known_surface(service, session, surface)
        rows = session.all(
            "actions.page",
            log_id=service.log_id,
            surface=here.surface,
            state=state,
            operator=None if here.owner == caller.word else caller.word,
            position=None,
            after=after,
            limit=limit,
        )
    return answers.Actions(
        actions=[_action(row) for row in rows],
        next=next_cursor(rows, limit, lambda last: last.position),
    )


@router.get("/surfaces/{surface}/actions/{position}", responses=documented(401, 403, 404))
def action(
    service: TheService, caller: Reader, surface: SurfaceId, position: ActionPosition
) -> answers.Action:
    """Return a requested action, to the surface's owner or to the operator that requested it."""
    with acting(service, caller) as session:
        here = known_surface(service, session, surface)
        row = session.one(
            "actions.page",
            log_id=service.log_id,
            surface=here.surface,
            state=None,
            operator=None if here.owner == caller.word else caller.word,
            position=position,
            after=0,
            limit=1,
        )
    if row is None:
        raise not_found("action of yours")
    return _action(row)


@router.post(
    "/surfaces/{surface}/actions/{position}/taken",
    status_code=202,
    responses=decided(RequestStatus, 404, 422, ANSWERED),
)
async def take_action(
    inbox: AnswerInbox, surface: SurfaceId, position: ActionPosition, body: bodies.TakenAction
) -> RequestStatus:
    """Take a requested action: from now on it counts as done unless you say that it failed."""
    return await _answer(inbox, surface, position, TAKEN, "", body.result)


@router.post(
    "/surfaces/{surface}/actions/{position}/failed",
    status_code=202,
    responses=decided(RequestStatus, 404, 422, ANSWERED),
)
async def fail_action(
    inbox: AnswerInbox, surface: SurfaceId, position: ActionPosition, body: bodies.FailedAction
) -> RequestStatus:
    """Say that a requested action failed; after the lead's next transition it counts as done."""
    return await _answer(inbox, surface, position, FAILED, body.reason, None)


@public_router.get("/surfaces/{surface}/answers", responses=documented(404))
def answer_times(service: TheService, surface: SurfaceId) -> answers.AnswerTimes:
    """Return how many of the newest requests of each action the surface answered, and how fast."""
    with service.database.transaction() as session:
        here = session.one("api.surface_settings", log_id=service.log_id, surface=from_hex(surface))
        if here is None:
            raise not_found("surface")
        catalogue = here.settings["actions"] if here.settings else {}
        rows = session.all(
            "actions.measured",
            log_id=service.log_id,
            surface=from_hex(surface),
            actions=[name for name, one in catalogue.items() if one.get("by") == SURFACE],
            newest=MEASURED,
        )
    return answers.AnswerTimes(actions=[answers.AnswerTime(**row._asdict()) for row in rows])


def _offered(
    inbox: CallerInbox, session: Session, surface: str, body: bodies.NewAction
) -> Mapping[str, Any]:
    """Return what the settings say of the action; deny by default, as the log does once more."""
    service = inbox.service
    row = known_surface(service, session, surface)
    here = session.one("api.surface_settings", log_id=service.log_id, surface=row.surface)
    offered = (here.settings["actions"] if here and here.settings else {}).get(body.action)
    if offered is None:
        raise Refusal(
            403, "action-unknown", f"the surface's settings offer no action {body.action!r}"
        )
    if offered.get("by") != SURFACE:
        raise Refusal(
            409, "action-by-another", f"{body.action!r} is yours to do: report it as a touch"
        )
    known = session.all(
        "api.leads_on_surface",
        log_id=service.log_id,
        surface=row.surface,
        leads=[from_hex(body.lead)],
    )
    if not known:
        raise Refusal(
            404,
            "lead-unknown",
            "body/lead: this surface shows you no such lead; leads are shown from level 1 on",
        )
    _check_parameters(body.parameters, offered.get("parameters"))
    return dict(offered)


def _check_parameters(given: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise Refusal for parameters that the catalogue's schema does not allow."""
    size = len(canonical_json(given))
    if size > MAX_PARAMETER_BYTES:
        raise Refusal(
            422,
            "parameters-too-long",
            f"body/parameters: {size} bytes as JSON; at most {MAX_PARAMETER_BYTES}",
        )
    allowed = closed_schema(schema or {"type": "object"})
    # The schema is one that was checked keyword by keyword: it names no file and no expression.
    validator = jsonschema_rs.Draft202012Validator(allowed)
    faults = [*islice(schema_faults(validator, dict(given), "body/parameters"), MAX_FAULTS)]
    if faults:
        raise Refusal(
            422, "parameters-invalid", f"{faults[0].where}: {faults[0].detail}", faults=faults
        )


def _submission(
    operator: Caller,
    surface: str,
    key: str,
    body: bodies.NewAction,
    offered: Mapping[str, Any],
) -> Submission:
    """Return a request as a submission; its parameters may name a person, so they are salted."""
    lasts_ms = (body.expires_s or offered["expires_s"]) * 1000
    public = {
        "surface": surface,
        "lead": body.lead,
        "action": body.action,
        "lasts_ms": lasts_ms,
    }
    private, salt = canonical_json(body.parameters), secrets.token_bytes(32)
    request = RequestAction(
        from_hex(surface),
        from_hex(body.lead),
        operator.word,
        body.action,
        lasts_ms,
        sha256(canonical_json(public)).digest(),
        commitment(salt, private),
        operator.delegate,
    )
    return Submission(f"action:{surface}:{key}", request, private, salt)


async def _answer(
    inbox: CallerInbox,
    surface: str,
    position: int,
    label: str,
    reason: str,
    result: Mapping[str, Any] | None,
) -> RequestStatus:
    """Submit an answer; the request's position and what is answered are its idempotency key."""
    body = canonical_json(
        {"surface": surface, "position": position, "answer": label, "reason": reason}
    )

    def take(session: Session) -> list[UUID]:
        service, owner = inbox.service, inbox.caller
        here = own_surface(service, session, owner, surface)
        which = {"log_id": service.log_id, "surface": here.surface, "position": position}
        row = session.one("actions.of_position", **which)
        if row is None:
            raise not_found("action that was requested of this surface")
        if result:
            _check_result(session, service.log_id, here.surface, row.action, result)
            session.run("actions.put_result", **which, lead=row.lead, result=json_text(result))
        request = AnswerAction(
            here.surface, row.lead, owner.word, position, label, reason, sha256(body).digest()
        )
        key = f"answer:{surface}:{position}:{label}"
        return inbox.submit_last(session, Submission(key, request, body))

    return await inbox.take_one(take)


def _check_result(
    session: Session, log_id: bytes, surface: bytes, action: str, result: Mapping[str, Any]
) -> None:
    """Raise Refusal for what the catalogue does not give back to operators."""
    here = session.one("api.surface_settings", log_id=log_id, surface=surface)
    offered = (here.settings["actions"] if here and here.settings else {}).get(action, {})
    extra = sorted(result.keys() - set(offered.get("returns", ())))
    if extra:
        raise Refusal(
            422,
            "result-unlisted",
            f"body/result: {extra[0]!r:.60} is not among what action {action!r} gives back; list "
            f"it under returns in the settings, or leave it out",
        )


def _action(row: Row) -> answers.Action:
    return answers.Action(
        position=row.position,
        lead=to_hex(row.lead),
        external_id=row.external_id,
        operator=address(row.operator),
        action=row.action,
        state=row.state,
        requested_ms=row.requested_ms,
        expires_ms=row.expires_ms,
        answered_ms=row.answered_ms,
        reason=row.reason or None,
        touch=row.done_position,
        parameters=None if row.parameters is None else json.loads(row.parameters),
        result=row.result,
    )
