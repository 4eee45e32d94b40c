"""The fold, rule by rule: what each request writes, what is turned away, and who is paid."""

import ast
import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import acts, kinds, writer
from orchestrator.core import decide as decide_module
from orchestrator.core.contract import ContractRules
from orchestrator.core.decide import decide, verdict_of
from orchestrator.core.entry import Entry, unpack_outcome, unpack_reversal, unpack_settlement
from orchestrator.core.errors import RequestError
from orchestrator.core.opening import (
    CodeOpening,
    EventOpening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
    opening_json,
    payload_of,
    receipt_ms,
)
from orchestrator.core.policy import Policy, Verdict
from orchestrator.core.purchase import MAX_ORDERS, MAX_WITHOUT_ORDER
from orchestrator.core.requests import (
    RETRYABLE,
    CloseContract,
    Erasure,
    Genesis,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    RegisterOperator,
    ReportTouch,
    Request,
    RequestAction,
    Settle,
    Touch,
)
from orchestrator.core.world import Lead, World
from tests.backtest.oracle import judge
from tests.support.depth import examples
from tests.support.worlds import (
    DOCUMENT,
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    VERIFIER,
    begin,
    contract_lists,
    open_surface,
    partner,
    policy,
    request_lists,
    rules,
    settings,
    word,
)

X, Y = LEADS[:2]
ANN, BOB = OPERATORS
ZERO = bytes(32)
FIRST, LAST = policy(), policy(attribution="last_touch")
MODELS = [FIRST, LAST]


def touch(operator: bytes = ANN, lead: bytes = X, surface: bytes = SURFACE) -> Touch:
    return Touch(surface, lead, operator, "email", word("request"), word("commitment"))


def event(
    name: str, at: int, value: int = 0, lead: bytes = X, surface: bytes = SURFACE
) -> ProductEvent:
    return ProductEvent(surface, lead, name, value, at, word("request"), word("commitment"))


def about(order: str, request: ProductEvent, *, whole: bool = False) -> ProductEvent:
    """The same event of an order, of which it tells the value unless it is about the whole."""
    return request._replace(order=word(order), whole=whole)


def run(world: World, *steps: tuple[int, Request]) -> list[Entry]:
    """The entries of these requests, each decided at the time beside it."""
    return [record.entry for now, request in steps for record in decide(world, request, now)]


def kinds_of(entries: list[Entry]) -> list[str]:
    return [entry.kind for entry in entries]


def paid(entries: list[Entry]) -> list[tuple[str, str]]:
    """(contract, kind) of each outcome among the entries."""
    return [
        (entry.actor.decode().rstrip("."), entry.kind.removeprefix("outcome").lstrip("."))
        for entry in entries
        if entry.kind.startswith("outcome")
    ]


def refused(world: World, now: int, request: Request) -> str:
    """The rule by which a request is turned away, leaving the world as it was."""
    before = copy.deepcopy(world)
    with pytest.raises(RequestError) as caught:
        decide(world, request, now)
    assert world == before
    assert "\n" not in caught.value.message
    return caught.value.code


# --- What requests write --------------------------------------------------------------------------


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
        ("contract.opened", SURFACE, OWNER, word("bob partner"), "new", 1, 4),
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


# --- What is turned away --------------------------------------------------------------------------


def busy_world() -> World:
    """A log at time 10 with a contract "a" and leads x of this surface, y of another."""
    governing = policy(touches_per_lead=2)
    world, _ = begin(governing, rules("a", governing))
    other = word("elsewhere")
    open_surface(world, other, governing, 9)
    run(
        world,
        (9, touch(ANN)),
        (9, touch(ANN)),
        (10, touch(ANN, Y, other)),
    )
    return world


NOWHERE, OTHER = word("nowhere"), word("elsewhere")
TURNED_AWAY: list[tuple[Request, str]] = [
    (Genesis(word("log"), word("publisher")), "genesis-twice"),
    (RegisterOperator(ANN, ZERO), "operator-known"),
    (OpenContract(rules("a", FIRST), ZERO), "contract-known"),
    (CloseContract(word("b"), 5, ZERO), "contract-unknown"),
    (RecordPayout(word("b"), word("payee"), "paid", 1, ZERO), "contract-unknown"),
    (touch(surface=NOWHERE), "surface-unknown"),
    (touch(BOB, X, OTHER), "lead-elsewhere"),
    (touch(BOB, Y), "lead-elsewhere"),
    (touch(), "touch-limit"),
    (event("signup", 10, surface=NOWHERE), "surface-unknown"),
    (event("signup", 10, surface=OTHER), "lead-elsewhere"),
    (event("noise", 10, lead=Y), "lead-elsewhere"),
    (event("signup", 11), "event-ahead"),
    (event("noise", 11), "event-ahead"),
]


@pytest.mark.parametrize(("request_", "code"), TURNED_AWAY)
def test_turned_away(request_: Request, code: str) -> None:
    assert refused(busy_world(), 10, request_) == code


@pytest.mark.parametrize(
    "request_",
    [
        RegisterOperator(word("cy"), ZERO),
        OpenContract(rules("b", FIRST), ZERO),
        CloseContract(word("a"), 5, ZERO),
        RecordPayout(word("a"), word("payee"), "paid", 1, ZERO),
        touch(BOB),
        touch(ANN, LEADS[2]),
        touch(ANN, Y, OTHER),
        event("signup", 10),
        event("signup", 0),
        event("signup", 10, lead=Y, surface=OTHER),
    ],
)
def test_taken(request_: Request) -> None:
    assert decide(busy_world(), request_, 10)


@pytest.mark.parametrize(
    ("at", "span", "written", "code"),
    [
        (94_999, 0, None, "event-late"),
        (95_000, 0, 95_000, None),
        (99_001, 0, 99_001, None),
        (100_000, 0, 100_000, None),
        (100_001, 0, None, "event-ahead"),
        # A clock of whole seconds means the end of its second, or the receipt if that is earlier.
        (94_000, 999, None, "event-late"),
        (94_001, 999, 95_000, None),
        (98_000, 999, 98_999, None),
        (99_000, 999, 99_999, None),
        (99_001, 999, 100_000, None),
        (99_500, 999, 100_000, None),
        (100_000, 999, 100_000, None),
        (100_001, 999, None, "event-ahead"),
    ],
)
def test_the_edges_of_an_events_time(
    at: int, span: int, written: int | None, code: str | None
) -> None:
    world, _ = begin(FIRST)  # which takes events up to 5 s late
    request = event("signup", at)._replace(span_ms=span)
    if code is not None:
        assert refused(world, 100_000, request) == code
        return
    (_, (entry, opening)) = decide(world, request, 100_000)
    assert entry.time_ms == written
    assert receipt_ms(opening) == 100_000


def test_a_touch_of_the_same_second_is_not_lost_to_a_clock_of_whole_seconds() -> None:
    world, _ = begin(FIRST, rules("a", FIRST))
    run(world, (5_000, event("signup", 5_000)), (6_300, touch()))
    bought = event("buy", 6_000)._replace(span_ms=999)
    assert paid(run(world, (6_500, bought))) == [("a", "")]
    # Nor does a touch win that was received after the event.
    world, _ = begin(FIRST, rules("a", FIRST))
    run(world, (5_000, event("signup", 5_000)))
    assert paid(run(world, (6_500, bought), (6_700, touch()))) == []


def test_messages_show_times_as_people_write_them() -> None:
    world, _ = begin(FIRST)
    at_ms = 1_795_867_200_250  # 2026-11-28T12:00:00.250Z
    for request, received_ms in ((event("signup", at_ms), at_ms - 1), (event("signup", 0), at_ms)):
        with pytest.raises(RequestError, match=r"2026-11-28T12:00:00\.2") as caught:
            decide(world, request, received_ms)
        assert str(at_ms) not in caught.value.message


def codes_raised() -> set[str]:
    """Return the codes of the refusals that deciding has."""
    calls = [
        node
        for module in (decide_module, acts, writer)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]
    found = set()
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "RequestError":
            assert isinstance(call.args[0], ast.Constant)
            found.add(str(call.args[0].value))
    return found


def test_each_refusal_is_the_last_word_or_one_that_time_changes() -> None:
    last_words = {
        "action-unknown",
        "contract-known",
        "event-late",
        "genesis-twice",
        "lead-elsewhere",
        "operator-known",
        "policy-drops-state",
        "order-ambiguous",
        "order-limit",
        "order-taken",
        "surface-taken",
        "touch-limit",
        # of requests that a replay alone makes
        "cause-false",
        "lead-unknown",
    }
    assert codes_raised() - RETRYABLE == last_words


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_limit_of_touches_is_per_operator_and_lead(limit: int) -> None:
    world, _ = begin(policy(touches_per_lead=limit))
    for _ in range(limit):
        run(world, (1, touch(ANN)), (1, touch(BOB)), (1, touch(ANN, Y)))
    for again in (touch(ANN), touch(BOB), touch(ANN, Y)):
        assert refused(world, 2, again) == "touch-limit"


def test_touches_that_were_forgotten_count_against_the_limit() -> None:
    world, _ = begin(policy(touches_per_lead=2))
    run(world, (1, touch()), (1, touch()))
    world.leads[X].touches[ANN].touches.clear()
    assert refused(world, 2, touch()) == "touch-limit"


def test_all_touches_are_counted_however_few_are_kept() -> None:
    world, _ = begin(FIRST)
    run(world, *[(1, touch())] * 300)
    assert world.leads[X].touches[ANN].count == 300


def test_the_logs_own_clock_is_the_last_receipt_and_never_goes_back() -> None:
    world, _ = begin(FIRST, rules("a", FIRST))
    (touched,) = run(world, (1000, touch()))[-1:]
    assert (touched.time_ms, world.time_ms) == (1000, 1000)
    # An event's own time says nothing of it, its receipt does.
    run(world, (2000, event("signup", 1500)), (2000, event("buy", 1200)))
    assert world.time_ms == 2000
    # A request that comes late from another surface: received before, written after.
    other = word("elsewhere")
    open_surface(world, other, FIRST, 2000)
    (registered, touched) = run(world, (1700, touch(ANN, Y, other)))
    assert (registered.time_ms, touched.time_ms, world.time_ms) == (2000, 2000, 2000)


def test_the_receipts_of_a_surface_never_go_back() -> None:
    """As when the database's clock is set back: the order of receipt stands, and so do outcomes."""
    world, _ = begin(FIRST, rules("a", FIRST))
    received = [
        receipt_ms(record.opening)
        for now, request in (
            (9_000, event("signup", 9_000)),
            (7_000, event("buy", 8_000)),
            (9_500, event("refund", 9_500)),
            (1_000, event("buy", 9_200)),
        )
        for record in decide(world, request, now)
        if record.opening is not None
    ]
    assert received == [9_000, 9_000, 9_500, 9_500]


def test_an_event_is_decided_by_its_receipt_however_long_it_waits() -> None:
    """Lateness is judged at the receipt, though the log is hours further when it comes to it."""
    hour_ms = 3_600_000
    world, _ = begin(FIRST, rules("a", FIRST))
    other = word("elsewhere")
    run(world, (0, touch()), (0, event("signup", 0)))
    open_surface(world, other, FIRST)
    run(world, (hour_ms, touch(ANN, Y, other)))
    (bought,) = [r for r in decide(world, event("buy", 1_000), 6_000) if r.opening is not None]
    assert (bought.entry.time_ms, receipt_ms(bought.opening)) == (1_000, 6_000)
    assert world.contracts[word("a")].outcomes == 1
    assert refused(world, 7_000, event("buy", 1_000)) == "event-late"
    assert world.time_ms == hour_ms


# --- Who is paid ----------------------------------------------------------------------------------


def outcomes(governing: Policy, contracts: list[ContractRules], *steps: tuple[int, Request]) -> Any:
    """(contract, kind) of each outcome when a lead is touched so, signs up and buys so."""
    world, _ = begin(governing, *contracts)
    return paid(run(world, *steps))


BUY_THREE_TIMES: list[tuple[int, Request]] = [
    (0, event("signup", 0)),
    (1, touch()),
    (2, event("buy", 2)),
    (3, event("buy", 3)),
    (4, event("buy", 4)),
]


@pytest.mark.parametrize(
    ("opens", "deadline", "window", "touched", "bought", "is_paid"),
    [
        # the opening's edge, of the touch and of the transition
        (1000, 9000, 9000, 999, 2000, False),
        (1000, 9000, 9000, 1000, 2000, True),
        (2000, 9000, 9000, 2000, 2000, True),
        (2001, 9000, 9000, 2000, 2000, False),
        (2001, 9000, 9000, 2001, 2001, True),
        # the deadline's edge
        (0, 2000, 9000, 1000, 2000, True),
        (0, 1999, 9000, 1000, 2000, False),
        # the window's edge
        (0, 9000, 1000, 1000, 2000, True),
        (0, 9000, 999, 1000, 2000, False),
        (0, 9000, 0, 2000, 2000, True),
    ],
)
@pytest.mark.parametrize("governing", MODELS)
def test_the_edges_of_a_contract(
    governing: Policy,
    opens: int,
    deadline: int,
    window: int,
    touched: int,
    bought: int,
    is_paid: bool,
) -> None:
    terms = rules(
        "a", governing, opens_at_ms=opens, deadline_ms=deadline, attribution_window_ms=window
    )
    found = outcomes(
        governing,
        [terms],
        (0, event("signup", 0)),
        (touched, touch()),
        (bought, event("buy", bought)),
    )
    assert found == ([("a", "")] if is_paid else [])


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        # Touches: ann 1000, bob 2000, ann 3000, bob 4000; the purchase is reported at 5000.
        (999, [], []),
        (1000, ["ann"], ["ann"]),
        (1999, ["ann"], ["ann"]),
        (2000, ["ann"], ["bob"]),
        (3000, ["ann"], ["ann"]),
        (3999, ["ann"], ["ann"]),
        (4000, ["ann"], ["bob"]),
        (5000, ["ann"], ["bob"]),
    ],
)
def test_a_late_event_is_judged_by_the_touches_of_its_time(
    at: int, first: list[str], last: list[str]
) -> None:
    for governing, winners in ((FIRST, first), (LAST, last)):
        found = outcomes(
            governing,
            [rules("ann", governing), rules("bob", governing, operator=BOB)],
            (0, event("signup", 0)),
            (1000, touch(ANN)),
            (2000, touch(BOB)),
            (3000, touch(ANN)),
            (4000, touch(BOB)),
            (5000, event("buy", at)),
        )
        assert found == [(winner, "") for winner in winners]


def test_a_touch_after_the_transition_in_the_log_never_counts() -> None:
    """Both happen in one millisecond: the log's order decides, not the clock."""
    for governing in MODELS:
        found = outcomes(
            governing,
            [rules("a", governing)],
            (0, event("signup", 0)),
            (5, event("buy", 5)),
            (5, touch()),
        )
        assert found == []


@pytest.mark.parametrize("governing", MODELS)
@pytest.mark.parametrize(
    ("changes", "is_paid"),
    [
        ({}, True),
        ({"owner": word("another owner")}, False),
        ({"surface": word("another surface")}, False),
        ({"policy_hash": word("another policy")}, False),
        ({"attribution": "any_touch"}, False),
        ({"outcome": "trial"}, False),
        ({"operator": BOB}, False),
        ({"verifier": word("another verifier")}, True),
    ],
)
def test_what_a_rival_must_share(governing: Policy, changes: dict[str, Any], is_paid: bool) -> None:
    found = outcomes(
        governing,
        [rules("a", governing, **changes)],
        (0, event("signup", 0)),
        (1, touch()),
        (2, event("buy", 2)),
    )
    assert found == ([("a", "")] if is_paid else [])


@pytest.mark.parametrize("governing", MODELS)
def test_of_two_contracts_with_the_same_touch_the_one_opened_first(governing: Policy) -> None:
    contracts = [rules(name, governing) for name in ("b", "a", "c")]
    found = outcomes(governing, contracts, *BUY_THREE_TIMES, (5, event("buy", 5)))
    assert found == [("b", ""), ("a", ""), ("c", "")]


@pytest.mark.parametrize(
    ("closed_at", "is_paid"), [(999, False), (1999, False), (2000, True), (2001, True)]
)
def test_a_closed_contract_counts_what_happened_before(closed_at: int, is_paid: bool) -> None:
    found = outcomes(
        FIRST,
        [rules("a", FIRST)],
        (0, event("signup", 0)),
        (500, touch()),
        (3000, CloseContract(word("a"), closed_at, ZERO)),
        (3000, event("buy", 2000)),
    )
    assert found == ([("a", "")] if is_paid else [])


def test_a_closed_contract_leaves_the_outcome_to_its_rival() -> None:
    found = outcomes(
        FIRST,
        [rules("a", FIRST), rules("b", FIRST, operator=BOB)],
        (0, event("signup", 0)),
        (1, touch(ANN)),
        (2, touch(BOB)),
        (3, CloseContract(word("a"), 3, ZERO)),
        (4, event("buy", 4)),
        (5, event("buy", 3)),
    )
    assert found == [("b", ""), ("a", "")]


def test_a_refused_event_pays_nothing() -> None:
    assert outcomes(FIRST, [rules("a", FIRST)], (1, touch()), (2, event("buy", 2))) == []


# --- Once per lead, and within the budget ---------------------------------------------------------


@pytest.mark.parametrize(
    ("repeatable", "budget", "found"),
    [
        (False, 1000, [""]),
        (True, 1000, ["", "", ""]),
        # one that went over the budget has counted the lead too
        (False, 9, ["over"]),
        (False, 10, [""]),
        (True, 9, ["over", "over", "over"]),
        (True, 19, ["", "over", "over"]),
        (True, 20, ["", "", "over"]),
    ],
)
def test_once_per_lead_and_within_the_budget(
    repeatable: bool, budget: int, found: list[str]
) -> None:
    terms = rules("a", FIRST, repeatable=repeatable, budget_units=budget)
    assert outcomes(FIRST, [terms], *BUY_THREE_TIMES) == [("a", kind) for kind in found]


def test_each_lead_counts_for_itself() -> None:
    found = outcomes(
        FIRST,
        [rules("a", FIRST)],
        *BUY_THREE_TIMES,
        (5, touch(lead=Y)),
        (6, event("signup", 6, lead=Y)),
        (7, event("buy", 7, lead=Y)),
    )
    assert found == [("a", ""), ("a", "")]


def test_a_reversed_outcome_has_counted_its_lead() -> None:
    terms = rules("a", FIRST, holdback_period_ms=9000)
    found = outcomes(
        FIRST, [terms], *BUY_THREE_TIMES, (5, event("refund", 5)), (6, event("buy", 6))
    )
    assert found == [("a", ""), ("a", "reversed")]


def test_no_second_best_is_paid_for_an_outcome_over_the_budget() -> None:
    contracts = [rules("a", FIRST, budget_units=9), rules("b", FIRST)]
    assert outcomes(FIRST, contracts, *BUY_THREE_TIMES[:3]) == [("a", "over")]
    assert outcomes(FIRST, contracts, *BUY_THREE_TIMES) == [("a", "over"), ("b", "")]


def test_what_is_over_the_budget_is_told_apart() -> None:
    world, _ = begin(FIRST, rules("a", FIRST, repeatable=True, budget_units=15))
    entries = run(world, *BUY_THREE_TIMES)
    facts = [unpack_outcome(entry.payload) for entry in entries if entry.kind[:7] == "outcome"]
    assert facts == [(15, 14, 0, 1, 10), (17, 14, 0, 0, 0), (19, 14, 0, 0, 0)]
    contract = world.contracts[word("a")]
    assert (contract.earned_units, contract.over_units, contract.outcomes) == (10, 20, 1)
    assert contract.last_outcome == 16


def test_a_reversal_frees_the_budget() -> None:
    terms = rules("a", FIRST, repeatable=True, budget_units=10, holdback_period_ms=9000)
    found = outcomes(
        FIRST,
        [terms],
        *BUY_THREE_TIMES[:4],
        (4, event("refund", 4)),
        (5, event("buy", 5)),
        (6, event("buy", 6)),
    )
    assert [kind for _, kind in found] == ["", "over", "reversed", "", "over"]


# --- Reversals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holdback", "refunded", "is_reversed"),
    [
        (0, 1000, True),
        (0, 1001, False),
        (500, 1500, True),
        (500, 1501, False),
        # a refund reported late, of a time before the outcome's own
        (0, 999, True),
    ],
)
def test_the_edge_of_the_holdback_period(holdback: int, refunded: int, is_reversed: bool) -> None:
    found = outcomes(
        FIRST,
        [rules("a", FIRST, holdback_period_ms=holdback)],
        (0, event("signup", 0)),
        (1, touch()),
        (1000, event("buy", 1000)),
        (2000, event("refund", refunded)),
    )
    assert found == [("a", ""), ("a", "reversed")][: 1 + is_reversed]


def test_a_reversal_takes_the_latest_back_and_then_the_one_before() -> None:
    terms = rules("a", FIRST, repeatable=True, revenue_share_bps=10_000, holdback_period_ms=9000)
    world, _ = begin(FIRST, terms)
    entries = run(
        world,
        (0, event("signup", 0)),
        (1, touch()),
        (2, event("buy", 2, 100)),
        (3, event("buy", 3, 200)),
        *[(4, event("refund", 4))] * 3,
    )
    taken = [entry for entry in entries if entry.kind == "outcome.reversed"]
    assert [entry.value for entry in taken] == [210, 110]
    assert [unpack_reversal(entry.payload) for entry in taken] == [
        (18, 19, 0, 1, 210),
        (16, 21, 20, 2, 320),
    ]
    contract = world.contracts[word("a")]
    assert (contract.earned_units, contract.reversed_units, contract.payable_units) == (320, 320, 0)
    assert (contract.outcomes, contract.reversals, contract.last_reversal) == (2, 2, 22)


def test_an_expired_outcome_is_not_passed_over_for_an_older_one() -> None:
    long = rules("long", FIRST, holdback_period_ms=9000)
    short = rules("short", FIRST, operator=BOB, holdback_period_ms=10)
    found = outcomes(
        FIRST,
        [long, short],
        (0, event("signup", 0)),
        (1, touch(ANN)),
        (1, touch(BOB)),
        (2, event("buy", 2)),
        (3, event("buy", 3)),
        (14, event("refund", 14)),
        (14, event("refund", 13)),
        (14, event("refund", 14)),
    )
    assert found == [("long", ""), ("short", ""), ("short", "reversed"), ("long", "reversed")]


@pytest.mark.parametrize(
    ("reversals", "taken"),
    [
        ([("refund", "paid")], ["p"]),
        ([("refund", "trial")], ["t"]),
        ([("refund", "new")], []),
        ([("refund", "paid"), ("refund", "trial")], ["p", "t"]),
        ([("refund", "trial"), ("refund", "paid")], ["t", "p"]),
        ([("lapse", "paid")], []),
        ([], []),
    ],
)
def test_an_event_reverses_the_states_that_it_names(
    reversals: list[tuple[str, str]], taken: list[str]
) -> None:
    governing = policy(reversals=[{"on": on, "of": of} for on, of in reversals])
    contracts = [
        rules("t", governing, outcome="trial", holdback_period_ms=9000),
        rules("p", governing, holdback_period_ms=9000),
    ]
    found = outcomes(
        governing,
        contracts,
        (1, touch()),
        (2, event("signup", 2)),
        (3, event("buy", 3)),
        (4, event("refund", 4)),
    )
    assert found == [("t", ""), ("p", ""), *((name, "reversed") for name in taken)]


def test_the_outcome_of_another_lead_is_not_touched() -> None:
    found = outcomes(
        FIRST,
        [rules("a", FIRST, holdback_period_ms=9000)],
        *BUY_THREE_TIMES,
        (5, event("refund", 5, lead=Y)),
    )
    assert found == [("a", "")]


def test_an_outcome_over_the_budget_cannot_be_reversed() -> None:
    terms = rules("a", FIRST, repeatable=True, budget_units=10, holdback_period_ms=9000)
    steps = (*BUY_THREE_TIMES, *[(5, event("refund", 5))] * 2)
    kinds_found = [kind for _, kind in outcomes(FIRST, [terms], *steps)]
    assert kinds_found == ["", "over", "over", "reversed"]


def test_only_the_policy_that_was_signed_reverses() -> None:
    """Its owner may publish a policy that takes everything back: it does not bind the operator."""
    terms = rules("a", FIRST, deadline_ms=10, holdback_period_ms=0)
    world, _ = begin(FIRST, terms)
    run(world, (0, event("signup", 0)), (1, touch()), (2, event("buy", 2)))
    harsh = policy(reversals=[{"on": "login", "of": "paid"}], lateness_s=90 * 86_400)
    entries = run(world, (6000, PublishPolicy(SURFACE, OWNER, harsh)), (6001, event("login", 2)))
    assert kinds_of(entries) == ["policy.published", "product.event"]
    assert world.contracts[word("a")].reversed_units == 0


# --- Refunds by order -----------------------------------------------------------------------------


def sold(order: str, at: int, value: int) -> tuple[int, Request]:
    return at, about(order, event("buy", at, value))


def refund(order: str, at: int, value: int | None) -> tuple[int, Request]:
    return at, about(order, event("refund", at, value or 0), whole=value is None)


def reversals(
    bps: int, unit: int, *steps: tuple[int, Request], **changes: Any
) -> tuple[int, list[int]]:
    """Return what stays payable of a repeatable contract, and what each reversal took."""
    terms = rules(
        "a",
        FIRST,
        repeatable=True,
        budget_units=10**6,
        revenue_share_bps=bps,
        unit_price_units=unit,
        holdback_period_ms=9000,
    )
    world, _ = begin(FIRST, terms._replace(**changes))
    entries = run(world, (0, event("signup", 0)), (1, touch()), *steps)
    taken = [entry.value for entry in entries if entry.kind == "outcome.reversed"]
    return world.contracts[word("a")].payable_units, taken


@pytest.mark.parametrize(
    ("bps", "unit", "steps", "payable", "taken"),
    [
        # A tenth of 100.00, of which 5.00 are given back: 9.50 stay.
        (1000, 0, [sold("o", 2, 10_000), refund("o", 3, 500)], 950, [50]),
        # One order, refunded in two parts, takes exactly its own outcome.
        (
            1000,
            700,
            [
                sold("o", 2, 10_000),
                sold("p", 3, 10_000),
                refund("o", 4, 9_999),
                refund("o", 5, 1),
            ],
            1700,
            [999, 701],
        ),
        # The older order is taken back, not the latest.
        (1000, 0, [sold("o", 2, 100), sold("p", 3, 900), refund("o", 4, None)], 90, [10]),
        # Refunds above an order's value take no more than it earned.
        (1000, 0, [sold("o", 2, 100), sold("p", 3, 900), refund("o", 4, 5000)], 90, [10]),
        (
            1000,
            0,
            [sold("o", 2, 100), refund("o", 3, 70), refund("o", 3, 70), refund("o", 3, 70)],
            0,
            [7, 3],
        ),
        # A hundred refunds of a cent take what one of a euro takes.
        (999, 0, [sold("o", 2, 1000), *[refund("o", 3, 1)] * 100], 90, [1] * 9),
        (999, 0, [sold("o", 2, 1000), refund("o", 3, 100)], 90, [9]),
        # One that names no order takes all that is left of the latest.
        (
            1000,
            5,
            [
                sold("o", 2, 100),
                sold("p", 3, 200),
                refund("p", 4, 50),
                (5, event("refund", 5, 1)),
                refund("p", 6, 150),
            ],
            15,
            [5, 20],
        ),
        # What is later than the holdback period takes nothing, and counts for nothing.
        (
            1000,
            0,
            [
                sold("o", 2, 100),
                (9003, about("o", event("refund", 9003, 90))),
                refund("o", 9004, 1),
            ],
            10,
            [],
        ),
        (
            1000,
            0,
            [
                sold("o", 2, 100),
                refund("o", 9003, 90),
                (9004, about("o", event("refund", 9002, 20))),
            ],
            8,
            [2],
        ),
        # An order without revenue goes with any refund of it.
        (0, 8, [sold("o", 2, 0), refund("o", 3, 5)], 0, [8]),
        (0, 8, [sold("o", 2, 100), refund("o", 3, 99)], 8, []),
    ],
)
def test_what_refunds_of_an_order_take(
    bps: int, unit: int, steps: list[tuple[int, Request]], payable: int, taken: list[int]
) -> None:
    assert reversals(bps, unit, *steps) == (payable, taken)


def test_a_refund_of_an_order_that_paid_nobody_takes_nothing() -> None:
    # The first purchase is before the contract opens: only the second is paid for.
    terms = rules("a", FIRST, revenue_share_bps=1000, unit_price_units=0, holdback_period_ms=9000)
    world, _ = begin(FIRST, terms._replace(opens_at_ms=2500))
    run(world, (0, event("signup", 0)), sold("o", 2, 100), (2600, touch()), sold("p", 3000, 900))
    (entry, opening), *rest = decide(world, refund("o", 3500, None)[1], 3500)
    assert entry.kind == "product.event"
    assert not rest
    assert isinstance(opening, EventOpening)
    # It says what it takes back from all the same: a claim of that purchase is judged by it.
    assert (opening.of != 0, opening.refunded_after_units, opening.whole) == (True, 100, True)
    assert world.contracts[word("a")].payable_units == 90


def test_a_refund_says_what_was_refunded_before() -> None:
    world, _ = begin(FIRST, rules("a", FIRST, holdback_period_ms=9000))
    run(world, (0, event("signup", 0)), (1, touch()), sold("o", 2, 100))
    bought = world.leads[X].purchases[0].position
    told = []
    for value in (30, 50, None, 5):
        at = world.size
        for _, opening in decide(world, refund("o", 5, value)[1], 5):
            if isinstance(opening, EventOpening):
                told.append((at, *opening[2:7]))
    first, second, third, fourth = (line[0] for line in told)
    assert told == [
        (first, bought, 0, 0, 30, False),
        (second, bought, first, 30, 80, False),
        (third, bought, second, 80, 100, True),
        (fourth, 0, 0, 0, 0, False),  # there is nothing left of it
    ]


@pytest.mark.parametrize(
    ("steps", "request_", "code"),
    [
        ([], about("o", event("refund", 9, 5)), "order-unknown"),
        ([sold("o", 2, 100)], about("p", event("refund", 9, 5)), "order-unknown"),
        ([sold("o", 2, 100)], about("o", event("refund", 9, 5, lead=Y)), "order-unknown"),
        ([sold("o", 2, 100)], about("o", event("buy", 9, 5)), "order-taken"),
        (
            [sold("o", 2, 100), refund("o", 3, None)],
            about("o", event("buy", 9, 5)),
            "order-taken",
        ),
    ],
)
def test_orders_that_are_turned_away(
    steps: list[tuple[int, Request]], request_: ProductEvent, code: str
) -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)), *steps)
    assert refused(world, 9, request_) == code


def test_a_refund_that_came_too_early_is_taken_once_its_order_is_there() -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)))
    early = about("o", event("refund", 2, 5))
    assert refused(world, 3, early) == "order-unknown"
    run(world, sold("o", 4, 100))
    assert kinds_of(run(world, (5, early))) == ["product.event"]


def test_a_lead_has_so_many_orders_and_no_more() -> None:
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)))
    for n in range(MAX_ORDERS):
        run(world, sold(f"o{n}", 1, 1))
    assert refused(world, 2, about("one more", event("buy", 2, 1))) == "order-limit"
    assert run(world, (2, event("buy", 2, 1)), refund("o0", 3, 1))


def test_an_order_is_not_of_a_purchase_and_of_what_it_takes_back() -> None:
    governing = policy(reversals=[{"on": "buy", "of": "paid"}])
    world, _ = begin(governing)
    run(world, (0, event("signup", 0)))
    assert refused(world, 1, about("o", event("buy", 1, 5))) == "order-ambiguous"
    assert kinds_of(run(world, (1, event("buy", 1, 5)))) == ["product.event", "lead.transition"]


def test_a_lead_remembers_so_many_purchases_and_no_more() -> None:
    """Outcomes of nothing never end a budget: a lead may have any number of them."""
    terms = rules(
        "a", FIRST, repeatable=True, unit_price_units=0, revenue_share_bps=1, budget_units=1,
        holdback_period_ms=10**6,
    )  # fmt: skip
    world, _ = begin(FIRST, terms)
    run(world, (0, event("signup", 0)), (0, touch()))
    for _ in range(5):
        run(world, *[(1, event("buy", 1))] * MAX_WITHOUT_ORDER)
        assert len(world.leads[X].purchases) <= 2 * MAX_WITHOUT_ORDER + 8
    entries = run(world, *[(2, event("refund", 2))] * 3)
    assert kinds_of(entries) == ["product.event", "outcome.reversed"] * 3


def test_an_order_of_what_no_event_takes_back_founds_nothing() -> None:
    world, _ = begin(FIRST)
    run(world, (0, about("o", event("signup", 0))), sold("o", 1, 5))
    assert [one.order for one in world.leads[X].purchases] == [word("o")]


# --- Touches that others report -------------------------------------------------------------------

ASKED = (word("request"), word("commitment"))


def world_with_causes() -> tuple[World, int, int]:
    """Return a world with two leads, a code of Ann's and an action that she has requested."""
    world, _ = begin(FIRST)
    run(world, (0, event("signup", 0)), (0, event("signup", 0, lead=Y)))
    code, action = world.size, world.size + 1
    decide(world, IssueCode(SURFACE, word("code"), ANN, 2, 5000, *ASKED, ZERO), 1000)
    decide(world, RequestAction(SURFACE, X, ANN, "call", 9000, *ASKED, ZERO), 1500)
    return world, code, action


def report(cause: int, action: str, at: int, **changes: Any) -> ReportTouch:
    plain = ReportTouch(SURFACE, X, ANN, action, at, cause, 4000, *ASKED)
    return plain._replace(**changes)


def test_causes_and_what_they_bring_word_for_word() -> None:
    world, code, action = world_with_causes()
    records = decide(world, report(code, "click", 3000), 4000)
    records += decide(world, report(action, "call", 1500), 4000)
    first = world.size - 2
    entries = [(entry.kind, entry.label, entry.value, entry.time_ms) for entry, _ in records]
    assert entries == [
        ("touch.reported", "click", 0, 3000),
        ("touch.reported", "call", 1 + first, 1500),
    ]
    assert [record.opening for record in records] == [
        ReportedTouchOpening(code, 4000, *ASKED),
        ReportedTouchOpening(action, 4000, *ASKED),
    ]
    assert [touch.time_ms for touch in world.leads[X].touches[ANN].touches] == [3000, 1500]
    assert world.time_ms == 4000  # by the receipt, whatever the time that is reported
    assert CodeOpening(5000, *ASKED) == CodeOpening(5000, *ASKED, ZERO)


@pytest.mark.parametrize(
    ("cause", "action", "at", "changes"),
    [
        ("code", "click", 999, {}),  # before its issue
        ("code", "click", 4001, {}),  # after its receipt
        ("code", "click", 5001, {"received_ms": 6000}),  # after its expiry
        ("code", "call", 3000, {}),
        ("code", "click", 3000, {"operator": BOB}),
        ("action", "call", 1499, {}),
        ("action", "call", 1501, {}),
        ("action", "call", 1500, {"lead": Y}),
        ("action", "call", 1500, {"operator": BOB}),
        ("action", "email", 1500, {}),
        (0, "click", 3000, {}),
    ],
)
def test_a_touch_that_its_cause_does_not_give(
    cause: object, action: str, at: int, changes: dict[str, Any]
) -> None:
    world, code, requested = world_with_causes()
    place = {"code": code, "action": requested}.get(str(cause), 0)
    before = copy.deepcopy(world)
    with pytest.raises(RequestError) as caught:
        decide(world, report(place, action, at, **changes), 7000)
    assert caught.value.code == "cause-false"
    assert world == before


def test_a_cause_brings_as_many_touches_as_it_may() -> None:
    world, code, action = world_with_causes()
    for _ in range(2):
        decide(world, report(code, "click", 3000), 4000)
    decide(world, report(action, "call", 1500), 4000)
    for more in (report(code, "click", 3000), report(action, "call", 1500)):
        with pytest.raises(RequestError, match="gives this operator no touch"):
            decide(world, more, 4000)


def test_a_reported_touch_wins_by_the_time_that_it_reports() -> None:
    world, code, _ = world_with_causes()
    ours = rules("a", FIRST, opens_at_ms=1000, attribution_window_ms=1000)
    theirs = rules("b", FIRST, operator=BOB, opens_at_ms=1000)
    run(world, (1600, OpenContract(ours, ZERO)), (1600, OpenContract(theirs, ZERO)))
    decide(world, report(code, "click", 3000), 4000)
    run(world, (4000, touch(BOB)))
    # At 4000 the click is young enough, at 4001 it is not; Bob's touch is later in the log.
    assert paid(run(copy.deepcopy(world), (4000, event("buy", 4000)))) == [("a", "")]
    assert paid(run(world, (4001, event("buy", 4001)))) == [("b", "")]


buys = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.sampled_from(["buy", "buy", "buy", "refund"]),
        st.sampled_from([0, 0, 1500, 5000]),
    ),
    min_size=20,
    max_size=80,
)


@examples(100)
@given(buys, st.sampled_from([0, 1000, 4000, 20_000]), st.sampled_from([0, 3000]))
def test_sweeping_changes_no_reversal(
    steps: list[tuple[int, str, int]], long: int, short: int
) -> None:
    """Check that pruned paid outcomes can never be told from all of them."""
    contracts = [
        rules("long", FIRST, repeatable=True, budget_units=10**9, holdback_period_ms=long),
        rules(
            "short", FIRST, operator=BOB, repeatable=True, budget_units=60, holdback_period_ms=short
        ),
    ]
    worlds = []
    written: list[list[Record]] = [[], []]
    for keeps_all, records in enumerate(written):
        world, _ = begin(FIRST, *contracts)
        run(world, (0, event("signup", 0)), (0, touch(BOB)), (0, touch(ANN)))
        open_surface(world, OTHER, FIRST)
        if keeps_all:
            world.leads[X].sweep_at = 10**9
        now = 0
        for wait, name, late in steps:
            now += wait
            if wait % 3 == 0:
                # Another surface is further: the log's own clock says nothing of the receipts here.
                records.extend(decide(world, touch(lead=Y, surface=OTHER), now + 60_000))
            records.extend(decide(world, event(name, max(0, now - late)), now))
        worlds.append(world)
    assert written[0] == written[1]
    assert len(worlds[0].leads[X].purchases) <= worlds[0].leads[X].sweep_at


def test_what_a_late_refund_can_reverse_is_not_forgotten() -> None:
    terms = rules("a", FIRST, repeatable=True, budget_units=10**9, holdback_period_ms=100)
    world, _ = begin(FIRST, terms)
    run(world, (0, event("signup", 0)), (0, touch()))
    assert world.leads[X].sweep_at == 8
    run(world, *[(now, event("buy", now)) for now in range(7)])
    # Another surface is further, so the log's own clock is; here it is 1 s.
    open_surface(world, OTHER, FIRST)
    run(world, (100_000, touch(lead=Y, surface=OTHER)))
    run(world, (1000, event("buy", 1000)), (1000, event("refund", 1000)))
    assert world.leads[X].sweep_at > 8
    # The purchase at 6 can be refunded by an event up to 106, which may be told as late as 5106.
    for at, is_reversed in ((107, False), (106, True)):
        entries = run(world, (5106, event("refund", at)))
        assert ("outcome.reversed" in kinds_of(entries)) is is_reversed


def test_outcomes_that_nothing_can_reverse_are_forgotten() -> None:
    terms = rules("a", FIRST, repeatable=True, budget_units=10**9, holdback_period_ms=1000)
    world, _ = begin(FIRST, terms)
    run(world, (0, event("signup", 0)))
    for now in range(0, 1_000_000, 1000):
        run(world, (now, touch()), (now, event("buy", now)))
    assert len(world.leads[X].purchases) < 32
    steady = policy(reversals=[])
    world, _ = begin(steady, rules("a", steady, repeatable=True, budget_units=10**9))
    run(world, *BUY_THREE_TIMES)
    assert world.contracts[word("a")].outcomes == 3
    assert world.leads[X].purchases == []


# --- Settlement -----------------------------------------------------------------------------------


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


# --- Policies -------------------------------------------------------------------------------------

WIDER = policy(states=[*DOCUMENT["states"], "lost"])
# A contract over [0, 1000] whose outcomes can be reversed for 200 ms; events come up to 5 s late.
BOUND_UNTIL = 1000 + 200 + 5000


@pytest.mark.parametrize(
    ("changes", "now", "code"),
    [
        ({}, 0, "policy-in-force"),
        ({}, BOUND_UNTIL, "policy-in-force"),
        ({}, BOUND_UNTIL + 1, None),
        ({"holdback_period_ms": 0}, BOUND_UNTIL - 200, "policy-in-force"),
        ({"holdback_period_ms": 0}, BOUND_UNTIL - 199, None),
        # not one of the owner's contracts under the policy in force
        ({"surface": word("another surface")}, 0, None),
        ({"owner": word("another owner")}, 0, None),
        ({"policy_hash": word("another policy")}, 0, None),
        ({"attribution": "last_touch"}, 0, None),
    ],
)
def test_contracts_pin_the_policy_they_were_signed_under(
    changes: dict[str, Any], now: int, code: str | None
) -> None:
    terms = rules("a", FIRST, **({"deadline_ms": 1000, "holdback_period_ms": 200} | changes))
    world, _ = begin(FIRST, terms)
    request = PublishPolicy(SURFACE, OWNER, WIDER)
    if code is None:
        assert run(world, (now, request))[0][4:6] == ("v2", 2)
    else:
        assert refused(world, now, request) == code


def test_a_closed_contract_pins_nothing() -> None:
    world, _ = begin(FIRST, rules("a", FIRST))
    request = PublishPolicy(SURFACE, OWNER, WIDER)
    assert refused(world, 5, request) == "policy-in-force"
    run(world, (5, CloseContract(word("a"), 5, ZERO)), (5, request))
    assert world.surfaces[SURFACE].policy == WIDER


def test_the_complaint_counts_the_contracts() -> None:
    world, _ = begin(FIRST, rules("a", FIRST), rules("b", FIRST), rules("c", FIRST, owner=ANN))
    with pytest.raises(RequestError, match=r"^2 contracts were signed under the policy in force"):
        decide(world, PublishPolicy(SURFACE, OWNER, WIDER), 5)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["new", "trial", "paid"], None),
        (["paid", "lost", "trial", "new"], None),
        (["new", "paid"], "policy-drops-state"),
        (["lost"], "policy-drops-state"),
    ],
)
def test_a_new_policy_keeps_every_state(states: list[str], code: str | None) -> None:
    world, _ = begin(FIRST)
    document = {"states": states, "initial": states[0], "transitions": [], "reversals": []}
    request = PublishPolicy(SURFACE, OWNER, policy(**document))
    if code is None:
        run(world, (0, request))
    else:
        assert refused(world, 0, request) == code


def test_only_the_owner_has_a_lead_erased() -> None:
    other = word("elsewhere")
    world, _ = begin(policy())
    decide(world, PublishPolicy(other, OWNER, policy()), 0)
    decide(world, ProductEvent(SURFACE, LEADS[0], "signup", 0, 0), 0)
    size = world.size
    for request, code in (
        (Erasure(SURFACE, LEADS[0], OPERATORS[0]), "surface-taken"),
        (Erasure(word("nowhere"), LEADS[0], OWNER), "surface-unknown"),
        (Erasure(other, LEADS[0], OWNER), "lead-elsewhere"),
    ):
        with pytest.raises(RequestError) as refused:
            decide(world, request, 5)
        assert refused.value.code == code
    # Of a lead that never came to anything there is nothing to say.
    assert decide(world, Erasure(SURFACE, LEADS[1], OWNER), 5) == []
    assert world.size == size
    ((entry, opening),) = decide(world, Erasure(SURFACE, LEADS[0], OWNER), 5)
    assert opening is None
    assert entry == Entry("erasure", SURFACE, OWNER, LEADS[0], "", 0, 5, bytes(32))
    # The log goes on as before: its pseudonym stands for nobody that anyone could name.
    assert world.leads[LEADS[0]].state == "trial"


def test_a_surface_belongs_to_who_published_first() -> None:
    world, _ = begin(FIRST)
    assert refused(world, 0, PublishPolicy(SURFACE, ANN, WIDER)) == "surface-taken"
    assert run(world, (0, PublishPolicy(word("new"), ANN, WIDER)))[0][4:6] == ("v1", 1)
    entries = run(world, *[(0, PublishPolicy(SURFACE, OWNER, p)) for p in (WIDER, WIDER)])
    assert [entry.label for entry in entries] == ["v2", "v3"]


def test_a_new_policy_rules_from_the_next_request() -> None:
    world, _ = begin(FIRST)
    run(world, (1, event("signup", 1)))
    strict = policy(transitions=[], states=[*DOCUMENT["states"], "lost"], initial="lost")
    run(world, (2, PublishPolicy(SURFACE, OWNER, strict)))
    run(world, (2, OpenContract(partner(strict, ANN, contract_id=word("anew")), ZERO)))
    assert run(world, (3, event("buy", 3)), (3, touch(lead=X))) != []
    assert world.leads[X].state == "trial"
    run(world, (3, touch(lead=Y)))
    assert world.leads[Y] == Lead(SURFACE, "lost", 3, touches=world.leads[Y].touches)


# --- Against a second opinion ---------------------------------------------------------------------


def table_of(terms: ContractRules) -> dict[str, Any]:
    return {
        "id": terms.contract_id,
        "operator": terms.operator,
        "outcome": terms.outcome,
        "repeatable": terms.repeatable,
        "unit_price": terms.unit_price_units,
        "revenue_share_bps": terms.revenue_share_bps,
        "budget": terms.budget_units,
        "opens_at": terms.opens_at_ms,
        "deadline": terms.deadline_ms,
        "attribution_window_s": terms.attribution_window_ms,
        "holdback_s": terms.holdback_period_ms,
    }


def test_late_events_and_all_agree_with_a_second_opinion() -> None:
    """The backtest's second opinion never sees a late event; it judges them all the same."""
    seen: Counter[str] = Counter()

    @examples(300)
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        attribution = data.draw(st.sampled_from(["first_touch", "last_touch"]))
        governing = policy(attribution=attribution)
        contracts = data.draw(contract_lists(governing))
        world, begun = begin(governing, *contracts)
        records = list(begun)
        rows: list[tuple[Any, ...]] = []
        found: list[tuple[Any, ...]] = []
        verdicts = dict.fromkeys(("accepted", "refused", "ignored"), 0)
        turned_away: Counter[str] = Counter()
        for now, request in data.draw(request_lists(contracts)):
            if isinstance(request, Touch):
                rows.append(("touch", now, request.lead, request.operator))
            elif isinstance(request, ProductEvent):
                # Without a value it is about the whole order, whatever it is worth to the lead.
                value = None if request.whole and not request.value_units else request.value_units
                row = (request.lead, request.event, value, request.order.strip(b"\0") or None)
                rows.append(("event", request.time_ms, *row))
            try:
                new = decide(world, request, now)
            except RequestError as error:
                turned_away[error.code] += 1
                continue
            records += new
            if isinstance(request, ProductEvent):
                verdicts[verdict_of(new)] += 1
            for entry, _ in new:
                if entry.kind in ("outcome", "outcome.over"):
                    facts = unpack_outcome(entry.payload)
                    touched, moved = records[facts.touch].entry, records[facts.transition].entry
                    earned = entry.value if entry.kind == "outcome" else 0
                    line = (entry.actor, entry.subject, entry.time_ms, touched.time_ms)
                    found.append((*line, moved.value, earned))
        document = {**DOCUMENT, "attribution": attribution}
        expected = judge(document, [table_of(terms) for terms in contracts], rows)
        assert found == expected["outcomes"]
        assert verdicts == expected["events"]
        assert turned_away == expected["turned_away"]
        for name, totals in expected["contracts"].items():
            contract = world.contracts[name]
            assert totals == {
                "outcomes": contract.outcomes,
                "reversed": contract.reversals,
                "earned_units": str(contract.earned_units),
                "reversed_units": str(contract.reversed_units),
                "over_budget_units": str(contract.over_units),
                "payable_units": str(contract.payable_units),
            }
        seen["outcome"] += bool(found)
        seen["over budget"] += any(line[-1] == 0 for line in found)
        seen["reversal"] += any(contract.reversals for contract in world.contracts.values())
        seen["turned away"] += bool(turned_away)
        seen["a part"] += any(
            entry.kind == "product.event"
            and isinstance(opening, EventOpening)
            and opening.of != 0
            and not opening.whole
            for entry, opening in records
        )
        seen["two contracts"] += len({line[0] for line in found}) > 1

    agree()
    # Histories in which nothing is paid would agree with anything.
    assert len(seen) == 6
    assert min(seen.values()) >= 10, seen
