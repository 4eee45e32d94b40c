"""Attribution of a transition to a touch: every edge, and nothing lost by forgetting."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.surface.attribution import (
    TouchAt,
    TouchHistory,
    forget_needless,
    qualifying_touch,
    winner,
)

FIRST, LAST = "first_touch", "last_touch"


class Terms(NamedTuple):
    opens_at_ms: int
    attribution_window_ms: int


def touches_at(*times: int) -> list[TouchAt]:
    """Return touches at these times; the first stands at position 10, the next at 20, ..."""
    return [TouchAt(10 * number, time) for number, time in enumerate(times, 1)]


# A contract that opens at 100 with a window of 50, and a transition at 160.
@pytest.mark.parametrize(
    ("times", "first", "last"),
    [
        ([], None, None),
        # one touch: the window's edge, then the transition's own moment
        ([109], None, None),
        ([110], 10, 10),
        ([111], 10, 10),
        ([159], 10, 10),
        ([160], 10, 10),
        # a transition reported late: touches after its time stand before it in the log
        ([161], None, None),
        ([110, 161], 10, 10),
        ([109, 161], None, None),
        ([130, 160, 161, 170], 10, 20),
        # touches from before the opening
        ([99], None, None),
        ([0, 99], None, None),
        ([99, 120], 20, 20),
        ([0, 50, 99, 120, 130], 40, 50),
        # the first counting touch starts the window, whatever comes after it
        ([100], None, None),
        ([100, 120], None, 20),
        ([109, 110], None, 20),
        ([99, 100, 160], None, 30),
        ([110, 111, 159], 10, 30),
        # equal times: the log's order decides
        ([120, 120, 120], 10, 30),
        ([160, 160], 10, 20),
        ([109, 109, 110, 110], None, 40),
        ([110, 110, 161, 161], 10, 20),
    ],
)
def test_qualifying_touch(times: list[int], first: int | None, last: int | None) -> None:
    touches, terms = touches_at(*times), Terms(100, 50)
    for model, position in ((FIRST, first), (LAST, last)):
        found = qualifying_touch(touches, terms, 160, model)
        assert (found.position if found else None) == position


@pytest.mark.parametrize(
    ("opens_at", "window", "touch", "at", "qualifies"),
    [
        # the opening's edge
        (100, 1000, 99, 100, False),
        (100, 1000, 100, 100, True),
        (100, 1000, 100, 101, True),
        # a window of nothing
        (0, 0, 100, 100, True),
        (0, 0, 99, 100, False),
        (0, 0, 101, 100, False),
        # before the opening of a contract, nothing counts
        (200, 1000, 150, 160, False),
    ],
)
@pytest.mark.parametrize("model", [FIRST, LAST])
def test_edges(
    opens_at: int, window: int, touch: int, at: int, qualifies: bool, model: str
) -> None:
    found = qualifying_touch(touches_at(touch), Terms(opens_at, window), at, model)
    assert (found is not None) == qualifies


@pytest.mark.parametrize(
    ("positions", "first", "last"),
    [
        ([], None, None),
        ([7], 0, 0),
        ([7, 9], 0, 1),
        ([9, 7], 1, 0),
        ([8, 7, 9], 1, 2),
        # the same touch, by two contracts of one operator: the one opened first
        ([7, 7], 0, 0),
        ([9, 7, 7, 9], 1, 0),
    ],
)
def test_winner(positions: list[int], first: int | None, last: int | None) -> None:
    candidates = [(number, TouchAt(position, 0)) for number, position in enumerate(positions)]
    for model, number in ((FIRST, first), (LAST, last)):
        won = winner(candidates, model)
        assert won == (None if number is None else candidates[number])


def test_the_time_of_a_touch_decides_between_no_rivals() -> None:
    early, late = ("late position", TouchAt(9, 1)), ("early position", TouchAt(3, 5))
    assert winner([early, late], FIRST) == late
    assert winner([early, late], LAST) == early


def test_a_history_knows_its_latest_and_its_count() -> None:
    history = TouchHistory()
    for touch in touches_at(5, 6, 6):
        history.add(touch)
    assert history == TouchHistory(touches_at(5, 6, 6), 3, 30)


windows = st.lists(st.builds(Terms, st.integers(0, 30), st.integers(0, 30)), max_size=4)


@given(
    windows,
    st.lists(st.integers(0, 5), max_size=12),
    st.integers(0, 30),
    st.sampled_from([FIRST, LAST]),
)
def test_forgetting_changes_no_attribution(
    terms: list[Terms], waits: list[int], later: int, model: str
) -> None:
    whole, short = TouchHistory(), TouchHistory()
    now = 0
    for number, wait in enumerate(waits, 1):
        now += wait
        whole.add(TouchAt(number, now))
        short.add(TouchAt(number, now))
        forget_needless(short, terms, model)
        assert len(short.touches) <= (max(1, len(terms)) if model == FIRST else 1)
        assert (short.count, short.latest) == (whole.count, whole.latest)
        for one in terms:
            for at in (now, now + later):
                found = qualifying_touch(short.touches, one, at, model)
                assert found == qualifying_touch(whole.touches, one, at, model)


@pytest.mark.parametrize(
    ("times", "opens", "kept"),
    [
        # first_touch keeps, for each opening, the first touch since
        ([5, 6, 7], [], []),
        ([5, 6, 7], [0], [5]),
        ([5, 6, 7], [6], [6]),
        ([5, 6, 7], [7], [7]),
        ([5, 6, 7], [8], []),
        ([5, 6, 7], [0, 5, 6], [5, 6]),
        ([5, 6, 6, 7], [6], [6]),
        ([5, 5, 5], [5], [5]),
        ([4, 5, 9, 12], [0, 5, 10], [4, 5, 12]),
    ],
)
def test_what_first_touch_keeps(times: list[int], opens: list[int], kept: list[int]) -> None:
    history = TouchHistory()
    for touch in touches_at(*times):
        history.add(touch)
        forget_needless(history, [Terms(opening, 9) for opening in opens], FIRST)
    assert [touch.time_ms for touch in history.touches] == kept
    assert len({touch.time_ms for touch in history.touches}) == len(kept)
