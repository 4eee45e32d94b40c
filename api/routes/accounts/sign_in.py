"""The routes by which a wallet signs in."""

import time

from anyio import sleep
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import allowances, auth
from api.http.auth import Caller
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented
from api.routes.accounts import answers, bodies
from api.rules import SIGN_IN
from orchestrator.core.account.scopes import scopes_of
from orchestrator.core.common.hexadecimal import from_hex, to_hex

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

# How long a sign-in waits for the registrar, which grants none that is older than 15 s.
MAX_SIGN_IN_S = 10
_POLL_S = 0.02
_BY_SOURCE = [Depends(allowances.charge_sign_in)]


@router.post("/sign-in/nonce", dependencies=_BY_SOURCE)
def nonce(service: TheService, body: bodies.NonceRequest | None = None) -> answers.Nonce:
    """Return a nonce for one sign-in and, for an address and its scopes, the message to sign."""
    fresh, expires_ms = auth.new_nonce(service)
    message = None
    if body is not None:
        scopes = scopes_of(body.scopes)
        message = auth.sign_in_message(service, body.address, scopes, fresh, expires_ms)
    return answers.Nonce(
        nonce=fresh,
        time_ms=expires_ms - service.limits.nonce_ttl_ms,
        expires_ms=expires_ms,
        **auth.audience(service)._asdict(),
        message=message,
    )


@router.post(
    "/sign-in", status_code=201, responses=documented(401, SIGN_IN), dependencies=_BY_SOURCE
)
async def sign_in(service: TheService, body: bodies.SignIn) -> answers.SignedIn:
    """Turn a signed EIP-4361 message into an API key."""
    key, asked = await run_in_threadpool(
        auth.ask_sign_in, service, body.message, from_hex(body.signature), body.name
    )
    caller = await decided(service, key)
    return answers.SignedIn(
        key=key,
        id=to_hex(caller.key),
        account=asked.address,
        scopes=list(asked.scopes),
        expires_ms=caller.expires_ms,
    )


async def decided(service: Service, key: str) -> Caller:
    """Wait for the registrar's decision on a sign-in. Raises `SignInError`, or `Refusal` (503)."""
    deadline = time.monotonic() + MAX_SIGN_IN_S
    while True:
        caller = await run_in_threadpool(auth.signed_in, service, key)
        if caller is not None:
            return caller
        if time.monotonic() > deadline:
            raise Refusal(
                503,
                "registrar-silent",
                "no registrar has decided this sign-in in time; try again",
                headers={"Retry-After": "5"},
            )
        await sleep(_POLL_S)
