"""The benchmark of a verifier that starts again: how long until it signs, and in how much memory.

    .venv/bin/python -m scripts.bench.resuming [--entries N] [--in-memory]

Fills a log, then has a verifier sign for it in a process of its own, three times: the first replays
all, the second goes on from what the first has kept, the third after a few more entries. Prints a
Markdown table and removes everything. With `--in-memory` nothing is kept, as for comparison.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from multiprocessing import Queue
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from orchestrator.chain.deployment import Chain
from orchestrator.core.deals.terms import Domain
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.log.opening import Record
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import Touch
from orchestrator.log.reader import PAGE_ENTRIES, LogReader
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import WORKER, Database
from orchestrator.verify.log_replay import LogReplay
from orchestrator.verify.resuming.kept_fold import KeptFold
from scripts.bench.log import (
    BULK,
    LIMITS,
    NOW_MS,
    OPERATOR,
    OWNER,
    POLICY,
    RULES,
    SETTINGS,
    Log,
    drain,
    journeys,
    opened,
    post,
    still_database,
)

KEY = bytes(31) + b"\1"
DOMAIN = Domain("bench", "1", 1, ZERO_ADDRESS)


class Task(NamedTuple):
    """A verifier to be started: its log, and where it keeps its replay (None: nowhere)."""

    url: str
    log_id: bytes
    path: Path | None


class BenchReplay(LogReplay):
    """A replay of a log whose one contract is on no chain."""

    def _rules(self, _: bytes) -> ContractRules:
        return RULES


def sign(task: Task, told: "Queue[Any]") -> None:
    """Start a verifier, sign for the newest checkpoint, and tell the time and the memory."""
    begun = time.perf_counter()
    with Database(task.url, WORKER) as worker:
        reader = LogReader(worker, task.log_id)
        checkpoint = reader.checkpoint()
        if checkpoint is None:
            raise SystemExit("the log is empty")
        chain = SimpleNamespace(
            opening_number_of=lambda _: 1, closed_at=lambda _: None, forked_at=lambda _: None
        )
        kept = None if task.path is None else KeptFold(task.path, KEY, b"")
        replay = BenchReplay(
            task.log_id,
            lambda start, stop: records(reader, start, stop),
            lambda _: POLICY,
            lambda _: SETTINGS,
            cast(Chain, chain),
            lambda: NOW_MS,
            kept=kept,
        )
        Verifier(replay, KEY).sign(DOMAIN, checkpoint.size, checkpoint.root, 1, 1)
        seconds = time.perf_counter() - begun
        if kept is not None:
            kept.close()
    told.put((checkpoint.size, seconds, peak_mib()))


def peak_mib() -> int:
    """Return the most memory that this process has had, in MiB.

    The kernel's other account of it begins with what the parent had.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def records(reader: LogReader, start: int, stop: int) -> Iterator[Record]:
    """Yield the log's records, as a deployment reads them."""
    while start < stop:
        page = reader.entries(start, min(PAGE_ENTRIES, stop - start))
        for stored in page:
            yield Record(stored.entry, stored.opened)
        start += len(page)


def fill(log: Log, entries: int) -> None:
    """Grow the log by about so many entries: journeys of three requests and five entries."""
    for start in range(0, entries, 5 * BULK):
        requests = journeys(3 * min(5 * BULK, entries - start) // 5)
        for is_touch, run in groupby(requests, key=lambda each: isinstance(each, Touch)):
            page = list(run)
            for first in range(0, len(page), BULK):
                account = OPERATOR if is_touch else OWNER
                post(log.api, log.log_id, page[first : first + BULK], account)
        drain(log)


def measured(task: Task) -> tuple[int, float, int]:
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    process = context.Process(target=sign, args=(task, told))
    process.start()
    found: tuple[int, float, int] = told.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--in-memory", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tallystick-") as folder,
        still_database(LIMITS) as urls,
        opened(urls) as log,
    ):
        fill(log, options.entries)
        path = None if options.in_memory else Path(folder) / "replay"
        task = Task(urls.by_login[WORKER], log.log_id, path)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        print("| the verifier | entries | signs after, s | peak memory, MiB | kept, MiB |")
        print("|---|---:|---:|---:|---:|")
        for what in ("first start", "started again", "started again, 1,000 entries later"):
            if what.endswith("later"):
                fill(log, 1_000)
            size, seconds, peak = measured(task)
            kept = path.stat().st_size >> 20 if path else 0
            print(f"| {what} | {size:,} | {seconds:.1f} | {peak:,} | {kept} |", flush=True)


if __name__ == "__main__":
    main()
