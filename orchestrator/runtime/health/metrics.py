"""The numbers of a service for Prometheus: what it sees of itself, and what this process did.

What is seen is told as it was seen last, and not at all while the database does not answer: an old
number would look like a new one.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.watch import Sight
from orchestrator.core.health import PULSE_MS, Vitals
from orchestrator.runtime.connections import Gate

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_WEI = 10**18
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of one process. Its methods may be called by any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._answers = Counter(
            "tallystick_http_answers",
            "Answers of the API, by the first digit of their status.",
            ["status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "tallystick_http_seconds",
            "Time from a request to the begin of its answer.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._lines = Counter(
            "tallystick_journal_lines",
            "Events of the journal, also those that were only counted.",
            ["level"],
            registry=self.registry,
        )
        # Told from the begin: an increase is seen of what was there before.
        for digit in range(1, 6):
            self._answers.labels(f"{digit}xx")
        for level in ("info", "warning", "error"):
            self._lines.labels(level)
        self._seen = _Seen()
        self.registry.register(self._seen)
        # The other processes that answer the API, if there are some.
        self.crew: Crew | None = None

    def render(self, sight: Sight) -> bytes:
        """Return all numbers as text, with what was seen last and what other processes told."""
        self._seen.sight = sight
        registry = CollectorRegistry()
        registry.register(_Together(self))
        return generate_latest(registry)

    def journal_handler(self) -> logging.Handler:
        """Return a handler that counts what is logged."""
        return _LineCounter(self._lines)

    def counting(self, app: ASGIApp, gate: Gate) -> ASGIApp:
        """Return an application that counts the answers of this one, behind this gate."""
        self._seen.gate = gate

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun_s = time.monotonic()

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._seconds.observe(time.monotonic() - begun_s)
                    self._answers.labels(f"{message['status'] // 100}xx").inc()
                await send(message)

            await app(scope, receive, noting)

        return counted


class Crew(Protocol):
    """Other processes that answer the API, by their numbers."""

    def conditions(self) -> Mapping[str, bool]:
        """Return which of them answer."""

    def starts(self) -> Mapping[str, int]:
        """Return how often each was started."""

    def numbers(self) -> Mapping[str, Iterable[Metric]]:
        """Return what each told last."""


class _Together(Collector):
    """The numbers of this process, and those of others with the label `process`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        found = {each.name: each for each in self._metrics.registry.collect()}
        crew = self._metrics.crew
        for number, told in ({} if crew is None else crew.numbers()).items():
            for each in told:
                family = found.setdefault(
                    each.name, Metric(each.name, each.documentation, each.type)
                )
                family.samples += [
                    sample._replace(labels=sample.labels | {"process": number})
                    for sample in each.samples
                ]
        yield from found.values()
        if crew is not None:
            yield from _crew_gauges(crew)


def _crew_gauges(crew: Crew) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "tallystick_api_process_up", "1 if the process answers the API.", labels=["process"]
    )
    starts = CounterMetricFamily(
        "tallystick_api_process_starts", "Starts of the process.", labels=["process"]
    )
    for number, is_up in crew.conditions().items():
        up.add_metric([number], float(is_up))
    for number, count in crew.starts().items():
        starts.add_metric([number], count)
    yield up
    yield starts


class _LineCounter(logging.Handler):
    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        self._counter.labels(record.levelname.lower()).inc()


class _Seen(Collector):
    """Gauges of what was seen of the service last."""

    def __init__(self) -> None:
        self.sight: Sight | None = None
        self.gate: Gate | None = None

    def collect(self) -> Iterator[Metric]:
        if self.gate is not None:
            yield _gauge("connections", "Open connections of the API.", len(self.gate))
            yield CounterMetricFamily(
                "tallystick_connections_displaced",
                "Connections for which there was no place but another's.",
                value=self.gate.refused,
            )
        if self.sight is None:
            return
        yield _gauge("disk_free_bytes", "Free on the disk of HOME.", self.sight.free_bytes)
        yield _by_part(
            "part_well",
            "1 if the part is well.",
            {each.part: float(each.is_well) for each in self.sight.conditions},
        )
        if self.sight.vitals is not None:
            yield from _vital_gauges(self.sight.vitals)


def _vital_gauges(vitals: Vitals) -> Iterator[Metric]:
    silent_ms = {part: vitals.silent_ms(part) for part in PULSE_MS}
    yield _by_part(
        "part_silent_seconds",
        "Time since the part worked last.",
        {part: ms / 1000 for part, ms in silent_ms.items() if ms is not None},
    )
    yield _gauge("requests_waiting", "Requests in the inbox.", vitals.waiting)
    yield _gauge(
        "requests_waiting_seconds", "Time that the first has waited.", vitals.waiting_ms / 1000
    )
    yield _gauge("log_entries", "Entries of the log.", vitals.size)
    yield _gauge(
        "log_unanchored_seconds",
        "Time that the log has had entries without an anchor.",
        vitals.unanchored_ms / 1000,
    )
    yield from _chain_gauges(vitals)


def _chain_gauges(vitals: Vitals) -> Iterator[Metric]:
    """Yield what the pipeline saw on chain, if it ever did."""
    figures = vitals.figures
    told = (
        ("log_entries_anchored", "Entries of the log that are anchored.", "anchored", 1),
        ("chain_block", "The newest block.", "block", 1),
        (
            "relayer_balance_ether",
            "The relayer's balance in the chain's coin.",
            "balance_wei",
            _WEI,
        ),
    )
    for name, meaning, figure, unit in told:
        if figure in figures:
            yield _gauge(name, meaning, figures[figure] / unit)
    if figures.get("anchored_at_s"):
        age_s = vitals.now_ms / 1000 - figures["anchored_at_s"]
        yield _gauge("anchor_age_seconds", "Time since the last anchor.", age_s)
    left = vitals.transactions_left
    if left is not None:
        yield _gauge("relayer_transactions_left", "Transactions that the relayer can pay.", left)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tallystick_{name}", meaning, value=value)


def _by_part(name: str, meaning: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tallystick_{name}", meaning, labels=["part"])
    for part, value in values.items():
        family.add_metric([part], value)
    return family
