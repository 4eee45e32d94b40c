"""A failpoint of a sequencer that is passed while two batches are under way."""

from collections.abc import Callable
from threading import Condition, current_thread

# The steps of deciding a batch; all others are of writing it.
DECIDING = ("taken", "decided")
WAIT_S = 60


class WhileAhead:
    """A failpoint that acts once, at a step of one of two batches that are under way at a time.

    At a step of writing the next batch has been decided; at a step of deciding, the one before is
    half written. Each thread waits here for the other.
    """

    def __init__(self, step: str, act: Callable[[], object]) -> None:
        self._step, self._act = step, act
        self._moved = Condition()
        self._decided = self._written = 0
        self._is_half_written = False
        self.has_acted = False

    def __call__(self, name: str) -> None:
        with self._moved:
            is_apart = current_thread().name == "write"
            if name == "entries" and is_apart:
                self._is_half_written = True
                self._moved.notify_all()
                if self._step in DECIDING:
                    self._wait(lambda: self.has_acted)
            self._decided += name == "decided"
            self._moved.notify_all()
            if name == self._step and not self.has_acted and self._is_ahead(is_apart):
                self.has_acted = True
                self._moved.notify_all()
                self._act()
            self._written += name == "committed"

    def _is_ahead(self, is_apart: bool) -> bool:
        if self._step in DECIDING:
            # The batch at hand is one of those that were decided, once it is.
            behind = self._decided - (self._step == "decided") - self._written
            return behind > 0 and self._wait(lambda: self._is_half_written)
        return is_apart and self._wait(lambda: self._decided >= self._written + 2)

    def _wait(self, until: Callable[[], bool]) -> bool:
        assert self._moved.wait_for(until, WAIT_S), "the other thread did not come"
        return True
