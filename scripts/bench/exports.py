"""A backtest of raw exports, measured: rows a second of processor time, and peak memory.

Nine of ten rows are page views and other events that no policy names, as in a tracking plan; the
rest are sign-ups, activations, and Stripe's payments and refunds, with a touch for every second
lead.

    .venv/bin/python -m scripts.bench.exports [--rows N]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

POLICY = """
initial: visitor
states: [visitor, trial, active, customer]
transitions:
  - {on: signup, from: [visitor], to: trial, motion: acquisition}
  - {on: activate, from: [trial], to: active, motion: activation}
  - {on: purchase, from: [active, customer], to: customer, motion: conversion}
reversals: [{on: refund, of: customer}]
attribution: last_touch
touches_per_lead: 100
"""
CONTRACTS = """
- id: paid
  operator: ann
  outcome: customer
  repeatable: true
  unit_price: 1.50
  revenue_share_bps: 250
  budget: 10000000
  opens_at: 2026-01-01
  deadline: 2027-12-31
  attribution_window_s: 2592000
  holdback_s: 2592000
"""
MAPPING = """
currencies: {USD: "1", EUR: "1.0834"}
sources:
  segment: {events: {Signed Up: signup, Activated: activate}}
  stripe: {events: {charge.succeeded: purchase, charge.refunded: refund}}
"""
SHARE = 40  # of so many rows, four belong to one lead's story
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Write a history of so many rows, measure it in a process of its own, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder, rows)
        command = [sys.executable, __file__, "measure", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, reference, peak = json.loads(done.stdout)
    print("| rows | seconds | rows/s | json alone, s | ratio | peak memory, MiB |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {rows:,} | {seconds:.1f} | {rows / seconds:,.0f} | {reference:.1f} "
        f"| {reference / seconds:.2f} | {peak / 1024:.0f} |"
    )


def write_history(folder: Path, rows: int) -> None:
    """Write the exports, touches, policy, contract and mapping."""
    draw = random.Random(rows)  # noqa: S311 - a benchmark's data
    (folder / "P.yaml").write_text(POLICY)
    (folder / "C.yaml").write_text(CONTRACTS)
    (folder / "M.yaml").write_text(MAPPING)
    touches = ["time,lead,operator,action\n"]
    with (folder / "segment").open("w") as segment, (folder / "stripe").open("w") as stripe:
        for number in range(rows):
            now = BEGIN + timedelta(seconds=10 * number)
            lead, step = f"user-{number // SHARE}", number % SHARE
            at = now.strftime("%Y-%m-%dT%H:%M:%S.250Z")
            if step in (20, 30):
                seconds = int(now.timestamp())
                stripe.write(json.dumps(_payment(number, lead, step == 30, seconds)) + "\n")
                continue
            event = {0: "Signed Up", 10: "Activated"}.get(step)
            call = {
                "type": "track" if event or draw.randrange(2) else "page",
                "event": event or f"Feature {draw.randrange(30)} Used",
                "userId": lead,
                "messageId": f"ajs-next-{number:012}",
                "timestamp": at,
                "receivedAt": at,
                "properties": {"plan": "pro", "path": "/app/inbox"},
                "context": {"library": {"name": "analytics.js", "version": "2.1"}, "ip": "8.8.8.8"},
            }
            segment.write(json.dumps(call) + "\n")
            if step == 5 and number // SHARE % 2:
                touches.append(f"{now:%Y-%m-%d %H:%M:%S},{lead},ann,email\n")
    (folder / "T.csv").write_text("".join(touches))


def _payment(number: int, lead: str, is_refund: bool, created_s: int) -> dict[str, object]:
    order = number - 10 if is_refund else number
    about: dict[str, object] = {
        "id": f"ch_{order}",
        "object": "charge",
        "amount": 2990,
        "amount_refunded": 500 if is_refund else 0,
        "currency": "eur" if order % 3 else "usd",
        "customer": lead,
        "metadata": {},
        "payment_intent": f"pi_{order}",
    }
    return {
        "id": f"evt_{number}",
        "object": "event",
        "type": "charge.refunded" if is_refund else "charge.succeeded",
        "created": created_s,
        "livemode": True,
        "data": {"object": about, "previous_attributes": {"amount_refunded": 0}},
    }


def measure(folder: Path) -> None:
    """Print [seconds of the backtest and its report, seconds of json alone, peak KiB] as JSON."""
    from orchestrator.backtest import (  # noqa: PLC0415 - not in the parent's memory
        evaluate,
        exports,
        inputs,
    )
    from orchestrator.core.growth.report import report_of  # noqa: PLC0415 - the same

    started = time.process_time()
    for name in ("segment", "stripe"):
        with (folder / name).open() as file:
            for line in file:
                json.loads(line)
    reference = time.process_time() - started
    started = time.process_time()
    policy = inputs.read_policy(folder / "P.yaml")
    plans = inputs.read_contracts(folder / "C.yaml", policy)
    reader = exports.ExportReader(
        [exports.Export(name, folder / name) for name in ("segment", "stripe")],
        exports.read_intake(folder / "M.yaml"),
    )
    rows = inputs.merge_rows(
        inputs.read_touches(folder / "T.csv", inputs.RowCounts()), reader.rows()
    )
    with evaluate.open_spool() as spool:
        report = evaluate.evaluate_history(rows, policy, plans, spool)
        if report.seen is not None:
            report_of(report.seen, policy, report.contracts, report.operators).to_json()
    seconds = time.process_time() - started
    print(json.dumps([seconds, reference, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]))
    else:
        main()
