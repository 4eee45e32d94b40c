"""The feed: one reader of the database for all who follow, a window, and pages behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import psycopg
import pytest

from orchestrator.core.world.requests import Touch
from orchestrator.log.feed import PAGE_ENTRIES, Feed, Told
from tests.support.ledger import CONTRACT, Ledger, journey
from tests.support.worlds import LEADS, OPERATORS, SURFACE


@contextmanager
def told_of_more(feed: Feed) -> Iterator[Event]:
    """Give an event that is set whenever there is more."""
    more = Event()
    with feed.following(more.set):
        yield more


def entries_after(feed: Feed, cursor: int) -> list[Told]:
    """Return all entries behind a cursor, by the window or else by pages of the stored log."""
    found: list[Told] = []
    while True:
        page = feed.after(cursor)
        if page is None:
            page = feed.read(cursor)
        if not page.entries:
            return found
        assert page.checkpoint is not None
        assert page.checkpoint.size > page.entries[-1].position
        found += page.entries
        cursor = found[-1].position


def wait_for_size(feed: Feed, more: Event, size: int) -> None:
    while feed.size < size:
        more.clear()
        if feed.size < size:
            assert more.wait(30)


def touches(count: int) -> list[Touch]:
    return [Touch(SURFACE, LEADS[1], OPERATORS[0], "call")] * count


def test_followers_are_told_of_each_commit(running: Ledger) -> None:
    with Feed(running.api, running.log_id) as feed, told_of_more(feed) as more:
        size = feed.open()
        assert size == len(running.entries())
        running.submit_and_drain(*journey(LEADS[0]))
        stored = running.entries()
        wait_for_size(feed, more, len(stored))
        page = feed.after(size - 1)
        assert page is not None
        assert [(one.position, one.data) for one in page.entries] == [
            (one.position, one.data) for one in stored[size:]
        ]


def test_whom_an_entry_is_about(full: Ledger) -> None:
    with Feed(full.api, full.log_id) as feed:
        feed.open()
        for told in entries_after(feed, -1):
            if told.entry.kind == "touch":
                assert (told.contract, told.operator) == (None, OPERATORS[0])
            if told.entry.kind == "outcome":
                assert (told.contract, told.operator) == (CONTRACT.contract_id, OPERATORS[0])
            if told.entry.kind == "lead.registered":
                assert (told.contract, told.operator) == (None, None)


def test_what_the_window_has_lost_is_read_page_by_page(running: Ledger) -> None:
    running.submit_and_drain(*touches(2 * PAGE_ENTRIES))
    with (
        Feed(running.api, running.log_id, window_entries=20) as feed,
        told_of_more(feed) as more,
    ):
        feed.open()
        running.submit_and_drain(*touches(PAGE_ENTRIES))
        stored = running.entries()
        wait_for_size(feed, more, len(stored))
        assert feed.after(0) is None
        newest = feed.after(len(stored) - 11)
        assert newest is not None
        assert [one.position for one in newest.entries] == list(range(len(stored)))[-10:]
        found = entries_after(feed, 0)
        assert [one.data for one in found] == [one.data for one in stored[1:]]


def test_many_followers_cost_one_read(running: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = Feed._read_on

    def counted(self: Feed, session: object) -> bool:
        found = original(self, session)  # type: ignore[arg-type]
        reads.append(found)
        return found

    monkeypatch.setattr(Feed, "_read_on", counted)
    with Feed(running.api, running.log_id) as feed, told_of_more(feed) as more:
        size = feed.open()
        running.submit_and_drain(*journey(LEADS[0]))
        wait_for_size(feed, more, size + 1)
        for _ in range(100):
            page = feed.after(size - 1)
            assert page is not None
            assert page.entries
        assert sum(reads) == 1


def test_a_feed_that_ends_wakes_its_followers(running: Ledger) -> None:
    feed = Feed(running.api, running.log_id)
    with told_of_more(feed) as more:
        feed.open()
        feed.close()
        assert more.wait(30)
        assert feed.is_closed
        # One that was closed begins no more.
        feed.open()
        assert feed.after(feed.size - 1) is not None


def test_a_lost_connection_is_made_again(running: Ledger) -> None:
    with Feed(running.api, running.log_id) as feed, told_of_more(feed) as more:
        size = feed.open()
        running.submit_and_drain(*journey(LEADS[0]))
        wait_for_size(feed, more, size + 1)
        with psycopg.connect(running.url, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN tallystick_check%' "
                "OR (datname = current_database() AND usename = 'tallystick_api')"
            ).fetchall()
            assert ended
        running.submit_and_drain(*touches(3))
        wait_for_size(feed, more, len(running.entries()))
