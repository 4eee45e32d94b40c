"""The benchmark of the log, beside the best that its database can do.

    .venv/bin/python -m scripts.bench.log [--events N]

Starts a PostgreSQL of its own with its default durability, prints a Markdown table, removes
everything. Compare the ratios, not the numbers: these are of one machine at one moment.
"""

import argparse
import multiprocessing
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from orchestrator.core.account.scopes import SCOPES
from orchestrator.core.common.limits import Limits
from orchestrator.core.log.entry import ZERO_ADDRESS, address_word, ascii_word
from orchestrator.core.surface.policy import parse
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    Request,
    Touch,
)
from orchestrator.log.fsck import check_entries, compare_projections
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.reader import LogReader
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from orchestrator.storage.database import (
    API,
    SEQUENCER,
    WORKER,
    Database,
    DatabaseUrls,
    connect_as_owner,
    set_clock,
)
from orchestrator.storage.schema import create_log

# The database's clock stands still there, so that events and touches are of one time.
NOW_MS = 1_767_225_600_000
OWNER, OPERATOR, PUBLISHER = ("0x" + digit * 40 for digit in "abd")
# Writers share the first, or have one each: requests about one surface wait for one another.
SURFACES = {
    sha256(address_word(OWNER) + ascii_word(name)).digest(): name
    for name in (f"surface {number}" for number in range(4))
}
SURFACE = next(iter(SURFACES))
POLICY = parse(
    {
        "initial": "new",
        "states": ["new", "trial", "paid"],
        "transitions": [
            {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
            {"on": "buy", "from": ["trial", "paid"], "to": "paid", "motion": "conversion"},
        ],
        "reversals": [{"on": "refund", "of": "paid"}],
        "attribution": "first_touch",
        "touches_per_lead": 10_000,
    }
)
SETTINGS = parse_settings(
    {
        "token": ZERO_ADDRESS[:-1] + "1",
        "actions": {"email": {"level": 1}},
        "levels": [{"leads_a_day": 1_000_000}],
    }
)
RULES = ContractRules(
    contract_id=b"contract".ljust(32, b"\0"),
    surface=SURFACE,
    owner=address_word(OWNER),
    operator=address_word(OPERATOR),
    verifier=address_word(OWNER),
    policy_hash=POLICY.hash,
    attribution=POLICY.attribution,
    outcome="paid",
    repeatable=False,
    unit_price_units=8_000_000,
    revenue_share_bps=0,
    budget_units=10**15,
    opens_at_ms=0,
    deadline_ms=2 * NOW_MS,
    attribution_window_ms=10**9,
    holdback_period_ms=10**9,
)
BULK = 1_000
# One account fills the inbox here.
LIMITS = Limits(waiting_requests=10**9)
COPY_ROWS = 10_000
EVENTS_A_LEAD = 10
ENTRIES = 1 + 1 / EVENTS_A_LEAD  # a product event's own, and its share of the lead's registration


class Log(NamedTuple):
    """A benchmark's log, with the database that requests come by and the sequencer."""

    log_id: bytes
    api: Database
    worker: Database
    sequencer: Sequencer


@contextmanager
def still_database(limits: Limits) -> Iterator[DatabaseUrls]:
    """Start a PostgreSQL whose clock stands still, with our schema; remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with LocalPostgres(folder) as server:
            urls = server.urls()
            prepare_schema(urls, limits=limits)
            owner = connect_as_owner(urls.owners)
            with owner.transaction() as session:
                set_clock(session, NOW_MS)
            owner.close()
            yield urls


@contextmanager
def begun(urls: DatabaseUrls) -> Iterator[Log]:
    """Open a new log with a surface and a contract; check it when the benchmark is over."""
    with opened(urls) as log:
        yield log
        log.sequencer.close()
        with Database(urls.by_login[SEQUENCER], SEQUENCER) as writer:
            if found := [
                *check_entries(writer, log.log_id),
                *compare_projections(writer, log.log_id),
            ]:
                raise SystemExit(f"the log or its projections are not right: {found}")


@contextmanager
def opened(urls: DatabaseUrls) -> Iterator[Log]:
    """Open a new log with a surface and a contract."""
    log_id = secrets.token_bytes(32)
    create_log(
        urls.owners,
        log_id=log_id,
        origin="bench",
        chain_id=1,
        event_log=ZERO_ADDRESS,
        escrow=ZERO_ADDRESS,
        publisher=PUBLISHER,
    )
    logins = urls.by_login
    with (
        Database(logins[API], API) as api,
        Database(logins[WORKER], WORKER) as worker,
        Database(logins[SEQUENCER], SEQUENCER) as writer,
    ):
        sequencer = Sequencer(writer, log_id, lambda: NOW_MS, lambda _size, _root: bytes(65))
        log = Log(log_id, api, worker, sequencer)
        post(worker, log_id, [Genesis(log_id, address_word(PUBLISHER))], PUBLISHER)
        for account in (OWNER, OPERATOR):
            give_key(urls.owners, account)
        with api.transaction(secret=secret_of(OWNER)) as session:
            for surface, name in SURFACES.items():
                session.run(
                    "api.add_surface_name",
                    log_id=log_id,
                    surface=surface,
                    owner=address_word(OWNER),
                    name=name,
                )
        owner = address_word(OWNER)
        post(api, log_id, [PublishPolicy(surface, owner, POLICY) for surface in SURFACES])
        post(api, log_id, [PublishSettings(surface, owner, SETTINGS) for surface in SURFACES])
        post(worker, log_id, [OpenContract(RULES, bytes(32))], PUBLISHER)
        drain(log)
        yield log
        sequencer.close()


def post(
    database: Database, log_id: bytes, requests: Sequence[Request], account: str = OWNER
) -> None:
    """Post these requests of an account, under new keys, in one transaction."""
    submissions = [Submission(secrets.token_hex(16), request, b"") for request in requests]
    # The API speaks for the account of the key that it presents; the worker names its own.
    secret = b"" if account == PUBLISHER else secret_of(account)
    with database.transaction(account, secret=secret) as session:
        submit(session, log_id, account, submissions)


def key_of(account: str) -> str:
    """Return the API key that an account has here."""
    return "tsk_" + account.removeprefix("0x").ljust(43, "0")


def secret_of(account: str) -> bytes:
    return sha256(key_of(account).encode()).digest()


def give_key(owner_url: str, account: str) -> None:
    """Give an account a key for everything, as without a wallet only the schema's owner can."""
    with psycopg.connect(owner_url) as owner:
        owner.execute("INSERT INTO accounts VALUES (%s, 0) ON CONFLICT DO NOTHING", (account,))
        owner.execute(
            "INSERT INTO api_keys (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
            " VALUES (%s, %s, sha256(%s), 'bench', %s, 0, %s) ON CONFLICT DO NOTHING",
            (address_word(account), account, secret_of(account), list(SCOPES), 2 * NOW_MS),
        )


def drain(log: Log) -> int:
    """Drain the inbox; returns the log's size."""
    checkpoint = log.sequencer.drain_all()
    return checkpoint.size if checkpoint else 0


def drain_apart(log: Log) -> int:
    """Drain the inbox without deciding a batch while the last is written."""
    size = 0
    while checkpoint := log.sequencer.drain():
        size = checkpoint.size
    return size


def events(count: int, surface: bytes = SURFACE) -> list[Request]:
    """Return product events, ten a lead: a registration, a first state, then purchases."""
    leads = [secrets.token_bytes(32) for _ in range(max(1, count // EVENTS_A_LEAD))]
    return [
        ProductEvent(
            surface, leads[n % len(leads)], "buy" if n >= len(leads) else "signup", 5, NOW_MS
        )
        for n in range(count)
    ]


def journeys(count: int) -> list[Request]:
    """Return journeys of a touch, a sign-up and a first payment: three requests, five entries.

    As they are posted: the touches of many leads, then the events.
    """
    found: list[Request] = []
    leads = [secrets.token_bytes(32) for _ in range(count // 3)]
    for start in range(0, len(leads), BULK):
        page = leads[start : start + BULK]
        found += [Touch(SURFACE, lead, address_word(OPERATOR), "email") for lead in page]
        found += [ProductEvent(SURFACE, lead, "signup", 0, NOW_MS) for lead in page]
        found += [ProductEvent(SURFACE, lead, "buy", 5, NOW_MS) for lead in page]
    return found


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def copy_rate(url: str, count: int, *, bare: bool) -> float:
    """Return rows a second by COPY: the cost of as many entries without any log.

    Into a bare table, or into the log's own with its keys and indexes.
    """
    log_id, zero = secrets.token_bytes(32), ZERO_ADDRESS
    rows = [
        (log_id, n, secrets.token_bytes(256), secrets.token_bytes(160), None) for n in range(count)
    ]
    table = "bare" if bare else "entries"
    query = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CALL create_log(%s, 'copy', 1, %s, %s, %s)", (log_id, zero, zero, zero))
        admin.execute(
            "CREATE TABLE IF NOT EXISTS bare"
            " (log_id bytea, position bigint, entry bytea, opening bytea, listed_kind bytea)"
        )

        def copy() -> None:
            for start in range(0, count, COPY_ROWS):
                with admin.cursor() as cursor, cursor.copy(query) as sink:
                    sink.set_types(["bytea", "int8", "bytea", "bytea", "bytea"])
                    for row in rows[start : start + COPY_ROWS]:
                        sink.write_row(row)

        return count / timed(copy)


def drain_rate(
    urls: DatabaseUrls, requests: list[Request], drain: Callable[[Log], int] = drain
) -> tuple[float, float, float]:
    """Drain a filled inbox; return requests/s, entries/s, and our CPU time a request in µs."""
    with begun(urls) as log:
        checkpoint = LogReader(log.worker, log.log_id).checkpoint()
        before = checkpoint.size if checkpoint else 0
        for is_touch, run in groupby(requests, key=lambda request: isinstance(request, Touch)):
            page, account = list(run), OPERATOR if is_touch else OWNER
            for start in range(0, len(page), BULK):
                post(log.api, log.log_id, page[start : start + BULK], account)
        sizes: list[int] = []
        cpu = time.process_time()
        seconds = timed(lambda: sizes.append(drain(log)))
        cpu = time.process_time() - cpu
    return len(requests) / seconds, (sizes[0] - before) / seconds, cpu / len(requests) * 1e6


def end_to_end_rate(
    urls: DatabaseUrls, count: int, size: int, writers: int, surfaces: int
) -> float:
    """Return requests a second from their post to a checkpoint, in posts of `size`."""
    context = multiprocessing.get_context("spawn")
    api, surface_ids = urls.by_login[API], list(SURFACES)
    with begun(urls) as log:
        ready, go = context.Semaphore(0), context.Event()
        share = count // writers
        children = [
            context.Process(
                target=_poster,
                args=(api, log.log_id, share, size, surface_ids[n % surfaces], ready, go),
            )
            for n in range(writers)
        ]
        for child in children:
            child.start()
        for _ in children:
            ready.acquire()

        def work() -> None:
            go.set()
            while any(child.is_alive() for child in children):
                if log.sequencer.drain() is None:
                    time.sleep(0.002)
            drain(log)

        seconds = timed(work)
        for child in children:
            child.join()
    return share * writers / seconds


def _poster(
    url: str, log_id: bytes, count: int, size: int, surface: bytes, ready: Semaphore, go: Event
) -> None:
    with Database(url, API, most_connections=1) as api:
        requests = events(count, surface)
        post(api, log_id, [])  # connect before the clock runs
        ready.release()
        go.wait()
        for start in range(0, count, size):
            post(api, log_id, requests[start : start + size])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    count = parser.parse_args().events
    with still_database(LIMITS) as urls:
        report(urls, count)


def report(urls: DatabaseUrls, count: int) -> None:
    url = urls.owners
    with psycopg.connect(url) as admin:
        version = admin.execute("SHOW server_version").fetchone()
    processor = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    bare, indexed = copy_rate(url, count, bare=True), copy_rate(url, count, bare=False)
    rows = [
        ("COPY of the rows alone", bare, bare, ""),
        ("COPY with the log's indexes", indexed, indexed, ""),
    ]
    for name, requests in (("product events", events(count)), ("lead journeys", journeys(count))):
        for how, way in (("", drain), (", batch after batch", drain_apart)):
            rate, entries, cpu = drain_rate(urls, requests, way)
            rows.append((f"drain, {name}{how}", rate, entries, f"{cpu:.0f}"))
    for size, writers, surfaces, share in (
        (1, 4, 1, 10),
        (1, 4, 4, 10),
        (50, 2, 1, 1),
        (50, 2, 2, 1),
    ):
        rate = end_to_end_rate(urls, count // share, size, writers, surfaces)
        where = "on one surface" if surfaces == 1 else "on their own"
        name = f"end to end, {writers} writers {where}, posts of {size}"
        rows.append((name, rate, rate * ENTRIES, ""))
    print(f"{processor}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};", end=" ")
    print(
        f"Python {platform.python_version()}, PostgreSQL {version[0] if version else '?'};", end=" "
    )
    print(f"{count} events, fsync on\n")
    print("| what | requests/s | entries/s | of bare COPY | our CPU, µs a request |")
    print("|---|---:|---:|---:|---:|")
    for name, rate, entries, own in rows:
        print(f"| {name} | {rate:,.0f} | {entries:,.0f} | {entries / bare:.1%} | {own} |")


if __name__ == "__main__":
    main()
