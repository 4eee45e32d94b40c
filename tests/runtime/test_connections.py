"""Connections are bounded in number and in time, over real sockets."""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_network

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestrator.core.common.errors import ChainError
from orchestrator.runtime.connections import (
    Bounds,
    Gate,
    Patience,
    allow_files,
    bounded_server,
    listen,
)

MANY = Bounds(50, 50)
SHORT = Patience(head_s=0.5, body_s=0.5, idle_s=0.5, take_s=0.5, stop_s=1, linger_s=0.5)
LONG = Patience(head_s=60, body_s=60, idle_s=60, take_s=60, stop_s=1, linger_s=60)
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: he"
HALF_BODY = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf"
# It is answered before its body has come.
UNREAD = b"POST /refuse HTTP/1.1\r\nHost: here\r\nContent-Length: 9000000\r\n\r\nhalf"
HANG = b"GET /hang HTTP/1.1\r\nHost: here\r\n\r\n"
# Of an answer that is much longer than what the kernel keeps for one that takes nothing.
LONG_BYTES = 20_000_000
GET_LONG = b"GET /long HTTP/1.1\r\nHost: here\r\n\r\n"
LAST_LONG = b"GET /long HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
# Sockets of tests wait no longer than this: for what should come, and is then missed.
WAIT_S = 30


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body() or b"empty")


async def _hang(_: Request) -> PlainTextResponse:
    await asyncio.Event().wait()
    return PlainTextResponse("never")


async def _long(_: Request) -> PlainTextResponse:
    return PlainTextResponse("a" * LONG_BYTES)


async def _refuse(_: Request) -> PlainTextResponse:
    return PlainTextResponse("refused", 413, headers={"Connection": "close"})


APP = Starlette(
    routes=[
        Route("/", _echo, methods=["GET", "POST"]),
        Route("/hang", _hang, methods=["GET"]),
        Route("/refuse", _refuse, methods=["POST"]),
        Route("/long", _long, methods=["GET"]),
    ]
)


@contextmanager
def serving(
    bounds: Bounds = MANY, patience: Patience = LONG
) -> Iterator[tuple[Gate, tuple[str, int]]]:
    """Serve `APP`, and yield the server's gate and address."""
    gate = Gate(bounds)
    with listen("127.0.0.1", 0) as sock:
        address = sock.getsockname()[:2]
        with bounded_server(APP, sock, gate, patience=patience):
            yield gate, address


def connect(address: tuple[str, int], sent: bytes = b"") -> socket.socket:
    peer = socket.create_connection(address, timeout=WAIT_S)
    peer.sendall(sent)
    return peer


def rest_of(peer: socket.socket) -> bytes:
    """Return all that still comes, until the server closes or resets."""
    found = b""
    try:
        while part := peer.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def ask(address: tuple[str, int]) -> str:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=WAIT_S) as client:
        return client.get("/").text


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (HALF_HEAD, b"HTTP/1.1 408 "),
        (HALF_BODY, b"HTTP/1.1 408 "),
        (GET, b"HTTP/1.1 200 "),
        (GET + HALF_HEAD, b"HTTP/1.1 200 "),
    ],
    ids=["nothing", "half a head", "half a body", "no second request", "half a second head"],
)
def test_a_peer_has_its_time_and_no_more(sent: bytes, answer: bytes) -> None:
    with (
        serving(patience=SHORT) as (gate, address),
        closing(connect(address, sent)) as peer,
    ):
        found = rest_of(peer)
        assert found.startswith(answer)
        assert bool(found) == bool(answer)
        assert ask(address) == "empty"
        assert gate.refused == 0


def test_a_byte_now_and_then_wins_no_time() -> None:
    """Send half a head, byte by byte, more often than the time for a head has passed."""
    waits = threading.Event()

    def drip(peer: socket.socket) -> None:
        for _ in range(100 * WAIT_S):
            peer.sendall(b"x")
            waits.wait(0.01)

    with serving(patience=SHORT) as (_, address), closing(connect(address)) as peer:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip(peer)
        assert ask(address) == "empty"


def test_what_is_sent_in_parts_is_taken() -> None:
    last = HALF_BODY.replace(b"here", b"here\r\nConnection: close")
    with serving() as (_, address), closing(connect(address, last)) as peer:
        peer.sendall(b" more")
        assert rest_of(peer).endswith(b"half more")


@pytest.mark.parametrize(
    "sent",
    [b"", HALF_HEAD, HALF_BODY, GET, UNREAD],
    ids=["idle", "head", "body", "kept", "refused"],
)
def test_connections_that_wait_for_their_peer_give_way(sent: bytes) -> None:
    with serving(Bounds(20, 20)) as (gate, address), ExitStack() as exits:
        peers = []
        for _ in range(40):
            peers.append(exits.enter_context(closing(connect(address, sent))))
            if sent in (GET, UNREAD):
                assert peers[-1].recv(8).startswith(b"HTTP/1.1")
        assert ask(address) == "empty"
        assert gate.refused >= 21
        # Those that waited longest went, so this ends.
        rest_of(peers[0])
        assert len(gate) <= 20


@pytest.mark.parametrize("sent", [GET_LONG, GET_LONG * 3, LAST_LONG, GET_LONG + HALF_BODY])
def test_who_takes_nothing_of_an_answer_has_its_time_and_no_more(sent: bytes) -> None:
    with serving(patience=SHORT) as (gate, address), closing(connect(address, sent)):
        until(lambda: len(gate) == 1)
        until(lambda: len(gate) == 0)


@pytest.mark.parametrize("sent", [GET_LONG * 3, LAST_LONG])
def test_who_takes_nothing_of_an_answer_gives_way(sent: bytes) -> None:
    with serving(Bounds(1, 1)) as (gate, address), closing(connect(address, sent)) as peer:
        # It has begun, so that no peer is waited for but one that takes nothing.
        assert peer.recv(1, socket.MSG_PEEK)
        until(lambda: gate.waits == 1)
        assert ask(address) == "empty"


def test_who_takes_its_answer_slowly_gets_all_of_it() -> None:
    """As long as it takes some in its time, which is many times over here."""
    with (
        serving(patience=SHORT._replace(take_s=1)) as (_, address),
        closing(connect(address, LAST_LONG)) as peer,
    ):
        found, begun_s, waits = 0, time.monotonic(), threading.Event()
        while part := peer.recv(100_000):
            found += len(part)
            waits.wait(3 * found / LONG_BYTES - (time.monotonic() - begun_s))
        assert found > LONG_BYTES


def is_answered(peer: socket.socket) -> bool:
    """Wait until something has come, and leave it there."""
    return bool(peer.recv(1, socket.MSG_PEEK))


def test_who_is_refused_while_it_sends_sees_the_answer() -> None:
    with serving() as (gate, address), closing(connect(address, UNREAD)) as peer:
        assert is_answered(peer)
        for _ in range(20):
            peer.sendall(b"a" * 65_536)
        found = b""
        while part := peer.recv(65_536):
            found += part
        assert found.startswith(b"HTTP/1.1 413 ")
        assert found.endswith(b"refused")
        peer.close()
        assert ask(address) == "empty"
        assert gate.refused == 0


def test_who_goes_on_sending_after_it_was_refused_has_its_time_and_no_more() -> None:
    def send(peer: socket.socket) -> None:
        for _ in range(100_000 * WAIT_S):
            peer.sendall(b"a" * 65_536)

    with serving(patience=SHORT) as (_, address), closing(connect(address, UNREAD)) as peer:
        assert is_answered(peer)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send(peer)
        assert ask(address) == "empty"


def test_where_all_are_being_answered_the_next_is_refused() -> None:
    with serving(Bounds(2, 2)) as (gate, address), ExitStack() as exits:
        for _ in range(2):
            exits.enter_context(closing(connect(address, HANG)))
        until(lambda: len(gate) == 2 and not gate.waits)
        with closing(connect(address)) as third:
            assert rest_of(third).startswith(b"HTTP/1.1 503 ")


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds in the server's thread."""
    waits = threading.Event()
    assert any(holds() or waits.wait(0.01) for _ in range(100 * WAIT_S))


def test_a_source_takes_its_own_places_alone_and_proxies_have_none() -> None:
    with serving(Bounds(50, 3)) as (gate, address), ExitStack() as exits:
        for _ in range(10):
            exits.enter_context(closing(connect(address)))
        assert ask(address) == "empty"
        assert gate.refused >= 7
        assert len(gate) <= 3
        # 127.0.0.2 is another source on the same machine.
        other = socket.create_connection(address, WAIT_S, source_address=("127.0.0.2", 0))
        exits.enter_context(closing(other))
        other.sendall(GET)
        assert other.recv(65_536).startswith(b"HTTP/1.1 200 ")
    proxies = (ip_network("127.0.0.0/8"),)
    with serving(Bounds(50, 3, proxies)) as (gate, address), ExitStack() as exits:
        for _ in range(10):
            exits.enter_context(closing(connect(address)))
        assert ask(address) == "empty"
        assert gate.refused == 0


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(HALF_BODY, b"HTTP/1.1 503 "), (HALF_HEAD, b""), (HANG, b""), (UNREAD, b"HTTP/1.1 413 ")],
    ids=["half a body", "half a head", "an answer without end", "refused while it sends"],
)
def test_a_stop_is_bounded_whatever_is_under_way(sent: bytes, answer: bytes) -> None:
    with ExitStack() as exits:
        gate, address = exits.enter_context(serving())
        with closing(connect(address, sent)) as peer:
            until(lambda: len(gate) == 1 and gate.waits == (sent != HANG))
            begun = time.monotonic()
            exits.close()
            assert time.monotonic() - begun < 10
            assert rest_of(peer).startswith(answer)
    assert not [each for each in threading.enumerate() if each.name == "http"]


def test_files_are_allowed_for_the_connections() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        assert allow_files(1000) == 1000
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 2024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_listens_is_known_as_tcp() -> None:
    """Check that asyncio can tell, which then sends every answer at once (TCP_NODELAY)."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_an_address_is_taken_before_anything_is_served_there() -> None:
    """Check that the second of two that start at once is told, and may do without."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ChainError, match=f"port {port} is in use"):
            listen("127.0.0.1", port)
