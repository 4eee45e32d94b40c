"""Attribution as evidence shows it: the same touches as the plain rule, and its edges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    OPENED,
    OUTCOME,
    OVER,
    REPORTED,
    TOUCH,
    TRANSITION,
    Words,
)
from orchestrator.core.evidence.touches import (
    Entitlement,
    check_better_touch,
    counts,
    is_visit,
    needed_before,
    qualifies,
)
from orchestrator.core.log.entry import ascii_word
from orchestrator.core.surface.attribution import TouchAt, qualifying_touch
from tests.support.worlds import LEADS, OPERATORS, SURFACE, policy, rules, word

ANN, BOB = OPERATORS
RULES = rules("ann", policy(), opens_at_ms=100, attribution_window_ms=50)
OWED = Entitlement(LEADS[0], 20, 10, 160)


def touch(position: int = 10, time_ms: int = 150, **changes: Any) -> Words:
    plain = Words(position, TOUCH, SURFACE, ANN, LEADS[0], word("email"), 0, time_ms, 0)
    return plain._replace(**changes)


@pytest.mark.parametrize(
    ("shown", "is_counting", "is_qualifying"),
    [
        (touch(), True, True),
        (touch(time_ms=160), True, True),
        (touch(time_ms=161), False, False),
        (touch(time_ms=110), True, True),
        (touch(time_ms=109), True, False),
        (touch(time_ms=100), True, False),
        (touch(time_ms=99), False, False),
        (touch(19), True, True),
        (touch(kind=REPORTED), True, True),
        (touch(20), False, False),
        (touch(kind=OPENED), False, False),
        (touch(surface=word("other")), False, False),
        (touch(actor=BOB), False, False),
        (touch(subject=LEADS[1]), False, False),
    ],
)
def test_a_touch_counts_and_qualifies(shown: Words, is_counting: bool, is_qualifying: bool) -> None:
    assert counts(RULES, OWED, shown) is is_counting
    assert qualifies(RULES, OWED, shown) is is_qualifying


@given(
    st.lists(st.integers(90, 170), min_size=1, max_size=8),
    st.sampled_from(["first_touch", "last_touch"]),
)
def test_no_other_touch_is_better_than_the_one_that_attribution_names(
    times: list[int], model: str
) -> None:
    terms = RULES._replace(attribution=model)
    touches = [TouchAt(n, time_ms) for n, time_ms in enumerate(times, 1)]
    credited = qualifying_touch(touches, terms, 160, model)
    if credited is None:
        return
    owed = OWED._replace(touch=credited.position)
    for other in touches:
        with pytest.raises(EvidenceError):
            check_better_touch(terms, owed, touch(*other))
    # Any other touch that qualifies is beaten by that one.
    for other in touches:
        if other != credited and qualifies(terms, OWED, touch(*other)):
            check_better_touch(terms, OWED._replace(touch=other.position), touch(*credited))


OPENING = Words(5, OPENED, SURFACE, ANN, word("ann"), bytes(32), 0, 90, 0)


@pytest.mark.parametrize(
    ("at_ms", "value", "opening", "before"),
    [
        # all since the opening is young enough
        (150, 8, OPENING, None),
        (151, 8, OPENING, 7),
        # it follows on no other touch, or names none below itself
        (151, 0, OPENING, None),
        (151, 10, OPENING, 9),
        (151, 11, OPENING, None),
        # the one before stands below the opening, which the log took before the contract opened
        (151, 5, OPENING, None),
        (151, 6, OPENING, 5),
        (151, 5, OPENING._replace(time_ms=100), 4),
    ],
)
def test_when_the_touch_before_must_be_shown(
    at_ms: int, value: int, opening: Words, before: int | None
) -> None:
    assert needed_before(RULES, at_ms, touch(value=value), opening) == before


@pytest.mark.parametrize(
    ("kind", "time_ms", "before"),
    [
        # what the log itself timed before the contract opened ends the search
        (TOUCH, 99, None),
        (TOUCH, 100, 6),
        (REPORTED, 99, 6),
        (TOUCH, 161, 6),
    ],
)
def test_which_touch_no_counting_one_stands_below(
    kind: bytes, time_ms: int, before: int | None
) -> None:
    shown = touch(kind=kind, time_ms=time_ms, value=7)
    assert needed_before(RULES, 160, shown, OPENING) == before


@pytest.mark.parametrize(
    ("kind", "label", "is_there"),
    [
        (OUTCOME, "paid", True),
        (OVER, "paid", True),
        (TRANSITION, "paid", False),
        (OUTCOME, "trial", False),
    ],
)
def test_what_counts_a_lead(kind: bytes, label: str, is_there: bool) -> None:
    entry = touch(kind=kind, label=ascii_word(label))
    assert is_visit(RULES, LEADS[0], entry, OUTCOME, OVER) is is_there
    assert not is_visit(RULES, LEADS[1], entry, OUTCOME, OVER)
    assert not is_visit(RULES, LEADS[0], entry._replace(surface=word("x")), OUTCOME, OVER)
