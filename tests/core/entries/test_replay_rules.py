"""Replay rules: the request that each entry was written for, and the entries that cannot be."""

from typing import Any

import pytest

from orchestrator.core.common.errors import ReplayError
from orchestrator.core.entries import replay_rules
from orchestrator.core.entries.kinds import KINDS, advance
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import (
    ActOpening,
    AnswerOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
    TrustOpening,
)
from orchestrator.core.world import requests
from orchestrator.core.world.world import World
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    begin,
    policy,
    rules,
    settings,
    word,
)

GOVERNING = policy()
A = word("a")
REQUEST_HASH, COMMITMENT = word("request"), word("body")
TOUCH = ActOpening(REQUEST_HASH, COMMITMENT, word("key"))
MOVED = TransitionOpening("new", 0, 9_000, word("order"), REQUEST_HASH, COMMITMENT)
EVENT = EventOpening(9_000, word("order"), 4, 0, 0, 7, True, REQUEST_HASH, COMMITMENT)
ASKED = (REQUEST_HASH, COMMITMENT, word("key"))


def world() -> World:
    found, _ = begin(GOVERNING, rules("a", GOVERNING))
    advance(found, Record(entry("lead.registered", label="new", time_ms=1_000)))
    return found


def entry(kind: str, **changes: Any) -> Entry:
    plain = Entry(kind, SURFACE, OWNER, LEADS[0], "trial", 0, 9_000, bytes(32))
    return plain._replace(**changes)


def judge(found: World, entry_: Entry, opening: Opening | None, **sources: Any) -> Any:
    rule = KINDS[entry_.kind].replay
    assert rule is not None
    documents = Documents(
        found.policies.__getitem__, found.settings.__getitem__, found.rules.__getitem__, **sources
    )
    return rule(found, Record(entry_, opening), documents)


REQUESTS: list[tuple[Entry, Opening | None, object]] = [
    (
        entry("touch", actor=OPERATORS[0], label="email"),
        TOUCH,
        requests.Touch(SURFACE, LEADS[0], OPERATORS[0], "email", *ASKED),
    ),
    (
        entry("touch.reported", actor=OPERATORS[0], label="call", time_ms=8_000),
        ReportedTouchOpening(6, 8_500, REQUEST_HASH, COMMITMENT),
        requests.ReportTouch(
            SURFACE, LEADS[0], OPERATORS[0], "call", 8_000, 6, 8_500, REQUEST_HASH, COMMITMENT
        ),
    ),
    (
        entry("action.requested", actor=OPERATORS[0], label="call", value=99_000),
        TOUCH,
        requests.RequestAction(SURFACE, LEADS[0], OPERATORS[0], "call", 90_000, *ASKED),
    ),
    (
        entry("action.answered", label="failed", value=7),
        AnswerOpening("bounced", REQUEST_HASH),
        requests.AnswerAction(SURFACE, LEADS[0], OWNER, 7, "failed", "bounced", REQUEST_HASH),
    ),
    (
        entry("action.answered", actor=bytes(32), label="expired", value=7),
        AnswerOpening("", bytes(32)),
        requests.ExpireAction(SURFACE, LEADS[0], 7),
    ),
    (
        entry("code.issued", actor=OPERATORS[0], subject=word("code"), label="click", value=5),
        CodeOpening(99_000, *ASKED),
        requests.IssueCode(SURFACE, word("code"), OPERATORS[0], 5, 99_000, *ASKED),
    ),
    (
        entry("code.ended", subject=word("code"), label="leaked", value=2),
        None,
        requests.EndCode(SURFACE, OWNER, word("code"), "leaked"),
    ),
    (
        entry("code.ended", actor=OPERATORS[0], subject=word("code"), label="done"),
        None,
        requests.EndOwnCode(SURFACE, OPERATORS[0], word("code"), "done"),
    ),
    (entry("lead.registered"), None, requests.RegisterLead(SURFACE, LEADS[0])),
    (
        entry("lead.registered", actor=OPERATORS[0], value=7),
        None,
        requests.RegisterLead(SURFACE, LEADS[0], 7),
    ),
    (entry("settlement"), None, requests.Settle()),
    (
        entry("payout", subject=A, label="paid", value=7),
        None,
        requests.RecordPayout(A, OWNER, "paid", 7, bytes(32)),
    ),
    (
        entry("dispute.opened", subject=A, label="owner", value=7),
        None,
        requests.RecordDispute(A, OWNER, "owner", 7, bytes(32)),
    ),
    (
        entry("dispute.ruled", subject=A, label="lowered", value=5),
        None,
        requests.RecordRuling(A, OWNER, "lowered", 5, bytes(32)),
    ),
    (
        entry("contract.closed", subject=A, value=5_000),
        None,
        requests.CloseContract(A, 5_000, bytes(32)),
    ),
    (
        entry("operator.registered", label=""),
        None,
        requests.RegisterOperator(OWNER, bytes(32)),
    ),
    (
        entry("policy.published", subject=GOVERNING.hash),
        None,
        requests.PublishPolicy(SURFACE, OWNER, GOVERNING),
    ),
    (
        entry("settings.published", subject=settings().hash),
        None,
        requests.PublishSettings(SURFACE, OWNER, settings()),
    ),
    (
        entry("trust.changed", actor=bytes(32), subject=OPERATORS[0], label="1"),
        TrustOpening("contract", 0, 0, 0, 0, 0, 0),
        requests.JudgeTrust(SURFACE, OPERATORS[0]),
    ),
    (
        entry(
            "forecast.made",
            actor=OPERATORS[0],
            subject=b"new".ljust(32, b"\0"),
            label="trial",
            value=7,
        ),
        TOUCH,
        requests.MakeForecast(SURFACE, OPERATORS[0], "new", "trial", 7, *ASKED),
    ),
    (
        entry("forecast.scored", subject=OPERATORS[0], label="trial", value=12),
        ForecastOpening(2500, word("salt"), 40, 10, 41, 11, 400, 99),
        requests.ScoreForecast(SURFACE, OPERATORS[0], 12, 2500, word("salt")),
    ),
    (
        entry("operator.suspended", subject=OPERATORS[0], label="spam"),
        TOUCH,
        requests.SuspendOperator(SURFACE, OWNER, OPERATORS[0], "spam", *ASKED),
    ),
    (
        entry("operator.restored", subject=OPERATORS[0], label="sorry"),
        TOUCH,
        requests.RestoreOperator(SURFACE, OWNER, OPERATORS[0], "sorry", *ASKED),
    ),
    (entry("erasure"), None, requests.Erasure(SURFACE, LEADS[0], OWNER)),
    (entry("genesis"), None, requests.Genesis(LEADS[0], OWNER)),
]


@pytest.mark.parametrize(
    ("shown", "opening", "wanted"),
    REQUESTS,
    ids=lambda value: value.kind if isinstance(value, Entry) else "",
)
def test_an_entry_gives_its_request(shown: Entry, opening: Opening | None, wanted: object) -> None:
    assert judge(world(), shown, opening) == wanted


def test_an_event_that_reverses_nothing_gives_none() -> None:
    assert judge(world(), entry("product.event", label="signup"), EVENT) is None
    step = judge(world(), entry("product.event", label="refund"), EVENT)
    assert step.name == "refund"
    assert step.step.reverses == ("paid",)
    assert step.reported == requests.ReportedEvent(
        SURFACE, LEADS[0], 0, 9_000, REQUEST_HASH, COMMITMENT, 9_000, word("order"), True
    )


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("transition-unlawful", entry("lead.transition", label="paid")),
        ("transition-unlawful", entry("lead.refused", label="trial")),
        ("event-time", entry("lead.transition", time_ms=9_001)),
        ("event-time", entry("lead.transition", time_ms=3_999)),
    ],
)
def test_an_event_that_cannot_be_is_refused(code: str, shown: Entry) -> None:
    found = world()
    with pytest.raises(ReplayError) as refused:
        judge(found, shown, MOVED)
    assert refused.value.code == code
    assert f"entry {found.size}" in refused.value.message


def test_a_lead_of_another_surface_is_refused() -> None:
    found = world()
    found.leads[LEADS[0]].surface = word("another")
    with pytest.raises(ReplayError) as refused:
        judge(found, entry("lead.transition"), MOVED)
    assert refused.value.code == "lead-elsewhere"


def test_openings_come_in_the_order_of_the_escrow() -> None:
    found = world()
    found.rules[word("b")] = rules("b", GOVERNING)
    opened = entry("contract.opened", subject=word("b"))
    numbers = {A: 1, word("b"): 2}
    request = judge(found, opened, None, opening_number=numbers.__getitem__)
    assert request == requests.OpenContract(found.rules[word("b")], bytes(32))
    numbers[word("b")] = 1
    with pytest.raises(ReplayError) as refused:
        judge(found, opened, None, opening_number=numbers.__getitem__)
    assert refused.value.code == "opening-order"


@pytest.mark.parametrize("closed_at_s", [None, 4, 6])
def test_a_closing_that_the_escrow_does_not_confirm_is_refused(closed_at_s: int | None) -> None:
    closed = entry("contract.closed", subject=A, value=5_000)
    assert judge(world(), closed, None, closed_at_s=lambda _: 5) is not None
    with pytest.raises(ReplayError) as refused:
        judge(world(), closed, None, closed_at_s=lambda _: closed_at_s)
    assert refused.value.code == "closing-false"


def test_every_rule_is_tried() -> None:
    below = {"product.event", "lead.transition", "lead.refused", "contract.opened"}
    with_rules = {kind.name for kind in KINDS.values() if kind.replay is not None}
    assert {shown.kind for shown, _, _ in REQUESTS} | below == with_rules


def test_every_rule_has_its_kind() -> None:
    named = {kind.replay for kind in KINDS.values() if kind.replay is not None}
    public = {
        value
        for name, value in vars(replay_rules).items()
        if callable(value)
        and getattr(value, "__module__", "") == replay_rules.__name__
        and not name.startswith("_")
        and value is not Documents
    }
    assert named == public
