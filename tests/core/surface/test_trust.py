"""Trust: each threshold at, below and above, and how levels rise, fall and are shared out."""

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.units import DAY_MS
from orchestrator.core.surface.surface_settings import SurfaceSettings, parse_settings
from orchestrator.core.surface.trust import (
    CONTRACT,
    FORECASTS,
    MAX_BUCKETS,
    NO_DAY,
    NONE,
    RESULTS,
    Bucket,
    Evidence,
    Judgement,
    PoolUse,
    Standing,
    day_of,
    evidence_of,
    judge,
)
from tests.support.depth import examples
from tests.support.worlds import word

POLICY, OTHER = word("policy"), word("another policy")
ANN, BOB, CY = word("ann"), word("bob"), word("cy")
BUCKET_S, RIPENING_S, PAUSE_S = 100, 50, 30
SECOND: dict[str, Any] = {
    "leads_a_day": 20,
    "outcomes": 10,
    "units": "1000",
    "age_s": 500,
    "reversed_bps": 1000,
    "keep_reversed_bps": 2000,
    "disputes_lost": 1,
}
THIRD = {**SECOND, "outcomes": 20, "units": "5000", "age_s": 600, "reversed_bps": 500,
         "keep_reversed_bps": 1500, "disputes_lost": 0}  # fmt: skip


def settings(levels: int = 3, **changes: Any) -> SurfaceSettings:
    document = {
        "token": "0x" + "11" * 20,
        "actions": {},
        "levels": [{"leads_a_day": 10}, SECOND, THIRD][:levels],
        "bucket_s": BUCKET_S,
        "ripening_s": RIPENING_S,
        "pause_s": PAUSE_S,
    }
    return parse_settings(document | changes)


PLAIN = settings()
# The first contract was at 1 s; outcomes fell into a bucket that is ripe at NOW.
NOW = 1_000_000


def standing(
    level: int = 1, *, outcomes: int = 10, earned: int = 1000, reversed_: int = 0, **changes: Any
) -> Standing:
    """Return the standing of a partner that reaches level 2 in each respect, with nothing spare."""
    plain: dict[str, Any] = {
        "level": level,
        "ground": {0: NONE, 1: CONTRACT}.get(level, RESULTS),
        "policy": POLICY,
        "partner_since_ms": NOW - 500_000,
        "disputes_lost": 1,
        "changed_ms": NOW - 500_000,
        "buckets": [Bucket(NOW - 150_000, NOW - 140_000, outcomes, earned, reversed_)],
    }
    return Standing(**{**plain, **changes})


GROUNDS = (NONE, CONTRACT, FORECASTS, RESULTS)


def judged(given_: Standing, now_ms: int = NOW, **changes: Any) -> tuple[int, str]:
    before = copy.deepcopy(given_)
    asked: dict[str, Any] = {"settings": PLAIN, "policy": POLICY, "has_skill": False, **changes}
    found = judge(given_, asked["settings"], asked["policy"], now_ms, has_skill=asked["has_skill"])
    assert given_ == before, "judging changes nothing"
    assert found.ground in GROUNDS
    return found.level, found.ground


# --- Level 1 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "has_skill", "wanted"),
    [
        (b"", False, (0, NONE)),
        (OTHER, False, (0, NONE)),
        (POLICY, False, (1, CONTRACT)),
        (b"", True, (1, FORECASTS)),
        (OTHER, True, (1, FORECASTS)),
        (POLICY, True, (1, CONTRACT)),
    ],
)
@pytest.mark.parametrize("level", [0, 1])
def test_judgement_earns_the_first_level(
    policy: bytes, has_skill: bool, wanted: tuple[int, str], level: int
) -> None:
    given_ = Standing(level=level, ground=CONTRACT if level else NONE, policy=policy)
    assert judged(given_, has_skill=has_skill) == wanted


@pytest.mark.parametrize(
    ("ground", "policy", "has_skill", "wanted"),
    [
        (CONTRACT, OTHER, True, (1, FORECASTS)),
        (FORECASTS, POLICY, True, (1, CONTRACT)),
        (FORECASTS, POLICY, False, (1, CONTRACT)),
        (FORECASTS, OTHER, False, (0, NONE)),
        (RESULTS, POLICY, False, (1, CONTRACT)),
        (RESULTS, OTHER, False, (0, NONE)),
    ],
)
@pytest.mark.parametrize("changed_ms", [0, NOW - 1, NOW])
def test_the_ground_of_a_level_changes_at_once(
    ground: str, policy: bytes, has_skill: bool, wanted: tuple[int, str], changed_ms: int
) -> None:
    given_ = Standing(level=1, ground=ground, policy=policy, changed_ms=changed_ms)
    assert judged(given_, has_skill=has_skill) == wanted


def test_who_was_never_judged_waits_for_nothing() -> None:
    assert judged(Standing(policy=POLICY, changed_ms=0), 1) == (1, CONTRACT)


@pytest.mark.parametrize(
    ("since_ms", "wanted"),
    [(0, 0), (PAUSE_S * 1000 - 1, 0), (PAUSE_S * 1000, 1), (PAUSE_S * 1000 + 1, 1)],
)
def test_a_level_that_was_lost_comes_back_after_the_pause(since_ms: int, wanted: int) -> None:
    given_ = Standing(policy=POLICY, changed_ms=NOW - since_ms)
    assert judged(given_) == (wanted, CONTRACT if wanted else NONE)


# --- Results: what earns a level ------------------------------------------------------------------


def test_a_partner_that_reaches_all_thresholds_rises() -> None:
    assert judged(standing()) == (2, RESULTS)


@pytest.mark.parametrize(
    ("changes", "rises"),
    [
        ({"outcomes": 9}, False),
        ({"outcomes": 11}, True),
        ({"earned": 999}, False),
        ({"earned": 1001}, True),
        ({"partner_since_ms": NOW - 499_001}, False),
        ({"partner_since_ms": NOW - 500_001}, True),
        # a tenth may be reversed to earn it
        ({"reversed_": 99}, True),
        ({"reversed_": 100}, True),
        ({"reversed_": 101}, False),
        ({"earned": 1009, "reversed_": 101}, False),
        ({"earned": 1010, "reversed_": 101}, True),
        ({"disputes_lost": 0}, True),
        ({"disputes_lost": 2}, False),
        ({"partner_since_ms": 0}, False),
        # the pause since the last change
        ({"changed_ms": NOW - PAUSE_S * 1000 + 1}, False),
        ({"changed_ms": NOW - PAUSE_S * 1000}, True),
        ({"changed_ms": NOW}, False),
        ({"changed_ms": 0}, True),
    ],
)
def test_each_threshold_of_results(changes: dict[str, Any], rises: bool) -> None:
    assert judged(standing(**changes)) == ((2, RESULTS) if rises else (1, CONTRACT))


@pytest.mark.parametrize(
    ("now_ms", "rises"),
    [
        # The bucket began at NOW - 150 s: it ends 100 s later, and is ripe 50 s after that.
        (NOW - 1, False),
        (NOW, True),
        (NOW + 1, True),
    ],
)
def test_only_ripe_outcomes_count(now_ms: int, rises: bool) -> None:
    given_ = standing(partner_since_ms=1)
    assert judged(given_, now_ms)[0] == (2 if rises else 1)


def test_reversals_count_before_they_are_ripe() -> None:
    fresh = Bucket(NOW - 1000, NOW, 0, 0, 101)
    given_ = standing()
    given_.buckets.append(fresh)
    assert judged(given_) == (1, CONTRACT)
    # But so does what was earned meanwhile: the share is of all that is remembered.
    given_.buckets.append(Bucket(NOW - 500, NOW, 1, 10, 0))
    assert judged(given_) == (2, RESULTS)


def test_results_alone_earn_nothing_without_the_first_level() -> None:
    for policy in (OTHER, b""):
        assert judged(standing(0, policy=policy)) == (0, NONE)
        assert judged(standing(1, policy=policy)) == (0, NONE)
    # Skill gives the first level, and results the second to who had a contract.
    assert judged(standing(1, policy=OTHER), has_skill=True) == (2, RESULTS)
    assert judged(standing(0, policy=OTHER), has_skill=True) == (1, FORECASTS)


# --- One at a time --------------------------------------------------------------------------------

BEST: dict[str, Any] = {"outcomes": 99, "earned": 9999, "disputes_lost": 0, "partner_since_ms": 1}


@pytest.mark.parametrize(("level", "wanted"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_levels_rise_one_at_a_time(level: int, wanted: int) -> None:
    assert judged(standing(level, **BEST))[0] == wanted


def test_the_third_level_is_earned_by_its_own_results() -> None:
    exact: dict[str, Any] = {"outcomes": 20, "earned": 5000, "disputes_lost": 0,
                             "partner_since_ms": NOW - 600_000, "reversed_": 250}  # fmt: skip
    assert judged(standing(2, **exact)) == (3, RESULTS)
    for worse in (
        {"outcomes": 19},
        {"earned": 4999},
        {"disputes_lost": 1},
        {"partner_since_ms": NOW - 599_000},
        {"reversed_": 251},
    ):
        assert judged(standing(2, **{**exact, **worse})) == (2, RESULTS)


@pytest.mark.parametrize(("levels", "wanted"), [(1, (1, CONTRACT)), (2, (2, RESULTS))])
def test_no_level_is_reached_that_the_settings_do_not_have(
    levels: int, wanted: tuple[int, str]
) -> None:
    fewer = settings(levels)
    given_ = standing(1, **BEST)
    for _ in range(4):
        given_.level, given_.ground = judged(given_, settings=fewer)
    assert (given_.level, given_.ground) == wanted
    # Nor is one kept that they have no more.
    assert judged(standing(3, **BEST), settings=fewer) == wanted


# --- Falling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "changes", "wanted"),
    [
        # kept up to a fifth of what was earned, lost above; the pause does not hold a fall up
        (2, {"reversed_": 200}, 2),
        (2, {"reversed_": 201}, 1),
        (2, {"reversed_": 201, "changed_ms": NOW}, 1),
        (2, {"disputes_lost": 2}, 1),
        # fewer outcomes than once earned it lose nothing
        (2, {"outcomes": 0, "earned": 1}, 2),
        (3, {"disputes_lost": 0, "reversed_": 150}, 3),
        # one that keeps the second level falls to it, and no further
        (3, {"disputes_lost": 0, "reversed_": 151}, 2),
        (3, {"disputes_lost": 0, "reversed_": 200}, 2),
        (3, {"disputes_lost": 0, "reversed_": 201}, 1),
        (3, {"disputes_lost": 1}, 2),
        (3, {"disputes_lost": 2}, 1),
    ],
)
def test_each_threshold_that_loses_a_level(
    level: int, changes: dict[str, Any], wanted: int
) -> None:
    assert judged(standing(level, **changes)) == (wanted, RESULTS if wanted > 1 else CONTRACT)
    # Without the owner's judgement there is no first level to fall to.
    alone = judged(standing(level, **changes, policy=OTHER))
    assert alone == ((wanted, RESULTS) if wanted > 1 else (0, NONE))


def test_between_the_thresholds_a_level_is_neither_earned_nor_lost() -> None:
    for reversed_ in range(101, 201):
        for level in (1, 2):
            assert judged(standing(level, reversed_=reversed_))[0] == level


def test_a_level_that_nothing_was_earned_for_is_lost_by_any_reversal() -> None:
    assert judged(standing(2, earned=0, reversed_=0))[0] == 2
    assert judged(standing(2, earned=0, reversed_=1))[0] == 1


def test_a_level_of_results_outlasts_the_policy_that_it_was_earned_under() -> None:
    assert judged(standing(2, policy=OTHER)) == (2, RESULTS)
    assert judged(standing(3, **{**BEST, "policy": OTHER})) == (3, RESULTS)


def test_new_settings_judge_what_is_remembered() -> None:
    strict = settings(levels=3, pause_s=0)
    assert judged(standing(2), settings=strict) == (2, RESULTS)
    lost = parse_settings(
        {**strict.document(), "levels": [{"leads_a_day": 1}, {**SECOND, "disputes_lost": 0}]}
    )
    assert judged(standing(2), settings=lost) == (1, CONTRACT)


# --- Properties -----------------------------------------------------------------------------------

standings = st.builds(
    standing,
    st.integers(0, 3),
    outcomes=st.integers(0, 40),
    earned=st.integers(0, 10_000),
    reversed_=st.integers(0, 3000),
    policy=st.sampled_from([POLICY, OTHER, b""]),
    ground=st.sampled_from(GROUNDS),
    partner_since_ms=st.sampled_from([0, 1, NOW - 599_000, NOW - 100]),
    disputes_lost=st.integers(0, 3),
    changed_ms=st.sampled_from([0, NOW - PAUSE_S * 1000, NOW - 1]),
)


@examples(500)
@given(standings, st.booleans(), st.integers(1, 3))
def test_what_holds_of_every_judgement(given_: Standing, has_skill: bool, levels: int) -> None:
    chosen = settings(levels)
    found = judge(given_, chosen, POLICY, NOW, has_skill=has_skill)
    assert 0 <= found.level <= levels
    assert found.level <= given_.level + 1
    assert (found.level == 0) == (found.ground == NONE) or found == (given_.level, given_.ground)
    may_rise = not given_.changed_ms or given_.changed_ms + PAUSE_S * 1000 <= NOW
    assert may_rise or found.level <= given_.level
    if found.ground == RESULTS and found.level > given_.level:
        results = chosen.levels[found.level - 1].results
        assert results is not None
        assert evidence_of(given_, chosen, NOW).earns(results)
    # Judging again at the same time changes nothing more.
    after = copy.deepcopy(given_)
    if found != (given_.level, given_.ground):
        after.level, after.ground, after.changed_ms = found.level, found.ground, NOW
    assert judge(after, chosen, POLICY, NOW, has_skill=has_skill) == found


@examples(300)
@given(standings, st.integers(1, 3000), st.booleans())
def test_a_reversal_never_raises_a_level(given_: Standing, units: int, has_skill: bool) -> None:
    worse = copy.deepcopy(given_)
    worse.buckets[0].reversed_units += units
    lower = judge(worse, PLAIN, POLICY, NOW, has_skill=has_skill)
    assert lower.level <= judge(given_, PLAIN, POLICY, NOW, has_skill=has_skill).level


@examples(300)
@given(standings)
def test_who_earns_a_level_keeps_it(given_: Standing) -> None:
    """Or a level would change to and fro with each judgement."""
    evidence = evidence_of(given_, PLAIN, NOW)
    for each in PLAIN.levels[1:]:
        assert each.results is not None
        assert not evidence.earns(each.results) or evidence.keeps(each.results)


# --- Buckets --------------------------------------------------------------------------------------


def test_evidence_is_kept_by_spans_of_time() -> None:
    found = Standing()
    for position, (now_ms, amount) in enumerate([(1000, 5), (100_999, 7), (101_000, 11)], 40):
        found.add_outcome(position, now_ms, amount, BUCKET_S)
    assert found.buckets == [Bucket(1000, 100_999, 2, 12, 0), Bucket(101_000, 101_000, 1, 11, 0)]
    assert found.counted_to == 42
    found.add_reversal(50, 150_000, 3, BUCKET_S)
    assert found.buckets[-1] == Bucket(101_000, 101_000, 1, 11, 3)
    found.add_reversal(51, 201_000, 4, BUCKET_S)
    assert found.buckets[-1] == Bucket(201_000, 201_000, 0, 0, 4)
    assert found.counted_to == 51


def test_at_most_twelve_buckets_are_kept_and_the_oldest_forgotten() -> None:
    found = Standing()
    for number in range(30):
        found.add_outcome(number, number * BUCKET_S * 1000, 1 + number, BUCKET_S)
        assert len(found.buckets) == min(number + 1, MAX_BUCKETS)
    assert MAX_BUCKETS == 12
    assert [bucket.earned_units for bucket in found.buckets] == list(range(19, 31))
    # Neither outcomes nor reversals of before are known any more.
    evidence = evidence_of(found, PLAIN, 10**9)
    assert (evidence.outcomes, evidence.units) == (12, sum(range(19, 31)))


def test_changed_spans_hold_for_the_bucket_that_is_open() -> None:
    found = Standing()
    found.add_outcome(1, 0, 1, BUCKET_S)
    found.add_outcome(2, BUCKET_S * 1000 - 1, 1, 2 * BUCKET_S)
    found.add_outcome(3, BUCKET_S * 1000, 1, 2 * BUCKET_S)
    assert len(found.buckets) == 1
    found.add_outcome(4, BUCKET_S * 1000, 1, 1)
    assert [bucket.outcomes for bucket in found.buckets] == [3, 1]


facts = st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 99), st.booleans()), max_size=60)


@examples(200)
@given(facts)
def test_buckets_add_up_to_what_is_remembered(steps: list[tuple[int, int, bool]]) -> None:
    found, now_ms = Standing(), 0
    seen: list[tuple[int, int, bool]] = []
    for position, (wait, amount, is_outcome) in enumerate(steps, 1):
        now_ms += wait
        add = found.add_outcome if is_outcome else found.add_reversal
        add(position, now_ms, amount, BUCKET_S)
        seen.append((now_ms, amount, is_outcome))
        assert found.counted_to == position
        assert len(found.buckets) <= MAX_BUCKETS
        starts = [bucket.began_ms for bucket in found.buckets]
        assert all(later - sooner >= BUCKET_S * 1000 for sooner, later in pairwise(starts))
    since = found.buckets[0].began_ms if found.buckets else 0
    kept = [fact for fact in seen if fact[0] >= since]
    evidence = evidence_of(found, PLAIN, now_ms)
    assert evidence.earned_units == sum(amount for _, amount, is_ in kept if is_)
    assert evidence.reversed_units == sum(amount for _, amount, is_ in kept if not is_)
    # All that is ripe is older than the time that it ripens in.
    old = [amount for at, amount, is_ in kept if is_ and at + RIPENING_S * 1000 <= now_ms]
    assert evidence.units <= sum(old)
    assert evidence.outcomes <= len(old)
    ripe_ms = now_ms + (BUCKET_S + RIPENING_S) * 1000
    assert evidence_of(found, PLAIN, ripe_ms).units == evidence.earned_units


def test_the_evidence_of_a_standing() -> None:
    given_ = standing(reversed_=7)
    given_.buckets.append(Bucket(NOW - 1000, NOW, 3, 30, 2))
    assert evidence_of(given_, PLAIN, NOW) == Evidence(10, 1000, 1030, 9, 1, 500)
    assert evidence_of(Standing(), PLAIN, NOW) == Evidence(0, 0, 0, 0, 0, 0)
    assert evidence_of(standing(partner_since_ms=NOW - 1999), PLAIN, NOW).age_s == 1


# --- The day --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_ms", "day"),
    [(0, 0), (DAY_MS - 1, 0), (DAY_MS, 1), (1_795_823_999_999, 20784), (1_795_824_000_000, 20785)],
)
def test_a_day_turns_at_midnight_utc(now_ms: int, day: int) -> None:
    assert day_of(now_ms) == day == now_ms // 86_400_000


def test_leads_are_counted_day_by_day() -> None:
    found = Standing()
    assert (found.day, found.leads_on(5)) == (NO_DAY, 0)
    for _ in range(3):
        found.count_lead(DAY_MS - 1)
    assert found.leads_on(0) == found.leads_on(DAY_MS - 1) == 3
    assert found.leads_on(DAY_MS) == 0
    found.count_lead(DAY_MS)
    assert (found.leads_on(DAY_MS - 1), found.leads_on(DAY_MS)) == (0, 1)


# --- The pool -------------------------------------------------------------------------------------


def test_a_place_is_held_until_its_time_has_passed() -> None:
    pool = PoolUse()
    assert not pool.has_place(ANN, 0)
    pool.take_place(ANN, 100, 200)
    found = [pool.has_place(ANN, now_ms) for now_ms in (100, 199, 200, 201)]
    assert found == [True, True, True, False]
    assert not pool.has_place(BOB, 100)


@pytest.mark.parametrize(
    ("places", "now_ms", "room"),
    [(1, 150, False), (2, 150, False), (3, 150, True), (1, 201, False), (2, 201, True),
     (1, 300, False), (1, 301, True)],
)  # fmt: skip
def test_there_is_room_where_a_place_is_free(places: int, now_ms: int, room: bool) -> None:
    pool = PoolUse()
    pool.take_place(ANN, 100, 200)
    pool.take_place(BOB, 100, 300)
    assert pool.has_room(places, now_ms) is room


def test_places_whose_time_has_passed_are_cleared_away() -> None:
    pool = PoolUse()
    pool.take_place(ANN, 100, 200)
    pool.take_place(BOB, 200, 300)
    assert pool.holders == {ANN: 200, BOB: 300}
    pool.take_place(CY, 201, 301)
    assert pool.holders == {BOB: 300, CY: 301}
    pool.take_place(CY, 202, 302)  # a place taken again lasts from then on
    assert pool.holders == {BOB: 300, CY: 302}
    pool.leave(BOB)
    pool.leave(BOB)
    assert pool.holders == {CY: 302}


def test_the_pool_counts_touches_and_new_leads_of_today() -> None:
    pool = PoolUse()
    assert pool.used_on(0) == (0, 0)
    for is_new in (True, False, True):
        pool.count_touch(DAY_MS - 1, is_new_lead=is_new)
    assert pool.used_on(DAY_MS - 1) == (2, 3)
    assert pool.used_on(DAY_MS) == (0, 0)
    pool.count_touch(DAY_MS, is_new_lead=False)
    assert pool.used_on(DAY_MS) == (0, 1)


def test_a_judgement_says_level_and_ground() -> None:
    assert Judgement(1, CONTRACT) == (1, "contract")
