"""The reasons of levels: what counted, what is missing, what would lose them."""

from typing import Any

import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.common.units import DAY_MS, DAY_S
from orchestrator.core.decisions.decide import decide
from orchestrator.core.surface import trust
from orchestrator.core.surface.forecast import ForecastRules
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.why.level import why_level
from orchestrator.core.why.reason import Code, Reason
from orchestrator.core.world.requests import (
    Genesis,
    JudgeTrust,
    OpenContract,
    PublishPolicy,
    PublishSettings,
    RecordRuling,
    RestoreOperator,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.why_market import (
    ANN,
    BOB,
    PLAIN,
    SIGNUP,
    USDC,
    SmallLog,
    deal,
    reported,
    touched,
)
from tests.support.why_source import MemorySource
from tests.support.worlds import LEADS, OWNER, SURFACE, policy, word

RESULTS: dict[str, Any] = {
    "leads_a_day": 50,
    "outcomes": 3,
    "units": str(30 * USDC),
    "age_s": 9 * DAY_S,
    "reversed_bps": 1000,
    "keep_reversed_bps": 2000,
    "disputes_lost": 0,
}


def settings(**changes: Any) -> tuple[int, PublishSettings]:
    document = {
        **PLAIN,
        "levels": [{"leads_a_day": 3}, RESULTS],
        "bucket_s": DAY_S,
        "ripening_s": DAY_S,
        "pause_s": DAY_S,
        **changes,
    }
    return 0, PublishSettings(SURFACE, OWNER, parse_settings(document))


FAR: dict[str, Any] = {
    "deadline_ms": 90 * DAY_MS,
    "repeatable": True,
    "attribution_window_ms": 90 * DAY_MS,
}
SALES = [touched(500), SIGNUP, *[reported(DAY_MS + n) for n in range(2)]]


def asked(log: SmallLog, now_ms: int, operator: bytes = ANN) -> Reason:
    return why_level(MemorySource(log.records, log.world, now_ms), SURFACE, operator)


def test_a_contract_under_the_policy_in_force_gives_level_1() -> None:
    log = SmallLog([deal()])
    answer = asked(log, 10)
    assert answer.numbers == {"level": 1, "due_level": 1}
    assert answer.positions == (log.position("trust.changed"),)
    assert "has level 1 by contract" in answer.text


def test_without_a_contract_that_is_what_is_missing() -> None:
    log = SmallLog([deal()], settings())
    answer = asked(log, 10, BOB)
    assert answer.numbers["level"] == 0
    missing = answer.find(Code.RAISE)
    assert [part.code for part in missing.parts] == [Code.MISSING_CONTRACT]
    assert answer.find(Code.LIMITS).numbers == {"leads_left": 0}
    assert answer.find(Code.LOSE).text == "there is no level to lose"


POOL = {"places": 1, "leads_a_day": 5, "touches_a_day": 6, "lasts_s": DAY_S}
ASKED = {"questions": [{"from": "new", "to": "trial", "horizon_days": 1}]}


def test_forecasts_are_another_way_up() -> None:
    log = SmallLog([], settings(pool=POOL, forecasts=ASKED))
    reason = asked(log, 10).find(Code.MISSING_SKILL)
    rules = ForecastRules()
    assert reason.numbers == {
        "have": 0,
        "need": rules.min_counted,
        "need_bps": rules.skill_bps,
    }
    assert f"0 windows of {rules.min_counted} count, and their skill is none yet" in reason.text
    for less in ({"pool": POOL}, {"forecasts": ASKED}, {}):
        assert Code.MISSING_SKILL not in asked(SmallLog([], settings(**less)), 10).codes()


def skilled(log: SmallLog) -> None:
    """Give Ann's forecasts half of the baselines' errors."""
    standing = log.world.moved_standing(SURFACE, ANN)
    rules = ForecastRules()
    standing.skill.counted = rules.min_counted
    for margin in (standing.skill.latest, standing.skill.pooled):
        margin.denominator = rules.min_denominator
        margin.numerator = rules.min_denominator // 2


def test_skill_needs_a_place_that_is_free() -> None:
    log = SmallLog([], settings(pool=POOL, forecasts=ASKED))
    skilled(log)
    assert asked(log, 10).numbers == {"level": 0, "due_level": 1}
    log.world.surfaces[SURFACE].pool.take_place(BOB, 5, 7000)
    reason = asked(log, 10).find(Code.POOL_FULL)
    assert reason.numbers == {"places": 1, "until_ms": 7000}
    assert "free after 1970-01-01 00:00:07 UTC" in reason.text


def test_a_shared_allowance_and_the_end_of_a_place_are_told() -> None:
    log = SmallLog([], settings(pool=POOL, forecasts=ASKED))
    skilled(log)
    log.add(20, Touch(SURFACE, LEADS[0], ANN, "email"))
    answer = asked(log, 30)
    assert "has level 1 by forecasts" in answer.text
    assert answer.find(Code.POOL).numbers == {"leads_used": 1, "touches_used": 1}
    assert "until 1970-01-02T00:00:00.020Z" in answer.find(Code.LOSE).text


def test_a_contract_under_an_earlier_policy_counts_no_more() -> None:
    published = (20_000, PublishPolicy(SURFACE, OWNER, policy(lateness_s=6)))
    log = SmallLog([deal(deadline_ms=100)], published)
    answer = asked(log, 20_000)
    assert answer.numbers == {"level": 1, "due_level": 0}
    assert "gives level 0 by none" in answer.find(Code.LEVEL_DUE).text
    assert "under an earlier policy" in answer.find(Code.MISSING_CONTRACT).text


def test_every_missing_threshold_has_its_numbers() -> None:
    log = SmallLog([deal(**FAR, holdback_period_ms=DAY_MS)], settings(), *SALES)
    log.add(DAY_MS + 60, reported(DAY_MS + 50, "refund")[1])
    answer = asked(log, 4 * DAY_MS)
    missing = {part.code: part.numbers for part in answer.find(Code.RAISE).parts}
    assert missing == {
        Code.MISSING_OUTCOMES: {"have": 2, "need": 3},
        Code.MISSING_UNITS: {"have_units": 16 * USDC, "need_units": 30 * USDC},
        Code.MISSING_AGE: {"have_s": missing[Code.MISSING_AGE]["have_s"], "need_s": 9 * DAY_S},
        Code.TOO_MUCH_REVERSED: {"have_units": 8 * USDC, "most_units": 1_600_000},
    }
    assert answer.find(Code.COUNTED).numbers["outcomes"] == 2


def test_disputes_that_were_lost_bar_a_level() -> None:
    log = SmallLog([deal(**FAR)], settings(), *SALES)
    log.world.moved_standing(SURFACE, ANN).disputes_lost = 2
    reason = asked(log, 4 * DAY_MS).find(Code.TOO_MANY_DISPUTES)
    assert reason.numbers == {"have": 2, "most": 0}


def test_unripe_outcomes_say_when_they_count() -> None:
    log = SmallLog([deal(**FAR)], settings(), *SALES)
    answer = asked(log, 2 * DAY_MS)
    reason = answer.find(Code.NOT_COUNTED_YET)
    assert reason.numbers == {"outcomes": 2, "units": 16 * USDC, "ripe_ms": 3 * DAY_MS}
    assert answer.find(Code.COUNTED).numbers["outcomes"] == 0
    assert Code.NOT_COUNTED_YET in asked(log, 3 * DAY_MS - 1).codes()
    assert Code.NOT_COUNTED_YET not in asked(log, 3 * DAY_MS).codes()


def test_other_tokens_and_forgotten_outcomes_are_told() -> None:
    other = deal("other", token=word("token"), outcome="trial", **FAR)
    log = SmallLog([deal(**FAR), other], settings(), *SALES)
    answer = asked(log, 2 * DAY_MS)
    assert answer.find(Code.OTHER_TOKEN).numbers == {"outcomes": 1}
    assert Code.FORGOTTEN not in answer.codes()
    log.world.moved_standing(SURFACE, ANN).buckets.clear()
    assert asked(log, 2 * DAY_MS).find(Code.FORGOTTEN).numbers == {"outcomes": 2}


def risen(**changes: Any) -> SmallLog:
    """Return a log in which Ann has earned level 2 by two ripe outcomes."""
    results = {**RESULTS, "outcomes": 2, "units": "0", "age_s": 0}
    levels = [{"leads_a_day": 3}, results, {**results, "outcomes": 9}]
    log = SmallLog([deal(**FAR, **changes)], settings(levels=levels), *SALES)
    log.add(5 * DAY_MS, JudgeTrust(SURFACE, ANN))
    return log


def test_results_earn_a_level_and_the_next_waits_for_its_pause() -> None:
    log = risen()
    answer = asked(log, 5 * DAY_MS + 10)
    assert "has level 2 by results since 1970-01-06 00:00:00 UTC" in answer.text
    assert answer.positions == (log.position("trust.changed", -1),)
    codes = {part.code for part in answer.find(Code.RAISE).parts}
    assert codes == {Code.MISSING_OUTCOMES, Code.PAUSE}
    assert answer.find(Code.PAUSE).numbers == {"until_ms": 6 * DAY_MS}
    assert Code.PAUSE not in asked(log, 6 * DAY_MS).codes()


def test_what_would_lose_a_level_is_a_number() -> None:
    reason = asked(risen(), 5 * DAY_MS).find(Code.LOSE)
    # A fifth of the 16 that were earned.
    assert reason.numbers["left_units"] == 3_200_000
    lose = asked(SmallLog([deal()]), 10).find(Code.LOSE)
    assert lose.text.startswith("a new policy of the owner loses it")


def test_the_highest_level_says_so() -> None:
    assert asked(SmallLog([deal()]), 10).find(Code.HIGHEST)


def test_nothing_missing_comes_with_the_next_judgement() -> None:
    results = {**RESULTS, "outcomes": 2, "units": "0", "age_s": 0}
    levels = [{"leads_a_day": 3}, results]
    log = SmallLog([deal(**FAR)], settings(levels=levels), *SALES)
    answer = asked(log, 5 * DAY_MS)
    assert answer.numbers == {"level": 1, "due_level": 2}
    assert answer.find(Code.LEVEL_DUE)


def test_the_day_s_limit_counts_down() -> None:
    log = SmallLog([deal()], settings(), touched(500))
    log.add(600, Touch(SURFACE, LEADS[1], ANN, "email"))
    log.add(700, Touch(SURFACE, LEADS[1], ANN, "email"))
    wanted = {"leads_a_day": 3, "leads_used": 2, "leads_left": 1}
    assert asked(log, 800).find(Code.LIMITS).numbers == wanted
    assert asked(log, DAY_MS).find(Code.LIMITS).numbers["leads_left"] == 3


def test_a_suspension_is_told_until_it_ends() -> None:
    log = SmallLog([deal()], (10, SuspendOperator(SURFACE, OWNER, ANN, "spam")))
    answer = asked(log, 20)
    assert answer.find(Code.SUSPENDED).positions == (log.position("operator.suspended"),)
    log.add(30, RestoreOperator(SURFACE, OWNER, ANN, "sorry"))
    assert Code.SUSPENDED not in asked(log, 40).codes()


def test_a_surface_without_settings_offers_nothing() -> None:
    world = World()
    records = decide(world, Genesis(word("log"), word("publisher")), 0)
    records += decide(world, PublishPolicy(SURFACE, OWNER, policy()), 0)
    records += decide(world, OpenContract(deal(), word("opening")), 0)
    answer = why_level(MemorySource(records, world, 10), SURFACE, ANN)
    assert answer.find(Code.NO_SETTINGS).positions == (1,)
    assert Code.COUNTED not in answer.codes()


def test_an_answer_agrees_with_the_judgement() -> None:
    """Whatever is said to be missing: with nothing missing the level rises, else it does not."""
    for now_ms in range(2 * DAY_MS, 12 * DAY_MS, DAY_MS // 3):
        log = risen()
        source = MemorySource(log.records, log.world, now_ms)
        found = why_level(source, SURFACE, ANN).find(Code.RAISE)
        here = log.world.surfaces[SURFACE]
        assert here.settings is not None
        judged = trust.judge(
            log.world.standing(SURFACE, ANN),
            here.settings,
            here.policy_hash,
            now_ms,
            has_skill=False,
        )
        assert found.numbers["level"] == judged.level + 1
        assert found.parts


def test_an_unknown_surface_or_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = SmallLog([deal()])
    with pytest.raises(WhyError) as caught:
        why_level(log.source, word("nowhere"), ANN)
    assert caught.value.code == "surface-unknown"
    monkeypatch.setattr(log.source, "settings", lambda _: None)
    with pytest.raises(WhyError) as caught:
        why_level(log.source, SURFACE, ANN)
    assert caught.value.code == "settings-unknown"


def test_a_ruling_that_was_lost_is_told_and_one_that_was_won_is_not() -> None:
    log = SmallLog([deal()], settings())
    arbiter, transaction = word("arbiter"), word("tx")
    for number, label in enumerate(("kept", "lowered", "raised", "claims lowered")):
        log.add(100 + number, RecordRuling(word("ann"), arbiter, label, 5, transaction))
    lost = [log.position("dispute.ruled", 1), log.position("dispute.ruled", 3)]
    answer = asked(log, 5 * DAY_MS)
    told = [reason for reason in answer.walk() if reason.code is Code.DISPUTE_LOST]
    assert sorted(reason.positions[0] for reason in told) == lost
    assert answer.find(Code.COUNTED).numbers["disputes_lost"] == 2
    assert answer.find(Code.TOO_MANY_DISPUTES).positions == tuple(lost)
    assert {reason.subject for reason in told} == {word("ann")}
