"""Signing in and out."""

from uuid import UUID

from fastapi import APIRouter, Depends, Response
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import auth, schemas
from api.http import submissions as requests
from api.http.auth import AnyCaller, Caller
from api.http.encoding import checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented
from api.http.submissions import WaitS
from api.routes.operators import FIRST_LEVEL
from orchestrator.core.entry import ZERO_WORD, address_word
from orchestrator.core.policy import canonical_json
from orchestrator.core.requests import RegisterOperator
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Session

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

_BY_SOURCE = [Depends(auth.charge_source)]


@router.post("/sign-in/nonce", dependencies=_BY_SOURCE)
def nonce(service: TheService, body: schemas.NonceRequest | None = None) -> schemas.Nonce:
    """A nonce for one sign-in; told who signs in as what, also the message to sign."""
    fresh, expires_ms = auth.new_nonce(service)
    message = None
    if body is not None:
        scopes = sorted(set(body.scopes))
        message = auth.sign_in_message(service, body.address, scopes, fresh, expires_ms)
    return schemas.Nonce(
        nonce=fresh,
        expires_ms=expires_ms,
        domain=auth.domain(service),
        uri=service.info.public_url,
        chain_id=service.escrow_domain.chain_id,
        message=message,
    )


@router.post("/sign-in", status_code=201, responses=documented(401), dependencies=_BY_SOURCE)
async def sign_in(
    service: TheService, body: schemas.SignIn, wait_s: WaitS, response: Response
) -> schemas.SignedIn:
    """Turn a signed EIP-4361 message into an API key; a new operator is registered in the log."""
    signed_in, caller, request_ids = await run_in_threadpool(_sign_in, service, body)
    if request_ids:
        (status,) = await requests.awaited(service, caller, request_ids, wait_s, response)
        signed_in.registration = status
    response.status_code = 201
    return signed_in


@router.delete("/keys/current", status_code=204, responses=documented(401, 403))
def sign_out(service: TheService, caller: AnyCaller) -> None:
    """Revoke the key that this request carries."""
    with service.database.transaction(caller.account) as session:
        session.run(
            "api.revoke_key",
            account=caller.account,
            key_hash=caller.key_hash,
            now_ms=service.now_ms(),
        )


def _sign_in(service: Service, body: schemas.SignIn) -> tuple[schemas.SignedIn, Caller, list[UUID]]:
    account, scopes, nonce_ = auth.check_sign_in(service, body.message, body.signature)
    key, key_hash = auth.new_key()
    caller = Caller(account, tuple(scopes), key_hash)
    now_ms = service.now_ms()
    expires_ms = now_ms + service.limits.key_ttl_ms
    with service.database.transaction(account) as session:
        session.run("database.show_secret", secret=nonce_)
        if session.one("api.use_nonce", nonce=nonce_, now_ms=now_ms) is None:
            raise Refusal(
                401, "nonce-unknown", "the nonce is not ours, was used before, or has expired"
            )
        session.run("api.add_account", account=account, scopes=list(scopes), now_ms=now_ms)
        session.run(
            "api.add_key",
            account=account,
            key_hash=key_hash,
            scopes=list(scopes),
            now_ms=now_ms,
            expires_ms=expires_ms,
        )
        request_ids = _register(service, session, caller) if "operator" in scopes else []
    signed_in = schemas.SignedIn(
        key=key,
        account=checksummed(account),
        scopes=scopes,
        expires_ms=expires_ms,
        registration=None,
    )
    return signed_in, caller, request_ids


def _register(service: Service, session: Session, caller: Caller) -> list[UUID]:
    """Register a new operator in the log: once, however often it signs in."""
    operator = address_word(caller.account)
    known = session.one("api.operator", log_id=service.log_id, operator=operator)
    if known is not None:
        return []
    request = RegisterOperator(operator, FIRST_LEVEL, ZERO_WORD)
    body = canonical_json({"operator": caller.account, "level": FIRST_LEVEL})
    return requests.submit(
        service, session, caller, [Submission("register-operator", request, body)]
    )
