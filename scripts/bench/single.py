"""The benchmark of single requests: one event, one touch, one read, beside a bare handler.

    .venv/bin/python -m scripts.bench.single [--seconds S] [--rounds N]

The bare handler is one of FastAPI that runs one statement by psycopg: an INSERT into a table with a
primary key, or a SELECT by it, in a transaction of its own. It is served by plain uvicorn from a
process of its own, as our API is, and written to the same PostgreSQL. Rounds alternate between the
two; callers are connections that send their next request when they have the answer. Prints a
Markdown table and removes everything. No sequencer runs meanwhile: what is measured is what a
caller waits for, until a request is durable. Compare the ratios, not the numbers.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import format_ms
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.requests import ProductEvent, Request, Touch
from orchestrator.storage.database import API
from scripts.bench.log import (
    NOW_MS,
    OPERATOR,
    OWNER,
    SURFACES,
    Log,
    drain,
    key_of,
    opened,
    post,
    still_database,
)
from scripts.bench.served import Running, Service, cpu_s, running, serve, serve_bare

MANY = 10**9
# Whatever a caller is held to by its rate is out of the way; what it is held to at one time is not.
LIMITS = Limits(
    requests_a_minute=MANY,
    rows_a_minute=MANY,
    touches_a_day=MANY,
    events_a_day=MANY,
    waiting_requests=MANY,
    source_reads_a_minute=MANY,
    source_rows_a_minute=MANY,
)
LEADS = 400
CONNECTIONS = (1, 16)
WARM_S = 1.0
# No two requests have one number, and so one key.
NUMBERS = itertools.count()

# The bytes of the next request, by its number.
Make = Callable[[int], bytes]


class Case(NamedTuple):
    """Requests to our API, and those of the same sort to the bare handler."""

    name: str
    ours: Make
    bare: Make


class Measured(NamedTuple):
    """The times of requests that were answered in so many seconds, in ms, and what they cost.

    That is the processor time of the process that serves, and of the database, in seconds.
    """

    times: list[float]
    seconds: float
    serving_s: float
    database_s: float

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    @property
    def cost_us(self) -> tuple[float, float]:
        return tuple(each / len(self.times) * 1e6 for each in (self.serving_s, self.database_s))  # type: ignore[return-value]

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.times, n=100)[percent - 1]


def sum_of(rounds: list[Measured]) -> Measured:
    """Return several rounds as one."""
    return Measured(
        [t for one in rounds for t in one.times],
        *(sum(x) for x in list(zip(*rounds, strict=True))[1:]),
    )


# --- The bare handler -----------------------------------------------------------------------------


class BareEvent(BaseModel):
    """As much as our own event has."""

    lead: str
    event: str
    time: str


def bare_app(url: str) -> FastAPI:
    """Return an application of two handlers that run one statement each."""
    app = FastAPI()
    pool = ConnectionPool(url, min_size=8, max_size=8, open=True)

    @app.post("/events/{surface}", status_code=202)
    def add(surface: str, body: BareEvent) -> dict[str, int]:
        with pool.connection() as connection:
            row = connection.execute(
                "INSERT INTO bare_events (surface, lead, event, time) VALUES (%s, %s, %s, %s)"
                " RETURNING id",
                (surface, body.lead, body.event, body.time),
            ).fetchone()
        return {"id": row[0] if row else 0}

    @app.get("/events/{number}")
    def read(number: int) -> dict[str, Any]:
        with pool.connection() as connection:
            row = connection.execute(
                "SELECT id, surface, lead, event, time FROM bare_events WHERE id = %s", (number,)
            ).fetchone()
        return dict(zip(("id", "surface", "lead", "event", "time"), row or (), strict=False))

    return app


def postmaster_of(url: str) -> int:
    """Return the process of a database server on this machine."""
    with psycopg.connect(url) as admin:
        (folder,) = admin.execute("SHOW data_directory").fetchone() or ("",)
    return int(Path(folder, "postmaster.pid").read_text().split()[0])


def make_bare_table(url: str) -> None:
    with psycopg.connect(url) as admin:
        admin.execute(
            "CREATE TABLE bare_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " surface text NOT NULL, lead text NOT NULL, event text NOT NULL, time text NOT NULL)"
        )
        admin.execute(
            "INSERT INTO bare_events (surface, lead, event, time)"
            " SELECT 's', 'l', 'e', 't' FROM generate_series(1, 1000)"
        )


# --- Requests -------------------------------------------------------------------------------------


def http(
    method: str,
    path: str,
    key: str = "",
    body: object = None,
    again: str = "",
    forwarded_for: str = "",
) -> bytes:
    """Return a request as it goes over the wire."""
    data = b"" if body is None else json.dumps(body).encode()
    fields = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(data)}"]
    if body is not None:
        fields.append("Content-Type: application/json")
    if key:
        fields.append(f"Authorization: Bearer {key}")
    if again:
        fields.append(f"Idempotency-Key: {again}")
    if forwarded_for:
        fields.append(f"X-Forwarded-For: {forwarded_for}")
    return "\r\n".join([*fields, "", ""]).encode() + data


def cases(leads: dict[bytes, list[bytes]]) -> list[Case]:
    """Return what is measured, for these leads of surfaces."""
    names, run = [to_hex(each) for each in leads], secrets.token_hex(4)
    pseudonyms = [[to_hex(lead) for lead in each] for each in leads.values()]
    at = format_ms(NOW_MS)

    def event(surfaces: int) -> Make:
        return lambda n: http(
            "POST",
            f"/v1/surfaces/{names[n % surfaces]}/events",
            key_of(OWNER),
            {"lead": f"person {n % LEADS}", "event": "buy", "time": at},
            f"{run}-{n}",
        )

    def touch(surfaces: int) -> Make:
        return lambda n: http(
            "POST",
            f"/v1/surfaces/{names[n % surfaces]}/touches",
            key_of(OPERATOR),
            {"lead": pseudonyms[n % surfaces][n % LEADS], "action": "email"},
            f"{run}-{n}",
        )

    def insert(n: int) -> bytes:
        body = {"lead": f"person {n % LEADS}", "event": "buy", "time": at}
        return http("POST", f"/events/{names[0]}", body=body)

    def select(n: int) -> bytes:
        return http("GET", f"/events/{1 + n % 1000}")

    def read(path: str, account: str = OPERATOR) -> Make:
        return lambda _: http("GET", f"/v1/surfaces/{names[0]}/{path}", key_of(account))

    return [
        Case("one event, on one surface", event(1), insert),
        Case("one event, on four surfaces", event(4), insert),
        Case("one touch, on one surface", touch(1), insert),
        Case("one touch, on four surfaces", touch(4), insert),
        Case("the funnel", read("funnel"), select),
        Case("a lead", read("leads?limit=1"), select),
        Case("the history", read("history"), select),
    ]


# --- Callers --------------------------------------------------------------------------------------


class Caller(asyncio.Protocol):
    """A connection that sends its next request once it has the answer to the last."""

    def __init__(self, make: Make, wanted: bytes) -> None:
        self._make, self._wanted = make, wanted
        self._buffer = b""
        self._begun = 0.0
        self.times: list[float] = []
        self.ends_at = float("inf")
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 " + self._wanted):
            self.ended.set_exception(SystemExit(self._buffer.decode()))
            return
        self.times.append((now - self._begun) * 1000)
        self._buffer = b""
        if now < self.ends_at:
            self._send()
        elif not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        data = self._make(next(NUMBERS))
        self._begun = time.perf_counter()
        self._transport.write(data)


async def call(url: str, make: Make, connections: int, seconds: float) -> tuple[list[float], float]:
    """Have so many connections call for so many seconds; return the times, and the time of all."""
    host, port = url.removeprefix("http://").split(":")
    wanted = b"202" if make(0).startswith(b"POST") else b"200"
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(make, wanted), host, int(port))
        caller.ends_at = begun + seconds
        callers.append(caller)
    await asyncio.gather(*(caller.ended for caller in callers))
    passed = time.perf_counter() - begun
    for caller in callers:
        caller._transport.close()  # noqa: SLF001
    return [each for caller in callers for each in caller.times], passed


# --- The table ------------------------------------------------------------------------------------


class Bench(NamedTuple):
    """The servers: ours, the bare one, and the database's process; rounds, and their seconds."""

    ours: Running
    bare: Running
    database: int
    rounds: int
    seconds: float


def round_of(
    bench: Bench, server: Running, make: Make, connections: int, seconds: float
) -> Measured:
    """Have a server called for some seconds."""
    before = cpu_s(server.pid), cpu_s(bench.database)
    times, passed = asyncio.run(call(server.url, make, connections, seconds))
    used = cpu_s(server.pid) - before[0], cpu_s(bench.database) - before[1]
    return Measured(times, passed, *used)


def measure(bench: Bench, case: Case, connections: int) -> str:
    """Return a row: the rates, their ratio, the times and costs of both; rounds alternate."""
    ours, bare = list[Measured](), list[Measured]()
    for turn in range(-1, bench.rounds):
        seconds = WARM_S if turn < 0 else bench.seconds
        mine = round_of(bench, bench.ours, case.ours, connections, seconds)
        its = round_of(bench, bench.bare, case.bare, connections, seconds)
        if turn >= 0:
            ours.append(mine)
            bare.append(its)
    spread = sorted(a.rate / b.rate for a, b in zip(ours, bare, strict=True))
    a, b = sum_of(ours), sum_of(bare)
    cells = [f"{connections}", f"{a.rate:,.0f}", f"{b.rate:,.0f}", f"{a.rate / b.rate:.2f}"]
    cells.append(f"{spread[0]:.2f} to {spread[-1]:.2f}")
    for percent in (50, 99):
        mine_ms, its_ms = a.percentile(percent), b.percentile(percent)
        cells.append(f"{mine_ms:.1f} / {its_ms:.1f} = {mine_ms / its_ms:.1f}")
    for mine_us, its_us in zip(a.cost_us, b.cost_us, strict=True):
        cells.append(f"{mine_us:,.0f} / {its_us:,.0f}")
    cells.append(f"{sum(b.cost_us) / sum(a.cost_us):.2f}")
    return f"| {case.name} | {' | '.join(cells)} |"


def fill(log: Log, url: str) -> dict[bytes, list[bytes]]:
    """Register leads on every surface, by the owner's names and by touches; return them."""
    leads = {surface: [secrets.token_bytes(32) for _ in range(LEADS)] for surface in SURFACES}
    for surface, found in leads.items():
        touches: list[Request] = [
            Touch(surface, lead, address_word(OPERATOR), "email") for lead in found
        ]
        post(log.api, log.log_id, touches, OPERATOR)
        post(
            log.api,
            log.log_id,
            [ProductEvent(surface, each, "signup", 0, NOW_MS) for each in found],
        )
    drain(log)
    with psycopg.connect(url) as admin:
        admin.execute("UPDATE standings SET level = 1")
        # On the surfaces without a contract nothing was judged yet.
        admin.execute(
            "INSERT INTO standings SELECT s.log_id, s.surface, t.operator, 1, t.ground, false,"
            " NULL, NULL, t.document FROM surfaces s, (SELECT * FROM standings LIMIT 1) AS t"
            " WHERE s.log_id = t.log_id ON CONFLICT DO NOTHING"
        )
    return leads


def report(urls: Any, options: argparse.Namespace) -> None:
    make_bare_table(urls.owners)
    with opened(urls) as log:
        leads = fill(log, urls.owners)
        service = Service(urls.by_login[API], log.log_id, LIMITS)
        with running(serve, service) as ours, running(serve_bare, bare_app, urls.owners) as bare:
            bench = Bench(ours, bare, postmaster_of(urls.owners), options.rounds, options.seconds)
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};", end=" ")
            print(f"Python {platform.python_version()}; {options.rounds} x {options.seconds} s\n")
            print(
                "| what | connections | a second | bare | ratio | of each round | median, ms "
                "| 99 of 100 below, ms | our CPU, µs | the database's, µs | ratio of CPU |"
            )
            print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
            for case, connections in itertools.product(cases(leads), options.connections):
                if options.only in case.name:
                    print(measure(bench, case, connections), flush=True)
                    drain(log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="the cases whose names have this")
    parser.add_argument("--connections", type=int, nargs="*", default=CONNECTIONS)
    options = parser.parse_args()
    with still_database(LIMITS) as urls:
        report(urls, options)


if __name__ == "__main__":
    main()
