"""Trouble of a part, said once when it begins and once when it ends; the reach of a database."""

import logging
import threading
import time

# An end is told once none has failed for so long: where some are served and others are not, the
# trouble goes on.
QUIET_S = 2.0
# While no connection can be made, one is tried as often.
TRY_S = 1.0

logger = logging.getLogger("tallystick")


class Trouble:
    """The failure that a part is in, if any. Its methods may be called from any thread."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._reason = ""
        self._since_s = 0.0
        self._lock = threading.Lock()

    def note(
        self,
        reason: str,
        then: str = "trying again",
        *,
        level: int = logging.WARNING,
        error: Exception | None = None,
    ) -> None:
        """Say why the part fails and what it does then, unless that is what was said last."""
        with self._lock:
            last, self._reason = self._reason, reason
            if not last:
                self._since_s = time.monotonic()
        if reason != last:
            self._say(level, "%s: %s; %s", reason, then, error=error)

    def end(self) -> None:
        """Say that the part works, if it did not before."""
        with self._lock:
            last, self._reason = self._reason, ""
        if last:
            seconds = f"{time.monotonic() - self._since_s:.0f}"
            self._say(logging.INFO, "%s: works again after %s s", seconds)

    def _say(self, level: int, text: str, *words: str, error: Exception | None = None) -> None:
        about = {"part": self._part}
        logger.log(level, text, self._part, *words, exc_info=error, extra=about)


class Reach:
    """The reach of a database: whether it takes connections and answers, as its askers find.

    Its trouble is noted once, however many find it, by the first reason.
    """

    def __init__(self, trouble: Trouble | None) -> None:
        self._trouble = trouble
        self._failed_s = 0.0
        self._closed_until_s = 0.0
        self._reason = ""
        self._lock = threading.Lock()

    @property
    def is_troubled(self) -> bool:
        """True from a failure on, until the database has answered for a moment."""
        return bool(self._reason)

    @property
    def is_closed(self) -> bool:
        """True if a connection could not be made a moment ago."""
        return time.monotonic() < self._closed_until_s

    @property
    def reason(self) -> str:
        return self._reason

    def failed(self, reason: str) -> None:
        """Note that someone was not answered."""
        with self._lock:
            self._failed_s = time.monotonic()
            is_first, self._reason = not self._reason, self._reason or reason
        if is_first and self._trouble is not None:
            self._trouble.note(reason)

    def closed(self, reason: str) -> None:
        """Note that no connection can be made."""
        self._closed_until_s = time.monotonic() + TRY_S
        self.failed(reason)

    def opened(self) -> None:
        """Note that a connection was made."""
        self._closed_until_s = 0.0

    def answered(self) -> None:
        """Note that someone was answered."""
        if not self._reason or time.monotonic() - self._failed_s < QUIET_S:
            return
        with self._lock:
            self._reason = ""
        if self._trouble is not None:
            self._trouble.end()
