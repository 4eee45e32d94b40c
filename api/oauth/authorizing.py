"""Authorizing: a client's request, the page that shows it, and what a person makes of it there.

A request is known to the page alone, and of use in the browser alone that began it, which holds a
cookie. The service writes the message of what it has stored; nothing of it comes from the browser
but the account. What the wallet signed is stored under the hash of a code, and becomes a key when
the client shows the code: `api/oauth/tokens.py`.
"""

import secrets
from hashlib import sha256
from typing import Annotated, NamedTuple
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api.context import Service, TheService
from api.http import allowances, auth
from api.http.bodies import Body
from api.http.fields import Address, Signature, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal
from api.oauth.clients import Client, Clients
from api.oauth.page import ConsentRequest, consent_page, refusal_page
from api.oauth.parameters import OAuthError, needed, read_parameters
from orchestrator.core.account.redirect import RedirectUri, read_redirect_uri
from orchestrator.core.account.scopes import SCOPE_SETS, SCOPES, Scope, scopes_of
from orchestrator.core.account.sign_in import (
    SignedClient,
    SignIn,
    is_signed_by_key,
    message_digest,
    write_message,
)
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.storage.database import Row, Session

AUTHORIZE_PATH, MESSAGE_PATH, CONSENT_PATH = (
    "/oauth/authorize",
    "/oauth/message",
    "/oauth/consent",
)
DEFAULT_SCOPES = SCOPE_SETS["operator"]
MAX_STATE_BYTES = 2_048
CODE_TTL_MS = 60_000
_CHALLENGE_CHARS = 43
_BASE64URL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

# A client may send parameters that mean nothing to us; our own page sends what it must.
opening = APIRouter(include_in_schema=False)
router = APIRouter(route_class=StrictRoute, include_in_schema=False)
_BY_SOURCE = [Depends(allowances.charge_sign_in)]


class MessageRequest(Body):
    """An account that a person has chosen for a request."""

    request: str
    address: Address


class Consent(Body):
    """A wallet's signature of a request's message, or that a person has declined."""

    request: str
    address: Address | None = None
    signature: Signature | None = None
    declined: bool = False


class _Wanted(NamedTuple):
    """The content of a client's request."""

    client: Client
    redirect: RedirectUri
    state: str | None
    challenge: str
    scopes: list[Scope]


# --- The request ----------------------------------------------------------------------------------


@opening.get(AUTHORIZE_PATH, dependencies=_BY_SOURCE)
async def authorize(service: TheService, request: Request) -> Response:
    """Show what a client asks for, to the person whose browser it has sent here."""
    if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
        return refusal_page("this page opens by itself, and in no other page")
    clients: Clients = request.app.state.clients
    try:
        parameters = read_parameters(request.url.query)
        client = await clients.find(needed(parameters, "client_id"))
        redirect = client.redirect_to(needed(parameters, "redirect_uri"))
    except OAuthError as fault:
        return refusal_page(fault.description)
    try:
        challenge, scopes = _check(service, parameters)
        wanted = _Wanted(client, redirect, parameters.get("state"), challenge, scopes)
        return await run_in_threadpool(_begun, service, wanted)
    except OAuthError as fault:
        told = {"error": fault.code, "error_description": fault.description}
        way = answer_url(service, redirect.text, parameters.get("state"), told)
        return refusal_page(fault.description, (redirect.host, way))


def resource_of(service: Service) -> str:
    """Return the one resource that keys are issued for: the MCP server, whose tools are routes."""
    return f"{issuer_of(service)}/mcp"


def issuer_of(service: Service) -> str:
    """Return the name of this authorization server (RFC 8414)."""
    return service.info.public_url.rstrip("/")


def check_resource(service: Service, parameters: dict[str, str]) -> None:
    """Raise `OAuthError` if a key is asked for that is for another resource (RFC 8707)."""
    asked = parameters.get("resource", resource_of(service))
    if asked != resource_of(service):
        raise OAuthError(
            "invalid_target", f"the resource is {resource_of(service)}, not {asked[:200]}"
        )


def _check(service: Service, parameters: dict[str, str]) -> tuple[str, list[Scope]]:
    """Return a request's challenge and scopes. Raises `OAuthError`."""
    if needed(parameters, "response_type") != "code":
        raise OAuthError("unsupported_response_type", "the response_type is code")
    if parameters.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "the response_mode is query")
    if parameters.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "the code_challenge_method is S256, and must be named")
    challenge = needed(parameters, "code_challenge")
    if len(challenge) != _CHALLENGE_CHARS or not _BASE64URL.issuperset(challenge):
        raise OAuthError("invalid_request", "the code_challenge is 43 characters of base64url")
    state = parameters.get("state", "")
    if len(state.encode()) > MAX_STATE_BYTES or "\0" in state:
        raise OAuthError("invalid_request", f"the state has at most {MAX_STATE_BYTES} bytes")
    check_resource(service, parameters)
    return challenge, _scopes(parameters.get("scope"))


def _scopes(asked: str | None) -> list[Scope]:
    if asked is None:
        return list(DEFAULT_SCOPES)
    named = asked.split(" ")
    found = scopes_of(one for one in (*SCOPES, *SCOPE_SETS) if one in named)
    unknown = [one for one in named if one not in SCOPES and one not in SCOPE_SETS]
    if unknown or not found:
        raise OAuthError(
            "invalid_scope",
            f"there is no scope {asked[:60]}; there are {', '.join((*SCOPE_SETS, *SCOPES))}",
        )
    return found


def _begun(service: Service, wanted: _Wanted) -> Response:
    """Store a request, and return the page for it with the cookie of its browser."""
    request, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with service.database.transaction(secret=request_secret(request)) as session:
        full = session.one("authorizations.are_full")
        if full is None or full.is_full:
            raise OAuthError("temporarily_unavailable", "too many requests wait; try again")
        session.run(
            "authorizations.begin",
            browser=browser.encode(),
            client=wanted.client.id,
            redirect_uri=wanted.redirect.text,
            state=wanted.state,
            challenge=wanted.challenge,
            scopes=wanted.scopes,
            nonce=secrets.token_hex(16),
            ttl_ms=service.limits.nonce_ttl_ms,
        )
    page = consent_page(ConsentRequest(request, wanted.client, wanted.redirect, wanted.scopes))
    is_secure = service.info.public_url.startswith("https://")
    page.set_cookie(
        _cookie_of(service, request),
        browser,
        max_age=service.limits.nonce_ttl_ms // 1000,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )
    return page


def request_secret(request: str) -> bytes:
    """Return the secret that a transaction presents of a request."""
    return sha256(f"tallystick request {request}".encode()).digest()


def code_secret(code: str) -> bytes:
    """Return the secret that a transaction presents of a code."""
    return sha256(f"tallystick code {code}".encode()).digest()


def _cookie_of(service: Service, request: str) -> str:
    """Return the name of a request's cookie: each tab has its own. Of https it is bound to us."""
    prefix = "__Host-" if service.info.public_url.startswith("https://") else ""
    return f"{prefix}tallystick-{request_secret(request).hex()[:16]}"


# --- The answer -----------------------------------------------------------------------------------


def _own_page(service: TheService, request: Request) -> None:
    """Raise `Refusal` (403) unless a request comes from our own page, as browsers say."""
    own = "://".join(urlsplit(service.info.public_url)[:2])
    if request.headers.get("origin") != own:
        raise Refusal(403, "origin-foreign", "only the page of this service may answer")


FromOwnPage = Annotated[None, Depends(_own_page)]


@router.post(MESSAGE_PATH, dependencies=_BY_SOURCE)
def message(
    service: TheService, _: FromOwnPage, request: Request, body: MessageRequest
) -> dict[str, str]:
    """Return the message by which an account allows a request."""
    browser = _browser(service, request, body.request)
    with service.database.transaction(secret=request_secret(body.request)) as session:
        return {"message": _message(service, _asked(session, browser), body.address)}


@router.post(CONSENT_PATH, dependencies=_BY_SOURCE)
def consent(service: TheService, _: FromOwnPage, request: Request, body: Consent) -> Response:
    """Take a person's answer, and return the way to the client with a code, or without."""
    browser = _browser(service, request, body.request)
    with service.database.transaction(secret=request_secret(body.request)) as session:
        asked = _asked(session, browser)
        if body.declined:
            session.run("authorizations.decline", browser=browser)
    if body.declined:
        told = {"error": "access_denied", "error_description": "it was not allowed"}
    else:
        told = {"code": _code_for(service, asked, browser, body)}
    way = answer_url(service, asked.redirect_uri, asked.state, told)
    answer = JSONResponse({"redirect": way})
    answer.delete_cookie(
        _cookie_of(service, body.request),
        path="/",
        secure=service.info.public_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )
    return answer


def answer_url(service: Service, uri: str, state: str | None, told: dict[str, str]) -> str:
    """Return the URL of an answer to a client, which names its author (RFC 9207)."""
    kept = {} if state is None else {"state": state}
    query = urlencode({**told, **kept, "iss": issuer_of(service)})
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def _browser(service: Service, request: Request, named: str) -> bytes:
    """Return what the browser's cookie for a request holds. Raises `Refusal` (403)."""
    cookie = request.cookies.get(_cookie_of(service, named))
    if cookie is None:
        raise Refusal(
            403,
            "browser-differs",
            "this browser did not begin the request; begin anew at the client",
        )
    return cookie.encode()


def _asked(session: Session, browser: bytes) -> Row:
    asked = session.one("authorizations.asked", browser=browser)
    if asked is None:
        raise Refusal(
            410,
            "request-over",
            "the request was answered, or has expired; begin anew at the client",
        )
    return asked


def _message(service: Service, asked: Row, address: str) -> str:
    """Return the message of a stored request, the same whenever it is asked for."""
    host = read_redirect_uri(asked.redirect_uri).host
    client = SignedClient(asked.client, host, bytes(asked.request_hash).hex()[:32])
    sign_in = SignIn(
        checksummed(address),
        tuple(scopes_of(asked.scopes)),
        asked.nonce,
        asked.created_ms,
        asked.expires_ms,
        client,
    )
    return write_message(auth.audience(service), sign_in)


def _code_for(service: Service, asked: Row, browser: bytes, body: Consent) -> str:
    """Keep what the wallet signed, and return a code for it. Raises `Refusal`."""
    if body.address is None or body.signature is None:
        raise Refusal(422, "consent-unsigned", "allowing takes an address and its signature")
    address, signature = checksummed(body.address), from_hex(body.signature)
    text = _message(service, asked, address)
    # The registrar will judge it again; here a person still sees what is wrong.
    if not is_signed_by_key(address, text, signature) and not service.is_valid_signature(
        address, message_digest(text), signature
    ):
        raise Refusal(401, "signature-invalid", f"{address} has not signed this request's message")
    code = secrets.token_urlsafe(32)
    with service.database.transaction(secret=request_secret(body.request)) as session:
        kept = session.run(
            "authorizations.consent",
            browser=browser,
            code=code_secret(code),
            message=text,
            signature=signature,
            ttl_ms=CODE_TTL_MS,
        )
    if not kept:
        raise Refusal(
            410, "request-over", "the request has been answered; begin anew at the client"
        )
    return code
