"""Authentication of callers: sign-in with a wallet (EIP-4361), and API keys.

A key is 32 random bytes, shown once and kept as their SHA-256. Every request that carries one is
charged to its account before anything else is done for it.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, NamedTuple, cast
from urllib.parse import urlsplit

from eth_utils.crypto import keccak
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from siwe import InvalidSignature, SiweMessage, VerificationError

from api.context import Service, TheService
from api.http import allowances
from api.http.fields import Scope, checksummed
from api.http.problems import Refusal
from orchestrator.core.entry import address_word
from orchestrator.core.hexadecimal import from_hex
from orchestrator.core.units import NS_PER_MS, format_time
from orchestrator.storage.allowances import spend

KEY_PREFIX = "tsk_"
_KEY = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
_SCOPE_PREFIX = "urn:tallystick:scope:"
_SCOPES: tuple[Scope, ...] = ("operator", "owner")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REALM = 'Bearer realm="tallystick"'


class Caller(NamedTuple):
    """The account that a request speaks for, in lower case, and the scopes of its key."""

    account: str
    scopes: tuple[str, ...]
    key_hash: bytes

    @property
    def word(self) -> bytes:
        return address_word(self.account)


_bearer = HTTPBearer(
    scheme_name="key",
    description="An API key from `POST /v1/sign-in`; its scopes are `operator`, `owner` or both.",
    auto_error=False,
)


def _authenticate(
    service: TheService,
    request: Request,
    wanted: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return the caller behind a key, charged for one request; one of the wanted scopes will do.

    Raises `Refusal` (401, 403 or 429).
    """
    if credentials is None:
        raise Refusal(
            401,
            "key-missing",
            "this needs an API key: Authorization: Bearer tsk_…",
            headers={"WWW-Authenticate": _REALM},
        )
    if not _KEY.fullmatch(credentials.credentials):
        raise _bad_key("this is no API key")
    key_hash = sha256(credentials.credentials.encode()).digest()
    with service.database.transaction() as session:
        session.run("api.commit_unflushed")
        # The account is not known yet: a row policy shows a key to a session that has its hash.
        session.run("database.show_secret", secret=key_hash.hex())
        key = session.one("api.key", key_hash=key_hash)
        if key is None or key.is_revoked:
            raise _bad_key("this API key is not known, or was revoked")
        if key.expires_ms <= service.now_ms():
            raise _bad_key("this API key has expired; sign in again")
        session.run("database.set_account", account=key.account)
        costs, limits = allowances.costs_of(request), allowances.limits_of(service)
        spent = spend(session, key.account, limits, costs)
    # Refusals from here on must not undo the charge, so the transaction has ended.
    allowances.note(request, spent)
    allowances.occupy(service, request, key.account)
    if not set(wanted.scopes) & set(key.scopes):
        raise Refusal(
            403,
            "scope-missing",
            f"this needs a key with the scope {' or '.join(wanted.scopes)}",
            headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'},
        )
    return Caller(key.account, tuple(key.scopes), key_hash)


AnyCaller = Annotated[Caller, Security(_authenticate, scopes=["operator", "owner"])]
Operator = Annotated[Caller, Security(_authenticate, scopes=["operator"])]
Owner = Annotated[Caller, Security(_authenticate, scopes=["owner"])]


def _bad_key(detail: str) -> Refusal:
    headers = {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
    return Refusal(401, "key-invalid", detail, headers=headers)


# --- Signing in -----------------------------------------------------------------------------------


def new_nonce(service: Service) -> tuple[str, int]:
    """Return a nonce for one sign-in, and the time at which it expires (UTC ms)."""
    nonce = secrets.token_hex(16)
    expires_ms = service.now_ms() + service.limits.nonce_ttl_ms
    with service.database.transaction() as session:
        session.run("database.show_secret", secret=nonce)
        session.run("api.add_nonce", nonce=nonce, expires_ms=expires_ms)
    return nonce, expires_ms


def sign_in_message(
    service: Service, address: str, scopes: Sequence[str], nonce: str, expires_ms: int
) -> str:
    """Return the EIP-4361 message by which this address asks for these scopes."""
    message = SiweMessage(
        domain=domain(service),
        address=checksummed(address),
        statement=f"Sign in to Tallystick as {' and '.join(scopes)}.",
        uri=service.info.public_url,
        version="1",
        chain_id=service.escrow_domain.chain_id,
        nonce=nonce,
        issued_at=format_time(service.now_ms() * NS_PER_MS),
        expiration_time=format_time(expires_ms * NS_PER_MS),
        resources=[f"{_SCOPE_PREFIX}{scope}" for scope in scopes],
    )
    return cast(str, message.prepare_message())


def check_sign_in(service: Service, text: str, signature: str) -> tuple[str, list[Scope], str]:
    """Return the account (lower case), scopes and nonce of a signed message.

    All but the nonce is checked. Raises `Refusal` (401 or 422).
    """
    message = _parse(service, text)
    try:
        message.verify(
            signature,
            domain=domain(service),
            uri=service.info.public_url,
            chain_id=service.escrow_domain.chain_id,
            # The nonce is used up where the key is made: a failed sign-in must not take it away.
            nonce=message.nonce,
            timestamp=_EPOCH + timedelta(milliseconds=service.now_ms()),
            strict=True,
        )
    except InvalidSignature:
        if not _is_signed_by_contract(service, message.address, text, signature):
            raise Refusal(
                401, "signature-invalid", f"the signature is not by {message.address}"
            ) from None
    except VerificationError as error:
        raise Refusal(
            401, "sign-in-refused", _SIGN_IN_FAULTS.get(type(error).__name__, "refused")
        ) from None
    return message.address.lower(), _scopes(message.resources or []), message.nonce


_SIGN_IN_FAULTS = {
    "ChainIdMismatch": "the message is for another chain",
    "DomainMismatch": "the message is for another domain",
    "ExpiredMessage": "the message has expired",
    "NotYetValidMessage": "the message is not valid yet",
}


def domain(service: Service) -> str:
    """Return the authority that sign-in messages are made out to."""
    return urlsplit(service.info.public_url).netloc


def new_key() -> tuple[str, bytes]:
    """Return a new key, and the hash that is kept of it."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, sha256(key.encode()).digest()


def _parse(service: Service, text: str) -> SiweMessage:
    malformed = Refusal(422, "message-malformed", "the message is no EIP-4361 message")
    # The parser is slow on long domains and URIs, so the cheap rules come first.
    host, url = domain(service), service.info.public_url
    if not text.startswith(f"{host} wants you to sign in with your Ethereum account:\n"):
        raise Refusal(401, "sign-in-refused", f"the message is not made out to {host}")
    if f"\nURI: {url}\n" not in text:
        raise Refusal(401, "sign-in-refused", f"the message's URI is not {url}")
    try:
        message = SiweMessage.from_message(text, abnf=False)
    except ValueError:
        raise malformed from None
    # The signature is checked over what was parsed, so that has to be all that was signed.
    if message.prepare_message() != text:
        raise malformed
    return message


def _scopes(resources: list[str]) -> list[Scope]:
    asked = {resource.removeprefix(_SCOPE_PREFIX) for resource in resources}
    scopes = [scope for scope in _SCOPES if scope in asked]
    if not scopes or len(scopes) != len(resources):
        raise Refusal(
            422,
            "scopes-unknown",
            f"the message's resources must name one or both of "
            f"{_SCOPE_PREFIX}operator and {_SCOPE_PREFIX}owner, and nothing else",
        )
    return scopes


def _is_signed_by_contract(service: Service, address: str, text: str, signature: str) -> bool:
    """Return True if the contract at the address accepts the signature (EIP-191, ERC-1271)."""
    data = text.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n%d" % len(data) + data)
    return service.is_valid_signature(checksummed(address), digest, from_hex(signature))
