"""Codes: what they bring, who wins by them, and what a replay refuses."""

import copy
from typing import Any

import pytest

from orchestrator.core.common.errors import ReplayError, RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import Replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.log.opening import Record, ReportedTouchOpening, payload_of
from orchestrator.core.world.requests import (
    Arrival,
    EndCode,
    EndOwnCode,
    IssueCode,
    PublishSettings,
    SuspendOperator,
)
from orchestrator.core.world.world import World
from tests.support.decisions import ANN, BOB, FIRST, X, Y, paid
from tests.support.worlds import OWNER, SURFACE, begin, rules, settings, word

CODE = word("code")
ASKED = (word("request"), word("commitment"))


def issue(**changes: Any) -> IssueCode:
    return IssueCode(SURFACE, CODE, ANN, 2, 50_000, *ASKED, ZERO_WORD)._replace(**changes)


def arrival(at_ms: int, event: str = "signup", **changes: Any) -> Arrival:
    plain = Arrival(SURFACE, X, CODE, False, False, event, 0, at_ms, *ASKED)
    return plain._replace(**changes)


def world_with_code(*contracts: Any) -> tuple[World, list[Record], int]:
    """Return a world in which Ann has a code of two uses, its records, and the code's position."""
    world, records = begin(FIRST, *contracts)
    records += decide(world, issue(), 1000)
    return world, records, world.size - 1


def kinds(records: list[Record]) -> list[str]:
    return [record.entry.kind for record in records]


def judge(records: list[Record], *contracts: Any) -> World:
    """Replay records as a stranger does."""
    chosen = settings()
    known = {contract.contract_id: contract for contract in contracts}
    world, _ = begin(FIRST, *contracts)
    known |= world.rules
    judged = Replay(Documents(lambda _: FIRST, lambda _: chosen, lambda name: known[name]))
    for record in records:
        judged.take(record)
    return judged.finish()


def altered(record: Record, **changes: Any) -> Record:
    return Record(record.entry._replace(**changes), record.opening)


def reported(record: Record, **changes: Any) -> Record:
    """Return a click with another opening, to which it commits."""
    assert isinstance(record.opening, ReportedTouchOpening)
    opening = record.opening._replace(**changes)
    return Record(record.entry._replace(payload=payload_of(opening)), opening)


def test_a_lead_that_comes_by_a_code_is_paid_to_its_operator() -> None:
    contract = rules("c", FIRST, outcome="trial")
    world, records, position = world_with_code(contract)
    came = decide(world, arrival(3000), 4000)
    assert kinds(came) == ["lead.registered", "touch.reported", "lead.transition", "outcome"]
    assert came[0].entry[2:6] == (ANN, X, "new", position)
    assert (came[1].entry.label, came[1].entry.time_ms) == ("click", 3000)
    assert paid([record.entry for record in came]) == [("c", "")]
    assert judge([*records, *came], contract) == world


def test_every_record_of_an_arrival_stands_or_the_replay_fails() -> None:
    contract = rules("c", FIRST, outcome="trial")
    world, records, position = world_with_code(contract)
    came = decide(world, arrival(3000), 4000)
    registered, click, *rest = came
    lies = {
        "no click": [registered, *rest],
        "ends without": [registered],
        "another's": [altered(registered, actor=BOB), click, *rest],
        "no code": [altered(registered, value=position - 1), click, *rest],
        "the owner's, and its click another's": [
            altered(registered, actor=OWNER, value=0),
            altered(click, actor=BOB),
        ],
        "before its issue": [registered, altered(click, time_ms=999), *rest],
        "after its receipt": [registered, altered(click, time_ms=4001), *rest],
        "of no code": [registered, reported(click, cause=position - 1), *rest],
        "another lead": [registered, altered(click, subject=Y), *rest],
    }
    for told in lies.values():
        with pytest.raises(ReplayError):
            judge([*records, *told], contract)


def test_a_code_is_good_for_its_uses_and_its_time() -> None:
    world, records, _ = world_with_code()
    for lead in (X, Y):
        records += decide(world, arrival(3000, lead=lead), 3000)
    spent = decide(world, arrival(3000, lead=word("z")), 3000)
    assert kinds(spent) == ["lead.registered", "lead.transition"]
    assert judge([*records, *spent]) == world
    # One more is refused by the replay.
    click = next(record for record in records if record.entry.kind == "touch.reported")
    with pytest.raises(ReplayError, match="gives this operator no touch"):
        judge([*records, *spent, altered(click, subject=word("z"))])
    for at_ms, count in ((999, 0), (1000, 1), (50_000, 1), (50_001, 0)):
        fresh, _, _ = world_with_code()
        came = decide(fresh, arrival(at_ms), max(at_ms, 2000))
        assert kinds(came).count("touch.reported") == count, at_ms


def test_codes_click_on_through_a_suspension_and_not_beyond_their_end() -> None:
    world, records, _ = world_with_code()
    records += decide(world, SuspendOperator(SURFACE, OWNER, ANN, "spam"), 2000)
    with pytest.raises(RequestError, match="suspended"):
        decide(world, issue(code=word("another")), 2000)
    records += decide(world, arrival(3000), 3000)
    assert records[-2].entry.kind == "touch.reported"
    ended = decide(world, EndCode(SURFACE, OWNER, CODE, "leaked"), 3500)
    assert ended[0].entry[2:6] == (OWNER, CODE, "leaked", 1)
    records += ended
    records += decide(world, arrival(3000, lead=Y), 4000)
    assert kinds(records)[-2:] == ["lead.registered", "lead.transition"]
    assert judge(records) == world
    with pytest.raises(RequestError) as refused:
        decide(world, EndOwnCode(SURFACE, ANN, CODE, "again"), 4000)
    assert refused.value.code == "code-ended"
    # Uses so far are counted by the rules.
    at = records.index(ended[0])
    with pytest.raises(ReplayError, match="but the rules give"):
        judge([*records[:at], altered(ended[0], value=2)])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (issue(), "code-known"),
        (issue(code=word("d"), most_uses=0), "code-uses"),
        (issue(code=word("d"), most_uses=101), "code-uses"),
        (issue(code=word("d"), expires_ms=1000), "code-expiry"),
        (issue(code=word("d"), operator=word("zed")), "level-too-low"),
        (EndOwnCode(SURFACE, BOB, CODE, "mine"), "code-of-another"),
        (EndOwnCode(SURFACE, ANN, word("none"), "mine"), "code-unknown"),
        (EndCode(SURFACE, BOB, CODE, "mine"), "surface-taken"),
        (arrival(1000, ref=word("none"), is_alone=True), "ref-unusable"),
        (arrival(1000, "looked", ref=word("none"), is_alone=True), "ref-unusable"),
    ],
)
def test_what_is_refused_changes_nothing(request_: Any, code: str) -> None:
    world, _, _ = world_with_code()
    before = copy.deepcopy(world)
    with pytest.raises(RequestError) as refused:
        decide(world, request_, 1000)
    assert refused.value.code == code
    assert world == before


def test_an_alias_has_no_second_click_and_a_touch_too_many_none() -> None:
    world, _, _ = world_with_code()
    first = decide(world, arrival(2000, "looked", is_alone=True), 2000)
    assert kinds(first) == ["lead.registered", "touch.reported"]
    assert kinds(decide(world, arrival(2000, is_alias=True), 2000)) == ["lead.transition"]
    code = world.codes.get(CODE)
    assert code is not None
    assert (code.uses, code.brought, code.repeats) == (1, 1, 0)
    # Of a lead that never came, the alias is an arrival as any other.
    came = decide(world, arrival(2000, lead=Y, is_alias=True), 2000)
    assert kinds(came) == ["lead.registered", "touch.reported", "lead.transition"]


def test_a_day_has_so_many_codes_and_settings_may_offer_none() -> None:
    world, _, _ = world_with_code()
    world.settings[CODE] = settings(
        codes={"level": 1, "max_uses": 9, "expires_s": 90_000, "a_day": 1}
    )
    world.surfaces[SURFACE].settings_hash = CODE
    with pytest.raises(RequestError) as refused:
        decide(world, issue(code=word("d")), 2000)
    assert refused.value.code == "code-limit"
    assert decide(world, issue(code=word("d"), expires_ms=86_500_000), 86_400_000)
    decide(world, PublishSettings(SURFACE, OWNER, settings(codes=None)), 86_400_000)
    with pytest.raises(RequestError) as refused:
        decide(world, issue(code=word("e"), expires_ms=86_500_000), 86_400_000)
    assert refused.value.code == "codes-unoffered"
