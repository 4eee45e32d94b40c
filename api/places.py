"""The places for what callers hold for a while: so many of all, and so many of one.

It refuses, and never queues. Where several processes answer one API they count together, in memory
that they share.
"""

from collections import Counter
from collections.abc import Callable
from ctypes import c_uint32
from hashlib import blake2b
from multiprocessing.context import BaseContext
from threading import Lock
from typing import Any, Literal, NamedTuple

from orchestrator.core.account.sources import NetworkSource
from orchestrator.core.common.limits import SHARE, Limits

# The cells of a row: two holders that meet in one share its places, so there are far more cells
# than holders at a time. The first counts them all.
CELLS = 16_384
# What is held by places, by name; by sources also in their wide networks.
_BY_SOURCE = ("reading", "streams", "keyed-streams", "proxied", "connections")
_WIDE = "-wide"
HELD = (
    *("waiting", "at-once", "account-streams"),
    *(name + suffix for name in _BY_SOURCE for suffix in ("", _WIDE)),
)


class Holders:
    """A count of places by who holds them, in this process alone."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._all = 0

    def take(self, holder: str) -> tuple[int, int]:
        """Count one place more, and return how many the holder has now, and how many all have."""
        self._held[holder] += 1
        self._all += 1
        return self._held[holder], self._all

    def leave(self, holder: str) -> None:
        """Count one place less."""
        self._held[holder] -= 1
        self._all -= 1
        if not self._held[holder]:
            del self._held[holder]

    def total(self) -> int:
        """Return how many places all have."""
        return self._all


# Makes the count of what is held under a name.
CountHolders = Callable[[str], Holders]


def count_alone(_: str) -> Holders:
    """Return the count of a process that answers an API by itself."""
    return Holders()


class SharedCounts(NamedTuple):
    """The counts of the processes that answer one API: memory in which each has rows of its own.

    Only their own process writes them, so none can leave them locked when it is killed; whoever
    starts it again clears them. The secret keeps callers from choosing whom they meet in a cell.
    """

    cells: Any
    processes: int
    own: int
    secret: bytes

    @classmethod
    def begin(cls, context: BaseContext, processes: int, secret: bytes) -> "SharedCounts":
        """Return counts in which no one holds anything, for processes numbered from 0."""
        cells = context.RawArray(c_uint32, len(HELD) * processes * CELLS)
        return cls(cells, processes, 0, secret)

    def holders(self, name: str) -> Holders:
        """Return the count of what is held under a name."""
        return _SharedHolders(self, HELD.index(name))

    def row(self, held: int, process: int) -> int:
        """Return the first cell of a process's row."""
        return (held * self.processes + process) * CELLS

    def clear(self) -> None:
        """Count nothing for this process, which has ended."""
        for held in range(len(HELD)):
            start = self.row(held, self.own)
            self.cells[start : start + CELLS] = [0] * CELLS


class _SharedHolders(Holders):
    """A count of which other processes see what this one adds."""

    def __init__(self, counts: SharedCounts, held: int) -> None:
        self._cells, self._secret = counts.cells, counts.secret
        self._rows = [counts.row(held, process) for process in range(counts.processes)]
        self._own = self._rows[counts.own]

    def take(self, holder: str) -> tuple[int, int]:
        # Counted first and looked at then: of two processes that take the last place at once, both
        # may be refused, and never are both let in.
        cell = self._add(holder, 1)
        return sum(self._cells[row + cell] for row in self._rows), self.total()

    def leave(self, holder: str) -> None:
        self._add(holder, -1)

    def total(self) -> int:
        return sum(self._cells[row] for row in self._rows)

    def _add(self, holder: str, places: int) -> int:
        hashed = blake2b(holder.encode(), key=self._secret, digest_size=8).digest()
        cell = 1 + int.from_bytes(hashed) % (CELLS - 1)
        self._cells[self._own + cell] += places
        self._cells[self._own] += places
        return cell


class ConcurrencyLimit:
    """A limit on how many hold it at a time, of all and of one.

    One holds no more than its share of what is free: accounts cost nothing, and however many take
    all that they can, some places are left for the next.
    """

    def __init__(self, most: int, of_one: int, holders: Holders | None = None) -> None:
        self._most = most
        self._of_one = of_one
        self._held = holders or Holders()
        self._lock = Lock()

    def acquire(self, holder: str) -> bool:
        """Take a place for a holder and return True, or return False if none is free for it."""
        with self._lock:
            own, of_all = self._held.take(holder)
            free = self._most - (of_all - 1)
            if free > 0 and own <= min(self._of_one, max(1, free // SHARE)):
                return True
            self._held.leave(holder)
            return False

    def release(self, holder: str) -> None:
        """Give a place back."""
        with self._lock:
            self._held.leave(holder)


class SourcePlaces:
    """The places that each source holds, and each wide network: as many as so many sources.

    `name` is that of what is held. One thread at a time takes and leaves.
    """

    def __init__(
        self, most: int, wide_sources: int, count: CountHolders = count_alone, name: str = "reading"
    ) -> None:
        self._most = most
        self._wide_sources = wide_sources
        self._networks, self._wides = count(name), count(name + _WIDE)

    def take(self, source: NetworkSource, free: int | None = None) -> str | None:
        """Give a source one more place and return None, or its network that may hold no more.

        Where so many are free for all, neither holds more than its share of these: however many
        take all that they can, the next one finds some.
        """
        most, most_of_wide = self._most, self._most * self._wide_sources
        if free is not None:
            share = max(1, free // SHARE)
            most, most_of_wide = min(most, share), min(most_of_wide, share)
        own, _ = self._networks.take(source.network)
        of_wide = 0 if source.wide is None else self._wides.take(source.wide)[0]
        if own <= most and of_wide <= most_of_wide:
            return None
        self.leave(source)
        return source.network if own > most else source.wide

    def leave(self, source: NetworkSource) -> None:
        """Take a place back from a source."""
        self._networks.leave(source.network)
        if source.wide is not None:
            self._wides.leave(source.wide)

    def total(self) -> int:
        """Return how many places all sources hold."""
        return self._networks.total()


class SourceLimit:
    """A limit on how many a source holds at a time; it refuses, and never queues."""

    def __init__(self, most: int, wide_sources: int, count: CountHolders, name: str) -> None:
        self._places = SourcePlaces(most, wide_sources, count, name)
        self._lock = Lock()

    def acquire(self, source: NetworkSource) -> bool:
        """Take a place for a source and return True, or return False if it may have no more."""
        with self._lock:
            return self._places.take(source) is None

    def release(self, source: NetworkSource) -> None:
        """Give a place back."""
        with self._lock:
            self._places.leave(source)


class Reader(NamedTuple):
    """One who follows the log: where from, and as which account if it has shown a key."""

    source: NetworkSource
    account: str | None = None


class StreamPlaces:
    """The places for streams, which are held for long.

    Who shows a key needs none of the places of those who do not: these have a part of all. Either
    way a source holds only so many, and with a key an account does, too; and none holds more than
    its share of what is free.
    """

    def __init__(self, limits: Limits, count: CountHolders = count_alone) -> None:
        self._limits = limits
        self._most_public = max(1, limits.streams * limits.public_streams_percent // 100)
        self._public, self._keyed = (
            SourcePlaces(limits.source_streams, limits.wide_sources, count, name)
            for name in ("streams", "keyed-streams")
        )
        self._accounts = count("account-streams")
        self._lock = Lock()

    def take(self, reader: Reader) -> Literal["taken", "full", "reader-full"]:
        """Take a place for a reader, if one is free."""
        with self._lock:
            free = self._free(reader)
            if free <= 0:
                return "full"
            if self._places(reader).take(reader.source, free) is not None:
                return "reader-full"
            if reader.account is not None:
                most = min(self._limits.account_streams, max(1, free // SHARE))
                if self._accounts.take(reader.account)[0] > most:
                    self._leave(reader)
                    return "reader-full"
            # Another process may have taken the last one since.
            if self._free(reader) < 0:
                self._leave(reader)
                return "full"
            return "taken"

    def leave(self, reader: Reader) -> None:
        """Give a place back."""
        with self._lock:
            self._leave(reader)

    def _places(self, reader: Reader) -> SourcePlaces:
        return self._public if reader.account is None else self._keyed

    def _free(self, reader: Reader) -> int:
        free = self._limits.streams - self._public.total() - self._keyed.total()
        return free if reader.account else min(free, self._most_public - self._public.total())

    def _leave(self, reader: Reader) -> None:
        self._places(reader).leave(reader.source)
        if reader.account is not None:
            self._accounts.leave(reader.account)
