"""Folds: what each entry alone does to a world, and that nothing else of it changes."""

import copy
from dataclasses import asdict
from typing import Any

import pytest

from orchestrator.core.attribution import TouchAt
from orchestrator.core.entry import Entry, pack_outcome, pack_reversal
from orchestrator.core.kinds import KINDS, Clock, Projection, advance
from orchestrator.core.opening import EventOpening, Record
from orchestrator.core.world import World
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, begin, policy, rules, word

GOVERNING = policy()
A = word("a")
LEAD = LEADS[0]


def world_with_lead() -> World:
    world, _ = begin(GOVERNING, rules("a", GOVERNING))
    advance(world, Record(entry("lead.registered", label="new", time_ms=1_000)))
    return world


def entry(kind: str, **changes: Any) -> Entry:
    plain = Entry(kind, SURFACE, OWNER, LEAD, "paid", 0, 9_000, bytes(32))
    return plain._replace(**changes)


REPORTED = EventOpening("", 0, 9_500, word("request"), word("body"))


def parts(world: World) -> dict[str, Any]:
    found = asdict(world)
    found.pop("_rivals")
    return found


PAID = pack_outcome(6, 5, 0, 1, 10)


# The part of the world that each projection is a cache of.
PARTS = {
    Projection.LEAD: "leads",
    Projection.CONTRACT: "contracts",
    Projection.OPERATOR: "operators",
    Projection.SURFACE: "surfaces",
}
MOVES = [
    entry("touch", actor=OPERATORS[0]),
    entry("lead.registered", subject=LEADS[1]),
    entry("lead.transition"),
    entry("outcome", actor=A, value=10, payload=PAID),
    entry("outcome.over", actor=A, value=10),
    entry("outcome.reversed", actor=A, value=10),
    entry("settlement", subject=A),
    entry("contract.opened", subject=word("b")),
    entry("contract.closed", subject=A, value=5),
    entry("operator.registered", subject=word("carl")),
    entry("policy.published", subject=GOVERNING.hash, value=2),
    entry("lead.refused"),
    entry("product.event"),
    entry("payout", subject=A),
    entry("erasure"),
    entry("genesis"),
]


def record(moved: Entry) -> Record:
    """Return an entry with an opening, if its kind says when the entry was received."""
    is_reported = KINDS[moved.kind].opening is EventOpening
    return Record(moved, REPORTED if is_reported else None)


@pytest.mark.parametrize("moved", MOVES, ids=lambda moved: moved.kind)
def test_an_entry_changes_what_its_row_names_and_nothing_else(moved: Entry) -> None:
    world = world_with_lead()
    world.rules[word("b")] = rules("b", GOVERNING)
    kind = KINDS[moved.kind]
    if moved.kind == "outcome.reversed":
        advance(world, Record(entry("outcome", actor=A, value=10, payload=PAID)))
        moved = moved._replace(payload=pack_reversal(world.size - 1, 7, 0, 1, 10))
    before = copy.deepcopy(parts(world))
    advance(world, record(moved))
    after = parts(world)
    named = {PARTS[projection] for projection, _ in kind.changes if projection in PARTS}
    # A receipt moves the log's own clock on too.
    is_timed = kind.clock is Clock.LOG or kind.opening is EventOpening
    clock = {"time_ms"} if is_timed else set()
    assert {name for name in before if before[name] != after[name]} == named | clock | {"size"}
    assert world.size == before["size"] + 1


@pytest.mark.parametrize(
    ("received_ms", "log_ms", "surface_ms"),
    [(9_000, 9_000, 9_000), (500, 1_000, 500), (8_999, 8_999, 8_999)],
)
def test_a_receipt_moves_the_clocks_of_log_and_surface_on(
    received_ms: int, log_ms: int, surface_ms: int
) -> None:
    world = world_with_lead()
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (1_000, 0)
    opening = REPORTED._replace(received_ms=received_ms)
    advance(world, Record(entry("lead.transition", time_ms=400), opening))
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (log_ms, surface_ms)
    # Neither goes back, whatever an entry says; a replay refuses it.
    advance(world, Record(entry("lead.transition", time_ms=0), REPORTED._replace(received_ms=0)))
    advance(world, Record(entry("erasure", time_ms=0)))
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (log_ms, surface_ms)


def test_a_policy_sets_the_receipt_of_its_surface() -> None:
    world = world_with_lead()
    published = entry("policy.published", subject=GOVERNING.hash, value=2, time_ms=5_000)
    advance(world, Record(published))
    assert world.surfaces[SURFACE].received_ms == 5_000


def test_every_kind_is_tried() -> None:
    assert {moved.kind for moved in MOVES} == set(KINDS)


def test_a_transition_moves_its_lead_and_counts_the_visit() -> None:
    world = world_with_lead()
    for time_ms in (7_000, 8_000):
        advance(world, Record(entry("lead.transition", time_ms=time_ms)))
    lead = world.leads[LEAD]
    assert (lead.state, lead.since_ms, lead.visits) == ("paid", 8_000, {"paid": 2})


def test_a_touch_is_kept_by_operator_with_its_position() -> None:
    world = world_with_lead()
    position = world.size
    advance(world, Record(entry("touch", actor=OPERATORS[0])))
    advance(world, Record(entry("touch", actor=OPERATORS[1])))
    assert world.leads[LEAD].touches[OPERATORS[0]].touches == [TouchAt(position, 9_000)]
    assert world.leads[LEAD].touch_count == 2


def test_a_reversal_takes_the_outcome_that_it_names() -> None:
    world = world_with_lead()
    positions = []
    for total in (10, 20):
        positions.append(world.size)
        paid = pack_outcome(6, 5, 0, 1, total)
        advance(world, Record(entry("outcome", actor=A, value=10, payload=paid)))
    taken = pack_reversal(positions[0], 7, 0, 1, 10)
    advance(world, Record(entry("outcome.reversed", actor=A, value=10, payload=taken)))
    assert [paid.position for paid in world.leads[LEAD].paid] == [positions[1]]
    contract = world.contracts[A]
    assert (contract.earned_units, contract.reversed_units) == (20, 10)
