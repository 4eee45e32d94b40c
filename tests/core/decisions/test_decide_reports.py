"""Touches that others report: their causes, and how they win."""

import copy
from typing import Any

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.opening import CodeOpening, ReportedTouchOpening
from orchestrator.core.world.requests import (
    AnswerAction,
    IssueCode,
    OpenContract,
    ReportTouch,
    RequestAction,
)
from orchestrator.core.world.world import World
from tests.support.decisions import (
    ANN,
    BOB,
    FIRST,
    ZERO,
    X,
    Y,
    event,
    paid,
    run,
    touch,
)
from tests.support.worlds import (
    OWNER,
    SURFACE,
    begin,
    rules,
    word,
)

ASKED = (word("request"), word("commitment"))


def world_with_causes() -> tuple[World, int, int]:
    """Return a world with two leads, a code of Ann's and an action of hers that is taken."""
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)), (0, event("signup", 0, lead=Y)))
    code, action = world.size, world.size + 1
    decide(world, IssueCode(SURFACE, word("code"), ANN, 2, 5000, *ASKED, ZERO), 1000)
    decide(world, RequestAction(SURFACE, X, ANN, "letter", 9000, *ASKED, ZERO), 1500)
    decide(world, AnswerAction(SURFACE, X, OWNER, action, "taken"), 1600)
    return world, code, action


def report(cause: int, action: str, at: int, **changes: Any) -> ReportTouch:
    plain = ReportTouch(SURFACE, X, ANN, action, at, cause, 4000, *ASKED)
    return plain._replace(**changes)


def test_causes_and_what_they_bring_word_for_word() -> None:
    world, code, action = world_with_causes()
    records = decide(world, report(code, "click", 3000), 4000)
    records += decide(world, report(action, "letter", 1500), 4000)
    first = world.size - 2
    entries = [(entry.kind, entry.label, entry.value, entry.time_ms) for entry, _ in records]
    assert entries == [
        ("touch.reported", "click", 0, 3000),
        ("touch.reported", "letter", 1 + first, 1500),
    ]
    assert [record.opening for record in records] == [
        ReportedTouchOpening(code, 4000, *ASKED),
        ReportedTouchOpening(action, 4000, *ASKED),
    ]
    assert [touch.time_ms for touch in world.leads[X].touches[ANN].touches] == [3000, 1500]
    assert world.time_ms == 4000  # by the receipt, whatever the time that is reported
    assert CodeOpening(5000, *ASKED) == CodeOpening(5000, *ASKED, ZERO)


@pytest.mark.parametrize(
    ("cause", "action", "at", "changes"),
    [
        ("code", "click", 999, {}),  # before its issue
        ("code", "click", 4001, {}),  # after its receipt
        ("code", "click", 5001, {"received_ms": 6000}),  # after its expiry
        ("code", "call", 3000, {}),
        ("code", "click", 3000, {"operator": BOB}),
        ("action", "letter", 1499, {}),
        ("action", "letter", 1501, {}),
        ("action", "letter", 1500, {"lead": Y}),
        ("action", "letter", 1500, {"operator": BOB}),
        ("action", "email", 1500, {}),
        (0, "click", 3000, {}),
    ],
)
def test_a_touch_that_its_cause_does_not_give(
    cause: object, action: str, at: int, changes: dict[str, Any]
) -> None:
    world, code, requested = world_with_causes()
    place = {"code": code, "action": requested}.get(str(cause), 0)
    before = copy.deepcopy(world)
    with pytest.raises(RequestError) as caught:
        decide(world, report(place, action, at, **changes), 7000)
    assert caught.value.code == "cause-false"
    assert world == before


def test_a_cause_brings_as_many_touches_as_it_may() -> None:
    world, code, action = world_with_causes()
    for _ in range(2):
        decide(world, report(code, "click", 3000), 4000)
    decide(world, report(action, "letter", 1500), 4000)
    for more in (report(code, "click", 3000), report(action, "letter", 1500)):
        with pytest.raises(RequestError, match="gives this operator no touch"):
            decide(world, more, 4000)


def test_a_reported_touch_wins_by_the_time_that_it_reports() -> None:
    world, code, _ = world_with_causes()
    ours = rules("a", FIRST, opens_at_ms=1000, attribution_window_ms=1000)
    theirs = rules("b", FIRST, operator=BOB, opens_at_ms=1000)
    run(world, (1600, OpenContract(ours, ZERO)), (1600, OpenContract(theirs, ZERO)))
    decide(world, report(code, "click", 3000), 4000)
    run(world, (4000, touch(BOB)))
    # At 4000 the click is young enough, at 4001 it is not; Bob's touch is later in the log.
    assert paid(run(copy.deepcopy(world), (4000, event("buy", 4000)))) == [("a", "")]
    assert paid(run(world, (4001, event("buy", 4001)))) == [("b", "")]
