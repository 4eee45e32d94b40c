"""API keys for tests, put into the database as only its owner can."""

from collections.abc import Sequence
from hashlib import sha256

import psycopg

from orchestrator.core.scopes import SCOPES

FOREVER_MS = 1 << 50


def secret_of(account: str) -> bytes:
    """Return the secret of the key that `give_key` gives an account."""
    return sha256(f"secret of {account.lower()}".encode()).digest()


def give_key(
    url: str, account: str, scopes: Sequence[str] = SCOPES, *, expires_ms: int = FOREVER_MS
) -> bytes:
    """Give an account a wallet's key with these scopes, and return its secret."""
    account, secret = account.lower(), secret_of(account)
    with psycopg.connect(url) as admin:
        admin.execute("INSERT INTO accounts VALUES (%s, 0) ON CONFLICT DO NOTHING", (account,))
        admin.execute(
            "INSERT INTO api_keys"
            " (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
            " VALUES (sha256(%s), %s, sha256(%s), 'test', %s, 0, %s) ON CONFLICT DO NOTHING",
            (f"key of {account}".encode(), account, secret, list(scopes), expires_ms),
        )
    return secret
