"""The backtest against a second opinion that shares no code with it, on random histories."""

import json
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backtest import evaluate as backtest
from orchestrator.backtest.inputs import ContractPlan, EventRow, TouchRow
from orchestrator.core import policy as policies
from orchestrator.core.units import format_time
from tests.backtest.oracle import judge
from tests.support.depth import examples

STATES = ["new", "trial", "paid"]
EVENTS = ["signup", "buy", "refund", "noise"]
OPERATORS = ["ann", "bob"]
LEADS = ["x", "y"]


def some_policy(random: Random) -> dict[str, Any]:
    """A target, or none, for each event in each state; so most events move most leads."""
    table: dict[tuple[str, str], list[str]] = {}
    for on in EVENTS[:3]:
        for state in STATES:
            to = random.choice([None, *STATES, "paid"])
            if to is not None:
                table.setdefault((on, to), []).append(state)
    transitions = [
        {"on": on, "from": sources, "to": to, "motion": "activation"}
        for (on, to), sources in table.items()
    ]
    pairs = [(on, of) for on in EVENTS[:3] for of in STATES]
    return {
        "initial": "new",
        "states": STATES,
        "transitions": transitions,
        "reversals": [
            {"on": on, "of": of} for on, of in random.sample(pairs, random.randint(0, 4))
        ],
        "attribution": random.choice(["first_touch", "last_touch"]),
    }


def some_contracts(random: Random) -> list[dict[str, Any]]:
    contracts = []
    for number in range(random.randint(2, 5)):
        opens_at = random.choice([0, 0, 3, 8])
        contracts.append(
            {
                "id": f"c{number}",
                "operator": random.choice(OPERATORS),
                "outcome": random.choice([*STATES, "paid", "paid"]),
                "repeatable": random.choice([True, False]),
                "unit_price": random.randint(1, 5),
                "revenue_share_bps": random.choice([0, 1, 3333, 10_000]),
                "budget": random.choice([0, 9, 30, 1000]),
                "opens_at": opens_at,
                "deadline": opens_at + random.choice([0, 9, 99, 99]),
                "attribution_window_s": random.choice([0, 3, 99, 99]),
                "holdback_bps": 0,
                "holdback_s": random.choice([0, 2, 99]),
            }
        )
    return contracts


def some_rows(random: Random) -> list[tuple[Any, ...]]:
    """What the second opinion reads, in seconds."""
    now = 0
    rows: list[tuple[Any, ...]] = []
    for _ in range(random.choice([5, 40, 80])):
        now += random.choice([0, 0, 1, 2])
        lead = random.choice(LEADS)
        if random.choice([True, False]):
            rows.append(("touch", now, lead, random.choice(OPERATORS)))
        else:
            rows.append(("event", now, lead, random.choice(EVENTS), random.randint(0, 9)))
    return rows


def row_of(row: tuple[Any, ...]) -> EventRow | TouchRow:
    kind, time, lead, *rest = row
    if kind == "touch":
        return TouchRow(time * 10**9, lead, rest[0], "email")
    return EventRow(time * 10**9, lead, rest[0], rest[1])


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


def test_agrees_with_a_second_opinion() -> None:
    seen: Counter[str] = Counter()

    # A strategy's own draws are mostly small and alike; a seed's are not.
    @examples(400)
    @given(st.randoms(use_true_random=True))
    def agree(random: Random) -> None:
        document, contracts = some_policy(random), some_contracts(random)
        rows = some_rows(random)
        expected = judge(document, contracts, rows)
        with backtest.spool() as spool:
            report = backtest.run(
                map(row_of, rows), policies.parse(document), map(plan_of, contracts), spool
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
        totals = expected["contracts"].values()
        seen["outcome"] += any(total["outcomes"] for total in totals)
        seen["reversal"] += any(total["reversed"] for total in totals)
        seen["over budget"] += any(total["over_budget_units"] != "0" for total in totals)
        seen["two contracts"] += sum(total["outcomes"] > 0 for total in totals) > 1

    agree()
    # Histories in which nothing is paid would agree with anything.
    assert len(seen) == 4
    assert min(seen.values()) >= 20, seen
