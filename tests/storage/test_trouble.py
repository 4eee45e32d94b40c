"""Trouble is said once when it begins and once when it ends; a database's reach is one trouble."""

import logging
import time

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from orchestrator.storage import database as database_module
from orchestrator.storage import trouble as trouble_module
from orchestrator.storage.database import API, is_away
from orchestrator.storage.trouble import Reach, Trouble
from tests.support.servers import open_as


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(" after ")[0] for record in caplog.records]


def test_a_trouble_of_one_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tallystick")
    trouble = Trouble("part")
    trouble.end()
    for reason in ("one", "one", "two"):
        trouble.note(reason)
    trouble.end()
    trouble.end()
    assert told(caplog) == [
        "part: one; trying again",
        "part: two; trying again",
        "part: works again",
    ]


def test_a_reach_is_in_trouble_until_none_has_failed_for_a_moment(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that serves some and not others, each answer would else be an end."""
    caplog.set_level(logging.INFO, "tallystick")
    reach, now_s = Reach(Trouble("api")), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    reach.answered()
    for _ in range(5):
        reach.failed("full")
        reach.failed("closed")
        reach.answered()
    assert told(caplog) == ["api: full; trying again"]
    reach.closed("closed")
    assert reach.is_closed
    now_s += trouble_module.QUIET_S
    assert not reach.is_closed
    reach.answered()
    assert not reach.is_troubled
    assert told(caplog)[1:] == ["api: works again"]


def test_a_pool_that_is_used_up_refuses_in_time_and_then_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trouble_module, "QUIET_S", 0.0)
    caplog.set_level(logging.INFO, "tallystick")
    with open_as(database_url, API, most_connections=1, trouble=Trouble("api")) as database:
        with database.transaction() as session:
            session.all("database.login")
            monkeypatch.setattr(database_module, "_LOOK_S", 0.01)
            monkeypatch.setattr(database_module, "CONNECT_S", 0.02)
            for _ in range(3):
                with pytest.raises(PoolTimeout) as refused, database.transaction():
                    pass
                assert is_away(refused.value)
        assert not database.is_troubled
    assert told(caplog) == [
        "api: the database has no connection free for us in time; trying again",
        "api: works again",
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("the connection is lost"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.LockNotAvailable(), False),
        (psycopg.errors.UniqueViolation(), False),
        (ValueError(), False),
    ],
)
def test_a_database_is_away_that_would_take_nothing_else(error: Exception, expected: bool) -> None:
    assert is_away(error) is expected
