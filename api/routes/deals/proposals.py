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
from api.routes.surfaces.operators import terms_parameters
from api.routes.surfaces.owners import own_surface
from api.routes.surfaces.trust import levels_of
from api.rules import BOUND, DEAL, OWNERS, PROPOSED, rules
from orchestrator.core.account.wallet_signature import unwrap
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import TermsError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.deal import changes_between, deal_of, draft_terms
from orchestrator.core.deals.sentences import sentences_of
from orchestrator.core.deals.site import TokenInfo, pays_opening
from orchestrator.core.deals.terms import (
    SET_BY_SURFACE,
    Terms,
    check_terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
    recover,
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
        _check_terms(service, session, terms)
        # Any level will do, level 0 too.
        standing = session.one(
            "api.standing",
            log_id=service.log_id,
            surface=terms.surface,
            operator=operator.word,
        )
        if standing is not None and standing.is_suspended:
            raise Refusal(
                403,
                "operator-suspended",
                "the surface's owner has suspended you there; ask the owner to restore you first",
            )
        if body.offer is not None:
            _check_level(service, session, operator, terms.surface, from_hex(body.offer))
    # An ERC-1271 check asks the chain, so no transaction is held open across it.
    signature = from_hex(body.operator_signature)
    consent = operator_consent_digest(terms, service.escrow_domain)
    _check_signature(service, "operator_signature", terms.operator, consent, signature)
    answered = None if body.answers is None else from_hex(body.answers)
    with binding(), acting(service, operator) as session:
        _check_room(service, session, operator, terms, answered)
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


def _check_level(
    service: Service, session: Session, operator: Caller, surface: bytes, offer: bytes
) -> None:
    """Refuse a taker of an offer whose level is too low, be it that the log does not say so yet.

    What is lost stands in the log from the operator's next act on, and so does what is earned:
    then it is to ask for a judgement. The database compares what the log says once more.
    """
    row = session.one(
        "api.offer",
        log_id=service.log_id,
        surface=surface,
        offer=offer,
        operator=operator.account,
    )
    if row is None:
        return
    level, due = levels_of(session, service.log_id, surface, operator.word, service.now_ms())
    if min(level, due) >= row.level:
        return
    hint = ""
    if level != due:
        hint = f"; a judgement now gives you {due}" + (
            f", so ask for one: POST /v1/surfaces/{to_hex(surface)}/judgements"
            if due >= row.level
            else ""
        )
    raise Refusal(
        409,
        "level-too-low",
        f"the offer is for level {row.level} and above, and you have {level}{hint}",
    )


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
def binding() -> Iterator[None]:
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
        promised = _promised(service, session, terms)
    consent = owner_consent(service, terms)
    lacking = _lacking(service, terms, promised)
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
        _check_terms(service, session, terms)
        promised = _promised(service, session, terms)
    _check_funds(service, terms, promised)
    consent = owner_consent_digest(terms, service.escrow_domain)
    _check_signature(service, "owner_signature", terms.owner, consent, signature)
    _check_openable(service, "owner_signature", terms.owner, consent, signature)
    offered = operator_consent_digest(terms, service.escrow_domain)
    _check_openable(
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


def _check_terms(service: Service, session: Session, terms: Terms) -> None:
    """Raise unless the escrow may open these terms, and this service and surface can serve them."""
    row = session.one("api.surface", log_id=service.log_id, surface=terms.surface)
    if row is None:
        raise not_found("surface")
    # The escrow refuses an opening time that has passed; the block that opens it is yet to come.
    check_terms(terms, service.now_ms() // 1000 + 1, service.escrow_domain.verifying_contract)
    wanted = terms_parameters(service, row).model_dump()
    proposed = terms.to_json()
    for name in SET_BY_SURFACE:
        if proposed[name] != wanted[name]:
            raise TermsError(
                f"{name.replace('_', '-')}-differs",
                f"{name} is {proposed[name]}; contracts on this surface need {wanted[name]}",
            )
    tokens = [token.address for token in service.info.tokens]
    if terms.token not in tokens:
        raise TermsError("token-unknown", f"token is {terms.token}; we take {', '.join(tokens)}")
    policy = session.one("log.policy", log_id=service.log_id, hash=row.policy_hash)
    states = {move["to"] for move in policy.document["transitions"]} if policy else set()
    if terms.outcome not in states:
        raise TermsError("outcome-unknown", f"no transition leads into {terms.outcome!r}")


def _check_room(
    service: Service, session: Session, operator: Caller, terms: Terms, answered: bytes | None
) -> None:
    """Raise `Refusal` if the operator has as many proposals open as it may, or this one too early.

    An owner decides about them, and a long list hides the one that is worth it: what was taken back
    stands there too, and keeps its place for a day. The one that is answered is not counted: this
    one takes its place.
    """
    limits, now_ms = service.limits, service.now_ms()
    if terms.opens_at_s * 1000 > now_ms + limits.opens_ahead_s * 1000:
        raise Refusal(
            422,
            "opens-too-late",
            f"opens_at_s is {terms.opens_at_s}, more than {limits.opens_ahead_s} s from now; "
            f"propose an earlier time, or propose it later",
        )
    # Two proposals at once must not both find the last place free.
    session.run("api.lock_account", account=operator.account)
    (found,) = session.all(
        "api.open_proposals",
        log_id=service.log_id,
        operator=operator.account,
        owner=terms.owner.lower(),
        now_s=now_ms // 1000,
        answered=answered,
        limit=limits.open_proposals,
    )
    for count, most, which, remedy in (
        (found.of_all, limits.open_proposals, "proposals are open", "take one back, or "),
        (
            found.to_owner,
            limits.open_proposals_to_owner,
            "proposals to this owner are open, or ended without it in the last day",
            "",
        ),
    ):
        if count >= most:
            raise Refusal(
                409,
                "proposal-limit",
                f"{count} of your {which}, the most that may be; {remedy}wait until one is decided "
                f"or expires",
            )


def _check_signature(
    service: Service, name: str, signer: str, digest: bytes, signature: bytes
) -> None:
    """Raise `TermsError` unless the signer's key made it, or its contract accepts it (ERC-1271)."""
    try:
        if recover(digest, signature) == signer:
            return
        reason = f"is not by {signer}"
    except TermsError as error:
        reason = f"is not by {signer}: {error.message}"
    if not service.is_valid_signature(signer, digest, signature):
        raise TermsError("signature-invalid", f"{name} {reason}")


def _check_openable(service: Service, name: str, signer: str, digest: bytes, given: bytes) -> None:
    """Raise `Refusal` if the escrow, which deploys no wallet, could not ask the signer's.

    A signature that came with its wallet's deployment is good to propose with; before the owner's
    acceptance has the contract opened, the wallet must be there.
    """
    wrapped = unwrap(given)
    if wrapped is not None and not service.is_valid_signature(signer, digest, wrapped.signature):
        raise Refusal(
            409,
            "wallet-undeployed",
            f"{name} came with the deployment of {signer}, which is not there or not ready yet, "
            f"and the escrow deploys no wallet: deploy it, then accept",
        )


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


def _promised(service: Service, session: Session, terms: Terms) -> Row:
    """Return how many other contracts the owner has accepted that are not open yet, and their sum.

    Only those in the same token count.
    """
    (row,) = session.all(
        "api.promised_units",
        log_id=service.log_id,
        owner=terms.owner.lower(),
        token=terms.token,
        contract_id=contract_id(terms, service.escrow_domain),
        now_ms=service.now_ms(),
    )
    return row


def _check_funds(service: Service, terms: Terms, promised: Row) -> None:
    """Raise `Refusal` unless the escrow can take the budget now, and those that were promised.

    It pulls each budget when it opens the contract, from the owner's allowance.
    """
    lacking = _lacking(service, terms, promised)
    if lacking is not None:
        before = f", with {promised.count} accepted before it that are not open yet" * bool(
            promised.count
        )
        raise Refusal(409, "funds-short", f"the budget{before} cannot be taken: {lacking}")


def _lacking(service: Service, terms: Terms, promised: Row) -> str | None:
    """Return what the owner is to do before these budgets can be taken; None if they can be."""
    funds, token = service.funds_of(terms.token, terms.owner), token_of(service, terms)
    needed, escrow = terms.budget_units + promised.units, service.escrow_domain.verifying_contract
    return funds.shortage(needed, terms.owner, token, escrow)


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
