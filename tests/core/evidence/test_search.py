"""The finders: nothing in an honest log, every planted lie, and what an operator can claim."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.attribution import qualifying_touch
from orchestrator.core.entry import (
    Entry,
    pack_outcome,
    pack_reversal,
    pack_settlement,
    unpack_outcome,
    unpack_reversal,
    unpack_settlement,
)
from orchestrator.core.errors import EvidenceError
from orchestrator.core.escrow_model import EscrowedContract
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    REFUTATIONS,
    TOUCH,
    Case,
    Claim,
    ContractIndex,
    Exhibit,
    read,
)
from orchestrator.core.evidence.rules import check_refutation, claim_of, contradicts
from orchestrator.core.evidence.search import PublicEntry, find_claims, find_lie, lies, refutations
from orchestrator.core.opening import EventOpening
from orchestrator.core.requests import CloseContract, ProductEvent, Request, Settle, Touch
from tests.support.depth import examples
from tests.support.histories import History, histories, history, rethread, told
from tests.support.terms import PLAIN
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    contract_lists,
    policy,
    request_lists,
    rules,
    seeds,
    word,
)

ANN, BOB = OPERATORS
X, Y, _ = LEADS


def nowhere(position: int) -> PublicEntry:
    raise AssertionError(f"entry {position} was asked for")


# --- Lies -----------------------------------------------------------------------------------------


def test_nothing_is_found_in_an_honest_log() -> None:
    seen: Counter[str] = Counter()

    @examples(200)
    @given(histories())
    def search(found: History) -> None:
        items = found.public
        # An honest log of this size gives no cause to look anything up.
        assert find_lie(items, found.vouched(), nowhere) is None
        seen.update(record.entry.kind for record in found.records)

    search()
    assert min(seen[kind] for kind in ("outcome", "outcome.over", "outcome.reversed")) >= 5, seen


Lie = Callable[[Any, History, list[Entry]], bool]


def _pick(random: Any, entries: Sequence[Entry], kind: str) -> int | None:
    places = [at for at, entry in enumerate(entries) if entry.kind == kind]
    return random.choice(places) if places else None


def _say(entries: list[Entry], at: int, **facts: Any) -> None:
    """Change facts of an outcome's payload; its totals are threaded again afterwards."""
    said = unpack_outcome(entries[at].payload)._replace(**facts)
    entries[at] = entries[at]._replace(payload=pack_outcome(*said))


def _append(entries: list[Entry], entry: Entry) -> None:
    """Add an entry before the final settlement, and one that covers it."""
    entries.append(entry)
    statement = Entry(
        "settlement", SURFACE, word("verifier"), entry.actor, "paid", 0, entries[-1].time_ms,
        bytes(32),
    )  # fmt: skip
    entries.append(statement)


def lie_duplicate(random: Any, found: History, entries: list[Entry]) -> bool:
    """The same transition is paid again, to the same contract or to another."""
    at = _pick(random, entries, random.choice(["outcome", "outcome.over"]))
    if at is None:
        return False
    again = entries[at]._replace(kind="outcome")
    if random.random() < 0.3:
        again = again._replace(actor=random.choice(list(found.docket)))
    _append(entries, again)
    return True


def lie_duplicate_lead(random: Any, found: History, entries: list[Entry]) -> bool:
    """A lead is counted again where it counts once, at a later transition."""
    at = _pick(random, entries, "outcome")
    if at is None or found.docket[entries[at].actor].rules.repeatable:
        return False
    for later in range(at + 1, len(entries)):
        event = entries[later]
        if (event.kind, event.subject, event.label) == (
            "lead.transition", entries[at].subject, entries[at].label,
        ):  # fmt: skip
            facts = unpack_outcome(entries[at].payload)._replace(transition=later)
            again = entries[at]._replace(time_ms=event.time_ms, payload=pack_outcome(*facts))
            _append(entries, again)
            return True
    return False


def lie_transition(random: Any, found: History, entries: list[Entry]) -> bool:
    at = _pick(random, entries, "outcome")
    if at is None:
        return False
    outcome = entries[at]
    match random.randrange(5):
        case 0:
            entries[at] = outcome._replace(value=outcome.value + random.choice([1, 100]))
        case 1:
            entries[at] = outcome._replace(time_ms=outcome.time_ms + 1)
        case 2:
            entries[at] = outcome._replace(subject=word("nobody"))
        case 3:
            others = [place for place in range(at + 2) if place != at - 1]
            _say(entries, at, transition=random.choice(others))
        case _:
            entries[at] = outcome._replace(surface=word("elsewhere"))
    return True


def lie_touch(random: Any, found: History, entries: list[Entry]) -> bool:
    """The touch is any other entry."""
    at = _pick(random, entries, "outcome")
    if at is None:
        return False
    said = unpack_outcome(entries[at].payload)
    _say(entries, at, touch=random.choice([n for n in range(at) if n != said.touch]))
    return True


def lie_rival(random: Any, found: History, entries: list[Entry]) -> bool:
    """A contract that lost is paid, by its own best touch."""
    at = _pick(random, entries, "outcome")
    if at is None:
        return False
    outcome, said = entries[at], unpack_outcome(entries[at].payload)
    losers = []
    for name, standing in found.docket.items():
        terms = standing.rules
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
        is_one = terms.outcome == outcome.label and standing.covers(outcome.time_ms)
        if touch is not None and is_one and not standing.is_closed_before(outcome.time_ms):
            losers.append((name, touch.position))
    if not losers:
        return False
    winner = found.docket[outcome.actor]
    if winner.is_closed_before(outcome.time_ms):
        return False  # the log heard of its closing too late: by the chain a loser should have won
    transition = found.records[said.transition]
    is_first = isinstance(transition.opening, EventOpening) and transition.opening.nth == 1
    if not winner.rules.repeatable and (not is_first or _needs_before(found, winner, said.touch)):
        return False  # nobody can tell that the winner had not counted the lead
    name, touch_at = random.choice(losers)
    _say(entries, at, touch=touch_at)
    amount = found.docket[name].rules.amount_units(transition.entry.value)
    entries[at] = entries[at]._replace(actor=name, value=amount)
    return True


def _needs_before(found: History, winner: Any, touch: int) -> bool:
    entry = found.records[touch].entry
    return bool(winner.rules.attribution == "first_touch" and entry.value != 0)


def lie_sum(random: Any, found: History, entries: list[Entry]) -> bool:
    kind = random.choice(["outcome", "settlement", "outcome.reversed"])
    at = _pick(random, entries, kind)
    if at is None:
        return False
    change = random.choice([-1, 1, 7, 1000])
    if kind == "settlement":
        facts = unpack_settlement(entries[at].payload)
        name = random.choice(facts._fields)
        told_ = facts._replace(**{name: max(0, getattr(facts, name) + change)})
        entries[at] = entries[at]._replace(payload=pack_settlement(*told_))
        return told_ != facts
    unpack, pack = (
        (unpack_outcome, pack_outcome) if kind == "outcome" else (unpack_reversal, pack_reversal)
    )
    said: Any = unpack(entries[at].payload)
    name = random.choice(said._fields[2:])
    lied = said._replace(**{name: max(0, getattr(said, name) + change)})
    entries[at] = entries[at]._replace(payload=pack(*lied))
    return bool(lied != said)


def lie_reversal(random: Any, found: History, entries: list[Entry]) -> bool:
    at = _pick(random, entries, "outcome.reversed")
    if at is None:
        return False
    reversal, said = entries[at], unpack_reversal(entries[at].payload)
    match random.randrange(5):
        case 0:
            _append(entries, reversal)
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


def lie_over(random: Any, found: History, entries: list[Entry]) -> bool:
    """An outcome that was to be paid is said to be over."""
    at = _pick(random, entries, "outcome")
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
        return False  # the reversal would be the lie; or nobody has said what was earned
    said = unpack_outcome(entries[at].payload)._replace(prev=0, n=0, earned_after=0)
    entries[at] = entries[at]._replace(kind="outcome.over", payload=pack_outcome(*said))
    return True


def lie_opened_late(random: Any, found: History, entries: list[Entry]) -> bool:
    """A contract is paid that the log hears of only afterwards."""
    at = _pick(random, entries, "outcome")
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


def lie_clock(random: Any, found: History, entries: list[Entry]) -> bool:
    """A touch is said to be older than what stands below it."""
    at = _pick(random, entries, "touch")
    if at is None:
        return False
    own = [entry.time_ms for entry in entries[:at] if entry.kind in ("touch", "contract.opened")]
    if not own or max(own) == 0:
        return False
    entries[at] = entries[at]._replace(time_ms=max(own) - 1)
    return True


LIES: dict[str, tuple[Lie, set[str]]] = {
    "duplicate": (lie_duplicate, {"duplicate", "transition", "touch", "touch_order"}),
    "duplicate_lead": (lie_duplicate_lead, {"duplicate", "transition"}),
    "transition": (lie_transition, {"transition", "duplicate"}),
    "touch": (lie_touch, {"transition", "touch", "touch_order"}),
    "rival": (lie_rival, {"rival", "transition", "duplicate", "reversal"}),
    "sum": (lie_sum, {"sum", "reversal"}),
    "reversal": (lie_reversal, {"reversal"}),
    "over": (lie_over, {"sum"}),
    "opened_late": (lie_opened_late, {"transition"}),
    "clock": (lie_clock, {"clock", "touch", "touch_order", "rival"}),
}
SHOWN_BY = {"duplicate_lead": "duplicate", "over": "sum", "opened_late": "transition"}


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_is_found(name: str) -> None:
    lie, kinds = LIES[name]
    caught: Counter[str] = Counter()

    @examples(150)
    @given(histories(), seeds)
    def plant(found: History, random: Any) -> None:
        entries = [record.entry for record in found.records]
        if not lie(random, found, entries):
            return
        if name != "sum":
            entries = rethread(entries)
        items, docket = told(found, entries)
        case = find_lie(items, docket, items.__getitem__)
        assert case is not None
        assert contradicts(case, docket)
        assert len(case.exhibits) <= 4
        caught[case.kind] += 1

    plant()
    assert caught.total() >= 5, caught  # not every history has what a lie needs
    assert set(caught) <= kinds, caught
    assert caught[SHOWN_BY.get(name, name)], caught


# --- Lies, one by one -----------------------------------------------------------------------------


class Stage(NamedTuple):
    """A log in which Ann and Bob touch x before it buys twice; positions of what is told."""

    found: History
    bought: int
    paid: int


STEPS: list[tuple[int, Request]] = [
    (1000, Touch(SURFACE, X, ANN, "email")),
    (2000, Touch(SURFACE, X, BOB, "email")),
    (3000, ProductEvent(SURFACE, X, "signup", 0, 3000)),
    (4000, ProductEvent(SURFACE, X, "buy", 0, 4000)),
]


def stage(**changes: Any) -> Stage:
    governing = policy(attribution=changes.pop("attribution", "first_touch"))
    bob = changes.pop("bob", {})
    terms = [
        rules("ann", governing, repeatable=True, **changes),
        rules("bob", governing, operator=BOB, repeatable=True, **bob),
    ]
    found = history(governing, terms, *STEPS)
    kinds = [record.entry.kind for record in found.records]
    paid = kinds.index("outcome")
    return Stage(found, paid - 1, paid)


def misattributed(scene: Stage) -> tuple[list[PublicEntry], Any]:
    """The purchase is paid to Bob."""
    entries = [record.entry for record in scene.found.records]
    bob = next(at for at, entry in enumerate(entries) if entry.actor == BOB and at > 4)
    _say(entries, scene.paid, touch=bob)
    entries[scene.paid] = entries[scene.paid]._replace(actor=word("bob"))
    return told(scene.found, rethread(entries))


def test_a_misattribution_is_shown_with_what_decides_it() -> None:
    scene = stage()
    items, docket = misattributed(scene)
    case = find_lie(items, docket, nowhere)
    assert case is not None
    assert (case.contract_id, case.kind, case.rival) == (word("bob"), "rival", word("ann"))
    assert [item.position for item in case.exhibits] == [scene.paid, scene.paid - 4, 4]
    assert [item.entry for item in case.exhibits] == [
        items[item.position].data for item in case.exhibits
    ]


@pytest.mark.parametrize("reach_below", [False, True])
def test_nothing_above_the_reach_is_held_against_anybody(reach_below: bool) -> None:
    scene = stage()
    items, docket = misattributed(scene)
    reach = scene.paid - reach_below
    docket = {name: found._replace(reach=reach) for name, found in docket.items()}
    assert (find_lie(items, docket, nowhere) is None) is reach_below


def test_each_verifier_is_disproved_once() -> None:
    scene = stage()
    entries = [record.entry for record in scene.found.records]
    for _ in range(3):
        _append(entries, entries[scene.paid])
    items, docket = told(scene.found, rethread(entries))
    found = list(lies(items, docket, items.__getitem__))
    assert [(case.contract_id, case.kind) for case in found] == [(word("ann"), "duplicate")]


def test_a_rival_that_the_parties_closed_before_is_none() -> None:
    scene = stage()
    items, docket = misattributed(scene)
    for closed_at_s, is_found in ((3, False), (4, True), (5, True)):
        closed = docket[word("ann")]._replace(closed_at_s=closed_at_s)
        case = find_lie(items, {**docket, word("ann"): closed}, nowhere)
        assert (case is not None) is is_found


def test_what_lies_far_back_is_looked_up() -> None:
    scene = stage()
    entries = [record.entry for record in scene.found.records]
    entries[scene.paid + 1 : scene.paid + 1] = [entries[3]] * 300
    again = entries[scene.paid]._replace(actor=word("bob"))
    _append(entries, again)
    items, docket = told(scene.found, rethread(entries))
    asked: list[int] = []

    def source(position: int) -> PublicEntry:
        asked.append(position)
        return items[position]

    case = find_lie(items, docket, source)
    assert case is not None
    assert case.kind == "duplicate"
    assert set(asked) == {scene.paid}


def test_a_transition_is_not_paid_again_whoever_was_paid_before() -> None:
    """The first outcome is of a contract that nobody asked about, and that may not even exist."""
    scene = stage()
    entries = [record.entry for record in scene.found.records]
    entries.insert(scene.paid, entries[scene.paid]._replace(actor=word("elsewhere")))
    _append(entries, entries[-1])
    items, docket = told(scene.found, rethread(entries))
    case = find_lie(items, docket, items.__getitem__)
    assert case is not None
    assert (case.contract_id, case.kind) == (word("ann"), "duplicate")
    assert [item.position for item in case.exhibits] == [scene.paid + 1, scene.paid]


def once_only() -> tuple[list[PublicEntry], ContractIndex]:
    """The purchase is paid to Bob, though Ann's touch came first; each lead counts once for her."""
    governing = policy(attribution="first_touch")
    terms = [
        rules("ann", governing, repeatable=False),
        rules("bob", governing, operator=BOB, repeatable=True),
    ]
    found = history(governing, terms, *STEPS)
    paid = [record.entry.kind for record in found.records].index("outcome")
    return misattributed(Stage(found, paid - 1, paid))


def _bought(items: list[PublicEntry]) -> int:
    kinds = [read(at, item.data).kind for at, item in enumerate(items)]
    return kinds.index(OUTCOME) - 1


def test_an_opening_that_the_server_keeps_back_is_told() -> None:
    items, docket = once_only()
    bought = _bought(items)
    bare = [item._replace(opening=None) for item in items]
    unopened: set[int] = set()
    assert list(lies(bare, docket, bare.__getitem__, unopened)) == []
    assert unopened == {bought}
    # With it there is a case; and where another case is found, nothing is amiss.
    unopened.clear()
    assert [case.kind for case in lies(items, docket, items.__getitem__, unopened)] == ["rival"]
    assert unopened == set()


def test_a_claim_that_only_a_withheld_opening_refutes_is_told() -> None:
    items, docket = once_only()
    places = range(len(items))
    touch = next(at for at in places if read(at, items[at].data).is_of(BOB, TOUCH))
    event = _bought(items)
    claim = _claimed(docket[word("bob")], items, event, touch)
    assert claim is not None
    claims = {claim.key(docket[word("bob")].rules): claim}
    for shown, kinds, told_ in (
        (items, ["rival"], set()),
        ([item._replace(opening=None) for item in items], [], {event}),
    ):
        unopened: set[int] = set()
        found = refutations(shown, docket, word("bob"), claims, shown.__getitem__, unopened)
        assert ([case.kind for _, case in found], unopened) == (kinds, told_)


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
    reversal = entries.pop(back)
    said = unpack_reversal(reversal.payload)._replace(outcome=first)
    _say(entries, third - 1, transition=third - 2)
    entries.insert(third, reversal._replace(payload=pack_reversal(*said)))
    items, docket = told(found, rethread(entries))
    case = find_lie(items, docket, items.__getitem__)
    assert case is not None
    assert case.kind == "reversal"
    assert [item.position for item in case.exhibits] == [third, second]


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
    _say(entries, paid[1], prev=0, n=0, earned_after=0)
    entries[paid[1]] = entries[paid[1]]._replace(kind="outcome.over")
    entries = [
        entry._replace(kind="erasure")
        if entry.kind == "outcome.reversed" and unpack_reversal(entry.payload).outcome == paid[1]
        else entry
        for entry in entries
    ]
    items, docket = told(found, rethread(entries))
    cases = list(lies(items, docket, items.__getitem__))
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
        items, docket = told(found, rethread(entries))
        taken = 0

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal taken
            taken += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            kinds_ = [case.kind for case in lies(items, docket, items.__getitem__)]
        finally:
            sys.settrace(before)
        assert kinds_ == (["clock"] if step_ms < 0 else [])
        return taken

    few, many = steps(50), steps(400)
    assert many < 8 * 2 * few


# --- Claims ---------------------------------------------------------------------------------------


ENDLESS = 1 << 200


def refutation(
    items: list[PublicEntry], docket: ContractIndex, name: bytes, item: Claim
) -> Case | None:
    """What the log says against one claim."""
    claims = {item.key(docket[name].rules): item}
    found = dict(refutations(items, docket, name, claims, items.__getitem__))
    return next(iter(found.values()), None)


def owed(found: History, name: bytes, floor: int = 0) -> list[Claim]:
    """What the fold has awarded to a contract above the floor, and not taken back."""
    entries = [record.entry for record in found.records]
    back = {
        unpack_reversal(entry.payload).outcome
        for entry in entries
        if entry.kind == "outcome.reversed"
    }
    return [
        Claim(entry.subject, entry.value, said.transition, said.touch, entry.time_ms)
        for at, entry in enumerate(entries)
        if entry.kind in ("outcome", "outcome.over") and entry.actor == name
        for said in [unpack_outcome(entry.payload)]
        if at > floor and at not in back
    ]


def test_an_operator_can_claim_what_the_fold_awards_and_nothing_else() -> None:
    """Two implementations: `decide` wrote the log, the search reads only its facts."""
    amounts: Counter[str] = Counter()

    @examples(200)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        items = found.public
        floor = random.choice([0, 0, random.randrange(len(items))])
        for name, standing in found.vouched(floor=floor).items():
            docket = found.vouched(floor=floor)
            claims = find_claims(items, docket, name, ENDLESS)
            assert claims == owed(found, name, floor)
            for item in claims:
                shown = [Exhibit(at, items[at].data) for at in (item.transition, item.touch)]
                assert claim_of(standing, *shown) == item
                assert refutation(items, docket, name, item) is None
                amounts["claimed"] += 1
            if floor == 0:
                amounts["nothing"] += not claims

    claim()
    assert amounts["claimed"] >= 100, amounts


def test_a_log_that_leaves_an_outcome_out_owes_it_still() -> None:
    """Whatever is missing or was given to another, as long as no final statement answers."""
    seen: Counter[bool] = Counter()

    @examples(100)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        entries = [record.entry for record in found.records]
        at = _pick(random, entries, "outcome")
        if at is None:
            return
        name, said = entries[at].actor, unpack_outcome(entries[at].payload)
        if any(item.transition == said.transition for item in owed(found, name)):
            entries[at] = entries[at]._replace(kind="erasure")
            items, docket = told(found, rethread(entries))
            claims = find_claims(items, docket, name, ENDLESS)
            assert said.transition in [item.transition for item in claims]
            seen[True] += 1

    claim()
    assert seen[True] >= 15, seen


def test_claims_against_an_honest_log_are_refuted() -> None:
    """Every claim that two entries make: owed, refuted, or one that four entries cannot decide.

    Once when all is final, and once when nothing is, so that nobody has answered.
    """
    seen: Counter[str] = Counter()

    @examples(200)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        floor = random.choice([0, len(found.records) - 1])
        items, docket = found.public, found.vouched(floor=floor)
        entries = [record.entry for record in found.records]
        events = [at for at, entry in enumerate(entries) if entry.kind == "lead.transition"]
        touches = [at for at, entry in enumerate(entries) if entry.kind == "touch"]
        for name in docket:
            awarded = {item[:1] + item[2:] for item in owed(found, name, -1)}
            for event in events:
                for touch in touches:
                    item = _claimed(docket[name], items, event, touch)
                    if item is None:
                        continue
                    case = refutation(items, docket, name, item)
                    if case is not None:
                        check_refutation(case, item, docket)
                        seen[case.kind] += 1
                    elif item[:1] + item[2:] in awarded:
                        assert floor == 0, "a final answer was not found"
                    else:
                        why = _why_undecided(found, name, item)
                        assert floor == 0 or why == "unknown to the log"
                        seen[why] += 1

    claim()
    assert min(seen[kind] for kind in REFUTATIONS) >= 3, seen
    assert "nothing" not in seen, seen


def _claimed(standing: Any, items: list[PublicEntry], event: int, touch: int) -> Claim | None:
    shown = [Exhibit(at, items[at].data) for at in (event, touch)]
    try:
        return claim_of(standing, *shown)
    except EvidenceError:
        return None


def _why_undecided(found: History, name: bytes, item: Claim) -> str:
    """Why an honest log cannot answer a claim that it does not owe."""
    entries = [record.entry for record in found.records]
    opened = [
        entry.subject for entry in entries[: item.transition] if entry.kind == "contract.opened"
    ]
    if name not in opened:
        return "unknown to the log"
    if any(
        not found.docket[name].rules.repeatable
        or unpack_outcome(entry.payload).transition == item.transition
        for entry in entries[: item.transition + 2]
        if entry.kind in ("outcome", "outcome.over")
        and (entry.actor, entry.subject) == (name, item.lead)
    ):
        return "answered, and not for good"
    winners = [
        entry.actor
        for entry in entries
        if entry.kind in ("outcome", "outcome.over")
        and unpack_outcome(entry.payload).transition == item.transition
    ]
    if winners and not found.docket[winners[0]].rules.repeatable:
        return "beaten by one that counts once"
    return "nothing"


def test_claims_stay_within_the_room_that_is_left() -> None:
    governing = policy()
    terms = rules("ann", governing, repeatable=True, unit_price_units=0, revenue_share_bps=10_000)
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        *((3000, ProductEvent(SURFACE, X, "buy", value, 3000)) for value in (5, 8, 3, 0, 1)),
    ]
    found = history(governing, [terms], *steps)

    def amounts(
        room: int, filed: Sequence[bytes] = (), closed_at_s: int = 0, floor: int = 0
    ) -> list[int]:
        standing = found.docket[word("ann")]
        docket = {word("ann"): standing._replace(closed_at_s=closed_at_s, floor=floor)}
        return [item.amount for item in find_claims(found.public, docket, word("ann"), room, filed)]

    assert amounts(ENDLESS) == [5, 8, 3, 0, 1]
    assert amounts(17) == [5, 8, 3, 0, 1]
    assert amounts(16) == [5, 8, 3, 0]
    assert amounts(12) == [5, 3, 0, 1]
    assert amounts(0) == [0]
    first = find_claims(found.public, found.docket, word("ann"), 5)[0]
    assert amounts(16, [first.key(terms)]) == [8, 3, 0, 1]
    assert amounts(ENDLESS, closed_at_s=9) == []
    settled = [at for at, record in enumerate(found.records) if record.entry.kind == "outcome"]
    assert amounts(ENDLESS, floor=settled[1]) == [3, 0, 1]
    assert amounts(ENDLESS, floor=len(found.records)) == []


def test_a_closing_that_the_log_hears_of_late_leaves_the_rival_its_claim() -> None:
    """The log gives the outcome to a contract that was closed by then: nobody is paid for it."""
    governing = policy()
    terms = [rules(name, governing, unit_price_units=8) for name in ("first", "second")]
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (4000, ProductEvent(SURFACE, X, "buy", 0, 4000)),
        (5000, CloseContract(word("first"), 3000, word("closing"))),
    ]
    found = history(governing, terms, *steps)
    (outcome,) = (one.entry for one in found.records if one.entry.kind == "outcome")
    assert outcome.actor == word("first")
    docket = {
        word("first"): found.docket[word("first")]._replace(closed_at_s=3),
        word("second"): found.docket[word("second")],
    }
    assert find_claims(found.public, docket, word("first"), ENDLESS) == []
    (claim,) = find_claims(found.public, docket, word("second"), ENDLESS)
    assert (claim.lead, claim.amount) == (X, 8)
    assert refutation(found.public, docket, word("second"), claim) is None


def test_a_policy_that_is_not_in_force_gives_no_claims() -> None:
    governing = policy()
    terms = [rules("ann", governing), rules("old", governing, policy_hash=word("another"))]
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 0, 3000)),
        (4000, Settle()),
    ]
    found = history(governing, terms, *steps)
    assert len(find_claims(found.public, found.docket, word("ann"), ENDLESS)) == 1
    assert find_claims(found.public, found.docket, word("old"), ENDLESS) == []


# --- What the log states, the escrow takes --------------------------------------------------------


@st.composite
def late_histories(draw: st.DrawFn) -> History:
    """Markets whose contracts end half way, with refunds behind their ends."""
    random = draw(seeds)
    governing = policy()
    contracts = [
        rules_._replace(
            outcome="paid",
            budget_units=1000,
            opens_at_ms=0,
            deadline_ms=25_000,
            attribution_window_ms=90_000,
            statements_until_ms=random.choice([25_000, 27_000]),
            holdback_period_ms=random.choice([0, 5000, 20_000]),
        )
        for rules_ in draw(contract_lists(governing))
    ]
    steps = draw(request_lists(contracts))
    for at in range(len(steps), 0, -2):
        now = steps[at - 1][0]
        if now >= 20_000:
            refund = ProductEvent(SURFACE, random.choice(LEADS), "refund", 0, now)
            steps[at:at] = [(now, refund), (now, Settle())]
    return history(governing, contracts, *steps)


def test_the_escrow_refuses_no_statement_of_an_honest_log() -> None:
    """Brought at once where nothing is pending, each statement of the fold is taken."""
    seen: Counter[str] = Counter()

    @examples(500)
    @given(late_histories())
    def bring(found: History) -> None:
        for name, standing in found.docket.items():
            rules_ = standing.rules
            position = EscrowedContract(
                dataclasses.replace(
                    PLAIN,
                    unit_price_units=rules_.unit_price_units,
                    revenue_share_bps=rules_.revenue_share_bps,
                    budget_units=rules_.budget_units,
                    opens_at_s=0,
                    deadline_s=rules_.deadline_ms // 1000,
                    grace_s=(rules_.statements_until_ms - rules_.deadline_ms) // 1000,
                    holdback_period_s=rules_.holdback_period_ms // 1000,
                    challenge_period_s=0,
                )
            )
            for at, (entry, _) in enumerate(found.records):
                if entry.kind != "settlement" or entry.subject != name:
                    continue
                said = unpack_settlement(entry.payload)
                late = entry.time_ms > rules_.statements_until_ms
                if late and said.reversed == position.reversed_units:
                    continue  # it takes back outcomes that were worth nothing
                taken = position.settle(entry.time_ms // 1000, at, said.earned, said.reversed)
                assert taken.refusal == ""
                seen["late" if late else "in time"] += 1

    bring()
    assert min(seen["late"], seen["in time"]) >= 3, seen
