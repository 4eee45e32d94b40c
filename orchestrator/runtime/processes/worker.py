"""A process that answers the API beside others: its orders, and what it tells of itself."""

import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple, NoReturn

from prometheus_client.metrics_core import Metric

from api.places import SharedCounts
from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.settings import Settings

# It tells its numbers as often.
TELL_S = 1.0


class Orders(NamedTuple):
    """The orders of a process: what it serves, the counts it shares, the form of its journal."""

    settings: Settings
    counts: SharedCounts
    as_json: bool


class StartFailure(NamedTuple):
    """The reason for which a process did not start."""

    code: str
    message: str


# What a process tells: that it did not start, or that it answers, with its numbers.
Told = StartFailure | Sequence[Metric]


def end_on_signal() -> None:
    """Have the signal to terminate end this process in order. Who keeps it hears an interrupt."""

    def end(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)


def tell_until_closed(pipe: Connection, metrics: Metrics) -> None:
    """Tell the numbers of this process until the other end is closed, or its process has ended."""
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(tuple(metrics.registry.collect()))
            if pipe.poll(TELL_S):
                pipe.recv()
