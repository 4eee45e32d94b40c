"""Trouble with a database is one line, a document and exit code 3, whatever command meets it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.cli.main import MISSING
from orchestrator.runtime.local_servers import LocalPostgres
from tests.support.recovery import environment_of
from tests.support.sandboxes import running_sandbox
from tests.support.servers import fresh_database, server_folder, urls_of

COMMAND = str(Path(sys.executable).with_name("tallystick"))
PARTS = ("SEQUENCER", "WORKER", "API", "REGISTRAR")
NOWHERE = "postgresql://x:y@127.0.0.1:1/db"


class Place(NamedTuple):
    """A deployment whose chain runs, and the URLs of its logins."""

    environment: dict[str, str]
    urls: dict[str, str]

    def told(self, command: str, changed: Mapping[str, str]) -> tuple[str, str]:
        """Run a command that cannot do its work; return the code and the message of its error."""
        done = subprocess.run(
            [COMMAND, *command.split(), "--json"],
            env=os.environ | self.environment | dict(changed),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == MISSING, done.stderr
        error = json.loads(done.stdout.splitlines()[-1])["error"]
        assert error["exit_code"] == MISSING
        assert done.stderr == f"tallystick: {error['message']}\n"
        return error["code"], error["message"]


@pytest.fixture(scope="module")
def place(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    urls = urls_of(module_database_url)
    names = [f"TALLYSTICK_{name}_DATABASE_URL" for name in PARTS]
    by_name = {name: url or "" for name, url in zip(names, urls, strict=False)}
    with running_sandbox("database.example", module_database_url) as sandbox:
        yield Place(environment_of(sandbox, urls, folder) | by_name, by_name)


def changed(url: str, **parameters: Any) -> str:
    return make_conninfo(**conninfo_to_dict(url) | parameters)


@pytest.mark.parametrize(
    ("command", "parameters", "reason"),
    [
        *(
            (command, None, "nothing answers at its host and port")
            for command in ("fsck", "restore --source .", "serve", "serve --only api")
        ),
        ("fsck", {"password": "false"}, "the login or the password is wrong"),
        ("fsck", {"dbname": "nowhere"}, "it has no such database"),
        ("serve --only sequencer", {"password": None}, "it asks for a password, and the URL has"),
    ],
)
def test_a_database_that_takes_no_connection(
    place: Place, command: str, parameters: dict[str, Any] | None, reason: str
) -> None:
    urls = {
        name: NOWHERE if parameters is None else changed(url, **parameters)
        for name, url in place.urls.items()
    }
    code, message = place.told(command, urls)
    assert code == "database-unreachable"
    assert "by the database URL of tallystick_" in message
    assert reason in message


def test_a_login_that_is_not_the_parts(place: Place) -> None:
    code, message = place.told(
        "fsck",
        {"TALLYSTICK_SEQUENCER_DATABASE_URL": place.urls["TALLYSTICK_WORKER_DATABASE_URL"]},
    )
    assert code == "login-mighty"
    assert "this part logs in as tallystick_sequencer" in message
    assert "not as tallystick_worker" in message


@pytest.mark.parametrize("command", ["fsck", "serve --only sequencer"])
def test_a_database_that_was_not_migrated(
    place: Place, postgres: LocalPostgres, command: str
) -> None:
    with fresh_database(postgres, template="template1") as url:
        dbname = conninfo_to_dict(url)["dbname"]
        urls = {name: changed(url, dbname=dbname) for name, url in place.urls.items()}
        code, message = place.told(command, urls)
    assert code == "database-unmigrated"
    assert message.endswith("does not exist; run tallystick migrate")


def test_an_owner_of_a_new_cluster_who_may_make_no_roles(place: Place) -> None:
    with server_folder() as folder, LocalPostgres(folder) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE schema_owner LOGIN PASSWORD 'owners'")
            admin.execute("CREATE DATABASE production OWNER schema_owner")
        owner = changed(server.url_of("production"), user="schema_owner", password="owners")
        code, message = place.told("migrate", {"TALLYSTICK_SCHEMA_DATABASE_URL": owner})
    assert code == "database-forbids"
    assert "permission denied to create role" in message
    assert "a role with CREATEROLE" in message
