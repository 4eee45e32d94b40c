"""The backtest against a second opinion that shares no code with it, on random histories."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import backtest
from orchestrator.core import policy as policies
from orchestrator.history import ContractPlan, EventRow, TouchRow, format_time
from tests.backtest.oracle import judge

STATES = ["new", "trial", "paid"]
EVENTS = ["signup", "buy", "refund", "noise"]
OPERATORS = ["ann", "bob", "cy"]
LEADS = ["x", "y"]
times = st.integers(0, 12)


@st.composite
def policy_documents(draw: st.DrawFn) -> dict[str, Any]:
    transitions = []
    taken: set[tuple[str, str]] = set()
    for _ in range(draw(st.integers(1, 5))):
        on = draw(st.sampled_from(EVENTS[:3]))
        sources = [
            state
            for state in draw(st.lists(st.sampled_from(STATES), min_size=1, unique=True))
            if (on, state) not in taken
        ]
        if sources:
            taken.update((on, state) for state in sources)
            to = draw(st.sampled_from(STATES))
            transitions.append({"on": on, "from": sources, "to": to, "motion": "activation"})
    reversals = draw(
        st.lists(
            st.fixed_dictionaries(
                {"on": st.sampled_from(EVENTS[:3]), "of": st.sampled_from(STATES)}
            ),
            max_size=3,
            unique_by=lambda reversal: (reversal["on"], reversal["of"]),
        )
    )
    return {
        "initial": "new",
        "states": STATES,
        "transitions": transitions,
        "reversals": reversals,
        "attribution": draw(st.sampled_from(["first_touch", "last_touch"])),
    }


@st.composite
def contract_tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    contracts = []
    for number in range(draw(st.integers(1, 5))):
        opens_at = draw(times)
        contracts.append(
            {
                "id": f"c{number}",
                "operator": draw(st.sampled_from(OPERATORS)),
                "outcome": draw(st.sampled_from(STATES)),
                "repeatable": draw(st.booleans()),
                "unit_price": draw(st.integers(1, 5)),
                "revenue_share_bps": draw(st.sampled_from([0, 1, 3333, 10_000])),
                "budget": draw(st.integers(0, 40)),
                "opens_at": opens_at,
                "deadline": opens_at + draw(times),
                "attribution_window_s": draw(times),
                "holdback_bps": 0,
                "holdback_s": draw(st.sampled_from([0, 1, 3, 100])),
            }
        )
    return contracts


histories = st.lists(
    st.one_of(
        st.tuples(
            st.integers(0, 2), st.just("touch"), st.sampled_from(LEADS), st.sampled_from(OPERATORS)
        ),
        st.tuples(
            st.integers(0, 2),
            st.just("event"),
            st.sampled_from(LEADS),
            st.sampled_from(EVENTS),
            st.integers(0, 9),
        ),
    ),
    max_size=40,
)


def plan_of(contract: dict[str, Any]) -> ContractPlan:
    return ContractPlan(
        id=contract["id"],
        operator=contract["operator"],
        outcome=contract["outcome"],
        repeatable=contract["repeatable"],
        unit_price_units=contract["unit_price"],
        revenue_share_bps=contract["revenue_share_bps"],
        budget_units=contract["budget"],
        opens_at_ns=contract["opens_at"] * 10**9,
        deadline_ns=contract["deadline"] * 10**9,
        attribution_window_s=contract["attribution_window_s"],
        holdback_bps=contract["holdback_bps"],
        holdback_s=contract["holdback_s"],
    )


@settings(max_examples=600, deadline=None)
@given(policy_documents(), contract_tables(), histories)
def test_agrees_with_a_second_opinion(
    document: dict[str, Any], contracts: list[dict[str, Any]], steps: list[tuple[Any, ...]]
) -> None:
    now = 0
    rows: list[EventRow | TouchRow] = []
    plain: list[tuple[Any, ...]] = []
    for wait, kind, lead, *rest in steps:
        now += wait
        plain.append((kind, now, lead, *rest))
        if kind == "touch":
            rows.append(TouchRow(now * 10**9, lead, rest[0], "email"))
        else:
            rows.append(EventRow(now * 10**9, lead, rest[0], rest[1]))
    expected = judge(document, contracts, plain)
    with backtest.spool() as spool:
        report = backtest.run(
            rows, policies.parse(document), [plan_of(contract) for contract in contracts], spool
        )
        lines = [json.loads(line) for line in spool.lines()]
    assert report.totals() == expected["contracts"]
    assert report.verdicts() == expected["events"]
    assert lines == [
        {
            "contract": contract,
            "lead": lead,
            "time": format_time(time * 10**9),
            "touch_time": format_time(touch_time * 10**9),
            "value_units": str(value),
            "earned_units": str(earned),
        }
        for contract, lead, time, touch_time, value, earned in expected["outcomes"]
    ]
