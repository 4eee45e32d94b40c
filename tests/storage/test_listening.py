"""Listening: the bell wakes those who wait for a topic, and a lost connection is made again."""

import logging
from collections.abc import Callable
from threading import Event

import psycopg
import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.storage.database import API
from orchestrator.storage.listening import Bell, keep_listening
from orchestrator.storage.trouble import Trouble
from tests.support.servers import open_as

WAIT_S = 30


def ring(url: str, topic: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_notify('tallystick_messages', %s)", (topic,))


def test_the_bell_wakes_who_waits_for_the_topic_and_no_other(database_url: str) -> None:
    woken, other = Event(), Event()
    with open_as(database_url, API) as database, Bell(database) as bell:
        bell.open()
        with bell.waiting("one", woken.set), bell.waiting("two", other.set):
            ring(database_url, "one")
            assert woken.wait(WAIT_S)
            assert not other.is_set()
            woken.clear()
        with bell.waiting("two", other.set):
            ring(database_url, "one")
            ring(database_url, "two")
            assert other.wait(WAIT_S)
            assert not woken.is_set()


def test_all_who_wait_are_told_of_the_end(database_url: str) -> None:
    woken = Event()
    with open_as(database_url, API) as database, Bell(database) as bell:
        bell.open()
        with bell.waiting("one", woken.set):
            bell.close()
            assert woken.is_set()
            assert bell.is_closed
        bell.open()


def test_a_connection_that_fails_is_made_again_and_its_trouble_is_told_once(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tallystick")
    tries, stopped = list[int](), Event()

    def listen(_: object, works: Callable[[], object]) -> None:
        tries.append(len(tries))
        if len(tries) == 3:
            works()
            stopped.set()
        else:
            raise LogError("gone", "the connection is gone")

    with open_as(database_url, API) as database:
        keep_listening(database, stopped, listen, Trouble("bell"))
    told = [record.getMessage().partition(" after ")[0] for record in caplog.records]
    assert told == ["bell: the connection is gone; trying again", "bell: works again"]
