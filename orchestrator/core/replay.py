"""A stranger's replay: the public entries, judged again from the first to the last.

It needs what anyone can get: the entries with their openings, the policies by hash, and the terms
of each contract from the chain. Every entry that follows from another is computed anew and must
stand in the log word for word; whatever the log adds, omits or alters is a `ReplayError` that names
the entry. It claims nothing of what no replay can see: withheld events, lies told consistently.
"""

from collections.abc import Callable, Iterable

from orchestrator.core.decide import decide
from orchestrator.core.entry import Entry, described
from orchestrator.core.errors import ChainError, DomainError, EntryError, ReplayError, ServerError
from orchestrator.core.kinds import Clock, Kind, kind_of
from orchestrator.core.opening import EventOpening, Record
from orchestrator.core.replay_rules import Documents
from orchestrator.core.units import format_second
from orchestrator.core.world import World

# How far the log's clock may be ahead of the reader's.
MAX_AHEAD_MS = 5_000


class Replay:
    """A replay in progress: `take` every record in log order, then `finish`.

    Raises `ReplayError` at the first entry that the rules do not give, and is of no use after that.
    Only a record that is `clock-ahead` may be taken again, once its time has come.

    `now_ms` returns the reader's time, UTC milliseconds. None: there is no clock to compare with.
    """

    def __init__(self, documents: Documents, now_ms: Callable[[], int] | None = None) -> None:
        self.world = World()
        self._documents = documents
        self._clock = _Clock(now_ms)
        self._expected: list[Record] = []

    @property
    def size(self) -> int:
        """The number of entries taken."""
        return self.world.size - len(self._expected)

    def take(self, record: Record) -> None:
        """Judge the log's next record."""
        position = self.size
        if not self._expected:
            self._expected = _consequences(self.world, record, self._documents, self._clock)
            self._expected.reverse()
        if not self._expected:
            raise ReplayError(
                "entry-unfounded",
                f"entry {position} is {described(record.entry)}, "
                f"for which nothing before it gives cause",
            )
        wanted = self._expected.pop()
        if wanted.entry != record.entry:
            raise ReplayError(
                "entry-differs",
                f"entry {position} is {described(record.entry)}, "
                f"but the rules give {described(wanted.entry)}",
            )

    def finish(self) -> World:
        """Return the world after the last record. Raises ReplayError if the rules demand more."""
        if self._expected:
            raise ReplayError(
                "entry-missing",
                f"the log ends at {self.size} entries, "
                f"but {described(self._expected[-1].entry)} must follow",
            )
        return self.world


def replay(records: Iterable[Record], documents: Documents) -> World:
    """Return the world after `records`, the whole log from entry 0, each judged in turn."""
    judged = Replay(documents)
    for record in records:
        judged.take(record)
    return judged.finish()


class _Clock:
    """The log's own clock: our acts tell it by the entry, reports of the product by the opening.

    It never goes back. So a report that is dated ahead, past a deadline say, dates ahead all that
    the log says after it. Nor is it ahead of the reader's clock: a date is not the publisher's word
    alone, and what is true only later must not be signed for now.
    """

    def __init__(self, now_ms: Callable[[], int] | None) -> None:
        self._ms = 0
        self._now_ms = now_ms

    def advance(self, to_ms: int, position: int, entry: Entry) -> None:
        now_ms = to_ms if self._now_ms is None else self._now_ms()
        if to_ms > now_ms + MAX_AHEAD_MS:
            raise ReplayError(
                "clock-ahead",
                f"entry {position} is {described(entry)}, taken at {format_second(to_ms // 1000)} "
                f"({to_ms} ms), but it is only {format_second(now_ms // 1000)} ({now_ms} ms) by "
                f"our clock; set that, or wait, and do not rely on the log from this entry on",
            )
        if to_ms < self._ms:
            raise ReplayError(
                "clock-regressed",
                f"entry {position} is {described(entry)}, taken at {to_ms} ms, "
                f"but the log is already at {self._ms} ms",
            )
        self._ms = to_ms


def _kind(record: Record, position: int) -> Kind:
    """Return the kind of a record, whose opening must be the one that the kind has."""
    entry, opening = record
    try:
        kind = kind_of(entry)
        fits = kind.fits(entry, opening)
    except EntryError as error:
        raise ReplayError(error.code, f"entry {position}: {error.message}") from None
    if not fits:
        raise ReplayError(
            "opening-false",
            f"entry {position} is {described(entry)}, which its opening does not match",
        )
    return kind


def _consequences(
    world: World, record: Record, documents: Documents, clock: _Clock
) -> list[Record]:
    """Return what the log must say from `record` on: itself, and all that follows from it."""
    entry, opening = record
    position = world.size
    if position == 0 and entry.kind != "genesis":
        raise ReplayError("genesis-missing", f"entry 0 is {described(entry)}, not the genesis")
    kind = _kind(record, position)
    try:
        at_ms = opening.received_ms if isinstance(opening, EventOpening) else entry.time_ms
        # What follows from an event repeats its time and is demanded right behind it.
        if kind.clock is Clock.LOG or opening is not None:
            clock.advance(at_ms, position, entry)
        request = kind.replay(world, record, documents) if kind.replay is not None else None
        return [] if request is None else decide(world, request, at_ms)
    except ReplayError:
        raise
    except (DomainError, LookupError) as error:
        # What the escrow does not know cannot be; a source that does not answer says nothing.
        if isinstance(error, ChainError | ServerError) and error.code != "call-reverted":
            raise
        raise ReplayError(
            "entry-impossible",
            f"entry {position} is {described(entry)}, which cannot be: {error}",
        ) from None
