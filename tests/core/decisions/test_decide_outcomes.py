"""Outcomes and who is paid: edges of time, rivals, once per lead, and the budget."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide, verdict_of
from orchestrator.core.log.entry import unpack_outcome
from orchestrator.core.log.opening import EventOpening
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import CloseContract, ProductEvent, Touch
from tests.backtest.oracle import judge
from tests.support.decisions import (
    ANN,
    BOB,
    BUY_THREE_TIMES,
    FIRST,
    LAST,
    MODELS,
    ZERO,
    Y,
    event,
    outcomes,
    run,
    touch,
)
from tests.support.depth import examples
from tests.support.worlds import (
    DOCUMENT,
    begin,
    contract_lists,
    policy,
    request_lists,
    rules,
    word,
)


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
