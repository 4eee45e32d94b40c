"""Authentication of callers: sign-in with a wallet (EIP-4361), and API keys.

A key is 32 random bytes, shown once. Its SHA-256 is the secret that a transaction presents to the
database, which keeps the SHA-256 of that and judges the key where it acts: the service itself can
act for no account whose key it was not shown. Every request that carries a key is charged to its
account before anything else is done for it.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from api.context import Service, service_of
from api.gathering import NotTogetherError
from api.http.allowances import costs_of, note, occupy
from api.http.fields import checksummed
from api.http.problems import Refusal
from api.places import Reader
from orchestrator.core.account.scopes import SCOPES, Scope
from orchestrator.core.account.sign_in import Audience, SignIn, read_message, write_message
from orchestrator.core.account.sources import NetworkSource
from orchestrator.core.common.errors import SignInError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import limits_by_level
from orchestrator.core.common.units import format_ms
from orchestrator.core.log.entry import ZERO_WORD, address_word
from orchestrator.storage import allowances
from orchestrator.storage.allowances import Admission
from orchestrator.storage.database import NamedQuery, Row, Session

KEY_PREFIX = "tsk_"
_KEY = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
_WORD = re.compile(r"0x[0-9a-f]{64}")
REALM = 'Bearer realm="tallystick"'


class Caller(NamedTuple):
    """The account that a request speaks for, in lower case, and what its key may do.

    `surfaces` is None for a key that is limited to none in particular, `parent` for a wallet's own.
    """

    account: str
    secret: bytes
    key: bytes
    scopes: frozenset[str]
    surfaces: frozenset[bytes] | None
    parent: bytes | None
    expires_ms: int

    def __repr__(self) -> str:
        return f"Caller({self.account}, key={to_hex(self.key)})"

    @property
    def word(self) -> bytes:
        return address_word(self.account)

    @property
    def delegate(self) -> bytes:
        """Return the key's id as the log has it: zero for a wallet's own key."""
        return ZERO_WORD if self.parent is None else self.key

    @property
    def is_operator(self) -> bool:
        return any(scope.startswith("operator:") for scope in self.scopes)

    @property
    def is_owner(self) -> bool:
        return any(scope.startswith("owner:") for scope in self.scopes)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


_bearer = HTTPBearer(
    scheme_name="key",
    description="An API key: a wallet's own from `POST /v1/sign-in`, or a delegate's from "
    "`POST /v1/keys`. It does what its scopes say.",
    auto_error=False,
)


BearerKey = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _authenticate(request: Request, wanted: SecurityScopes, credentials: BearerKey) -> Caller:
    """Return the caller as `caller_of` does; requests that come at one time are let in together."""
    service = service_of(request)
    charge = _charge_of(request, _secret_in(credentials), wanted.scopes)

    async def work(requests: Sequence[Charge]) -> list[Admission]:
        admitted = await run_in_threadpool(charge.admission, service, len(requests))
        if admitted.is_short:
            raise NotTogetherError
        return [admitted] * len(requests)

    admitted = await service.admissions.act(charge, charge, work)
    return _admitted(service, request, charge.secret, wanted.scopes, admitted)


def caller_of(
    service: Service, request: Request, credentials: BearerKey, scopes: Sequence[str]
) -> Caller:
    """Return the caller behind a key, charged for one request; one of these scopes will do.

    Raises `Refusal` (401, 403 or 429).
    """
    return admit(service, request, _secret_in(credentials), scopes)


def admit(service: Service, request: Request, secret: bytes, scopes: Sequence[str]) -> Caller:
    """Return the caller behind a key's secret as `caller_of` does."""
    admitted = _charge_of(request, secret, scopes).admission(service)
    return _admitted(service, request, secret, scopes, admitted)


def _secret_in(credentials: BearerKey) -> bytes:
    """Return the secret of the key that a request carries. Raises `Refusal` (401)."""
    if credentials is None:
        raise Refusal(
            401,
            "key-missing",
            "this needs an API key: Authorization: Bearer tsk_…",
            headers={"WWW-Authenticate": REALM},
        )
    if not _KEY.fullmatch(credentials.credentials):
        raise _bad_key("key-malformed", "this is no API key: tsk_ and 43 more characters")
    return secret_of(credentials.credentials)


class Charge(NamedTuple):
    """The charge for a request: requests of one key that cost the same have equal ones.

    `surface` and `scopes` are empty unless the key's account is charged by its level there.
    """

    secret: bytes
    costs: tuple[tuple[str, int], ...]
    surface: bytes | None
    scopes: tuple[str, ...]

    def admission(self, service: Service, requests: int = 1) -> Admission:
        """Return the admission of so many requests at once, as `allowances.admit` does."""
        limits = (service.limits, *(limits_by_level(service.limits) if self.scopes else ()))
        return allowances.admit(
            service.database,
            self.secret,
            dict(self.costs),
            limits,
            requests=requests,
            log_id=service.log_id,
            surface=self.surface,
            scopes=list(self.scopes),
        )


def _charge_of(request: Request, secret: bytes, scopes: Sequence[str]) -> Charge:
    """Return what a request costs the account of a key."""
    surface = _surface_in(request)
    # Where it acts as operator on a surface, by its level there.
    of_level = tuple(each for each in scopes if each.startswith("operator:")) if surface else ()
    costs = tuple(costs_of(request).items())
    return Charge(secret, costs, surface if of_level else None, of_level)


def _surface_in(request: Request) -> bytes | None:
    """Return the surface that a path names, None for none; what is no id is refused later."""
    surface = request.path_params.get("surface")
    return bytes.fromhex(surface[2:]) if surface and _WORD.fullmatch(surface) else None


def _admitted(
    service: Service, request: Request, secret: bytes, scopes: Sequence[str], admitted: Admission
) -> Caller:
    """Return the caller of a request that was charged.

    Raises `Refusal` (401, 403 or 429) unless its key is live and has one of these scopes.
    """
    caller = _caller(admitted.key, secret)
    # Refusals from here on must not undo the charge, so its transaction has ended.
    note(request, admitted.spent, admitted.limits)
    occupy(service, request, caller.account)
    if not caller.scopes.intersection(scopes):
        raise Refusal(
            403,
            "scope-missing",
            f"this needs a key with the scope {' or '.join(scopes)}; yours has "
            f"{', '.join(sorted(caller.scopes))}",
            headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope"'},
        )
    surface = _surface_in(request)
    if surface is not None:
        check_surface(caller, surface)
    return caller


def acting(
    service: Service,
    caller: Caller,
    *,
    lets_go_early: bool = False,
    entering: NamedQuery | None = None,
) -> AbstractContextManager[Session]:
    """Open a transaction that speaks for the caller. It raises `Refusal` if its key has ended."""
    return service.database.transaction(
        secret=caller.secret,
        check=lambda key: _caller(key, caller.secret),
        lets_go_early=lets_go_early,
        entering=entering,
    )


def reader_of(service: Service, request: Request, source: NetworkSource) -> Reader:
    """Return who follows the log: where from, and for whom if a live key was shown.

    All may read it. So a key is charged for nothing here, and one that has ended brings nothing.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _KEY.fullmatch(key):
        return Reader(source)
    with service.database.transaction(secret=secret_of(key)) as session:
        shown = session.key
        return Reader(source, shown.account if shown and shown.state == "live" else None)


def needs(*scopes: Scope) -> Callable[..., Caller]:
    """Return the dependency of a route that a key with one of these scopes may call."""
    return Security(_authenticate, scopes=list(scopes))  # type: ignore[no-any-return]


AnyCaller = Annotated[Caller, needs(*SCOPES)]


def check_surface(caller: Caller, surface: bytes) -> None:
    """Raise `Refusal` (403) if the caller's key is limited to other surfaces."""
    if caller.surfaces is not None and surface not in caller.surfaces:
        raise Refusal(
            403,
            "surface-forbidden",
            f"this key is not for surface {to_hex(surface)}",
            headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope"'},
        )


def secret_of(key: str) -> bytes:
    """Return the secret that a transaction presents of a key."""
    return sha256(key.encode()).digest()


def _caller(key: Row | None, secret: bytes) -> Caller:
    """Return the caller by what the database knows of its key. Raises `Refusal` (401)."""
    if key is None:
        raise _bad_key("key-unknown", "this API key is not known")
    if key.state == "revoked":
        raise _bad_key("key-revoked", "this API key was revoked, or the one that it was made by")
    if key.state != "live":
        raise _bad_key(
            "key-expired", f"this API key has expired at {format_ms(key.expires_ms)}; sign in again"
        )
    surfaces = None if key.surfaces is None else frozenset(map(bytes, key.surfaces))
    return Caller(
        key.account,
        secret,
        bytes(key.key),
        frozenset(key.scopes),
        surfaces,
        None if key.parent is None else bytes(key.parent),
        key.expires_ms,
    )


def _bad_key(code: str, detail: str) -> Refusal:
    headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
    return Refusal(401, code, detail, headers=headers)


# --- Signing in -----------------------------------------------------------------------------------


def new_nonce(service: Service) -> tuple[str, int]:
    """Return a nonce for one sign-in, and the time at which it expires (UTC ms)."""
    nonce = secrets.token_hex(16)
    expires_ms = service.now_ms() + service.limits.nonce_ttl_ms
    with service.database.transaction() as session:
        session.run("api.add_nonce", nonce=nonce, expires_ms=expires_ms)
    return nonce, expires_ms


def sign_in_message(
    service: Service, address: str, scopes: Sequence[Scope], nonce: str, expires_ms: int
) -> str:
    """Return the EIP-4361 message by which this address asks for these scopes."""
    asked = SignIn(checksummed(address), tuple(scopes), nonce, service.now_ms(), expires_ms)
    return write_message(audience(service), asked)


def ask_sign_in(service: Service, message: str, signature: bytes, name: str) -> tuple[str, SignIn]:
    """Have the registrar decide a sign-in. Return the key that it may mint, and what is asked.

    The message is read here as well, so that what cannot be granted is refused at once. Raises
    `SignInError`, or `Refusal` (503) while too many wait.
    """
    asked = read_message(audience(service), message, service.now_ms())
    if asked.client is not None:
        # Its client gets the key for a code, with what shows that it is this client.
        raise SignInError("message-of-client", "the message is for a client; sign in by another")
    key = new_key()
    with service.database.transaction(secret=secret_of(key)) as session:
        ask_registrar(service, session, message, signature, name)
    return key, asked


def ask_registrar(
    service: Service, session: Session, message: str, signature: bytes, name: str
) -> None:
    """Put a sign-in before the registrar, for the key whose secret the transaction presents.

    Raises `Refusal` (503) while too many wait.
    """
    full = session.one("api.sign_ins_are_full")
    if full is None or full.is_full:
        raise Refusal(
            503,
            "sign-ins-full",
            "too many sign-ins wait; try again",
            headers={"Retry-After": "2"},
        )
    session.run(
        "api.ask_sign_in",
        message=message,
        signature=signature,
        name=name,
        ttl_ms=service.limits.key_ttl_ms,
    )


def signed_in(service: Service, key: str) -> Caller | None:
    """Return the caller of a key that the registrar has minted, or None while it has not decided.

    Raises `SignInError` if it has refused to.
    """
    secret = secret_of(key)
    with service.database.transaction(secret=secret) as session:
        if session.key is not None:
            return _caller(session.key, secret)
        refusal = session.one("api.sign_in_refusal")
    if refusal is not None:
        raise SignInError(refusal.code, refusal.detail)
    return None


def audience(service: Service) -> Audience:
    """Return the service that sign-in messages are made out to."""
    url = service.info.public_url
    return Audience(urlsplit(url).netloc, url, service.escrow_domain.chain_id)


def new_key() -> str:
    """Return a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)
