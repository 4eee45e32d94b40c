"""The reasons of touches: every case in a small log of its own."""

from typing import Any

import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.why.reason import Code
from orchestrator.core.why.touch import why_touch
from orchestrator.core.world.requests import CloseContract, OpenContract, ProductEvent, Touch
from tests.support.why_market import (
    ANN,
    BOB,
    FIRST,
    LAST,
    SIGNUP,
    USDC,
    SmallLog,
    deal,
    reported,
    touched,
)
from tests.support.worlds import LEADS, SURFACE, word

FAR_MS = 10**12  # all contracts have ended


def closed(at_ms: int, closed_at_ms: int) -> tuple[int, CloseContract]:
    return at_ms, CloseContract(word("ann"), closed_at_ms, word("closing"))


# By name: the contracts, the steps, the touch that is asked for, its answer and a reason in it.
CASES: dict[str, tuple[list[Any], list[Any], int, Code, Code]] = {
    "it won": (
        [deal()],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_WON,
        Code.RIVAL_WON,
    ),
    "it won, and all was taken back": (
        [deal(holdback_period_ms=5000)],
        [touched(500), SIGNUP, reported(2000), reported(2500, "refund")],
        0,
        Code.TOUCH_WON,
        Code.REVERSED,
    ),
    "it won past the budget": (
        [deal(budget_units=5 * USDC)],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_OVER_BUDGET,
        Code.RIVAL_OVER_BUDGET,
    ),
    "it came before the contract counts": (
        [deal(opens_at_ms=600)],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.TOUCH_BEFORE_OPENING,
    ),
    "it is too old, by last touch": (
        [deal(governing=LAST, attribution_window_ms=1000)],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.TOUCH_TOO_OLD,
    ),
    "it is young enough, and the operator's first touch is not": (
        [deal(attribution_window_ms=1000)],
        [touched(500), touched(1900), reported(1950, "signup"), reported(2000)],
        1,
        Code.TOUCH_LOST,
        Code.FIRST_TOUCH_TOO_OLD,
    ),
    "the lead did not move after it": (
        [deal()],
        [SIGNUP, touched(2000)],
        0,
        Code.TOUCH_LOST,
        Code.NO_TRANSITION,
    ),
    "it can still win": (
        [deal()],
        [SIGNUP, touched(2000)],
        0,
        Code.TOUCH_OPEN,
        Code.CAN_STILL_WIN,
    ),
    "another's touch came first": (
        [deal(), deal("bob", operator=BOB)],
        [touched(400, BOB), touched(500), SIGNUP, reported(2000)],
        1,
        Code.TOUCH_LOST,
        Code.OTHER_TOUCH_FIRST,
    ),
    "another's touch came last": (
        [deal(governing=LAST), deal("bob", LAST, operator=BOB)],
        [touched(500), touched(600, BOB), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.OTHER_TOUCH_LAST,
    ),
    "the operator's own touch came first": (
        [deal()],
        [touched(400), touched(500), SIGNUP, reported(2000)],
        1,
        Code.TOUCH_LOST,
        Code.OWN_TOUCH_FIRST,
    ),
    "the operator's own touch came last": (
        [deal(governing=LAST)],
        [touched(400), touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.OWN_TOUCH_LAST,
    ),
    "of two contracts with the touch the older one won": (
        [deal(), deal("younger")],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_WON,
        Code.SAME_TOUCH_OLDER_CONTRACT,
    ),
    "the contract had counted the lead": (
        [deal(), deal("trials", outcome="trial")],
        [touched(500), SIGNUP, reported(2000), touched(2500), reported(3000)],
        1,
        Code.TOUCH_LOST,
        Code.LEAD_COUNTED,
    ),
    "the event was past the deadline": (
        [deal(deadline_ms=1999)],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.AFTER_DEADLINE,
    ),
    "the contract was closed before the event": (
        [deal()],
        [touched(500), SIGNUP, closed(1500, 1500), reported(1501)],
        0,
        Code.TOUCH_LOST,
        Code.AFTER_CLOSING,
    ),
    "the contract was signed under another policy": (
        [deal(), deal("other", LAST)],
        [touched(500), SIGNUP, reported(2000)],
        0,
        Code.TOUCH_WON,
        Code.OTHER_POLICY,
    ),
    "the contract's opening came into the log later": (
        [deal("trials", outcome="trial")],
        [
            (400, Touch(SURFACE, LEADS[0], ANN, "email")),
            SIGNUP,
            reported(2000),
            (2100, OpenContract(deal(), word("opening"))),
        ],
        0,
        Code.TOUCH_WON,
        Code.OPENED_LATER,
    ),
    "the event had happened before it": (
        [deal()],
        [SIGNUP, touched(3000), reported(2000, received_ms=3500)],
        0,
        Code.TOUCH_LOST,
        Code.TOUCH_AFTER_EVENT,
    ),
    "the transition was refused": (
        [deal()],
        [touched(500), reported(2000)],
        0,
        Code.TOUCH_LOST,
        Code.TRANSITION_REFUSED,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_touch_has_its_reason(name: str) -> None:
    deals, steps, nth, code, reason = CASES[name]
    governing = LAST if deals[0].attribution == "last_touch" else FIRST
    now_ms = None if reason is Code.CAN_STILL_WIN else FAR_MS
    log = SmallLog(deals, *steps, governing=governing, now_ms=now_ms)
    answer = why_touch(log.source, log.position("touch", nth))
    assert answer.code is code
    assert reason in answer.codes()
    assert Code.LOG_DIFFERS not in answer.codes()
    for found in answer.walk():
        assert all(0 <= position < len(log.records) for position in found.positions)


def test_an_operator_without_a_contract_is_told_so() -> None:
    # It has risen to level 1 by the contract. Then that is what the source leaves out.
    log = SmallLog([deal()], SIGNUP, touched(1200))
    log.world.contracts.clear()
    answer = why_touch(log.source, log.position("touch"))
    assert (answer.code, answer.parts[0].code) == (Code.TOUCH_LOST, Code.NO_CONTRACT)


@pytest.mark.parametrize(("window_ms", "wins"), [(1500, True), (1499, False)])
def test_a_window_is_as_long_as_it_says(window_ms: int, wins: bool) -> None:
    log = SmallLog([deal(attribution_window_ms=window_ms)], touched(500), SIGNUP, reported(2000))
    answer = why_touch(log.source, log.position("touch"))
    assert (answer.code is Code.TOUCH_WON) == wins


@pytest.mark.parametrize(("at_ms", "wins"), [(2000, True), (2001, False)])
def test_a_closing_ends_what_is_after_it(at_ms: int, wins: bool) -> None:
    log = SmallLog([deal()], touched(500), SIGNUP, closed(2000, 2000), reported(at_ms))
    answer = why_touch(log.source, log.position("touch"))
    assert (answer.code is Code.TOUCH_WON) == wins
    assert (Code.AFTER_CLOSING in answer.codes()) != wins


def test_a_closing_that_the_log_learned_of_later_bars_nothing_before() -> None:
    log = SmallLog([deal()], touched(500), SIGNUP, reported(2000), closed(3000, 1500))
    assert why_touch(log.source, log.position("touch")).code is Code.TOUCH_WON


def test_another_touch_is_named_by_its_position() -> None:
    deals = [deal(), deal("bob", operator=BOB)]
    log = SmallLog(deals, touched(400, BOB), touched(500), SIGNUP, reported(2000))
    bob, ann = log.position("touch"), log.position("touch", 1)
    reason = why_touch(log.source, ann).find(Code.OTHER_TOUCH_FIRST)
    assert reason.positions == (ann, bob)
    assert f"touch {bob} of another contract came first" in reason.text
    assert reason.subject == word("ann")


def test_what_was_taken_back_is_counted() -> None:
    contract = deal(holdback_period_ms=5000, revenue_share_bps=1000)
    steps = [touched(500), SIGNUP, reported(2000, value=10 * USDC), reported(2500, "refund")]
    log = SmallLog([contract], *steps)
    reason = why_touch(log.source, log.position("touch")).find(Code.RIVAL_WON)
    assert reason.numbers == {"earned_units": 9 * USDC, "reversed_units": 9 * USDC}
    event, reversal = log.position("product.event"), log.position("outcome.reversed")
    assert reason.parts[0].positions == (event, reversal)
    assert reason.parts[0].text.startswith("9.00 USDC was taken back by an event of 1970-01-01")


def test_a_touch_can_win_until_its_window_or_the_deadline_ends() -> None:
    for deadline_ms, still in ((1_000_000, "00:01:42"), (50_000, "00:00:50")):
        log = SmallLog([deal(deadline_ms=deadline_ms)], SIGNUP, touched(2000))
        reason = why_touch(log.source, log.position("touch")).find(Code.CAN_STILL_WIN)
        assert f"by 1970-01-01 {still} UTC" in reason.text


def test_what_is_no_touch_is_refused() -> None:
    log = SmallLog([deal()], SIGNUP)
    for position, code in ((0, "not-a-touch"), (999, "entry-unknown")):
        with pytest.raises(WhyError) as caught:
            why_touch(log.source, position)
        assert caught.value.code == code


def test_a_very_long_history_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.core.why.story.MAX_ENTRIES", 4)
    log = SmallLog([deal()], *[touched(500 + n) for n in range(9)], SIGNUP)
    first, last = log.position("touch"), log.position("touch", -1)
    assert "has more entries than the 4" in why_touch(log.source, first).find(Code.CUT).text
    with pytest.raises(WhyError) as caught:
        why_touch(log.source, last)
    assert caught.value.code == "history-too-long"


def test_many_contracts_are_cut_and_counted() -> None:
    deals = [deal(f"c{n}", opens_at_ms=900) for n in range(40)]
    log = SmallLog(deals, touched(500))
    answer = why_touch(log.source, log.position("touch"))
    assert len(answer.parts) <= 26
    assert answer.find(Code.CUT).numbers == {"left_out": 15}


def test_a_late_event_leaves_no_reason() -> None:
    """An event that is refused as late leaves no entry, so no answer can name it."""
    log = SmallLog([deal()], touched(500), SIGNUP)
    with pytest.raises(Exception, match="the policy takes it then if it is of"):
        log.add(20_000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 2000))
    log.source.now_ms = FAR_MS
    assert why_touch(log.source, log.position("touch")).find(Code.NO_TRANSITION)
