"""The routes of accounts: signing in and out."""

from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from api.context import TheService
from api.http import allowances, answers, auth, bodies
from api.http.auth import AnyCaller, Caller
from api.http.fields import checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented
from api.http.submissions import Intake, WaitS
from orchestrator.core.entry import ZERO_WORD
from orchestrator.core.policy import canonical_json
from orchestrator.core.requests import RegisterOperator
from orchestrator.log.inbox import Submission
from orchestrator.storage.database import Session

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

FIRST_LEVEL = "0"
_BY_SOURCE = [Depends(allowances.charge_sign_in)]


@router.post("/sign-in/nonce", dependencies=_BY_SOURCE)
def nonce(service: TheService, body: bodies.NonceRequest | None = None) -> answers.Nonce:
    """Return a nonce for one sign-in and, for an address and its scopes, the message to sign."""
    fresh, expires_ms = auth.new_nonce(service)
    message = None
    if body is not None:
        scopes = sorted(set(body.scopes))
        message = auth.sign_in_message(service, body.address, scopes, fresh, expires_ms)
    return answers.Nonce(
        nonce=fresh,
        expires_ms=expires_ms,
        domain=auth.domain(service),
        uri=service.info.public_url,
        chain_id=service.escrow_domain.chain_id,
        message=message,
    )


@router.post("/sign-in", status_code=201, responses=documented(401), dependencies=_BY_SOURCE)
async def sign_in(
    service: TheService, body: bodies.SignIn, wait_s: WaitS, request: Request, response: Response
) -> answers.SignedIn:
    """Turn a signed EIP-4361 message into an API key; a new operator is registered in the log."""
    account, scopes, nonce = await run_in_threadpool(
        auth.check_sign_in, service, body.message, body.signature
    )
    key, key_hash = auth.new_key()
    intake = Intake(service, Caller(account, tuple(scopes), key_hash), wait_s, request, response)
    expires_ms, request_ids = await run_in_threadpool(_add_key, intake, nonce)
    registration = None
    if request_ids:
        (registration,) = await intake.wait_for(request_ids)
    # A key was made, so the wait's 200 or 202 gives way; the registration has its own status.
    response.status_code = 201
    return answers.SignedIn(
        key=key,
        account=checksummed(account),
        scopes=scopes,
        expires_ms=expires_ms,
        registration=registration,
    )


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


def _add_key(intake: Intake, nonce: str) -> tuple[int, list[UUID]]:
    """Use up the nonce and keep the caller's new key, in one transaction.

    Returns when the key expires (UTC ms), and the requests that register a new operator.
    """
    service, caller = intake.service, intake.caller
    now_ms = service.now_ms()
    expires_ms = now_ms + service.limits.key_ttl_ms
    scopes = list(caller.scopes)
    with service.database.transaction(caller.account) as session:
        session.run("database.show_secret", secret=nonce)
        if session.one("api.use_nonce", nonce=nonce, now_ms=now_ms) is None:
            raise Refusal(
                401, "nonce-unknown", "the nonce is not ours, was used before, or has expired"
            )
        session.run("api.add_account", account=caller.account, scopes=scopes, now_ms=now_ms)
        session.run(
            "api.add_key",
            account=caller.account,
            key_hash=caller.key_hash,
            scopes=scopes,
            now_ms=now_ms,
            expires_ms=expires_ms,
        )
        return expires_ms, _register(intake, session) if "operator" in scopes else []


def _register(intake: Intake, session: Session) -> list[UUID]:
    """Register a new operator in the log: once, however often it signs in."""
    service, caller = intake.service, intake.caller
    if session.one("api.operator", log_id=service.log_id, operator=caller.word) is not None:
        return []
    request = RegisterOperator(caller.word, FIRST_LEVEL, ZERO_WORD)
    body = canonical_json({"operator": caller.account, "level": FIRST_LEVEL})
    return intake.submit(session, [Submission("register-operator", request, body)])
