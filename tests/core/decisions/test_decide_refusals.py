"""Requests that are turned away: when, and by which code."""

import ast
from pathlib import Path

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions import acts, codes, errand, writer
from orchestrator.core.decisions import decide as decide_module
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.opening import receipt_ms
from orchestrator.core.surface import forecast
from orchestrator.core.world.requests import (
    RETRYABLE,
    CloseContract,
    Genesis,
    OpenContract,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    RegisterOperator,
    Request,
)
from orchestrator.core.world.world import World
from tests.support.decisions import (
    ANN,
    BOB,
    FIRST,
    ZERO,
    X,
    Y,
    event,
    paid,
    refused,
    run,
    touch,
)
from tests.support.worlds import (
    LEADS,
    OWNER,
    begin,
    open_surface,
    policy,
    rules,
    word,
)


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
    (RecordDispute(word("b"), OWNER, "owner", 1, ZERO), "contract-unknown"),
    (RecordDispute(word("a"), OWNER, "operator", 1, ZERO), "party-false"),
    (RecordDispute(word("a"), ANN, "claims by owner", 1, ZERO), "party-false"),
    (RecordRuling(word("b"), word("arbiter"), "kept", 1, ZERO), "contract-unknown"),
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
        RecordDispute(word("a"), OWNER, "owner", 1, ZERO),
        RecordDispute(word("a"), ANN, "claims by operator", 1, ZERO),
        RecordRuling(word("a"), word("arbiter"), "raised", 1, ZERO),
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
        for module in (decide_module, acts, codes, errand, forecast, writer)
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8")))
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
        "action-by-another",
        "action-closed",
        "action-expired",
        "action-expiry",
        "action-taken",
        "action-unknown",
        "code-ended",
        "code-expiry",
        "code-known",
        "code-of-another",
        "code-unknown",
        "code-uses",
        "contract-known",
        "event-late",
        "forecast-false",
        "forecast-uncounted",
        "forecast-unknown",
        "genesis-twice",
        "lead-elsewhere",
        "opening-late",
        "operator-known",
        "party-false",
        "policy-drops-state",
        "order-ambiguous",
        "order-limit",
        "order-taken",
        "question-state-unknown",
        "question-unknown",
        "reason-needless",
        "ref-unusable",
        "surface-taken",
        "touch-limit",
        # of requests that a replay alone makes
        "cause-false",
        "lead-unknown",
        "transition-missing",
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
