"""The processes of a test's crew, which tell how they are and answer nothing.

It is a module of its own, for a process imports it as it starts.
"""

import threading
from multiprocessing.connection import Connection

from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.processes.worker import (
    Orders,
    StartFailure,
    end_on_signal,
    tell_until_closed,
)


def answer(orders: Orders, pipe: Connection) -> None:
    """Be a process that answers: the first one does not come back, the second does not end."""
    end_on_signal()
    came_before = orders.settings.home / str(orders.counts.own)
    if came_before.exists():
        pipe.send(StartFailure("gone", "it does not come back"))
        return
    came_before.touch()
    orders.counts.holders("streams").take("a")
    tell_until_closed(pipe, Metrics())
    if orders.counts.own == 1:
        threading.Event().wait()
