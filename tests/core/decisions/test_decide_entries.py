"""Entries that each request writes, word for word."""

import copy

import pytest

from orchestrator.core.decisions.decide import decide, verdict_of
from orchestrator.core.entries import kinds
from orchestrator.core.log.entry import unpack_outcome, unpack_reversal, unpack_settlement
from orchestrator.core.log.opening import EventOpening, TransitionOpening, opening_json, payload_of
from orchestrator.core.surface.policy import Verdict
from orchestrator.core.world.requests import (
    CloseContract,
    Genesis,
    OpenContract,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    RegisterOperator,
    Request,
    Settle,
)
from orchestrator.core.world.world import World
from tests.support.decisions import (
    ANN,
    BOB,
    FIRST,
    ZERO,
    X,
    event,
    kinds_of,
    run,
    touch,
)
from tests.support.worlds import (
    OWNER,
    SURFACE,
    VERIFIER,
    begin,
    partner,
    policy,
    rules,
    settings,
    word,
)


def test_a_short_history_word_for_word() -> None:
    terms = rules("a", FIRST, revenue_share_bps=1000, holdback_period_ms=9000)
    world = World()
    steps: list[tuple[int, Request]] = [
        (1, Genesis(word("log"), word("publisher"))),
        (2, PublishPolicy(SURFACE, OWNER, FIRST)),
        (2, PublishSettings(SURFACE, OWNER, settings())),
        (3, RegisterOperator(ANN, word("profile"))),
        (4, OpenContract(terms, word("opening"))),
        (4, OpenContract(partner(FIRST, BOB), word("opening"))),
        (5, touch()),
        (6, touch(BOB)),
        (7, touch()),
        (8, event("signup", 7)),
        (9, event("signup", 9, 3)),
        (10, event("noise", 10)),
        (11, event("buy", 10, 55)),
        (12, event("lapse", 12, 4)),
        (13, Settle()),
        (14, Settle()),
        (15, RecordPayout(terms.contract_id, word("payee"), "paid", 15, word("paying"))),
        (16, CloseContract(terms.contract_id, 12, word("closing"))),
    ]
    entries = run(world, *steps)
    assert [entry[:7] for entry in entries] == [
        ("genesis", ZERO, word("publisher"), word("log"), "tallystick/1", 0, 1),
        ("policy.published", SURFACE, OWNER, FIRST.hash, "v1", 1, 2),
        ("settings.published", SURFACE, OWNER, settings().hash, "v1", 1, 2),
        ("operator.registered", ZERO, ANN, ANN, "", 0, 3),
        ("contract.opened", SURFACE, OWNER, terms.contract_id, "paid", 1000, 4),
        ("trust.changed", SURFACE, ZERO, ANN, "1", 4, 4),
        ("contract.opened", SURFACE, OWNER, partner(FIRST, BOB).contract_id, "new", 1, 4),
        ("trust.changed", SURFACE, ZERO, BOB, "1", 6, 4),
        ("lead.registered", SURFACE, OWNER, X, "new", 0, 5),
        ("touch", SURFACE, ANN, X, "email", 0, 5),
        ("operator.registered", ZERO, BOB, BOB, "", 0, 6),
        ("touch", SURFACE, BOB, X, "email", 0, 6),
        ("touch", SURFACE, ANN, X, "email", 10, 7),
        ("lead.transition", SURFACE, OWNER, X, "trial", 0, 7),
        ("lead.refused", SURFACE, OWNER, X, "trial", 3, 9),
        ("lead.transition", SURFACE, OWNER, X, "paid", 55, 10),
        ("outcome", SURFACE, terms.contract_id, X, "paid", 15, 10),
        ("product.event", SURFACE, OWNER, X, "lapse", 4, 12),
        ("outcome.reversed", SURFACE, terms.contract_id, X, "paid", 15, 12),
        ("lead.transition", SURFACE, OWNER, X, "new", 4, 12),
        ("settlement", SURFACE, VERIFIER, terms.contract_id, "paid", 0, 13),
        ("payout", SURFACE, word("payee"), terms.contract_id, "paid", 15, 15),
        ("contract.closed", SURFACE, OWNER, terms.contract_id, "paid", 12, 16),
    ]
    payloads = [entry.payload for entry in entries]
    assert payloads[:5] == [ZERO, ZERO, ZERO, word("profile"), word("opening")]
    assert payloads[8] == ZERO
    assert payloads[21:] == [word("paying"), word("closing")]
    assert unpack_outcome(payloads[16]) == (15, 9, 0, 1, 15)
    assert unpack_reversal(payloads[18]) == (16, 17, 0, 1, 15)
    assert unpack_settlement(payloads[20]) == (15, 15, 16, 18)
    assert (world.size, world.time_ms) == (23, 16)
    for entry in entries:
        assert kinds.decode(kinds.encode(entry)) == entry


def test_openings_open_what_their_entries_commit_to() -> None:
    world, _ = begin(FIRST, rules("a", FIRST, holdback_period_ms=9000))
    steps: list[tuple[int, Request]] = [
        (5, touch()),
        (6, event("signup", 4)),
        (7, event("buy", 7, 5)),
        (8, event("buy", 8)),
        (9, event("signup", 9)),
        (9, event("refund", 9)),
        (9, event("lapse", 9)),
    ]
    records = [record for now, request in steps for record in decide(world, request, now)]
    opened = [record for record in records if record.opening is not None]
    for entry, opening in opened:
        assert opening is not None
        assert payload_of(opening) == entry.payload
        document = opening_json(opening)
        assert document["request_hash"] == "0x" + word("request").hex()
        assert document["commitment"] == "0x" + word("commitment").hex()
    moves = [
        (entry.kind, entry.label, *opening[:3])
        for entry, opening in opened
        if isinstance(opening, TransitionOpening)
    ]
    assert moves == [
        ("lead.transition", "trial", "new", 0, 6),
        ("lead.transition", "paid", "trial", 0, 7),
        ("lead.transition", "paid", "paid", 16, 8),
        ("lead.refused", "trial", "paid", 0, 9),
        ("lead.transition", "new", "paid", 0, 9),
    ]
    events = [(entry.label, opening) for entry, opening in opened if entry.kind == "product.event"]
    asked = (word("request"), word("commitment"))
    assert events == [
        ("refund", EventOpening(9, ZERO, 15, 0, 0, 5, True, *asked)),
        ("lapse", EventOpening(9, ZERO, 0, 0, 0, 0, False, *asked)),
    ]


def test_an_ignored_event_leaves_no_trace() -> None:
    world, _ = begin(FIRST)
    before = copy.deepcopy(world)
    assert decide(world, event("noise", 0), 5) == []
    assert world == before


@pytest.mark.parametrize(
    ("name", "verdict", "written", "state"),
    [
        ("signup", Verdict.ACCEPTED, ["lead.registered", "lead.transition"], "trial"),
        ("buy", Verdict.REFUSED, ["lead.registered", "lead.refused"], "new"),
        ("refund", Verdict.ACCEPTED, ["lead.registered", "product.event"], "new"),
        ("lapse", Verdict.ACCEPTED, ["lead.registered", "product.event"], "new"),
        ("noise", Verdict.IGNORED, [], None),
    ],
)
def test_the_first_that_is_heard_of_a_lead(
    name: str, verdict: Verdict, written: list[str], state: str | None
) -> None:
    world, _ = begin(FIRST)
    records = decide(world, event(name, 0), 0)
    assert kinds_of([record.entry for record in records]) == written
    assert verdict_of(records) is verdict
    assert (world.leads[X].state if state else None) == state
    assert (X in world.leads) is (state is not None)


def test_an_event_by_the_products_name_is_written_by_its_short_one() -> None:
    names = {"Trial Started": "signup", "注文が完了しました": "buy", "Subscription Lapsed": "lapse"}
    mapped, plain = policy(events=names), policy()
    written = []
    for governing, events in ((mapped, names.keys()), (plain, names.values())):
        terms = rules("a", governing)
        world, _ = begin(governing, terms)
        entries = run(world, (1, touch()), *((2, event(name, 2, 5)) for name in events))
        written.append([entry[:6] for entry in entries])
    assert written[0] == written[1]
    assert [entry[4] for entry in written[0]] == [
        "new", "email", "trial", "paid", "paid", "lapse", "paid", "new"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["x" * 255, "注文", "Order Completed", "buy now"])
def test_an_event_that_the_policy_does_not_name_is_ignored_whatever_it_is_called(name: str) -> None:
    world, _ = begin(FIRST)
    assert decide(world, event(name, 0), 5) == []


def test_the_reversing_half_of_an_event_comes_first() -> None:
    """A renewal that takes the last one back: the new outcome stands, the old one does not."""
    governing = policy(reversals=[{"on": "buy", "of": "paid"}])
    terms = rules("a", governing, repeatable=True, budget_units=10, holdback_period_ms=9000)
    world, _ = begin(governing, terms)
    entries = run(
        world,
        (1, touch()),
        (2, event("signup", 2)),
        (3, event("buy", 3)),
        (4, event("buy", 4)),
    )
    assert kinds_of(entries)[3:] == [
        "product.event",
        "lead.transition",
        "outcome",
        "product.event",
        "outcome.reversed",
        "lead.transition",
        "outcome",
    ]
