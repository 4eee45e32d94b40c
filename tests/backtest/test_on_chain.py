"""A history settled on a real chain gives what its evaluation gives; some contracts cannot be."""

import json
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from orchestrator.backtest.evaluate import (
    HISTORY_ACTION,
    Report,
    Spool,
    evaluate_history,
    open_spool,
)
from orchestrator.backtest.inputs import (
    EventRow,
    TouchRow,
    read_contracts,
    read_policy,
    read_rows,
)
from orchestrator.backtest.on_chain import (
    OnChainBacktest,
    chain_start_ms,
    check_equal,
    check_plans,
)
from orchestrator.client.accounts import (
    EventReport,
    LeadSummary,
    OperatorClient,
    OwnerClient,
    wallet,
)
from orchestrator.core.common.errors import InputError, ReplayError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_MS, format_amount, format_ms, parse_amount
from orchestrator.core.surface.surface_settings import MAX_CODE_PERIOD_S
from orchestrator.simulation.cdnow import POLICY as CDNOW
from orchestrator.simulation.cdnow import read_purchases
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, key_of
from tests.support.backtest_files import write_history
from tests.support.servers import server_folder

POLICY = """
initial: new
states: [new, trial, paid]
transitions:
  - {on: signup, from: [new], to: trial, motion: acquisition}
  - {on: buy, from: [trial], to: paid, motion: conversion}
  - {on: buy, from: [paid], to: paid, motion: expansion}
reversals: [{on: refund, of: paid}, {on: buy, of: trial}]
events: {"Subscription Started By Annual Plan": buy}
attribution: first_touch
touches_per_lead: 10000
"""
CONTRACTS = """
- {id: trials, operator: ann, outcome: trial, unit_price: 8.10, budget: 16.20,
   opens_at: 2024-01-01, deadline: 2024-06-01, attribution_window_s: 604800}
- {id: share, operator: bob, outcome: paid, repeatable: true, unit_price: 0.000001,
   revenue_share_bps: 333, budget: 50, opens_at: 2024-01-02, deadline: 2024-03-01,
   attribution_window_s: 8000000}
- {id: price, operator: ann, outcome: paid, unit_price: 3, budget: 9,
   opens_at: 2024-01-01, deadline: 2024-06-01, attribution_window_s: 86400}
"""
TOUCHES = """time,lead,operator,action
2024-01-01 09:00:00,x,ann,email
2024-01-01 09:00:00,y,ann,email
2024-01-02 09:00:00,x,bob,call
2024-01-03 09:00:00,x,ann,email
2024-01-03 09:00:00,z,ann,email
2024-01-03 09:00:00,z,bob,email
2024-01-03 09:00:00,z,eve,email
2024-04-01 00:00:00,y,bob,email
"""
EVENTS = """time,lead,event,value
2024-01-01T09:00:00Z,x,signup,
2024-01-02 10:00:00,y,signup,
2024-01-03 10:00:00,z,signup,
2024-01-03 10:00:00,z,buy,99.99
2024-01-03 10:00:00,z,refund,
2024-01-04 10:00:00,z,buy,0.01
2024-01-05 10:00:00,x,buy,20
2024-01-05 10:00:00,x,signup,
2024-01-05 10:00:00,x,注文が完了しました。ありがとうございます,
2024-02-20 10:00:00,x,Subscription Started By Annual Plan,1400.50
2024-04-02 10:00:00,y,buy,5
2024-04-02 10:00:00,q,refund,
"""


class Result(NamedTuple):
    """The reports of one history, evaluated in memory and settled on a chain.

    The settled one is what a stranger's replay of the log and the chain comes to.
    """

    evaluated: Report
    settled: Report
    overpaid_units: dict[str, int]


def backtest_both_ways(folder: Path, contracts: str, events: str = EVENTS, **texts: str) -> Result:
    """Evaluate a history, settle it on a chain of its own, and check that they are equal."""
    told = {"events": events, "touches": TOUCHES, "policy": POLICY, "contracts": contracts}
    files = write_history(folder, **(told | texts))
    policy = read_policy(files.policy)
    plans = read_contracts(files.contracts, policy)
    with server_folder() as servers, open_spool() as outcomes, open_spool() as settled_outcomes:
        rows = read_rows(files.events, files.touches)
        evaluated = evaluate_history(rows, policy, plans, outcomes)
        options = SandboxOptions(servers, chain_start_ms(plans, None), "test.tallystick")
        with Sandbox(options, lambda _: None) as sandbox:
            backtest = OnChainBacktest(sandbox, policy, plans)
            rows = read_rows(files.events, files.touches)
            settled = backtest.run(rows, settled_outcomes)
        check_equal(evaluated, settled, outcomes.lines(), settled_outcomes.lines())
    return Result(evaluated, settled, backtest.overpaid_units)


def test_settled_equals_evaluated(tmp_path: Path) -> None:
    header, *rows = EVENTS.splitlines()
    told_twice = [f"{row},{number}" for number, row in enumerate(rows) for _ in range(2)]
    events = "\n".join([f"{header},id", *told_twice])
    evaluated, settled, overpaid_units = backtest_both_ways(tmp_path, CONTRACTS, events)
    assert settled.verdicts() == {"accepted": 10, "refused": 1, "ignored": 1}
    assert evaluated.totals()["trials"]["over_budget_units"] == "8100000"
    assert [contract.outcomes for contract in settled.contracts.values()] == [2, 3, 1]
    assert [contract.reversals for contract in settled.contracts.values()] == [0, 0, 1]
    assert not overpaid_units
    settled.contracts["price"].earned_units += 1
    with pytest.raises(ReplayError, match="totals differ"):
        check_equal(evaluated, settled, iter(()), iter(()))


MOTIONS = """
initial: new
states: [new, trial, active, paid]
transitions:
  - {on: signup, from: [new], to: trial, motion: acquisition}
  - {on: activate, from: [trial], to: active, motion: activation}
  - {on: buy, from: [active], to: paid, motion: conversion}
  - {on: buy, from: [paid], to: paid, motion: expansion}
reversals: [{on: refund, of: paid}]
attribution: last_touch
touches_per_lead: 3
"""
BROUGHT = """
- {id: trials, operator: ann, outcome: trial, unit_price: 8, budget: 100,
   opens_at: 2024-01-01, deadline: 2024-06-01, attribution_window_s: 604800}
- {id: active, operator: bob, outcome: active, unit_price: 2, budget: 100,
   opens_at: 2024-01-01, deadline: 2024-06-01, attribution_window_s: 604800}
- {id: share, operator: ann, outcome: paid, repeatable: true, unit_price: 0,
   revenue_share_bps: 1000, budget: 100, opens_at: 2024-01-01, deadline: 2024-06-01,
   attribution_window_s: 8000000, holdback_bps: 10000, holdback_s: 604800}
"""
# x is signed up by Ann's code, z has only looked by it when it signs up, and nobody brings q. Bob's
# code activates y. The fourth touch of x is one too many, and Carl has no contract.
ARRIVALS = """time,lead,event,value,ref
2024-01-02 09:00:00.5,x,signup,,ann
2024-01-02 10:00:00,y,signup,,carl
2024-01-02 11:00:00,z,looked,,ann
2024-01-03 09:00:00,z,signup,,
2024-01-03 09:30:00,q,signup,,
2024-01-04 09:00:00,y,activate,,bob
2024-01-05 09:00:00,x,activate,,
2024-01-06 09:00:00,x,buy,30,ann
2024-01-07 09:00:00,x,buy,50,ann
2024-01-08 09:00:00,x,looked,,ann
2024-01-08 10:00:00,y,buy,10,ann
2024-01-09 10:00:00,y,refund,,
"""
WORKED = """time,lead,operator,action
2024-01-04 12:00:00,x,bob,call
"""


class LiveBacktest(OnChainBacktest):
    """The same history over HTTP, as owner and operators send it."""

    def _issue_codes(self) -> None:
        self._by_name: dict[str, Any] = {"owner": OwnerClient(*self._client("owner"))}
        self._refs: dict[str, str] = {}
        expires_ms = self._sandbox.clock() + MAX_CODE_PERIOD_S * 1000
        for name in sorted({plan.operator for plan in self._plans}):
            client = OperatorClient(*self._client(f"operator {name}"))
            self._by_name[name] = client
            surface = to_hex(self._surface)
            self._refs[name] = client.issue_code(surface, 1000, expires_ms, "code")
        self._stack.drain()

    def _client(self, name: str) -> tuple[str, Any, str]:
        return self._sandbox.url, wallet(key_of(name)), name

    def _request(self, row: EventRow | TouchRow) -> Any:
        self._events += isinstance(row, EventRow)
        return row

    def _submit(self, requests: list[tuple[str, Any]]) -> list[UUID]:
        surface = to_hex(self._surface)
        owner: Any = getattr(self, "_by_name", {}).get("owner")
        for key, row in requests:
            if isinstance(row, TouchRow):
                lead = LeadSummary(self._names()[row.lead], "", 0, 0)
                self._by_name[row.operator].touch(surface, [lead], HISTORY_ACTION, key)
            elif isinstance(row, EventRow):
                value = "" if row.value_units is None else format_amount(row.value_units, 6)
                ref = self._refs.get(row.ref, row.ref)
                time_ms = row.time_ns // 1_000_000
                told = EventReport(key, row.lead, row.event, value, time_ms, row.order, ref)
                owner.report_event(surface, told)
            else:
                return super()._submit(requests)
        return []

    def _count_turned_away(self, requests: list[tuple[str, Any]], ids: list[UUID]) -> None:
        assert requests
        assert not ids

    def _names(self) -> dict[str, str]:
        pages = self._by_name["owner"].pages(f"/v1/surfaces/{to_hex(self._surface)}/leads", "leads")
        return {lead["external_id"]: lead["lead"] for lead in pages}

    def _report(self, spool: Spool) -> Report:
        self._lead_names = {from_hex(lead): name for name, lead in self._names().items()}
        report = super()._report(spool)
        for client in self._by_name.values():
            client.close()
        return report


def test_leads_that_codes_bring_pay_the_same_everywhere(tmp_path: Path) -> None:
    files = write_history(
        tmp_path, events=ARRIVALS, touches=WORKED, policy=MOTIONS, contracts=BROUGHT
    )
    policy = read_policy(files.policy)
    plans = read_contracts(files.contracts, policy)
    lines = []
    with open_spool() as outcomes:
        rows = read_rows(files.events, files.touches)
        evaluated = evaluate_history(rows, policy, plans, outcomes)
        lines.append(list(outcomes.lines()))
    assert {
        name: (contract.outcomes, contract.reversals, contract.payable_units)
        for name, contract in evaluated.contracts.items()
    } == {
        "trials": (2, 0, 16_000_000),
        "active": (2, 0, 4_000_000),
        "share": (3, 1, 8_000_000),
    }
    for make in (OnChainBacktest, LiveBacktest):
        with server_folder() as servers, open_spool() as outcomes:
            options = SandboxOptions(servers, chain_start_ms(plans, None), "test.tallystick")
            with Sandbox(options, lambda _: None) as sandbox:
                rows = read_rows(files.events, files.touches)
                settled = make(sandbox, policy, plans).run(rows, outcomes)
            check_equal(evaluated, settled, iter(lines[0]), outcomes.lines())


HELD = """
- {id: held, operator: ann, outcome: paid, unit_price: 3, budget: 9, opens_at: 2024-01-01,
   deadline: 2024-06-01, attribution_window_s: 8000000, holdback_bps: 3333, holdback_s: 7776000}
"""
# A round after it bought, x takes its money back; z did so at once, and y keeps what it bought.
REFUNDED = EVENTS.replace(
    "2024-04-02 10:00:00,y,buy,5", "2024-03-20 10:00:00,x,refund,\n2024-04-02 10:00:00,y,buy,5"
)


@pytest.mark.parametrize(
    ("events", "earned_units", "overpaid_units"),
    [
        # What x was paid by then is set off against y's outcome.
        (REFUNDED, 9_000_000, {}),
        # Without y, the payee keeps what was not held back: 3 less a third, rounded down.
        (REFUNDED.replace("y,buy,5", "y,noise,5"), 6_000_000, {"held": 2_000_100}),
    ],
    ids=["set off", "beyond what was held"],
)
def test_what_is_held_back_is_paid_when_it_can_no_longer_be_reversed(
    tmp_path: Path, events: str, earned_units: int, overpaid_units: dict[str, int]
) -> None:
    result = backtest_both_ways(tmp_path, HELD, events)
    held = result.settled.contracts["held"]
    assert (held.earned_units, held.reversed_units) == (earned_units, 6_000_000)
    assert result.overpaid_units == overpaid_units


# --- Real purchases, given back in parts ----------------------------------------------------------

SHARES = """
- {id: share, operator: dee, outcome: regular, repeatable: true, revenue_share_bps: 1000,
   unit_price: 0, budget: 7500, opens_at: 1997-01-01, deadline: 1997-12-31,
   attribution_window_s: 2592000, holdback_bps: 10000, holdback_s: 5184000}
- {id: both, operator: cy, outcome: repeat_buyer, unit_price: 0.5, revenue_share_bps: 333,
   budget: 100, opens_at: 1997-01-01, deadline: 1997-12-31, attribution_window_s: 2592000,
   holdback_bps: 10000, holdback_s: 2592000}
"""


def given_back() -> tuple[str, ...]:
    """Return events and touches: the purchases of some customers of CDNOW, and their refunds.

    By its number in the sample an order is given back in thirds, ten days apart, the last of which
    is more than is left; or whole; or a day before it was bought.
    """
    events: list[tuple[int, str]] = []
    touches: list[tuple[int, str]] = []
    for day_ms, purchases in read_purchases():
        for bought in purchases:
            if int(bought.lead.removeprefix("customer-")) % 50:
                continue
            number, value = int(bought.id), parse_amount(bought.value)
            third = format_amount(value // 3)
            refunds = {
                0: [(10, third)],
                1: [(10, third), (20, third)],
                2: [(10, third), (20, third), (30, bought.value)],
                3: [(10, "")],
                4: [(-1, third)],
            }.get(number % 7, [])
            told = [(0, "purchase", bought.value), *((day, "refund", of) for day, of in refunds)]
            for days, name, of in told:
                at_ms = bought.time_ms + days * DAY_MS
                events.append((at_ms, f"{bought.lead},{name},{of},{bought.order}"))
            operator = ("dee", "cy")[number % 2]
            touches.append((day_ms, f"{bought.lead},{operator},email"))
    return tuple(
        "\n".join([header, *(f"{format_ms(at_ms)},{row}" for at_ms, row in sorted(rows))]) + "\n"
        for header, rows in (
            ("time,lead,event,value,order", events),
            ("time,lead,operator,action", touches),
        )
    )


def test_refunds_in_parts_of_real_orders_take_the_same_everywhere(tmp_path: Path) -> None:
    names = ("initial", "states", "transitions", "reversals", "attribution", "touches_per_lead")
    policy = json.dumps({name: CDNOW[name] for name in names})
    events, touches = given_back()
    result = backtest_both_ways(tmp_path, SHARES, events, touches=touches, policy=policy)
    # Refunds that come before their order. Those of a first purchase, which the policy cannot
    # reverse, take nothing.
    assert result.settled.turned_away == {"order-unknown": 18}
    assert not result.overpaid_units
    share, both = result.settled.contracts["share"], result.settled.contracts["both"]
    assert (share.outcomes, share.reversals) == (22, 19)
    assert (share.earned_units, share.reversed_units) == (59_263_000, 17_884_666)
    # More reversals than outcomes: some are taken back in three parts, with the price in the last.
    assert (both.outcomes, both.reversals) == (16, 19)
    assert (both.earned_units, both.reversed_units) == (27_519_794, 16_257_394)


# --- What no escrow can hold ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("budget: 9,", "budget: 0,"), "no budget"),
        (("2024-06-01", "2024-06-01T00:00:00.5Z"), "whole seconds"),
    ],
)
def test_what_the_escrow_cannot_hold_is_refused(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    files = write_history(tmp_path, policy=POLICY, contracts=CONTRACTS.replace(*change))
    plans = read_contracts(files.contracts, read_policy(files.policy))
    with pytest.raises(InputError, match=complaint):
        check_plans(plans)


def test_a_chain_begins_a_day_before_anything_happens() -> None:
    day_ns = 86_400 * 10**9
    assert chain_start_ms([], 5 * day_ns + 7) == 4 * 86_400_000
    with pytest.raises(InputError, match="before 1970"):
        chain_start_ms([], day_ns)
