"""The migrations of the schema, and the beginning of a log in it."""

from collections.abc import Iterator
from threading import Thread

import psycopg
import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage import schema
from orchestrator.storage.schema import create_log, migrate
from tests.support.servers import fresh_database
from tests.support.worlds import word


@pytest.fixture
def empty_url(postgres: LocalPostgres) -> Iterator[str]:
    """A database that was never migrated."""
    with fresh_database(postgres, template="template1") as url:
        yield url


def test_migrations_are_applied_once_and_in_order(empty_url: str) -> None:
    applied = migrate(empty_url)
    assert applied == sorted(applied)
    assert applied[0] == "0001_log"
    assert migrate(empty_url) == []


def test_two_programs_may_migrate_at_once(empty_url: str) -> None:
    applied: list[list[str]] = []
    threads = [Thread(target=lambda: applied.append(migrate(empty_url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied)) == [0, len(schema._migrations())]


def test_a_changed_unknown_or_skipped_migration_is_refused(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"0001_a": "CREATE TABLE a ()", "0003_c": "CREATE TABLE c ()"}
    for migrations, code in (
        (known, None),
        ({**known, "0001_a": "CREATE TABLE b ()"}, "migration-changed"),
        ({"0001_a": known["0001_a"]}, "migration-unknown"),
        ({**known, "0002_b": "CREATE TABLE b ()"}, "migration-skipped"),
        (known, None),
    ):
        ordered = dict(sorted(migrations.items()))
        monkeypatch.setattr(schema, "_migrations", lambda found=ordered: found)
        if code is None:
            migrate(empty_url)
        else:
            with pytest.raises(LogError) as refusal:
                migrate(empty_url)
            assert refusal.value.code == code


def test_a_migration_that_fails_leaves_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"0001_a": "CREATE TABLE a (); SELECT 1 / 0"}
    monkeypatch.setattr(schema, "_migrations", lambda: broken)
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url)
    with psycopg.connect(empty_url) as admin:
        assert admin.execute("SELECT to_regclass('a')").fetchone() == (None,)
        assert admin.execute("TABLE migrations").fetchall() == []


def test_a_log_is_begun_once_and_cannot_be_redefined(database_url: str) -> None:
    facts = {
        "log_id": word("log"),
        "origin": "log.example/1",
        "chain_id": 31337,
        "event_log": "0x" + "A" * 40,
        "escrow": "0x" + "2" * 40,
        "publisher": "0x" + "3" * 40,
    }
    assert create_log(database_url, **facts)  # type: ignore[arg-type]
    assert not create_log(database_url, **facts)  # type: ignore[arg-type]
    with pytest.raises(LogError, match="log 0x"):
        create_log(database_url, **{**facts, "chain_id": 1})  # type: ignore[arg-type]
