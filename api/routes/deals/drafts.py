"""The routes of drafts: a short deal becomes complete terms, ready to be signed, and sentences."""

import secrets
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter

from api.context import Service, TheService
from api.http.auth import Caller, acting, needs
from api.http.fields import SurfaceId, address, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.deals import answers, bodies
from api.rules import DEAL, rules
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import format_second
from orchestrator.core.deals.deal import Draft, Frame, deal_of, draft_terms
from orchestrator.core.deals.prospects import find_prospects
from orchestrator.core.deals.sentences import operator_sentences, owner_sentences, sentences_of
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import (
    Terms,
    contract_id,
    operator_consent_digest,
    operator_consent_typed_data,
    owner_consent_digest,
    owner_consent_typed_data,
)
from orchestrator.core.log.entry import address_word
from orchestrator.core.surface import policy, surface_settings
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import DealDefaults
from orchestrator.core.why.reason import amount
from orchestrator.core.world.contract import goes_before, rules_of
from orchestrator.log.projections import contract_of
from orchestrator.storage.database import Session

# The most contracts beside terms that a caution is given of.
_MOST_BESIDE = 5

Drafter = Annotated[Caller, needs("operator:propose", "owner:review")]

router = APIRouter(prefix="/v1", tags=["contracts"], route_class=StrictRoute)


@router.post(
    "/surfaces/{surface}/drafts",
    responses=documented(401, 403, 404, DEAL, rules(422, "operator-unnamed")),
)
def draft(
    service: TheService, caller: Drafter, surface: SurfaceId, body: bodies.NewDraft
) -> answers.Draft:
    """Make complete terms of a short deal, in plain words and as typed data; nothing is kept."""
    with acting(service, caller) as session:
        frame = frame_of(service, session, from_hex(surface))
    return make_draft(service, frame, drafting_operator(caller, body.operator), body)


def drafting_operator(caller: Caller, named: str | None) -> str:
    """Return the operator of a draft: the one that is named, or the caller itself."""
    if named is not None:
        return named
    if not caller.is_operator:
        raise Refusal(422, "operator-unnamed", "an owner's draft must name its 'operator'")
    return checksummed(caller.account)


def make_draft(
    service: Service, frame: Frame, operator: str, body: bodies.NewDraft
) -> answers.Draft:
    """Return the draft of a short deal."""
    made = draft_terms(
        body.deal.model_dump(by_alias=True, exclude_none=True),
        frame,
        operator,
        service.now_ms() // 1000,
        from_hex(body.salt) if body.salt else secrets.token_bytes(32),
    )
    return shown_draft(service, made, frame.policy)


def shown_draft(service: Service, made: Draft, in_force: Policy) -> answers.Draft:
    """Return a draft with all that its signers sign, and read."""
    terms, token, domain = made.terms, made.token, service.escrow_domain
    return answers.Draft.model_validate(
        {
            "contract_id": to_hex(contract_id(terms, domain)),
            "terms": terms.to_json(),
            "deal": deal_of(terms, token),
            "defaults": [one._asdict() for one in made.defaults],
            "sentences": sentences_of(terms, token),
            "cautions": list(find_cautions(service, terms, in_force)),
            "operator": operator_consent(service, terms),
            "owner": owner_consent(service, terms),
        }
    )


def operator_consent(service: Service, terms: Terms) -> answers.Consent:
    """Return what an operator signs."""
    domain = service.escrow_domain
    return answers.Consent(
        digest=to_hex(operator_consent_digest(terms, domain)),
        typed_data=_json(operator_consent_typed_data(terms, domain)),
        sentences=operator_sentences(terms, token_of(service, terms)),
        costs_at_most_units="0",
    )


def owner_consent(service: Service, terms: Terms) -> answers.Consent:
    """Return what an owner signs."""
    domain = service.escrow_domain
    return answers.Consent(
        digest=to_hex(owner_consent_digest(terms, domain)),
        typed_data=_json(owner_consent_typed_data(terms, domain)),
        sentences=owner_sentences(terms, token_of(service, terms), domain),
        costs_at_most_units=str(terms.budget_units),
    )


def find_cautions(service: Service, terms: Terms, in_force: Policy | None) -> Iterator[str]:
    """Yield all that a signer should look at; `in_force` is the policy of the surface.

    The terms and the policy tell some of it, the chain the rest: no transaction is held open here.
    """
    now_s = service.now_ms() // 1000
    yield from find_prospects(terms, in_force, token_of(service, terms), now_s)
    yield from _taken_first(service, terms)
    try:
        yield from service.cautions_of(terms)
    except ChainError:
        yield "the chain cannot be asked about the accounts in these terms now: look again later"


def _taken_first(service: Service, terms: Terms) -> Iterator[str]:
    """Yield the live contracts of the same operator that take outcomes before these terms do."""
    later, now_ms = rules_of(terms, b""), service.now_ms()
    tokens = {address_word(token.address): token for token in service.info.tokens}
    with service.database.transaction() as session:
        rows = session.all(
            "api.contracts_beside",
            log_id=service.log_id,
            operator=later.operator,
            surface=later.surface,
            outcome=later.outcome,
            now_ms=now_ms,
            limit=_MOST_BESIDE,
        )
    for contract in map(contract_of, rows):
        rules = contract.rules
        if goes_before(contract, later, now_ms):
            left_units = max(0, rules.budget_units - contract.payable_units)
            yield (
                f"the operator's contract {to_hex(rules.contract_id)} for the same outcome is open "
                f"until {format_second(rules.deadline_ms // 1000)} and takes outcomes first "
                f"({amount(left_units, rules.token, tokens)} of its budget is left, and it takes "
                f"them even without): until then this one earns nothing of a lead that both can "
                f"count"
            )


def frame_of(service: Service, session: Session, surface: bytes) -> Frame:
    """Return what a surface and this service set of terms. Raises `Refusal` if it is unknown."""
    row = session.one("api.surface_settings", log_id=service.log_id, surface=surface)
    if row is None:
        raise not_found("surface")
    in_force = policy_in_force(service, session, surface)
    if in_force is None:
        raise not_found("surface")
    usual = surface_settings.parse_settings(row.settings).deals if row.settings else DealDefaults()
    info = service.info
    return Frame(
        owner=address(row.owner),
        log_id=service.log_id,
        surface=surface,
        policy=in_force,
        verifier=info.verifier,
        fee_bps=info.fee_bps,
        fee_recipient=info.fee_recipient,
        tokens=info.tokens,
        escrow=service.escrow_domain.verifying_contract,
        usual=usual,
    )


def policy_in_force(service: Service, session: Session, surface: bytes) -> Policy | None:
    """Return the policy that governs a surface now; None for a surface that the log has not."""
    row = session.one("api.surface", log_id=service.log_id, surface=surface)
    found = row and session.one("log.policy", log_id=service.log_id, hash=row.policy_hash)
    return policy.parse(found.document) if found else None


def token_of(service: Service, terms: Terms) -> TokenInfo:
    """Return the token of terms; one that we do not know counts in its base units."""
    known = (token for token in service.info.tokens if token.address == terms.token)
    return next(known, TokenInfo(terms.token, "base units", 0))


def _json(typed_data: dict[str, Any]) -> dict[str, Any]:
    return typed_data
