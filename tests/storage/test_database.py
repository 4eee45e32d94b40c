"""The database's promises: roles, tenants, and tables that only grow."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator.core.common.errors import DomainError, InputError, LogError
from orchestrator.core.log.entry import address_word
from orchestrator.core.surface.fields import write_fields
from orchestrator.core.world.requests import Touch
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage import database as database_module
from orchestrator.storage import queries as queries_module
from orchestrator.storage.database import API, LOGINS, WORKER, Database, DatabaseError, refusal_of
from orchestrator.storage.queries import queries
from orchestrator.storage.schema import create_log, migrate
from tests.support.keys import give_key, secret_of
from tests.support.ledger import OPERATOR, OWNER, STRANGER, Ledger, genesis, ledger
from tests.support.servers import fresh_database, open_as, urls_of
from tests.support.tenants import populate
from tests.support.worlds import LEADS, SURFACE, word

ROLES = LOGINS
# The log's own data, which is published, and facts that the chain publishes.
PUBLIC = {
    "logs",
    "entries",
    "subtrees",
    "checkpoints",
    "policies",
    "settings",
    "standings",
    "tallies",
    "surfaces",
    "surface_names",
    "offers",
    "codes",
    "clicks",
    "actions",
    "operators",
    "contracts",
    "chain_events",
    "endorsements",
    "simulated_clock",
    "request_rights",
    "inbox_limits",
    "couriers",
}
ONLY_GROW = {
    "logs",
    "entries",
    "subtrees",
    "checkpoints",
    "policies",
    "settings",
    "requests",
    "results",
    "surface_names",
    "endorsements",
}


# --- Connecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind", "code"),
    [
        ("postgresql://u:tops%zzecret@127.0.0.1/db", InputError, "database-url-malformed"),
        ("topsecret", InputError, "database-url-malformed"),
        ("postgresql://u:x@tops-ecret@127.0.0.1:1/db", LogError, "database-unreachable"),
        ("postgresql://u:topsecret@127.0.0.1:1/db", LogError, "database-unreachable"),
    ],
)
def test_a_url_that_leads_nowhere_is_reported_without_its_password(
    url: str, kind: type[DomainError], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver quotes what it cannot read of a URL, and that can be a part of a password."""
    nowhere: dict[str, Any] = {"chain_id": 1, "log_id": bytes(32), "origin": "o"}
    nowhere |= dict.fromkeys(("event_log", "escrow", "publisher"), "0x")
    with Database(url, API) as database:
        for attempt in (
            lambda: migrate(url),
            lambda: create_log(url, **nowhere),
            database.connect,
        ):
            with pytest.raises(kind) as caught:
                attempt()
            assert caught.value.code == code
            assert caught.value.__suppress_context__
            assert "ecret" not in caught.value.message + caplog.text


@pytest.mark.parametrize(
    ("trouble", "mended", "reason"),
    [
        ("ROLE tallystick_api NOLOGIN", "ROLE tallystick_api LOGIN", "this login may not"),
        (
            "ROLE tallystick_api CONNECTION LIMIT 0",
            "ROLE tallystick_api CONNECTION LIMIT -1",
            "it has no connection left for us",
        ),
        (
            "DATABASE {} ALLOW_CONNECTIONS false",
            "DATABASE {} ALLOW_CONNECTIONS true",
            "this database takes no connections",
        ),
    ],
)
def test_a_server_that_refuses_a_connection_is_told_apart_from_none(
    postgres: LocalPostgres, database_url: str, trouble: str, mended: str, reason: str
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
    with (
        psycopg.connect(postgres.url, autocommit=True) as admin,
        open_as(database_url, API) as database,
    ):
        admin.execute(sql.SQL("ALTER " + trouble).format(name))
        try:
            with pytest.raises(LogError) as refused:
                database.try_connection()
        finally:
            admin.execute(sql.SQL("ALTER " + mended).format(name))
        database.try_connection()
    assert refused.value.code == "database-unreachable"
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            'FATAL:  no pg_hba.conf entry for host "::1", user "u", database "d", no encryption',
            "its pg_hba.conf lets no such connection in",
        ),
        ('FATAL:  Peer authentication failed for user "u"', "are login, password and database"),
        ('FATAL:  role "u" does not exist', "it has no such login"),
        ('FATAL:  database "d" does not exist', "it has no such database"),
        ("FATAL:  the database system is in recovery mode", "it is stopping or starting"),
        (
            "FATAL:  the database system is not yet accepting connections\nDETAIL:  Wait.",
            "it is stopping or starting",
        ),
        ("server does not support SSL, but SSL was required", "it does not speak TLS"),
        ("SSL error: certificate verify failed", "a certificate is not there, or is not what"),
        ('root certificate file "/r" does not exist', "a certificate is not there"),
        ("Connection refused\n\tIs the server running on that host?", "nothing answers"),
        ("timeout expired", "nothing answers"),
    ],
)
def test_what_a_server_or_the_way_to_it_refuses_is_told_in_words_of_ours(
    said: str, reason: str
) -> None:
    error = psycopg.OperationalError(f'connection to server at "h", port 1 failed: {said}')
    assert reason in database_module._why_refused(error)


def test_a_host_without_a_name_is_told_apart_from_one_that_is_silent() -> None:
    with pytest.raises(LogError) as refused:
        migrate("postgresql://u:topsecret@127.0.0.1.invalid/db")
    assert "its host is not found by this name" in refused.value.message
    error = psycopg.OperationalError('could not translate host name "h" to address: no such name')
    assert database_module._why_refused(error) == "its host is not found by this name"


def test_what_a_database_refuses_is_one_line_for_an_operator(database_url: str) -> None:
    refusals = []
    with psycopg.connect(database_url, autocommit=True) as admin:
        for statement in ("SELECT nothing()", "TABLE nothing", "SELECT 1 / 0"):
            with pytest.raises(DatabaseError) as refused:
                admin.execute(statement.encode())
            refusals.append(refusal_of(refused.value))
        with psycopg.connect(urls_of(database_url).api or "") as api:
            with pytest.raises(DatabaseError) as refused:
                api.execute("CREATE TABLE mine ()")
            refusals.append(refusal_of(refused.value))
    # The driver's own words are not the server's, and may have a part of a URL in them.
    refusals.append(refusal_of(psycopg.ProgrammingError('missing "=" after "topsecret"')))
    refusals.append(refusal_of(psycopg.OperationalError("x@tops-ecret: the connection is closed")))
    assert [one.code for one in refusals] == [
        *["database-unmigrated"] * 2,
        "database-refused",
        "database-forbids",
        "database-refused",
        "database-unreachable",
    ]
    assert refusals[2].message == "the database refused: division by zero"
    assert not any("\n" in one.message or "ecret" in one.message for one in refusals)


def test_a_transaction_has_its_limits_by_itself(database_url: str) -> None:
    """A pooler in transaction mode refuses start-up options, and keeps no setting of a session."""
    with open_as(database_url, API, most_connections=1) as database:
        assert "options" not in database._arguments()
        with closing(database.connect()) as connection:
            for _ in range(2):
                with connection.transaction() as session:
                    within = limits(session._connection)
                    assert within == ("1min", "10s", "1min")
                assert limits(session._connection) == ("0", "0", "0")


def test_who_lets_go_early_is_answered_when_it_is_on_the_disk(database_url: str) -> None:
    secret = give_key(database_url, OWNER)
    here = "SELECT pg_current_wal_insert_lsn()"
    with open_as(database_url, API) as database, psycopg.connect(database_url) as admin:
        for early in (True, False):
            with database.transaction(secret=secret, lets_go_early=early) as session:
                session.run("api.name_key", key=session.key.key, name="another")  # type: ignore[union-attr]
                shown = session._connection.execute("SHOW synchronous_commit").fetchone()
                assert shown == ("off" if early else "on",)
                (written,) = session._connection.execute(here).fetchone() or ("",)
            row = admin.execute("SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", (written,))
            assert row.fetchone() == (True,)


def test_a_key_is_judged_before_any_result_or_error(database_url: str) -> None:
    class RefusedError(Exception):
        pass

    def refuse(key: object) -> None:
        raise RefusedError(key)

    secret = give_key(database_url, OWNER)
    with open_as(database_url, API) as database:
        for given, known in ((secret, True), (b"\1" * 32, False)):
            for query in ("database.clock", "log.no_such_query", "api.sweep_nonces"):
                with (
                    pytest.raises((RefusedError, LogError)) as refused,
                    database.transaction(secret=given, check=refuse) as session,
                ):
                    session.all(query)
                if isinstance(refused.value, RefusedError):
                    assert (refused.value.args[0] is not None) == known


def test_a_statement_that_takes_too_long_is_ended(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = queries() | {"database.begin": queries()["database.begin"].replace("'60s'", "'50ms'")}
    monkeypatch.setattr(queries_module, "queries", lambda: short)
    with (
        open_as(database_url, API) as database,
        pytest.raises(psycopg.errors.QueryCanceled),
        database.transaction() as session,
    ):
        session._connection.execute("SELECT pg_sleep(30)")


def limits(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    rows = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    return tuple(row[0] for row in rows if row is not None)


# --- Roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [*LOGINS, "tallystick_definer"])
def test_a_role_owns_nothing_and_bypasses_no_policy(database_url: str, role: str) -> None:
    with psycopg.connect(database_url) as admin:
        assert admin.execute(
            """
            SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin
            FROM pg_roles WHERE rolname = %s
            """,
            (role,),
        ).fetchone() == (*(False,) * 5, role in LOGINS)
        assert (
            admin.execute(
                "SELECT FROM pg_auth_members WHERE member = %s::regrole", (role,)
            ).fetchall()
            == []
        )
        owned = admin.execute(
            "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = %s", (role,)
        ).fetchall()
        assert owned == []
        admin.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute("CREATE TABLE mine ()")


def test_a_database_refuses_to_act_as_a_superuser(database_url: str) -> None:
    with (
        Database(database_url, "tallystick") as superuser,
        pytest.raises(LogError, match="bound by the row policies") as refused,
    ):
        superuser.connect()
    assert refused.value.code == "login-mighty"


def test_a_database_does_not_show_its_password(database_url: str) -> None:
    password = re.search(r":([^:@]+)@", database_url)
    assert password
    with open_as(database_url, API) as database:
        assert password[1] not in repr(database)


def test_amounts_come_back_as_whole_numbers_however_large(database_url: str) -> None:
    with open_as(database_url, API) as database:
        connection = database.connect()
        row = connection._connection.execute("SELECT (2::numeric ^ 200)::numeric(78, 0)").fetchone()
        connection.close()
    assert row is not None
    assert row[0] == 2**200
    assert type(row[0]) is int


def test_a_transaction_speaks_for_the_account_of_its_key_alone(database_url: str) -> None:
    secrets = {account: give_key(database_url, account) for account in (OWNER, OPERATOR)}
    with open_as(database_url, API, most_connections=1) as database:
        for account in (OWNER, "", OPERATOR, ""):
            with database.transaction(secret=secrets.get(account, b"")) as session:
                found = session._connection.execute("SELECT current_account()").fetchone()
                assert found == (account or None,)


def test_naming_an_account_gives_the_api_nothing(database_url: str) -> None:
    """The setting by which a worker names an account says nothing to the policies of the API."""
    give_key(database_url, OWNER)
    with open_as(database_url, API) as database, database.transaction(OWNER) as session:
        assert session._connection.execute("SELECT current_account()").fetchone() == (None,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session._connection.execute("SELECT named_account()")


def test_a_worker_names_the_account_that_it_submits_for(database_url: str) -> None:
    with open_as(database_url, WORKER, most_connections=1) as database:
        for account in (OWNER.upper().replace("X", "x"), "", OPERATOR, ""):
            with database.transaction(account) as session:
                found = session._connection.execute(
                    "SELECT current_setting('tallystick.account')"
                ).fetchone()
                assert found == (account.lower(),)


def test_what_the_table_keeps_of_a_key_is_no_secret_of_it(database_url: str) -> None:
    """A reader of the table, or of its backups, can present nothing that counts."""
    give_key(database_url, OWNER)
    with psycopg.connect(database_url) as admin:
        row = admin.execute("SELECT secret_hash, key FROM api_keys").fetchone()
    assert row is not None
    with open_as(database_url, API) as database:
        for stolen in row:
            with database.transaction(secret=bytes(stolen)) as session:
                assert session.key is None
                found = session._connection.execute("SELECT current_account()").fetchone()
                assert found == (None,)


def test_a_snapshot_does_not_see_what_commits_after_it(database_url: str) -> None:
    with ledger(database_url) as log, open_as(database_url, API) as other:
        with other.transaction(snapshot=True) as session:
            before = session.all("log.entries", log_id=log.log_id, start=0, limit=10)
            log.submit(genesis(log))
            with log.sequencer() as sequencer:
                log.drain(sequencer)
            after = session.all("log.entries", log_id=log.log_id, start=0, limit=10)
        assert before == after == []
        assert len(log.entries()) == 1


# --- Queries --------------------------------------------------------------------------------------


# --- Tenants --------------------------------------------------------------------------------------


def tables(admin: psycopg.Connection[tuple[Any, ...]], kinds: str = "rpvm") -> list[str]:
    """Tables, partitions, views and materialised views, by catalog."""
    rows = admin.execute(
        """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind::text = ANY (%s)
        """,
        (list(kinds),),
    ).fetchall()
    return sorted(str(row[0]) for row in rows)


@pytest.fixture(scope="module")
def populated(postgres: LocalPostgres) -> Iterator[Ledger]:
    """Something of two tenants, an owner and an operator, in every table."""
    with fresh_database(postgres) as url, ledger(url) as log:
        populate(log)
        yield log


def speak_for(admin: psycopg.Connection[tuple[Any, ...]], account: str, role: str = API) -> None:
    """Act as a role by an account's key, if it has one, and name the account as a worker does."""
    admin.execute(f"SET ROLE {role}")
    admin.execute("SELECT set_config('tallystick.account', %s, true)", (account,))
    if role == API:
        admin.execute("SELECT present(%s)", (secret_of(account),))


def visible(log: Ledger, table: str, account: str, secret: bytes = b"") -> int:
    """Count the rows of a table that the API sees for an account; 0 if it may not look."""
    with psycopg.connect(log.url) as admin:
        speak_for(admin, account)
        if secret:
            admin.execute("SELECT present(%s)", (secret,))
        try:
            return count_rows(admin, table)
        except psycopg.errors.InsufficientPrivilege:
            return 0


def count_rows(admin: psycopg.Connection[tuple[Any, ...]], table: str) -> int:
    # Not all columns of a table are the API's to read.
    what = {"api_keys": "key", "sign_ins": "secret_hash"}.get(table)
    counted = sql.Identifier(what) if what else sql.SQL("*")
    count = sql.SQL("SELECT count({}) FROM {}").format(counted, sql.Identifier(table))
    found = admin.execute(count).fetchone()
    assert found is not None
    return int(found[0])


def test_every_table_is_public_or_guarded(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        open_tables = admin.execute(
            """
            SELECT relname FROM pg_class c
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> 'migrations'
                AND NOT relispartition
            """
        ).fetchall()
        assert {str(name) for (name,) in open_tables} <= PUBLIC
        # A partition has row security of its own or none, so no role may reach it directly.
        reachable = admin.execute(
            """
            SELECT relname, role FROM pg_class c, unnest(%s::text[]) AS role
            WHERE relispartition AND relkind = 'r'
                AND has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
            """,
            (list(ROLES),),
        ).fetchall()
        assert reachable == []
        unsafe_views = admin.execute(
            """
            SELECT relname FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
                AND NOT coalesce(reloptions @> '{security_invoker=true}', false)
            """
        ).fetchall()
        assert unsafe_views == []


def test_no_account_reads_the_rows_of_another(populated: Ledger) -> None:
    """Generated from the catalog: a new table is tested as soon as it exists."""
    with psycopg.connect(populated.url) as admin:
        for table in tables(admin):
            if table in PUBLIC:
                continue
            for account in ("", STRANGER, "0x", "' OR true --", "postgres"):
                assert visible(populated, table, account) == 0, (table, account)


def test_tenants_read_their_own_rows_and_no_others(populated: Ledger) -> None:
    """The test above proves nothing if the tables are empty, or if no account sees a row."""
    with psycopg.connect(populated.url) as admin:
        counts = {table: count_rows(admin, table) for table in tables(admin)}
    own = {
        table: (visible(populated, table, OWNER), visible(populated, table, OPERATOR))
        for table in counts
        if table not in PUBLIC
    }
    assert own["leads"] == (1, 1)
    assert own["lead_identities"] == (2, 0)
    assert own["order_identities"] == (1, 0)
    assert own["private_payloads"] == (1, 1)
    assert own["requests"] == (counts["requests"] - 6, 4)
    assert own["results"] == (counts["results"] - 6, 4)
    assert own["accounts"] == own["api_keys"] == own["rate_limits"] == (1, 1)
    assert own["proposals"] == own["operator_profiles"] == own["operator_memory"] == (1, 1)
    assert own["counters"] == own["openings"] == own["action_results"] == (1, 1)
    assert own["code_names"] == (0, 1)
    assert own["inbox"] == own["migrations"] == own["signin_nonces"] == (0, 0)
    for table in own:
        # Only who presents a key has a row of the view.
        assert counts[table] > 0 or table.startswith(("chain_", "key_presented")), table
    for table in PUBLIC & {"entries", "checkpoints", "contracts", "operators", "surfaces"}:
        assert visible(populated, table, "") == counts[table] > 0


def test_a_secret_shows_its_own_row_alone(populated: Ledger) -> None:
    assert visible(populated, "api_keys", "", secret_of(OWNER)) == 1
    assert visible(populated, "sign_ins", "", word(OWNER)) == 1
    for table in ("api_keys", "sign_ins"):
        assert visible(populated, table, "", word("something else")) == 0
    # A secret that waits to be granted speaks for no account.
    assert visible(populated, "accounts", "", word(OWNER)) == 0


WRITES_FOR_ANOTHER = {
    "requests": "INSERT INTO requests VALUES"
    " (%(log)s, gen_random_uuid(), 1, DEFAULT, %(other)s, 'k', 'settle', sha256(''), clock_ms())",
    "inbox": "INSERT INTO inbox VALUES"
    " (%(log)s, 999, %(other)s, 'tallystick_api', 'settle', clock_ms(), '{}', 0)",
    "simulated_clock": "UPDATE simulated_clock SET now_ms = 9",
    "results": "INSERT INTO results VALUES (%(log)s, 999, %(me)s, 0, 0)",
    "entries": "INSERT INTO entries VALUES (%(log)s, 999, decode(repeat('00', 256), 'hex'))",
    "leads": "UPDATE leads SET state = 'paid'",
    "contracts": "UPDATE contracts SET earned_units = 0",
    "lead_identities": "INSERT INTO lead_identities VALUES"
    " (%(log)s, sha256('s'), 'x', sha256('x'))",
    "order_identities": "INSERT INTO order_identities"
    " SELECT log_id, surface, sha256('l'), 'x', sha256('o') FROM surfaces",
    "private_payloads": "INSERT INTO private_payloads VALUES"
    " (%(log)s, sha256('c'), sha256('s'), sha256('l'), %(other)s, sha256(''), '')",
    "accounts": "INSERT INTO accounts VALUES ('0x' || repeat('e', 40), 0)",
    "api_keys": "INSERT INTO api_keys"
    " (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
    " VALUES (sha256('k'), %(other)s, sha256('s'), 'n', '{owner:read}', clock_ms(), clock_ms())",
    "own api_keys": "INSERT INTO api_keys"
    " (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
    " VALUES (sha256('k'), %(me)s, sha256('s'), 'n', '{owner:read}', clock_ms(), clock_ms())",
    "operator_profiles": "INSERT INTO operator_profiles"
    " VALUES ('0x' || repeat('e', 40), 'n', NULL, '{}', NULL, NULL, 0)",
    "operator_memory": "INSERT INTO operator_memory"
    " VALUES (%(log)s, %(other)s, sha256('s'), 'new', '1', 2, NULL, 0)",
    "sign_ins": "INSERT INTO sign_ins"
    " (secret_hash, message, signature, name, created_ms, expires_ms)"
    " VALUES (sha256('k'), 'm', '', 'n', clock_ms(), 9)",
    "rate_limits": "INSERT INTO rate_limits VALUES (%(other)s, 'x', 0)",
    "code_names": "INSERT INTO code_names (log_id, code, surface, account, name, request_id)"
    " VALUES (%(log)s, sha256('c'), sha256('s'), %(other)s, repeat('0', 32), gen_random_uuid())",
    "action_results": "INSERT INTO action_results"
    " SELECT log_id, position + 1, surface, lead, '{}' FROM actions",
    "counters": "INSERT INTO counters SELECT log_id, sha256('c'), '{}', 0 FROM proposals",
    "openings": "INSERT INTO openings VALUES (%(log)s, sha256('p'), 1, 0, NULL, NULL, 'r', 0)",
    "source_secrets": "INSERT INTO source_secrets VALUES (%(log)s, sha256('s'), 'stripe',"
    " %(other)s, sha256('k'), sha256('s'), repeat('i', 64)::bytea, repeat('o', 64)::bytea)",
    "signin_nonces": "INSERT INTO signin_nonces (nonce, expires_ms)"
    " VALUES ('for ever', clock_ms() + 86400001)",
    "proposals": "INSERT INTO proposals VALUES"
    " (%(log)s, sha256('p'), sha256('s'), %(other)s, %(me)s, '{}', 's', NULL, 0)",
}


@pytest.mark.parametrize("table", WRITES_FOR_ANOTHER)
def test_no_account_writes_for_another(populated: Ledger, table: str) -> None:
    with psycopg.connect(populated.url) as admin:
        speak_for(admin, OPERATOR)
        names = {"log": populated.log_id, "me": OPERATOR, "other": OWNER}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(WRITES_FOR_ANOTHER[table].encode(), names)


@pytest.mark.parametrize("chosen", [{}, {"received_ms": 5}, {"account": OWNER, "seq": 1}])
def test_who_submits_does_not_choose_when_it_was_received(
    populated: Ledger, chosen: dict[str, object]
) -> None:
    """A request has no place for a receipt, an account or a number, and no login has the tables."""
    body = write_fields(Touch(SURFACE, LEADS[1], address_word(OPERATOR), "email"))
    row = {"idempotency_key": f"{chosen}", "kind": "touch", "body": body, "body_hash": "00" * 32}
    with psycopg.connect(urls_of(populated.url).api or "") as login:
        login.execute("SELECT present(%s)", (secret_of(OPERATOR),))
        before = login.execute("SELECT max(seq), clock_ms() FROM requests").fetchone()
        taken = login.execute(
            "SELECT is_fresh FROM take_requests(%s, %s, '{}')",
            (populated.log_id, json.dumps([row | chosen])),
        ).fetchall()
        after = login.execute(
            "SELECT seq, received_ms, account FROM requests ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        login.rollback()
    assert taken == [(True,)]
    assert before is not None
    assert after is not None
    assert after[0] > before[0]
    assert after[1:] == (before[1], OPERATOR)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO simulated_clock VALUES (true, 9)",
        "UPDATE simulated_clock SET now_ms = 9",
        "DELETE FROM simulated_clock",
        "TRUNCATE simulated_clock",
        "CREATE OR REPLACE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql STABLE RETURN 9",
    ],
)
def test_no_role_moves_the_clock(populated: Ledger, role: str, change: str) -> None:
    with psycopg.connect(populated.url) as admin:
        admin.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(change.encode())


def test_without_a_simulation_the_clock_is_real_and_one_for_a_statement(database_url: str) -> None:
    with psycopg.connect(database_url) as admin:
        before_ms = time.time_ns() // 1_000_000
        query = "SELECT clock_ms(), pg_sleep(0.02) IS NULL, clock_ms() = clock_ms()"
        first = admin.execute(query).fetchone()
        second = admin.execute("SELECT clock_ms()").fetchone()
        after_ms = time.time_ns() // 1_000_000
    assert first is not None
    assert second is not None
    assert first[2]
    # It moves on from statement to statement of one transaction.
    assert before_ms <= first[0] <= second[0] - 20
    assert second[0] <= after_ms


CHANGES_OF_ANOTHERS = {
    "api_keys": "UPDATE api_keys SET revoked_ms = 1 WHERE account = %(other)s",
    "operator_profiles": "DELETE FROM operator_profiles WHERE account = %(other)s",
    "operator_memory": "UPDATE operator_memory SET value = '2' WHERE account = %(other)s",
    "lead_identities": "DELETE FROM lead_identities",
    "order_identities": "DELETE FROM order_identities",
    "private_payloads": "DELETE FROM private_payloads",
}


@pytest.mark.parametrize("table", CHANGES_OF_ANOTHERS)
def test_no_account_changes_the_rows_of_another(populated: Ledger, table: str) -> None:
    with psycopg.connect(populated.url) as admin:
        speak_for(admin, OPERATOR)
        changed = admin.execute(CHANGES_OF_ANOTHERS[table].encode(), {"other": OWNER})
        assert changed.rowcount == 0
        admin.rollback()


def test_a_key_cannot_be_widened_nor_a_signed_proposal_altered(populated: Ledger) -> None:
    for change in (
        "UPDATE api_keys SET scopes = '{all}'",
        "UPDATE api_keys SET account = account",
        "UPDATE signin_nonces SET used_ms = NULL",
        "UPDATE accounts SET created_ms = 1",
        "UPDATE sign_ins SET code = NULL",
        "DELETE FROM sign_ins",
        "DELETE FROM api_keys",
        "SELECT secret_hash FROM api_keys",
        "SELECT message, signature FROM sign_ins",
        "UPDATE proposals SET terms = '{}'",
        "UPDATE proposals SET operator_signature = ''",
    ):
        with psycopg.connect(populated.url) as admin:
            speak_for(admin, OPERATOR)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(change.encode())


# --- What only grows ------------------------------------------------------------------------------


def growing(admin: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """The tables that only grow, and all their partitions."""
    rows = admin.execute(
        "SELECT relid::regclass::text FROM unnest(%s::text[]) AS name,"
        " LATERAL (SELECT relid FROM pg_partition_tree(name::regclass)"
        " UNION SELECT name::regclass) AS tree",
        (sorted(ONLY_GROW),),
    ).fetchall()
    return [str(row[0]) for row in rows]


def test_triggers_refuse_every_change_even_to_a_superuser(populated: Ledger) -> None:
    with psycopg.connect(populated.url, autocommit=True) as admin:
        found = growing(admin)
        assert len(found) == len(ONLY_GROW) + 5
        # Not even a session that plays back replication passes over them.
        admin.execute("SET session_replication_role = replica")
        for table in found:
            column = admin.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
                (table,),
            ).fetchone()
            assert column is not None
            names = {"table": sql.Identifier(table), "column": sql.Identifier(str(column[0]))}
            for change in (
                "UPDATE {table} SET {column} = {column}",
                "DELETE FROM {table}",
                "DELETE FROM {table} WHERE false",
                "TRUNCATE {table} CASCADE",
            ):
                with pytest.raises(psycopg.errors.RestrictViolation, match="only ever grows"):
                    admin.execute(sql.SQL(change).format(**names))


@pytest.mark.parametrize("role", ROLES)
def test_roles_are_granted_no_change_of_what_only_grows(populated: Ledger, role: str) -> None:
    with psycopg.connect(populated.url) as admin:
        for table in growing(admin):
            for privilege in ("UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                granted = admin.execute(
                    "SELECT has_table_privilege(%s, %s, %s)", (role, table, privilege)
                ).fetchone()
                assert granted == (False,), (role, table, privilege)


def test_only_the_sequencer_writes_the_log(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        writers = admin.execute(
            """
            SELECT role, name FROM unnest(%s::text[]) AS role,
                unnest('{entries,subtrees,checkpoints,policies,results,leads,contracts,operators,
                    surfaces}'::text[]) AS name
            WHERE has_any_column_privilege(role, name, 'INSERT, UPDATE')
            """,
            ([WORKER, API],),
        ).fetchall()
    assert writers == []


def test_what_failed_in_a_round_trip_is_prepared_anew(database_url: str) -> None:
    """Statements behind one that fails are not run, and the driver may believe them prepared."""
    with Database(urls_of(database_url).by_login[API], API, most_connections=1) as database:
        for _ in range(12):
            with pytest.raises(psycopg.Error) as refusal:
                take_nothing(database)
            assert refusal.value.sqlstate == "42501"
            with database.transaction() as session:
                ((row,),) = session.conclude(("database.clock", {}))
            assert not row.is_simulated


def take_nothing(database: Database) -> None:
    """Have a request taken that is none, in a transaction that it would end."""
    with database.transaction() as session:
        session.conclude(
            ("log.submit_one", {"log_id": bytes(32), "offered": "{}", "retryable": []})
        )
