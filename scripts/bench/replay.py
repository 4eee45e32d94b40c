"""The benchmark of readers of the whole log: bundles beside pages of JSON, and the rules alone.

    .venv/bin/python -m scripts.bench.replay [--events N]

Starts a PostgreSQL and an API in a process of its own, fills a log, reads it over HTTP, prints a
Markdown table, removes everything. The reader has one core; the API and the database the rest.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from orchestrator.client.http import PAGE, Client
from orchestrator.client.log_server import ServedEntry, record_of, served_bundle, served_records
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.decisions.replay import Replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.bundle import MAX_BUNDLE
from orchestrator.core.log.entry import ENTRY_BYTES
from orchestrator.core.log.opening import Record
from orchestrator.core.world.requests import Touch
from orchestrator.storage.database import API
from scripts.bench.log import (
    BULK,
    LIMITS,
    NOW_MS,
    OPERATOR,
    OWNER,
    POLICY,
    RULES,
    SETTINGS,
    drain,
    journeys,
    opened,
    post,
    still_database,
)
from scripts.bench.served import Service, running, serve

READS = Limits(source_reads_a_minute=10**9, source_rows_a_minute=10**9)


def pages(client: Client) -> Iterator[list[Any]]:
    """Yield the log in pages of JSON."""
    start: int | None = 0
    while start is not None:
        page = client.get("/v1/log/entries", start=start, limit=PAGE)
        yield page["entries"]
        start = page["next"]


def bundles(client: Client) -> Iterator[list[Any]]:
    """Yield the log in bundles."""
    start = 0
    while bundle := served_bundle(client, start, MAX_BUNDLE):
        yield list(bundle)
        start += len(bundle)


def records_of_pages(client: Client) -> Iterator[Record]:
    for page in pages(client):
        for item in page:
            served_entry = ServedEntry(from_hex(item["entry"], ENTRY_BYTES), item["opening"])
            yield record_of(served_entry, item["position"])


def replayed(records: Iterator[Record]) -> int:
    """Judge the records by the rules; return their number."""
    documents = Documents(
        lambda _: POLICY, lambda _: SETTINGS, lambda _: RULES, lambda _: 1, lambda _: None
    )
    judged = Replay(documents, lambda: NOW_MS)
    for record in records:
        judged.take(record)
    return judged.finish().size


def rate(read: Callable[[], int]) -> tuple[float, float]:
    """Return entries a second, and the reader's CPU time an entry in µs, the best of three."""
    rates, costs = [], []
    for _ in range(3):
        start, cpu = time.perf_counter(), time.process_time()
        count = read()
        rates.append(count / (time.perf_counter() - start))
        costs.append((time.process_time() - cpu) / count * 1e6)
    return max(rates), min(costs)


def report(client: Client, size: int) -> None:
    """Print a row for each way of reading the log."""
    kept = list(served_records(client, 0, size))
    rows: list[tuple[str, Callable[[], int]]] = [
        ("read, pages of JSON", lambda: sum(map(len, pages(client)))),
        ("read, bundles", lambda: sum(map(len, bundles(client)))),
        ("read and decoded, pages of JSON", lambda: sum(1 for _ in records_of_pages(client))),
        ("read and decoded, bundles", lambda: sum(1 for _ in served_records(client, 0, size))),
        ("the rules alone, from memory", lambda: replayed(iter(kept))),
        ("replayed, pages of JSON", lambda: replayed(records_of_pages(client))),
        ("replayed, bundles", lambda: replayed(served_records(client, 0, size))),
    ]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {size:,} entries\n")
    print("| what | entries/s | of JSON read | CPU of the reader, µs an entry |")
    print("|---|---:|---:|---:|")
    reference = 0.0
    for name, read in rows:
        found, cost = rate(read)
        reference = reference or found
        print(f"| {name} | {found:,.0f} | {found / reference:.2f} | {cost:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=30_000)
    count = parser.parse_args().events
    with still_database(LIMITS) as urls, opened(urls) as log:
        requests = journeys(count)
        for is_touch, run in groupby(requests, key=lambda each: isinstance(each, Touch)):
            account = OPERATOR if is_touch else OWNER
            page = list(run)
            for start in range(0, len(page), BULK):
                post(log.api, log.log_id, page[start : start + BULK], account)
        size = drain(log)
        service = Service(urls.by_login[API], log.log_id, READS)
        with running(serve, service) as api, Client(api.url) as client:
            report(client, size)


if __name__ == "__main__":
    main()
