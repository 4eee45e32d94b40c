"""Confirmations of what cannot be undone: a first call says what will be done, a second does it.

They stop accidents of a model, not injections: one who steers the model can confirm as well. What
only the wallet may do is signed outside.
"""

import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from api.context import Service
from orchestrator.core.common.document import canonical_json

MAX_OPEN = 20
_TOKEN_BYTES = 16


class Confirmation(NamedTuple):
    """A token that confirms one call of one tool once."""

    token: str
    expires_ms: int


def ask(service: Service, secret: bytes, tool: str, arguments: Mapping[str, Any]) -> Confirmation:
    """Return the confirmation of a call by this key, of which at most `MAX_OPEN` stay open."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires_ms = service.now_ms() + service.limits.confirmation_ttl_ms
    with service.database.transaction(secret=secret) as session:
        session.run("api.drop_confirmations", keep=MAX_OPEN - 1)
        session.run(
            "api.add_confirmation",
            token_hash=sha256(token.encode()).digest(),
            digest=_digest(tool, arguments),
            expires_ms=expires_ms,
        )
    return Confirmation(token, expires_ms)


def take(
    service: Service, secret: bytes, tool: str, arguments: Mapping[str, Any], token: str
) -> bool:
    """Use a confirmation up and return True if it confirms this very call, else return False."""
    with service.database.transaction(secret=secret) as session:
        row = session.one(
            "api.take_confirmation",
            token_hash=sha256(token.encode()).digest(),
            digest=_digest(tool, arguments),
        )
    return row is not None


def _digest(tool: str, arguments: Mapping[str, Any]) -> bytes:
    """Return a hash of a call. Arguments are JSON, so their canonical form is one."""
    return sha256(canonical_json({"tool": tool, "arguments": dict(arguments)})).digest()
