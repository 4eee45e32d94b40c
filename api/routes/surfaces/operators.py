"""The routes of operators: surfaces, their leads by pseudonym, and touches."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.context import Service, TheService
from api.http.answers import BulkStatus, RequestStatus, next_cursor
from api.http.auth import AnyCaller, Caller, acting, needs
from api.http.fields import LeadCursor, Limit, Name, SurfaceId, address
from api.http.json_input import StrictRoute, ndjson_body
from api.http.problems import Fault, Refusal, documented, not_found
from api.http.submissions import (
    MAX_LINES,
    CallerInbox,
    Entering,
    IdempotencyKey,
    Item,
    by_surface,
    decided,
    inbox_for,
)
from api.routes.surfaces import answers, bodies
from api.rules import LEASED, TOUCHED, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.surface.policy import parse
from orchestrator.core.surface.surface_settings import SURFACE
from orchestrator.core.world.requests import Touch
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import NamedQuery, Row, Session

TouchInbox = Annotated[CallerInbox, inbox_for("operator:touch")]

router = APIRouter(prefix="/v1", tags=["operator"], route_class=StrictRoute)


@router.get("/surfaces/{surface}", responses=documented(401, 403, 404))
def surface_detail(
    service: TheService, caller: AnyCaller, surface: SurfaceId
) -> answers.SurfaceDetail:
    """Return a surface: its policy, and all that terms for a contract on it must say."""
    with acting(service, caller) as session:
        row = known_surface(service, session, surface)
        policy = session.one("log.policy", log_id=service.log_id, hash=row.policy_hash)
        here = session.one("api.surface_settings", log_id=service.log_id, surface=row.surface)
    return answers.SurfaceDetail(
        **surface_facts(row),
        policy=policy.document if policy else {},
        settings=here.settings if here else None,
        settings_hash=to_hex(here.settings_hash) if here and here.settings_hash else None,
        settings_version=here.settings_version if here else 0,
        terms=terms_parameters(service, row),
    )


@router.get(
    "/surfaces/{surface}/leads",
    responses=documented(401, 403, 404, rules(422, "outcome-unknown")),
)
def leads(
    service: TheService,
    caller: Annotated[Caller, needs("operator:read", "owner:read")],
    surface: SurfaceId,
    state: Annotated[Name | None, Query(description="Only leads in this state.")] = None,
    outcome: Annotated[
        Name | None,
        Query(description="Only leads from whose state this one is entered: what it can pay for."),
    ] = None,
    after: LeadCursor | None = None,
    limit: Limit = 100,
) -> answers.Leads:
    """List a surface's leads by pseudonym; the surface's owner sees its own ids beside them."""
    # A state may have dots and a pseudonym has none, so the last dot is the one between them.
    after_state, _, after_lead = after.rpartition(".") if after else ("", "", "0x")
    page: dict[str, object] = {
        "log_id": service.log_id,
        "surface": from_hex(surface),
        "caller": caller.word,
        "state": state,
        "states": None,
        "after_state": after_state,
        "after_lead": from_hex(after_lead),
        "limit": limit,
    }
    with acting(service, caller) as session:
        if outcome is not None:
            here = known_surface(service, session, surface)
            page["states"] = _states_before(service, session, here, outcome)
        known, rows = session.conclude(
            ("api.surface_is_known", {"log_id": service.log_id, "surface": from_hex(surface)}),
            ("api.lead_page", page),
        )
    if not known:
        raise not_found("surface")
    return answers.Leads(
        leads=[
            answers.LeadSummary(
                lead=to_hex(row.lead),
                state=row.state,
                since_ms=row.since_ms,
                own_touches=row.own_touches,
                external_id=row.external_id,
            )
            for row in rows
        ],
        next=next_cursor(rows, limit, lambda last: f"{last.state}.{to_hex(last.lead)}"),
    )


@router.post(
    "/surfaces/{surface}/touches",
    status_code=202,
    responses=decided(RequestStatus, 404, TOUCHED, LEASED),
)
async def touch(
    inbox: TouchInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.FencedTouch
) -> RequestStatus:
    """Record an action that you took on a lead."""
    item = Item[bodies.Touch](key, "body", body)
    one = Entering(surface, item, _touch_submission(item, surface, inbox.caller).request)

    def take(session: Session, gathered: Sequence[Entering[bodies.Touch]]) -> list[UUID]:
        _check_touches(inbox, session, by_surface(gathered))
        inbox.enter(session, [each.request for each in gathered])
        submissions = [
            _touch_submission(each.item, each.surface, inbox.caller) for each in gathered
        ]
        if body.fence is None:
            return inbox.take_last(session, submissions)
        taken = inbox.take(session, submissions)
        check_lease(inbox, session, surface, body, taken)
        return taken

    if body.fence is not None:
        return await inbox.take_one(lambda session: take(session, [one]), [one.request])
    return await inbox.take_gathered("touches", one, take)


@router.post(
    "/surfaces/{surface}/touches/bulk",
    status_code=202,
    responses=decided(BulkStatus, 404, TOUCHED),
    openapi_extra=ndjson_body(bodies.BulkTouch, MAX_LINES),
)
async def touches(inbox: TouchInbox, surface: SurfaceId) -> BulkStatus:
    """Record many touches, one to a line, each with an `id` of its own: all are taken, or none."""
    return await inbox.take_lines(
        bodies.BulkTouch,
        lambda session, items: _submit_touches(inbox, session, surface, items),
    )


def terms_parameters(service: Service, row: Row) -> answers.TermsParameters:
    """Return the terms that a surface, by its row, and this service set for contracts."""
    info, escrow, limits = service.info, service.escrow_domain, service.limits
    return answers.TermsParameters(
        owner=address(row.owner),
        log_id=to_hex(service.log_id),
        surface=to_hex(row.surface),
        policy=to_hex(row.policy_hash),
        attribution=row.attribution,
        lateness_s=row.lateness_s,
        verifier=info.verifier,
        fee_bps=info.fee_bps,
        fee_recipient=info.fee_recipient,
        tokens=[token_answer(token, limits) for token in info.tokens],
        openings_paid=limits.openings_are_paid,
        chain_id=escrow.chain_id,
        escrow=escrow.verifying_contract,
        domain_name=escrow.name,
        domain_version=escrow.version,
    )


def token_answer(token: TokenInfo, limits: Limits) -> answers.Token:
    return answers.Token(
        address=token.address,
        symbol=token.symbol,
        decimals=token.decimals,
        least_budget_units=str(token.least_budget(limits)),
    )


def _states_before(service: Service, session: Session, here: Row, outcome: str) -> list[str]:
    """Return the states from which an outcome is entered. Raises `DocumentError` if none is."""
    found = session.one("log.policy", log_id=service.log_id, hash=here.policy_hash)
    policy = parse(found.document if found else {})
    states = policy.states_before(outcome)
    if not states:
        known = ", ".join(sorted({move.to for move in policy.transitions}))
        raise DocumentError(
            "outcome-unknown", f"no transition leads into {outcome!r}; outcomes are {known}"
        )
    return list(states)


def _submit_touches(
    inbox: CallerInbox, session: Session, surface: str, items: Sequence[Item[bodies.Touch]]
) -> list[UUID]:
    """Submit touches: all of them, or none if one is refused."""
    submissions = [_touch_submission(item, surface, inbox.caller) for item in items]
    # A bulk is looked through before others have to wait for the surface.
    _check_touches(inbox, session, {surface: items})
    return inbox.submit(session, submissions)


def _check_touches(
    inbox: CallerInbox, session: Session, touches: Mapping[str, Sequence[Item[bodies.Touch]]]
) -> None:
    """Raise `Refusal` for a touch that its surface does not offer, or shows no lead for.

    What it offers, and at which level, is told here already; the log decides it once more, at the
    position of each touch.
    """
    queries: list[NamedQuery] = []
    for surface, items in touches.items():
        where = {"log_id": inbox.service.log_id, "surface": from_hex(surface)}
        # One query for all leads of a bulk request.
        wanted = list({from_hex(item.body.lead) for item in items})
        queries.append(("api.surface_settings", where))
        queries.append(("api.leads_on_surface", where | {"leads": wanted}))
    found = iter(session.together(*queries))
    for items in touches.values():
        here, leads = next(found), next(found)
        if not here:
            raise not_found("surface")
        offered = here[0].settings["actions"] if here[0].settings else {}
        known = {each.lead for each in leads}
        for item in items:
            _check_touch(item, known, offered)


def check_lease(
    inbox: CallerInbox,
    session: Session,
    surface: str,
    body: bodies.FencedTouch | bodies.NewAction,
    taken: Sequence[UUID],
) -> None:
    """Raise `Refusal` for a request that names a lease which has ended, unless it is a repeat."""
    if body.fence is None or inbox.fresh.isdisjoint(taken):
        return
    row = session.one(
        "boards.holds",
        log_id=inbox.service.log_id,
        board=from_hex(surface),
        item=body.lead,
        fence=body.fence,
        key=inbox.caller.key,
    )
    if row is None or not row.holds:
        raise Refusal(
            409,
            "lease-lost",
            f"no lease of yours on {body.lead} has the fence {body.fence}; stop this work, or take "
            f"the lead anew",
        )


def _check_touch(
    item: Item[bodies.Touch], known: set[bytes], offered: Mapping[str, Mapping[str, object]]
) -> None:
    """Deny by default: a lead that the operator may see, and an action that the surface offers."""
    touch = item.body
    if from_hex(touch.lead) not in known:
        status, code, pointer = 404, "lead-unknown", "lead"
        detail = "this surface shows you no such lead; leads are shown from level 1 on"
    elif touch.action not in offered:
        status, code, pointer = 403, "action-unknown", "action"
        detail = f"the surface's settings offer no action {touch.action!r}"
    elif offered[touch.action].get("by") == SURFACE:
        status, code, pointer = 409, "action-by-another", "action"
        detail = f"{touch.action!r} is carried out by the surface: request it as an action"
    else:
        return
    where = f"{item.place}/{pointer}"
    raise Refusal(status, code, f"{where}: {detail}", faults=[Fault(where=where, detail=detail)])


def _touch_submission(item: Item[bodies.Touch], surface: str, operator: Caller) -> Submission:
    """Return a touch as a submission.

    A touch holds nothing personal, so its request hash binds all of it, and needs no salt.
    """
    touch = item.body
    body = canonical_json({"surface": surface, "lead": touch.lead, "action": touch.action})
    request = Touch(
        from_hex(surface),
        from_hex(touch.lead),
        operator.word,
        touch.action,
        sha256(body).digest(),
        key=operator.delegate,
    )
    return Submission(f"touch:{surface}:{item.key}", request, body)


def known_surface(service: Service, session: Session, surface: str) -> Row:
    """Return the row of a surface. Raises `Refusal` if it is unknown."""
    row = session.one("api.surface", log_id=service.log_id, surface=from_hex(surface))
    if row is None:
        raise not_found("surface")
    return row


def surface_facts(row: Row) -> dict[str, object]:
    """Return what every answer says of a surface, by its row."""
    return {
        "surface": to_hex(row.surface),
        "name": row.name,
        "owner": address(row.owner),
        "version": row.version,
        "policy_hash": to_hex(row.policy_hash),
        "attribution": row.attribution,
    }
