"""The edge to PostgreSQL: migrations, connections with a role, transactions with an account.

Nothing else imports psycopg, and no SQL stands outside `storage/sql`. A query is called by its
file's name and its own, as in `log.last_checkpoint`; its `%(name)s` are given by keyword.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, Self, cast

import psycopg
from psycopg import IsolationLevel
from psycopg.adapt import Loader
from psycopg.rows import namedtuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from orchestrator.core.errors import InputError, LogError

# Whatever PostgreSQL or the way to it refused; `sqlstate` tells what.
DatabaseError = psycopg.Error
Unreachable = (psycopg.OperationalError, PoolTimeout)

SEQUENCER = "tallystick_sequencer"
WORKER = "tallystick_worker"
API = "tallystick_api"

CONNECT_S = 10
SILENCE_S = 60
# Nothing may hold the database up without end: a statement, a lock, or a client gone silent.
_LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
_MIGRATION_LOCK = 0x7A11_7571_C400_0001

Row = Any


class Session:
    """One transaction. Rows come as named tuples."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def all(self, query: str, /, **arguments: object) -> list[Row]:
        """All rows that the query gives; a query bounds them itself."""
        return self._connection.execute(statement(query), arguments).fetchall()

    def one(self, query: str, /, **arguments: object) -> Row | None:
        """The only row, or None."""
        rows = self.all(query, **arguments)
        if len(rows) > 1:
            raise LogError("rows-many", f"{query} gave {len(rows)} rows where one was meant")
        return rows[0] if rows else None

    def run(self, query: str, /, **arguments: object) -> int:
        """How many rows the query changed."""
        return self._connection.execute(statement(query), arguments).rowcount

    def run_each(self, query: str, /, arguments: Sequence[Mapping[str, object]]) -> None:
        """Run a query once for each of these sets of arguments, in few round trips."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement(query), arguments)

    def copy(self, query: str, types: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write rows by a query that is `COPY … FROM STDIN (FORMAT binary)`."""
        with self._connection.cursor() as cursor, cursor.copy(statement(query)) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)


class Connection:
    """One connection of one's own, for what a session keeps: an advisory lock."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self, account: str = "", *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction that speaks for `account`: committed at the end, or rolled back."""
        with self._connection.transaction():
            session = Session(self._connection)
            if snapshot:
                session.run("database.hold_still")
            session.run("database.speak_for", account=account)
            yield session

    def close(self) -> None:
        """Give the locks back and hang up; by itself the server does that when it gets to it."""
        with suppress(DatabaseError):
            self._connection.execute(statement("database.give_back"))
        self._connection.close()


class Database:
    """A pool of connections that act under one role. Use it with `with`, or call `close`."""

    def __init__(self, url: str, role: str, *, most_connections: int = 8) -> None:
        self._url = url
        self._role = role
        self._pool = ConnectionPool(
            url,
            kwargs=self._arguments() | {"connect_timeout": CONNECT_S},
            min_size=0,
            max_size=most_connections,
            max_waiting=64 * most_connections,
            timeout=CONNECT_S,
            configure=self._prepare,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database(role={self._role!r})"

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def transaction(self, account: str = "", *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction that speaks for `account`, an `0x…` address (empty: for nobody).

        With `snapshot`, all its queries see the same state of the database.
        """
        with (
            self._pool.connection() as raw,
            Connection(raw).transaction(account, snapshot=snapshot) as session,
        ):
            yield session

    def connect(self) -> Connection:
        """A connection outside the pool; the caller closes it. Raises `InputError`, `LogError`."""
        raw = _connect(self._url, **self._arguments())
        try:
            self._prepare(raw)
        except BaseException:
            raw.close()
            raise
        return Connection(raw)

    def _arguments(self) -> dict[str, Any]:
        settings = {"role": self._role, "row_security": "on", **_LIMITS}
        return {
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            # A peer that is gone without a word is found out about as soon as a slow statement.
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": SILENCE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
            "autocommit": True,
            "row_factory": namedtuple_row,
            "application_name": self._role,
        }

    def _prepare(self, raw: psycopg.Connection[Row]) -> None:
        """Refuse a connection that could do more than its role may."""
        raw.isolation_level = IsolationLevel.READ_COMMITTED
        raw.adapters.register_loader("numeric", _WholeNumber)
        role = Session(raw).one("database.who_am_i")
        if role is None or role.name != self._role or role.is_mighty:
            raise LogError("role-mighty", f"role {self._role} must be bound by the row policies")


def _connect(url: str, **arguments: Any) -> psycopg.Connection[Row]:
    """A connection. Raises `InputError` for what is no URL, `LogError` where nobody answers to it.

    What the driver says is left out: of a password with an `@` or a `%` in it, it quotes a part.
    """
    try:
        return psycopg.connect(url, connect_timeout=CONNECT_S, **arguments)
    except psycopg.ProgrammingError:
        raise InputError(
            "database-url-malformed",
            "TALLYSTICK_DATABASE_URL is no PostgreSQL URL; percent-encode what is special in it",
        ) from None
    except psycopg.OperationalError:
        raise LogError(
            "database-unreachable",
            "PostgreSQL takes no connection by TALLYSTICK_DATABASE_URL: is it up, are host, user "
            "and password right, and has tallystick serve set it up for us?",
        ) from None


def array(numbers: Iterable[int]) -> str:
    """Whole numbers as an argument `%(name)s::bigint[]`: many of them, fast."""
    return f"{{{','.join(map(str, numbers))}}}"


class _WholeNumber(Loader):
    """Amounts are whole numbers of token base units, whatever their size."""

    def load(self, data: bytes | bytearray | memoryview) -> int:
        return int(bytes(data))


# --- Migrations -----------------------------------------------------------------------------------


def migrate(url: str) -> list[str]:
    """Bring the schema up to date as the user of `url`; returns the names of what was applied.

    Each migration is applied once, in order, in a transaction of its own. Raises `LogError` if one
    that was applied has since been changed, or is not known to this version of the program.
    """
    known = _migrations()
    applied_now = []
    with _connect(url, autocommit=True) as raw:
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
    return applied_now


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
    """Begin a log as the user of `url`, who migrated; False if it is there already, and the same.

    Addresses are `0x` and 40 hex digits. Raises `LogError` if the log is there and differs.
    """
    wanted = (
        log_id, origin, chain_id, event_log.lower(), escrow.lower(), publisher.lower()
    )  # fmt: skip
    with _connect(url) as raw:
        raw.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        found = raw.execute(statement("database.log"), {"log_id": log_id}).fetchone()
        if found is None:
            raw.execute("CALL create_log(%s, %s, %s, %s, %s, %s)", wanted)
        elif tuple(found) != wanted:
            raise LogError("log-differs", f"log 0x{log_id.hex()} is {found[1:]}, not {wanted[1:]}")
    return found is None


def _migrations() -> dict[str, str]:
    folder = files("orchestrator.storage").joinpath("sql/migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return {name.removesuffix(".sql"): folder.joinpath(name).read_text("utf-8") for name in names}


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


# --- Named queries --------------------------------------------------------------------------------

_HEAD = re.compile(r"^-- name: (\w+)\n-- (\S.*)\n", re.MULTILINE)


def statement(query: str) -> str:
    """The SQL of a named query."""
    found = queries().get(query)
    if found is None:
        raise LogError("query-unknown", f"no query is named {query!r}")
    return found


@cache
def queries() -> dict[str, str]:
    """All named queries: each starts with `-- name: x` and a line that says what it does."""
    found: dict[str, str] = {}
    for file in files("orchestrator.storage").joinpath("sql/queries").iterdir():
        if not file.name.endswith(".sql"):
            continue
        text = file.read_text("utf-8")
        if text.count("-- name:") != len(_HEAD.findall(text)):
            raise LogError("query-malformed", f"{file.name}: a query lacks its name or description")
        _, *parts = _HEAD.split(text)
        for name, _, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            full_name = f"{file.name.removesuffix('.sql')}.{name}"
            if full_name in found:
                raise LogError("query-twice", f"two queries are named {full_name}")
            found[full_name] = body.strip().removesuffix(";")
    return found
