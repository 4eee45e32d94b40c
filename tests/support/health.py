"""A health server over a log of its own, for tests that ask how a service is."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from prometheus_client.metrics_core import Metric

from api.watch import Watch
from orchestrator.runtime.connections import Bounds, Gate, bounded_server, listen
from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.health.server import create_health_app
from orchestrator.storage.database import WORKER
from tests.support.ledger import Ledger, ledger
from tests.support.servers import open_as

FIGURES = {
    "anchored": 10**9,
    "anchored_at_s": 1,
    "block": 1234,
    "balance_wei": 1_234_567 * 10**12,
    "gas_price_wei": 1,
}
ALL = ("sequencer", "pipeline", "registrar", "webhooks")


class HealthService(NamedTuple):
    """A health server that runs, and the log that it tells of."""

    url: str
    log: Ledger

    def work(self, *parts: str, figures: Mapping[str, int] = FIGURES) -> None:
        """Have these parts worked just now, and no others."""
        with psycopg.connect(self.log.url) as admin:
            admin.execute("DELETE FROM pulses")
            for part in parts:
                admin.execute(
                    "INSERT INTO pulses VALUES (%s, %s, (SELECT clock_ms()), %s)",
                    (self.log.log_id, part, json.dumps(dict(figures))),
                )


@contextmanager
def health_service(
    database_url: str, make_ready: Callable[[HealthService], None] = lambda _: None
) -> Iterator[HealthService]:
    """Serve the health of a new log; `make_ready` is called before anything is read."""
    with (
        ledger(database_url) as log,
        open_as(log.url, WORKER) as database,
        listen("127.0.0.1", 0) as sock,
    ):
        service = HealthService(f"http://127.0.0.1:{sock.getsockname()[1]}", log)
        make_ready(service)
        app = create_health_app(Watch(database, log.log_id, Path("/")), Metrics())
        with bounded_server(app, sock, Gate(Bounds(50, 50))):
            yield service


class OneProcess:
    """A process beside this one that answers the API, and tells the numbers of one that is new."""

    def conditions(self) -> dict[str, bool]:
        return {"1": True}

    def starts(self) -> dict[str, int]:
        return {"1": 2}

    def numbers(self) -> dict[str, tuple[Metric, ...]]:
        return {"1": tuple(Metrics().registry.collect())}
