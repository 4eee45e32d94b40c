"""The schema of the database, as its owner makes it: migrations, rights, limits, logins, logs."""

import hashlib
import json
import re
from importlib.resources import files
from typing import cast

from psycopg import sql

from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import InboxLimits, Limits, inbox_limits
from orchestrator.core.world.codec import request_kind
from orchestrator.core.world.rights import RIGHTS, names_key
from orchestrator.storage.database import (
    LOGINS,
    SEQUENCER,
    DatabaseUrls,
    Session,
    open_connection,
    parameters_of,
)
from orchestrator.storage.queries import statement

_MIGRATION_LOCK = 0x7A11_7571_C400_0001
_INCLUDE = re.compile(r"^-- include (\S+) (\S+)$", re.MULTILINE)


def migrate(url: str, limits: Limits | None = None) -> list[str]:
    """Bring the schema up to date as the user of `url`, and return the migrations applied.

    Each migration is applied once, in order, in a transaction of its own; the rights of requests
    are those of this program after each call, and requests are held to these limits. Raises
    `LogError` if a migration that was applied has since been changed, or is not known to this
    version of the program.
    """
    known = _migrations()
    applied_now = []
    with open_connection(url, autocommit=True) as raw:
        # Of several programs that start at once, one migrates and the others wait for it here.
        raw.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        raw.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(name text PRIMARY KEY, checksum bytea NOT NULL, applied_at timestamptz NOT NULL)"
        )
        done = dict(
            cast(
                list[tuple[str, bytes]],
                raw.execute("SELECT name, checksum FROM migrations").fetchall(),
            )
        )
        _check_history(known, done)
        for name, text in known.items():
            if name in done:
                continue
            with raw.transaction():
                raw.execute(text)
                raw.execute(
                    "INSERT INTO migrations VALUES (%s, %s, now())", (name, _checksum(text))
                )
            applied_now.append(name)
        if raw.execute("SELECT to_regclass('inbox_limits')").fetchone() != (None,):
            raw.execute(statement("database.put_rights"), {"rights": _rights()})
            held = inbox_limits(limits or Limits())
            raw.execute(statement("database.put_inbox_limits"), held._asdict())
    return applied_now


def inbox_limits_of(session: Session) -> InboxLimits | None:
    """Return the numbers that this database holds requests to, None before `migrate` wrote any."""
    row = session.one("database.inbox_limits")
    return None if row is None else InboxLimits(*row)


def _rights() -> str:
    """Return the program's table of rights as the rows of the database's."""
    return json.dumps(
        [
            {
                "kind": request_kind(make),
                "sender": f"tallystick_{right.sender}",
                "scope": right.scope,
                "actor": right.actor,
                "names_key": names_key(make),
                "is_surface_owners": right.is_surface_owners,
                "is_publishers": right.is_publishers,
            }
            for make, right in RIGHTS.items()
        ]
    )


def secure_logins(urls: DatabaseUrls) -> list[str]:
    """Give logins the passwords in their URLs, as the owner, and return the logins that got one.

    Where the owner of the schema owns the database too, no other role but the logins may connect to
    it, and of them only the sequencer makes temporary tables, which it needs. A login whose URL has
    no password is left as it is: the server knows it by other means, such as its socket's peer.
    """
    secured = []
    with open_connection(urls.owners, autocommit=True) as raw:
        (row,) = raw.execute(statement("database.owned")).fetchall()
        if row[1]:
            names = {"database": sql.Identifier(row[0])}
            for text in (
                "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
                *(f"GRANT CONNECT ON DATABASE {{database}} TO {login}" for login in LOGINS),
                f"GRANT TEMPORARY ON DATABASE {{database}} TO {SEQUENCER}",
            ):
                raw.execute(sql.SQL(text).format(**names))
        for login, url in urls.by_login.items():
            given = parameters_of(url)
            if given.get("user") != login:
                raise InputError(
                    "login-other", f"the user of this part's database URL must be {login}"
                )
            if given.get("password") is None:
                continue
            # Hashed here, so that no log of the server's statements has the password.
            hashed = raw.pgconn.encrypt_password(
                str(given["password"]).encode(), login.encode(), b"scram-sha-256"
            )
            raw.execute(
                sql.SQL("ALTER ROLE {login} LOGIN PASSWORD {hashed}").format(
                    login=sql.Identifier(login), hashed=sql.Literal(hashed.decode())
                )
            )
            secured.append(login)
    return secured


def create_log(
    url: str,
    *,
    log_id: bytes,
    origin: str,
    chain_id: int,
    event_log: str,
    escrow: str,
    publisher: str,
) -> bool:
    """Begin a log as the user of `url`, who migrated; return False if the same log exists.

    Addresses are `0x` and 40 hex digits. Raises `LogError` if the log exists and differs.
    """
    wanted = (
        log_id, origin, chain_id, event_log.lower(), escrow.lower(), publisher.lower()
    )  # fmt: skip
    with open_connection(url) as raw:
        raw.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        found = raw.execute(statement("database.log"), {"log_id": log_id}).fetchone()
        if found is None:
            raw.execute("CALL create_log(%s, %s, %s, %s, %s, %s)", wanted)
        elif tuple(found) != wanted:
            raise LogError("log-differs", f"log {to_hex(log_id)} is {found[1:]}, not {wanted[1:]}")
    return found is None


def _migrations() -> dict[str, str]:
    folder = files("orchestrator.storage").joinpath("sql/migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    texts = {name: folder.joinpath(name).read_text("utf-8") for name in names}
    return {name.removesuffix(".sql"): _INCLUDE.sub(_included, texts[name]) for name in names}


def _included(line: re.Match[str]) -> str:
    """Return the SQL of another package that a migration includes by a line of its own."""
    return files(line[1]).joinpath(line[2]).read_text("utf-8")


def _check_history(known: dict[str, str], done: dict[str, bytes]) -> None:
    for name, checksum in done.items():
        if name not in known:
            raise LogError(
                "migration-unknown",
                f"the database has migration {name}, which this version does not know; update it",
            )
        if _checksum(known[name]) != bytes(checksum):
            raise LogError(
                "migration-changed", f"migration {name} was changed after it was applied"
            )
    missing = [name for name in known if name not in done]
    if missing and done and missing[0] < max(done):
        raise LogError("migration-skipped", f"migration {missing[0]} was passed over")


def _checksum(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
