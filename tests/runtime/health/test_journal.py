"""The journal: one line an event, with its time and level; bounded, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.runtime.health import journal
from orchestrator.runtime.health.journal import LINES, WINDOW_S, open_journal
from orchestrator.storage.trouble import Trouble


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, journal.logger.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    journal.logger.setLevel(before[2])


@pytest.fixture
def written() -> io.StringIO:
    stream = io.StringIO()
    open_journal(as_json=True, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_has_time_level_part_and_words(written: io.StringIO) -> None:
    journal.logger.info("a %s begins", "service")
    logging.getLogger("tallystick.serve").warning("late", extra={"part": "pipeline"})
    logging.getLogger("elsewhere.server").warning("no connection")
    found = lines(written)
    assert [(each["level"], each["part"], each["said"]) for each in found] == [
        ("info", "tallystick", "a service begins"),
        ("warning", "pipeline", "late"),
        ("warning", "elsewhere.server", "no connection"),
    ]
    for each in found:
        assert each["time"].endswith("Z")
        age = datetime.now(UTC) - datetime.fromisoformat(each["time"])
        assert 0 <= age.total_seconds() < 60


def test_what_others_say_in_passing_is_left_out(written: io.StringIO) -> None:
    logging.getLogger("httpx").info("GET https://node.example/secret")
    logging.getLogger("tallystick.api").debug("a detail")
    assert lines(written) == []


def test_a_failure_tells_its_place_and_none_of_its_words(written: io.StringIO) -> None:
    try:
        int("ann@example.com has the key 0x1234")
    except ValueError:
        journal.logger.exception("GET %s failed", "/v1/leads/{lead}")
    (found,) = lines(written)
    assert found["said"] == "GET /v1/leads/{lead} failed"
    assert found["failure"].startswith("ValueError in test_a_failure_tells_its_place")
    assert "ann@example.com" not in written.getvalue()
    assert "0x1234" not in written.getvalue()


def test_lines_of_one_sort_are_counted_once_there_are_many(written: io.StringIO) -> None:
    def say(message: str, number: int, at_s: float) -> None:
        of = {"name": "tallystick", "levelno": logging.WARNING, "levelname": "WARNING"}
        what = {"msg": message, "args": (number,), "created": at_s}
        journal.logger.handle(logging.makeLogRecord(of | what))

    for number in range(1_000):
        say("bad request %d", number, 1e9)
    say("another sort %d", 1, 1e9)
    assert len(lines(written)) == LINES + 1
    say("bad request %d", 1_000, 1e9 + WINDOW_S)
    assert lines(written)[-1]["held"] == 1_000 - LINES
    say("bad request %d", 1_001, 1e9 + WINDOW_S)
    assert "held" not in lines(written)[-1]


def test_no_part_is_silent_because_others_have_said_the_same(written: io.StringIO) -> None:
    """All parts say that a database was away, and that they work again."""
    troubles = [Trouble(f"part {number}") for number in range(LINES + 5)]
    for trouble in troubles:
        trouble.note("the database does not answer")
    for trouble in troubles:
        trouble.end()
    found = lines(written)
    assert len(found) == 2 * len(troubles)
    assert len({each["part"] for each in found if "works again" in each["said"]}) == len(troubles)


def test_sorts_are_bounded(written: io.StringIO) -> None:
    for number in range(5_000):
        journal.logger.info(f"sort {number}")
    filters = [each for handler in logging.getLogger().handlers for each in handler.filters]
    (repeats,) = (each for each in filters if isinstance(each, journal._Repeats))
    assert len(repeats._seen) <= 1_000


def test_for_people_it_is_a_line_that_moves_no_cursor() -> None:
    stream = io.StringIO()
    open_journal(as_json=False, stream=stream)
    journal.logger.warning("a node said \x1b[2J\nand more")
    (line,) = stream.getvalue().splitlines()
    assert "warning tallystick a node said ?[2J?and more" in line


def test_json_goes_to_stdout_and_lines_for_people_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for as_json in (True, False):
        open_journal(as_json=as_json)
        journal.logger.info("here")
        out, err = capsys.readouterr()
        assert ("here" in out, "here" in err) == (as_json, not as_json)
