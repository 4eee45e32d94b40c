"""The search for claims and their refutations, against what the fold gives."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.units import BPS
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
from orchestrator.core.log.entry import Entry, unpack_outcome, unpack_reversal
from orchestrator.core.log.opening import EventOpening, Record
from orchestrator.core.world.requests import (
    CloseContract,
    Erasure,
    IssueCode,
    ProductEvent,
    ReportTouch,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World
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
from tests.support.worlds import OWNER, SURFACE, policy, rules, seeds, word

# --- Claims ---------------------------------------------------------------------------------------


ENDLESS = 1 << 200


def refutation(
    items: list[PublicEntry], contracts: ContractIndex, name: bytes, item: Claim
) -> Case | None:
    """Return the case by which the log refutes one claim, if it does."""
    claims = {item.key(contracts[name].rules): item}
    found = dict(find_refutations(items, contracts, {name: claims}, items.__getitem__))
    return next(iter(found.values()), None)


def owed(found: History, name: bytes, last_final: int = 0) -> list[Claim]:
    """Return what the fold gave a contract above the last final statement, and did not take back.

    What is worth nothing is no debt.
    """
    left = units_left(found)
    return [claim for claim in awarded(found, name, last_final) if left[claim.transition] > 0]


def awarded(found: History, name: bytes, last_final: int = -1) -> list[Claim]:
    """Return what the fold gave a contract above the last final statement, paid or over."""
    return [
        Claim(entry.subject, entry.value, said.transition, said.touch, entry.time_ms)
        for at, (entry, _) in enumerate(found.records)
        if entry.kind in ("outcome", "outcome.over") and entry.actor == name
        for said in [unpack_outcome(entry.payload)]
        if at > last_final
    ]


def units_left(found: History) -> dict[int, int]:
    """Return what is left of each outcome, paid or over, by its transition.

    Of a paid one the fold's reversals take. One that was over was never paid, so nothing is
    reversed of it; what refunds give back of its purchase, the events themselves say.
    """
    entries = [record.entry for record in found.records]
    left: dict[int, int] = {}
    over: dict[int, Entry] = {}
    for entry, opening in found.records:
        if entry.kind in ("outcome", "outcome.over"):
            transition = unpack_outcome(entry.payload).transition
            left[transition] = entry.value
            if entry.kind == "outcome.over":
                over[transition] = entry
        elif entry.kind == "outcome.reversed":
            outcome = entries[unpack_reversal(entry.payload).outcome]
            left[unpack_outcome(outcome.payload).transition] -= entry.value
        elif isinstance(opening, EventOpening) and opening.of in over:
            unpaid, refunded = over[opening.of], opening.refunded_after_units
            terms = found.contracts[unpaid.actor].rules
            if entry.time_ms > unpaid.time_ms + terms.holdback_period_ms:
                continue
            is_all = refunded >= entries[opening.of].value
            kept = 0 if is_all else unpaid.value - refunded * terms.revenue_share_bps // BPS
            left[opening.of] = min(left[opening.of], kept)
    return left


def check_claims(found: History, last_final: int) -> Counter[str]:
    """Hold the claims that the search finds, and what it finds against them, to the fold.

    Two implementations: `decide` wrote the log, the search reads only its facts.
    """
    items, left = found.public, units_left(found)
    contracts, seen = found.signed(last_final=last_final), Counter[str]()
    over = {at - 1 for at, (entry, _) in enumerate(found.records) if entry.kind == "outcome.over"}
    for name, record in contracts.items():
        claims = find_claims(items, contracts, name, ENDLESS)
        assert claims == owed(found, name, last_final)
        for item in claims:
            shown = [Exhibit(at, items[at].data) for at in (item.transition, item.touch)]
            assert claim_of(record, *shown) == item
        # What was taken back as a whole is not claimed, and would be lowered to nothing.
        for item in awarded(found, name, last_final):
            case = refutation(items, contracts, name, item)
            kept, kind = left[item.transition], "claimed"
            if kept < item.amount:
                assert case is not None
                assert (case.kind, check_refutation(case, item, contracts)) == ("reversed", kept)
                kind = "lowered" if kept else "dropped"
            else:
                assert case is None
            seen[f"{kind} over" if item.transition in over else kind] += 1
        seen["nothing"] += not claims and last_final == 0
    return seen


def test_one_pass_refutes_of_many_contracts_what_a_pass_for_each_does() -> None:
    kinds: Counter[str] = Counter()

    @examples(50)
    @given(refunded_histories() | histories(closings=False), seeds)
    def refute(found: History, random: Any) -> None:
        items = found.public
        contracts = found.signed(last_final=random.randrange(len(found.records)))
        claims = {
            name: {one.key(record.rules): one for one in awarded(found, name)}
            for name, record in contracts.items()
        }
        alone = [
            case
            for name, own in claims.items()
            for case in find_refutations(items, contracts, {name: own}, items.__getitem__)
        ]
        together = list(find_refutations(items, contracts, claims, items.__getitem__))
        assert together == alone
        kinds.update(case.kind for _, case in together)

    refute()
    assert min(kinds["answered"], kinds["reversed"]) >= 10, kinds


def test_an_operator_can_claim_what_the_fold_awards_and_nothing_else() -> None:
    amounts: Counter[str] = Counter()

    @examples(200)
    @given(histories(closings=False), seeds)
    def claim(found: History, random: Any) -> None:
        amounts.update(
            check_claims(found, random.choice([0, 0, random.randrange(len(found.records))]))
        )

    claim()
    assert amounts["claimed"] >= 100, amounts


def test_refunds_leave_the_same_of_a_claim_as_the_fold_does() -> None:
    """Of outcomes paid and over, in parts, late, and in another order than they happened."""
    amounts: Counter[str] = Counter()

    @examples(200)
    @given(refunded_histories())
    def claim(found: History) -> None:
        amounts.update(check_claims(found, 0))

    claim()
    kinds = ("claimed", "lowered", "dropped")
    assert min(amounts[f"{kind}{over}"] for kind in kinds for over in ("", " over")) >= 15, amounts


def test_an_outcome_over_the_budget_is_not_owed_once_its_purchase_was_refunded() -> None:
    """No reversal says so, for it was not paid; the event that names its order does."""
    governing = policy()
    terms = rules("ann", governing, repeatable=True, budget_units=10, holdback_period_ms=1000)
    order = word("order")

    def claimed(back: int, at_ms: int, *, whole: bool = False) -> list[int]:
        found = history(
            governing,
            [terms],
            (1000, Touch(SURFACE, X, ANN, "email")),
            (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
            (3000, ProductEvent(SURFACE, X, "buy", 5, 3000)),
            (3000, ProductEvent(SURFACE, X, "buy", 5, 3000, order=order)),
            (5000, ProductEvent(SURFACE, X, "refund", back, at_ms, order=order, whole=whole)),
        )
        over = [at for at, (one, _) in enumerate(found.records) if one.kind == "outcome.over"]
        (refund,) = (one for one, _ in found.records if one.kind == "product.event")
        assert not any(one.kind == "outcome.reversed" for one, _ in found.records)
        assert (len(over), refund.time_ms) == (1, at_ms)
        check_claims(found, 0)
        claims = find_claims(found.public, found.contracts, word("ann"), ENDLESS)
        return [claim.transition - over[0] for claim in claims]

    assert claimed(5, 4000) == [-3]
    assert claimed(0, 4000, whole=True) == [-3]
    assert claimed(4, 4000) == [-3, -1]  # the price goes with the last part
    assert claimed(5, 4001) == [-3, -1]  # happened when nothing could be taken back any more


def test_an_outcome_that_is_worth_nothing_is_not_claimed() -> None:
    """With a refund in part or without, of which the fold has nothing to reverse."""
    governing, order = policy(), word("order")
    terms = rules("ann", governing, unit_price_units=0, revenue_share_bps=1, holdback_period_ms=9)
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 9, 3000, order=order)),
        (3001, ProductEvent(SURFACE, X, "refund", 1, 3001, order=order, whole=False)),
    ]
    for told in (steps[:3], steps):
        found = history(governing, [terms], *told)
        assert [one.amount for one in awarded(found, word("ann"))] == [0]
        check_claims(found, 0)
        assert find_claims(found.public, found.contracts, word("ann"), ENDLESS) == []


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
    """Every claim that two entries make: owed, refuted, or from before the log knew the contract.

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
            given_by_fold = {item[:1] + item[2:] for item in owed(found, name, -1)}
            for event in events:
                for touch in touches:
                    item = _claimed(contracts[name], items, event, touch)
                    if item is None or not item.amount:
                        continue  # a claim to nothing need not be refuted
                    case = refutation(items, contracts, name, item)
                    if case is not None:
                        check_refutation(case, item, contracts)
                        seen[case.kind] += 1
                    elif item[:1] + item[2:] in given_by_fold:
                        assert last_final == 0, "a final answer was not found"
                    else:
                        assert not _is_known(found, name, item)
                        seen["unknown to the log"] += 1

    claim()
    # In an honest log every report is true.
    assert min(seen[kind] for kind in {*REFUTATIONS} - {"cause"}) >= 3, seen


def _claimed(record: Any, items: list[PublicEntry], event: int, touch: int) -> Claim | None:
    shown = [Exhibit(at, items[at].data) for at in (event, touch)]
    try:
        return claim_of(record, *shown)
    except EvidenceError:
        return None


def _is_known(found: History, name: bytes, item: Claim) -> bool:
    """Return whether the log knew of the contract when it took the claimed transition."""
    below = (record.entry for record in found.records[: item.transition])
    return any(entry.kind == "contract.opened" and entry.subject == name for entry in below)


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

    assert amounts(ENDLESS) == [5, 8, 3, 1]
    assert amounts(17) == [5, 8, 3, 1]
    assert amounts(16) == [5, 8, 3]
    assert amounts(12) == [5, 3, 1]
    assert amounts(0) == []
    first = find_claims(found.public, found.contracts, word("ann"), 5)[0]
    assert amounts(16, [first.key(terms)]) == [8, 3, 1]
    assert amounts(ENDLESS, closed_at_s=9) == []
    settled = [at for at, record in enumerate(found.records) if record.entry.kind == "outcome"]
    assert amounts(ENDLESS, last_final=settled[1]) == [3, 1]
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


def test_a_claim_of_a_later_visit_is_refuted_by_the_first() -> None:
    """Its lead counted once and was refunded; an operator names what it bought after that."""
    shares = {"unit_price_units": 0, "revenue_share_bps": 1000, "holdback_period_ms": 1000}
    terms = rules("ann", policy(), repeatable=False, **shares)
    steps: list[tuple[int, Request]] = [
        (1000, Touch(SURFACE, X, ANN, "email")),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 100, 3000, order=word("small"))),
        (4000, ProductEvent(SURFACE, X, "refund", 0, 4000, order=word("small"))),
        (5000, ProductEvent(SURFACE, X, "buy", 90_000, 5000, order=word("large"))),
        (6000, Settle()),
    ]
    found = history(policy(), [terms], *steps)
    items, entries = found.public, [record.entry for record in found.records]
    counted = [one.value for one in entries if one.kind.startswith("outcome")]
    assert counted == [10, 10]  # an outcome, and all of it taken back
    later = max(at for at, one in enumerate(entries) if one.kind == "lead.transition")
    touch = next(at for at, one in enumerate(entries) if one.kind == "touch")
    shown = [Exhibit(at, items[at].data) for at in (later, touch)]
    for last_final, expected in ((0, "earlier"), (len(items) - 1, "answered")):
        contracts = found.signed(last_final=last_final)
        claim = claim_of(contracts[word("ann")], *shown)
        assert claim.amount == 9000
        case = refutation(items, contracts, word("ann"), claim)
        assert case is not None
        assert (case.kind, check_refutation(case, claim, contracts)) == (expected, 0)
        # The first left nothing to claim, and used the lead up all the same.
        assert find_claims(items, contracts, word("ann"), ENDLESS) == []


def visited_twice(**changes: Any) -> History:
    """Return a log in which a lead buys twice, and counts once for Ann, at first."""
    governing = policy()
    terms = [
        rules("ann", governing, **{"repeatable": False, **changes}),
        rules("bob", governing, operator=BOB),
    ]
    steps: list[tuple[int, Request]] = [
        (500, Touch(SURFACE, X, ANN, "email")),
        (600, Erasure(SURFACE, X, OWNER)),
        (2000, ProductEvent(SURFACE, X, "signup", 0, 2000)),
        (3000, ProductEvent(SURFACE, X, "buy", 5, 3000)),
        (4000, ProductEvent(SURFACE, X, "buy", 50, 4000)),
    ]
    return history(governing, terms, *steps)


def against_the_second(found: History, *lies: tuple[int, dict[str, Any]]) -> Case | None:
    """Return what refutes the claim of the last purchase once these entries are others."""
    entries = [record.entry for record in found.records]
    for at, lie in lies:
        entries[at] = entries[at]._replace(**lie)
    items, _ = forge(found, entries)
    second = max(at for at, one in enumerate(entries) if one.kind == "lead.transition")
    touch = next(at for at, one in enumerate(entries) if one.kind == "touch")
    claim = _claimed(found.contracts[word("ann")], items, second, touch)
    assert claim is not None
    return refutation(items, found.contracts, word("ann"), claim)


def test_what_could_not_be_claimed_is_no_earlier_visit() -> None:
    """Neither where the log says so falsely, nor does that hide one that could."""
    found = visited_twice()
    kinds = [record.entry.kind for record in found.records]
    first, erased = kinds.index("outcome"), kinds.index("erasure")
    touch = kinds.index("touch")
    opened = [record.entry.subject for record in found.records].index(word("ann"))
    paid = found.records[first].entry._asdict()
    shown = against_the_second(found)
    assert shown is not None
    assert [one.position for one in shown.exhibits] == [first, first - 1, touch, opened]
    # An outcome above no transition of the lead, before the one that is true.
    assert against_the_second(found, (erased, paid)) == shown
    counted: list[dict[str, Any]] = [
        {"kind": "erasure"},
        {"actor": word("bob")},
        {"subject": word("another lead")},
    ]
    for lie in counted:
        assert against_the_second(found, (first, lie)) is None
        # And so no outcome is what the log says elsewhere.
        assert against_the_second(found, (first, lie), (erased, paid)) is None
    entered: list[dict[str, Any]] = [
        {"label": "trial"},
        {"time_ms": 499},
        {"subject": word("another lead")},
    ]
    for lie in entered:
        assert against_the_second(found, (first - 1, lie)) is None
    unopened = {"kind": "erasure"}
    assert against_the_second(found, (opened, unopened)) is None


def test_a_contract_that_counts_leads_again_has_no_earlier_visit() -> None:
    assert against_the_second(visited_twice(repeatable=True)) is None


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
        found = find_refutations(
            shown, contracts, {word("bob"): claims}, shown.__getitem__, unopened
        )
        assert ([case.kind for _, case in found], unopened) == (kinds, expected)


# --- Reports, and what was taken back -------------------------------------------------------------


def clicked(**changes: Any) -> tuple[History, list[PublicEntry]]:
    """Return a log in which Ann is credited for a click, with another opening of that."""
    governing = policy()
    terms = rules("ann", governing, repeatable=True)
    steps: list[tuple[int, Any]] = [
        (500, Touch(SURFACE, X, BOB, "email")),
        (600, IssueCode(SURFACE, word("code"), ANN, 9, 90_000, *(bytes(32),) * 3)),
        (700, Erasure(SURFACE, X, OWNER)),
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


@pytest.mark.parametrize(
    ("expires_ms", "end", "shown"),
    [(800, None, None), (799, None, 2), (800, "code", 3), (800, "another", None)],
)
def test_a_claim_by_a_code_that_was_over_is_refuted(
    expires_ms: int, end: str | None, shown: int | None
) -> None:
    found, _ = clicked()
    places = {record.entry.kind: at for at, record in enumerate(found.records)}
    records, code = [*found.records], places["code.issued"]
    records[code] = reopened(records[code], expires_ms=expires_ms)
    if end is not None:
        at, issued = places["erasure"], records[code].entry
        lie = issued._replace(kind="code.ended", subject=word(end), label="", payload=bytes(32))
        records[at] = Record(lie, None)
    items = [public_entry(record) for record in records]
    (claim,) = find_claims(items, found.contracts, word("ann"), ENDLESS)
    case = refutation(items, found.contracts, word("ann"), claim)
    assert (None if case is None else (case.kind, len(case.exhibits))) == (
        None if shown is None else ("cause", shown)
    )


def test_a_report_or_a_code_that_the_server_does_not_open_is_reported() -> None:
    found, items = clicked()
    (claim,) = find_claims(items, found.contracts, word("ann"), ENDLESS)
    claims = {claim.key(found.contracts[word("ann")].rules): claim}
    code = [record.entry.kind for record in found.records].index("code.issued")
    for closed in (claim.touch, code):
        bare = [*items]
        bare[closed] = items[closed]._replace(opening=b"")
        cases, unopened = list[Any](), set[int]()
        cases += find_refutations(
            bare, found.contracts, {word("ann"): claims}, bare.__getitem__, unopened
        )
        assert (cases, unopened) == ([], {closed})


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
                # What takes nothing, there is nothing of to prove.
                if said.outcome <= final < said.event and entry.value:
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
