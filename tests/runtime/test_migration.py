"""A database is prepared by the owner of its schema, who needs no more than that."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.core.common.errors import ChainError, InputError, LogError
from orchestrator.core.deals.site import Addresses, Site
from orchestrator.core.log.entry import ZERO_ADDRESS, address_word
from orchestrator.core.world.requests import Genesis, Touch
from orchestrator.log.inbox import Submission, results_of, submit
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import begin_log, migrate_deployment, prepare_schema
from orchestrator.runtime.serve import now_ms
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.database import API, LOGINS, SEQUENCER, WORKER, Database, DatabaseUrls
from orchestrator.storage.schema import migrate, secure_logins
from tests.support.keys import give_key
from tests.support.servers import fresh_database, server_folder
from tests.support.worlds import LEADS, SURFACE, word

PUBLISHER, OPERATOR = "0x" + "d" * 40, "0x" + "b" * 40
SITE = Site(
    addresses=Addresses(1, ZERO_ADDRESS, ZERO_ADDRESS, 0),
    log_id=word("log"),
    origin="log.example",
    registrant=PUBLISHER,
    verifier=OPERATOR,
    tokens=(),
)


@dataclass
class Deployment:
    """A database whose owner is no superuser, with the superuser's URL for what tests look at."""

    urls: DatabaseUrls
    superuser: str


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """A server of its own: the roles of others would have another owner."""
    with server_folder() as folder, LocalPostgres(folder) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE schema_owner LOGIN CREATEROLE PASSWORD 'owners'")
            admin.execute("CREATE DATABASE production OWNER schema_owner")
        superuser = server.url_of("production")
        parameters: dict[str, Any] = conninfo_to_dict(superuser)
        owner = make_conninfo(**parameters | {"user": "schema_owner", "password": "owners"})
        yield Deployment(server.urls("production")._replace(owner=owner), superuser)


@pytest.fixture
def prepared(deployment: Deployment) -> Deployment:
    prepare_schema(deployment.urls)
    begin_log(deployment.urls, SITE, PUBLISHER)
    return deployment


def test_an_owner_who_may_make_roles_prepares_a_database_and_may_do_so_again(
    deployment: Deployment,
) -> None:
    said: list[str] = []
    prepare_schema(deployment.urls, said.append)
    assert said[0] == "migration 0001_log"
    assert said[-4:] == [f"password of {login}" for login in LOGINS]
    assert begin_log(deployment.urls, SITE, PUBLISHER)
    said.clear()
    prepare_schema(deployment.urls, said.append)
    assert said == [f"password of {login}" for login in LOGINS]
    assert not begin_log(deployment.urls, SITE, PUBLISHER)


def test_an_owners_database_grants_what_a_superusers_does(prepared: Deployment) -> None:
    """Grants and revocations on another's function are passed over with a warning."""
    with psycopg.connect(prepared.superuser, autocommit=True) as admin:
        found = grants(admin)
        admin.execute("CREATE DATABASE by_superuser")
    other = make_conninfo(prepared.superuser, dbname="by_superuser")
    migrate(other)
    with psycopg.connect(other) as admin:
        assert found == grants(admin)
    assert not [row for row in found if row[2] == "PUBLIC"]
    assert len({row[0] for row in found}) > 50


def grants(admin: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return who may do what with each relation and function, its owner apart."""
    return admin.execute(
        """
        SELECT name, owner = 'tallystick_definer'::regrole, coalesce(r.rolname, 'PUBLIC'),
            privilege_type
        FROM (
            SELECT oid::regclass::text AS name, relowner AS owner,
                coalesce(relacl, acldefault('r', relowner)) AS acl
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
            UNION ALL
            SELECT oid::regprocedure::text, proowner, coalesce(proacl, acldefault('f', proowner))
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ) AS each, aclexplode(acl) AS a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.grantee <> owner
        ORDER BY 1, 2, 3, 4
        """
    ).fetchall()


def test_every_part_works_by_its_own_login(prepared: Deployment) -> None:
    urls = prepared.urls
    account = PUBLISHER.lower()
    with (
        Database(urls.worker or "", WORKER) as worker,
        Database(urls.api or "", API) as api,
        Database(urls.sequencer or "", SEQUENCER) as writer,
        Sequencer(writer, SITE.log_id, now_ms, lambda *_: bytes(65)) as sequencer,
    ):
        with worker.transaction(account) as session:
            genesis = Genesis(SITE.log_id, address_word(PUBLISHER))
            submit(session, SITE.log_id, account, [Submission("genesis", genesis, b"")])
        secret = give_key(prepared.superuser, OPERATOR)
        with api.transaction(secret=secret) as session:
            touch = Touch(SURFACE, LEADS[0], address_word(OPERATOR), "email")
            (name,) = submit(session, SITE.log_id, OPERATOR, [Submission("touch", touch, b"")]).ids
        checkpoint = sequencer.drain()
        assert checkpoint is not None
        assert checkpoint.size == 1
        with api.transaction(secret=secret) as session:
            assert results_of(session, SITE.log_id, [name])[name].code == "surface-unknown"


@pytest.mark.parametrize("login", LOGINS)
def test_no_part_needs_or_has_rights_over_the_schema(prepared: Deployment, login: str) -> None:
    url = prepared.urls.by_login[login]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        prepare_schema(prepared.urls._replace(owner=url))
    with psycopg.connect(url, autocommit=True) as connection:
        for change in ("CREATE SCHEMA mine", "CREATE TABLE mine ()", "DROP TABLE leads"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())
        # A temporary object is a place to hide a function in; the sequencer alone needs a table.
        if login == SEQUENCER:
            connection.execute("CREATE TEMPORARY TABLE mine ()")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TEMPORARY TABLE mine ()")


def test_no_other_role_may_connect(prepared: Deployment) -> None:
    with psycopg.connect(prepared.superuser) as admin:
        admin.execute("CREATE ROLE passer_by LOGIN")
        allowed = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin"
            " AND has_database_privilege(oid, current_database(), 'CONNECT')"
        ).fetchall()
        admin.rollback()
    assert {str(name) for (name,) in allowed} == {"tallystick", "schema_owner", *LOGINS}


def test_a_password_is_changed_by_migrating_again(prepared: Deployment) -> None:
    urls = prepared.urls
    parameters: dict[str, Any] = {**conninfo_to_dict(urls.api or ""), "password": "another one"}
    changed = urls._replace(api=make_conninfo(**parameters))
    assert API in secure_logins(changed)
    with Database(changed.api or "", API) as database, closing(database.connect()):
        pass
    with Database(urls.api or "", API) as database, pytest.raises(LogError, match="no connection"):
        database.connect()
    secure_logins(urls)
    with psycopg.connect(prepared.superuser) as admin:
        stored = admin.execute(
            "SELECT count(*) FROM pg_authid WHERE rolname = ANY (%s)"
            " AND rolpassword LIKE 'SCRAM-SHA-256$%%'",
            (list(LOGINS),),
        ).fetchone()
    assert stored == (len(LOGINS),)


def test_a_login_without_a_password_is_left_as_it_is(prepared: Deployment) -> None:
    urls = prepared.urls
    parameters: dict[str, Any] = conninfo_to_dict(urls.api or "")
    del parameters["password"]
    by_peer = make_conninfo(**parameters)
    assert secure_logins(DatabaseUrls(api=by_peer, owner=urls.owner)) == []
    with Database(urls.api or "", API) as database, closing(database.connect()):
        pass


def test_a_parts_url_with_another_user_is_refused(prepared: Deployment) -> None:
    urls = prepared.urls
    with pytest.raises(InputError) as refused:
        secure_logins(urls._replace(api=urls.worker))
    assert refused.value.code == "login-other"


def test_the_database_of_another_log_is_left_alone(prepared: Deployment) -> None:
    other = replace(SITE, log_id=word("other"))
    with pytest.raises(LogError) as refused:
        begin_log(prepared.urls, other, PUBLISHER)
    assert refused.value.code == "database-of-another-log"


def test_the_command_wants_an_owner_a_node_and_a_site(postgres: LocalPostgres) -> None:
    with fresh_database(postgres, template="template1") as url:
        environment = {"TALLYSTICK_SCHEMA_DATABASE_URL": url}
        for missing, code in (
            ({}, "database-owner-missing"),
            (environment, "setting-site"),
            (environment | {"TALLYSTICK_RPC_URL": "http://127.0.0.1:1"}, "setting-site"),
        ):
            with pytest.raises(InputError) as refused:
                migrate_deployment(read_settings(missing), lambda _: None)
            assert refused.value.code == code


def test_a_wrong_site_leaves_no_trace_in_the_database(
    postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("site") / "site.json"
    path.write_text(json.dumps(SITE.to_json()))
    with fresh_database(postgres, template="template1") as url:
        environment = {
            "TALLYSTICK_SCHEMA_DATABASE_URL": url,
            "TALLYSTICK_RPC_URL": "http://127.0.0.1:1",
            "TALLYSTICK_SITE": str(path),
        }
        with pytest.raises(ChainError):
            migrate_deployment(read_settings(environment), lambda _: None)
        with psycopg.connect(url) as admin:
            assert admin.execute("SELECT to_regclass('migrations')").fetchone() == (None,)
