"""The API's password tries to fill the disk: each table that it writes ends at a bound of its own.

It has a key of an operator and one of an owner of a surface, as anyone may. What is refused is
undone, and no statement, however long, has written much more than the bound by then.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from orchestrator.core.log.entry import address_word
from orchestrator.core.world.codec import encode_request
from orchestrator.core.world.requests import Touch
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import API, WORKER
from tests.support.keys import key_of, secret_of
from tests.support.ledger import OPERATOR, OWNER, Ledger, ledger
from tests.support.servers import fresh_database, hold_inbox_to, urls_of
from tests.support.tenants import populate
from tests.support.worlds import LEADS, SURFACE

TABLE_BYTES = 200_000
# What a statement of a thousand rows may take beyond the bound, where it is looked at once.
SLACK_BYTES = 200_000
FULL, MANY, TWICE, FOREIGN = "53100", "54000", "23505", "42501"


@pytest.fixture(scope="module")
def small(postgres: LocalPostgres) -> Iterator[Ledger]:
    """The rows of an owner and an operator, in a database whose tables are soon full."""
    with fresh_database(postgres) as url, ledger(url) as log:
        populate(log)
        hold_inbox_to(url, leases=5, messages=5, memories_bytes=100_000)
        yield log


def as_each(statement: str) -> str:
    """Return a block that runs a statement often, each time by another secret."""
    often = (
        "DO $$ BEGIN FOR n IN 1..20000 LOOP"
        " PERFORM present(sha256(n::text::bytea)); {}; END LOOP; END $$"
    )
    return often.format(statement)


class Fill(NamedTuple):
    """The account whose key is shown, a statement, and the state of the error that ends it."""

    account: str
    statement: str
    state: str


# By table.
FILLS = {
    "signin_nonces": Fill(
        OPERATOR,
        "INSERT INTO signin_nonces SELECT repeat('n', 90) || n, 0"
        " FROM generate_series(1, 20000) AS n",
        FULL,
    ),
    "rate_limits": Fill(
        OPERATOR,
        "DO $$ BEGIN FOR n IN 1..20000 LOOP PERFORM spend_for_caller('0x' || lpad(to_hex(n), 40,"
        " '0'), ARRAY['reads'], ARRAY[1]::bigint[], ARRAY[60000000]::bigint[]); END LOOP; END $$",
        FULL,
    ),
    "sign_ins": Fill(
        OPERATOR,
        as_each(
            "INSERT INTO sign_ins (secret_hash, message, signature, name, created_ms, expires_ms)"
            " VALUES (sha256(sha256(n::text::bytea)), 'm', 's', 'n', clock_ms(), 9)"
        ),
        FULL,
    ),
    "authorizations": Fill(
        OPERATOR,
        as_each(
            "INSERT INTO authorizations (request_hash, browser_hash, client, redirect_uri,"
            " challenge, scopes, nonce, created_ms, expires_ms) VALUES"
            " (sha256(sha256(n::text::bytea)), sha256('b'), 'c', 'u', repeat('c', 43), '{x}',"
            " 'n', clock_ms(), clock_ms())"
        ),
        FULL,
    ),
    "api_keys": Fill(
        OPERATOR,
        "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, created_ms,"
        " expires_ms) SELECT sha256(n::text::bytea), %(me)s, sha256(('s' || n)::bytea), %(key)s,"
        " 'n', '{operator:touch}', clock_ms(), clock_ms() + 9999999"
        " FROM generate_series(1, 20000) AS n",
        MANY,
    ),
    "confirmations": Fill(
        OPERATOR,
        "INSERT INTO confirmations SELECT sha256(n::text::bytea), %(key)s, sha256('d'), 9"
        " FROM generate_series(1, 20000) AS n",
        MANY,
    ),
    "operator_profiles": Fill(
        OPERATOR,
        "INSERT INTO operator_profiles (account, display_name, capabilities, updated_ms)"
        " SELECT %(me)s, 'x', '{}', 1 FROM generate_series(1, 20000) AS n",
        TWICE,
    ),
    "operator_memory": Fill(
        OPERATOR,
        "INSERT INTO operator_memory (log_id, account, surface, key, value, bytes, updated_ms)"
        " SELECT %(log)s, %(me)s, sha256(n::text::bytea), 'k',"
        " to_json(repeat('x', 8000)), 8003, 1 FROM generate_series(1, 20000) AS n",
        MANY,
    ),
    "surface_names": Fill(
        OPERATOR,
        "INSERT INTO surface_names SELECT %(log)s, sha256(%(word)s || convert_to('n' || n, 'UTF8')"
        " || decode(repeat('00', 32 - octet_length('n' || n)), 'hex')), %(word)s, 'n' || n"
        " FROM generate_series(1, 20000) AS n",
        FULL,
    ),
    "code_names": Fill(
        OPERATOR,
        "INSERT INTO code_names (log_id, code, surface, account, name, request_id) SELECT %(log)s,"
        " sha256(n::text::bytea), %(surface)s, %(me)s, lpad(to_hex(n), 32, '0'),"
        " gen_random_uuid() FROM generate_series(1, 20000) AS n",
        FOREIGN,
    ),
    "order_identities": Fill(
        OWNER,
        "INSERT INTO order_identities SELECT %(log)s, %(surface)s, sha256(n::text::bytea), 'x',"
        " sha256('o') FROM generate_series(1, 20000) AS n",
        FULL,
    ),
    "action_results": Fill(
        OWNER,
        "INSERT INTO action_results SELECT %(log)s, position + n, surface, lead, '{}'"
        " FROM actions, generate_series(1, 20000) AS n",
        FOREIGN,
    ),
    "proposals": Fill(
        OPERATOR,
        "INSERT INTO proposals (log_id, contract_id, surface, operator, owner, terms,"
        " operator_signature, created_ms) SELECT %(log)s, sha256(n::text::bytea), %(surface)s,"
        " %(me)s, %(owner)s, '{\"opens_at_s\": 0}', 's', 0 FROM generate_series(1, 20000) AS n",
        FULL,
    ),
    "counters": Fill(
        OWNER,
        "INSERT INTO counters SELECT %(log)s, sha256(n::text::bytea), '{\"opens_at_s\": 0}', 1"
        " FROM generate_series(1, 20000) AS n",
        FOREIGN,
    ),
    "offers": Fill(
        OWNER,
        "INSERT INTO offers (log_id, offer, surface, owner, terms, lasts_s, first_budget_units,"
        " budget_units, places, level, ends_ms, created_ms) SELECT %(log)s,"
        " sha256(n::text::bytea), %(surface)s, %(me)s, '{\"opens_at_s\": 0}', 0, 1, 1, 1, 1, 1,"
        " clock_ms() FROM generate_series(1, 20000) AS n",
        FULL,
    ),
    "webhooks": Fill(
        OPERATOR,
        "INSERT INTO webhooks (webhook, log_id, account, audience, events, url, created_ms) SELECT"
        " sha256(n::text::bytea), %(log)s, %(me)s, 'operator', '{payout}', 'https://a.example',"
        " clock_ms() FROM generate_series(1, 20000) AS n",
        MANY,
    ),
    "webhook_secrets": Fill(
        OPERATOR,
        "INSERT INTO webhook_secrets SELECT webhook, sha256(n::text::bytea), 0, NULL"
        " FROM webhooks, generate_series(1, 20000) AS n",
        MANY,
    ),
    "source_secrets": Fill(
        OWNER,
        "INSERT INTO source_secrets SELECT %(log)s, %(surface)s, 'stripe', %(me)s, %(key)s,"
        " sha256('s'), repeat('i', 64)::bytea, repeat('o', 64)::bytea"
        " FROM generate_series(1, 20000) AS n",
        TWICE,
    ),
    # By functions, which write what no login does.
    "lead_identities": Fill(
        OWNER,
        "DO $$ BEGIN FOR n IN 1..100 LOOP PERFORM assign_pseudonyms(l.log_id, s.surface,"
        " ARRAY(SELECT n || ' ' || m FROM generate_series(1, 1000) m),"
        " ARRAY(SELECT sha256((n || ' ' || m)::bytea) FROM generate_series(1, 1000) m))"
        " FROM logs l JOIN surfaces s USING (log_id); END LOOP; END $$",
        FULL,
    ),
    "leases": Fill(
        OPERATOR,
        "DO $$ BEGIN FOR n IN 1..30 LOOP IF take_lease(l.log_id, s.surface, 'item-' || n, NULL, 9,"
        " NULL) = 'full' FROM logs l JOIN surfaces s USING (log_id) THEN RAISE EXCEPTION"
        " USING ERRCODE = '54000'; END IF; END LOOP; END $$",
        MANY,
    ),
}  # fmt: skip


@pytest.mark.parametrize("table", FILLS)
def test_a_table_ends_at_its_bound(small: Ledger, table: str) -> None:
    account, statement, state = FILLS[table]
    names = {
        "log": small.log_id, "me": account, "word": address_word(account), "surface": SURFACE,
        "owner": OWNER, "key": key_of(account),
    }  # fmt: skip
    hold_inbox_to(small.url, table_bytes=TABLE_BYTES)
    with shown(small, account) as login:
        with pytest.raises(psycopg.Error) as refused:
            login.execute(statement.encode(), None if statement.startswith("DO") else names)
        login.rollback()
    hold_inbox_to(small.url, table_bytes=1 << 40)
    assert refused.value.sqlstate == state, refused.value
    assert size_of(small, table) <= TABLE_BYTES + SLACK_BYTES


def shown(log: Ledger, account: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a connection of the API's login, in a transaction that presents an account's key."""
    login = psycopg.connect(urls_of(log.url).by_login[API])
    login.execute("SELECT present(%s)", (secret_of(account),))
    return login


def size_of(log: Ledger, table: str) -> int:
    with psycopg.connect(log.url) as admin:
        row = admin.execute("SELECT pg_table_size(%s::regclass)", (table,)).fetchone()
    assert row is not None
    return int(row[0])


def test_every_table_that_the_login_writes_is_tried(small: Ledger) -> None:
    with psycopg.connect(small.url) as admin:
        rows = admin.execute(
            "SELECT DISTINCT table_name FROM information_schema.column_privileges"
            " WHERE grantee = %s AND privilege_type = 'INSERT'",
            (API,),
        ).fetchall()
    assert {str(name) for (name,) in rows} == FILLS.keys() - {
        "lead_identities",
        "leases",
        "rate_limits",
    }


def test_messages_beyond_an_accounts_number_go(small: Ledger) -> None:
    with psycopg.connect(small.url) as admin:
        admin.execute("SELECT setval('message_numbers', 100)")
    with shown(small, OPERATOR) as login:
        for n in range(9):
            login.execute(
                "SELECT * FROM send_message(%s, %s, 'claim', %s, NULL, '{}', NULL, 9999999)",
                (small.log_id, SURFACE, f"item-{n}"),
            )
    with psycopg.connect(small.url) as admin:
        kept = admin.execute("SELECT count(*) FROM messages WHERE sender = %s", (OPERATOR,))
        assert kept.fetchone() == (5,)


def offered(count: int) -> str:
    kind, body = encode_request(Touch(SURFACE, LEADS[0], address_word(OPERATOR), "email"))
    row = {"kind": kind, "body": body, "body_hash": "00" * 32}
    return json.dumps([row | {"idempotency_key": f"growth {n}"} for n in range(count)])


def test_requests_are_few_at_once_and_kept_up_to_a_number_of_bytes(small: Ledger) -> None:
    take = "SELECT is_fresh FROM take_requests(%s, %s, '{}')"
    with shown(small, OPERATOR) as login:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            login.execute(take, (small.log_id, offered(1_001)))
        login.rollback()
    with psycopg.connect(small.url) as admin:
        row = admin.execute("SELECT sum(bytes) FROM log_requests").fetchone()
    assert row is not None
    hold_inbox_to(small.url, all_stored_bytes=int(row[0]) + 10_000)
    for count, state in ((5, None), (5, FULL)):
        with shown(small, OPERATOR) as login:
            try:
                rows = login.execute(take, (small.log_id, offered(count))).fetchall()
                assert (state, rows) == (None, [(True,)] * count)
            except psycopg.errors.DiskFull:
                assert state == FULL
            login.rollback()
            hold_inbox_to(small.url, all_stored_bytes=int(row[0]) + 100)


def test_pseudonyms_are_given_a_thousand_at_once(small: Ledger) -> None:
    with shown(small, OWNER) as login:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            login.execute(
                "SELECT * FROM assign_pseudonyms(%s, %s, array_fill('x'::text, ARRAY[1001]),"
                " array_fill(''::bytea, ARRAY[1001]))",
                (small.log_id, SURFACE),
            )
        login.rollback()


# Values of some hundred kilobytes where the API sends few, by table.
LARGE = {
    "api_keys": "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, surfaces,"
    " created_ms, expires_ms) VALUES (sha256('large'), %(me)s, sha256('large'), %(key)s, 'n',"
    " '{operator:touch}', ARRAY[repeat('x', 300000)::bytea], clock_ms(), clock_ms() + 9)",
    "operator_profiles": "UPDATE operator_profiles SET capabilities = ARRAY[repeat('x', 300000)]",
    "operator_memory": "INSERT INTO operator_memory (log_id, account, surface, key, value, bytes,"
    " updated_ms) VALUES (%(log)s, %(me)s, %(surface)s, 'large', to_json(repeat('x', 8000)), 1, 1)",
    "webhooks": "UPDATE webhooks SET events = ARRAY[repeat('x', 300000)]",
    "a webhook's reason": "UPDATE webhooks SET disabled_ms = 1, reason = repeat('x', 300000)",
    "authorizations": "INSERT INTO authorizations (request_hash, browser_hash, client,"
    " redirect_uri, challenge, scopes, nonce, created_ms, expires_ms) VALUES"
    " (sha256(presented()), sha256('b'), 'c', 'u', repeat('c', 43),"
    " ARRAY[repeat('x', 300000)], 'n', clock_ms(), clock_ms())",
    "an allowance's name": "SELECT spend_for_caller(%(me)s, ARRAY[repeat('x', 300000)],"
    " ARRAY[1]::bigint[], ARRAY[9]::bigint[])",
}


@pytest.mark.parametrize("what", LARGE)
def test_no_value_is_larger_than_the_api_needs(small: Ledger, what: str) -> None:
    names = {"log": small.log_id, "me": OPERATOR, "surface": SURFACE, "key": key_of(OPERATOR)}
    with shown(small, OPERATOR) as login:
        with pytest.raises(psycopg.errors.CheckViolation):
            login.execute(LARGE[what].encode(), names)
        login.rollback()


def test_no_large_object_is_made(small: Ledger) -> None:
    for made in ("lo_creat(0)", "lo_create(0)", "lo_from_bytea(0, 'x')"):
        with shown(small, OPERATOR) as login:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(f"SELECT {made}".encode())
            login.rollback()


def test_an_allowance_is_spent_by_whom_it_is_for_and_ends_within_a_day(small: Ledger) -> None:
    """One that did not end would never be swept."""
    spend = "SELECT is_spent FROM spend_for_caller(%s, ARRAY[%s], ARRAY[1]::bigint[], ARRAY[%s])"
    day_us = 86_400_000_000
    with shown(small, OPERATOR) as login:
        for window_us, is_spent in ((day_us, True), (day_us + 1, False)):
            spent = login.execute(spend, (OPERATOR, "acts", window_us)).fetchone()
            assert spent == (is_spent,)
            login.rollback()
            login.execute("SELECT present(%s)", (secret_of(OPERATOR),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(spend, (OWNER, "acts", day_us))
        login.rollback()
    with psycopg.connect(urls_of(small.url).by_login[WORKER]) as worker:
        assert worker.execute(spend, (OWNER, "openings", day_us)).fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute(spend, (OWNER, "acts", day_us))
