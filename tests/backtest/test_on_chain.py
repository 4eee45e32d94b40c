"""A history settled for real gives what the pure backtest gives, and refuses what it must."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.backtest import evaluate as backtest
from orchestrator.backtest import inputs as history
from orchestrator.backtest import on_chain as settled
from orchestrator.backtest.evaluate import Report
from orchestrator.backtest.on_chain import SettledRun
from orchestrator.core.errors import InputError, ReplayError
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions
from tests.support.servers import server_folder

POLICY = """
initial: new
states: [new, trial, paid]
transitions:
  - {on: signup, from: [new], to: trial, motion: acquisition}
  - {on: buy, from: [trial], to: paid, motion: conversion}
  - {on: buy, from: [paid], to: paid, motion: expansion}
reversals: [{on: refund, of: paid}, {on: buy, of: trial}]
attribution: first_touch
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
2024-01-05 10:00:00,x,noise,
2024-02-20 10:00:00,x,buy,1400.50
2024-04-02 10:00:00,y,buy,5
2024-04-02 10:00:00,q,refund,
"""


def write(
    folder: Path, contracts: str = CONTRACTS, events: str = EVENTS
) -> tuple[Path, Path, Path, Path]:
    texts = {"E.csv": events, "T.csv": TOUCHES, "P.yaml": POLICY, "C.yaml": contracts}
    for name, text in texts.items():
        (folder / name).write_text(text)
    event_rows, touches, policy, plans = (folder / name for name in texts)
    return event_rows, touches, policy, plans


def live_through(
    folder: Path,
    contracts: str,
    look: Callable[[Report, Report, SettledRun], None],
    recorded: str = EVENTS,
) -> None:
    """Judge the history in memory and for real, and look at both while the chain is up."""
    events, touches, policy_path, plans_path = write(folder, contracts, recorded)
    policy = history.read_policy(policy_path)
    plans = history.read_contracts(plans_path, policy)
    with server_folder() as servers, backtest.spool() as pure_out, backtest.spool() as out:
        pure = backtest.run(history.rows(events, touches), policy, plans, pure_out)
        start_ms = settled.start_ms(plans, None)
        with Sandbox(SandboxOptions(servers, start_ms, "test.tallystick"), lambda _: None) as scene:
            run = SettledRun(scene, policy, plans)
            found = run.run(history.rows(events, touches), out)
        settled.check_equal(pure, found, pure_out.lines(), out.lines())
        look(pure, found, run)


def test_settled_equals_pure(tmp_path: Path) -> None:
    def look(pure: Report, found: Report, run: SettledRun) -> None:
        assert pure.totals()["trials"]["over_budget_units"] == "8100000"
        assert [contract.outcomes for contract in found.contracts.values()] == [2, 3, 1]
        assert [contract.reversals for contract in found.contracts.values()] == [0, 0, 1]
        assert not run.overpaid_units
        found.contracts["price"].earned_units += 1
        with pytest.raises(ReplayError, match="totals differ"):
            settled.check_equal(pure, found, iter(()), iter(()))

    live_through(tmp_path, CONTRACTS, look)


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
    def look(_: Report, found: Report, run: SettledRun) -> None:
        held = found.contracts["held"]
        assert (held.earned_units, held.reversed_units) == (earned_units, 6_000_000)
        assert run.overpaid_units == overpaid_units

    live_through(tmp_path, HELD, look, events)


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
    *_, policy_path, contracts = write(tmp_path, CONTRACTS.replace(*change))
    policy = history.read_policy(policy_path)
    with pytest.raises(InputError, match=complaint):
        settled.check_plans(history.read_contracts(contracts, policy))
