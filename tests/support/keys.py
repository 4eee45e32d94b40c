"""API keys for tests, put into the database as only its owner can."""

from collections.abc import Sequence
from hashlib import sha256

import psycopg

from orchestrator.core.account.scopes import SCOPES

FOREVER_MS = 1 << 50


def secret_of(account: str, name: str = "test") -> bytes:
    """Return the secret of the key of this name that `give_key` gives an account."""
    return sha256(f"secret {name} of {account.lower()}".encode()).digest()


def key_of(account: str, name: str = "test") -> bytes:
    """Return the id of that key."""
    return sha256(f"key {name} of {account.lower()}".encode()).digest()


def give_key(
    url: str,
    account: str,
    scopes: Sequence[str] = SCOPES,
    *,
    name: str = "test",
    expires_ms: int = FOREVER_MS,
    surfaces: Sequence[bytes] | None = None,
    parent: str | None = None,
    revoked_ms: int | None = None,
) -> bytes:
    """Give an account a key, a wallet's or that of a parent of this name; return its secret."""
    account, secret = account.lower(), secret_of(account, name)
    with psycopg.connect(url) as admin:
        admin.execute("INSERT INTO accounts VALUES (%s, 0) ON CONFLICT DO NOTHING", (account,))
        admin.execute(
            "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, surfaces,"
            " created_ms, expires_ms, revoked_ms)"
            " VALUES (%s, %s, sha256(%s), %s, %s, %s, %s, 0, %s, %s) ON CONFLICT DO NOTHING",
            (
                key_of(account, name),
                account,
                secret,
                None if parent is None else key_of(account, parent),
                name,
                list(scopes),
                None if surfaces is None else list(surfaces),
                expires_ms,
                revoked_ms,
            ),
        )
    return secret
