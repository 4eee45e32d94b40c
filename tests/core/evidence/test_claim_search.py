"""The search for claims and their refutations, against what the fold gives."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from orchestrator.core.entry import unpack_outcome, unpack_reversal
from orchestrator.core.errors import EvidenceError
from orchestrator.core.evidence.claim_search import (
    find_claims,
    find_refutations,
    find_reversals,
)
from orchestrator.core.evidence.exhibits import (
    REFUTATIONS,
    TOUCH,
    Case,
    Claim,
    ContractIndex,
    Exhibit,
    read_words,
)
from orchestrator.core.evidence.history import PublicEntry, public_entry
from orchestrator.core.evidence.rules import check_proven_reversal, check_refutation, claim_of
from orchestrator.core.requests import (
    CloseContract,
    IssueCode,
    ProductEvent,
    ReportTouch,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world import World
from tests.support.depth import examples
from tests.support.histories import (
    ANN,
    BOB,
    History,
    X,
    forge,
    histories,
    history,
    misattributed,
    pick,
    refunded_histories,
    reopened,
    rethread,
    rivalry,
)
from tests.support.worlds import SURFACE, policy, rules, seeds, word

# --- Claims ---------------------------------------------------------------------------------------


ENDLESS = 1 << 200


def refutation(
    items: list[PublicEntry], contracts: ContractIndex, name: bytes, item: Claim
) -> Case | None:
    """Return the case by which the log refutes one claim, if it does."""
    claims = {item.key(contracts[name].rules): item}
    found = dict(find_refutations(items, contracts, name, claims, items.__getitem__))
    return next(iter(found.values()), None)


def owed(found: History, name: bytes, last_final: int = 0) -> list[Claim]:
    """Return what the fold gave a contract above the last final statement, and did not reverse."""
    entries = [record.entry for record in found.records]
    back = taken_back(found)
    return [
        Claim(entry.subject, entry.value, said.transition, said.touch, entry.time_ms)
        for at, entry in enumerate(entries)
        if entry.kind in ("outcome", "outcome.over") and entry.actor == name
        for said in [unpack_outcome(entry.payload)]
        if at > last_final and not (said.transition in back and not back[said.transition][1])
    ]


def taken_back(found: History) -> dict[int, tuple[int, int]]:
    """Return by transition the outcome of which reversals took something, and what they left."""
    entries = [record.entry for record in found.records]
    left: dict[int, tuple[int, int]] = {}
    for entry in entries:
        if entry.kind == "outcome.reversed":
            at = unpack_reversal(entry.payload).outcome
            transition = unpack_outcome(entries[at].payload).transition
            before = left.get(transition, (at, entries[at].value))[1]
            left[transition] = at, before - entry.value
    return left


def test_an_operator_can_claim_what_the_fold_awards_and_nothing_else() -> None:
    """Two implementations: `decide` wrote the log, the search reads only its facts."""
    amounts: Counter[str] = Counter()

    @examples(200)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        items = found.public
        last_final = random.choice([0, 0, random.randrange(len(items))])
        for name, record in found.signed(last_final=last_final).items():
            contracts = found.signed(last_final=last_final)
            claims = find_claims(items, contracts, name, ENDLESS)
            assert claims == owed(found, name, last_final)
            for item in claims:
                shown = [Exhibit(at, items[at].data) for at in (item.transition, item.touch)]
                assert claim_of(record, *shown) == item
                case = refutation(items, contracts, name, item)
                _, left = taken_back(found).get(item.transition, (0, item.amount))
                if left < item.amount:
                    assert case is not None
                    assert (case.kind, check_refutation(case, item, contracts)) == (
                        "reversed",
                        left,
                    )
                    amounts["lowered"] += 1
                else:
                    assert case is None
                    amounts["claimed"] += 1
            if last_final == 0:
                amounts["nothing"] += not claims

    claim()
    assert amounts["claimed"] >= 100, amounts


def test_a_log_that_leaves_an_outcome_out_owes_it_still() -> None:
    """It is owed as long as no final statement answers."""
    seen: Counter[bool] = Counter()

    @examples(100)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        entries = [record.entry for record in found.records]
        at = pick(random, entries, "outcome")
        if at is None:
            return
        name, said = entries[at].actor, unpack_outcome(entries[at].payload)
        if any(item.transition == said.transition for item in owed(found, name)):
            entries[at] = entries[at]._replace(kind="erasure")
            items, contracts = forge(found, rethread(entries))
            claims = find_claims(items, contracts, name, ENDLESS)
            assert said.transition in [item.transition for item in claims]
            seen[True] += 1

    claim()
    assert seen[True] >= 15, seen


def test_claims_against_an_honest_log_are_refuted() -> None:
    """Every claim that two entries make: owed, refuted, or one that no exhibits decide.

    Once when all is final, and once when nothing is, so that nothing is answered.
    """
    seen: Counter[str] = Counter()

    @examples(200)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        last_final = random.choice([0, len(found.records) - 1])
        items, contracts = found.public, found.signed(last_final=last_final)
        entries = [record.entry for record in found.records]
        events = [at for at, entry in enumerate(entries) if entry.kind == "lead.transition"]
        touches = [at for at, entry in enumerate(entries) if entry.kind.startswith("touch")]
        for name in contracts:
            awarded = {item[:1] + item[2:] for item in owed(found, name, -1)}
            for event in events:
                for touch in touches:
                    item = _claimed(contracts[name], items, event, touch)
                    if item is None or not item.amount:
                        continue  # a claim to nothing need not be refuted
                    case = refutation(items, contracts, name, item)
                    if case is not None:
                        check_refutation(case, item, contracts)
                        seen[case.kind] += 1
                    elif item[:1] + item[2:] in awarded:
                        assert last_final == 0, "a final answer was not found"
                    else:
                        why = _why_undecided(found, name, item)
                        assert last_final == 0 or why == "unknown to the log"
                        seen[why] += 1

    claim()
    # In an honest log every report is true.
    assert min(seen[kind] for kind in {*REFUTATIONS} - {"cause"}) >= 3, seen
    assert "nothing" not in seen, seen


def _claimed(record: Any, items: list[PublicEntry], event: int, touch: int) -> Claim | None:
    shown = [Exhibit(at, items[at].data) for at in (event, touch)]
    try:
        return claim_of(record, *shown)
    except EvidenceError:
        return None


def _why_undecided(found: History, name: bytes, item: Claim) -> str:
    """Return the reason why an honest log cannot answer a claim that it does not owe."""
    entries = [record.entry for record in found.records]
    opened = [
        entry.subject for entry in entries[: item.transition] if entry.kind == "contract.opened"
    ]
    if name not in opened:
        return "unknown to the log"
    if any(
        not found.contracts[name].rules.repeatable
        or unpack_outcome(entry.payload).transition == item.transition
        for entry in entries[: item.transition + 2]
        if entry.kind in ("outcome", "outcome.over")
        and (entry.actor, entry.subject) == (name, item.lead)
    ):
        return "answered, and not for good"
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
        room: int, filed: Sequence[bytes] = (), closed_at_s: int = 0, last_final: int = 0
    ) -> list[int]:
        record = found.contracts[word("ann")]
        contracts = {word("ann"): record._replace(closed_at_s=closed_at_s, last_final=last_final)}
        return [
            item.amount for item in find_claims(found.public, contracts, word("ann"), room, filed)
        ]

    assert amounts(ENDLESS) == [5, 8, 3, 0, 1]
    assert amounts(17) == [5, 8, 3, 0, 1]
    assert amounts(16) == [5, 8, 3, 0]
    assert amounts(12) == [5, 3, 0, 1]
    assert amounts(0) == [0]
    first = find_claims(found.public, found.contracts, word("ann"), 5)[0]
    assert amounts(16, [first.key(terms)]) == [8, 3, 0, 1]
    assert amounts(ENDLESS, closed_at_s=9) == []
    settled = [at for at, record in enumerate(found.records) if record.entry.kind == "outcome"]
    assert amounts(ENDLESS, last_final=settled[1]) == [3, 0, 1]
    assert amounts(ENDLESS, last_final=len(found.records)) == []


def test_a_closing_that_the_log_hears_of_late_leaves_the_rival_its_claim() -> None:
    """The log gives the outcome to a contract that was closed by then: neither is paid for it."""
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
    contracts = {
        word("first"): found.contracts[word("first")]._replace(closed_at_s=3),
        word("second"): found.contracts[word("second")],
    }
    assert find_claims(found.public, contracts, word("first"), ENDLESS) == []
    (claim,) = find_claims(found.public, contracts, word("second"), ENDLESS)
    assert (claim.lead, claim.amount) == (X, 8)
    assert refutation(found.public, contracts, word("second"), claim) is None


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
    assert len(find_claims(found.public, found.contracts, word("ann"), ENDLESS)) == 1
    assert find_claims(found.public, found.contracts, word("old"), ENDLESS) == []


def test_a_claim_that_only_a_withheld_opening_refutes_is_reported() -> None:
    market = rivalry(ann_repeatable=False)
    items, contracts = misattributed(market)
    places = range(len(items))
    touch = next(at for at in places if read_words(at, items[at].data).is_of(BOB, TOUCH))
    event = market.paid - 1
    claim = _claimed(contracts[word("bob")], items, event, touch)
    assert claim is not None
    claims = {claim.key(contracts[word("bob")].rules): claim}
    for shown, kinds, expected in (
        (items, ["rival"], set()),
        ([item._replace(opening=b"") for item in items], [], {event}),
    ):
        unopened: set[int] = set()
        found = find_refutations(shown, contracts, word("bob"), claims, shown.__getitem__, unopened)
        assert ([case.kind for _, case in found], unopened) == (kinds, expected)


# --- Reports, and what was taken back -------------------------------------------------------------


def clicked(**changes: Any) -> tuple[History, list[PublicEntry]]:
    """Return a log in which Ann is credited for a click, with another opening of that."""
    governing = policy()
    terms = rules("ann", governing, repeatable=True)
    steps: list[tuple[int, Any]] = [
        (500, Touch(SURFACE, X, BOB, "email")),
        (600, IssueCode(SURFACE, word("code"), ANN, 9, 90_000, *(bytes(32),) * 3)),
        (1000, _click),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 0, 3000)),
    ]
    found = history(governing, [terms], *steps)
    records = [
        reopened(record, **changes) if record.entry.kind == "touch.reported" else record
        for record in found.records
    ]
    return found, [public_entry(record) for record in records]


def _click(world: World) -> ReportTouch:
    (position,) = world.causes
    return ReportTouch(SURFACE, X, ANN, "click", 800, position, 1000, bytes(32), bytes(32))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [({}, None), ({"received_ms": 799}, 1), ({"cause": 2}, 2), ({"cause": 1 << 30}, 1)],
)
def test_a_claim_by_a_report_that_nothing_bears_is_refuted(
    changes: dict[str, Any], shown: int | None
) -> None:
    found, items = clicked(**changes)
    (claim,) = find_claims(items, found.contracts, word("ann"), ENDLESS)
    case = refutation(items, found.contracts, word("ann"), claim)
    assert (None if case is None else (case.kind, len(case.exhibits))) == (
        None if shown is None else ("cause", shown)
    )


def test_a_report_that_the_server_does_not_open_is_reported() -> None:
    found, items = clicked()
    bare = [item._replace(opening=b"") for item in items]
    (claim,) = find_claims(items, found.contracts, word("ann"), ENDLESS)
    claims, unopened = {claim.key(found.contracts[word("ann")].rules): claim}, set[int]()
    cases = find_refutations(bare, found.contracts, word("ann"), claims, bare.__getitem__, unopened)
    assert (list(cases), unopened) == ([], {claim.touch})


def test_every_reversal_of_a_settled_outcome_can_be_proven() -> None:
    """Without the verifier: from the events, what the fold wrote into the reversals."""
    proven: Counter[str] = Counter()

    @examples(100)
    @given(refunded_histories(), seeds)
    def prove(found: History, random: Any) -> None:
        last = len(found.records) - 1
        items, final = found.public, random.randint(0, last)
        contracts = found.signed(last_final=final)
        expected: dict[int, int] = {}  # by event
        for entry, _ in found.records:
            if entry.kind == "outcome.reversed":
                said = unpack_reversal(entry.payload)
                if said.outcome <= final < said.event:
                    expected[said.event] = entry.value
        shown: dict[int, int] = {}
        for name in contracts:
            cases = list(find_reversals(items, contracts, name, (), items.__getitem__))
            places = [reversal.happened for reversal, _ in cases]
            assert places == sorted(places)
            for reversal, case in cases:
                assert check_proven_reversal(case, contracts) == reversal
                shown[reversal.happened] = reversal.amount_units
            # What the escrow knows already is not shown again.
            known = places[::2]
            again = find_reversals(items, contracts, name, known, items.__getitem__)
            assert [reversal.happened for reversal, _ in again] == places[1::2]
        assert shown == expected
        proven["some"] += len(shown)

    prove()
    assert proven["some"] >= 10
