"""Progress is told where someone looks, seldom, and only of what takes long."""

import io

import pytest

from orchestrator.cli.output import (
    DOCUMENTED,
    Progress,
    documented,
    error_document,
    printable,
)
from orchestrator.core.common.errors import InputError


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, asked: bool | None, *times_s: float) -> list[str]:
    """Return the lines about work that has done one more of a hundred at each time."""
    times = iter((0.0, *times_s))
    progress = Progress("entries judged", asked, stream=stream, clock=lambda: next(times))
    for number, _ in enumerate(times_s, 1):
        progress(1000 * number, 100_000)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    "letter", ["\x1b", "\x07", "\n", "\r", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b", "\ud800"]
)
def test_what_would_steer_a_terminal_is_a_question_mark(letter: str) -> None:
    assert printable(f"größe {letter}[2J") == "größe ?[2J"


def test_short_work_says_nothing() -> None:
    assert told(Terminal(), None, 0.5, 1.0, 1.9) == []


def test_long_work_says_how_far_it_is_every_two_seconds() -> None:
    assert told(Terminal(), None, 1.0, 2.0, 3.9, 4.0) == [
        "   2.0s  entries judged: 2,000 of 100,000 (2 %)",
        "   4.0s  entries judged: 4,000 of 100,000 (4 %)",
    ]


def test_what_is_no_terminal_is_told_only_if_asked() -> None:
    assert told(io.StringIO(), None, 9.0) == []
    assert len(told(io.StringIO(), True, 9.0)) == 1
    assert told(Terminal(), False, 9.0) == []


def test_work_whose_length_nobody_knows_says_how_much_is_done() -> None:
    stream, times = io.StringIO(), iter((0.0, 2.5))
    Progress("rows read", asked=True, stream=stream, clock=lambda: next(times))(95_000)
    assert stream.getvalue() == "   2.5s  rows read: 95,000\n"


def test_an_error_whose_command_has_printed_its_document_is_noted() -> None:
    assert documented(InputError("some-code", "it failed")).__notes__ == [DOCUMENTED]


def test_an_error_is_a_document() -> None:
    assert error_document("some-code", "it failed", 2) == {
        "error": {"code": "some-code", "message": "it failed", "exit_code": 2}
    }
