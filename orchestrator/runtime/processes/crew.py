"""The processes that answer the API on one address: started, kept up and ended together.

The kernel shares connections out among them. Each is a fork of a process that has imported all and
does nothing else, so that a start costs little and what was imported is in memory once. When its
pipe is closed, or we are killed, it ends by itself.
"""

import logging
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection

from prometheus_client.metrics_core import Metric

from api.places import SharedCounts
from orchestrator.core.common.errors import ChainError
from orchestrator.core.resource import ResourceGroup
from orchestrator.runtime.connections import reserve
from orchestrator.runtime.processes.worker import Orders, StartFailure, Told
from orchestrator.runtime.settings import Settings

MOST_PROCESSES = 64
START_S = 120.0
# The time of a stop: answers under way have five seconds, and what is left is killed.
STOP_S = 12.0
# One that has answered tells its numbers each second, and is looked at as often. After so many
# looks at which it has told nothing it hangs: what the kernel gives it would wait for good.
SILENT_LOOKS = 30
# Between the end of one that has not answered, and its next start.
LEAST_WAIT_S, MOST_WAIT_S = 1.0, 30.0

Target = Callable[[Orders, Connection], None]

_log = logging.getLogger("tallystick.serve")
_FORKS = get_context("forkserver")


class ApiProcess:
    """One process that answers the API. `number` is from 1 on."""

    def __init__(self, number: int, orders: Orders, target: Target) -> None:
        self.number, self.starts = number, 0
        self.title = f"process {number} of the API"
        self._orders, self._target = orders, target
        self.numbers: Sequence[Metric] = ()
        self._silent_looks = 0
        self._wait_s = LEAST_WAIT_S
        # When it is to be started again, once it has ended.
        self._due_s: float | None = None
        self._pipe, self._life = self._start()

    @property
    def is_up(self) -> bool:
        """True if it runs, and has told that it answers."""
        return bool(self.numbers) and not self._life.has_ended()

    def tend(self) -> bool:
        """Hear what it tells; start it again if it has ended, and return True.

        One that was well and hangs is ended.
        """
        self._silent_looks += 1
        refusal = self.hear()
        if refusal is not None:
            _log.warning("%s did not start: %s", self.title, refusal.message)
        if self.numbers and self._silent_looks >= SILENT_LOOKS and not self._life.has_ended():
            _log.warning("%s tells nothing any more; ending it", self.title)
            self._life.kill()
        if not self._life.has_ended():
            return False
        if self._due_s is None:
            # One that has answered is started at once, others ever more rarely.
            wait_s = 0.0 if self.numbers else self._wait_s
            self._wait_s = min(2 * wait_s or LEAST_WAIT_S, MOST_WAIT_S)
            self._due_s, self.numbers = time.monotonic() + wait_s, ()
        if time.monotonic() < self._due_s:
            return False
        self._due_s = None
        self._life.close()
        self._pipe, self._life = self._start()
        return True

    def hear(self, wait_s: float = 0.0) -> StartFailure | None:
        """Take what it has told, if need be after a while; return why it did not start."""
        with suppress(EOFError, ConnectionError):
            while self._pipe.poll(wait_s):
                told: Told = self._pipe.recv()
                self._silent_looks = 0
                if isinstance(told, StartFailure):
                    return told
                self.numbers, wait_s = told, 0.0
        return None

    def wait_until_up(self, deadline_s: float) -> None:
        """Return once it answers. Raises ChainError if it does not."""
        refusal = self.hear(max(0.0, deadline_s - time.monotonic()))
        if refusal is not None:
            raise ChainError(refusal.code, f"{self.title}: {refusal.message}")
        if not self.numbers:
            raise ChainError("server-down", f"{self.title} did not start")

    def ask_to_end(self) -> None:
        self._pipe.close()

    def end(self, deadline_s: float) -> None:
        """Wait for its end, and kill it if that does not come in time."""
        if not self._life.has_ended(max(0.0, deadline_s - time.monotonic())):
            self._life.kill()
        self._life.close()

    @property
    def pid(self) -> int:
        """The number by which the system knows it."""
        return self._life.pid

    def _start(self) -> "tuple[Connection, _Life]":
        # What the one before it held, no one holds any more.
        self._orders.counts.clear()
        pipe, theirs = _FORKS.Pipe()
        process = _FORKS.Process(
            target=self._target, args=(self._orders, theirs), name=self.title, daemon=True
        )
        process.start()
        theirs.close()
        self.starts += 1
        return pipe, _Life(process.pid or 0)


class _Life:
    """The life of a process as the kernel tells it, whatever becomes of the one that forked it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._file: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._file = None

    def has_ended(self, wait_s: float = 0.0) -> bool:
        """Return whether it has ended, or does within this time."""
        if self._file is None:
            return True
        ending = select.poll()
        ending.register(self._file, select.POLLIN)
        return bool(ending.poll(1000 * wait_s))

    def kill(self) -> None:
        """End it at once."""
        if self._file is not None:
            signal.pidfd_send_signal(self._file, signal.SIGKILL)
            self.has_ended(STOP_S)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Crew(ResourceGroup):
    """All processes that answer one API; `servers` are to be tended. Closing it ends them.

    `settings` name the servers that they reach, and `target` runs in each of them.
    """

    def __init__(self, settings: Settings, count: int, target: Target, *, as_json: bool) -> None:
        super().__init__()
        self.servers: list[ApiProcess] = []
        with self._opening():
            # Bound alone, so that an address which is taken is told; then others may share it.
            sock = self._exits.enter_context(reserve(settings.host, settings.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            host, port = sock.getsockname()[:2]
            self.url = f"http://{host}:{port}"
            ours = replace(settings, port=port)
            secret = secrets.token_bytes(16)
            counts = SharedCounts.begin(_FORKS, count, secret)
            self._exits.callback(self._end)
            _FORKS.set_forkserver_preload(["__main__", target.__module__])
            for own in range(count):
                orders = Orders(ours, counts._replace(own=own), as_json)
                self.servers.append(ApiProcess(own + 1, orders, target))
            deadline_s = time.monotonic() + START_S
            for server in self.servers:
                server.wait_until_up(deadline_s)
            _log.info(
                "API is answered by processes %s", ", ".join(str(each.pid) for each in self.servers)
            )

    def conditions(self) -> dict[str, bool]:
        """Return which processes answer, by their numbers."""
        return {str(each.number): each.is_up for each in self.servers}

    def numbers(self) -> Mapping[str, Sequence[Metric]]:
        """Return what each process that answers told last, by its number."""
        return {str(each.number): each.numbers for each in self.servers if each.is_up}

    def starts(self) -> dict[str, int]:
        """Return how often each was started, by its number."""
        return {str(each.number): each.starts for each in self.servers}

    def _end(self) -> None:
        for server in self.servers:
            server.ask_to_end()
        deadline_s = time.monotonic() + STOP_S
        for server in self.servers:
            server.end(deadline_s)
