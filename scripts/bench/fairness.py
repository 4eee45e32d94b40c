"""The benchmark of fairness: how long an owner's event takes while others take all that they can.

    .venv/bin/python -m scripts.bench.fairness [--events N]

Starts a PostgreSQL, an API with a sequencer, and other processes that read or flood; prints a
Markdown table and removes everything. An event's time is from its request to the answer that a
checkpoint covers it. Compare the ratios, not the numbers: these are of one machine, and who floods
runs on it too.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import httpx

from api.app import create_app
from api.context import ChainReads, ServiceInfo
from orchestrator.client.accounts import AccountClient, EventReport, OwnerClient, wallet
from orchestrator.core.entry import ZERO_ADDRESS, address_word
from orchestrator.core.limits import Limits
from orchestrator.core.requests import Genesis
from orchestrator.core.site import Funds, TokenInfo
from orchestrator.core.terms import Domain
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.sequencer import Sequencer
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.serve import FLUSH_S, now_ms
from orchestrator.runtime.stack import http_server, listen
from orchestrator.storage.database import API, SEQUENCER, Database, create_log, migrate
from scripts.bench.log import POLICY

READERS = 64
HOSTILE = 10
ENTRIES = 2_000
# Without what this measures: as many at a time as there are threads.
UNBOUNDED = Limits(
    reads_at_once=40, touches_at_once=40, source_reads_a_minute=10**9, source_rows_a_minute=10**9
)
BOUNDED = UNBOUNDED._replace(
    reads_at_once=Limits().reads_at_once, touches_at_once=Limits().touches_at_once
)


class Market(NamedTuple):
    """A running API, an owner's surface on it, and one of its leads."""

    url: str
    owner: OwnerClient
    surface: str
    lead: str


class Both(AccountClient):
    """An account that may do all that there is, whatever it means to do."""

    scope = "operator"

    @property
    def key(self) -> str:
        return str(self._http.headers["Authorization"])


def serve(url: str, log_id: bytes, limits: Limits, port: int, stop: Event) -> None:
    """Serve a log with its sequencer until told to stop; each client may claim its own address."""
    domain = Domain("bench", "1", 1, ZERO_ADDRESS)
    with Database(url, API) as api, Database(url, SEQUENCER) as writer:
        app = create_app(
            database=api,
            log_id=log_id,
            now_ms=now_ms,
            escrow_domain=domain,
            event_log_domain=domain,
            chain=ChainReads(
                is_valid_signature=lambda *_: False,
                agent_accounts=lambda _: (),
                forked_at_s=lambda: None,
                cautions_of=lambda _: [],
                funds_of=lambda *_: Funds(0, 0),
            ),
            info=ServiceInfo(
                public_url=f"http://127.0.0.1:{port}",
                origin="bench",
                publisher=ZERO_ADDRESS,
                verifier=ZERO_ADDRESS,
                tokens=(TokenInfo(ZERO_ADDRESS, "TEST", 6),),
                fee_bps=0,
                fee_recipient=ZERO_ADDRESS,
                trusted_proxies=(ip_network("127.0.0.1"),),
            ),
            limits=limits,
        )
        sequencer = Sequencer(writer, log_id, now_ms, lambda _size, _root: bytes(65))

        def work() -> None:
            while not stop.wait(FLUSH_S):
                while sequencer.drain() is not None:
                    pass

        thread = threading.Thread(target=work)
        thread.start()
        with http_server(app, listen("127.0.0.1", port)):
            stop.wait()
        thread.join()
        sequencer.close()


@contextmanager
def market(url: str, limits: Limits) -> Iterator[Market]:
    """Open a log of its own with an owner's surface and some entries."""
    log_id = secrets.token_bytes(32)
    parties = dict.fromkeys(("event_log", "escrow", "publisher"), ZERO_ADDRESS)
    create_log(url, log_id=log_id, origin="bench", chain_id=1, **parties)
    with Database(url, API) as api, api.transaction(ZERO_ADDRESS) as session:
        first = Submission("genesis", Genesis(log_id, address_word(ZERO_ADDRESS)), b"")
        submit(session, log_id, ZERO_ADDRESS, [first])
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    server = context.Process(target=serve, args=(url, log_id, limits, port, stop))
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        with OwnerClient(address, wallet(b"owner".rjust(32, b"1")), "owner") as owner:
            owner.sign_in()
            surface = owner.open_surface("bench", POLICY.document(), wait_s=10)
            names = [f"person {n}" for n in range(ENTRIES)]
            owner.report_events(surface, [report(name) for name in names])
            owner.report_event(surface, report("last"), wait_s=10)
            lead = owner._request("GET", f"/v1/surfaces/{surface}/leads")["leads"][0]["lead"]  # noqa: SLF001
            yield Market(address, owner, surface, lead)
    finally:
        stop.set()
        server.join()


def wait_for(address: str) -> None:
    while True:
        try:
            httpx.get(f"{address}/v1/log", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return


def report(name: str) -> EventReport:
    return EventReport(secrets.token_hex(8), name, "signup", "", now_ms() - 1_000)


def measure(place: Market, count: int) -> list[float]:
    """Return the times of so many events, one after the other, in seconds."""
    times = []
    for number in range(count):
        begun = time.perf_counter()
        place.owner.report_event(place.surface, report(f"measured {number}"), wait_s=10)
        times.append(time.perf_counter() - begun)
    return times


def attack(place: tuple[str, str, str], keys: list[str], stop: Event, begun: Event) -> None:
    """Read, or with keys flood, on as many connections as there are, until told to stop."""
    asyncio.run(_attack(place, keys, stop, begun))


async def _attack(place: tuple[str, str, str], keys: list[str], stop: Event, begun: Event) -> None:
    url, surface, lead = place
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as http:

        async def read(number: int) -> None:
            for _ in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                await http.get("/v1/log/entries", params={"limit": 1000}, headers=headers)
                begun.set()

        async def flood(key: str) -> None:
            for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
                headers = {"Authorization": key, "Idempotency-Key": f"{number}"}
                body = {"lead": lead, "action": "email"}
                await http.post(f"/v1/surfaces/{surface}/touches", json=body, headers=headers)
                begun.set()

        tasks = [flood(key) for key in keys] or [read(n) for n in range(READERS)]
        await asyncio.gather(*tasks)


@contextmanager
def under_attack(place: Market, keys: list[str]) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop, begun = context.Event(), context.Event()
    target = (place.url, place.surface, place.lead)
    attacker = context.Process(target=attack, args=(target, keys, stop, begun))
    attacker.start()
    begun.wait()
    try:
        yield
    finally:
        stop.set()
        attacker.join()


def sign_in_hostile(place: Market) -> list[str]:
    keys = []
    for number in range(HOSTILE):
        with Both(
            place.url, wallet(f"hostile {number}".encode().rjust(32, b"1")), "hostile"
        ) as client:
            client.sign_in()
            keys.append(client.key)
    return keys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with LocalPostgres(folder) as server:
            migrate(server.url)
            print("| an owner's event | median, ms | of quiet | 90 of 100 below, ms | of quiet |")
            print("|---|---:|---:|---:|---:|")
            for title, limits in (("bounded", BOUNDED), ("without the bounds", UNBOUNDED)):
                with market(server.url, limits) as place:
                    show(place, title, count)


def show(place: Market, title: str, count: int) -> None:
    """Print the rows of one service."""
    measure(place, 5)
    quiet = measure(place, count)
    row(f"quiet, {title}", quiet, quiet)
    with under_attack(place, []):
        row(f"while {READERS} connections read, {title}", measure(place, count), quiet)
    with under_attack(place, sign_in_hostile(place)):
        row(f"while {HOSTILE} accounts flood its surface, {title}", measure(place, count), quiet)


def row(title: str, times: list[float], quiet: list[float]) -> None:
    cells = []
    for quantile in (statistics.median, lambda each: statistics.quantiles(each, n=10)[-1]):
        cells += [f"{1000 * quantile(times):.0f}", f"{quantile(times) / quantile(quiet):.1f}"]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
