"""The memory of a search: the touches that attribution names, however many and in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.entries.kinds import encode
from orchestrator.core.evidence.exhibits import EscrowRecord
from orchestrator.core.evidence.history import RECENT, LogHistory, PublicEntry
from orchestrator.core.evidence.touch_index import SHORT
from orchestrator.core.log.entry import ZERO_WORD, Entry
from orchestrator.core.surface.attribution import TouchAt, qualifying_touch
from tests.support.histories import no_source
from tests.support.worlds import LEADS, OPERATORS, SURFACE, policy, rules, word

ANN, BOB = OPERATORS
X, Y, _ = LEADS
GOVERNING = policy()


def touch(time_ms: int, lead: bytes = X, operator: bytes = ANN) -> PublicEntry:
    return PublicEntry(
        encode(Entry("touch", SURFACE, operator, lead, "email", 0, time_ms, ZERO_WORD))
    )


def history_of(
    *items: PublicEntry, attribution: str = "first_touch", window_ms: int = 20
) -> LogHistory:
    one = rules(
        "ann", GOVERNING, attribution=attribution, opens_at_ms=5, attribution_window_ms=window_ms
    )
    found = LogHistory({word("ann"): EscrowRecord(one, word("log"), 0, 1)}, no_source)
    for item in items:
        found.append(item)
    return found


@given(
    st.lists(st.integers(0, 40), max_size=3 * SHORT),
    st.integers(0, 60),
    st.integers(0, 40),
    st.sampled_from(["first_touch", "last_touch"]),
)
def test_it_finds_what_attribution_names(
    times: list[int], transition: int, at_ms: int, model: str
) -> None:
    found = history_of(*map(touch, times), attribution=model)
    (record,) = found.contracts.values()
    below = [TouchAt(n, time_ms) for n, time_ms in enumerate(times) if n < transition]
    assert found.qualifying_touch(record.rules, X, transition, at_ms) == qualifying_touch(
        below, record.rules, at_ms, model
    )


def test_only_touches_of_the_market_and_of_the_asked_leads_are_kept() -> None:
    found = history_of(touch(10), touch(10, operator=BOB), touch(10, Y))
    found.append(touch(11, Y), leads={X})
    assert {key: index.touches for key, index in found.touches.items()} == {
        (SURFACE, X, ANN): [TouchAt(0, 10)],
        (SURFACE, Y, ANN): [TouchAt(2, 10)],
    }


def test_touches_that_others_report_are_kept_too() -> None:
    reported = Entry("touch.reported", SURFACE, ANN, X, "click", 0, 9, ZERO_WORD)
    found = history_of(touch(10), PublicEntry(encode(reported)))
    assert found.touches[SURFACE, X, ANN].touches == [TouchAt(0, 10), TouchAt(1, 9)]
    assert found.reported == {1}


@pytest.mark.parametrize(
    ("position", "at_ms", "is_there"),
    [(1, 30, True), (1, 31, False), (1, 10, True), (1, 9, False), (0, 10, False), (2, 30, False)],
)
def test_a_named_touch_is_there_and_young(position: int, at_ms: int, is_there: bool) -> None:
    found = history_of(touch(4), touch(10), touch(10, Y))  # the first is before the opening
    (record,) = found.contracts.values()
    assert found.has_touch(record.rules, X, position, at_ms) is is_there


def test_entries_far_back_are_asked_of_the_source() -> None:
    items = [touch(n) for n in range(RECENT + 2)]
    asked: list[int] = []

    def source(position: int) -> PublicEntry:
        asked.append(position)
        return items[position]

    found = LogHistory({}, source)
    for item in items:
        found.append(item)
    assert [found.entry_at(at) for at in (RECENT + 1, 2, 1, 0)] == [
        items[at] for at in (RECENT + 1, 2, 1, 0)
    ]
    assert asked == [1, 0]
