"""The routes that answer why: of touches, outcomes, leads, contracts, levels and requests.

All but the last need no key: they are computed from the public log alone, so a stranger with the
entries comes to the same answers. What an answer reads is bounded, and it says where it was cut.
"""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from api.context import Service, TheService
from api.http.auth import AnyCaller, acting
from api.http.fields import Address, ContractId, Position, SurfaceId, Word
from api.http.json_input import StrictRoute
from api.http.problems import documented, not_found
from api.routes.public_route import PublicRoute
from api.routes.records import answers, receipts
from api.rules import WHY, rules
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.log.entry import address_word
from orchestrator.core.why.contract import why_contract
from orchestrator.core.why.lead import why_lead
from orchestrator.core.why.level import why_level
from orchestrator.core.why.outcome import why_outcome
from orchestrator.core.why.reason import Reason
from orchestrator.core.why.refusal import Decided, why_request
from orchestrator.core.why.source import Source
from orchestrator.core.why.touch import why_action, why_touch
from orchestrator.log import inbox
from orchestrator.log.stored_records import StoredRecords

router = APIRouter(prefix="/v1", tags=["why"], route_class=PublicRoute)
own_router = APIRouter(prefix="/v1", tags=["why"], route_class=StrictRoute)

Lead = Annotated[Word, Path(description="A lead's pseudonym.")]
OperatorAddress = Annotated[Address, Path(description="An operator's address.")]


@router.get("/contracts/{contract}/why", responses=documented(404, WHY))
def contract(service: TheService, contract: ContractId) -> answers.ReasonTree:
    """Return what a contract has come to, what it can still earn, and what stands against it."""
    return _answer(service, lambda source: why_contract(source, from_hex(contract)))


@router.get(
    "/outcomes/{position}/why", responses=documented(404, WHY, rules(404, "not-an-outcome"))
)
def outcome(service: TheService, position: Position) -> answers.ReasonTree:
    """Return what an outcome follows from, how its amount is made, and how far it is paid."""
    return _answer(service, lambda source: why_outcome(source, position))


@router.get(
    "/touches/{position}/why",
    responses=documented(404, WHY, rules(404, "not-a-touch history-too-long")),
)
def touch(service: TheService, position: Position) -> answers.ReasonTree:
    """Return what a touch won, what it can still win, and what barred it elsewhere."""
    return _answer(service, lambda source: why_touch(source, position))


@router.get("/actions/{position}/why", responses=documented(404, WHY, rules(404, "not-an-action")))
def action(service: TheService, position: Position) -> answers.ReasonTree:
    """Return what became of an action that was requested of a surface, and why."""
    return _answer(service, lambda source: why_action(source, position))


@router.get(
    "/surfaces/{surface}/leads/{lead}/why", responses=documented(404, WHY, rules(404, "not-a-step"))
)
def lead(service: TheService, surface: SurfaceId, lead: Lead) -> answers.ReasonTree:
    """Return a lead's path, what each step of it paid, and what barred every contract."""
    return _answer(service, lambda source: why_lead(source, from_hex(surface), from_hex(lead)))


@router.get(
    "/surfaces/{surface}/operators/{operator}/why",
    responses=documented(404, WHY, rules(404, "settings-unknown")),
)
def level(service: TheService, surface: SurfaceId, operator: OperatorAddress) -> answers.ReasonTree:
    """Return an operator's level on a surface, what counted, and what raises or loses it."""
    word = address_word(operator)
    return _answer(service, lambda source: why_level(source, from_hex(surface), word))


@own_router.get("/requests/{request_id}/why", responses=documented(401, 403, 404))
def request(service: TheService, caller: AnyCaller, request_id: UUID) -> answers.ReasonTree:
    """Return why a request that this account made came to its fate, and what would change it."""
    with acting(service, caller) as session:
        found = inbox.results_of(session, service.log_id, [request_id]).get(request_id)
        row = session.one("api.request_kind", log_id=service.log_id, request_id=request_id)
    if found is None or row is None:
        raise not_found("request of yours")
    decided = Decided(
        row.kind,
        found.status,
        found.first_position,
        found.entries or 0,
        found.code,
        found.message,
    )
    return answers.ReasonTree.model_validate(why_request(decided).to_json())


def _answer(service: Service, ask: Callable[[Source], Reason]) -> answers.ReasonTree:
    """Return an answer from the stored log, as of one transaction."""
    with service.database.transaction() as session:
        source = StoredRecords(
            session,
            service.log_id,
            service.now_ms(),
            {address_word(token.address): token for token in service.info.tokens},
            lambda position: receipts.is_anchored(service, session, position),
        )
        return answers.ReasonTree.model_validate(ask(source).to_json())
