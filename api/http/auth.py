"""Who is asking: sign-in with a wallet (EIP-4361), API keys, and how much a caller may ask.

A key is 32 random bytes, shown once and kept as their SHA-256. Every request that carries one is
charged to its account before anything else is done for it.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated, NamedTuple, cast
from urllib.parse import urlsplit

from eth_utils.crypto import keccak
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from siwe import InvalidSignature, SiweMessage, VerificationError

from api.context import Service, TheService
from api.http.encoding import checksummed
from api.http.fields import Scope
from api.http.problems import Refusal
from orchestrator.core.entry import address_word
from orchestrator.storage.database import Session

KEY_PREFIX = "tsk_"
_KEY = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
_SCOPE_PREFIX = "urn:tallystick:scope:"
_SCOPES: tuple[Scope, ...] = ("operator", "owner")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REALM = 'Bearer realm="tallystick"'


class Caller(NamedTuple):
    """The account that a request speaks for, lower case, and what its key may do."""

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
    wanted: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """The caller behind a key, charged for one request; any one of the wanted scopes will do."""
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
        session.run("database.show_secret", secret=key_hash.hex())
        key = session.one("api.key", key_hash=key_hash)
        if key is None or key.is_revoked:
            raise _bad_key("this API key is not known, or was revoked")
        if key.expires_ms <= service.now_ms():
            raise _bad_key("this API key has expired; sign in again")
        session.run("database.set_account", account=key.account)
        wait_ms = _spend(session, service, key.account, 1)
    _check_wait(wait_ms)
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


# --- Allowances -----------------------------------------------------------------------------------


def charge(service: Service, caller: Caller, cost: int) -> None:
    """Charge an account for a bulk request's lines. Raises `Refusal` (429)."""
    with service.database.transaction(caller.account) as session:
        session.run("api.commit_unflushed")
        wait_ms = _spend(session, service, caller.account, cost)
    _check_wait(wait_ms)


def charge_source(service: TheService, request: Request) -> None:
    """Charge a caller who has no account yet, by network address. Raises `Refusal` (429).

    A source is limited like an account, under an address that nobody has the key of.
    """
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
        source = (
            str(address)
            if isinstance(address, IPv4Address)
            else str(IPv6Network((address, 64), strict=False))
        )
    except ValueError:
        source = host
    account = "0x" + sha256(f"tallystick source {source}".encode()).hexdigest()[:40]
    limits = service.limits
    with service.database.transaction(account) as session:
        session.run("api.commit_unflushed")
        (row,) = session.all(
            "api.spend_allowance",
            account=account,
            bucket="source",
            cost_ms=_ms(1, limits.source_per_s),
            burst_ms=_ms(limits.source_burst, limits.source_per_s),
        )
    _check_wait(row.wait_ms)


def _spend(session: Session, service: Service, account: str, cost: int) -> int:
    limits = service.limits
    (row,) = session.all(
        "api.spend_allowance",
        account=account,
        bucket="requests",
        cost_ms=_ms(cost, limits.account_per_s),
        burst_ms=_ms(limits.account_burst, limits.account_per_s),
    )
    return int(row.wait_ms)


def _ms(cost: int, per_s: int) -> int:
    return -(-cost * 1000 // per_s)


def _check_wait(wait_ms: int) -> None:
    if wait_ms:
        seconds = -(-wait_ms // 1000)
        raise Refusal(
            429,
            "rate-limited",
            f"too many requests; wait {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


# --- Signing in -----------------------------------------------------------------------------------


def new_nonce(service: Service) -> tuple[str, int]:
    """A nonce for one sign-in, and when it expires (UTC ms)."""
    nonce = secrets.token_hex(16)
    expires_ms = service.now_ms() + service.limits.nonce_ttl_ms
    with service.database.transaction() as session:
        session.run("database.show_secret", secret=nonce)
        session.run("api.add_nonce", nonce=nonce, expires_ms=expires_ms)
    return nonce, expires_ms


def sign_in_message(
    service: Service, address: str, scopes: Sequence[str], nonce: str, expires_ms: int
) -> str:
    """The EIP-4361 message by which this address asks for these scopes."""
    message = SiweMessage(
        domain=domain(service),
        address=checksummed(address),
        statement=f"Sign in to Tallystick as {' and '.join(scopes)}.",
        uri=service.info.public_url,
        version="1",
        chain_id=service.escrow_domain.chain_id,
        nonce=nonce,
        issued_at=_iso(service.now_ms()),
        expiration_time=_iso(expires_ms),
        resources=[f"{_SCOPE_PREFIX}{scope}" for scope in scopes],
    )
    return cast(str, message.prepare_message())


def check_sign_in(service: Service, text: str, signature: str) -> tuple[str, list[Scope], str]:
    """The account (lower case), scopes and nonce of a signed message, all but the nonce checked."""
    message = _parse(service, text)
    try:
        message.verify(
            signature,
            domain=domain(service),
            uri=service.info.public_url,
            chain_id=service.escrow_domain.chain_id,
            nonce=message.nonce,
            timestamp=_EPOCH + timedelta(milliseconds=service.now_ms()),
            strict=True,
        )
    except InvalidSignature:
        if not _contract_agrees(service, message.address, text, signature):
            raise Refusal(
                401, "signature-invalid", f"the signature is not by {message.address}"
            ) from None
    except VerificationError as error:
        raise Refusal(401, "sign-in-refused", _WHY.get(type(error).__name__, "refused")) from None
    return message.address.lower(), _scopes(message.resources or []), message.nonce


_WHY = {
    "ChainIdMismatch": "the message is for another chain",
    "DomainMismatch": "the message is for another domain",
    "ExpiredMessage": "the message has expired",
    "NotYetValidMessage": "the message is not valid yet",
}


def domain(service: Service) -> str:
    """The authority that sign-in messages are made out to."""
    return urlsplit(service.info.public_url).netloc


def new_key() -> tuple[str, bytes]:
    """A key, and the hash that is kept of it."""
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


def _contract_agrees(service: Service, address: str, text: str, signature: str) -> bool:
    data = text.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n%d" % len(data) + data)
    return service.is_valid_signature(
        checksummed(address), digest, bytes.fromhex(signature.removeprefix("0x"))
    )


def _iso(time_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
