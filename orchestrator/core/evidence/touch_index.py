"""An index of touches that finds the one which attribution asks for.

`attribution` states the rule. Here it is answered in logarithmically many steps for any number of
touches, also where times run backwards: a log may be written so to hide something.
"""

from bisect import bisect_left

from orchestrator.core.attribution import TouchAt


class TouchIndex:
    """One operator's touches on one lead since a contract opened: the first and last up to a time.

    A touch's place counts the touches kept here. `_before` names the nearest place before it with a
    smaller time, `_jump` one further down that chain, so that a descent takes logarithmically many
    steps (Myers, "An applicative random-access stack", 1983).
    """

    def __init__(self, opens_at_ms: int) -> None:
        self._opens_at_ms = opens_at_ms
        self._seen = 0  # of the touches that `extend` is given
        self._touches: list[TouchAt] = []
        self._earliest: list[int] = []  # the negated least time so far: it never falls
        self._before: list[int] = []
        self._jump: list[int] = []
        self._depth: list[int] = []

    def extend(self, touches: list[TouchAt]) -> None:
        """Add the touches that are new since the last call, with the same growing list."""
        for n in range(self._seen, len(touches)):
            if touches[n].time_ms >= self._opens_at_ms:
                self._add(touches[n])
        self._seen = len(touches)

    def _add(self, touch: TouchAt) -> None:
        before = self._down(len(self._touches) - 1, touch.time_ms - 1)
        jump = depth = -1
        if before >= 0:
            depth, jump = self._depth[before], before
            # Two jumps of one length make one of double length, as in a skew binary number.
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
        """Return the last place up to this one with a time up to this; -1 if there is none."""
        while place >= 0 and self._touches[place].time_ms > at_ms:
            far = self._jump[place]
            is_far = far >= 0 and self._touches[far].time_ms > at_ms
            place = far if is_far else self._before[place]
        return place

    def first(self, transition: int, at_ms: int) -> TouchAt | None:
        """Return the first touch up to this time, if it stands below the transition."""
        place = bisect_left(self._earliest, -at_ms)
        found = self._touches[place] if place < len(self._touches) else None
        return found if found is not None and found.position < transition else None

    def last(self, transition: int, at_ms: int) -> TouchAt | None:
        """Return the last touch up to this time that stands below the transition."""
        place = self._down(bisect_left(self._touches, TouchAt(transition, -1)) - 1, at_ms)
        return self._touches[place] if place >= 0 else None
