"""The agent cards (A2A) of the service, of surfaces and of operators, signed by the service's key.

They say nothing that the directory, offers and public profiles do not, in the form that agents of
other systems look for. An operator's name stands on its card only if its profile says so.
"""

from collections.abc import Iterator

from fastapi import APIRouter, Response
from pydantic import JsonValue

from api.context import Service, TheService
from api.http.fields import OperatorAddress, SurfaceId, checksummed
from api.http.problems import documented, not_found
from api.routes.deals import offers
from api.routes.public_route import PublicRoute
from api.routes.records import directory, directory_answers
from orchestrator.core.account.agent_card import KEYS_PATH, Card, CardSkill, card_of
from orchestrator.core.log.entry import address_word
from orchestrator.storage.database import Row

# Cards change with offers and profiles, and may be a little older.
CACHED = "public, max-age=300"
MAX_OFFERS = 20

Answer = dict[str, JsonValue]

own_router = APIRouter(route_class=PublicRoute, include_in_schema=False)
router = APIRouter(prefix="/v1", tags=["directory"], route_class=PublicRoute)

_SKILLS = (
    CardSkill(
        "find-work",
        "Find surfaces and offers",
        "Lists companies' growth surfaces with their standing offers, and how they keep contracts.",
        ("directory", "offers"),
    ),
    CardSkill(
        "contract",
        "Propose outcome contracts",
        "Drafts a deal in words, takes terms that a wallet has signed, and says what they cost.",
        ("contracts", "escrow"),
    ),
    CardSkill(
        "act",
        "Act on leads",
        "Forecasts, touches and requested actions on leads, as far as an operator's level allows.",
        ("leads", "forecasts"),
    ),
    CardSkill(
        "explain",
        "Say why something is paid, or is not",
        "Answers with reasons from the public log and the chain, each with the entries behind it.",
        ("proof", "receipts"),
    ),
)


@own_router.get(KEYS_PATH)
def keys(service: TheService, response: Response) -> dict[str, list[dict[str, str]]]:
    """Return the public key that signs cards (RFC 7517)."""
    response.headers["Cache-Control"] = CACHED
    return {"keys": [] if service.info.cards is None else [service.info.cards.jwk]}


@own_router.get("/.well-known/agent-card.json")
def service_card(service: TheService, response: Response) -> Answer:
    """Return the card of the service itself."""
    origin = service.info.origin
    return _signed(
        service,
        response,
        card_of(
            url=service.info.public_url,
            provider=origin,
            name=f"Tallystick {origin}",
            description="Pays autonomous agents for outcomes that a public log can prove.",
            skills=_SKILLS,
            record=_deployment(service),
            page="/v1/log",
        ),
    )


@router.get("/surfaces/{surface}/agent-card.json", responses=documented(404))
def surface_card(service: TheService, surface: SurfaceId, response: Response) -> Answer:
    """Return a surface's agent card (A2A): its motions and standing offers, signed by us."""
    found = directory.surfaces(service, surfaces=surface).surfaces
    if not found:
        raise not_found("surface")
    (listed,) = found
    record = {**_deployment(service), "surface": surface, "owner": listed.owner}
    return _signed(
        service,
        response,
        card_of(
            url=service.info.public_url,
            provider=service.info.origin,
            name=listed.name or surface,
            description="A company's growth surface: it pays agents for outcomes by contract.",
            skills=[*_offered(service, surface), *_motions(listed)],
            record=record,
            page=f"/v1/surfaces/{surface}/totals",
        ),
    )


@router.get("/operators/{operator}/agent-card.json", responses=documented(404))
def operator_card(service: TheService, operator: OperatorAddress, response: Response) -> Answer:
    """Return an operator's agent card (A2A): its record, and what it says of itself, signed by us.

    What it says of itself is there only if its profile is public.
    """
    account = checksummed(operator.lower())
    with service.database.transaction() as session:
        known = session.one("api.operator", log_id=service.log_id, operator=address_word(account))
        said = session.one("api.carded_profile", account=account.lower())
    if known is None and said is None:
        raise not_found("operator in the log, or with a public profile")
    agent = "" if said is None or said.agent_id is None else str(said.agent_id)
    record = {**_deployment(service), "wallet": account, "erc8004AgentId": agent}
    return _signed(
        service,
        response,
        card_of(
            url=service.info.public_url,
            provider=service.info.origin,
            name=account if said is None else said.display_name,
            description=f"An operator on growth surfaces, with the wallet {account}.",
            skills=list(_stated(said)),
            record=record,
            page=f"/v1/operators/{account}/record",
        ),
    )


def _signed(service: Service, response: Response, card: Card) -> Answer:
    response.headers["Cache-Control"] = CACHED
    return card if service.info.cards is None else service.info.cards.sign(card)


def _deployment(service: Service) -> dict[str, str]:
    escrow = service.escrow_domain
    chain = f"eip155:{escrow.chain_id}"
    return {
        "log": f"0x{service.log_id.hex()}",
        "escrow": f"{chain}:{escrow.verifying_contract}",
        "eventLog": f"{chain}:{service.event_log_domain.verifying_contract}",
    }


def _offered(service: Service, surface: str) -> Iterator[CardSkill]:
    for one in offers.offers(service, surface, None, MAX_OFFERS).offers:
        if one.status == "open":
            deal = one.deal
            price = deal["share"] if deal["share"] != "0 %" else f"{deal['price']} {deal['token']}"
            yield CardSkill(
                one.offer,
                f"Pays {price} for {deal['outcome']}",
                f"A standing offer with {one.places_left} places left, from level {one.level} on.",
                ("offer", str(deal["outcome"])),
            )


def _motions(listed: directory_answers.ListedSurface) -> Iterator[CardSkill]:
    for motion in listed.motions:
        yield CardSkill(
            motion,
            motion.capitalize(),
            f"Contracts may be proposed for outcomes of this motion: {motion}.",
            ("motion", motion),
        )


def _stated(said: Row | None) -> Iterator[CardSkill]:
    yield CardSkill(
        "record",
        "A record that the log proves",
        "Outcomes, reversals and forecasts, each with the entries of the log behind it.",
        ("record",),
    )
    for capability in () if said is None else said.capabilities:
        description = f"By its own word, which nothing here proves: {capability}."
        yield CardSkill(capability, capability, description, ("stated",))
