"""Reversals by events that name no order, and the purchases remembered for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import unpack_reversal
from orchestrator.core.log.opening import Record
from orchestrator.core.world.requests import PublishPolicy
from tests.support.decisions import (
    ANN,
    BOB,
    BUY_THREE_TIMES,
    FIRST,
    X,
    Y,
    event,
    kinds_of,
    outcomes,
    run,
    touch,
)
from tests.support.depth import examples
from tests.support.worlds import (
    OWNER,
    SURFACE,
    begin,
    open_surface,
    policy,
    rules,
    word,
)

OTHER = word("elsewhere")


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


# --- What is forgotten ----------------------------------------------------------------------------


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
