"""Evaluations against a second opinion that shares no code with them, and at the rules' edges."""

import gc
import json
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backtest.evaluate import evaluate_history, open_spool, write_report
from orchestrator.backtest.inputs import (
    ContractPlan,
    EventRow,
    TouchRow,
    read_contracts,
    read_policy,
    read_rows,
)
from orchestrator.core.common.units import format_time
from orchestrator.core.surface.policy import parse
from tests.backtest.oracle import judge
from tests.support.backtest_files import (
    CONTRACTS,
    EVENT_HEADER,
    POLICY,
    TOUCH_HEADER,
    write_history,
)
from tests.support.depth import cases, examples

STATES = ["new", "trial", "paid"]
EVENTS = ["signup", "buy", "refund", "noise"]
OPERATORS = ["ann", "bob"]
LEADS = ["x", "y"]


def some_policy(random: Random) -> dict[str, Any]:
    """Return a policy with a target or none for each event and state: most events move a lead."""
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
        "touches_per_lead": 10_000,
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
    """Return rows as the second opinion reads them, in seconds."""
    now = 0
    rows: list[tuple[Any, ...]] = []
    for _ in range(random.choice([5, 40, 80])):
        now += random.choice([0, 0, 1, 2])
        lead = random.choice(LEADS)
        if random.choice([True, False]):
            rows.append(("touch", now, lead, random.choice(OPERATORS)))
        else:
            value = random.choice([None, 0, *range(9)])
            order = random.choice([None, None, "o1", "o2", "o3"])
            rows.append(("event", now, lead, random.choice(EVENTS), value, order))
    return rows


def row_of(row: tuple[Any, ...]) -> EventRow | TouchRow:
    kind, time, lead, *rest = row
    if kind == "touch":
        return TouchRow(time * 10**9, lead, rest[0], "email")
    return EventRow(time * 10**9, lead, rest[0], rest[1], rest[2] or "")


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
        with open_spool() as spool:
            report = evaluate_history(
                map(row_of, rows), parse(document), map(plan_of, contracts), spool
            )
            lines = [json.loads(line) for line in spool.lines()]
        assert report.totals() == expected["contracts"]
        assert report.verdicts() == expected["events"]
        assert report.turned_away == expected["turned_away"]
        assert report.seen is not None
        found = report.seen.contracts.items()
        assert {name: one.refunded_units for name, one in found} == expected["refunded"]
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
        seen["refund"] += any(expected["refunded"].values())
        seen["two contracts"] += sum(total["outcomes"] > 0 for total in totals) > 1

    agree()
    # Histories in which nothing is paid would agree with anything.
    assert len(seen) == 5
    assert min(seen.values()) >= 20, seen


# --- Edges, to the nanosecond ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "most", "earned"),
    [
        ("deadline: 2024-12-31 23:59:59", "deadline: 2024-01-01", "0"),
        ("unit_price: 8.10", "unit_price: 0", "87500"),
        ("unit_price: 8.10", "unit_price: 0.000001", "87502"),
        ("revenue_share_bps: 250", "revenue_share_bps: 0", "16200000"),
        ("revenue_share_bps: 250", "revenue_share_bps: 10000", "19700001"),
        ("budget: 1000", "budget: 0", "0"),
        ("budget: 1000", "budget: 1208925819614629174.706175", "16287500"),
        ("attribution_window_s: 604800", "attribution_window_s: 3162240000", "16287500"),
        ("attribution_window_s: 604800", "attribution_window_s: 0", "0"),
        ("repeatable: true", "repeatable: FALSE", "8137500"),
        ("  repeatable: true\n", "", "8137500"),
        ("  revenue_share_bps: 250\n", "", "16200000"),
        ("id: a", f"id: {'é' * 256}", "16287500"),
    ],
)
def test_the_limits_of_a_contract(tmp_path: Path, field: str, most: str, earned: str) -> None:
    assert field in CONTRACTS
    report = write_history(tmp_path, contracts=CONTRACTS.replace(field, most)).report()
    (totals,) = report["contracts"].values()
    assert totals["earned_units"] == earned


@pytest.mark.parametrize(
    ("touch", "event", "is_paid"),
    [
        # The touch against the opening, on 1 January.
        ("2024-01-01T00:00:00Z", "2024-01-02", True),
        ("2023-12-31T23:59:59.999999999Z", "2024-01-02", False),
        # The event against the deadline.
        ("2024-12-31", "2024-12-31T23:59:59Z", True),
        ("2024-12-31", "2024-12-31T23:59:59.000000001Z", False),
        # The event against the window of a week.
        ("2024-03-01T12:00:00.000001Z", "2024-03-08T12:00:00.000001Z", True),
        ("2024-03-01T12:00:00.000001Z", "2024-03-08T12:00:00.000002Z", False),
        # The touch against the event; at equal times the touch comes first.
        ("2024-03-01T12:00:00.5+01:00", "2024-03-01 11:00:00.500000", True),
        ("2024-03-01T11:00:00.500000001Z", "2024-03-01 11:00:00.5", False),
    ],
)
def test_edges(tmp_path: Path, touch: str, event: str, is_paid: bool) -> None:
    files = write_history(
        tmp_path,
        touches=f"{TOUCH_HEADER}{touch},x,ann,email\n",
        events=f"{EVENT_HEADER}{event},x,buy,1\n",
    )
    report = files.report()
    assert report["contracts"]["a"]["earned_units"] == ("8125000" if is_paid else "0")
    assert len(report["outcomes"]) == is_paid


@pytest.mark.parametrize(
    ("refund", "is_reversed"),
    [("2024-03-02T12:00:00.000001Z", True), ("2024-03-02T12:00:00.000002Z", False)],
)
def test_the_edge_of_the_holdback(tmp_path: Path, refund: str, is_reversed: bool) -> None:
    files = write_history(
        tmp_path,
        touches=f"{TOUCH_HEADER}2024-03-01,x,ann,email\n",
        events=f"{EVENT_HEADER}2024-03-01T12:00:00.000001Z,x,buy,1\n{refund},x,refund,\n",
    )
    report = files.report()
    assert report["contracts"]["a"]["reversed"] == is_reversed
    assert report["outcomes"][0]["time"] == "2024-03-01T12:00:00.000001Z"


@pytest.mark.parametrize(
    ("limit", "attribution", "touch_day"),
    [(1, "last_touch", 1), (2, "last_touch", 2), (3, "last_touch", 3), (1, "first_touch", 1)],
)
def test_touches_over_the_limit_of_the_policy_do_not_count(
    tmp_path: Path, limit: int, attribution: str, touch_day: int
) -> None:
    days = "".join(f"2024-01-0{day},x,ann,email\n" for day in (1, 2, 3))
    policy = POLICY.replace("first_touch", attribution)
    policy = policy.replace("touches_per_lead: 10000", f"touches_per_lead: {limit}")
    files = write_history(
        tmp_path,
        touches=f"{TOUCH_HEADER}{days}",
        events=f"{EVENT_HEADER}2024-01-04,x,buy,1\n",
        policy=policy,
    )
    report = files.report()
    assert report["outcomes"][0]["touch_time"] == f"2024-01-0{touch_day}T00:00:00Z"


# --- Memory ---------------------------------------------------------------------------------------


def history_of(rows: int) -> dict[str, str]:
    """Return two files of this many rows, over fifty leads and five months."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    events, touches = [EVENT_HEADER], [TOUCH_HEADER]
    for number in range(rows):
        at = f"{begin + timedelta(days=150) * number / rows:%Y-%m-%d %H:%M:%S}"
        lead = f"lead {number % 50}"
        event = ("buy", "renew", "renew", "refund", "login")[number // 50 % 5]
        operator = "ann" if number % 2 else f"operator {number}"
        events.append(f"{at},{lead},{event},1.25\n")
        touches.append(f"{at},{lead},{operator},email {number}\n")
    return {"events": "".join(events), "touches": "".join(touches)}


@pytest.mark.parametrize("attribution", cases(["first_touch", "last_touch"], "last_touch"))
def test_memory_grows_with_leads_and_not_with_rows(tmp_path: Path, attribution: str) -> None:
    peaks = []
    few, many = 1_000, 4_000
    for rows in (few, few, many):  # the first run fills caches
        files = write_history(
            tmp_path,
            **history_of(rows),
            policy=POLICY.replace("first_touch", attribution),
            contracts=CONTRACTS.replace("1000", "1000000").replace("604800", "31536000"),
        )
        policy = read_policy(files.policy)
        plans = read_contracts(files.contracts, policy)
        output = tmp_path / "report.json"
        gc.collect()
        tracemalloc.start()
        with open_spool() as spool, output.open("w") as file:
            history = read_rows(files.events, files.touches)
            report = evaluate_history(history, policy, plans, spool)
            write_report(report, spool.lines(), file)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert json.loads(output.read_text())["contracts"]["a"]["outcomes"] > rows // 8
    # Less than 8 bytes for each row of both files, which is not even a pointer.
    assert peaks[2] - peaks[1] < 16 * (many - few)
