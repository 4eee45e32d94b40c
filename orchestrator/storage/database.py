"""PostgreSQL: migrations, connections with a role, transactions with an account.

Nothing else imports psycopg, and no SQL stands outside `storage/sql`. A query is called by its
file's name and its own, as in `log.last_checkpoint`; its `%(name)s` are passed by keyword.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, cast

import psycopg
from psycopg import IsolationLevel
from psycopg.adapt import Loader
from psycopg.rows import namedtuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from orchestrator.core.errors import InputError, LogError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.resource import Resource

# Any refusal by PostgreSQL or by the connection to it; `sqlstate` names the reason.
DatabaseError = psycopg.Error
Unreachable = (psycopg.OperationalError, PoolTimeout)

SEQUENCER = "tallystick_sequencer"
WORKER = "tallystick_worker"
API = "tallystick_api"
REGISTRAR = "tallystick_registrar"

CONNECT_S = 10
SILENCE_S = 60
# A slow statement, a lock or a silent client must not hold the database up without end.
_LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
_MIGRATION_LOCK = 0x7A11_7571_C400_0001

Row = Any


class Session:
    """One transaction. Rows are named tuples.

    `key` is what the database knows of the key whose secret the transaction presents; None for a
    key that it does not know, or for none.
    """

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self.key: Row | None = None

    def all(self, query: str, /, **arguments: object) -> list[Row]:
        """Return all rows of a query, which bounds them itself."""
        return self._connection.execute(statement(query), arguments).fetchall()

    def one(self, query: str, /, **arguments: object) -> Row | None:
        """Return the only row, or None. Raises `LogError` for more than one."""
        rows = self.all(query, **arguments)
        if len(rows) > 1:
            raise LogError("rows-many", f"{query} gave {len(rows)} rows where one was meant")
        return rows[0] if rows else None

    def run(self, query: str, /, **arguments: object) -> int:
        """Run a query and return the number of rows that it changed."""
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
    """A connection outside the pool, for what lives as long as it: an advisory lock."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    @contextmanager
    def transaction(
        self, account: str = "", *, secret: bytes = b"", snapshot: bool = False
    ) -> Iterator[Session]:
        """Open a transaction, which commits at the end or is rolled back.

        It speaks for the account of the key that has this secret or, where the role is a worker's,
        for the account that is named.
        """
        with self._connection.transaction():
            session = Session(self._connection)
            if snapshot:
                session.run("database.use_snapshot")
            # The row policies read both. They end with the transaction, so that a pooled connection
            # never carries them to the next caller.
            if secret:
                session.key = session.one("database.present", secret=secret)
            else:
                session.run("database.set_account", account=account)
            yield session

    def listen(self) -> None:
        """Have this connection told when a sign-in waits."""
        self._connection.execute(statement("database.listen"))

    def wait_for_notice(self, wait_s: float) -> bool:
        """Wait until the connection is told something; return False if it was not in this time."""
        return any(True for _ in self._connection.notifies(timeout=wait_s, stop_after=1))

    def close(self) -> None:
        """Release the locks, then disconnect.

        The server would release them itself, but only a moment after the disconnect: a writer that
        starts at once could find them taken.
        """
        with suppress(DatabaseError):
            self._connection.execute(statement("database.release_locks"))
        self._connection.close()


class Database(Resource):
    """A pool of connections under one role. Use it with `with`, or call `close`."""

    def __init__(self, url: str, role: str, *, most_connections: int = 8) -> None:
        self._url = url
        self._role = role
        self._pool = ConnectionPool(
            url,
            kwargs=self._arguments() | {"connect_timeout": CONNECT_S},
            min_size=0,
            max_size=most_connections,
            # Callers beyond that are refused at once; each other waits for `CONNECT_S` at most.
            max_waiting=64 * most_connections,
            timeout=CONNECT_S,
            configure=self._prepare,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def __repr__(self) -> str:
        return f"Database(role={self._role!r})"

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def transaction(
        self, account: str = "", *, secret: bytes = b"", snapshot: bool = False
    ) -> Iterator[Session]:
        """Open a transaction for the key of this secret, or a worker's for an `0x…` account.

        With `snapshot`, all its queries see the same state of the database.
        """
        with (
            self._pool.connection() as raw,
            Connection(raw).transaction(account, secret=secret, snapshot=snapshot) as session,
        ):
            yield session

    def connect(self) -> Connection:
        """Return a connection outside the pool, for the caller to close.

        Raises `InputError` or `LogError`.
        """
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
            # A vanished peer is noticed about as soon as a slow statement.
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": SILENCE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
            "autocommit": True,
            "row_factory": namedtuple_row,
            "application_name": self._role,
        }

    def _prepare(self, raw: psycopg.Connection[Row]) -> None:
        """Set a new connection up. Raises `LogError` if it could do more than its role may."""
        raw.isolation_level = IsolationLevel.READ_COMMITTED
        raw.adapters.register_loader("numeric", _WholeNumber)
        role = Session(raw).one("database.current_role")
        # A superuser, or a role with BYPASSRLS, would read every tenant's rows.
        if role is None or role.name != self._role or role.bypasses_policies:
            raise LogError("role-mighty", f"role {self._role} must be bound by the row policies")


def _connect(url: str, **arguments: Any) -> psycopg.Connection[Row]:
    """Connect. Raises `InputError` for a malformed URL, `LogError` if no server answers.

    The driver's message is left out: it quotes a part of a password that contains `@` or `%`.
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


def connect_as_owner(url: str) -> Connection:
    """Return a connection as the user of `url`, who migrated, for the caller to close.

    It is for what no role may do. Raises `InputError` or `LogError`.
    """
    return Connection(_connect(url, autocommit=True, row_factory=namedtuple_row))


def set_clock(session: Session, now_ms: int) -> None:
    """Set the clock that stamps receipts, for a simulation, as the owner of the schema.

    Raises `LogError` in a database with a log whose receipts are real times.
    """
    if session.run("database.move_clock", now_ms=now_ms):
        return
    try:
        session.run("database.begin_clock", now_ms=now_ms)
    except psycopg.errors.RestrictViolation:
        raise LogError(
            "clock-real",
            "this database keeps a log of real times; name another one for a simulation",
        ) from None


def array(numbers: Iterable[int]) -> str:
    """Write whole numbers as an argument `%(name)s::bigint[]`, which is fast for many of them."""
    return f"{{{','.join(map(str, numbers))}}}"


class _WholeNumber(Loader):
    """A loader of `numeric` as `int`: all of ours are amounts in token base units."""

    def load(self, data: bytes | bytearray | memoryview) -> int:
        return int(bytes(data))


# --- Migrations -----------------------------------------------------------------------------------


def migrate(url: str) -> list[str]:
    """Bring the schema up to date as the user of `url`, and return the migrations applied.

    Each migration is applied once, in order, in a transaction of its own. Raises `LogError` if one
    that was applied has since been changed, or is not known to this version of the program.
    """
    known = _migrations()
    applied_now = []
    with _connect(url, autocommit=True) as raw:
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
    """Begin a log as the user of `url`, who migrated; return False if the same log exists.

    Addresses are `0x` and 40 hex digits. Raises `LogError` if the log exists and differs.
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
            raise LogError("log-differs", f"log {to_hex(log_id)} is {found[1:]}, not {wanted[1:]}")
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
    """Return the SQL of a named query."""
    found = queries().get(query)
    if found is None:
        raise LogError("query-unknown", f"no query is named {query!r}")
    return found


@cache
def queries() -> dict[str, str]:
    """Return all named queries: each starts with `-- name: x` and a line that describes it."""
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
