"""The journal of a service: one line an event, with time (UTC), level, part and what happened.

What goes wrong is said once, and so is its end. A line that is much like many before it is counted
instead of written, so that no caller fills the disk. Of an exception from elsewhere only its type
and its place are written: its words may quote what a caller sent, or a secret.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

# Of one sort of line so many are written in so many seconds, and the others are counted.
LINES = 10
WINDOW_S = 60.0
# The sorts that are counted at one time. There are as many as there are statements that log.
_MOST_SORTS = 1_000
_MOST_LETTERS = 2_000

logger = logging.getLogger("tallystick")


class _Repeats(logging.Filter):
    """A filter that lets so many lines of one sort pass in a time; the next says what was left out.

    A sort is a logger, a part and a message without its arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        # By sort: when its time began, how many passed, how many did not.
        self._seen: dict[tuple[str, object, object], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # All parts tell of their troubles by one statement; the end of one is not to be left out.
        sort = record.name, getattr(record, "part", None), record.msg
        now_s = record.created
        begun_s, passed, held = self._seen.pop(sort, (now_s, 0, 0))
        if abs(now_s - begun_s) >= WINDOW_S:
            begun_s, passed = now_s, 0
        may_pass = passed < LINES
        if may_pass and held:
            record.held, held = held, 0
        if len(self._seen) >= _MOST_SORTS:
            del self._seen[next(iter(self._seen))]
        self._seen[sort] = (begun_s, passed + may_pass, held + (not may_pass))
        return may_pass


class _Line(logging.Formatter):
    """A record as one line: of JSON, or for people."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        time_s = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = {
            "time": time_s.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": getattr(record, "part", record.name.removeprefix("tallystick.")),
            "said": record.getMessage()[:_MOST_LETTERS],
        }
        if hasattr(record, "held"):
            event["held"] = record.held
        if record.exc_info and record.exc_info[1]:
            event["failure"] = describe_failure(record.exc_info[1])
        if self._as_json:
            return json.dumps(event)
        if event["said"].startswith(f"{event['part']}: "):
            del event["part"]
        # What servers say must neither move a terminal's cursor nor begin a line.
        line = " ".join(str(value) for value in event.values())
        return "".join(letter if letter.isprintable() else "?" for letter in line)


def describe_failure(error: BaseException) -> str:
    """Return the type of an exception and the places that it came by, and none of its words."""
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    places = " < ".join(f"{frame.name} {frame.filename}:{frame.lineno}" for frame in frames[::-1])
    return f"{type(error).__name__} in {places}"


def open_journal(*, as_json: bool, stream: TextIO | None = None) -> None:
    """Have all that is logged written as the journal's lines: JSON on stdout, others on stderr."""
    handler = logging.StreamHandler(stream or (sys.stdout if as_json else sys.stderr))
    handler.setFormatter(_Line(as_json=as_json))
    handler.addFilter(_Repeats())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger.setLevel(logging.INFO)
    # What fails there is raised as well, and the part that it happens to says it.
    for name in ("procrastinate", "psycopg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
