"""A service for benchmarks: its API in a process of its own, over a log that a benchmark fills."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.context import ChainReads, Network, ServiceInfo
from orchestrator.core.common.limits import Limits
from orchestrator.core.deals.site import Funds
from orchestrator.core.deals.terms import Domain
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.runtime.connections import listen
from orchestrator.runtime.serve import settle_memory
from orchestrator.runtime.stack import http_server
from orchestrator.storage.database import API, Database
from scripts.bench.log import NOW_MS

_POLL_S = 0.05


class Service(NamedTuple):
    """A log to be served, by the API's URL of its database, within these limits."""

    url: str
    log_id: bytes
    limits: Limits
    proxies: tuple[Network, ...] = ()


def serve(service: Service, port: int, stop: Event) -> None:
    """Serve a log by the API until told to stop."""
    domain = Domain("bench", "1", 1, ZERO_ADDRESS)
    with Database(service.url, API) as api:
        app = create_app(
            database=api,
            log_id=service.log_id,
            now_ms=lambda: NOW_MS,
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
                f"http://127.0.0.1:{port}",
                "bench",
                ZERO_ADDRESS,
                ZERO_ADDRESS,
                (),
                0,
                ZERO_ADDRESS,
                trusted_proxies=service.proxies,
            ),
            limits=service.limits,
        )
        with http_server(app, listen("127.0.0.1", port)):
            settle_memory()
            stop.wait()


def serve_bare(make: Callable[[str], FastAPI], url: str, port: int, stop: Event) -> None:
    """Serve an application as uvicorn does by itself, until told to stop."""
    config = uvicorn.Config(make(url), http="h11", access_log=False, log_config=None)
    server, sock = uvicorn.Server(config), listen("127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    stop.wait()
    server.should_exit = True
    thread.join()


class Running(NamedTuple):
    """A process that serves HTTP."""

    url: str
    pid: int


@contextmanager
def running(target: Callable[..., None], *arguments: object) -> Iterator[Running]:
    """Run `target(*arguments, port, stop)`, which serves HTTP, in a process."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    server = context.Process(target=target, args=(*arguments, port, stop))
    server.start()
    address = f"http://127.0.0.1:{port}"
    try:
        while not answers(address):
            time.sleep(_POLL_S)
        yield Running(address, server.pid or 0)
    finally:
        stop.set()
        server.join()


def answers(address: str) -> bool:
    """Return whether anything answers there."""
    try:
        httpx.get(f"{address}/v1/log", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def cpu_s(pid: int) -> float:
    """Return the processor time that a process and its children have had, in seconds."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if folder.name == str(pid):
                # Its own, and that of children that have ended.
                total += sum(map(int, fields[11:15]))
            elif fields[1] == str(pid):
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")
