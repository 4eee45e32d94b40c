"""PostgreSQL: logins, connections of one login, transactions with an account.

But for the schema nothing else imports psycopg, and no SQL stands outside `storage/sql`. A query is
called by its file's name and its own, as in `log.last_checkpoint`; its `%(name)s` are passed by
keyword.
"""

import select
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple, Self

import psycopg
from psycopg import IsolationLevel
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import RowFactory, RowMaker, namedtuple_row
from psycopg.types.string import BytesBinaryDumper
from psycopg_pool import ConnectionPool, PoolTimeout

from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.resource import Resource
from orchestrator.storage.queries import statement
from orchestrator.storage.sql.sqlstates import (
    COLUMN_MISSING,
    CONNECTION_LOST,
    CONNECTIONS_FULL,
    FORBIDDEN,
    FUNCTION_MISSING,
    LOCK_LATE,
    OBJECT_MISSING,
    READ_ONLY,
    SCHEMA_MISSING,
    STATEMENT_LATE,
    STOPPING,
    TABLE_MISSING,
)
from orchestrator.storage.trouble import Reach, Trouble

# Any refusal by PostgreSQL or by the connection to it; `sqlstate` names the reason.
DatabaseError = psycopg.Error
Unreachable = (psycopg.OperationalError, PoolTimeout)

# The logins of the parts. Each is a role of its own, and may become no other.
SEQUENCER = "tallystick_sequencer"
WORKER = "tallystick_worker"
API = "tallystick_api"
REGISTRAR = "tallystick_registrar"
LOGINS = (SEQUENCER, WORKER, API, REGISTRAR)
# Of whom a URL is that no login has.
OWNER = "the owner of the schema"

CONNECT_S = 10
SILENCE_S = 60
# A caller that waits for a connection looks this often whether one can be made at all.
_LOOK_S = 0.5

Row = Any

# The states of errors by which the database takes nothing now, whatever it is asked, each with its
# words. An error without a state is the driver's: the connection is lost, or there is none.
_AWAY = {
    CONNECTION_LOST: "a connection was lost",
    STOPPING: "it is stopping or starting",
    CONNECTIONS_FULL: "it has no connection left for us",
    READ_ONLY: "it takes no writes, as a replica does",
}

# A lock, or the statement itself, took too long.
_LATE = (LOCK_LATE, STATEMENT_LATE)

# What a server says of a connection that it does not take, and what we say of it.
_REFUSED = {
    "no pg_hba.conf entry": "its pg_hba.conf lets no such connection in",
    "password authentication failed": "the login or the password is wrong",
    "no password supplied": "it asks for a password, and the URL has none",
    "is not permitted to log in": "this login may not; run tallystick migrate with its URL",
    "permission denied for database": "this login may not; run tallystick migrate with its URL",
    "too many": _AWAY[CONNECTIONS_FULL],
    "connection slots": _AWAY[CONNECTIONS_FULL],
    "starting up": _AWAY[STOPPING],
    "shutting down": _AWAY[STOPPING],
    "in recovery mode": _AWAY[STOPPING],
    "not yet accepting": _AWAY[STOPPING],
    "not currently accepting": "this database takes no connections",
    'role "': "it has no such login; name another, or run tallystick migrate",
    'database "': "it has no such database; name another, or make this one",
    "": "it refuses us; are login, password and database right?",
}
_NAMELESS = "its host is not found by this name"
# What the driver says where no server has refused us; anything else is silence.
_UNREACHED = {
    "resolve host": _NAMELESS,
    "translate host name": _NAMELESS,
    "certificate": "a certificate is not there, or is not what the URL asks for",
    "SSL": "it does not speak TLS as the URL asks for it",
    "": "nothing answers at its host and port; is it up, and are they right?",
}
_UNMIGRATED = (SCHEMA_MISSING, COLUMN_MISSING, OBJECT_MISSING, FUNCTION_MISSING, TABLE_MISSING)


class DatabaseAway(psycopg.OperationalError):
    """A database that is not asked, since a moment ago it took no connection."""


def is_away(error: BaseException) -> bool:
    """Return whether an error says that the database takes nothing now, whatever it is asked."""
    return bool(_away_reason(error))


def refusal_of(error: psycopg.Error) -> LogError:
    """Return what the database, or the connection to it, refused, in one line for an operator."""
    if reason := _away_reason(error):
        return LogError("database-unreachable", f"{reason}; try again once it does")
    # What has no state is the driver's, and may quote a part of a password.
    lines = str(error).splitlines() if error.sqlstate is not None else []
    said = lines[0] if lines else type(error).__name__
    if error.sqlstate in _UNMIGRATED:
        return LogError(
            "database-unmigrated",
            f"the database is not as this version has it: {said}; run tallystick migrate",
        )
    if error.sqlstate == FORBIDDEN:
        return LogError(
            "database-forbids",
            f"the database forbids it: {said}; run tallystick migrate, as the owner of the schema, "
            f"a role with CREATEROLE",
        )
    return LogError("database-refused", f"the database refused: {said}")


def is_unanswered(error: BaseException) -> bool:
    """Return whether the database gave no answer in time, or takes nothing now: no one's fault."""
    return is_away(error) or (isinstance(error, psycopg.Error) and error.sqlstate in _LATE)


def _away_reason(error: BaseException) -> str:
    """Return why the database takes nothing now, by an error of the driver; empty if it does.

    The driver's own words are left out: they may quote a part of a password.
    """
    if not isinstance(error, psycopg.Error):
        return ""
    if isinstance(error, PoolTimeout):
        return "the database has no connection free for us in time"
    state = error.sqlstate
    if state is None and isinstance(error, psycopg.OperationalError):
        return f"the database does not answer: {_AWAY[CONNECTION_LOST]}"
    found = (words for start, words in _AWAY.items() if (state or "").startswith(start))
    return "".join(f"the database does not answer: {words}" for words in found)


class DatabaseUrls(NamedTuple):
    """The URLs by which one database is reached: one for each login, as far as they are known.

    `owner` is the owner of the schema, who migrates; no part of the service is given it.
    """

    sequencer: str | None = None
    worker: str | None = None
    api: str | None = None
    registrar: str | None = None
    owner: str | None = None

    def __repr__(self) -> str:
        return "DatabaseUrls(…)"

    def only(self, logins: Collection[str]) -> "DatabaseUrls":
        """Return the URLs of these logins, without the owner's."""
        return DatabaseUrls(*(self.by_login.get(one) if one in logins else None for one in LOGINS))

    @property
    def owners(self) -> str:
        """The owner's URL. Raises `InputError` if it is not known."""
        if self.owner is None:
            raise InputError(
                "database-owner-missing",
                "this is done as the owner of the schema: set TALLYSTICK_SCHEMA_DATABASE_URL",
            )
        return self.owner

    @property
    def are_unset(self) -> bool:
        """True if none of them is known."""
        return not any(self)

    @property
    def by_login(self) -> dict[str, str]:
        """The URLs of logins, by their roles, without those that are not known."""
        urls = (self.sequencer, self.worker, self.api, self.registrar)
        return {login: url for login, url in zip(LOGINS, urls, strict=True) if url is not None}


NO_URLS = DatabaseUrls()


# A query by its name, and its arguments.
NamedQuery = tuple[str, Mapping[str, object]]


class Session:
    """One transaction. Rows are named tuples.

    It begins with its first query, in the same round trip. Where it presents the secret of a key,
    `check` is then told what the database knows of the key (None: nothing), before any other result
    is used; what it raises is raised in place of that.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Row],
        opening: Sequence[NamedQuery] = (),
        ending: Sequence[NamedQuery] = (),
        check: Callable[[Row | None], object] = lambda _: None,
    ) -> None:
        self._raw = connection
        self._opening = opening
        self._ending = ending
        self._check = check
        self._presents = bool(opening) and "secret" in opening[-1][1]
        self._key: Row | None = None
        self._has_failed = False

    @property
    def key(self) -> Row | None:
        """The facts of the key whose secret is presented; None if it is not known, or is none.

        They come with what else the beginning of the transaction returned.
        """
        self._begin()
        return self._key

    def all(self, query: str, /, **arguments: object) -> list[Row]:
        """Return all rows of a query, which bounds them itself."""
        return self._send((query, arguments))[0].fetchall()

    def one(self, query: str, /, **arguments: object) -> Row | None:
        """Return the only row, or None. Raises `LogError` for more than one."""
        return _only(query, self.all(query, **arguments))

    def run(self, query: str, /, **arguments: object) -> int:
        """Run a query and return the number of rows that it changed."""
        return self._send((query, arguments))[0].rowcount

    def together(self, *queries: NamedQuery) -> list[list[Row]]:
        """Return the rows of each of these queries, which are sent in one round trip."""
        return [cursor.fetchall() for cursor in self._send(*queries)]

    def run_all(self, queries: Sequence[NamedQuery]) -> list[int]:
        """Run these queries in one round trip; return the number of rows that each changed."""
        return [cursor.rowcount for cursor in self._send(*queries)]

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

    def conclude(self, *queries: NamedQuery) -> list[list[Row]]:
        """Return the rows of the last queries, which are sent in one round trip with the end.

        If one of them fails the transaction does not end so, and is rolled back. Where they are the
        first ones too, the key is looked at when they are done: by what they do the database must
        have judged it.
        """
        sent = self._send(*queries, *self._ending)
        self._ending = ()
        return [cursor.fetchall() for cursor in sent[: len(queries)]]

    def commit(self) -> None:
        """End the transaction, if it has begun and has not ended, and keep what it did."""
        if not self._opening and self._ending:
            self._send(*self._ending)

    def roll_back(self) -> None:
        """End the transaction likewise, and undo what it did."""
        if self._has_failed:
            # The driver takes a statement as prepared that the failure has passed over; this has
            # it forget all that it has prepared.
            self._raw.rollback()
        elif not self._opening and self._ending:
            self._send(("database.roll_back", {}))

    @property
    def _connection(self) -> psycopg.Connection[Row]:
        """The connection, in the transaction."""
        self._begin()
        return self._raw

    def _begin(self) -> None:
        if self._opening:
            self._send()

    def _send(self, *queries: NamedQuery) -> list[psycopg.Cursor[Row]]:
        """Send queries in one round trip, after the opening ones if need be; return their cursors.

        Each runs after the one before it has ended, as if that had been waited for.
        """
        if not self._opening and len(queries) == 1:
            ((query, arguments),) = queries
            return [_execute(self._raw, query, arguments)]
        opening, self._opening = self._opening, ()
        sent: list[psycopg.Cursor[Row]] = []
        try:
            with self._raw.pipeline():
                for query, arguments in (*opening, *queries):
                    sent.append(_execute(self._raw, query, arguments))
        except DatabaseError:
            self._has_failed = True
            raise
        finally:
            # Also if a later query has failed: it may have, because of what the key is.
            if opening and self._presents:
                self._look_at_key(sent[len(opening) - 1 :][:1])
        return sent[len(opening) :]

    def _look_at_key(self, presented: Sequence[psycopg.Cursor[Row]]) -> None:
        """Have the key judged, if the transaction came so far as to present it."""
        results = (cursor for cursor in presented if cursor.pgresult and cursor.pgresult.ntuples)
        rows = [row for cursor in results for row in cursor.fetchall()]
        if rows:
            self._key = rows[0] if rows[0].key is not None else None
            self._check(self._key)


def _only(query: str, rows: Sequence[Row]) -> Row | None:
    """Return the only row, or None. Raises `LogError` for more than one."""
    if len(rows) > 1:
        raise LogError("rows-many", f"{query} gave {len(rows)} rows where one was meant")
    return rows[0] if rows else None


class Connection:
    """A connection outside the pool, for what lives as long as it: an advisory lock."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    @contextmanager
    def transaction(
        self,
        account: str = "",
        *,
        secret: bytes = b"",
        check: Callable[[Row | None], object] = lambda _: None,
        snapshot: bool = False,
        lets_go_early: bool = False,
        entering: NamedQuery | None = None,
    ) -> Iterator[Session]:
        """Open a transaction, which commits at the end or is rolled back.

        It speaks for the account of the key that has this secret, which `check` may refuse, or,
        where the role is a worker's, for the account that is named. One that `lets_go_early` gives
        its locks back before its writes are on the disk, and ends when they are. By `entering` it
        begins in a way that does more: a query that takes `secret` and `durability` as well.
        """
        opening = _opening(account, secret, snapshot, lets_go_early, entering)
        ending: list[NamedQuery] = [("database.commit", {})]
        if lets_go_early:
            ending.append(("database.flush", {}))
        session = Session(self._connection, opening, ending, check)
        try:
            yield session
            session.commit()
        except BaseException:
            # What has failed for good has no transaction left to roll back.
            with suppress(DatabaseError):
                session.roll_back()
            raise

    def listen(self, to: Literal["sign_ins", "checkpoints", "messages"]) -> None:
        """Have this connection told of sign-ins that wait, new checkpoints, or messages."""
        self._connection.execute(statement(f"database.listen_to_{to}"))

    def wait_for_notice(self, wait_s: float) -> bool:
        """Wait until the connection is told something; return False if it was not in this time."""
        return bool(self.notices(wait_s))

    def notices(self, wait_s: float) -> list[str]:
        """Return what the connection is told, as soon as it is; nothing after this time."""
        told = self._connection.notifies(timeout=wait_s, stop_after=1)
        return [notice.payload for notice in told]

    def close(self) -> None:
        """Release the locks, then disconnect.

        The server would release them itself, but only a moment after the disconnect: a writer that
        starts at once could find them taken.
        """
        with suppress(DatabaseError):
            self._connection.execute(statement("database.release_locks"))
        self._connection.close()


def _opening(
    account: str, secret: bytes, snapshot: bool, lets_go_early: bool, entering: NamedQuery | None
) -> list[NamedQuery]:
    """Return the queries by which a transaction begins.

    The row policies read the account and the secret. They end with the transaction, so that a
    pooled connection never carries them to the next caller; and so do the limits, which a pooler
    between us and the server takes in no other way.
    """
    start = "database.start_snapshot" if snapshot else "database.start"
    given = {"account": account, "durability": "off" if lets_go_early else "on"}
    if not secret:
        return [(start, {}), ("database.begin", given)]
    if entering is not None:
        query, arguments = entering
        return [
            (start, {}),
            (query, {**arguments, "durability": given["durability"], "secret": secret}),
        ]
    return [(start, {}), ("database.begin_with_key", given | {"secret": secret})]


class Database(Resource):
    """A pool of connections of one login. Use it with `with`, or call `close`.

    The user of `url` must be the login itself, with no rights besides: nothing is left to it to go
    back to, whatever is injected into a statement.
    """

    def __init__(
        self,
        url: str,
        login: str,
        *,
        most_connections: int = 8,
        trouble: Trouble | None = None,
    ) -> None:
        self._url = url
        self._login = login
        self._reach = Reach(trouble)
        self._pool = ConnectionPool(
            url,
            connection_class=_Pooled,
            kwargs=self._arguments() | {"connect_timeout": CONNECT_S, "reach": self._reach},
            min_size=0,
            max_size=most_connections,
            # Callers beyond that are refused at once; each other waits for `CONNECT_S` at most.
            max_waiting=64 * most_connections,
            # Those that fail are not tried ever more rarely: the next who needs one does.
            reconnect_timeout=0,
            configure=self._prepare,
            open=True,
        )

    def __repr__(self) -> str:
        return f"Database(login={self._login!r})"

    def close(self) -> None:
        self._pool.close()

    @property
    def is_troubled(self) -> bool:
        """True if it did not answer, or not all, and has not answered for a moment since."""
        return self._reach.is_troubled

    @contextmanager
    def transaction(self, account: str = "", **how: Any) -> Iterator[Session]:
        """Open a transaction on a connection of the pool, as `Connection.transaction` does.

        With `snapshot`, all its queries see the same state of the database.
        """
        with self._connection() as raw, Connection(raw).transaction(account, **how) as session:
            yield session

    def ask(self, query: str, /, **arguments: object) -> list[Row]:
        """Return the rows of one query that is a transaction of its own, in one round trip.

        It is for no account, and its limits are those that it sets itself.
        """
        with self._connection() as raw:
            return _execute(raw, query, arguments).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Row]]:
        """Use a connection of the pool, and note whether the database answers.

        Raises `DatabaseAway` at once if it takes none, and `PoolTimeout` if none is free in time.
        """
        try:
            raw = self._taken()
            try:
                yield raw
            except psycopg.Error as error:
                if is_away(error):
                    # Another server may take writes by now.
                    raw.close()
                raise
            finally:
                self._pool.putconn(raw)
        except psycopg.Error as error:
            if reason := _away_reason(error):
                self._reach.failed(reason)
            raise
        self._reach.answered()

    def _taken(self) -> "_Pooled":
        """Return a connection of the pool, for the caller to put back."""
        patience_s = _LOOK_S if self._reach.is_troubled else CONNECT_S
        deadline_s = time.monotonic() + patience_s
        while True:
            if self._reach.is_closed and not self._pool.get_stats()["pool_available"]:
                raise DatabaseAway(self._reach.reason)
            try:
                raw = self._pool.getconn(timeout=_LOOK_S)
            except PoolTimeout:
                if time.monotonic() >= deadline_s:
                    raise
                continue
            if not _has_ended(raw):
                return raw
            raw.close()
            self._pool.putconn(raw)

    def connect(self) -> Connection:
        """Return a connection outside the pool, for the caller to close.

        Raises `InputError` or `LogError`.
        """
        raw = open_connection(self._url, self._login, **self._arguments())
        try:
            self._prepare(raw)
        except BaseException:
            raw.close()
            raise
        return Connection(raw)

    def try_connection(self) -> None:
        """Connect once, which says at once what is wrong, where the pool would try again and again.

        Raises `InputError` or `LogError`.
        """
        self.connect().close()

    def _arguments(self) -> dict[str, Any]:
        return {
            # A vanished peer is noticed about as soon as a slow statement.
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": SILENCE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
            "autocommit": True,
            "row_factory": namedtuple_row,
            "application_name": self._login,
        }

    def _prepare(self, raw: psycopg.Connection[Row]) -> None:
        """Set a new connection up. Raises `LogError` if it could do more than its login may."""
        raw.isolation_level = IsolationLevel.READ_COMMITTED
        raw.adapters.register_loader("numeric", _WholeNumber)
        # Of what writes a column of bytes in binary COPY the driver takes what was named last.
        raw.adapters.register_dumper(bytes, BytesBinaryDumper)
        (login,) = Session(raw).all("database.login")
        # A superuser, or a role with BYPASSRLS, would read every tenant's rows; and a login that
        # was only lent the role could put it off.
        if not (login.name == login.session == self._login) or login.is_mighty:
            raise LogError(
                "login-mighty",
                f"this part logs in as {self._login}, which is a member of no role and bound by "
                f"the row policies, and not as {login.session}; see the part's database URL",
            )


class _Pooled(psycopg.Connection[Row]):
    """A connection of a pool, whose reach is told whether it could be made."""

    @classmethod
    def connect(cls, conninfo: str = "", *, reach: Reach, **how: Any) -> Self:  # type: ignore[override]
        try:
            made = super().connect(conninfo, **how)
        except psycopg.Error as error:
            # The server's refusals have no state here.
            is_full = "too many" in str(error) or "connection slots" in str(error)
            words = _AWAY[CONNECTIONS_FULL] if is_full else "it takes no connection"
            reach.closed(f"the database does not answer: {words}")
            raise
        reach.opened()
        return made


def _has_ended(raw: psycopg.Connection[Row]) -> bool:
    """Return whether the server has ended a connection.

    The end of one shows in its socket. So only where something can be read the server is asked:
    asking it each time would be a round trip for each transaction.
    """
    if raw.closed:
        return True
    if not select.select([raw.fileno()], [], [], 0)[0]:
        return False
    try:
        ConnectionPool.check_connection(raw)
    except psycopg.Error:
        return True
    return False


def parameters_of(url: str) -> dict[str, Any]:
    """Return the parameters in a URL. Raises `InputError` for a malformed one."""
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise _malformed() from None


def _malformed() -> InputError:
    return InputError(
        "database-url-malformed",
        "the database URL is no PostgreSQL URL; percent-encode what is special in it",
    )


def open_connection(url: str, login: str = OWNER, **arguments: Any) -> psycopg.Connection[Row]:
    """Connect. Raises `InputError` for a malformed URL, `LogError` if no server takes us.

    The driver's message is left out: it quotes a part of a password that contains `@` or `%`.
    """
    try:
        return psycopg.connect(url, connect_timeout=CONNECT_S, **arguments)
    except psycopg.ProgrammingError:
        raise _malformed() from None
    except psycopg.OperationalError as error:
        raise LogError(
            "database-unreachable",
            f"PostgreSQL takes no connection by the database URL of {login}: {_why_refused(error)}",
        ) from None


def _why_refused(error: psycopg.OperationalError) -> str:
    """Return why there is no connection, in words of our own.

    The place before the server's words may hold any others, and a part of a password.
    """
    for start, known in (
        ("FATAL: ", _REFUSED),
        ("fe_sendauth: ", _REFUSED),
        ("failed to ", _UNREACHED),
        ("could not ", _UNREACHED),
        (" failed: ", _UNREACHED),
    ):
        _, _, said = str(error).partition(start)
        if said:
            return next(words for part, words in known.items() if part in said)
    return _UNREACHED[""]


def connect_as_owner(url: str) -> Connection:
    """Return a connection as the user of `url`, who migrated, for the caller to close.

    It is for what no role may do. Raises `InputError` or `LogError`.
    """
    return Connection(open_connection(url, autocommit=True, row_factory=namedtuple_row))


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


def _execute(
    raw: psycopg.Connection[Row], query: str, arguments: Mapping[str, object]
) -> psycopg.Cursor[Row]:
    """Execute a named query; return the cursor of its rows."""
    cursor = raw.cursor(row_factory=_rows_of(query))
    return cursor.execute(statement(query), arguments)


# What makes the rows of a query, by its name and the number of its columns.
_row_makers: dict[tuple[str, int], RowMaker[Row]] = {}


def _rows_of(query: str) -> RowFactory[Row]:
    """Return the row factory of a named query, which asks once what its columns are called."""

    def factory(cursor: psycopg.Cursor[Any]) -> RowMaker[Row]:
        of = query, cursor.pgresult.nfields if cursor.pgresult else 0
        if of not in _row_makers:
            _row_makers[of] = namedtuple_row(cursor)
        return _row_makers[of]

    return factory
