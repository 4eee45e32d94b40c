"""The benchmark of boards: how long a lease takes, and a message from its writer to its reader.

    .venv/bin/python -m scripts.bench.coordination [--rounds N]

Starts a PostgreSQL with its default durability, an API and two agents, each in its own process,
that ask over loopback by httpx; prints a Markdown table and removes everything. The reference is a
request that only finds out whose key it came by. Compare the ratios, not the numbers.
"""

import argparse
import multiprocessing
import os
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Any

import httpx
import psycopg

from orchestrator.core.account.board import MAX_MESSAGES
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.storage.database import API
from scripts.bench.log import LIMITS, NOW_MS, OPERATOR, SURFACE, opened, still_database
from scripts.bench.served import Service, running, serve

BOARD = f"/v1/boards/{to_hex(SURFACE)}"
# A reader has asked, and waits, this long before the message that it is to be woken by.
SETTLE_S = 0.03


def give_key(owner_url: str) -> str:
    """Give the operator a key for boards, as without a wallet only the schema's owner can."""
    key = f"tsk_{secrets.token_urlsafe(32)}"
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "INSERT INTO api_keys (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
            " VALUES (%s, %s, sha256(%s), 'bench', '{operator:coordinate}', 0, %s)",
            (secrets.token_bytes(32), OPERATOR, sha256(key.encode()).digest(), 2 * NOW_MS),
        )
    return key


def agent(url: str, key: str) -> httpx.Client:
    """Return the client of an agent, which keeps its connection."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, timeout=30, trust_env=False, headers=headers)


def read(url: str, key: str, cursors: Connection) -> None:
    """Wait for the message behind each cursor that comes; send back its own, and when it came.

    The clock is the machine's, so that its times can be compared with those of other processes.
    """
    with agent(url, key) as reader:
        while (cursor := cursors.recv()) is not None:
            page = ask(reader, "GET", f"{BOARD}/messages?after={cursor}&wait_s=10")
            cursors.send((page["cursor"], time.perf_counter()))


@contextmanager
def reading(url: str, key: str) -> Iterator[Connection]:
    """Run a reader in a process of its own; give what it takes cursors from."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    reader = context.Process(target=read, args=(url, key, there))
    reader.start()
    try:
        yield here
    finally:
        here.send(None)
        reader.join()


def ask(client: httpx.Client, method: str, path: str, body: object = None) -> Any:
    answer = client.request(method, path, json=body)
    answer.raise_for_status()
    return answer.json()


class Stopwatch:
    """The times of acts by their names, in seconds."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def ask(self, name: str, client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
        begun = time.perf_counter()
        found = ask(client, method, path, body)
        self.note(name, begun)
        return found

    def note(self, name: str, begun: float) -> None:
        self.times.setdefault(name, []).append(time.perf_counter() - begun)


def measure(writer: httpx.Client, reader: Connection, rounds: int) -> dict[str, list[float]]:
    """Return the times of each act; all acts take turns."""
    watch = Stopwatch()
    # Behind what was sent to warm up, or each reader would find the message before its own.
    cursor = ask(writer, "GET", f"{BOARD}/messages?limit={MAX_MESSAGES}")["cursor"]
    for number in range(rounds):
        path = f"{BOARD}/leases/item-{number}"
        watch.ask("whose key it is", writer, "GET", "/v1/me")
        lease = watch.ask("take a lease", writer, "PUT", path, {})
        held = {"fence": lease["fence"]}
        watch.ask("renew it", writer, "PUT", path, held)
        watch.ask("release it", writer, "POST", f"{path}/release", held)
        reader.send(cursor)
        time.sleep(SETTLE_S)
        begun, said = time.perf_counter(), {"kind": "result", "item": f"item-{number}"}
        watch.ask("send a message", writer, "POST", f"{BOARD}/messages", said)
        cursor, woken = reader.recv()
        if woken < begun:
            raise SystemExit("the reader has not waited")
        watch.times.setdefault("until its reader, who waits, has it", []).append(woken - begun)
    return watch.times


def show(times: dict[str, list[float]]) -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | median, ms | of the first | 10 of 100 below, ms | 90 of 100 below, ms |")
    print("|---|---:|---:|---:|---:|")
    first = statistics.median(next(iter(times.values())))
    for name, spent in times.items():
        median, (tenth, *_, ninth) = statistics.median(spent), statistics.quantiles(spent, n=10)
        cells = [1000 * median, median / first, 1000 * tenth, 1000 * ninth]
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with (
        still_database(LIMITS) as urls,
        opened(urls) as log,
        running(serve, Service(urls.by_login[API], log.log_id, LIMITS)) as served,
    ):
        key = give_key(urls.owners)
        with agent(served.url, key) as writer, reading(served.url, key) as reader:
            measure(writer, reader, 10)
            show(measure(writer, reader, rounds))


if __name__ == "__main__":
    main()
