"""A surface's settings: legal and illegal documents, their defaults, and the hash in the log."""

import hashlib
import json
from typing import Any

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.log.entry import address_word
from orchestrator.core.surface.forecast import ForecastRules, Question
from orchestrator.core.surface.surface_settings import (
    DEFAULT_BUCKET_S,
    DEFAULT_PAUSE_S,
    DEFAULT_RIPENING_S,
    MAX_PERIOD_S,
    Action,
    DealDefaults,
    ForecastSettings,
    Level,
    Pool,
    Results,
    parse_settings,
)

TOKEN = "0x" + "aB" * 20
EARNED: dict[str, Any] = {
    "leads_a_day": 50,
    "outcomes": 10,
    "units": "5000000",
    "age_s": 30 * DAY_S,
    "reversed_bps": 500,
    "keep_reversed_bps": 1000,
    "disputes_lost": 1,
}
ASKED: dict[str, Any] = {"from": "new", "to": "trial", "horizon_days": 7}
FORECASTS: dict[str, Any] = {
    "questions": [ASKED],
    "min_counted": 6,
    "min_leads": 40,
    "skill_bps": 2000,
}
POOL: dict[str, Any] = {"places": 5, "leads_a_day": 20, "touches_a_day": 30, "lasts_s": DAY_S}
DOCUMENT: dict[str, Any] = {
    "token": TOKEN,
    "actions": {"email": {"level": 1}, "call": {"level": 2}},
    "levels": [{"leads_a_day": 10}, EARNED],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


def level(**changes: Any) -> dict[str, Any]:
    """Return the document with these changes of its second level."""
    return changed(levels=[{"leads_a_day": 10}, {**EARNED, **changes}])


def pool(**changes: Any) -> dict[str, Any]:
    return changed(pool={**POOL, **changes})


def forecasts(**changes: Any) -> dict[str, Any]:
    return changed(forecasts={**FORECASTS, **changes})


def question(**changes: Any) -> dict[str, Any]:
    return forecasts(questions=[{**ASKED, **changes}])


def without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def refused(document: object) -> tuple[str, str]:
    """Return the rule and the message with which this document is refused."""
    with pytest.raises(DocumentError) as caught:
        parse_settings(document)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value.code, caught.value.message


# --- What is read ---------------------------------------------------------------------------------


def test_settings_are_what_the_document_says() -> None:
    found = parse_settings(pool() | {"ripening_s": 5, "bucket_s": "6", "pause_s": 7})
    assert found.token == address_word(TOKEN)
    assert found.actions == {"email": Action(1), "call": Action(2)}
    assert found.levels == (
        Level(10, None),
        Level(50, Results(10, 5_000_000, 30 * DAY_S, 500, 1000, 1)),
    )
    assert (found.ripening_s, found.bucket_s, found.pause_s) == (5, 6, 7)
    assert found.pool == Pool(5, 20, 30, DAY_S)


def test_questions_and_the_skill_that_they_earn_by() -> None:
    found = parse_settings(forecasts()).forecasts
    assert found is not None
    assert found.questions == (Question("new", "trial", 7),)
    # Fewer windows must weigh as much less together.
    usual = ForecastRules()
    weight = usual.min_denominator * 6 // usual.min_counted
    assert found.rules == ForecastRules(6, weight, 2000, 40)
    plain = parse_settings(changed(forecasts={"questions": []})).forecasts
    assert plain == ForecastSettings((), ForecastRules())


def test_the_optional_keys_have_defaults() -> None:
    found = parse_settings(DOCUMENT)
    assert (found.ripening_s, found.bucket_s, found.pause_s) == (7 * DAY_S, 30 * DAY_S, DAY_S)
    assert (
        found.ripening_s,
        found.bucket_s,
        found.pause_s,
    ) == (DEFAULT_RIPENING_S, DEFAULT_BUCKET_S, DEFAULT_PAUSE_S)
    assert found.pool is None
    assert found.forecasts is None


def test_levels_are_counted_from_one() -> None:
    found = parse_settings(DOCUMENT)
    assert [found.level(number) for number in range(-1, 5)] == [
        None,
        None,
        found.levels[0],
        found.levels[1],
        None,
        None,
    ]


@pytest.mark.parametrize(
    "document",
    [
        changed(actions={}),
        changed(actions={"x" * 32: {"level": "1"}}),
        changed(actions={f"a{number}": {"level": 1} for number in range(256)}),
        changed(actions={}, levels=[{"leads_a_day": 1}]),
        changed(actions={}, levels=[{"leads_a_day": "1000000"}]),
        changed(levels=({"leads_a_day": 1}, EARNED, EARNED)),
        changed(actions={"call": {"level": 3}}, levels=[{"leads_a_day": 1}, EARNED, EARNED]),
        level(outcomes=1),
        level(outcomes=1_000_000),
        level(units="0"),
        level(units=0),
        level(units=7),
        level(units=str(2**80 - 1)),
        level(age_s=0),
        level(age_s=MAX_PERIOD_S),
        level(reversed_bps=0, keep_reversed_bps=0),
        level(reversed_bps=10_000, keep_reversed_bps=10_000),
        level(reversed_bps=700, keep_reversed_bps=700),
        level(disputes_lost=0),
        level(disputes_lost=1_000_000),
        changed(ripening_s=0),
        changed(ripening_s=MAX_PERIOD_S),
        changed(bucket_s=1),
        changed(pause_s=0),
        changed(pool=None),
        pool(places=1),
        pool(places=100),
        pool(leads_a_day=1, touches_a_day=1, lasts_s=1),
        pool(leads_a_day=1_000_000, touches_a_day=1_000_000, lasts_s=MAX_PERIOD_S),
        changed(token="0x" + "00" * 20),
        changed(forecasts=None),
        forecasts(),
        forecasts(questions=[]),
        forecasts(questions=[{**ASKED, "horizon_days": days} for days in range(1, 17)]),
        forecasts(questions=[ASKED, {**ASKED, "to": "paid"}, {**ASKED, "from": "trial"}]),
        question(horizon_days=31, to="new"),
        question(**{"from": "x" * 32, "to": "!"}),
        forecasts(min_counted=1, min_leads=30, skill_bps=1),
        forecasts(min_counted="1000", min_leads=10_000, skill_bps=10_000),
        changed(forecasts={"questions": [ASKED]}),
    ],
)
def test_legal_documents(document: dict[str, Any]) -> None:
    found = parse_settings(document)
    assert parse_settings(found.document()) == found
    assert parse_settings(json.loads(json.dumps(found.document()))) == found


# --- What is refused ------------------------------------------------------------------------------

ILLEGAL: list[tuple[object, str]] = [
    (None, "not-a-table"),
    ([], "not-a-table"),
    ("token: x", "not-a-table"),
    ({1: "x"}, "not-a-table"),
    ({}, "key-missing"),
    *((without(DOCUMENT, key), "key-missing") for key in DOCUMENT),
    (changed(extra=1), "key-unknown"),
    (changed(hash="00"), "key-unknown"),
    (changed(touches_per_lead=1), "key-unknown"),
    # the token
    (changed(token=""), "token-malformed"),
    (changed(token="ab" * 20), "token-malformed"),
    (changed(token="0x" + "ab" * 19), "token-malformed"),
    (changed(token="0x" + "ab" * 21), "token-malformed"),
    (changed(token="0x" + "ag" * 20), "token-malformed"),
    (changed(token=TOKEN + "\n"), "token-malformed"),
    (changed(token=7), "token-malformed"),
    (changed(token=None), "token-malformed"),
    # actions
    (changed(actions=None), "not-a-table"),
    (changed(actions=["email"]), "not-a-table"),
    (changed(actions={7: {"level": 1}}), "not-a-table"),
    (changed(actions={"email": 1}), "not-a-table"),
    (changed(actions={"email": None}), "not-a-table"),
    (changed(actions={"email": {}}), "key-missing"),
    (changed(actions={"email": {"level": 1, "a_day": 5}}), "key-unknown"),
    (changed(actions={"email": {"level": 0}}), "action-level-zero"),
    (changed(actions={"email": {"level": "0"}}), "action-level-zero"),
    (changed(actions={"email": {"level": -1}}), "number-invalid"),
    (changed(actions={"email": {"level": 3}}), "number-invalid"),
    (changed(actions={"email": {"level": 1.0}}), "number-invalid"),
    (changed(actions={"email": {"level": True}}), "number-invalid"),
    (changed(actions={"email": {"level": None}}), "number-invalid"),
    (changed(actions={"email": {"level": []}}), "number-invalid"),
    (changed(actions={"": {"level": 1}}), "name-invalid"),
    (changed(actions={"x" * 33: {"level": 1}}), "name-invalid"),
    (changed(actions={" email": {"level": 1}}), "name-invalid"),
    (changed(actions={"é": {"level": 1}}), "name-invalid"),
    (changed(actions={"click": {"level": 1}}), "action-reserved"),
    (changed(actions={f"a{number}": {"level": 1} for number in range(257)}), "list-too-long"),
    # levels
    (changed(levels=[]), "levels-empty"),
    (changed(levels=None), "not-a-list"),
    (changed(levels={"1": {}}), "not-a-list"),
    (changed(levels=[None]), "not-a-table"),
    (changed(levels=[{}]), "key-missing"),
    (changed(levels=[EARNED]), "key-unknown"),  # judgement earns the first, results do not
    (changed(levels=[{"leads_a_day": 1}] * 2), "key-missing"),
    (changed(levels=[{"leads_a_day": 1}, EARNED, EARNED, EARNED]), "list-too-long"),
    (changed(levels=[{"leads_a_day": 0}, EARNED]), "number-invalid"),
    (changed(levels=[{"leads_a_day": 1_000_001}, EARNED]), "number-invalid"),
    *((changed(levels=[{"leads_a_day": 1}, without(EARNED, key)]), "key-missing")
      for key in EARNED),
    (level(more=1), "key-unknown"),
    (level(leads_a_day=0), "number-invalid"),
    (level(outcomes=0), "number-invalid"),
    (level(outcomes=1_000_001), "number-invalid"),
    (level(units=-1), "amount-invalid"),
    (level(units="-1"), "amount-invalid"),
    (level(units="01"), "amount-invalid"),
    (level(units="1.5"), "amount-invalid"),
    (level(units=""), "amount-invalid"),
    (level(units=str(2**80)), "amount-invalid"),
    (level(units="1" * 26), "amount-invalid"),
    (level(units=1.0), "amount-invalid"),
    (level(units=True), "amount-invalid"),
    (level(units=None), "amount-invalid"),
    (level(age_s=-1), "number-invalid"),
    (level(age_s=MAX_PERIOD_S + 1), "number-invalid"),
    (level(reversed_bps=-1), "number-invalid"),
    (level(keep_reversed_bps=10_001), "number-invalid"),
    (level(reversed_bps=10_001, keep_reversed_bps=10_001), "number-invalid"),
    (level(reversed_bps=501, keep_reversed_bps=500), "thresholds-crossed"),
    (level(disputes_lost=-1), "number-invalid"),
    (level(disputes_lost=1_000_001), "number-invalid"),
    # periods
    *((changed(**{key: MAX_PERIOD_S + 1}), "number-invalid")
      for key in ("ripening_s", "bucket_s", "pause_s")),
    *((changed(**{key: None}), "number-invalid") for key in ("ripening_s", "bucket_s", "pause_s")),
    *((changed(**{key: -1}), "number-invalid") for key in ("ripening_s", "bucket_s", "pause_s")),
    (changed(bucket_s=0), "number-invalid"),
    # the pool
    (changed(pool=[]), "not-a-table"),
    (changed(pool=False), "not-a-table"),
    (changed(pool={}), "key-missing"),
    *((changed(pool=without(POOL, key)), "key-missing") for key in POOL),
    (pool(more=1), "key-unknown"),
    (pool(places=0), "number-invalid"),
    (pool(places=101), "number-invalid"),
    (pool(leads_a_day=0), "number-invalid"),
    (pool(leads_a_day=1_000_001), "number-invalid"),
    (pool(touches_a_day=0), "number-invalid"),
    (pool(touches_a_day=1_000_001), "number-invalid"),
    (pool(lasts_s=0), "number-invalid"),
    (pool(lasts_s=MAX_PERIOD_S + 1), "number-invalid"),
    # forecasts
    (changed(forecasts=[]), "not-a-table"),
    (changed(forecasts={}), "key-missing"),
    (forecasts(more=1), "key-unknown"),
    (forecasts(questions=None), "not-a-list"),
    (forecasts(questions={"a": ASKED}), "not-a-list"),
    (forecasts(questions=["new"]), "not-a-table"),
    (forecasts(questions=[{**ASKED, "horizon_days": days} for days in range(1, 18)]),
     "list-too-long"),
    (forecasts(questions=[ASKED, ASKED]), "question-twice"),
    (forecasts(questions=[ASKED, {**ASKED, "horizon_days": "7"}]), "question-twice"),
    *((forecasts(questions=[without(ASKED, key)]), "key-missing") for key in ASKED),
    (question(p=1), "key-unknown"),
    (question(horizon_days=0), "number-invalid"),
    (question(horizon_days=32), "number-invalid"),
    (question(to=""), "name-invalid"),
    (question(to=None), "name-invalid"),
    (question(**{"from": "x" * 33}), "name-invalid"),
    (forecasts(min_counted=0), "number-invalid"),
    (forecasts(min_counted=1001), "number-invalid"),
    (forecasts(min_leads=29), "number-invalid"),
    (forecasts(min_leads=10_001), "number-invalid"),
    (forecasts(skill_bps=0), "number-invalid"),
    (forecasts(skill_bps=10_001), "number-invalid"),
    (forecasts(skill_bps=None), "number-invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "code"), ILLEGAL)
def test_illegal_documents(document: object, code: str) -> None:
    assert refused(document)[0] == code


def test_each_refusal_of_settings_is_tried() -> None:
    # Settings that keep to their other bounds never reach the longest document.
    assert {code for _, code in ILLEGAL} == {
        "action-level-zero",
        "action-reserved",
        "amount-invalid",
        "key-missing",
        "key-unknown",
        "levels-empty",
        "list-too-long",
        "name-invalid",
        "not-a-list",
        "not-a-table",
        "number-invalid",
        "question-twice",
        "thresholds-crossed",
        "token-malformed",
    }


def test_messages_say_where_and_what_to_do() -> None:
    assert refused(changed(actions={"email": {"level": 0}}))[1] == (
        "action 'email' is given to level 0, which reads, forecasts and proposes but touches "
        "nothing; give it to level 1 or above"
    )
    assert refused(changed(actions={"email": {"level": 3}}))[1] == (
        "action 'email': level must be a whole number from 1 to 2, not 3"
    )
    assert refused(level(outcomes=0))[1].startswith("level 2: outcomes must be ")
    assert refused(pool(places=0))[1].startswith("pool: places must be ")
    assert refused(forecasts(questions=[ASKED, ASKED]))[1] == (
        "question 2 is asked before; leave one of them out"
    )


# --- The hash -------------------------------------------------------------------------------------


def test_the_hash_is_sha256_of_the_canonical_document() -> None:
    document = {
        "token": TOKEN.lower(),
        "actions": {"call": {"level": 2}, "email": {"level": 1}},
        "levels": [{"leads_a_day": 10}, EARNED],
        "ripening_s": 604_800,
        "bucket_s": 2_592_000,
        "pause_s": 86_400,
        "pool": POOL,
        "forecasts": FORECASTS,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    found = parse_settings(pool() | {"forecasts": FORECASTS})
    assert found.document() == document
    assert found.hash == hashlib.sha256(text.encode()).digest()
    assert found.document_bytes == len(text)
    assert not {"pool", "forecasts"} & parse_settings(DOCUMENT).document().keys()


@pytest.mark.parametrize(
    "document",
    [
        changed(token="0x" + "ab" * 20),
        changed(actions={"call": {"level": "2"}, "email": {"level": "1"}}),
        level(units=5_000_000),
        level(outcomes="10", reversed_bps="500"),
        changed(ripening_s=DEFAULT_RIPENING_S, bucket_s=str(DEFAULT_BUCKET_S)),
        changed(pool=None),
        {key: DOCUMENT[key] for key in reversed(DOCUMENT)},
    ],
)
def test_equal_documents_in_other_words_have_equal_hashes(document: dict[str, Any]) -> None:
    assert parse_settings(document) == parse_settings(DOCUMENT)
    assert parse_settings(document).hash == parse_settings(DOCUMENT).hash


@pytest.mark.parametrize(
    "document",
    [
        changed(token="0x" + "ac" * 20),
        changed(actions={"email": {"level": 1}}),
        changed(actions={"email": {"level": 2}, "call": {"level": 2}}),
        changed(levels=[{"leads_a_day": 11}, EARNED]),
        changed(levels=[{"leads_a_day": 10}, EARNED, EARNED]),
        level(leads_a_day=51),
        level(outcomes=11),
        level(units="5000001"),
        level(age_s=1),
        level(reversed_bps=501),
        level(keep_reversed_bps=1001),
        level(disputes_lost=2),
        changed(ripening_s=1),
        changed(bucket_s=1),
        changed(pause_s=1),
        pool(),
        forecasts(),
        forecasts(questions=[]),
        forecasts(min_counted=7),
        forecasts(min_leads=41),
        forecasts(skill_bps=2001),
        question(horizon_days=8),
        forecasts(questions=[{**ASKED, "to": "paid"}, ASKED]),
    ],
)
def test_every_rule_is_in_the_hash(document: dict[str, Any]) -> None:
    assert parse_settings(document).hash != parse_settings(DOCUMENT).hash


def test_the_largest_settings_are_within_the_bound_of_documents() -> None:
    """Each bound of its own keeps settings below the longest document; that one is a backstop."""
    names = ['"' * 29 + f"{number:03}" for number in range(256)]  # two bytes a quotation mark
    largest = parse_settings(
        changed(
            actions={name: {"level": 1} for name in names},
            levels=[{"leads_a_day": 1_000_000}, EARNED, EARNED],
            pool=POOL,
            forecasts=forecasts(
                questions=[
                    {"from": names[0], "to": names[1], "horizon_days": days}
                    for days in range(1, 17)
                ]
            )["forecasts"],
        )
    )
    assert largest.document_bytes < 32_768


def test_defaults_of_deals_are_kept_as_far_as_they_are_set() -> None:
    assert parse_settings(DOCUMENT).deals == DealDefaults()
    assert "deals" not in parse_settings(changed(deals={})).document()
    deals = {"window_s": DAY_S, "hold_bps": 2000}
    settings = parse_settings(changed(deals=deals))
    assert settings.deals == DealDefaults(window_s=DAY_S, hold_bps=2000)
    assert settings.document()["deals"] == deals
    assert parse_settings(settings.document()) == settings


@pytest.mark.parametrize(
    ("deals", "code"),
    [
        ({"window_s": -1}, "number-invalid"),
        ({"hold_bps": 10_001}, "number-invalid"),
        ({"price": "8.00"}, "key-unknown"),
        ([], "not-a-table"),
    ],
)
def test_defaults_of_deals_are_bounded(deals: Any, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_settings(changed(deals=deals))
    assert caught.value.code == code
