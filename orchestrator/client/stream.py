"""The stream of a log, followed from a position on: lost connections are made again by themselves.

Its server is a stranger: what it tells is decoded here from the entries' bytes, positions only
rise, and a server that gives nothing is left after a while. What it leaves out is not noticed here:
a replay shows that.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from orchestrator.client.http import Client, json_or_none
from orchestrator.client.log_server import ServedEntry, reading, record_of
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.log.entry import ENTRY_BYTES, WORD_BYTES
from orchestrator.core.log.opening import Record

# The server gives a sign of life every 15 seconds.
SILENCE_S = 60
# The most connections in a row by which nothing was learned.
MAX_ATTEMPTS = 8
_MOST_PAUSE_S = 30.0
# The refusals that time changes.
_PASSING = {"server-unreachable", "http-429", "http-502", "http-503", "http-504"}


class Followed(NamedTuple):
    """An entry of the stream, and the size and root of a checkpoint that is said to cover it."""

    position: int
    record: Record
    size: int
    root: bytes


class _Event(NamedTuple):
    name: str
    id: str | None
    data: str


class Stream:
    """The entries of a log as they are written: iterate over it, for as long as you like.

    `cursor` is the position of the last entry that was seen, or passed over by the filters: keep
    it, and give it as `after` to go on behind it, whenever that is. Without one the stream begins
    with what is new. `pause` waits between connections. With `lasts_s` the stream ends by itself,
    after so many seconds of ours, which `clock` tells.
    """

    def __init__(
        self,
        client: Client,
        after: int | None = None,
        *,
        surface: str | None = None,
        contract: str | None = None,
        operator: str | None = None,
        kinds: Sequence[str] = (),
        pause: Callable[[float], object] = time.sleep,
        lasts_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cursor = after
        self._client = client
        self._filters = {
            "surface": surface,
            "contract": contract,
            "operator": operator,
            "kinds": ",".join(kinds) or None,
        }
        self._pause = pause
        self._lasts_s = lasts_s
        self._clock = clock
        # When an event of it came last.
        self._heard_s = -math.inf

    def __iter__(self) -> Iterator[Followed]:
        """Yield entries. Raises ServerError for a refusal, or after too many vain connections."""
        vain, ends_s = 0, self._clock() + self._lasts_s
        while (begun_s := self._clock()) < ends_s:
            before = self.cursor
            failure: ServerError | None = None
            try:
                yield from self._connection(ends_s)
            except ServerError as error:
                if self._clock() >= ends_s:  # the silence was cut short by the end
                    return
                if error.code not in _PASSING:
                    raise
                failure = error
            # A stream ends after a while, and in a quiet log it has had nothing but signs of life.
            has_lived = self._heard_s - begun_s >= SILENCE_S
            vain = 0 if has_lived or self.cursor != before else vain + 1
            if vain >= MAX_ATTEMPTS:
                raise failure or ServerError(
                    "stream-vain", f"{self._client.server} ends its streams at once"
                )
            left_s = ends_s - self._clock()
            if vain and left_s > 0:
                self._pause(min(2.0**vain / 2, _MOST_PAUSE_S, left_s))

    def _connection(self, ends_s: float) -> Iterator[Followed]:
        left_s = max(0.001, ends_s - self._clock())
        headers = {} if self.cursor is None else {"Last-Event-ID": str(self.cursor)}
        lines = self._client.lines(
            "/v1/stream",
            silence_s=min(SILENCE_S, left_s),
            lasts_s=left_s,
            headers=headers,
            **self._filters,
        )
        # Signs of life are lines too: what a stream is silent about does not keep it from its end.
        in_time = takewhile(lambda _: self._clock() < ends_s, lines)
        for event in _events(in_time):
            self._heard_s = self._clock()
            position = None if event.id is None else self._position(event.id)
            if event.name == "entry" and position is not None:
                found = self._entry(position, event.data)
                self.cursor = position
                yield found
            elif position is not None:
                self.cursor = position
            if event.name == "resume":
                return

    def _position(self, text: str) -> int:
        with reading(self._client, "where its stream is"):
            position = int(text)
            if self.cursor is not None and position < self.cursor:
                raise ValueError("positions only rise")
        return position

    def _entry(self, position: int, data: str) -> Followed:
        with reading(self._client, f"what entry {position} of its stream is"):
            item: Any = json_or_none(data.encode())
            if item["position"] != position or position == self.cursor:
                raise ValueError("no new position")
            served = ServedEntry(from_hex(item["entry"], ENTRY_BYTES), item.get("opening"))
            size = item["checkpoint"]["size"]
            root = from_hex(item["checkpoint"]["root"], WORD_BYTES)
            if type(size) is not int or size <= position:
                raise ValueError("no checkpoint that covers it")
        return Followed(position, record_of(served, position), size, root)


def _events(lines: Iterator[str]) -> Iterator[_Event]:
    """Yield the events in the lines of an event stream; one without data has an id alone."""
    name, id_, data = "", None, ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if id_ is not None or data:
                yield _Event(name, id_, data)
            name, id_, data = "", None, ""
        elif field == "event":
            name = value
        elif field == "id":
            id_ = value
        elif field == "data":
            # The server writes each event's data as one line.
            data = value
