"""A small sound history in files, and what a backtest of it gives or refuses."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator.backtest.evaluate import evaluate_history, open_spool, write_report
from orchestrator.backtest.inputs import RowCounts, read_contracts, read_policy, read_rows
from orchestrator.core.common.errors import InputError

POLICY = """
initial: new
states: [new, paid]
transitions:
  - {on: buy, from: [new], to: paid, motion: conversion}
  - {on: renew, from: [paid], to: paid, motion: expansion}
reversals: [{on: refund, of: paid}]
attribution: first_touch
touches_per_lead: 10000
"""
CONTRACTS = """
- id: a
  operator: ann
  outcome: paid
  repeatable: true
  unit_price: 8.10
  revenue_share_bps: 250
  budget: 1000
  opens_at: 2024-01-01
  deadline: 2024-12-31 23:59:59
  attribution_window_s: 604800
  holdback_s: 86400
"""
EVENT_HEADER = "time,lead,event,value\n"
EVENTS = f"""{EVENT_HEADER}2024-01-02,x,buy,1.5
2024-01-03,x,renew,2.000001
2024-01-03,x,buy,
2024-01-03,x,login,
2024-01-03 12:00:00,x,refund,
"""
TOUCH_HEADER = "time,lead,operator,action\n"
TOUCHES = f"{TOUCH_HEADER}2024-01-01,x,ann,email\n"


class HistoryFiles(NamedTuple):
    """The four files of a backtest."""

    events: Path
    touches: Path
    policy: Path
    contracts: Path

    def arguments(self) -> list[str]:
        """Return the command line that backtests them."""
        options = [text for name, path in self._asdict().items() for text in (f"--{name}", path)]
        return ["backtest", *map(str, options)]

    def report(self) -> dict[str, Any]:
        """Evaluate them in memory, and return the report as it is written."""
        policy = read_policy(self.policy)
        plans = read_contracts(self.contracts, policy)
        output = io.StringIO()
        counts = RowCounts()
        with open_spool() as spool:
            rows = read_rows(self.events, self.touches, counts)
            report = evaluate_history(rows, policy, plans, spool, counts)
            write_report(report, spool.lines(), output)
        document: dict[str, Any] = json.loads(output.getvalue())
        return document

    def refusal(self) -> str:
        """Read them all, and return the one line with which they are refused."""
        with pytest.raises(InputError) as caught:
            self._read()
        assert "\n" not in caught.value.message
        return caught.value.message

    def _read(self) -> None:
        read_contracts(self.contracts, read_policy(self.policy))
        for _ in read_rows(self.events, self.touches):
            pass


def write_history(folder: Path, **texts: str | bytes) -> HistoryFiles:
    """Write these files; those that are not given are of a small sound history.

    A lone surrogate in a text stands for the byte that is no UTF-8.
    """
    sound: dict[str, str | bytes] = {
        "events": EVENTS,
        "touches": TOUCHES,
        "policy": POLICY,
        "contracts": CONTRACTS,
    }
    paths = {}
    for name, text in (sound | texts).items():
        paths[name] = folder / name
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        paths[name].write_bytes(data)
    return HistoryFiles(**paths)
