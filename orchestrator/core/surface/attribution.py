"""Attribution: the touch, and so the contract, that a transition is credited to.

The same rules hold here, in the escrow's refutations and in a stranger's replay:

* A touch *counts* for a contract if it is by that contract's operator on that lead, stands before
  the transition in the log, and `opens_at ≤ its time ≤ t`, t being the transition's time.
* `first_touch`: the operator's first counting touch starts its window; it qualifies if
  `t - first ≤ window`; the earliest in the log wins.
* `last_touch`: of the operator's counting touches with `t - its time ≤ window`, the latest in the
  log qualifies; the latest of all in the log wins.
* A touch that others report (a click, an action carried out) counts as one that the operator asked
  for, at the time of what it reports: so times may go back from one touch to the next.
* Of two contracts with the same touch, the one opened first wins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

C = TypeVar("C")


class TouchAt(NamedTuple):
    """A touch as attribution sees it: its position in the log and its time, UTC milliseconds."""

    position: int
    time_ms: int


@dataclass(slots=True)
class TouchHistory:
    """One operator's touches on one lead, in log order.

    `touches` holds those that can still count. `count` and `latest` (a position) are about all
    that were ever added. `day` is the last on which the operator acted on the lead, in days since
    1970 by the log's own clock.
    """

    touches: list[TouchAt] = field(default_factory=list)
    count: int = 0
    latest: int = 0
    day: int = -1

    def add(self, touch: TouchAt) -> None:
        self.touches.append(touch)
        self.count += 1
        self.latest = touch.position


class Window(Protocol):
    """The part of a contract's terms that attribution needs. Times in UTC milliseconds."""

    @property
    def opens_at_ms(self) -> int: ...
    @property
    def attribution_window_ms(self) -> int: ...


def qualifying_touch(
    touches: Sequence[TouchAt], window: Window, at_ms: int, model: str
) -> TouchAt | None:
    """Return the touch by which a contract may claim a transition at `at_ms`, or None.

    `touches` are those before the transition in the log, in log order.
    """
    reach_ms = at_ms - window.attribution_window_ms
    if model == "last_touch":
        oldest_ms = max(window.opens_at_ms, reach_ms)
        young = (touch for touch in reversed(touches) if oldest_ms <= touch.time_ms <= at_ms)
        return next(young, None)
    counting = (touch for touch in touches if window.opens_at_ms <= touch.time_ms <= at_ms)
    first = next(counting, None)
    return first if first is not None and first.time_ms >= reach_ms else None


def winner(candidates: Iterable[tuple[C, TouchAt]], model: str) -> tuple[C, TouchAt] | None:
    """Return the winning (contract, touch); candidates come in the order of opening."""
    earliest = model == "first_touch"
    best: tuple[C, TouchAt] | None = None
    for candidate in candidates:
        # Strictly better: of two contracts with the same touch, the one opened first stays.
        if best is None or (
            candidate[1].position < best[1].position
            if earliest
            else candidate[1].position > best[1].position
        ):
            best = candidate
    return best


def forget_needless(history: TouchHistory, windows: Iterable[Window], model: str) -> None:
    """Drop the newest touch, or older ones, that no contract can ever be credited with.

    Only for a history whose contracts are all known beforehand and whose times never decrease:
    then `first_touch` needs, for each contract, the first touch since it opened, and `last_touch`
    needs the newest one alone. This bounds a history by the number of contracts.
    """
    if model == "last_touch":
        del history.touches[:-1]
        return
    newest = history.touches[-1]
    before = history.touches[-2].time_ms if len(history.touches) > 1 else None
    needed = any(
        window.opens_at_ms <= newest.time_ms and (before is None or before < window.opens_at_ms)
        for window in windows
    )
    if not needed:
        history.touches.pop()
