"""Sizes that adapt to what a node takes, and patience with a node that is busy.

The two are apart: a slow or busy node is waited for, and only what is too much is asked in parts.
"""

from collections.abc import Callable

from orchestrator.chain.rpc import NodeError

# After a refused step upwards the next one waits for twice as many answers, up to this many.
_FIRST_STEP = 2
_LAST_STEP = 256
# The seconds that one question may wait for a busy node in all, and before it asks again at first.
PATIENCE_S = 20.0
FIRST_PAUSE_S = 0.25


class AdaptiveSize:
    """A number of things to ask for at once: it shrinks when refused, and grows back.

    What was a passing trouble is forgotten after a few answers. A limit that stands is tried ever
    more rarely, so it costs next to nothing.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = most
        self._taken = 0
        self._step = _FIRST_STEP
        self._has_grown = False

    def shrink(self, refused: int, by: int = 2) -> None:
        """Note that this many were refused."""
        if self._has_grown:
            self._step = min(2 * self._step, _LAST_STEP)
        self.size = max(1, min(self.size, refused) // by)
        self._taken, self._has_grown = 0, False

    def grow(self, taken: int) -> None:
        """Note that this many were answered; fewer than the size show nothing."""
        if taken < self.size or self.size == self.most:
            return
        if self._has_grown:
            self._step, self._has_grown = _FIRST_STEP, False
        self._taken += 1
        if self._taken >= self._step:
            self.size, self._taken = min(2 * self.size, self.most), 0
            self._has_grown = True

    def restore(self, size: int) -> None:
        """Go back to this size: what was refused at every size was refused for another reason."""
        self.size, self._taken, self._has_grown = size, 0, False


class Patience:
    """The patience of one question with a busy node: pauses that double, bounded in all.

    A node that names a time is taken at its word, as far as the patience reaches.
    """

    def __init__(self, pause: Callable[[float], object], most_s: float = PATIENCE_S) -> None:
        self._pause = pause
        self._left_s = most_s
        self._next_s = FIRST_PAUSE_S
        self.pauses = 0

    def wait(self, busy: NodeError) -> None:
        """Pause, or raise the node's own answer if the patience is at its end."""
        pause_s = max(self._next_s, busy.retry_after_s)
        if pause_s > self._left_s:
            raise busy
        self._pause(pause_s)
        self._left_s -= pause_s
        self._next_s *= 2
        self.pauses += 1
