"""Finding the touch that attribution asks for in a trail of any length, and of any times.

`attribution` says what the rule is; here it is answered in logarithmically many steps, also for a
log whose times run backwards, since that may have been written to hide something.
"""

from bisect import bisect_left

from orchestrator.core.attribution import TouchAt


class TouchIndex:
    """The touches of one trail since a contract opened: its first and last up to a time.

    A touch's place is its index here. `_before` names the nearest place before it with a smaller
    time, `_jump` one further down that chain, so that a descent takes logarithmically many steps
    (Myers, "An applicative random-access stack", 1983).
    """

    def __init__(self, opens_at_ms: int) -> None:
        self._opens_at_ms = opens_at_ms
        self._seen = 0  # of the trail
        self._touches: list[TouchAt] = []
        self._earliest: list[int] = []  # the negated least time so far: it never falls
        self._before: list[int] = []
        self._jump: list[int] = []
        self._depth: list[int] = []

    def take(self, trail: list[TouchAt]) -> None:
        """Move on to the end of a trail that was taken in part before."""
        for n in range(self._seen, len(trail)):
            if trail[n].time_ms >= self._opens_at_ms:
                self._add(trail[n])
        self._seen = len(trail)

    def _add(self, touch: TouchAt) -> None:
        before = self._down(len(self._touches) - 1, touch.time_ms - 1)
        jump = depth = -1
        if before >= 0:
            depth, jump = self._depth[before], before
            near = self._jump[before]
            far = self._jump[near] if near >= 0 else -1
            if near >= 0 and depth - self._depth[near] == self._depth[near] - self._depth_of(far):
                jump = far
        self._touches.append(touch)
        least = -touch.time_ms
        self._earliest.append(max(least, self._earliest[-1]) if self._earliest else least)
        self._before.append(before)
        self._jump.append(jump)
        self._depth.append(depth + 1)

    def _depth_of(self, place: int) -> int:
        return self._depth[place] if place >= 0 else -1

    def _down(self, place: int, at_ms: int) -> int:
        """The last place up to this one with a time up to this; -1 if there is none."""
        while place >= 0 and self._touches[place].time_ms > at_ms:
            far = self._jump[place]
            is_far = far >= 0 and self._touches[far].time_ms > at_ms
            place = far if is_far else self._before[place]
        return place

    def first(self, transition: int, at_ms: int) -> TouchAt | None:
        """The first touch up to this time, if it stands below the transition."""
        place = bisect_left(self._earliest, -at_ms)
        found = self._touches[place] if place < len(self._touches) else None
        return found if found is not None and found.position < transition else None

    def last(self, transition: int, at_ms: int) -> TouchAt | None:
        """The last touch up to this time that stands below the transition."""
        place = self._down(bisect_left(self._touches, TouchAt(transition, -1)) - 1, at_ms)
        return self._touches[place] if place >= 0 else None
