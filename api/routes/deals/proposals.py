"""The routes of proposals: an operator proposes signed terms, and the owner signs them too.

The operator signs `OperatorConsent`, the owner `OwnerConsent` for a budget that is paid from its
allowance; neither signs the contract's bare id. The pipeline opens it on chain; once it is in the
log it is a contract, public like all of them.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.auth import Caller, acting, check_surface, needs
from api.http.fields import ContractId, Limit, ProposalCursor, SurfaceId
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.deals import answers, bodies
from api.routes.deals.drafts import (
    find_cautions,
    frame_of,
    owner_consent,
    policy_in_force,
    shown_draft,
    token_of,
)
from api.routes.deals.proposal_checks import (
    check_funds,
    check_level,
    check_not_suspended,
    check_openable,
    check_room,
    check_servable,
    check_signature,
    lacking_funds,
    promised_by_owner,
)
from api.routes.surfaces.owners import own_surface
from api.rules import BOUND, DEAL, OWNERS, PROPOSED, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.deal import changes_between, deal_of, draft_terms
from orchestrator.core.deals.sentences import sentences_of
from orchestrator.core.deals.site import TokenInfo, pays_opening
from orchestrator.core.deals.terms import (
    Terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
)
from orchestrator.storage.database import DatabaseError, Row, Session
from orchestrator.storage.sql.sqlstates import UNBOUND

# A deal may say a term by another key.
_SAME = {"opens_in": "opens_at", "closes_in": "closes_at", "at_most": "budget"}

Proposer = Annotated[Caller, needs("operator:propose")]
Reviewer = Annotated[Caller, needs("owner:review")]
OwnerReader = Annotated[Caller, needs("owner:read", "owner:review")]
Reader = Annotated[Caller, needs("operator:read", "operator:propose", "owner:read", "owner:review")]

router = APIRouter(prefix="/v1", tags=["contracts"], route_class=StrictRoute)
_UNDECIDED = rules(409, "proposal-decided")
_PARTY = rules(403, "not-the-party")


@router.post(
    "/proposals",
    status_code=201,
    responses=documented(
        401,
        403,
        404,
        409,
        PROPOSED,
        BOUND,
        rules(403, "not-the-operator operator-suspended"),
        rules(409, "proposal-limit"),
        rules(422, "opens-too-late"),
    ),
)
def propose(service: TheService, operator: Proposer, body: bodies.NewProposal) -> answers.Proposal:
    """Propose a contract. The same terms again are the same proposal."""
    terms = Terms.from_json(body.terms.model_dump())
    if terms.operator.lower() != operator.account:
        raise Refusal(403, "not-the-operator", f"operator is {terms.operator}, but you are not")
    check_surface(operator, terms.surface)
    digest = contract_id(terms, service.escrow_domain)
    with acting(service, operator) as session:
        earlier = _find_proposal(service, session, operator, digest)
        if earlier is not None:
            return _proposal(service, earlier)
        check_servable(service, session, terms)
        check_not_suspended(service, session, operator, terms.surface)
        if body.offer is not None:
            check_level(service, session, operator, terms.surface, from_hex(body.offer))
    # An ERC-1271 check asks the chain, so no transaction is held open across it.
    signature = from_hex(body.operator_signature)
    consent = operator_consent_digest(terms, service.escrow_domain)
    check_signature(service, "operator_signature", terms.operator, consent, signature)
    answered = None if body.answers is None else from_hex(body.answers)
    with _binding(), acting(service, operator) as session:
        check_room(service, session, operator, terms, answered)
        session.run(
            "api.add_proposal",
            log_id=service.log_id,
            contract_id=digest,
            surface=terms.surface,
            operator=operator.account,
            owner=terms.owner.lower(),
            terms=canonical_json(terms.to_json()).decode(),
            operator_signature=signature,
            now_ms=service.now_ms(),
            answers=answered,
            offer=None if body.offer is None else from_hex(body.offer),
        )
        return _proposal(service, _known_proposal(service, session, operator, digest))


@router.get("/proposals", responses=documented(401, 403))
def proposals(
    service: TheService,
    caller: Reader,
    after: ProposalCursor | None = None,
    limit: Limit = 100,
) -> answers.Proposals:
    """List the caller's proposals: as operator, as owner or as both, as the key's scopes say."""
    return _proposal_page(
        service,
        caller,
        after,
        limit,
        operator=caller.account if caller.is_operator else None,
        owner=caller.account if caller.is_owner else None,
    )


@router.get("/surfaces/{surface}/proposals", responses=documented(401, 403, 404, OWNERS))
def surface_proposals(
    service: TheService,
    owner: OwnerReader,
    surface: SurfaceId,
    after: ProposalCursor | None = None,
    limit: Limit = 100,
) -> answers.Proposals:
    """List the proposals for a surface, to its owner."""
    with acting(service, owner) as session:
        own_surface(service, session, owner, surface)
    return _proposal_page(
        service, owner, after, limit, owner=owner.account, operator=None, surface=from_hex(surface)
    )


@router.get("/proposals/{contract}", responses=documented(401, 403, 404))
def proposal(service: TheService, caller: Reader, contract: ContractId) -> answers.ReviewedProposal:
    """Return a proposal, to its parties, with what to look at before it is signed."""
    digest = from_hex(contract)
    with acting(service, caller) as session:
        row = _known_proposal(service, session, caller, digest)
        log = {"log_id": service.log_id}
        next_ = session.one("api.next_version", **log, contract_id=digest)
        answered = session.one("api.counter", **log, contract_id=digest)
        before = row.answers and _find_proposal(service, session, caller, row.answers)
        offered = row.offer and session.one(
            "api.offer", **log, surface=row.surface, offer=row.offer, operator=row.operator
        )
        in_force = policy_in_force(service, session, bytes(row.surface))
    found, terms = _proposal(service, row), Terms.from_json(row.terms)
    token = token_of(service, terms)
    # The chain is asked, so no transaction is held open across it.
    is_open = found.status == "proposed"
    return answers.ReviewedProposal(
        **found.model_dump(),
        sentences=sentences_of(terms, token),
        deal=deal_of(terms, token),
        cautions=list(find_cautions(service, terms, in_force)) if is_open else None,
        since_answered=_changes(before.terms, row.terms, token) if before else None,
        since_offer=_changes(row.terms | offered.terms, row.terms, token) if offered else None,
        counter=answered.terms if answered else None,
        counter_changes=_changes(row.terms, answered.terms, token) if answered else None,
        answered_by=to_hex(next_.contract_id) if next_ else None,
    )


@contextmanager
def _binding() -> Iterator[None]:
    """Turn what the database refuses to bind to an offer or an earlier version into a refusal."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate != UNBOUND:
            raise
        code, reason = error.diag.message_primary, error.diag.message_detail
        raise Refusal(409, str(code), str(reason)) from None


def _changes(
    before: Mapping[str, object], after: Mapping[str, object], token: TokenInfo
) -> list[answers.TermChange]:
    """Return what differs between two versions of terms, in plain units."""
    found = changes_between(Terms.from_json(before), Terms.from_json(after), token)
    return [answers.TermChange(**one._asdict()) for one in found]


@router.get(
    "/proposals/{contract}/acceptance", responses=documented(401, 403, 404, 409, _UNDECIDED)
)
def acceptance(service: TheService, owner: OwnerReader, contract: ContractId) -> answers.Acceptance:
    """Return what the owner of a proposal signs to accept it, and whether it can pay."""
    with acting(service, owner) as session:
        row = _known_proposal(service, session, owner, from_hex(contract))
        _check_undecided(service, row)
        terms = Terms.from_json(row.terms)
        promised = promised_by_owner(service, session, terms)
    consent = owner_consent(service, terms)
    lacking = lacking_funds(service, terms, promised)
    return answers.Acceptance(**consent.model_dump(), lacking=lacking)


@router.post(
    "/proposals/{contract}/accept",
    responses=documented(
        401,
        403,
        404,
        409,
        OWNERS,
        PROPOSED,
        _UNDECIDED,
        rules(409, "funds-short wallet-undeployed"),
    ),
)
def accept(
    service: TheService, owner: Reviewer, contract: ContractId, body: bodies.Acceptance
) -> answers.Proposal:
    """Sign a proposal as the surface's owner; the service then opens it on chain."""
    digest, signature = from_hex(contract), from_hex(body.owner_signature)
    with acting(service, owner) as session:
        row = _known_proposal(service, session, owner, digest)
        if row.owner != owner.account:
            raise Refusal(403, "not-the-owner", "only the surface's owner accepts a proposal")
        if row.owner_signature == signature:
            return _proposal(service, row)
        _check_undecided(service, row)
        terms = Terms.from_json(row.terms)
        check_servable(service, session, terms)
        promised = promised_by_owner(service, session, terms)
    check_funds(service, terms, promised)
    consent = owner_consent_digest(terms, service.escrow_domain)
    check_signature(service, "owner_signature", terms.owner, consent, signature)
    check_openable(service, "owner_signature", terms.owner, consent, signature)
    offered = operator_consent_digest(terms, service.escrow_domain)
    check_openable(
        service, "operator_signature", terms.operator, offered, bytes(row.operator_signature)
    )
    with acting(service, owner) as session:
        changed = session.run(
            "api.accept_proposal",
            log_id=service.log_id,
            contract_id=digest,
            account=owner.account,
            owner_signature=signature,
            now_ms=service.now_ms(),
        )
        row = _known_proposal(service, session, owner, digest)
        # Another request may have decided it since it was read.
        if not changed:
            _check_undecided(service, row)
        return _proposal(service, row)


@router.post(
    "/proposals/{contract}/decline", responses=documented(401, 403, 404, 409, _PARTY, _UNDECIDED)
)
def decline(service: TheService, owner: Reviewer, contract: ContractId) -> answers.Proposal:
    """Turn a proposal down as the surface's owner."""
    return _end(service, owner, from_hex(contract), "api.decline_proposal", "declined_ms")


@router.post(
    "/proposals/{contract}/withdraw", responses=documented(401, 403, 404, 409, _PARTY, _UNDECIDED)
)
def withdraw(service: TheService, operator: Proposer, contract: ContractId) -> answers.Proposal:
    """Take your proposal back, before the owner has decided it.

    The consent that you signed stays good on chain until it is revoked there.
    """
    return _end(service, operator, from_hex(contract), "api.withdraw_proposal", "withdrawn_ms")


@router.post(
    "/proposals/{contract}/counter",
    responses=documented(401, 403, 404, 409, OWNERS, DEAL, _UNDECIDED),
)
def counter(
    service: TheService, owner: Reviewer, contract: ContractId, body: bodies.NewCounter
) -> answers.Draft:
    """Answer a proposal with the terms that you would sign instead; it is declined by that.

    The answer is not signed: the operator signs and proposes it, and then you accept.
    """
    digest = from_hex(contract)
    with acting(service, owner) as session:
        row = _known_proposal(service, session, owner, digest)
        if row.owner != owner.account:
            raise Refusal(403, "not-the-owner", "an operator answers by another proposal")
        _check_undecided(service, row)
        frame = frame_of(service, session, bytes(row.surface))
    prior = Terms.from_json(row.terms)
    told = body.deal.model_dump(by_alias=True, exclude_none=True)
    named = told.keys() | {_SAME.get(key, key) for key in told}
    # What the answer does not speak of stays as it was proposed.
    kept = {
        key: value
        for key, value in deal_of(prior, token_of(service, prior)).items()
        if key not in named
    }
    operator, salt = prior.operator, secrets.token_bytes(32)
    made = draft_terms(kept | told, frame, operator, service.now_ms() // 1000, salt)
    with acting(service, owner) as session:
        changed = session.run(
            "api.decline_proposal",
            log_id=service.log_id,
            contract_id=digest,
            account=owner.account,
            now_ms=service.now_ms(),
        )
        if not changed:
            _check_undecided(service, _known_proposal(service, session, owner, digest))
            raise Refusal(409, "proposal-decided", "this proposal was decided meanwhile")
        session.run(
            "api.add_counter",
            log_id=service.log_id,
            contract_id=digest,
            terms=canonical_json(made.terms.to_json()).decode(),
            now_ms=service.now_ms(),
        )
    return shown_draft(service, made, frame.policy)


def _end(
    service: Service, caller: Caller, digest: bytes, query: str, column: str
) -> answers.Proposal:
    """End a proposal by a query of one party, which sets this column; once more changes nothing."""
    with acting(service, caller) as session:
        row = _known_proposal(service, session, caller, digest)
        if getattr(row, column) is None:
            changed = session.run(
                query,
                log_id=service.log_id,
                contract_id=digest,
                account=caller.account,
                now_ms=service.now_ms(),
            )
            row = _known_proposal(service, session, caller, digest)
            if not changed:
                _check_undecided(service, row)
                raise Refusal(403, "not-the-party", "this is for the other party to do")
        return _proposal(service, row)


def _optional_hex(signature: bytes | None) -> str | None:
    # An empty signature is one: a wallet may have signed on chain.
    return None if signature is None else to_hex(signature)


def _check_undecided(service: Service, row: Row) -> None:
    status = _status(service, row)
    if status != "proposed":
        raise Refusal(409, "proposal-decided", f"this proposal is {status} already")


def _status(service: Service, row: Row) -> str:
    if row.is_opened:
        return "opened"
    if row.declined_ms is not None:
        return "declined"
    if row.withdrawn_ms is not None:
        return "withdrawn"
    if row.terms["policy"] != to_hex(row.policy_hash):
        return "lapsed"
    if row.terms["opens_at_s"] * 1000 <= service.now_ms():
        return "expired"
    return "proposed" if row.accepted_ms is None else "accepted"


def _proposal(service: Service, row: Row) -> answers.Proposal:
    is_ours = pays_opening(service.info.tokens, Terms.from_json(row.terms), service.limits)
    status = _status(service, row)
    return answers.Proposal.model_validate(
        {
            "contract_id": to_hex(row.contract_id),
            "status": status,
            "terms": row.terms,
            "operator_signature": to_hex(row.operator_signature),
            "owner_signature": _optional_hex(row.owner_signature),
            "answers": None if row.answers is None else to_hex(row.answers),
            "version": row.version,
            "offer": None if row.offer is None else to_hex(row.offer),
            "created_ms": row.created_ms,
            "accepted_ms": row.accepted_ms,
            "declined_ms": row.declined_ms,
            "withdrawn_ms": row.withdrawn_ms,
            "opened_by": "service" if is_ours else "parties",
            "opening": _opening(row, status),
        }
    )


def _opening(row: Row, status: str) -> answers.OpeningState | None:
    if row.tries is None:
        return None
    # What has been opened, or cannot be any more, is looked at no more.
    next_ms = row.next_ms if status == "accepted" else None
    waits_for = row.waits_for if status == "accepted" else None
    return answers.OpeningState(
        tries=row.tries, reason=row.opening_reason, waits_for=waits_for, next_ms=next_ms
    )


def _find_proposal(service: Service, session: Session, caller: Caller, digest: bytes) -> Row | None:
    return session.one(
        "api.proposal", log_id=service.log_id, contract_id=digest, account=caller.account
    )


def _known_proposal(service: Service, session: Session, caller: Caller, digest: bytes) -> Row:
    row = _find_proposal(service, session, caller, digest)
    if row is None:
        raise not_found("proposal of yours")
    check_surface(caller, bytes(row.surface))
    return row


def _proposal_page(
    service: Service,
    caller: Caller,
    after: str | None,
    limit: int,
    *,
    operator: str | None,
    owner: str | None,
    surface: bytes | None = None,
) -> answers.Proposals:
    after_ms, _, after_id = after.partition(".") if after else ("0", "", "0x")
    with acting(service, caller) as session:
        rows = session.all(
            "api.proposal_page",
            log_id=service.log_id,
            operator=operator,
            owner=owner,
            surface=surface,
            after_ms=int(after_ms),
            after=from_hex(after_id),
            limit=limit,
        )
    return answers.Proposals(
        proposals=[_proposal(service, row) for row in rows],
        next=next_cursor(rows, limit, lambda last: f"{last.created_ms}.{to_hex(last.contract_id)}"),
    )
