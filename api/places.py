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

from orchestrator.core.limits import SHARE

# The cells of a row: two holders that meet in one share its places, so there are far more cells
# than holders at a time. The first counts them all.
CELLS = 16_384
# What is held by places, by name.
HELD = ("waiting", "at-once", "reading", "streams", "proxied", "connections")


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
        cells, rows = self._cells, self._rows
        return sum(cells[row + cell] for row in rows), sum(cells[row] for row in rows)

    def leave(self, holder: str) -> None:
        self._add(holder, -1)

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


class Places:
    """The places for what callers hold for long, such as streams, and which of them is short."""

    def __init__(self, most: int, most_of_source: int, holders: Holders | None = None) -> None:
        self._most = most
        self._most_of_source = most_of_source
        self._held = holders or Holders()
        self._lock = Lock()

    def take(self, source: str) -> Literal["taken", "full", "source-full"]:
        """Take a place for a source, if one is free."""
        with self._lock:
            own, of_all = self._held.take(source)
            if own <= self._most_of_source and of_all <= self._most:
                return "taken"
            self._held.leave(source)
            return "full" if own <= self._most_of_source else "source-full"

    def leave(self, source: str) -> None:
        """Give a place back."""
        with self._lock:
            self._held.leave(source)
