"""The benchmark of a backtest's speed and memory: a million rows and a hundred thousand.

Both are of the same leads.

The reference is the same files read by Python's csv module alone, in the same run. Memory is the
peak of a process of its own for each size; it must not grow with rows.

    .venv/bin/python -m scripts.bench.backtest [--rows N ...]
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

LEADS = 2_000
OPERATORS = 5
SIZES = (100_000, 1_000_000)
POLICY = """
initial: visitor
states: [visitor, trial, customer]
transitions:
  - {on: signup, from: [visitor], to: trial, motion: acquisition}
  - {on: purchase, from: [trial], to: customer, motion: conversion}
  - {on: purchase, from: [customer], to: customer, motion: expansion}
reversals:
  - {on: refund, of: customer}
attribution: last_touch
touches_per_lead: 10000
"""
EVENTS = ("signup", "purchase", "purchase", "purchase", "refund", "login")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    sizes = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| rows | backtest, rows/s | csv alone, rows/s | ratio | peak memory, MiB |")
        print("|---:|---:|---:|---:|---:|")
        for rows in sizes:
            write_history(folder, rows)
            command = [sys.executable, __file__, "measure", str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, reference, peak = json.loads(done.stdout)
            print(
                f"| {rows:,} | {rows / seconds:,.0f} | {rows / reference:,.0f} "
                f"| {reference / seconds:.3f} | {peak / 1024:.0f} |"
            )


def write_history(folder: Path, rows: int) -> None:
    """Write half touches and half events, a second apart, of random leads and operators."""
    draw = random.Random(rows)  # noqa: S311 - a benchmark's data
    now = datetime(2024, 1, 1, tzinfo=UTC)
    with (folder / "E.csv").open("w") as events, (folder / "T.csv").open("w") as touches:
        events.write("time,lead,event,value\n")
        touches.write("time,lead,operator,action\n")
        for number in range(rows):
            now += timedelta(seconds=1)
            lead = f"lead-{draw.randrange(LEADS)}"
            at = now.strftime("%Y-%m-%d %H:%M:%S")
            if number % 2:
                value = f"{draw.randrange(100)}.{draw.randrange(100):02}"
                events.write(f"{at},{lead},{draw.choice(EVENTS)},{value}\n")
            else:
                touches.write(f"{at},{lead},op-{draw.randrange(OPERATORS)},email\n")
    (folder / "P.yaml").write_text(POLICY)
    with (folder / "C.yaml").open("w") as contracts:
        for number in range(OPERATORS):
            contracts.write(
                f"- {{id: c{number}, operator: op-{number}, outcome: customer, repeatable: true, "
                f"unit_price: 1.50, revenue_share_bps: 250, budget: 1000000, opens_at: 2024-01-01, "
                f"deadline: 2025-12-31, attribution_window_s: 604800, holdback_s: 86400}}\n"
            )


def measure(folder: Path) -> None:
    """Print [seconds of the backtest, seconds of csv alone, peak KiB] as JSON."""
    from orchestrator.backtest import evaluate, inputs  # noqa: PLC0415 - not in the parent's memory

    started = time.perf_counter()
    for name in ("E.csv", "T.csv"):
        with (folder / name).open(newline="") as file:
            for _ in csv.reader(file):
                pass
    reference = time.perf_counter() - started
    started = time.perf_counter()
    policy = inputs.read_policy(folder / "P.yaml")
    plans = inputs.read_contracts(folder / "C.yaml", policy)
    with evaluate.open_spool() as spool:
        evaluate.evaluate_history(
            inputs.read_rows(folder / "E.csv", folder / "T.csv"), policy, plans, spool
        )
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, reference, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]))
    else:
        main()
