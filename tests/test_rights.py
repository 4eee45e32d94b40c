"""Rights: the database's catalogue and the API's routes, as a reviewed page has them.

The page is made from a database and a service that run, and compared with them. After a change that
is meant, write it anew and review the difference:

    WRITE_RIGHTS=1 .venv/bin/pytest tests/test_rights.py
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import APIRouter, FastAPI
from psycopg import sql

from api.context import TheService
from api.http.auth import AnyCaller, acting
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.requests import ProductEvent
from orchestrator.log.inbox import Submission, submit
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import API, LOGINS
from tests.support.api_service import (
    SETTINGS,
    ApiService,
    draft_terms,
    event,
    give_level,
    leads,
    open_surface,
    proposal_of,
    publish_settings,
    report,
    request_action,
    running_service,
    touch,
    wallet,
)
from tests.support.keys import secret_of
from tests.support.ledger import OPERATOR, OWNER, STRANGER, Ledger, ledger
from tests.support.mcp_client import call, key_of
from tests.support.servers import fresh_database, urls_of
from tests.support.tenants import populate

PAGE = Path(__file__).parents[1] / "docs/security/rights.md"
ROLES = (*LOGINS, "tallystick_definer")
TENANTS = {"owner": OWNER, "operator": OPERATOR, "stranger": STRANGER, "no account": ""}
INTRODUCTION = """# Rights

What each login of the database and each caller of the API may do. `tests/test_rights.py` makes
this page from the catalogue of a migrated database, from rows of two tenants in it, and from the
OpenAPI description of a service that runs; it fails wherever they differ from what stands here.
What stands nowhere here, no login and no caller may do.
"""
Admin = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def populated(postgres: LocalPostgres) -> Iterator[Ledger]:
    with fresh_database(postgres) as url, ledger(url) as log:
        populate(log)
        yield log


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url, extend=forgetful) as running:
        yield running


# --- The page -------------------------------------------------------------------------------------


def test_the_page_says_what_the_database_allows(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        compare("Logins", table(["login", "logs in", "is a member of"], login_rows(admin)))
        compare("Relations", table(["relation", "row security", *ROLES], relation_rows(admin)))
        compare(
            "Row policies",
            table(["relation", "policy", "for", "to", "reaches", "leaves"], policy_rows(admin)),
        )
        compare("Functions", table(["function", "runs as", "executed by"], function_rows(admin)))
        compare(
            "Requests",
            table(["kind", "login", "the account is"], request_rows(admin)),
        )
    compare(
        "Rows of tenants",
        "The rows that a login sees / can change / can remove when it speaks for each account, of "
        "the rows that there are; - where the login may not.\n\n"
        + table(["relation", "rows", "login", *TENANTS], tenant_rows(populated)),
    )


def test_the_page_says_whom_each_route_admits(service: ApiService) -> None:
    compare(
        "Routes",
        "The status of a request without a body, about another's surface or proposal: 401 and 403 "
        "are refusals of the caller; any other is the answer to an admitted one.\n\n"
        + table(["route", "no key", "operator", "owner"], route_rows(service)),
    )


def test_a_new_table_function_grant_or_policy_is_found(populated: Ledger) -> None:
    page, seen = PAGE.read_text(), set[object]()
    with psycopg.connect(populated.url) as admin:
        for change, rows in (
            ("CREATE TABLE planted ()", relation_rows),
            ("CREATE VIEW planted AS SELECT * FROM leads", relation_rows),
            ("GRANT UPDATE (level) ON standings TO tallystick_api", relation_rows),
            ("GRANT SELECT ON entries TO PUBLIC", relation_rows),
            ("ALTER TABLE leads NO FORCE ROW LEVEL SECURITY", relation_rows),
            ("CREATE POLICY planted ON leads USING (true)", policy_rows),
            ("CREATE FUNCTION planted() RETURNS int LANGUAGE sql RETURN 1", function_rows),
            ("GRANT EXECUTE ON PROCEDURE create_log TO PUBLIC", function_rows),
            ("GRANT tallystick_worker TO tallystick_api", login_rows),
            ("UPDATE request_rights SET sender = 'tallystick_worker'", request_rows),
        ):
            if rows not in seen:
                assert [row for row in map(line_of, rows(admin)) if row not in page] == []
                seen.add(rows)
            admin.execute(change.encode())
            assert [row for row in map(line_of, rows(admin)) if row not in page], change
            admin.rollback()


def compare(heading: str, found: str) -> None:
    """Compare a section of the page with what was found, or write it if that is asked for."""
    text = PAGE.read_text() if PAGE.exists() else INTRODUCTION
    before, _, rest = text.partition(f"\n## {heading}\n")
    written, mark, after = rest.partition("\n## ")
    if os.environ.get("WRITE_RIGHTS"):
        PAGE.write_text(f"{before}\n## {heading}\n\n{found}\n{mark}{after}")
        return
    expected, actual = written.strip().splitlines(), found.strip().splitlines()
    new = [line for line in actual if line not in expected]
    gone = [line for line in expected if line not in actual]
    assert expected == actual, f"not on the page: {new}\nno longer true: {gone}"


def table(heads: list[str], rows: Iterable[Iterable[object]]) -> str:
    return "\n".join(map(line_of, [heads, ["---"] * len(heads), *rows]))


def line_of(row: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


# --- The catalogue --------------------------------------------------------------------------------


def login_rows(admin: Admin) -> Iterator[list[str]]:
    for role in ROLES:
        (row,) = admin.execute(
            """
            SELECT rolcanlogin,
                rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication,
                coalesce((SELECT string_agg(roleid::regrole::text, ', ') FROM pg_auth_members
                    WHERE member = r.oid), '')
            FROM pg_roles r WHERE rolname = %s
            """,
            (role,),
        ).fetchall()
        assert not row[1], f"{role} has an attribute that none may have"
        yield [role, "yes" if row[0] else "no", row[2] or "no role"]


def relation_rows(admin: Admin) -> Iterator[list[str]]:
    found = granted(admin)
    for name, _, guarded in relations(admin):
        yield [name, guarded, *(found.words(role, name) for role in ROLES)]


def relations(admin: Admin) -> list[tuple[str, str, str]]:
    """Return tables, views and sequences: name, sort, and whether row policies bind them."""
    rows = admin.execute(
        """
        SELECT relname::text, relkind::text, CASE
            WHEN relkind = 'S' THEN '(numbers)'
            WHEN relkind IN ('v', 'm') THEN
                CASE WHEN reloptions @> '{security_invoker=true}' THEN 'yes' ELSE 'NO' END
            WHEN relrowsecurity AND relforcerowsecurity THEN 'yes' ELSE 'public' END
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
            AND NOT relispartition
        ORDER BY relname COLLATE "C"
        """
    ).fetchall()
    return [(str(name), str(kind), str(guarded)) for name, kind, guarded in rows]


class Granted(NamedTuple):
    """Rights of roles: verbs on relations whole, and columns of them by role, relation and verb."""

    whole: set[tuple[str, str, str]]
    columns: dict[tuple[str, str, str], list[str]]

    def words(self, role: str, relation: str) -> str:
        """Return the verbs that a role may use, with columns where not all are meant."""
        found = []
        for verb in VERBS:
            if (role, relation, verb) in self.whole:
                found.append(verb.lower())
            elif columns := self.columns.get((role, relation, verb)):
                found.append(f"{verb.lower()} ({', '.join(columns)})")
        return " ".join(found)


VERBS = ("USAGE", "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def granted(admin: Admin) -> Granted:
    """Return what the roles may do with all relations of ours."""
    whole = admin.execute(
        """
        SELECT role, relname::text, verb
        FROM unnest(%s::text[]) AS role, unnest(%s::text[]) AS verb, pg_class
        WHERE relnamespace = 'public'::regnamespace AND CASE
            WHEN relkind = 'S' THEN
                verb IN ('USAGE', 'SELECT', 'UPDATE')
                    AND has_sequence_privilege(role, pg_class.oid, verb)
            WHEN relkind IN ('r', 'p', 'v', 'm') THEN
                verb <> 'USAGE' AND has_table_privilege(role, pg_class.oid, verb)
            END
        """,
        ([*ROLES], [*VERBS]),
    ).fetchall()
    parts = admin.execute(
        """
        SELECT role, relname::text, verb, array_agg(attname::text ORDER BY attnum)
        FROM unnest(%s::text[]) AS role,
            unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS verb,
            pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
            AND attnum > 0 AND NOT attisdropped
            AND has_column_privilege(role, attrelid, attnum, verb)
        GROUP BY role, relname, verb
        """,
        ([*ROLES],),
    ).fetchall()
    return Granted(
        {(str(role), str(name), str(verb)) for role, name, verb in whole},
        {(str(role), str(name), str(verb)): columns for role, name, verb, columns in parts},
    )


def policy_rows(admin: Admin) -> list[list[str]]:
    rows = admin.execute(
        """
        SELECT tablename, policyname || CASE permissive WHEN 'PERMISSIVE' THEN ''
                ELSE ' (restricts)' END,
            lower(cmd), array_to_string(roles, ', '), coalesce(qual, ''), coalesce(with_check, '')
        FROM pg_policies WHERE schemaname = 'public'
        ORDER BY tablename COLLATE "C", policyname COLLATE "C"
        """
    ).fetchall()
    return [[" ".join(str(cell).split()) for cell in row] for row in rows]


def function_rows(admin: Admin) -> Iterator[list[str]]:
    rows = admin.execute(
        """
        SELECT p.oid::regprocedure::text, prosecdef, pg_get_userbyid(proowner)::text,
            proconfig::text
        FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        ORDER BY p.oid::regprocedure::text COLLATE "C"
        """
    ).fetchall()
    for name, is_definer, owner, settings in rows:
        if is_definer:
            # A function that runs as its owner finds no table of its caller's.
            assert settings is not None, name
            assert "pg_temp" in settings, name
            assert owner == "tallystick_definer", name
        allowed = [
            role
            for role in (*ROLES, "public")
            if one(admin, "SELECT has_function_privilege(%s, %s, 'EXECUTE')", role, name)
        ]
        yield [str(name), owner if is_definer else "the caller", ", ".join(allowed)]


def request_rows(admin: Admin) -> list[list[str]]:
    rows = admin.execute(
        """
        SELECT kind, sender, concat_ws(', ', 'its ' || actor,
            CASE WHEN is_surface_owners THEN 'the owner of the surface' END,
            CASE WHEN is_publishers THEN 'the publisher of the log' END)
        FROM request_rights ORDER BY kind
        """
    ).fetchall()
    return [[str(cell) for cell in row] for row in rows]


def one(admin: Admin, query: str, *arguments: object) -> Any:
    row = admin.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]


# --- Rows -----------------------------------------------------------------------------------------


def tenant_rows(log: Ledger) -> Iterator[list[object]]:
    """Yield what each login reaches of each relation as each tenant, where it is anything."""
    with psycopg.connect(log.url) as admin, ExitStack() as exits:
        columns = granted(admin).columns
        by_login = urls_of(log.url).by_login
        connections = {
            login: exits.enter_context(psycopg.connect(by_login[login])) for login in LOGINS
        }
        for name, kind, _ in relations(admin):
            if kind == "S":
                continue
            rows = count(admin, name)
            for login in LOGINS:
                changeable = columns.get((login, name, "UPDATE"), [])
                cells = [
                    reached(connections[login], login, account, name, changeable)
                    for account in TENANTS.values()
                ]
                if set(cells) != {"-"}:
                    yield [name, rows, login, *cells]


def reached(connection: Admin, login: str, account: str, relation: str, columns: list[str]) -> str:
    """Return how many rows a login sees, can change and can remove, as `3 / 1 / -`."""
    statements: list[sql.Composed | sql.SQL] = [
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(relation))
    ]
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = {0}").format(sql.Identifier(column)) for column in columns
    )
    statements.append(
        sql.SQL("UPDATE {} SET {}").format(sql.Identifier(relation), changes)
        if columns
        else sql.SQL("")
    )
    statements.append(sql.SQL("DELETE FROM {}").format(sql.Identifier(relation)))
    cells = []
    for number, statement in enumerate(statements):
        if number == 1 and not columns:
            cells.append("-")
            continue
        # The API speaks for the account of the key that it presents, and names none.
        if login == API:
            secret = secret_of(account) if account else b""
            connection.execute("SELECT present(%s)", (secret,))
        else:
            connection.execute("SELECT set_config('tallystick.account', %s, true)", (account,))
        try:
            met = connection.execute(statement)
            row = met.fetchone() if number == 0 else (met.rowcount,)
            assert row is not None
            cells.append(str(row[0]))
        # Of a view of several tables no row can be removed, whoever asks.
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.ObjectNotInPrerequisiteState,
        ):
            cells.append("-")
        connection.rollback()
    return "-" if set(cells) == {"-"} else " / ".join(cells)


def count(admin: Admin, relation: str) -> int:
    row = admin.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(relation))
    ).fetchone()
    assert row is not None
    return int(row[0])


# --- Routes ---------------------------------------------------------------------------------------


def route_rows(service: ApiService) -> Iterator[list[object]]:
    """Yield each route of the description with its answers to callers."""
    owner = service.sign_in(wallet("victim"), "owner")
    surface = open_surface(owner, "routes")
    places = {
        "surface": surface,
        "contract": "0x" + "11" * 32,
        "hash": "0x" + "22" * 32,
        "request_id": str(UUID(int=8 << 76 | 8 << 62)),
        "operator": wallet("victim").address,
        "position": "0",
        "level": "0",
        "index": "0",
        "lead": "0x" + "33" * 32,
        "board": "0x" + "77" * 32,
        "item": "item",
        "code": "0x" + "55" * 32,
        "key": "0x" + "44" * 32,
        "offer": "0x" + "55" * 32,
        "webhook": "0x" + "66" * 32,
        "source": "stripe",
        "message": "msg_" + "66" * 8 + "_1",
    }
    callers = callers_of(service)
    paths = service.get("/v1/openapi.json")["paths"]
    routes = [
        (method.upper(), path)
        for path, item in paths.items()
        for method in item
        if "/planted/" not in path
    ]
    for method, path in sorted(routes, key=lambda route: (route[1], route)):
        answers = [
            status_of(without_waiting(caller), method, path.format(**places))
            for caller in callers.values()
        ]
        if method == "DELETE":  # it may have ended the key by which it was asked
            callers = callers_of(service)
        yield [f"{method} {path}", *answers]


def status_of(client: httpx.Client, method: str, path: str) -> int:
    """Return the status of an answer, whose body may have no end."""
    with client.stream(method, path) as answer:
        return answer.status_code


def callers_of(service: ApiService) -> dict[str, httpx.Client]:
    return {
        "no key": service.http,
        "operator": service.sign_in(wallet("some operator"), "operator"),
        "owner": service.sign_in(wallet("some owner"), "owner"),
    }


def without_waiting(client: httpx.Client) -> httpx.Client:
    client.headers.pop("Prefer", None)
    return client


# --- A handler that forgets its check -------------------------------------------------------------

TENANTS_OWN = (
    "accounts",
    "action_results",
    "api_keys",
    "code_names",
    "confirmations",
    "counters",
    "deliveries",
    "lead_identities",
    "leads",
    "openings",
    "operator_memory",
    "operator_profiles",
    "order_identities",
    "private_payloads",
    "proposals",
    "rate_limits",
    "requests",
    "results",
    "source_secrets",
    "webhook_secrets",
    "webhooks",
)


def forgetful(app: FastAPI) -> None:
    """Plant routes that ask no one whose the rows are, for any caller with a key."""
    router = APIRouter(prefix="/v1/planted")

    @router.get("/{relation}")
    def everything(service: TheService, caller: AnyCaller, relation: str) -> list[str]:
        # No login reads a key's secret or its hash, so none reads whole rows of these.
        named = {"api_keys": "t.key", "source_secrets": "t.key", "webhook_secrets": "t.webhook"}
        shown = sql.SQL(named.get(relation, "t"))
        query = sql.SQL("SELECT ({})::text FROM {} t").format(shown, sql.Identifier(relation))
        with acting(service, caller) as session:
            return [row[0] for row in session._connection.execute(query).fetchall()]

    @router.post("/{surface}/{lead}")
    def report_for_another(
        service: TheService, caller: AnyCaller, surface: str, lead: str
    ) -> list[str]:
        bought = ProductEvent(from_hex(surface), from_hex(lead), "subscribe", 7, 0, ZERO_WORD)
        with acting(service, caller) as session:
            asked = [Submission("forged", bought, b"")]
            return [str(one) for one in submit(session, service.log_id, caller.account, asked).ids]

    app.include_router(router)


def test_a_handler_that_forgets_its_check_leaks_nothing_and_moves_nothing(
    service: ApiService,
) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    operator = service.sign_in(wallet("operator"), "operator")
    surface = open_surface(owner, "guarded")
    give_level(service, surface, wallet("operator"))
    report(owner, surface, "one", event() | {"order": "order 1"})
    (lead,) = leads(operator, surface)
    code = {"max_uses": 1, "expires_ms": service.clock() + 1000}
    issued = operator.post(
        f"/v1/surfaces/{surface}/codes", json=code, headers={"Idempotency-Key": "one"}
    )
    assert issued.is_success, issued.text
    touch(operator, surface, "one", lead["lead"], "email")
    letter = {"level": 1, "by": "surface", "returns": ["industry"]}
    catalogue = {**SETTINGS, "actions": {**SETTINGS["actions"], "letter": letter}}
    assert publish_settings(owner, surface, catalogue, "letters").is_success
    asked = request_action(operator, surface, "letter", lead["lead"], "letter").json()
    taken = f"/v1/surfaces/{surface}/actions/{asked['first_position']}/taken"
    assert owner.post(taken, json={"result": {"industry": "tools"}}).is_success
    parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
    terms = draft_terms(parameters, wallet("operator").address)
    proposed = operator.post("/v1/proposals", json=proposal_of(terms, wallet("operator")))
    assert proposed.status_code == 201, proposed.text
    path = f"/v1/proposals/{proposed.json()['contract_id']}/counter"
    assert owner.post(path, json={"deal": {"outcome": terms.outcome}}).is_success
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO openings SELECT log_id, contract_id, 1, 0, NULL, NULL, 'r', 0"
            " FROM proposals"
        )
    assert operator.put("/v1/profile", json={"display_name": "Ada"}).is_success
    noted = operator.put(f"/v1/surfaces/{surface}/memory/plan", json={"value": "write at nine"})
    assert noted.is_success, noted.text
    for client in (owner, operator):
        call(service.url, key_of(client), "withdraw_proposal", contract="0x" + "1" * 64)
    hook = owner.post("/v1/webhooks", json={"url": "https://a.example", "audience": "owner"})
    assert hook.status_code == 201, hook.text
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO deliveries (webhook, position, event, created_ms, state)"
            " SELECT webhook, 1, 'payout', 0, 'dead' FROM webhooks"
        )
    secret = {"secret": "whsec_of_the_guarded"}
    assert owner.put(f"/v1/surfaces/{surface}/sources/stripe", json=secret).is_success

    stranger = service.sign_in(wallet("a stranger"), "owner")
    for relation in TENANTS_OWN:
        theirs = {*owner.get(f"/v1/planted/{relation}").json()}
        theirs |= {*operator.get(f"/v1/planted/{relation}").json()}
        assert theirs, relation
        seen = stranger.get(f"/v1/planted/{relation}").json()
        # The allowances of network addresses are no account's.
        seen = [row for row in seen if not re.search(",(sign-ins|reads|read-rows),", row)]
        # Of its own it has an account, a key and what it spends; the handler does give rows out.
        assert bool(seen) == (relation in {"accounts", "api_keys", "rate_limits"}), relation
        assert not theirs & {*seen}, relation

    size = service.get("/v1/log")["size"]
    for client in (stranger, operator):
        answer = client.post(f"/v1/planted/{surface}/{lead['lead']}")
        assert answer.status_code == 500
    service.decide_waiting()
    assert service.get("/v1/log")["size"] == size
    assert owner.post(f"/v1/planted/{surface}/{lead['lead']}").status_code == 200


def test_no_guarded_relation_is_left_out_of_what_a_handler_could_leak(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        found = granted(admin)
        guarded = {
            name
            for name, kind, row_security in relations(admin)
            if kind in "rpvm" and row_security == "yes"
            if "select" in found.words("tallystick_api", name)
        }
    # These are public facts, or shown to who has the secret.
    others = {"chain_events", "offers", "surface_names", "signin_nonces", "sign_ins"}
    others.add("authorizations")
    assert guarded - others == set(TENANTS_OWN)
