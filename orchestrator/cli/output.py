"""Texts of others, progress of long work, and what a command says that came to nothing."""

import sys
import time
from collections.abc import Callable
from typing import TextIO, TypeVar

from orchestrator.core.common.errors import DomainError

EVERY_S = 2.0
# What any command says that is to sign and has no key.
NO_KEY = "there is no key to sign with: give --key-file, or set TALLYSTICK_KEY_FILE"


def printable(text: str) -> str:
    """Return a text for a terminal, with a question mark for each letter that is not printable.

    Receipts, servers and nodes write parts of what is said; no control character of theirs, and
    none that turns the direction of a line, may reach a terminal.
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Progress:
    """The lines that say how far work is: on a terminal, or where they were asked for.

    The first line comes after two seconds, so that short work says nothing at all.
    """

    def __init__(
        self,
        what: str,
        asked: bool | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._clock = what, clock
        self._stream = sys.stderr if stream is None else stream
        self._is_shown = self._stream.isatty() if asked is None else asked
        self._started = self._told = clock()

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say that so much of the work is done, unless that was said just now."""
        now = self._clock()
        if not self._is_shown or now - self._told < EVERY_S:
            return
        self._told = now
        share = f" ({done * 100 // total} %)" if total else ""
        of = "" if total is None else f" of {total:,}{share}"
        line = f"{now - self._started:6.1f}s  {self._what}: {done:,}{of}"
        print(line, file=self._stream, flush=True)


E = TypeVar("E", bound=DomainError)
# A note on an error whose command has printed its document already, so that it stays the only one.
DOCUMENTED = "documented"


def documented(error: E) -> E:
    """Return the error of a command that has printed its JSON document, noted as such."""
    error.add_note(DOCUMENTED)
    return error


def error_document(code: str, message: str, exit_code: int) -> dict[str, object]:
    """Return the JSON document of a command that came to nothing."""
    return {"error": {"code": code, "message": message, "exit_code": exit_code}}
