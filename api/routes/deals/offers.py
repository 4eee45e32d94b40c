"""The routes of standing offers: an owner publishes one, and operators that are eligible take it.

An offer is the owner's word and no signature: who takes it proposes terms made from it, and the
owner accepts. Places, levels and budgets are held to in the transaction that keeps the proposal.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.auth import Caller, acting, needs
from api.http.fields import Limit, ProposalCursor, SurfaceId, Word, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.deals import answers, bodies
from api.routes.deals.drafts import frame_of, policy_in_force, shown_draft, token_of
from api.routes.public_route import PublicRoute
from api.routes.surfaces.owners import own_surface
from api.rules import DEAL, OWNERS, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import (
    DAY_S,
    format_amount,
    format_duration,
    parse_amount,
    parse_duration_s,
)
from orchestrator.core.deals.acceptance import OWN_TERMS
from orchestrator.core.deals.deal import deal_of, draft_terms
from orchestrator.core.deals.terms import Terms
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.storage.database import Row, Session

Offerer = Annotated[Caller, needs("owner:review")]
Taker = Annotated[Caller, needs("operator:propose")]
OfferId = Annotated[Word, Path(description="A standing offer's id.")]

# The most that one account publishes, withdrawn ones too.
MAX_OFFERS = 1_000
MAX_LASTING_S = 366 * DAY_S

router = APIRouter(prefix="/v1", tags=["contracts"], route_class=StrictRoute)
public_router = APIRouter(prefix="/v1", tags=["contracts"], route_class=PublicRoute)


@router.post(
    "/surfaces/{surface}/offers",
    status_code=201,
    responses=documented(
        401,
        403,
        404,
        409,
        OWNERS,
        DEAL,
        rules(409, "offer-contested offers-too-many"),
        rules(
            422,
            "duration-malformed duration-range first-budget-malformed first-budget-range "
            "offer-exclusive",
        ),
    ),
)
def publish(
    service: TheService, owner: Offerer, surface: SurfaceId, body: bodies.NewOffer
) -> answers.Offer:
    """Publish a standing offer on your surface."""
    lasting_s = _ends_in_s(body.ends_in)
    with acting(service, owner) as session:
        own_surface(service, session, owner, surface)
        frame = frame_of(service, session, from_hex(surface))
        token = frame.tokens[0]
        # An account that is never a party stands for the operator, whoever that will be.
        made = draft_terms(
            body.deal.model_dump(by_alias=True, exclude_none=True),
            frame,
            token.address,
            service.now_ms() // 1000,
            bytes(32),
        )
        terms, offer = made.terms, secrets.token_bytes(32)
        first_units = _first_budget(body.first_budget, terms, made.token.decimals)
        if terms.exclusive and body.places > 1:
            raise Refusal(
                422,
                "offer-exclusive",
                f"an exclusive offer has one place, not {body.places}: the escrow opens no second "
                f"contract for the outcome",
            )
        _check_beside(service, session, owner, surface, terms)
        fixed = {key: value for key, value in terms.to_json().items() if key not in OWN_TERMS}
        session.run(
            "api.add_offer",
            log_id=service.log_id,
            offer=offer,
            surface=from_hex(surface),
            owner=owner.account,
            terms=canonical_json(fixed).decode(),
            lasts_s=terms.deadline_s - terms.opens_at_s,
            first_budget_units=first_units,
            budget_units=terms.budget_units,
            places=body.places,
            level=body.level,
            ends_in_ms=lasting_s * 1000,
        )
        row = _known_offer(service, session, surface, offer, "")
        return _offers(service, session, surface, [row])[0]


def _check_beside(
    service: Service, session: Session, owner: Caller, surface: str, terms: Terms
) -> None:
    """Raise `Refusal` if the owner has no room for an offer of these terms beside its others."""
    # Two offers at once must not both find the last place free.
    session.run("api.lock_account", account=owner.account)
    beside = session.one(
        "api.offers_beside",
        log_id=service.log_id,
        owner=owner.account,
        surface=from_hex(surface),
        outcome=terms.outcome,
        exclusive=terms.exclusive,
        most=MAX_OFFERS,
    )
    if beside is None or not beside.has_room:
        raise Refusal(
            409, "offers-too-many", f"this account has published {MAX_OFFERS} offers, the most"
        )
    if beside.is_contested:
        raise Refusal(
            409,
            "offer-contested",
            f"another open offer pays for {terms.outcome!r}, and one of the two is exclusive: "
            f"withdraw that one first",
        )


@public_router.get("/surfaces/{surface}/offers", responses=documented(404))
def offers(
    service: TheService,
    surface: SurfaceId,
    after: ProposalCursor | None = None,
    limit: Limit = 100,
) -> answers.Offers:
    """List a surface's standing offers, oldest first; those that have ended too."""
    after_ms, _, after_id = after.partition(".") if after else ("0", "", "0x")
    with service.database.transaction() as session:
        if policy_in_force(service, session, from_hex(surface)) is None:
            raise not_found("surface")
        rows = session.all(
            "api.offer_page",
            log_id=service.log_id,
            surface=from_hex(surface),
            after_ms=int(after_ms),
            after=from_hex(after_id),
            limit=limit,
        )
        found = _offers(service, session, surface, rows)
    return answers.Offers(
        offers=found,
        next=next_cursor(rows, limit, lambda last: f"{last.created_ms}.{to_hex(last.offer)}"),
    )


@router.post(
    "/surfaces/{surface}/offers/{offer}/withdraw", responses=documented(401, 403, 404, 409, OWNERS)
)
def withdraw(
    service: TheService, owner: Offerer, surface: SurfaceId, offer: OfferId
) -> answers.Offer:
    """Take an offer back. Contracts from it go on, and proposals from it are yours to decide."""
    with acting(service, owner) as session:
        own_surface(service, session, owner, surface)
        _known_offer(service, session, surface, from_hex(offer), "")
        session.run("api.withdraw_offer", log_id=service.log_id, offer=from_hex(offer))
        row = _known_offer(service, session, surface, from_hex(offer), "")
        return _offers(service, session, surface, [row])[0]


@router.post(
    "/surfaces/{surface}/offers/{offer}/drafts", responses=documented(401, 403, 404, 409, DEAL)
)
def draft(
    service: TheService,
    operator: Taker,
    surface: SurfaceId,
    offer: OfferId,
    body: bodies.OfferTaking,
) -> answers.Draft:
    """Make terms from an offer for yourself: sign them, and propose them with its `offer`."""
    with acting(service, operator) as session:
        row = _known_offer(service, session, surface, from_hex(offer), operator.account)
        frame = frame_of(service, session, from_hex(surface))
    opens_in_s = DAY_S if body.opens_in is None else _ends_in_s(body.opens_in)
    deal = _deal(service, row.terms)
    deal |= {
        "budget": body.budget or format_amount(row.next_budget_units, _decimals(service, row)),
        "opens_in": format_duration(opens_in_s),
        "closes_in": format_duration(opens_in_s + row.lasts_s),
    }
    deal["budget"] = str(deal["budget"]).replace(",", "")
    chosen = {"payee": body.payee, "agent_id": body.agent_id}
    made = draft_terms(
        deal | {key: value for key, value in chosen.items() if value is not None},
        frame,
        checksummed(operator.account),
        service.now_ms() // 1000,
        from_hex(body.salt) if body.salt else secrets.token_bytes(32),
    )
    return shown_draft(service, made, frame.policy)


def _first_budget(text: str | None, terms: Terms, decimals: int) -> int:
    """Return an operator's first budget: as told, or a tenth of the other, or one outcome."""
    if text is None:
        return min(terms.budget_units, max(terms.budget_units // 10, terms.unit_price_units, 1))
    try:
        units = parse_amount(text, decimals)
    except ValueError as error:
        raise DocumentError("first-budget-malformed", f"first_budget {error}") from None
    if not 0 < units <= terms.budget_units:
        raise DocumentError(
            "first-budget-range", f"first_budget {text} is not between nothing and the budget"
        )
    return units


def _ends_in_s(text: str) -> int:
    try:
        lasting_s = parse_duration_s(text)
    except ValueError as error:
        raise DocumentError("duration-malformed", f"the duration {error}") from None
    if lasting_s > MAX_LASTING_S:
        raise DocumentError(
            "duration-range", f"{text!r} is more than {format_duration(MAX_LASTING_S)}"
        )
    return lasting_s


def _known_offer(
    service: Service, session: Session, surface: str, offer: bytes, operator: str
) -> Row:
    row = session.one(
        "api.offer",
        log_id=service.log_id,
        surface=from_hex(surface),
        offer=offer,
        operator=operator,
    )
    if row is None:
        raise not_found("offer on this surface")
    return row


def _offers(
    service: Service, session: Session, surface: str, rows: Sequence[Row]
) -> list[answers.Offer]:
    """Return offers of one surface, each with how many leads its outcome can come from."""
    in_force = policy_in_force(service, session, from_hex(surface))
    counted = session.one("api.cohorts", log_id=service.log_id, surface=from_hex(surface))
    leads = Cohorts.from_document(counted.cohorts).counts() if counted else {}
    return [_offer(service, row, in_force, leads) for row in rows]


def _offer(
    service: Service, row: Row, in_force: Policy | None, leads: Mapping[str, int]
) -> answers.Offer:
    before = in_force.states_before(row.terms["outcome"]) if in_force else ()
    left = max(0, row.places - row.others)
    if row.withdrawn_ms is not None:
        status = "withdrawn"
    elif row.ends_ms <= service.now_ms():
        status = "ended"
    elif in_force is None or row.terms["policy"] != to_hex(in_force.hash):
        status = "lapsed"
    else:
        status = "open" if left else "taken"
    return answers.Offer.model_validate(
        {
            "offer": to_hex(row.offer),
            "surface": to_hex(row.surface),
            "owner": checksummed(row.owner),
            "status": status,
            "deal": _deal(service, row.terms),
            "terms": row.terms,
            "lasts_s": row.lasts_s,
            "first_budget_units": str(row.first_budget_units),
            "budget_units": str(row.budget_units),
            "places": row.places,
            "places_left": left,
            "leads": sum(leads.get(state, 0) for state in before),
            "level": row.level,
            "ends_ms": row.ends_ms,
            "created_ms": row.created_ms,
        }
    )


def _deal(service: Service, fixed: Mapping[str, Any]) -> dict[str, str | bool]:
    """Return the part of a deal that every contract from an offer has."""
    missing: dict[str, object] = {
        "operator": fixed["token"],
        "payee": fixed["token"],
        "budget_units": "0",
        "opens_at_s": 0,
        "deadline_s": 0,
        "agent_id_plus_one": "0",
        "salt": "0x" + "00" * 32,
    }
    terms = Terms.from_json({**fixed, **missing})
    complete = deal_of(terms, token_of(service, terms))
    left_out = ("payee", "budget", "opens_at", "closes_at", "agent_id")
    return {key: value for key, value in complete.items() if key not in left_out}


def _decimals(service: Service, row: Row) -> int:
    known = (one for one in service.info.tokens if one.address == row.terms["token"])
    return next(known).decimals
