"""Folds: what each entry alone does to a world, and that nothing else of it changes."""

import copy
from dataclasses import asdict
from typing import Any

import pytest

from orchestrator.core.common.errors import EntryError
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries.kinds import KINDS, Clock, Projection, advance
from orchestrator.core.log.entry import Entry, pack_outcome, pack_reversal
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
    receipt_ms,
)
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.surface.forecast import Question
from orchestrator.core.surface.trust import PendingForecast
from orchestrator.core.world.purchase import PaidOutcome, Purchase
from orchestrator.core.world.world import Errand, World, pair_of
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    TOKEN,
    begin,
    policy,
    rules,
    settings,
    word,
)

GOVERNING = policy()
QUESTION = Question("new", "trial", 1)
POOLED = settings(
    pool={"places": 1, "leads_a_day": 1, "touches_a_day": 1, "lasts_s": 9},
    forecasts={"questions": [{"from": "new", "to": "trial", "horizon_days": 1}]},
)
A = word("a")
LEAD = LEADS[0]


def world_with_lead() -> World:
    world, _ = begin(GOVERNING, rules("a", GOVERNING, token=TOKEN))
    advance(world, entry("lead.registered", label="new", time_ms=1_000))
    return world


def entry(kind: str, opening: Opening | None = None, **changes: Any) -> Record:
    plain = Entry(kind, SURFACE, OWNER, LEAD, "paid", 0, 9_000, bytes(32))
    return Record(plain._replace(**changes), opening)


def moved_by(order: bytes = bytes(32), received_ms: int = 9_000) -> TransitionOpening:
    return TransitionOpening("new", 0, received_ms, order, bytes(32), bytes(32))


def taking(of: int, after: int, before: int = 0) -> EventOpening:
    return EventOpening(9_000, bytes(32), of, 0, before, after, False, bytes(32), bytes(32))


def parts(world: World) -> dict[str, Any]:
    found = asdict(world)
    found.pop("_rivals")
    found.pop("moved")
    found.pop("used_codes")
    return found


PAID = pack_outcome(6, 5, 0, 1, 10)
# The position of what the fold of each kind is tried on, in `world_to_move`.
PURCHASE, CODE, REQUESTED, FORECAST = 13, 14, 8, 9


def world_to_move() -> World:
    """Return a world with a lead, a purchase of 100, a code for one use and a requested action.

    Ann's level is one of forecasts, and one of hers can be opened on the third day; Bob is
    suspended.
    """
    world = world_with_lead()
    world.settings[POOLED.hash] = POOLED
    world.surfaces[SURFACE].settings_hash = POOLED.hash
    world.surfaces[SURFACE].cohorts.ask(GOVERNING.states, [QUESTION], 0)
    ann = world.standing(SURFACE, OPERATORS[0])
    ann.ground = "forecasts"
    ann.forecasts.append(PendingForecast(FORECAST, QUESTION, 1, word("sealed")))
    ann.skill.commit(QUESTION, 1, 0)
    world.standing(SURFACE, OPERATORS[1]).is_suspended = True
    world.moved.clear()
    world.rules[word("b")] = rules("b", GOVERNING)
    assert world.size == PURCHASE
    bought = moved_by(word("order"), received_ms=7_000)
    advance(world, entry("lead.transition", bought, value=100))
    code = CodeOpening(20_000, bytes(32), bytes(32))
    issued = entry("code.issued", code, actor=OPERATORS[0], label="click", value=1, time_ms=8_000)
    advance(world, issued)
    world.moved.clear()
    world.contracts[A].unpaid_ms = 1
    errand = Errand(REQUESTED, OPERATORS[0], "letter", 8_000, 99_000)
    world.leads[LEAD].errands.append(errand)
    world.surfaces[SURFACE].errands = ann.errands = 1
    return world


# The part of the world that each projection is a cache of.
PARTS = {
    Projection.LEAD: "leads",
    Projection.CONTRACT: "contracts",
    Projection.OPERATOR: "operators",
    Projection.SURFACE: "surfaces",
}
ASKED = ActOpening(bytes(32), bytes(32), bytes(32))
REPORTED = ReportedTouchOpening(CODE, 9_000, bytes(32), bytes(32))
MOVES = [
    entry("touch", actor=OPERATORS[0]),
    entry("touch.reported", REPORTED, actor=OPERATORS[0], label="click"),
    entry("action.requested", actor=OPERATORS[0], value=99_000),
    entry("action.answered", AnswerOpening("", bytes(32)), label="taken", value=REQUESTED),
    entry(
        "code.issued",
        CodeOpening(20_000, bytes(32), bytes(32)),
        actor=OPERATORS[0],
        label="click",
        value=3,
    ),
    entry("code.ended", label="leaked"),
    entry("lead.registered", subject=LEADS[1]),
    entry("lead.transition", moved_by()),
    entry("outcome", actor=A, value=10, payload=PAID),
    entry("outcome.over", actor=A, value=10),
    entry("outcome.reversed", actor=A, value=10, payload=pack_reversal(6, 7, 0, 1, 10)),
    entry("settlement", subject=A),
    entry("contract.opened", subject=word("b")),
    entry("contract.closed", subject=A, value=5),
    entry("operator.registered", subject=word("carl")),
    entry("policy.published", subject=GOVERNING.hash, value=2),
    entry("lead.refused", moved_by(word("order"))),
    entry("product.event", taking(PURCHASE, 40)),
    entry("payout", subject=A),
    entry("dispute.opened", subject=A, label="owner"),
    entry("dispute.ruled", subject=A, label="lowered"),
    entry("erasure"),
    entry("genesis"),
    entry("settings.published", subject=POOLED.hash, value=2),
    entry(
        "trust.changed",
        TrustOpening("forecasts", 1, 0, 0, 0, 0, 0),
        subject=OPERATORS[0],
        label="1",
    ),
    entry(
        "forecast.made",
        ASKED,
        actor=OPERATORS[0],
        subject=b"new".ljust(32, b"\0"),
        label="trial",
        value=1,
        time_ms=2 * DAY_MS,
    ),
    entry(
        "forecast.scored",
        ForecastOpening(2500, word("salt"), 40, 10, 41, 11, 400, 99),
        subject=OPERATORS[0],
        label="trial",
        value=FORECAST,
        time_ms=2 * DAY_MS + 1,
    ),
    entry("operator.suspended", ASKED, subject=OPERATORS[0]),
    entry("operator.restored", ASKED, subject=OPERATORS[1]),
]
# What is in memory alone until its requests have a door.
CAUSES = {kind: {"causes", "codes"} for kind in ("code.issued", "code.ended", "touch.reported")}
# The kinds that change a standing, which no field of theirs need name, with the operator's place.
STANDINGS = {
    "touch": 0,
    "action.requested": 0,
    "code.issued": 0,
    "action.answered": 0,
    "outcome": 0,
    "outcome.reversed": 0,
    "contract.opened": 0,
    "trust.changed": 0,
    "forecast.made": 0,
    "forecast.scored": 0,
    "operator.suspended": 0,
    "operator.restored": 1,
    "dispute.ruled": 0,
}


@pytest.mark.parametrize("moved", MOVES, ids=lambda moved: moved.entry.kind)
def test_an_entry_changes_what_its_row_names_and_nothing_else(moved: Record) -> None:
    world = world_to_move()
    kind = KINDS[moved.entry.kind]
    before = copy.deepcopy(parts(world))
    advance(world, moved)
    after = parts(world)
    named = {PARTS[projection] for projection, _ in kind.changes if projection in PARTS}
    named |= CAUSES.get(kind.name, set())
    named |= {"standings"} if kind.name in STANDINGS else set()
    # A receipt moves the log's own clock on too.
    is_timed = kind.clock is Clock.LOG or receipt_ms(moved.opening) is not None
    clock = {"time_ms"} if is_timed else set()
    # Every entry is counted but disputes, which the directory counts as the chain tells of them.
    named |= set() if kind.name.startswith("dispute.") else {"tallies"}
    assert {name for name in before if before[name] != after[name]} == named | clock | {"size"}
    assert world.size == before["size"] + 1
    # A writer that keeps standings elsewhere is told which have changed.
    at = STANDINGS.get(kind.name)
    assert list(world.moved) == ([] if at is None else [pair_of(SURFACE, OPERATORS[at])])


@pytest.mark.parametrize(
    ("received_ms", "log_ms", "surface_ms"),
    [(9_000, 9_000, 9_000), (500, 1_000, 500), (8_999, 8_999, 8_999)],
)
def test_a_receipt_moves_the_clocks_of_log_and_surface_on(
    received_ms: int, log_ms: int, surface_ms: int
) -> None:
    world = world_with_lead()
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (1_000, 0)
    advance(world, entry("lead.transition", moved_by(received_ms=received_ms), time_ms=400))
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (log_ms, surface_ms)
    # Neither goes back, whatever an entry says; a replay refuses it.
    advance(world, entry("lead.transition", moved_by(received_ms=0), time_ms=0))
    advance(world, entry("erasure", time_ms=0))
    assert (world.time_ms, world.surfaces[SURFACE].received_ms) == (log_ms, surface_ms)


def test_a_policy_sets_the_receipt_of_its_surface() -> None:
    world = world_with_lead()
    published = entry("policy.published", subject=GOVERNING.hash, value=2, time_ms=5_000)
    advance(world, published)
    assert world.surfaces[SURFACE].received_ms == 5_000


def test_every_kind_is_tried() -> None:
    assert {moved.entry.kind for moved in MOVES} == set(KINDS)


@pytest.mark.parametrize(
    "bare", [entry("lead.transition"), entry("product.event"), entry("code.issued")]
)
def test_what_an_opening_says_is_not_folded_without_it(bare: Record) -> None:
    with pytest.raises(EntryError) as refused:
        advance(world_with_lead(), bare)
    assert refused.value.code == "opening-missing"


def test_a_transition_moves_its_lead_and_is_a_purchase_where_it_can_be_taken_back() -> None:
    world = world_with_lead()
    first = world.size
    advance(world, entry("lead.transition", moved_by(word("o1")), value=30, time_ms=7_000))
    advance(world, entry("lead.transition", moved_by(word("o2")), value=40, time_ms=8_000))
    advance(world, entry("lead.transition", moved_by(), label="trial", time_ms=8_500))
    lead = world.leads[LEAD]
    assert (lead.state, lead.since_ms) == ("trial", 8_500)
    assert lead.purchases == [
        Purchase(first, "paid", 30, word("o1")),
        Purchase(first + 1, "paid", 40, word("o2")),
    ]


def test_a_touch_is_kept_by_operator_with_its_position() -> None:
    world = world_to_move()
    position = world.size
    advance(world, entry("touch", actor=OPERATORS[0]))
    advance(world, entry("touch", actor=OPERATORS[1]))
    clicked = entry("touch.reported", REPORTED, actor=OPERATORS[0], label="click", time_ms=8_000)
    advance(world, clicked)
    touches = world.leads[LEAD].touches[OPERATORS[0]].touches
    assert touches == [TouchAt(position, 9_000), TouchAt(position + 2, 8_000)]
    assert world.leads[LEAD].touch_count == 3
    assert world.causes[CODE].uses_left == 0


def test_an_outcome_is_of_its_purchase_and_counts_the_lead() -> None:
    world = world_with_lead()
    bought = world.size
    advance(world, entry("lead.transition", moved_by(), value=30))
    paid = pack_outcome(bought, 5, 0, 1, 10)
    advance(world, entry("outcome", actor=A, value=10, payload=paid))
    advance(world, entry("lead.transition", moved_by(), value=30))
    advance(world, entry("outcome.over", actor=A, value=10))
    lead = world.leads[LEAD]
    assert [one.outcome for one in lead.purchases] == [
        PaidOutcome(A, bought + 1, 10, 9_000),
        None,
    ]
    assert lead.counted_at == {"paid": bought + 3}
    assert lead.counted == (A, A)


def test_an_event_takes_from_the_purchase_that_it_names() -> None:
    world = world_with_lead()
    first = world.size
    for order in (word("o1"), word("o2")):
        advance(world, entry("lead.transition", moved_by(order), value=30))
    event = world.size
    advance(world, entry("product.event", taking(first, 20)))
    advance(world, entry("product.event", taking(first + 1, 30)))
    advance(world, entry("product.event", taking(0, 0)))
    taken = [
        (one.refunded_units, one.last_refund, one.is_spent) for one in world.leads[LEAD].purchases
    ]
    assert taken == [(20, event, False), (30, event + 1, True)]


def test_a_reversal_adds_to_its_contract() -> None:
    world = world_with_lead()
    advance(world, entry("outcome", actor=A, value=10, payload=PAID))
    taken = pack_reversal(world.size - 1, 7, 0, 1, 4)
    position = world.size
    advance(world, entry("outcome.reversed", actor=A, value=4, payload=taken))
    contract = world.contracts[A]
    assert (contract.earned_units, contract.reversed_units) == (10, 4)
    assert (contract.reversals, contract.last_reversal) == (1, position)
