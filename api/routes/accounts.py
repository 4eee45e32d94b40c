"""The routes of accounts: signing in and out."""

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import answers, auth, bodies
from api.http.auth import AnyCaller, Caller
from api.http.fields import checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

_BY_SOURCE = [Depends(auth.charge_source)]


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
async def sign_in(service: TheService, body: bodies.SignIn) -> answers.SignedIn:
    """Turn a signed EIP-4361 message into an API key."""
    account, scopes, nonce = await run_in_threadpool(
        auth.check_sign_in, service, body.message, body.signature
    )
    key, key_hash = auth.new_key()
    caller = Caller(account, tuple(scopes), key_hash)
    expires_ms = await run_in_threadpool(_add_key, service, caller, nonce)
    return answers.SignedIn(
        key=key,
        account=checksummed(account),
        scopes=scopes,
        expires_ms=expires_ms,
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


def _add_key(service: Service, caller: Caller, nonce: str) -> int:
    """Use up the nonce and keep the caller's new key; return when it expires (UTC ms)."""
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
        return expires_ms
