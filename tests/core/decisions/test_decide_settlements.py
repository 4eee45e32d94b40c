"""Settlements: what a tick states, group by group."""

from orchestrator.core.log.entry import unpack_settlement
from orchestrator.core.world.requests import Request, Settle
from tests.support.decisions import (
    BUY_THREE_TIMES,
    FIRST,
    event,
    kinds_of,
    run,
    touch,
)
from tests.support.worlds import (
    begin,
    rules,
    word,
)


def test_a_tick_settles_all_that_is_due_group_by_group() -> None:
    contracts = [
        rules(name, FIRST, operator=word(name), outcome="trial", statement_group=group)
        for name, group in [("d", b"h"), ("b", b"g"), ("c", b"h"), ("a", b"g"), ("idle", b"g")]
    ]
    world, _ = begin(FIRST, *contracts)
    for number, name in enumerate(["c", "b", "a", "d"]):
        lead = word(f"lead {number}")
        run(world, (1, touch(word(name), lead)), (1, event("signup", 1, lead=lead)))
    entries = run(world, (2, Settle()))
    assert kinds_of(entries) == ["settlement"] * 4
    names = [entry.subject.decode().rstrip(".") for entry in entries]
    assert names == ["b", "a", "d", "c"]
    assert run(world, (3, Settle())) == []


def test_settlements_are_cumulative() -> None:
    terms = rules("a", FIRST, repeatable=True, holdback_period_ms=9000)
    world, _ = begin(FIRST, terms)
    steps: list[tuple[int, Request]] = [
        (1, Settle()),
        *BUY_THREE_TIMES[:3],
        (2, Settle()),
        (3, event("signup", 3)),
        (3, Settle()),
        (3, event("buy", 3)),
        (4, event("refund", 4)),
        (4, Settle()),
        (5, event("refund", 5)),
        (5, Settle()),
        (6, Settle()),
    ]
    entries = [entry for entry in run(world, *steps) if entry.kind == "settlement"]
    assert [(entry.value, entry.time_ms) for entry in entries] == [(10, 2), (10, 4), (0, 5)]
    assert [unpack_settlement(entry.payload) for entry in entries] == [
        (10, 0, 16, 0),
        (20, 10, 20, 22),
        (20, 20, 20, 25),
    ]


def test_a_contract_that_only_went_over_has_nothing_to_settle() -> None:
    world, _ = begin(FIRST, rules("a", FIRST, budget_units=0))
    assert run(world, *BUY_THREE_TIMES, (9, Settle()))[-1].kind == "lead.transition"
