"""A replay gives the same world as deciding did, and finds what is altered, added, left out."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import ChainError, ReplayError, RequestError, ServerError
from orchestrator.core.decisions import replay as replay_module
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import Replay, replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import ForecastOpening, Record, TrustOpening, receipt_ms
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    CloseContract,
    Erasure,
    ProductEvent,
    PublishPolicy,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.depth import examples
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    begin,
    contract_lists,
    decided,
    partner,
    policy,
    request_lists,
    rules,
    seeds,
    word,
)


def documents_of(world: World) -> Documents:
    return Documents(
        world.policies.__getitem__, world.settings.__getitem__, world.rules.__getitem__
    )


@st.composite
def logs(draw: st.DrawFn) -> tuple[World, list[Record]]:
    governing = policy(attribution=draw(st.sampled_from(["first_touch", "last_touch"])))
    contracts = draw(contract_lists(governing))
    world, records = begin(governing, *contracts)
    for now, request in draw(request_lists(contracts)):
        records += decided(world, request, now)
    return world, records


def test_replay_rebuilds_the_world() -> None:
    seen: Counter[str] = Counter()

    @examples(300)
    @given(logs())
    def rebuild(log: tuple[World, list[Record]]) -> None:
        world, records = log
        assert replay(records, documents_of(world)) == world
        seen.update({record.entry.kind for record in records})

    rebuild()
    rare = ("outcome", "outcome.over", "outcome.reversed", "settlement", "lead.refused", "payout",
            "erasure")  # fmt: skip
    assert min(seen[kind] for kind in rare) >= 10, seen


def long_log() -> tuple[World, list[Record]]:
    """A log in which every kind of entry that can follow from another stands."""
    governing = policy()
    contracts = [
        rules("a", governing, holdback_period_ms=9000),
        rules(
            "b",
            governing,
            operator=OPERATORS[1],
            repeatable=True,
            budget_units=15,
            holdback_period_ms=9000,
        ),
    ]
    world, records = begin(governing, *contracts)
    steps: list[tuple[int, Any]] = [
        (1000, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (1500, Touch(SURFACE, LEADS[0], OPERATORS[1], "call")),
        (2000, ProductEvent(SURFACE, LEADS[0], "signup", 0, 1800)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 5, 3000)),
        (3500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 3500)),
        (4000, Settle()),
        (5000, ProductEvent(SURFACE, LEADS[0], "buy", 5, 5000)),
        (6000, ProductEvent(SURFACE, LEADS[0], "buy", 5, 6000)),
        (7000, ProductEvent(SURFACE, LEADS[0], "refund", 0, 7000)),
        (8000, Settle()),
    ]
    for now, request in steps:
        records += decided(world, request, now)
    return world, records


WORLD, RECORDS = long_log()


def test_the_long_log_says_everything() -> None:
    kinds = {record.entry.kind for record in RECORDS}
    assert kinds >= {"outcome", "outcome.over", "outcome.reversed", "lead.refused", "settlement"}


@pytest.mark.parametrize("position", range(len(RECORDS)))
@pytest.mark.parametrize("field", ["kind", "surface", "actor", "subject", "label", "value"])
def test_an_altered_word_is_found(position: int, field: str) -> None:
    entry, opening = RECORDS[position]
    other: dict[str, Any] = {
        "kind": "touch" if entry.kind != "touch" else "settlement",
        "surface": word("elsewhere"),
        "actor": word("somebody"),
        "subject": word("something"),
        "label": "other",
        "value": entry.value + 1,
    }
    told = entry._replace(**{field: other[field]})
    altered = [*RECORDS[:position], Record(told, opening), *RECORDS[position + 1 :]]
    # A registration speaks for itself and may name anybody; so may the value of an event (what the
    # owner's product reported) and a touch's action, unless something was concluded from them.
    free = {
        ("operator.registered", "label"),
        ("touch", "label"),
        ("lead.refused", "value"),
        ("product.event", "value"),
        ("lead.transition", "value"),
        ("genesis", "actor"),
        ("genesis", "subject"),
        ("operator.registered", "actor"),
        ("operator.registered", "subject"),
        # The escrow alone knows when: without a chain to ask it is taken on trust.
        ("contract.closed", "value"),
    }
    if (entry.kind, field) in free:
        return
    with pytest.raises(ReplayError):
        replay(altered, documents_of(WORLD))


@pytest.mark.parametrize("position", range(len(RECORDS)))
def test_an_entry_left_out_or_doubled_is_found(position: int) -> None:
    kind = RECORDS[position].entry.kind
    without = [*RECORDS[:position], *RECORDS[position + 1 :]]
    twice = [*RECORDS[: position + 1], *RECORDS[position:]]
    if kind not in ("operator.registered", "settlement") and position != len(RECORDS) - 1:
        with pytest.raises(ReplayError):
            replay(without, documents_of(WORLD))
    if kind not in ("lead.refused", "product.event", "touch"):
        with pytest.raises(ReplayError):
            replay(twice, documents_of(WORLD))


@pytest.mark.parametrize("position", range(len(RECORDS)))
def test_what_an_entry_lacks_before_it_is_told_in_words(position: int) -> None:
    """Left out, moved behind the next, or about what no one knows: no error of the language."""
    record, after = RECORDS[position], RECORDS[position + 1 : position + 2]
    told = []
    for changed in (
        [],
        [*after, record],
        [record._replace(entry=record.entry._replace(surface=word("elsewhere")))],
        [record._replace(entry=record.entry._replace(subject=word("something")))],
    ):
        rest = RECORDS[position + (2 if len(changed) > 1 else 1) :]
        try:
            replay([*RECORDS[:position], *changed, *rest], documents_of(WORLD))
        except ReplayError as error:
            told.append(error.message)
    assert told or RECORDS[position].entry.kind in ("operator.registered", "settlement")
    assert not [line for line in told if "b'" in line or 'b"' in line]


def test_a_lead_or_a_surface_that_no_entry_has_begun_is_named() -> None:
    position = next(n for n, one in enumerate(RECORDS) if one.entry.kind == "lead.refused")
    record = RECORDS[position]
    nobody = word("nobody")
    for false, said in (
        (record.entry._replace(subject=nobody), f"lead 0x{nobody.hex()} is not registered"),
        (record.entry._replace(surface=nobody), f"surface 0x{nobody.hex()} has no policy"),
    ):
        with pytest.raises(ReplayError) as refused:
            replay([*RECORDS[:position], record._replace(entry=false)], documents_of(WORLD))
        assert refused.value.message.endswith(f"which cannot be: {said}")


def test_a_false_opening_is_found() -> None:
    for position, (entry, opening) in enumerate(RECORDS):
        if opening is None:
            continue
        lie: Any
        if isinstance(opening, ForecastOpening):
            lie = opening._replace(n=opening.n + 1)
        elif isinstance(opening, TrustOpening):
            lie = opening._replace(ripe_units=opening.ripe_units + 1)
        else:
            lie = opening._replace(request_hash=word("another request"))
        altered = [*RECORDS[:position], Record(entry, lie), *RECORDS[position + 1 :]]
        with pytest.raises(ReplayError, match="opening"):
            replay(altered, documents_of(WORLD))


def test_another_policy_under_the_hash_is_found() -> None:
    other = policy(attribution="last_touch")
    with pytest.raises(ReplayError):
        replay(
            RECORDS, Documents(lambda _: other, WORLD.settings.__getitem__, WORLD.rules.__getitem__)
        )


def test_terms_that_pay_less_are_found() -> None:
    cheap = {name: rule._replace(unit_price_units=1) for name, rule in WORLD.rules.items()}
    with pytest.raises(ReplayError, match="outcome"):
        replay(
            RECORDS,
            Documents(WORLD.policies.__getitem__, WORLD.settings.__getitem__, cheap.__getitem__),
        )


def refused(records: list[Record], world: World = WORLD) -> str:
    with pytest.raises(ReplayError) as caught:
        replay(records, documents_of(world))
    return caught.value.code


def test_both_halves_of_an_event_must_stand() -> None:
    governing = policy()
    world, records = begin(governing, rules("a", governing, holdback_period_ms=9000))
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (2000, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 3000)),
        (4000, ProductEvent(SURFACE, LEADS[0], "lapse", 0, 4000)),
        (5000, Touch(SURFACE, LEADS[1], OPERATORS[0], "email")),
    ]
    for now, request in steps:
        records += decide(world, request, now)
    kinds = [record.entry.kind for record in records]
    event = kinds.index("product.event")
    assert kinds[event : event + 3] == ["product.event", "outcome.reversed", "lead.transition"]
    assert replay(records, documents_of(world)) == world
    # The lead did not move: its later events are judged in a state it has left.
    assert refused([*records[: event + 2], *records[event + 3 :]], world) == "entry-differs"
    assert refused(records[: event + 2], world) == "entry-missing"
    # The lead moved by an event that takes nothing back, where the policy has none.
    assert refused([*records[:event], *records[event + 2 :]], world) == "transition-unlawful"


def test_events_by_the_products_own_names_are_judged_by_their_short_ones() -> None:
    governing = policy(events={"Sign-up": "signup", "注文": "buy", "返金": "refund"})
    world, records = begin(governing, rules("a", governing, holdback_period_ms=9000))
    requests: list[Request] = [
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        *(ProductEvent(SURFACE, LEADS[0], name, 5, 0) for name in ("Sign-up", "注文", "返金")),
    ]
    for request in requests:
        records += decide(world, request, 0)
    assert records[-1].entry.kind == "outcome.reversed"
    assert replay(records, documents_of(world)) == world


def test_a_replay_keeps_few_policies_and_takes_no_other_for_one_it_forgot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_module, "DocumentCache", lambda load: DocumentCache(load, 1))
    governing = policy()
    world, records = begin(governing)
    others = [policy(lateness_s=10 + number) for number in range(3)]
    for number, each in enumerate(others):
        records += decide(world, PublishPolicy(word(f"surface {number}"), OWNER, each), 0)
    for number in (0, 1, 2, 0):
        lead = word(f"lead {number}")
        event = ProductEvent(word(f"surface {number}"), lead, "signup", 0, 0)
        records += decide(world, event, 0)
    published = {each.hash: each for each in (governing, *others)}
    asked: list[bytes] = []

    def given(hash_: bytes) -> Policy:
        asked.append(hash_)
        return published[hash_]

    replay(records, Documents(given, world.settings.__getitem__, world.rules.__getitem__))
    assert asked.count(others[0].hash) > 1

    def changing(hash_: bytes) -> Policy:
        asked.append(hash_)
        return published[hash_] if asked.count(hash_) == 1 else governing

    asked.clear()
    with pytest.raises(ReplayError) as caught:
        replay(records, Documents(changing, world.settings.__getitem__, world.rules.__getitem__))
    assert caught.value.code == "policy-false"


def test_an_event_of_another_surface_than_its_lead_is_found() -> None:
    governing = policy()
    other = word("another surface")
    world, records = begin(governing)
    records += decide(world, PublishPolicy(other, OWNER, governing), 0)
    records += decide(world, ProductEvent(SURFACE, LEADS[0], "signup", 0, 0), 0)
    entry, opening = records[-1]
    elsewhere = Record(entry._replace(surface=other), opening)
    assert refused([*records[:-1], elsewhere], world) == "lead-elsewhere"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"actor": OPERATORS[0]}, "entry-impossible"),
        ({"surface": word("nowhere")}, "entry-impossible"),
        ({"subject": LEADS[2]}, "entry-unfounded"),
        ({"label": "gone"}, "entry-differs"),
        ({"value": 1}, "entry-differs"),
        ({"payload": word("why")}, "entry-differs"),
    ],
)
def test_an_erasure_is_the_owners_and_of_a_lead_that_is_there(
    changes: dict[str, Any], code: str | None
) -> None:
    world, records = begin(policy())
    for now, request in (
        (0, ProductEvent(SURFACE, LEADS[0], "signup", 0, 0)),
        (9, Erasure(SURFACE, LEADS[0], OWNER)),
    ):
        records += decide(world, request, now)
    entry = records[-1].entry
    changed = [*records[:-1], Record(entry._replace(**changes))]
    if code is None:
        assert replay(changed, documents_of(world)) == world
    else:
        assert refused(changed, world) == code


@pytest.mark.parametrize("attribution", ["first_touch", "last_touch"])
def test_replay_rebuilds_the_world_of_receipts_in_any_order(attribution: str) -> None:
    """Requests of several surfaces commit, and so are decided, in another order than received."""
    seen: Counter[str] = Counter()

    @examples(100)
    @given(st.data())
    def rebuild(data: st.DataObject) -> None:
        governing = policy(attribution=attribution)
        contracts = data.draw(contract_lists(governing))
        world, records = begin(governing, *contracts)
        random = data.draw(seeds)
        for now, request in data.draw(request_lists(contracts)):
            received_ms = max(0, now - random.choice([0, 0, 1, 3000, 100_000]))
            asked = request
            if isinstance(request, ProductEvent):
                asked = request._replace(span_ms=random.choice([0, 999]))
            try:
                new = decide(world, asked, received_ms)
            except RequestError:
                continue  # too late by this receipt, or ahead of it
            records += new
            # Nothing on the log's own clock goes back, and no report is later than its receipt.
            for entry, opening in new:
                at_ms = receipt_ms(opening)
                assert entry.time_ms <= (world.time_ms if at_ms is None else at_ms)
            seen[type(request).__name__] += received_ms < now
        assert replay(records, documents_of(world)) == world

    rebuild()
    assert min(seen[name] for name in ("Touch", "ProductEvent", "Settle")) >= 10, seen


def test_our_clock_going_backwards_is_found() -> None:
    def then(time_ms: int) -> list[Record]:
        entry = Entry("lead.registered", SURFACE, OWNER, LEADS[2], "new", 0, time_ms, bytes(32))
        return [*RECORDS, Record(entry)]

    assert replay(then(8000), documents_of(WORLD)).time_ms == 8000
    assert refused(then(7999)) == "clock-regressed"


def timed_log(bought: int, refunded: int, touched: int, stated: int) -> tuple[World, list[Record]]:
    """A contract for what is bought by 60 s, and what happens, each taken at one of these times.

    The publisher forgets, from one request to the next, how far the log's clock is.
    """
    governing = policy()
    world, records = begin(governing, rules("a", governing, deadline_ms=60_000))
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (1500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 1500)),
        (bought, ProductEvent(SURFACE, LEADS[0], "buy", 0, bought)),
        (refunded, ProductEvent(SURFACE, LEADS[0], "refund", 0, refunded)),
        (touched, Touch(SURFACE, LEADS[1], OPERATORS[0], "email")),
        (stated, Settle()),
    ]
    for now, request in steps:
        world.time_ms = world.surfaces[SURFACE].received_ms = 0
        records += decide(world, request, now)
    return world, records


@pytest.mark.parametrize(
    ("times_ms", "code", "at"),
    [
        # A drain takes all that was received at one time.
        ((2000, 2000, 2000, 2000), None, ""),
        ((2000, 2500, 3000, 4000), None, ""),
        # Dated past the deadline, so that it does not count; then the log goes on from before.
        ((60_001, 60_001, 60_001, 60_001), None, ""),
        ((60_001, 60_001, 3000, 4000), "clock-regressed", "lead.registered"),
        ((4_102_444_800_000, 4_102_444_800_000, 3000, 4000), "clock-regressed", "lead.registered"),
        ((2001, 2001, 2000, 2001), "clock-regressed", "lead.registered"),
        ((2000, 2500, 3000, 2999), "clock-regressed", "settlement"),
        # One report after the other, and we ourselves did nothing between them.
        ((2500, 2499, 3000, 4000), "receipt-regressed", "product.event"),
        ((60_001, 2500, 60_001, 60_001), "receipt-regressed", "product.event"),
        # Received before what the log has received already.
        ((1499, 2500, 3000, 4000), "receipt-regressed", "lead.transition"),
    ],
)
def test_what_is_reported_keeps_to_the_logs_own_clock(
    times_ms: tuple[int, int, int, int], code: str | None, at: str
) -> None:
    world, records = timed_log(*times_ms)
    if code is None:
        assert replay(records, documents_of(world)).size == len(records)
        return
    with pytest.raises(ReplayError, match=f"is {at} .* is already at ") as caught:
        replay(records, documents_of(world))
    assert caught.value.code == code


def test_a_log_without_its_genesis_is_found() -> None:
    assert refused(RECORDS[1:]) == "genesis-missing"
    assert refused([RECORDS[0], *RECORDS[:1]]) == "entry-impossible"
    assert replay([], documents_of(WORLD)) == World()


# --- What the chain says beside the log -----------------------------------------------------------


def market() -> tuple[World, list[Record]]:
    """Two contracts of one operator, of which the first is closed at 3 s."""
    governing = policy()
    world, records = begin(governing, rules("a", governing), rules("b", governing))
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (2000, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2000)),
        (4000, CloseContract(word("a"), 3000, word("closing"))),
        (5000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 5000)),
    ]
    for now, request in steps:
        records += decided(world, request, now)
    return world, records


@pytest.mark.parametrize(
    ("numbers", "closed_at_s", "error"),
    [
        ({"a": 1, "b": 2}, 3, None),
        ({"a": 4, "b": 9}, 3, None),
        # One touch for both: who opened first would have won, and the escrow knows who did.
        ({"a": 2, "b": 1}, 3, "opening-order"),
        ({"a": 2, "b": 2}, 3, "opening-order"),
        ({"a": 1, "b": 2}, None, "closing-false"),
        ({"a": 1, "b": 2}, 4, "closing-false"),
        ({"a": 1, "b": 2}, 2, "closing-false"),
    ],
)
def test_openings_and_closings_are_those_of_the_chain(
    numbers: dict[str, int], closed_at_s: int | None, error: str | None
) -> None:
    world, records = market()
    # Those that give the operators their level are the first to open.
    opened = {
        partner(policy(), operator).contract_id: n - 9 for n, operator in enumerate(OPERATORS)
    }
    opened |= {word(name): number for name, number in numbers.items()}
    documents = documents_of(world)._replace(
        opening_number=opened.__getitem__,
        closed_at_s=lambda name: closed_at_s if name == word("a") else 0,
    )
    if error is None:
        assert replay(records, documents) == world
        return
    with pytest.raises(ReplayError) as caught:
        replay(records, documents)
    assert caught.value.code == error
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "kind", ["forecast.voided", "dispute.settled", "outcome.refused", "touches", ""]
)
def test_kinds_without_a_row_are_refused(kind: str) -> None:
    """Refuse what no writer of this log can have written, whatever else it says."""
    world, records = market()
    foreign = Record(records[-1].entry._replace(kind=kind))
    assert refused([*records, foreign], world) == "kind-unknown"


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (ChainError("node-timeout", "the node did not answer"), True),
        (ServerError("server-unreachable", "the server did not answer"), True),
        (ChainError("call-reverted", "termsOf reverted: UnknownContract"), False),
    ],
)
def test_that_nobody_answered_says_nothing_about_the_log(
    error: ChainError | ServerError, is_told: bool
) -> None:
    world, records = market()

    def ask(_: bytes) -> ContractRules:
        raise error

    with pytest.raises(type(error) if is_told else ReplayError) as caught:
        replay(records, documents_of(world)._replace(rules=ask))
    assert caught.value.code == (error.code if is_told else "entry-impossible")


# --- The reader's clock ---------------------------------------------------------------------------

CENTURY_MS = 100 * 365 * 86_400_000


def test_a_true_statement_that_is_dated_ahead_is_refused() -> None:
    """Its totals are right, and a job would be completed by it before its client's `statedFrom`."""
    now = 1_800_000_000_000
    governing = policy()
    contract = rules(
        "a", governing, deadline_ms=now + CENTURY_MS, attribution_window_ms=now + CENTURY_MS
    )
    world, records = begin(governing, contract)
    steps: list[tuple[int, Request]] = [
        (now, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (now, ProductEvent(SURFACE, LEADS[0], "signup", 0, now)),
        (now, ProductEvent(SURFACE, LEADS[0], "buy", 5, now)),
        (now + CENTURY_MS, Settle()),
    ]
    for at, request in steps:
        records += decide(world, request, at)
    assert records[-1].entry.kind == "settlement"
    documents = documents_of(world)
    assert replay(records, documents) == world, "nothing else is wrong with it"
    judged = Replay(documents, lambda: now)
    for record in records[:-1]:
        judged.take(record)
    with pytest.raises(ReplayError) as refused:
        judged.take(records[-1])
    assert refused.value.code == "clock-ahead"
    assert "taken at 2126-12-22T08:00:00.000Z" in refused.value.message
    assert "it is only 2027-01-15T08:00:00.000Z" in refused.value.message


@pytest.mark.parametrize(("ahead_ms", "is_ahead"), [(0, False), (5_000, False), (5_001, True)])
@pytest.mark.parametrize("kind", ["event", "own act"])
def test_five_seconds_ahead_are_the_most(ahead_ms: int, is_ahead: bool, kind: str) -> None:
    """For what the log does itself by the entry, for reports of the product by their receipt."""
    now = 1_800_000_000_000
    world, records = begin(policy())
    at = now + ahead_ms
    request: Request = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    if kind == "event":
        request = ProductEvent(SURFACE, LEADS[0], "signup", 0, at - 1_000)
    records += decide(world, request, at)
    judged = Replay(documents_of(world), lambda: now)
    refused = None
    try:
        for record in records:
            judged.take(record)
    except ReplayError as error:
        refused = error.code
    assert refused == ("clock-ahead" if is_ahead else None)
