"""The index gives what the plain rule gives, for any times."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.attribution import TouchAt, qualifying_touch
from orchestrator.core.evidence.touch_index import TouchIndex


class Terms(NamedTuple):
    opens_at_ms: int
    attribution_window_ms: int = 1 << 64


TIMES = st.integers(0, 12)
ASKED = st.tuples(st.integers(0, 30), st.integers(0, 130), TIMES)


@given(st.lists(TIMES, max_size=60), TIMES, st.lists(ASKED, max_size=20))
def test_it_finds_what_the_rule_says(
    times: list[int], opens_at_ms: int, asked: list[tuple[int, int, int]]
) -> None:
    touches: list[TouchAt] = []
    index, terms = TouchIndex(opens_at_ms), Terms(opens_at_ms)
    left = list(enumerate(times))
    for more, transition, at_ms in asked:
        touches += [TouchAt(2 * n, time_ms) for n, time_ms in left[:more]]
        del left[:more]
        index.extend(touches)
        below = [touch for touch in touches if touch.position < transition]
        first = qualifying_touch(below, terms, at_ms, "first_touch")
        last = qualifying_touch(below, terms, at_ms, "last_touch")
        assert (index.first(transition, at_ms), index.last(transition, at_ms)) == (
            first, last,
        )  # fmt: skip


class Counted(list[TouchAt]):
    """A list that counts what is read of it."""

    count_ = 0

    def __getitem__(self, place: Any) -> Any:
        self.count_ += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("step", [1, -1, 0])
def test_a_descent_is_short(step: int) -> None:
    """Times that rise, so that the last touch up to a time stands far down."""
    size = 1 << 14
    index = TouchIndex(0)
    index.extend([TouchAt(n, size + step * n) for n in range(size)])
    looked = index._touches = Counted(index._touches)
    found = index.last(size, size)
    assert found is not None
    assert found.position == (0 if step == 1 else size - 1)
    assert looked.count_ <= 8 * 14
