"""The index gives what the plain rule gives, for any times, in few steps."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.evidence.touch_index import SHORT, TouchIndex
from orchestrator.core.surface.attribution import TouchAt, qualifying_touch


class Terms(NamedTuple):
    opens_at_ms: int
    attribution_window_ms: int


TIMES = st.integers(0, 12)
ASKED = st.tuples(st.integers(0, 30), st.integers(0, 130), TIMES, TIMES, TIMES)


@given(st.lists(TIMES, max_size=70), st.lists(ASKED, max_size=20))
def test_it_finds_what_the_rule_says(
    times: list[int], asked: list[tuple[int, int, int, int, int]]
) -> None:
    index, left = TouchIndex(), list(enumerate(times))
    for more, transition, at_ms, opens_at_ms, window_ms in asked:
        for n, time_ms in left[:more]:
            index.add(TouchAt(2 * n, time_ms))
        del left[:more]
        below = [touch for touch in index.touches if touch.position < transition]
        ever, young = Terms(opens_at_ms, 1 << 64), Terms(opens_at_ms, window_ms)
        first = index.first(transition, opens_at_ms, at_ms)
        assert first == qualifying_touch(below, ever, at_ms, "first_touch")
        since_ms = max(opens_at_ms, at_ms - window_ms)
        last = index.last(transition, since_ms, at_ms)
        assert last == qualifying_touch(below, young, at_ms, "last_touch")


@given(st.lists(TIMES, max_size=3 * SHORT), st.integers(0, 8 * SHORT))
def test_it_finds_a_touch_by_its_position(times: list[int], position: int) -> None:
    index = TouchIndex()
    for n, time_ms in enumerate(times):
        index.add(TouchAt(2 * n, time_ms))
    by_position = {touch.position: touch for touch in index.touches}
    assert index.at(position) == by_position.get(position)


class Counted(list[Any]):
    """A list that counts what is read of it."""

    read = 0

    def __getitem__(self, place: Any) -> Any:
        Counted.read += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("step", [1, -1, 0])
def test_a_search_is_short(step: int) -> None:
    """Whatever the times are, and wherever the touch stands that is asked for."""
    size = 1 << 14
    index = TouchIndex()
    for n in range(size - 1):  # as many blocks as can be
        index.add(TouchAt(n, size + step * n))
    index.first(size, 0, 0)
    index.touches = Counted(index.touches)
    index._levels = [Counted(map(Counted, level)) for level in index._levels]
    for since_ms, until_ms in ((size, size), (1, 2), (2 * size - 3, 2 * size), (0, 0)):
        for search in (index.first, index.last):
            Counted.read = 0
            search(size, since_ms, until_ms)
            assert Counted.read <= 3 * 14 * 14


def test_adding_costs_little_on_the_whole() -> None:
    """As many times are sorted in all as there are touches, on each level."""
    size = 1 << 12
    index = TouchIndex()
    for n in range(size):
        index.add(TouchAt(n, size - n))
        index.first(n + 1, 0, 0)
    assert [sum(map(len, level)) for level in index._levels] == [size] * 12
