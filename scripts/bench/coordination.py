"""The benchmark of boards: how long a lease takes, and a message from its writer to its reader.

    .venv/bin/python -m scripts.bench.coordination [--rounds N]

Starts a PostgreSQL with its default durability, an API in a process of its own, and one agent that
asks from here, over loopback; prints a Markdown table and removes everything. The reference is a
request that only finds out whose key it came by. Compare the ratios, not the numbers.
"""

import argparse
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg

from orchestrator.core.hexadecimal import to_hex
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from orchestrator.storage.database import connect_as_owner, set_clock
from scripts.bench.log import NOW_MS, OPERATOR, SURFACE, opened
from scripts.bench.replay import served

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


@contextmanager
def agents(url: str, key: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Give a writer and a reader, each with a connection of its own."""
    arguments: dict[str, Any] = {"base_url": url, "timeout": 30, "trust_env": False}
    arguments["headers"] = {"Authorization": f"Bearer {key}"}
    with httpx.Client(**arguments) as writer, httpx.Client(**arguments) as reader:
        yield writer, reader


def ask(client: httpx.Client, method: str, path: str, body: object = None) -> Any:
    answer = client.request(method, path, json=body)
    answer.raise_for_status()
    return answer.json()


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = act()
    return time.perf_counter() - begun, found


def measure(writer: httpx.Client, reader: httpx.Client, rounds: int) -> dict[str, list[float]]:
    """Return the times of each act, in seconds; all acts take turns."""
    times: dict[str, list[float]] = {}

    def note(name: str, act: Callable[[], Any]) -> Any:
        spent, found = timed(act)
        times.setdefault(name, []).append(spent)
        return found

    cursor = 0
    with ThreadPoolExecutor(1) as pool:
        for number in range(rounds):
            path = f"{BOARD}/leases/item-{number}"
            note("whose key it is", lambda: ask(writer, "GET", "/v1/me"))
            lease = note("take a lease", lambda path=path: ask(writer, "PUT", path, {}))
            held = {"fence": lease["fence"]}
            note("renew it", lambda path=path, held=held: ask(writer, "PUT", path, held))
            note(
                "release it",
                lambda path=path, held=held: ask(writer, "POST", f"{path}/release", held),
            )
            asked = f"{BOARD}/messages?after={cursor}&wait_s=10"
            waits = pool.submit(
                lambda asked=asked: (ask(reader, "GET", asked), time.perf_counter())
            )
            time.sleep(SETTLE_S)
            begun = time.perf_counter()
            said = {"kind": "result", "item": f"item-{number}"}
            note("send a message", lambda said=said: ask(writer, "POST", f"{BOARD}/messages", said))
            page, woken = waits.result()
            times.setdefault("until its reader, who waits, has it", []).append(woken - begun)
            cursor = page["cursor"]
    return times


def show(times: dict[str, list[float]]) -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | median, ms | of the first | 90 of 100 below, ms |")
    print("|---|---:|---:|---:|")
    first = statistics.median(next(iter(times.values())))
    for name, spent in times.items():
        median, ninth = statistics.median(spent), statistics.quantiles(spent, n=10)[-1]
        print(f"| {name} | {1000 * median:.1f} | {median / first:.1f} | {1000 * ninth:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with LocalPostgres(folder) as server:
            urls = server.urls()
            prepare_schema(urls)
            owner = connect_as_owner(urls.owners)
            with owner.transaction() as session:
                set_clock(session, NOW_MS)
            owner.close()
            with opened(urls) as log, served(urls.by_login["tallystick_api"], log.log_id) as client:
                key = give_key(urls.owners)
                with agents(str(client._http.base_url), key) as (writer, reader):  # noqa: SLF001
                    measure(writer, reader, 10)
                    show(measure(writer, reader, rounds))


if __name__ == "__main__":
    main()
