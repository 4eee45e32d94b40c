"""Sign-in messages (EIP-4361): what a wallet signs to be given a key with just these scopes.

A message of this form is read as a whole or not at all: its statement says in words what its
resources name, so that a person who reads either reads what is granted.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.core.account.scopes import SCOPES, Scope
from orchestrator.core.common.errors import SignInError, TermsError, shown
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.common.units import NS_PER_MS, format_ms, format_time, parse_time_ns
from orchestrator.core.deals.terms import recover

MAX_MESSAGE_BYTES = 4_096
# A signature of a contract's wallet may carry others, or the wallet's own making (ERC-6492).
MAX_SIGNATURE_BYTES = 16_384
# The live keys that a wallet has of its own, and as many delegates of them.
MOST_KEYS = 100
SCOPE_PREFIX = "urn:tallystick:scope:"

_MESSAGE = re.compile(
    r"(?P<domain>[!-~]{1,255}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n"
    r"\n"
    r"(?P<statement>[ -~]{1,2500})\n"
    r"\n"
    r"URI: (?P<uri>[!-~]{1,2048})\n"
    r"Version: 1\n"
    r"Chain ID: (?P<chain_id>0|[1-9][0-9]{0,18})\n"
    r"Nonce: (?P<nonce>[0-9A-Za-z]{8,128})\n"
    r"Issued At: (?P<issued>[0-9T:.Z+-]{20,40})\n"
    r"Expiration Time: (?P<expires>[0-9T:.Z+-]{20,40})\n"
    r"(?:Not Before: (?P<not_before>[0-9T:.Z+-]{20,40})\n)?"
    r"(?:Request ID: (?P<request>[!-~]{0,128})\n)?"
    r"Resources:(?P<resources>(?:\n- [!-~]{1,200}){1,64})"
)
_CLIENT = re.compile(
    r"Let client (?P<id>[!-~]{1,1200}), which is answered at (?P<host>[!-~]{1,300}), use "
    r"Tallystick in your name, with a key for [a-z:, ]+, as request (?P<request>[0-9a-f]{32}) "
    r"asks\."
)


class Audience(NamedTuple):
    """The service that messages are made out to."""

    domain: str
    uri: str
    chain_id: int


class SignedClient(NamedTuple):
    """The program that a message lets act for its account, and the request by which it asked.

    `host` is where the answer goes: the host of its redirect URI.
    """

    id: str
    host: str
    request: str


class SignIn(NamedTuple):
    """The content of a message: an account, with its checksum, and the scopes that it asks for.

    With a client, the key is for that client, and no wallet's own.
    """

    address: str
    scopes: tuple[Scope, ...]
    nonce: str
    issued_ms: int
    expires_ms: int
    client: SignedClient | None = None


def write_message(audience: Audience, sign_in: SignIn) -> str:
    """Return the text that an account signs."""
    resources = "".join(f"\n- {SCOPE_PREFIX}{scope}" for scope in sign_in.scopes)
    request = "" if sign_in.client is None else f"Request ID: {sign_in.client.request}\n"
    return (
        f"{audience.domain} wants you to sign in with your Ethereum account:\n"
        f"{sign_in.address}\n"
        f"\n"
        f"{statement_of(sign_in.scopes, sign_in.client)}\n"
        f"\n"
        f"URI: {audience.uri}\n"
        f"Version: 1\n"
        f"Chain ID: {audience.chain_id}\n"
        f"Nonce: {sign_in.nonce}\n"
        f"Issued At: {format_time(sign_in.issued_ms * NS_PER_MS)}\n"
        f"Expiration Time: {format_time(sign_in.expires_ms * NS_PER_MS)}\n"
        f"{request}"
        f"Resources:{resources}"
    )


def statement_of(scopes: Sequence[Scope], client: SignedClient | None = None) -> str:
    """Return the sentence of a message, which names what is granted, and to which client."""
    if client is None:
        return f"Sign in to Tallystick with a key for {', '.join(scopes)}."
    return (
        f"Let client {client.id}, which is answered at {client.host}, use Tallystick in your name, "
        f"with a key for {', '.join(scopes)}, as request {client.request} asks."
    )


def read_message(audience: Audience, text: str, now_ms: int) -> SignIn:
    """Return the content of a message that is for this service and valid now.

    Neither its nonce nor its signature is judged. Raises `SignInError`.
    """
    match = _MESSAGE.fullmatch(text) if len(text) <= MAX_MESSAGE_BYTES else None
    if match is None or match["address"] != to_checksum_address(match["address"]):
        raise SignInError(
            "message-malformed",
            "the message is no EIP-4361 message with statement, expiration time and resources",
        )
    _check_audience(audience, match)
    scopes = _scopes(match["resources"].split("\n- ")[1:])
    client = _client(match)
    if match["statement"] != statement_of(scopes, client):
        raise SignInError(
            "statement-differs",
            f"the message's statement must be what its resources grant: "
            f"{statement_of(scopes, client)!r}",
        )
    try:
        issued_ms, expires_ms = _moment(match["issued"]), _moment(match["expires"])
        from_ms = _moment(match["not_before"]) if match["not_before"] else issued_ms
    except ValueError as error:
        raise SignInError("message-malformed", f"a time of the message {error}") from None
    if expires_ms <= now_ms:
        raise SignInError("message-expired", f"the message has expired at {format_ms(expires_ms)}")
    if from_ms > now_ms:
        raise SignInError("message-early", f"the message is not valid until {format_ms(from_ms)}")
    return SignIn(match["address"], scopes, match["nonce"], issued_ms, expires_ms, client)


def message_digest(text: str) -> bytes:
    """Return what a wallet signs of a text (EIP-191)."""
    data = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(data) + data)


def is_signed_by_key(address: str, text: str, signature: bytes) -> bool:
    """Return whether the address's own key signed a text. Wallets write v as 0 or as 27."""
    if len(signature) == 65 and signature[64] in (0, 1):
        signature = signature[:64] + bytes([signature[64] + 27])
    try:
        return recover(message_digest(text), signature) == address
    except TermsError:
        return False


def _check_audience(audience: Audience, match: re.Match[str]) -> None:
    wanted = {"domain": audience.domain, "uri": audience.uri, "chain_id": str(audience.chain_id)}
    for name, value in wanted.items():
        if match[name] != value:
            raise SignInError(
                f"{name.replace('_', '-')}-differs",
                f"the message's {name.replace('_', ' ')} is {shown(match[name])}, not {value}",
            )


def _client(match: re.Match[str]) -> SignedClient | None:
    """Return the client that the statement names, whose request the message must name too."""
    named = _CLIENT.fullmatch(match["statement"])
    if named is None or named["request"] != match["request"]:
        return None
    return SignedClient(named["id"], named["host"], named["request"])


def _scopes(resources: Sequence[str]) -> tuple[Scope, ...]:
    asked = {resource.removeprefix(SCOPE_PREFIX) for resource in resources}
    scopes = tuple(scope for scope in SCOPES if scope in asked)
    if [f"{SCOPE_PREFIX}{scope}" for scope in scopes] != list(resources):
        raise SignInError(
            "scopes-unknown",
            f"the message's resources must be scopes in their order, each once, such as "
            f"{SCOPE_PREFIX}{SCOPES[0]}; there are {', '.join(SCOPES)}",
        )
    return scopes


def _moment(text: str) -> int:
    return parse_time_ns(text) // NS_PER_MS
