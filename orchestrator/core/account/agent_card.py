"""Agent cards (A2A 1.0) of the service, of surfaces and of operators, and their signatures.

A card says who an agent is and what it can do. Its names are other people's words: they are bounded
and stand in it as data. No member of a card is empty, and none is false where the protocol takes
that for absent, so every reading of A2A's canonical form (RFC 8785, without `signatures`) gives the
same bytes. A signature is a JWS (RFC 7515) over them: ES256, with the key's thumbprint (RFC 7638)
as its `kid`.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWK
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from orchestrator.core.common.errors import InputError, ReplayError

PROTOCOL_VERSION = "1.0"
ALGORITHM = "ES256"
# Where a service tells the keys that it signs cards with.
KEYS_PATH = "/.well-known/jwks.json"
# The extension by which a card carries what the log and the chain know of its agent.
RECORD = "urn:tallystick:record:1"
MCP = "https://modelcontextprotocol.io"
MAX_SKILLS = 32
MAX_NAME_CHARS = 128
_JSON = ["application/json"]

Card = dict[str, Any]


class CardSkill(NamedTuple):
    """An ability that a card names: its id, its name, what it means, and words to find it by."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        words = (self.id, self.name, self.description)
        short = {key: plain(text) for key, text in zip(self._fields, words, strict=False)}
        return {**short, "description": plain(self.description, 512), "tags": list(self.tags)}


def plain(text: str, most: int = MAX_NAME_CHARS) -> str:
    """Return a name as a card shows it: bounded, and without a character that cannot be seen."""
    return "".join(each if each.isprintable() else "?" for each in text[:most]) or "?"


def card_of(
    *,
    url: str,
    provider: str,
    name: str,
    description: str,
    skills: Sequence[CardSkill],
    record: Mapping[str, str],
    page: str,
) -> Card:
    """Return the card of an agent that is reached by the service at `url`, not signed yet.

    `page` is the path of its own public record. Raises InputError for a card without a skill.
    """
    if not skills:
        raise InputError("card-skills", f"the card of {name} names no skill")
    return {
        "name": plain(name),
        "description": plain(description, 1024),
        "version": PROTOCOL_VERSION,
        "supportedInterfaces": [
            {"url": f"{url}/mcp", "protocolBinding": MCP, "protocolVersion": PROTOCOL_VERSION},
            {
                "url": f"{url}{page}",
                "protocolBinding": f"{url}/v1/openapi.json",
                "protocolVersion": PROTOCOL_VERSION,
            },
        ],
        "provider": {"organization": plain(provider), "url": url},
        "documentationUrl": f"{url}/docs",
        "capabilities": {
            "streaming": False,
            "pushNotifications": False,
            "extendedAgentCard": False,
            "extensions": [
                {
                    "uri": RECORD,
                    "description": "What the log and the chain know of this agent.",
                    "params": {key: value for key, value in record.items() if value},
                }
            ],
        },
        "securitySchemes": {
            "key": {
                "httpAuthSecurityScheme": {
                    "scheme": "Bearer",
                    "description": "A wallet gets a key by signing in (EIP-4361), or by OAuth.",
                }
            }
        },
        "defaultInputModes": _JSON,
        "defaultOutputModes": _JSON,
        "skills": [skill.to_json() for skill in skills[:MAX_SKILLS]],
    }


# --- Signatures -----------------------------------------------------------------------------------


def canonical(card: Mapping[str, Any]) -> bytes:
    """Return the bytes of a card that are signed."""
    return rfc8785.dumps({key: value for key, value in card.items() if key != "signatures"})


class CardKey:
    """The key with which a service signs cards: 32 bytes, of the curve P-256."""

    def __init__(self, secret: bytes, keys_url: str) -> None:
        try:
            self._key = ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())
        except ValueError:
            raise InputError(
                "card-key", "a key of cards is 32 bytes, in the range of P-256"
            ) from None
        self.jwk = _jwk(self._key.public_key())
        self._header = {"typ": "JOSE", "kid": self.jwk["kid"], "jku": keys_url}
        # No two signatures are the same, and caches are to find a card as it was.
        self._made = lru_cache(maxsize=256)(self._jws)

    def sign(self, card: Card) -> Card:
        """Return the card with our signature."""
        protected, _, signature = self._made(canonical(card)).split(".")
        return {**card, "signatures": [{"protected": protected, "signature": signature}]}

    def _jws(self, payload: bytes) -> str:
        return PyJWS().encode(payload, self._key, ALGORITHM, self._header)


def check_card(card: Mapping[str, Any], jwk: Mapping[str, str]) -> None:
    """Raise ReplayError `card-signature` unless this public key has signed the card."""
    try:
        key = PyJWK(dict(jwk), ALGORITHM)
        for signature in card["signatures"]:
            header = json.loads(_decoded(signature["protected"]))
            if header["kid"] == thumbprint(jwk) and header["alg"] == ALGORITHM:
                payload = base64.urlsafe_b64encode(canonical(card)).rstrip(b"=").decode()
                token = f"{signature['protected']}.{payload}.{signature['signature']}"
                PyJWS().decode(token, key, [ALGORITHM])
                return
    except (LookupError, TypeError, ValueError, AttributeError, PyJWTError):
        pass
    raise ReplayError("card-signature", f"the card is not signed by the key {thumbprint(jwk)}")


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the thumbprint of a public key of a curve (RFC 7638)."""
    needed = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return _encoded(sha256(rfc8785.dumps(needed)).digest())


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Return a public key as a JSON Web Key (RFC 7517), named by its thumbprint."""
    numbers = key.public_numbers()
    point = {"x": _encoded(numbers.x.to_bytes(32)), "y": _encoded(numbers.y.to_bytes(32))}
    jwk = {"kty": "EC", "crv": "P-256", **point}
    return {**jwk, "kid": thumbprint(jwk), "alg": ALGORITHM, "use": "sig"}


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
