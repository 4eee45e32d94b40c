"""An HTTP server whose connections are bounded: how many there are, and how long each may wait.

uvicorn bounds how long a connection is kept without a request, and nothing else. So its protocol is
extended here: a peer has a time for the head of a request, for its body, and to take its answer;
there are so many connections in all and of one source; and when no place is free, the connection
that has waited longest for its peer gives way to the next one. A stop is bounded in time as well.
An answer that comes before its request has ended is not lost: what the peer has still to send is
thrown away, for a time, before the connection is closed.
The sockets that servers listen on are made here too.
"""

import asyncio
import errno
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.http.allowances import is_trusted
from api.places import CountHolders, SourcePlaces, count_alone
from orchestrator.core.account.sources import NetworkSource, source_of_host
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.limits import Limits
from orchestrator.log.interpreter import give_way_within

START_S = 30
SWITCH_S = 0.0005
# The connections that the kernel keeps until we take them; asyncio takes as many at once, and reads
# what they sent after that. So a place for a few times as many keeps a flood from displacing one
# that has sent its request.
BACKLOG = 256
# Descriptors for all else: the database, the node, and connections that are about to be closed.
SPARE_FILES = 4 * BACKLOG
SILENT_MS = 30_000
_POLL_S = 0.01
# The least bytes of an answer that a peer takes in `take_s`, which is 1 KB a second: one that is
# slower could hold its connection for good.
LEAST_TAKEN = 30_000
# The time beyond that of a stop in which the server's thread ends.
_END_S = 3


class Patience(NamedTuple):
    """The seconds that a peer has: for a request's head, for its body, between two requests.

    A peer that says nothing after it has connected has the time of a head. One whose answer waits
    for it takes `LEAST_TAKEN` bytes in `take_s`. Answers that are under way at the stop have
    `stop_s` to end. One that is answered before it has sent its request has `linger_s` to see it.
    """

    head_s: float = 10
    body_s: float = 60
    idle_s: float = 75
    take_s: float = 30
    stop_s: float = 5
    linger_s: float = 2


PATIENCE = Patience()


class Bounds(NamedTuple):
    """The most connections in all and of one source. Those of proxies count in all alone.

    Of a wide network there are as many as of so many sources.
    """

    most: int
    most_of_source: int
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    wide_sources: int = Limits().wide_sources


class Gate:
    """The places for connections. It is used by the server's own thread alone.

    Connections of a source are counted with those of other processes if there are some; one gives
    way only to another of this process.
    """

    def __init__(self, bounds: Bounds, count: CountHolders = count_alone) -> None:
        self._bounds = bounds
        self._sources: dict[BoundedConnection, NetworkSource | None] = {}
        self._places = SourcePlaces(
            bounds.most_of_source, bounds.wide_sources, count, "connections"
        )
        # Those that wait for their peer, the longest first.
        self._waiting: dict[BoundedConnection, None] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def waits(self) -> int:
        """The number of connections that wait for their peer."""
        return len(self._waiting)

    def enter(self, connection: "BoundedConnection", host: str) -> bool:
        """Give a connection a place, if need be that of one which waits; False if there is none."""
        source = None if is_trusted(host, self._bounds.proxies) else source_of_host(host)
        full = None if source is None else self._places.take(source)
        if full is not None or len(self._sources) >= self._bounds.most:
            if not self._displace(full):
                if source is not None and full is None:
                    self._places.leave(source)
                return False
            # Another process may have taken the place that the one displaced has left.
            if source is not None and full is not None and self._places.take(source) is not None:
                return False
        self._sources[connection] = source
        return True

    def _displace(self, network: str | None) -> bool:
        """End one that waits for its peer, of a network if it is full; False if there is none."""
        self.refused += 1
        rival = next(self._rivals(network), None)
        if rival is None:
            return False
        self.leave(rival)
        rival.end()
        return True

    def _rivals(self, network: str | None) -> Iterator["BoundedConnection"]:
        """Yield the connections that wait for their peer, of a network if it is full."""
        for each in self._waiting:
            if network is None or network in (self._sources[each] or ()):
                yield each

    def leave(self, connection: "BoundedConnection") -> None:
        """Take a connection's place back, if it has one."""
        if connection in self._sources:
            source = self._sources.pop(connection)
            if source is not None:
                self._places.leave(source)
            self._waiting.pop(connection, None)

    def has(self, connection: "BoundedConnection") -> bool:
        """Return whether a connection has a place."""
        return connection in self._sources

    def note(self, connection: "BoundedConnection", *, waits: bool) -> None:
        """Note that a connection waits for its peer from now on, or that it does not."""
        self._waiting.pop(connection, None)
        if waits and connection in self._sources:
            self._waiting[connection] = None


class _Closing:
    """A transport whose owner decides what its closing means; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._is_closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._close()

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()


class BoundedConnection(H11Protocol):
    """A connection whose peer has a time for each thing that it has to send."""

    def __init__(self, *arguments: Any, gate: Gate, patience: Patience, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._gate = gate
        self._patience = patience
        self._phase: tuple[object, object, bool] = (None, None, False)
        self._has_answered = False
        self._timer: asyncio.TimerHandle | None = None
        # What the peer had still to take when its time to do so began.
        self._left: int | None = None
        self._lingers = False
        self._stops = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        host = str((transport.get_extra_info("peername") or ("",))[0])
        super().connection_made(_Closing(transport, partial(self._close, transport)))  # type: ignore[arg-type]
        if self._gate.enter(self, host):
            self._follow()
        else:
            self._answer(503, "Service Unavailable")

    def data_received(self, data: bytes) -> None:
        if not self._lingers:
            super().data_received(data)
            self._follow()

    def on_response_complete(self) -> None:
        self._has_answered = True
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._phase = (None, None, False)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._gate.leave(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin the end of the server: answers under way may end, half a request may not."""
        self._stops = True
        if self._lingers:
            self.end()
            return
        super().shutdown()
        if self.conn.their_state is h11.SEND_BODY and not self.cycle.response_started:
            self._answer(503, "Service Unavailable")

    def end(self) -> None:
        """Close the connection at once, whatever its peer has still to send."""
        self._stop_timer()
        self.transport.abort()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close the connection, once its peer has seen that if it has still to send something.

        To a peer that sends to a closed socket its kernel says that the connection was reset, and
        the answer may be lost with that.
        """
        is_sending = self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        is_told = transport.get_write_buffer_size() == 0 and transport.can_write_eof()
        may_linger = self._gate.has(self) and not self._stops
        if not (is_sending and is_told and may_linger):
            transport.close()
            return
        self._lingers = True
        self._stop_timer()
        self.flow.resume_reading()
        transport.write_eof()
        self._gate.note(self, waits=True)
        self._timer = self.loop.call_later(self._patience.linger_s, self.end)

    def _follow(self) -> None:
        """Begin the time for what the peer has to send next, unless that has begun."""
        state = self.conn.their_state
        has_begun = state is h11.IDLE and bool(self.conn.trailing_data[0])
        phase = (state, self.cycle, has_begun)
        if self._lingers:
            return
        if self.transport.is_closing():
            # Until the peer has taken what it was sent, the connection is there.
            self._await_taking()
        if phase == self._phase or self.flow.write_paused or self.transport.is_closing():
            return
        self._phase = phase
        self._stop_timer()
        waits = state is h11.IDLE or state is h11.SEND_BODY
        self._gate.note(self, waits=waits)
        if waits:
            self._timer = self.loop.call_later(self._time_for(state, has_begun), self._give_up)

    def _await_taking(self) -> None:
        """Begin the time in which the peer takes some of its answer, unless that has begun."""
        if self._left is not None or self._lingers:
            return
        self._stop_timer()
        self._gate.note(self, waits=True)
        self._left = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(self._patience.take_s, self._look_at_taking)

    def _look_at_taking(self) -> None:
        before, left = self._left or 0, self.transport.get_write_buffer_size()
        if left > max(0, before - LEAST_TAKEN):
            self.end()
            return
        self._left = None
        self._await_taking()

    def _time_for(self, state: object, has_begun: bool) -> float:
        if state is h11.SEND_BODY:
            return self._patience.body_s
        is_between = self._has_answered and not has_begun
        return self._patience.idle_s if is_between else self._patience.head_s

    def _give_up(self) -> None:
        state, _, has_begun = self._phase
        if self.flow.read_paused:
            # It is we who do not read: what a body waits for is a place in the application.
            self._timer = self.loop.call_later(self._patience.body_s, self._give_up)
        elif has_begun or (state is h11.SEND_BODY and not self.cycle.response_started):
            self._answer(408, "Request Timeout")
        else:
            self.end()

    def _answer(self, status: int, reason: str) -> None:
        """Answer in place of the application, and close."""
        self.transport.write(
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nRetry-After: 1\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        self.transport.close()
        self._await_taking()

    def _stop_timer(self) -> None:
        self._left = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def allow_files(connections: int) -> int:
    """Raise this process's limit of open files for so many connections; return how many it bears.

    The soft limit is often 1024 and the hard one far above. Where it is not, fewer connections are
    taken: a process without a free descriptor serves no one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft // 2)


def listen(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises ChainError if it is taken.

    The kernel lets two processes bind an address until one of them listens. So it listens at once:
    else the other would learn only from its server that the address is not its own.
    """
    sock = reserve(host, port, is_shared=is_shared)
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _taken(host, port, error) from None
    return sock


def reserve(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Return a bound socket that does not listen; port 0 takes a free one.

    A shared address is one of several processes, among which the kernel shares the connections out.
    Raises ChainError `address-taken` for one in use, `address-unusable` for another failure.
    """
    # With its protocol named, asyncio sees TCP and switches Nagle's delay off (40 ms an answer).
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
    # The connections taken from it inherit this: one whose peer takes nothing for so long is ended,
    # and what waits for it is freed.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _taken(host, port, error) from None
    return sock


def _taken(host: str, port: int, error: OSError) -> ChainError:
    if error.errno == errno.EADDRINUSE:
        return ChainError("address-taken", f"port {port} is in use (on {host})")
    return ChainError("address-unusable", f"cannot listen on {host}:{port}: {error.strerror}")


@contextmanager
def bounded_server(
    app: ASGIApp,
    sock: socket.socket,
    gate: Gate,
    *,
    patience: Patience = PATIENCE,
    before_stop: Sequence[Callable[[], object]] = (),
) -> Iterator[str]:
    """Serve an application over HTTP from a thread until the block ends, and yield its URL.

    `before_stop` ends what has no end of its own, such as streams.
    """
    # A thread that renders a long answer gives way sooner than after Python's own 5 ms: another
    # request has a dozen steps, and would wait for it at each.
    give_way_within(SWITCH_S)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=partial(BoundedConnection, gate=gate, patience=patience),  # type: ignore[arg-type]
            ws="none",
            # Its loggers write where ours do.
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="on",
            backlog=BACKLOG,
            timeout_keep_alive=int(patience.idle_s),
            timeout_graceful_shutdown=int(patience.stop_s),
            server_header=False,
            # It would believe any local client about where it comes from; we ask a setting.
            proxy_headers=False,
        )
    )
    # A thread that does not end in time must not keep the process.
    thread = threading.Thread(target=server.run, args=([sock],), name="http", daemon=True)
    thread.start()
    try:
        # uvicorn sets the flag from its own thread and offers nothing to wait on.
        deadline = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise ChainError("server-down", "the HTTP server did not start")
            time.sleep(_POLL_S)
        host, port = sock.getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        for end in before_stop:
            end()
        server.should_exit = True
        thread.join(patience.stop_s + _END_S)
        sock.close()
