"""Tokens: a client's code becomes a key, and a key ends (RFC 6749, 7636, 7009).

A code is tried once, whatever comes of it. One that is tried again was stolen by one of the two who
tried it, and what was issued by it ends. There are no refresh tokens: a key lives for weeks, its
wallet can end it, and what could renew it would be one more secret that is worth stealing.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import compare_digest

from fastapi import APIRouter, Depends, Request, Response
from mcp.shared.auth import OAuthToken
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api.context import Service, TheService
from api.http import allowances, auth
from api.oauth.authorizing import check_resource, code_secret
from api.oauth.parameters import OAuthError, error_response, needed, read_form
from api.routes.accounts.sign_in import decided
from orchestrator.core.account.redirect import read_redirect_uri
from orchestrator.core.common.errors import SignInError
from orchestrator.storage.database import Row

TOKEN_PATH, REVOCATION_PATH = "/oauth/token", "/oauth/revoke"
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_MAX_NAME = 128

router = APIRouter(include_in_schema=False, dependencies=[Depends(allowances.charge_sign_in)])


@router.post(TOKEN_PATH)
async def token(service: TheService, request: Request) -> Response:
    """Turn a code into a key."""
    try:
        key = await run_in_threadpool(_exchanged, service, await read_form(request))
        caller = await decided(service, key)
    except SignInError as error:
        return error_response(OAuthError("invalid_grant", error.message))
    except OAuthError as fault:
        return error_response(fault)
    issued = OAuthToken(
        access_token=key,
        expires_in=max(0, caller.expires_ms - service.now_ms()) // 1000,
        scope=" ".join(sorted(caller.scopes)),
    )
    return JSONResponse(issued.model_dump(exclude_none=True))


@router.post(REVOCATION_PATH)
async def revoke(service: TheService, request: Request) -> Response:
    """End a key by showing it; what is no live key is as ended as it can be."""
    try:
        shown = needed(await read_form(request), "token")
    except OAuthError as fault:
        return error_response(fault)
    await run_in_threadpool(_revoke, service, auth.secret_of(shown))
    return Response(status_code=200)


def _revoke(service: Service, secret: bytes) -> None:
    with service.database.transaction(secret=secret) as session:
        if session.key is not None:
            session.run("api.revoke_key", key=session.key.key)


def _exchanged(service: Service, parameters: dict[str, str]) -> str:
    """Use a code up, and return the key that the registrar is asked for. Raises `OAuthError`.

    Code and sign-in change in one transaction: a second try of the code finds both.
    """
    if needed(parameters, "grant_type") != "authorization_code":
        raise OAuthError("unsupported_grant_type", "the grant_type is authorization_code")
    check_resource(service, parameters)
    key = auth.new_key()
    presented = code_secret(needed(parameters, "code"))
    with service.database.transaction(secret=presented) as session:
        granted = session.one("authorizations.granted")
        fault = _error_of(granted, parameters)
        is_first = session.run("authorizations.use", secret=auth.secret_of(key))
        if not is_first:
            session.run("authorizations.revoke_issued")
        elif fault is None and granted is not None:
            host = read_redirect_uri(granted.redirect_uri).host
            session.one("database.present", secret=auth.secret_of(key))
            auth.ask_registrar(
                service,
                session,
                granted.message,
                bytes(granted.signature),
                f"OAuth {host}"[:_MAX_NAME],
            )
    # Raised out here: a refusal must not undo that the code was used.
    if fault is not None or not is_first:
        raise fault or OAuthError("invalid_grant", "the code was used before; its key has ended")
    return key


def _error_of(granted: Row | None, parameters: dict[str, str]) -> OAuthError | None:
    """Return the fault of a try to use a code, or None if it is its client's."""
    if granted is None or granted.is_expired:
        return OAuthError("invalid_grant", "the code is not known, or has expired")
    for name, given in (("client_id", granted.client), ("redirect_uri", granted.redirect_uri)):
        if parameters.get(name) != given:
            return OAuthError("invalid_grant", f"the code was given for another {name}")
    verifier = parameters.get("code_verifier", "")
    if not _VERIFIER.fullmatch(verifier):
        return OAuthError("invalid_grant", "the code_verifier is 43 to 128 unreserved characters")
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not compare_digest(challenge, granted.challenge):
        return OAuthError("invalid_grant", "the code_verifier is not that of the code_challenge")
    return None
