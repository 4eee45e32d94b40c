"""The search for disproofs: none in an honest log, and every planted forgery."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from orchestrator.core.evidence.disproof_search import find_disproof, find_disproofs
from orchestrator.core.evidence.exhibits import MAX_EXHIBITS
from orchestrator.core.evidence.history import PublicEntry, public_entry
from orchestrator.core.evidence.rules import disproves
from orchestrator.core.log.entry import (
    Entry,
    OutcomeFacts,
    pack_outcome,
    pack_reversal,
    pack_settlement,
    unpack_outcome,
    unpack_reversal,
    unpack_settlement,
)
from orchestrator.core.log.opening import (
    CodeOpening,
    EventOpening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
)
from orchestrator.core.surface.attribution import qualifying_touch
from orchestrator.core.world.requests import ProductEvent, Request, Touch
from tests.support.depth import examples
from tests.support.histories import (
    ANN,
    BOB,
    STEPS,
    History,
    X,
    append_stated,
    forge,
    histories,
    history,
    misattributed,
    no_source,
    pick,
    reopened,
    restate,
    rethread,
    rivalry,
    signed_up_to,
)
from tests.support.worlds import SURFACE, policy, rules, seeds, word

# --- Planted forgeries ----------------------------------------------------------------------------


def test_nothing_is_found_in_an_honest_log() -> None:
    seen: Counter[str] = Counter()

    @examples(200)
    @given(histories())
    def search(found: History) -> None:
        items = found.public
        # An honest log of this size gives no cause to look anything up.
        assert find_disproof(items, found.signed(), no_source) is None
        seen.update(record.entry.kind for record in found.records)

    search()
    assert min(seen[kind] for kind in ("outcome", "outcome.over", "outcome.reversed")) >= 5, seen


Forgery = Callable[[Any, History, list[Entry]], bool]


def forge_duplicate(random: Any, found: History, entries: list[Entry]) -> bool:
    """The same transition is paid again, to the same contract or to another."""
    at = pick(random, entries, random.choice(["outcome", "outcome.over"]))
    if at is None:
        return False
    again = entries[at]._replace(kind="outcome")
    if random.random() < 0.3:
        again = again._replace(actor=random.choice(list(found.contracts)))
    append_stated(entries, again)
    return True


def forge_duplicate_lead(random: Any, found: History, entries: list[Entry]) -> bool:
    """A lead is counted again where it counts once, at a later transition."""
    at = pick(random, entries, "outcome")
    if at is None or found.contracts[entries[at].actor].rules.repeatable:
        return False
    for later in range(at + 1, len(entries)):
        event = entries[later]
        if (event.kind, event.subject, event.label) == (
            "lead.transition", entries[at].subject, entries[at].label,
        ):  # fmt: skip
            facts = unpack_outcome(entries[at].payload)._replace(transition=later)
            again = entries[at]._replace(time_ms=event.time_ms, payload=pack_outcome(*facts))
            append_stated(entries, again)
            return True
    return False


def forge_transition(random: Any, found: History, entries: list[Entry]) -> bool:
    at = pick(random, entries, "outcome")
    if at is None:
        return False
    outcome = entries[at]
    match random.randrange(5):
        case 0:
            entries[at] = outcome._replace(value=outcome.value + random.choice([1, 100]))
        case 1:
            entries[at] = outcome._replace(time_ms=outcome.time_ms + 1)
        case 2:
            entries[at] = outcome._replace(subject=word("stranger"))
        case 3:
            others = [place for place in range(at + 2) if place != at - 1]
            restate(entries, at, transition=random.choice(others))
        case _:
            entries[at] = outcome._replace(surface=word("elsewhere"))
    return True


def forge_touch(random: Any, found: History, entries: list[Entry]) -> bool:
    """The touch is any other entry."""
    at = pick(random, entries, "outcome")
    if at is None:
        return False
    said = unpack_outcome(entries[at].payload)
    restate(entries, at, touch=random.choice([n for n in range(at) if n != said.touch]))
    return True


def forge_rival(random: Any, found: History, entries: list[Entry]) -> bool:
    """A contract that lost is paid, by its own best touch."""
    at = pick(random, entries, "outcome")
    if at is None:
        return False
    outcome, said = entries[at], unpack_outcome(entries[at].payload)
    losers = []
    for name, record in found.contracts.items():
        terms = record.rules
        opened = next(
            place
            for place, entry in enumerate(entries)
            if (entry.kind, entry.subject) == ("contract.opened", name)
        )
        trail = found.world.leads[outcome.subject].touches.get(terms.operator)
        if name == outcome.actor or trail is None or opened > said.transition:
            continue
        below = [touch for touch in trail.touches if touch.position < said.transition]
        touch = qualifying_touch(below, terms, outcome.time_ms, terms.attribution)
        is_one = terms.outcome == outcome.label and record.covers(outcome.time_ms)
        if touch is not None and is_one and not record.is_closed_before(outcome.time_ms):
            losers.append((name, touch.position))
    if not losers:
        return False
    winner = found.contracts[outcome.actor]
    if winner.is_closed_before(outcome.time_ms):
        return False  # the log heard of its closing too late: by the chain a loser should have won
    transition = found.records[said.transition]
    if _exhibits_of(found, said) > MAX_EXHIBITS:
        return False  # it takes too many to tell that the winner had not counted the lead
    name, touch_at = random.choice(losers)
    restate(entries, at, touch=touch_at)
    amount = found.contracts[name].rules.amount_units(transition.entry.value)
    entries[at] = entries[at]._replace(actor=name, value=amount)
    return True


def _exhibits_of(found: History, said: OutcomeFacts) -> int:
    """Return the most exhibits that it can take to show that this outcome is due."""
    count, transition, touch = 3, said.transition, said.touch
    while isinstance(opening := found.records[transition].opening, TransitionOpening):
        count += 1
        if not opening.counted:
            break
        count, transition = count + 1, opening.counted - 1
    while (touch := found.records[touch].entry.value - 1) >= 0:
        count += 1
    return count


def forge_sum(random: Any, found: History, entries: list[Entry]) -> bool:
    kind = random.choice(["outcome", "settlement", "outcome.reversed"])
    at = pick(random, entries, kind)
    if at is None:
        return False
    change = random.choice([-1, 1, 7, 1000])
    if kind == "settlement":
        facts = unpack_settlement(entries[at].payload)
        name = random.choice(facts._fields)
        stated = facts._replace(**{name: max(0, getattr(facts, name) + change)})
        entries[at] = entries[at]._replace(payload=pack_settlement(*stated))
        return stated != facts
    unpack, pack = (
        (unpack_outcome, pack_outcome) if kind == "outcome" else (unpack_reversal, pack_reversal)
    )
    said: Any = unpack(entries[at].payload)
    name = random.choice(said._fields[2:])
    lied = said._replace(**{name: max(0, getattr(said, name) + change)})
    entries[at] = entries[at]._replace(payload=pack(*lied))
    return bool(lied != said)


def forge_reversal(random: Any, found: History, entries: list[Entry]) -> bool:
    at = pick(random, entries, "outcome.reversed")
    if at is None:
        return False
    reversal, said = entries[at], unpack_reversal(entries[at].payload)
    match random.randrange(5):
        case 0:
            append_stated(entries, reversal)
        case 1:
            entries[at] = reversal._replace(time_ms=reversal.time_ms + random.choice([1, 10**6]))
        case 2:
            wrong = said._replace(
                outcome=random.choice([n for n in range(at) if n != said.outcome])
            )
            entries[at] = reversal._replace(payload=pack_reversal(*wrong))
        case 3:
            wrong = said._replace(event=random.choice([n for n in range(at) if n != said.event]))
            entries[at] = reversal._replace(payload=pack_reversal(*wrong))
        case _:
            entries[at] = reversal._replace(value=reversal.value + 1)
    return True


def forge_over(random: Any, found: History, entries: list[Entry]) -> bool:
    """An outcome that was to be paid is said to be over."""
    at = pick(random, entries, "outcome")
    if at is None:
        return False
    taken = (
        unpack_reversal(entry.payload).outcome
        for entry in entries
        if entry.kind == "outcome.reversed"
    )
    is_stated = any(
        (entry.kind, entry.subject) == ("settlement", entries[at].actor) for entry in entries[at:]
    )
    if at in taken or not is_stated:
        return False  # the reversal would be the forgery; or nothing states what was earned
    said = unpack_outcome(entries[at].payload)._replace(prev=0, n=0, earned_after=0)
    entries[at] = entries[at]._replace(kind="outcome.over", payload=pack_outcome(*said))
    return True


def forge_opened_late(random: Any, found: History, entries: list[Entry]) -> bool:
    """A contract is paid that the log hears of only afterwards."""
    at = pick(random, entries, "outcome")
    if at is None:
        return False
    opened = next(
        place
        for place, entry in enumerate(entries)
        if (entry.kind, entry.subject) == ("contract.opened", entries[at].actor)
    )
    late = entries[opened]._replace(time_ms=max(entry.time_ms for entry in entries))
    entries[opened] = entries[opened]._replace(kind="erasure")
    entries.append(late)
    return True


def forge_clock(random: Any, found: History, entries: list[Entry]) -> bool:
    """A touch is said to be older than what stands below it."""
    at = pick(random, entries, "touch")
    if at is None:
        return False
    own = [entry.time_ms for entry in entries[:at] if entry.kind in ("touch", "contract.opened")]
    if not own or max(own) == 0:
        return False
    entries[at] = entries[at]._replace(time_ms=max(own) - 1)
    return True


FORGERIES: dict[str, tuple[Forgery, set[str]]] = {
    "duplicate": (forge_duplicate, {"duplicate", "transition", "touch", "touch_order"}),
    "duplicate_lead": (forge_duplicate_lead, {"duplicate", "transition"}),
    "transition": (forge_transition, {"transition", "duplicate"}),
    "touch": (forge_touch, {"transition", "touch", "touch_order"}),
    "rival": (forge_rival, {"rival", "transition", "duplicate", "reversal"}),
    "sum": (forge_sum, {"sum", "reversal"}),
    "reversal": (forge_reversal, {"reversal"}),
    "over": (forge_over, {"sum"}),
    "opened_late": (forge_opened_late, {"transition"}),
    "clock": (forge_clock, {"clock", "touch", "touch_order", "rival"}),
}
SHOWN_BY = {"duplicate_lead": "duplicate", "over": "sum", "opened_late": "transition"}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_planted_forgery_is_found(name: str) -> None:
    forgery, kinds = FORGERIES[name]
    caught: Counter[str] = Counter()

    @examples(150)
    @given(histories(), seeds)
    def plant(found: History, random: Any) -> None:
        entries = [record.entry for record in found.records]
        if not forgery(random, found, entries):
            return
        if name != "sum":
            entries = rethread(entries)
        items, contracts = forge(found, entries)
        case = find_disproof(items, contracts, items.__getitem__)
        assert case is not None
        assert disproves(case, contracts)
        assert len(case.exhibits) <= MAX_EXHIBITS
        caught[case.kind] += 1

    plant()
    assert caught.total() >= 5, caught  # not every history has what a forgery needs
    assert set(caught) <= kinds, caught
    assert caught[SHOWN_BY.get(name, name)], caught


# --- Lies in openings -----------------------------------------------------------------------------


Lie = Callable[[Any, list[Record]], bool]


def lie_of_cause(random: Any, records: list[Record]) -> bool:
    """A touch that was credited is reported from what does not bear it."""
    found = [
        unpack_outcome(entry.payload).touch
        for entry, _ in records
        if entry.kind in ("outcome", "outcome.over")
    ]
    found = [at for at in found if records[at].entry.kind == "touch.reported"]
    if not found:
        return False
    at = random.choice(found)
    entry, opening = records[at]
    assert isinstance(opening, ReportedTouchOpening)
    if random.random() < 0.3:
        records[at] = reopened(records[at], received_ms=entry.time_ms - 1)
        return bool(entry.time_ms)
    if random.random() < 0.3:
        return _is_over(random, records, opening.cause, at)
    others = [
        place
        for place in range(at + 1)
        if place != opening.cause and not _bears(records[place].entry, entry)
    ]
    records[at] = reopened(records[at], cause=random.choice(others))
    return True


def _is_over(random: Any, records: list[Record], code: int, click: int) -> bool:
    """Let a code be over before a click by it; return whether it is one, and was not."""
    issued, opening = records[code]
    if not isinstance(opening, CodeOpening):
        return False
    if random.random() < 0.5:
        records[code] = reopened(records[code], expires_ms=records[click].entry.time_ms - 1)
        return records[click].entry.time_ms > 0
    for at in range(code + 1, click):
        if records[at].entry.kind in ("erasure", "payout", "lead.refused"):
            end = issued._replace(kind="code.ended", label="spam", payload=bytes(32))
            records[at] = Record(end, None)
            return True
    return False


def _bears(cause: Entry, touch: Entry) -> bool:
    """Return whether another entry bears a touch by chance."""
    if cause.kind == "code.issued":
        return True
    return cause.kind == "action.requested" and (
        (cause.actor, cause.subject, cause.label, cause.time_ms)
        == (touch.actor, touch.subject, touch.label, touch.time_ms)
    )


def lie_of_event(random: Any, records: list[Record]) -> bool:
    """An event says other than what follows on it."""
    events = [
        unpack_reversal(entry.payload).event
        for entry, _ in records
        if entry.kind == "outcome.reversed"
    ]
    if not events:
        return False
    at = random.choice(events)
    opening = records[at].opening
    assert isinstance(opening, EventOpening)
    match random.randrange(6):
        case 0:
            lie: dict[str, Any] = {"of": random.choice([n for n in range(at) if n != opening.of])}
        case 1:
            others = [n for n in range(at) if n != opening.previous]
            lie = {"previous": random.choice(others)}
        case 2:
            lie = {"refunded_before_units": opening.refunded_before_units + 1}
        case 3:
            lie = {"refunded_after_units": opening.refunded_after_units + 1}
        case 4:
            lie = {"order": word("another")}
        case _:
            lie = {"order": bytes(32), "whole": False}
    records[at] = reopened(records[at], **lie)
    return True


OPENING_LIES: dict[str, tuple[Lie, set[str]]] = {
    "cause": (lie_of_cause, {"cause"}),
    "event": (lie_of_event, {"reversal"}),
}


@pytest.mark.parametrize("name", OPENING_LIES)
def test_a_lie_in_an_opening_is_found(name: str) -> None:
    lie, kinds = OPENING_LIES[name]
    caught: Counter[str] = Counter()

    @examples(150)
    @given(histories(), seeds)
    def plant(found: History, random: Any) -> None:
        records = [*found.records]
        if not lie(random, records):
            return
        items = [public_entry(record) for record in records]
        contracts = signed_up_to(found.contracts, len(items) - 1)
        case = find_disproof(items, contracts, items.__getitem__)
        assert case is not None, records
        assert disproves(case, contracts)
        caught[case.kind] += 1

    plant()
    assert caught.total() >= 5, caught
    assert set(caught) <= kinds, caught


@pytest.mark.parametrize("said", [-1, 0, 1])
def test_a_returning_lead_is_no_loophole(said: int) -> None:
    """Bob's contract has not counted the lead, whatever the opening of its second visit says."""
    governing = policy(attribution="last_touch")
    terms = [
        rules("ann", governing, repeatable=True, deadline_ms=5000),
        rules("mia", governing, repeatable=True),
        rules("bob", governing, operator=BOB),
    ]
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 0, 3000)),
        (6000, Touch(SURFACE, X, BOB, "email")),
        (7000, ProductEvent(SURFACE, X, "buy", 0, 7000)),
    ]
    found = history(governing, terms, *steps)
    entries = [record.entry for record in found.records]
    first, second = (at for at, entry in enumerate(entries) if entry.kind == "outcome")
    ann = next(at for at, entry in enumerate(entries) if entry.kind == "touch")
    restate(entries, second, touch=ann)
    entries[second] = entries[second]._replace(actor=word("mia"))
    lie = found.records[second - 1]
    if said:
        lie = reopened(lie, counted=second if said > 0 else ann)
        entries[second - 1] = lie.entry
    items, contracts = forge(found, rethread(entries))
    items[second - 1] = public_entry(lie)
    case = find_disproof(items, contracts, items.__getitem__)
    assert case is not None
    assert (case.contract_id, case.kind, case.rival) == (word("mia"), "rival", word("bob"))
    shown = [item.position for item in case.exhibits[3:]]
    assert (
        shown == {0: [second - 1, first, first - 1], 1: [second - 1], -1: [second - 1, ann]}[said]
    )


# --- Disproofs, one by one ------------------------------------------------------------------------


def test_a_misattribution_is_shown_with_what_decides_it() -> None:
    market = rivalry()
    items, contracts = misattributed(market)
    case = find_disproof(items, contracts, no_source)
    assert case is not None
    assert (case.contract_id, case.kind, case.rival) == (word("bob"), "rival", word("ann"))
    opened = next(
        at
        for at, (entry, _) in enumerate(market.found.records)
        if (entry.kind, entry.subject) == ("contract.opened", word("ann"))
    )
    assert [item.position for item in case.exhibits] == [market.paid, market.paid - 4, opened]
    assert [item.entry for item in case.exhibits] == [
        items[item.position].data for item in case.exhibits
    ]


@pytest.mark.parametrize("is_below", [False, True])
def test_nothing_above_the_last_signed_statement_disproves(is_below: bool) -> None:
    market = rivalry()
    items, contracts = misattributed(market)
    signed = signed_up_to(contracts, market.paid - is_below)
    assert (find_disproof(items, signed, no_source) is None) is is_below


def test_each_verifier_is_disproved_once() -> None:
    market = rivalry()
    entries = [record.entry for record in market.found.records]
    for _ in range(3):
        append_stated(entries, entries[market.paid])
    items, contracts = forge(market.found, rethread(entries))
    found = list(find_disproofs(items, contracts, items.__getitem__))
    assert [(case.contract_id, case.kind) for case in found] == [(word("ann"), "duplicate")]


def test_a_rival_that_the_parties_closed_before_is_none() -> None:
    market = rivalry()
    items, contracts = misattributed(market)
    for closed_at_s, is_found in ((3, False), (4, True), (5, True)):
        closed = contracts[word("ann")]._replace(closed_at_s=closed_at_s)
        case = find_disproof(items, {**contracts, word("ann"): closed}, no_source)
        assert (case is not None) is is_found


def test_what_stands_far_back_is_looked_up() -> None:
    market = rivalry()
    entries = [record.entry for record in market.found.records]
    entries[market.paid + 1 : market.paid + 1] = [entries[3]] * 300
    again = entries[market.paid]._replace(actor=word("bob"))
    append_stated(entries, again)
    items, contracts = forge(market.found, rethread(entries))
    asked: list[int] = []

    def source(position: int) -> PublicEntry:
        asked.append(position)
        return items[position]

    case = find_disproof(items, contracts, source)
    assert case is not None
    assert case.kind == "duplicate"
    assert set(asked) == {market.paid}


def test_a_transition_is_not_paid_again_after_a_foreign_contract() -> None:
    """The first outcome is of a contract that is not among the records, and may not even exist."""
    market = rivalry()
    entries = [record.entry for record in market.found.records]
    entries.insert(market.paid, entries[market.paid]._replace(actor=word("elsewhere")))
    append_stated(entries, entries[-1])
    items, contracts = forge(market.found, rethread(entries))
    case = find_disproof(items, contracts, items.__getitem__)
    assert case is not None
    assert (case.contract_id, case.kind) == (word("ann"), "duplicate")
    assert [item.position for item in case.exhibits] == [market.paid + 1, market.paid]


def test_an_opening_that_the_server_withholds_is_reported() -> None:
    market = rivalry(ann_repeatable=False)
    items, contracts = misattributed(market)
    bare = [item._replace(opening=b"") for item in items]
    unopened: set[int] = set()
    assert list(find_disproofs(bare, contracts, bare.__getitem__, unopened)) == []
    assert unopened == {market.paid - 1}
    # With it there is a case; and where another case is found, nothing is amiss.
    unopened.clear()
    assert [
        case.kind for case in find_disproofs(items, contracts, items.__getitem__, unopened)
    ] == ["rival"]
    assert unopened == set()


BUYS: list[tuple[int, Request]] = [
    (1000, Touch(SURFACE, X, ANN, "email")),
    (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
    *((at, ProductEvent(SURFACE, X, "buy", 0, at)) for at in (3000, 4000)),
    (5000, ProductEvent(SURFACE, X, "refund", 0, 5000)),
    (6000, ProductEvent(SURFACE, X, "buy", 0, 6000)),
]


def test_a_reversal_that_skips_an_outcome_cannot_hide_behind_a_later_one() -> None:
    governing = policy()
    terms = rules("ann", governing, repeatable=True, holdback_period_ms=50_000)
    found = history(governing, [terms], *BUYS)
    entries = [record.entry for record in found.records]
    kinds = [entry.kind for entry in entries]
    back = kinds.index("outcome.reversed")
    first, second, third = (at for at, kind in enumerate(kinds) if kind == "outcome")
    # Its event says so too: all else would fit.
    event = reopened(found.records[back - 1], of=first - 1)
    entries[back - 1] = event.entry
    reversal = entries.pop(back)
    said = unpack_reversal(reversal.payload)._replace(outcome=first)
    restate(entries, third - 1, transition=third - 2)
    entries.insert(third, reversal._replace(payload=pack_reversal(*said)))
    items, contracts = forge(found, rethread(entries))
    items[back - 1] = public_entry(event)
    case = find_disproof(items, contracts, items.__getitem__)
    assert case is not None
    assert case.kind == "reversal"
    assert [item.position for item in case.exhibits] == [third, back - 1, second]


def test_what_no_sum_can_hold_hides_no_false_over() -> None:
    """Two outcomes are over; the second would need less of the budget, but more than 80 bits."""
    governing = policy()
    most = (1 << 80) - 1
    terms = rules(
        "ann", governing, repeatable=True, unit_price_units=0, revenue_share_bps=10_000,
        budget_units=most, holdback_period_ms=50_000,
    )  # fmt: skip
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", most - 10, 3000)),
        (4000, ProductEvent(SURFACE, X, "buy", 5, 4000)),
        (5000, ProductEvent(SURFACE, X, "refund", 0, 5000)),
        (5000, ProductEvent(SURFACE, X, "refund", 0, 5000)),
        (6000, ProductEvent(SURFACE, X, "buy", 20, 6000)),
    ]
    found = history(governing, [terms], *steps)
    entries = [record.entry for record in found.records]
    paid = [at for at, entry in enumerate(entries) if entry.kind == "outcome"]
    assert [entry.kind for entry in entries].count("outcome.over") == 1
    restate(entries, paid[1], prev=0, n=0, earned_after=0)
    entries[paid[1]] = entries[paid[1]]._replace(kind="outcome.over")
    entries = [
        entry._replace(kind="erasure")
        if entry.kind == "outcome.reversed" and unpack_reversal(entry.payload).outcome == paid[1]
        else entry
        for entry in entries
    ]
    items, contracts = forge(found, rethread(entries))
    cases = list(find_disproofs(items, contracts, items.__getitem__))
    assert [case.kind for case in cases] == ["sum"]
    assert cases[0].exhibits[1].position == paid[1]


# --- Slow logs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["first_touch", "last_touch"])
@pytest.mark.parametrize("step_ms", [0, 1, -1])
def test_a_log_cannot_be_written_to_be_slow(model: str, step_ms: int) -> None:
    """As many touches as transitions, whose times stand still, rise past them, or fall."""

    def steps(count: int) -> int:
        governing = policy(attribution=model)
        terms = rules("ann", governing, repeatable=True, attribution_window_ms=1 << 40)
        found = history(governing, [terms], *STEPS)
        kinds = [record.entry.kind for record in found.records]
        entries = [record.entry for record in found.records][: kinds.index("lead.transition")]
        base = next(entry for entry in entries if entry.kind == "touch")
        for n in range(count):
            entries.append(base._replace(time_ms=4000 + step_ms * n))
        bought = found.records[kinds.index("outcome") - 1].entry
        paid = found.records[kinds.index("outcome")].entry
        first, last = kinds.index("touch"), len(entries) - (count if step_ms > 0 else 1)
        for _ in range(count):
            said = unpack_outcome(paid.payload)._replace(
                transition=len(entries), touch=first if model == "first_touch" else last
            )
            entries += [bought, paid._replace(payload=pack_outcome(*said))]
        items, contracts = forge(found, rethread(entries))
        taken = 0

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal taken
            taken += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            kinds_ = [case.kind for case in find_disproofs(items, contracts, items.__getitem__)]
        finally:
            sys.settrace(before)
        assert kinds_ == (["clock"] * len(contracts) if step_ms < 0 else [])
        return taken

    few, many = steps(50), steps(400)
    assert many < 8 * 2 * few
