"""An index of touches that finds the one which attribution asks for.

`attribution` states the rule. Here it is answered for any number of touches in steps that are the
square of a logarithm. Times may go back along touches, because others report some of them, and
because a log may be written so to hide something.
"""

from bisect import bisect_left

from orchestrator.core.surface.attribution import TouchAt

SHORT = 16  # touches; up to so many are scanned: nearly all histories are that short


class TouchIndex:
    """One operator's touches on one lead: the first and last of those within a range of times.

    `touches` are in log order. Level k holds the times of every whole block of 2^k touches, sorted:
    the prefix of any length is made of one block of a level at most.
    """

    __slots__ = ("_levels", "touches")

    def __init__(self) -> None:
        self.touches: list[TouchAt] = []
        self._levels: list[list[list[int]]] = []

    def add(self, touch: TouchAt) -> None:
        """Add a touch that stands above all others."""
        self.touches.append(touch)

    def at(self, position: int) -> TouchAt | None:
        """Return the touch at this position of the log, or None."""
        place = self._count_below(position)
        found = self.touches[place] if place < len(self.touches) else None
        return found if found is not None and found.position == position else None

    def first(self, below: int, since_ms: int, until_ms: int) -> TouchAt | None:
        """Return the first touch below this position of the log with a time in this range."""
        blocks = self._blocks(self._count_below(below))
        return self._first_of(blocks, since_ms, until_ms, is_last=False)

    def last(self, below: int, since_ms: int, until_ms: int) -> TouchAt | None:
        """Return the last touch below this position of the log with a time in this range."""
        blocks = self._blocks(self._count_below(below))
        return self._first_of(blocks[::-1], since_ms, until_ms, is_last=True)

    def _count_below(self, position: int) -> int:
        # By position: times may go back, and -1 is below any of them.
        return bisect_left(self.touches, TouchAt(position, -1))

    def _blocks(self, count: int) -> list[tuple[int, int]]:
        """Return the blocks, as (level, number), that the first `count` touches are made of."""
        if count <= SHORT:
            return [(0, place) for place in range(count)]
        blocks, start = [], 0
        for level in reversed(range(count.bit_length())):
            if count >> level & 1:
                blocks.append((level, start >> level))
                start += 1 << level
        return blocks

    def _first_of(
        self, blocks: list[tuple[int, int]], since_ms: int, until_ms: int, *, is_last: bool
    ) -> TouchAt | None:
        """Return the first, or last, touch in the first of these blocks that has one in range."""
        for level, number in blocks:
            if self._has(level, number, since_ms, until_ms):
                break
        else:
            return None
        while level:
            level, number = level - 1, 2 * number + is_last
            if not self._has(level, number, since_ms, until_ms):
                number ^= 1
        return self.touches[number]

    def _has(self, level: int, number: int, since_ms: int, until_ms: int) -> bool:
        """Return whether a block has a time in this range."""
        if level == 0:
            return since_ms <= self.touches[number].time_ms <= until_ms
        times = self._times(level, number)
        place = bisect_left(times, since_ms)
        return place < len(times) and times[place] <= until_ms

    def _times(self, level: int, number: int) -> list[int]:
        """Return the sorted times of a whole block, and of those before it on its level."""
        while len(self._levels) < level:
            self._levels.append([])
        blocks = self._levels[level - 1]
        while len(blocks) <= number:
            start = len(blocks) << level
            if level == 1:
                times = [touch.time_ms for touch in self.touches[start : start + 2]]
            else:
                times = self._times(level - 1, 2 * len(blocks)) + self._times(
                    level - 1, 2 * len(blocks) + 1
                )
            # Two sorted halves are merged in as many steps as they are long.
            blocks.append(sorted(times))
        return blocks[number]
