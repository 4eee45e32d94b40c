"""Requests and projections as they are stored: one form each, and nothing else is read."""

import json
from dataclasses import fields
from typing import Any, get_args

import pytest

from orchestrator.core.common.errors import LogError, RequestError
from orchestrator.core.surface.attribution import TouchAt, TouchHistory
from orchestrator.core.surface.forecast import Margin, Question, Skill
from orchestrator.core.surface.trust import Bucket, PendingForecast, PoolUse, Standing
from orchestrator.core.world.codec import (
    decode_lead,
    decode_pool,
    decode_request,
    decode_rules,
    decode_standing,
    encode_lead,
    encode_pool,
    encode_request,
    encode_rules,
    encode_standing,
    json_text,
    request_id,
)
from orchestrator.core.world.purchase import PaidOutcome, Purchase
from orchestrator.core.world.requests import (
    AnswerAction,
    Arrival,
    CloseContract,
    ConfirmAction,
    EndCode,
    EndOwnCode,
    Erasure,
    ExpireAction,
    Genesis,
    IssueCode,
    JudgeTrust,
    MakeForecast,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    RegisterOperator,
    Request,
    RequestAction,
    RestoreOperator,
    ScoreForecast,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.world import Errand, Lead
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, policy, rules, settings, word

RULES = rules("a", policy())
REQUESTS: dict[str, Request] = {
    "genesis": Genesis(word("log"), word("publisher")),
    "register_operator": RegisterOperator(OPERATORS[0], word("body")),
    "publish_policy": PublishPolicy(SURFACE, OWNER, policy()),
    "publish_settings": PublishSettings(SURFACE, OWNER, settings()),
    "suspend_operator": SuspendOperator(SURFACE, OWNER, OPERATORS[0], "spam", word("r"), word("b")),
    "restore_operator": RestoreOperator(SURFACE, OWNER, OPERATORS[0], "sorry"),
    "judge_trust": JudgeTrust(SURFACE, OPERATORS[0]),
    "make_forecast": MakeForecast(
        SURFACE, OPERATORS[0], "new", "trial", 7, word("r"), word("b"), word("k")
    ),
    "score_forecast": ScoreForecast(SURFACE, OPERATORS[0], 12, 2500, word("salt")),
    "touch": Touch(SURFACE, LEADS[0], OPERATORS[0], "email", word("request"), word("body")),
    "request_action": RequestAction(SURFACE, LEADS[0], OPERATORS[0], "letter", 9, word("r")),
    "answer_action": AnswerAction(SURFACE, LEADS[0], OWNER, 9, "failed", "bounced", word("r")),
    "confirm_action": ConfirmAction(SURFACE, LEADS[0], 9),
    "expire_action": ExpireAction(SURFACE, LEADS[0], 9),
    "product_event": ProductEvent(SURFACE, LEADS[0], "Käufe", 2**80 - 1, 7, word("r"), word("b")),
    "arrival": Arrival(
        SURFACE, LEADS[0], word("code"), True, False, "Käufe", 2**80 - 1, 7, word("r"), word("b")
    ),
    "issue_code": IssueCode(SURFACE, word("code"), OPERATORS[0], 9, 7, word("r"), word("b")),
    "end_own_code": EndOwnCode(SURFACE, OPERATORS[0], word("code"), "leaked"),
    "end_code": EndCode(SURFACE, OWNER, word("code"), "spam"),
    "erasure": Erasure(SURFACE, LEADS[0], OWNER),
    "open_contract": OpenContract(RULES, word("transaction")),
    "close_contract": CloseContract(word("a"), 9, word("transaction")),
    "record_payout": RecordPayout(word("a"), word("payee"), "credited", 0, word("transaction")),
    "record_dispute": RecordDispute(word("a"), word("party"), "claims by owner", 7, word("tx")),
    "record_ruling": RecordRuling(word("a"), word("arbiter"), "claims lowered", 0, word("tx")),
    "settle": Settle(),
}


@pytest.mark.parametrize(("name", "request_"), REQUESTS.items(), ids=str)
def test_a_request_is_read_as_it_was_written(name: str, request_: Request) -> None:
    told, body = encode_request(request_)
    assert told == name
    assert decode_request(name, body) == request_
    assert encode_request(decode_request(name, body)) == (name, body)


def test_every_request_has_a_specimen() -> None:
    assert {type(each) for each in REQUESTS.values()} == set(get_args(Request))


@pytest.mark.parametrize(
    ("code", "name", "changes"),
    [
        ("request-malformed", "shout", {}),
        ("request-malformed", "Touch", {}),
        ("request-malformed", "touch", {"more": 1}),
        ("request-malformed", "touch", {"action": ...}),
        ("word-length", "touch", {"lead": "ab"}),
        ("word-length", "touch", {"lead": "ab " * 32}),
        ("not-hex", "touch", {"lead": "zz" * 32}),
        ("not-hex", "touch", {"lead": 7}),
        ("name-invalid", "touch", {"action": ""}),
        ("name-invalid", "touch", {"action": "é"}),
        ("name-invalid", "touch", {"action": 5}),
        ("number-range", "product_event", {"value_units": 2**80}),
        ("number-range", "product_event", {"value_units": -1}),
        ("number-range", "product_event", {"value_units": True}),
        ("number-range", "product_event", {"value_units": 1.0}),
        ("number-range", "product_event", {"time_ms": 2**61}),
        ("number-range", "make_forecast", {"horizon_days": 2**40}),
        ("number-range", "make_forecast", {"horizon_days": -1}),
        ("number-range", "score_forecast", {"probability_bps": 10_001}),
        ("choice-unknown", "record_payout", {"label": "owed"}),
        ("choice-unknown", "record_dispute", {"label": "lowered"}),
        ("choice-unknown", "record_ruling", {"label": "claims raised"}),
        ("choice-unknown", "answer_action", {"answer": "expired"}),
        ("name-invalid", "answer_action", {"reason": " "}),
        ("request-malformed", "open_contract", {"rules": []}),
        ("request-malformed", "settle", {"now": 1}),
    ],
)
def test_another_form_is_refused(code: str, name: str, changes: dict[str, Any]) -> None:
    specimen = REQUESTS.get(name.lower(), REQUESTS["touch"])
    body = encode_request(specimen)[1] | changes
    body = {key: value for key, value in body.items() if value is not ...}
    with pytest.raises(RequestError) as refused:
        decode_request(name, body)
    assert refused.value.code == code


def test_a_value_out_of_bounds_is_not_written() -> None:
    for request in (
        Touch(b"\1", LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "signup", 2**80, 7),
    ):
        with pytest.raises(RequestError):
            encode_request(request)


def test_rules_are_read_as_they_were_written() -> None:
    assert decode_rules(encode_rules(RULES)) == RULES
    for changes in ({"repeatable": 1}, {"attribution": "luck"}, {"revenue_share_bps": 10_001}):
        with pytest.raises(RequestError):
            decode_rules(encode_rules(RULES) | changes)


def test_a_lead_is_read_as_it_was_written() -> None:
    lead = Lead(
        SURFACE,
        "paid",
        5,
        touches={OPERATORS[0]: TouchHistory([TouchAt(4, 3)], 2, 4, 19_000)},
        counted=(word("a"),),
        counted_at={"paid": 9},
        purchases=[
            Purchase(4, "trial", 3),
            Purchase(8, "paid", 5, word("o"), PaidOutcome(word("a"), 9, 7, 8), 2, 11, True, 3),
        ],
        sweep_at=16,
        unfounded=(word("placed"), word("again")),
        stay_ms=6,
        errands=[Errand(7, OPERATORS[0], "letter", 5, 9, is_taken=True)],
    )
    plain = Lead(b"", "")
    # Or a field that is not stored would pass for one that is.
    assert all(getattr(lead, each.name) != getattr(plain, each.name) for each in fields(Lead))
    assert decode_lead(SURFACE, "paid", 5, encode_lead(lead)) == lead
    assert lead.touch_count == 2
    with pytest.raises(LogError):
        decode_lead(SURFACE, "paid", 5, {})


def test_a_standing_is_read_as_it_was_written() -> None:
    standing = Standing(
        level=2,
        ground="results",
        changed_ms=5,
        is_suspended=True,
        policy=word("policy"),
        partner_since_ms=3,
        disputes_lost=1,
        day=19_000,
        leads_today=4,
        counted_to=9,
        buckets=[Bucket(1, 2, 3, 4, 5), Bucket(6, 7, 8, 9, 10)],
        skill=Skill(Margin(1, 2), Margin(3, 4), 5, 6, [7, 8]),
        forecasts=[PendingForecast(11, Question("new", "trial", 7), 20_000, word("sealed"))],
        errands=3,
        code_day=19_000,
        codes_today=2,
    )
    plain = Standing()
    assert all(getattr(standing, each.name) != getattr(plain, each.name) for each in fields(plain))
    document = json.loads(json_text(encode_standing(standing)))
    assert decode_standing(2, "results", True, document) == standing
    assert decode_standing(0, "none", False, encode_standing(plain)) == plain
    for changes in (
        {"policy": "zz"},
        {"more": 1},
        {"buckets": [[1]]},
        {"buckets": 1},
        {"forecasts": [1]},
    ):
        with pytest.raises(LogError) as refused:
            decode_standing(2, "results", True, document | changes)
        assert refused.value.code == "standing-malformed"
    with pytest.raises(LogError):
        decode_standing(2, "results", True, {})


def test_the_use_of_a_pool_is_read_as_it_was_written() -> None:
    pool = PoolUse({OPERATORS[0]: 5, OPERATORS[1]: 6}, 19_000, 7, 8)
    document = json.loads(json_text(encode_pool(pool)))
    assert decode_pool(document) == pool
    assert decode_pool(encode_pool(PoolUse())) == PoolUse()
    broken: list[dict[str, Any]] = [{"holders": []}, {"holders": {"zz": 1}}, {"more": 1}]
    for changes in broken:
        with pytest.raises(LogError) as refused:
            decode_pool(document | changes)
        assert refused.value.code == "pool-malformed"
    with pytest.raises(LogError):
        decode_pool({})


def test_one_key_of_one_account_is_one_request() -> None:
    one = request_id(word("log"), "0xAB", "key")
    assert one == request_id(word("log"), "0xab", "key")
    others = [
        (word("log"), "0xab", "other"),
        (word("log"), "0xac", "key"),
        (word("g"), "0xab", "key"),
    ]
    assert one not in {request_id(*other) for other in others}
    assert (one[6] >> 4, one[8] >> 6) == (8, 2)  # RFC 9562: version 8, variant 10


def test_numbers_keep_their_digits() -> None:
    assert json_text({"value": 2**80 - 1}) == f'{{"value":{2**80 - 1}}}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))
