"""The checks of a proposal, before it is taken and before it is accepted.

What asks the chain takes no session: no transaction is held open across it.
"""

from api.context import Service
from api.http.auth import Caller
from api.http.problems import Refusal, not_found
from api.routes.deals.drafts import token_of
from api.routes.surfaces.operators import terms_parameters
from api.routes.surfaces.trust import levels_of
from orchestrator.core.account.wallet_signature import unwrap
from orchestrator.core.common.errors import TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import SET_BY_SURFACE, Terms, check_terms, contract_id, recover
from orchestrator.storage.database import Row, Session


def check_servable(service: Service, session: Session, terms: Terms) -> None:
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


def check_not_suspended(
    service: Service, session: Session, operator: Caller, surface: bytes
) -> None:
    """Raise `Refusal` for an operator that is suspended on the surface; any level will do."""
    standing = session.one(
        "api.standing",
        log_id=service.log_id,
        surface=surface,
        operator=operator.word,
    )
    if standing is not None and standing.is_suspended:
        raise Refusal(
            403,
            "operator-suspended",
            "the surface's owner has suspended you there; ask the owner to restore you first",
        )


def check_level(
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


def check_room(
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


def check_signature(
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


def check_openable(service: Service, name: str, signer: str, digest: bytes, given: bytes) -> None:
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


def promised_by_owner(service: Service, session: Session, terms: Terms) -> Row:
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


def check_funds(service: Service, terms: Terms, promised: Row) -> None:
    """Raise `Refusal` unless the escrow can take the budget now, and those that were promised.

    It pulls each budget when it opens the contract, from the owner's allowance.
    """
    lacking = lacking_funds(service, terms, promised)
    if lacking is not None:
        before = f", with {promised.count} accepted before it that are not open yet" * bool(
            promised.count
        )
        raise Refusal(409, "funds-short", f"the budget{before} cannot be taken: {lacking}")


def lacking_funds(service: Service, terms: Terms, promised: Row) -> str | None:
    """Return what the owner is to do before these budgets can be taken; None if they can be."""
    funds, token = service.funds_of(terms.token, terms.owner), token_of(service, terms)
    needed, escrow = terms.budget_units + promised.units, service.escrow_domain.verifying_contract
    return funds.shortage(needed, terms.owner, token, escrow)
