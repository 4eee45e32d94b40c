"""The benchmark of fairness: the wait of an owner while others read, or flood the owner's surface.

    .venv/bin/python -m scripts.bench.fairness [--events N] [--rounds N]

The owner sends one event after another, and waits for each until a checkpoint covers it. Meanwhile
nobody else calls; or 64 connections of as many addresses read pages of 1,000 entries; or ten
accounts send touches on the same surface, each the next one when it has the answer. API, sequencer,
callers and owner are processes of their own. Beside it the same with 40 reads and 40 touches at one
time, where the service lets one and two. Rounds of all take turns. Prints a Markdown table and
removes everything. Compare the ratios, not the numbers.
"""

import argparse
import asyncio
import multiprocessing
import os
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import NamedTuple

import httpx
import psycopg

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import format_ms
from orchestrator.core.log.entry import address_word
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.storage.database import API, SEQUENCER, Database, DatabaseUrls
from scripts.bench.log import (
    NOW_MS,
    OWNER,
    SURFACE,
    drain,
    give_key,
    key_of,
    opened,
    still_database,
)
from scripts.bench.served import Service, running, serve
from scripts.bench.single import LEADS, LIMITS, Caller, Make, fill, http

READERS = 64
# Accounts besides the one that has contracts, all of the same level.
FLOODERS = [f"0x{number:040x}" for number in range(1, 11)]
UNBOUNDED = LIMITS._replace(reads_at_once=40, touches_at_once=40)
# As the service looks for what waits.
LOOK_S = 0.2
WARM_EVENTS = 3
PATIENCE_S = 60


class Load(NamedTuple):
    """The others meanwhile: so many connections that read, and accounts that send touches."""

    name: str
    readers: int
    flooders: int


class Measured(NamedTuple):
    """Times of the owner's events, in ms; the calls of the others in so many seconds."""

    waits: list[float]
    calls: int
    seconds: float


LOADS = [
    Load("quiet", 0, 0),
    Load(f"while {READERS} connections read", READERS, 0),
    Load(f"while {len(FLOODERS)} accounts flood its surface", 0, len(FLOODERS)),
]


def sequence(url: str, log_id: bytes, stop: Event) -> None:
    """Decide what waits, as the service does, until told to stop."""
    with Database(url, SEQUENCER) as writer:
        sequencer = Sequencer(writer, log_id, lambda: NOW_MS, lambda _size, _root: bytes(65))
        while not stop.wait(LOOK_S):
            sequencer.drain_all()
        sequencer.close()


def reading(address: str) -> Make:
    """Return what makes requests for pages of the log by way of a proxy from this address."""
    request = http("GET", "/v1/log/entries?start=0&limit=1000", forwarded_for=address)
    return lambda _: request


def flooding(account: str, leads: list[str]) -> Make:
    """Return what makes requests of an account to touch these leads in turn."""
    path, run = f"/v1/surfaces/{to_hex(SURFACE)}/touches", secrets.token_hex(4)
    return lambda n: http(
        "POST", path, key_of(account), {"lead": leads[n % LEADS], "action": "email"}, f"{run}-{n}"
    )


def call_on(
    url: str, load: Load, leads: list[str], calls: "Synchronized[int]", ready: Event, stop: Event
) -> None:
    """Be those others until told to stop; say when they are there, and how many calls they made."""

    async def call() -> None:
        loop = asyncio.get_running_loop()
        host, port = url.removeprefix("http://").split(":")
        makes = [(reading(f"198.51.100.{n}"), b"200") for n in range(1, load.readers + 1)]
        makes += [(flooding(each, leads), b"202") for each in FLOODERS[: load.flooders]]
        callers = []
        for make in makes:
            _, caller = await loop.create_connection(lambda m=make: Caller(*m), host, int(port))  # type: ignore[misc]
            callers.append(caller)
        ready.set()
        await asyncio.to_thread(stop.wait)
        for caller in callers:
            caller.ends_at = 0
        await asyncio.gather(*(caller.ended for caller in callers))
        calls.value = sum(len(caller.times) for caller in callers)

    asyncio.run(call())


@contextmanager
def beside(target: object, *arguments: object) -> Iterator[None]:
    """Run `target(*arguments, stop)` in a process of its own. Raises RuntimeError if it failed."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=target, args=(*arguments, stop))  # type: ignore[arg-type]
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()
    if process.exitcode:
        raise RuntimeError(f"a process beside the benchmark ended with {process.exitcode}")


def wait_of(client: httpx.Client, number: int) -> float:
    """Have the owner report an event; return how long its decision took, in ms."""
    begun = time.perf_counter()
    answer = client.post(
        f"/v1/surfaces/{to_hex(SURFACE)}/events",
        headers={"Idempotency-Key": secrets.token_hex(16), "Prefer": "wait=10"},
        json={"lead": f"person {number % LEADS}", "event": "buy", "time": format_ms(NOW_MS)},
    )
    if answer.status_code != 200:
        raise SystemExit(f"the owner's event was not decided: {answer.status_code} {answer.text}")
    return (time.perf_counter() - begun) * 1000


def waits_under(load: Load, url: str, leads: list[str], events: int) -> Measured:
    """Have the owner send so many events while others do this."""
    context = multiprocessing.get_context("spawn")
    calls, ready = context.Value("q", 0), context.Event()
    with (
        beside(call_on, url, load, leads, calls, ready),
        httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key_of(OWNER)}"},
            timeout=PATIENCE_S,
            trust_env=False,
        ) as client,
    ):
        ready.wait()
        begun = time.monotonic()
        for number in range(WARM_EVENTS):
            wait_of(client, number)
        waits = [wait_of(client, number) for number in range(events)]
        seconds = time.monotonic() - begun
    return Measured(waits, calls.value, seconds)


def admit_flooders(url: str) -> None:
    """Give every account of the flood a key, and the standing of the operator with contracts."""
    for account in FLOODERS:
        give_key(url, account)
    with psycopg.connect(url) as admin:
        admin.execute(
            "INSERT INTO standings SELECT s.log_id, s.surface, o.word, s.level, s.ground,"
            " s.is_suspended, s.sealed, s.scored_from_ms, s.document"
            " FROM standings s, unnest(%s::bytea[]) AS o (word)",
            ([address_word(each) for each in FLOODERS],),
        )


def report(urls: DatabaseUrls, options: argparse.Namespace) -> None:
    """Measure, and print the table."""
    logins = urls.by_login
    with opened(urls) as log, ExitStack() as exits:
        leads = [to_hex(lead) for lead in fill(log, urls.owners)[SURFACE]]
        admit_flooders(urls.owners)
        drain(log)
        log.sequencer.close()
        exits.enter_context(beside(sequence, logins[SEQUENCER], log.log_id))
        served = {}
        for name, limits in (("", LIMITS), (", without the bounds", UNBOUNDED)):
            service = Service(logins[API], log.log_id, limits, (ip_network("127.0.0.1/32"),))
            served[name] = exits.enter_context(running(serve, service)).url
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        measured: dict[str, list[Measured]] = {}
        for _ in range(options.rounds):
            for bounds, url in served.items():
                for load in LOADS:
                    found = waits_under(load, url, leads, options.events)
                    measured.setdefault(load.name + bounds, []).append(found)
    print(
        "| an owner's event | median, ms | of quiet | 90 of 100 below, ms | of quiet "
        "| others' calls/s |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    quiet = _waits(measured["quiet"])
    for name, rounds in measured.items():
        median, tenth = _waits(rounds)
        calls = sum(each.calls for each in rounds) / sum(each.seconds for each in rounds)
        print(
            f"| {name} | {median:,.0f} | {median / quiet[0]:.1f}"
            f" | {tenth:,.0f} | {tenth / quiet[1]:.1f} | {calls:,.0f} |"
        )


def _waits(rounds: list[Measured]) -> tuple[float, float]:
    """Return the median of the owner's waits, and what nine of ten are below."""
    waits = [each for one in rounds for each in one.waits]
    return statistics.median(waits), statistics.quantiles(waits, n=10)[8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with still_database(LIMITS) as urls:
        report(urls, options)


if __name__ == "__main__":
    main()
