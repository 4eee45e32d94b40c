"""The client's stream: it resumes by itself, and believes no server."""

import json
from http.server import BaseHTTPRequestHandler
from itertools import count, islice
from threading import Event, Timer
from typing import Any

import pytest

from orchestrator.client.http import MAX_LINE_BYTES, Client
from orchestrator.client.stream import MAX_ATTEMPTS, Stream
from orchestrator.core.common.errors import ReplayError, ServerError
from orchestrator.core.common.limits import Limits
from orchestrator.core.entries.kinds import encode
from tests.support.api_service import (
    ApiService,
    event,
    open_surface,
    report,
    wallet,
)
from tests.support.http_server import serving

# Each stream ends after a moment.
LIMITS = Limits(stream_life_ms=50, stream_heartbeat_ms=20, source_reads_a_minute=100_000)


def test_a_stream_goes_on_across_connections(service: ApiService) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    surface = open_surface(owner, "stream")
    with Client(service.url) as client:
        # It pauses where it learns nothing: what is decided is told only some time after.
        stream = Stream(client, 0, surface=surface)
        entries = iter(stream)
        seen = list(islice(entries, 2))
        for number in range(3):
            report(owner, surface, f"event {number}".replace(" ", "-"), event(f"user {number}"))
            seen += islice(entries, 2)
        assert stream.cursor == seen[-1].position
        # Who comes back with the cursor goes on there.
        report(owner, surface, "last", event("last"))
        seen += islice(Stream(client, stream.cursor, surface=surface), 2)
    page = service.entries(0, 1000)
    wanted = [(n, entry) for n, entry in enumerate(page) if entry.surface.hex() == surface[2:]]
    assert [(one.position, one.record.entry) for one in seen] == wanted
    for one in seen:
        checkpoint = service.get("/v1/log/checkpoint", size=one.size)
        assert checkpoint["root"] == f"0x{one.root.hex()}"


def test_a_stream_ends_when_it_is_to_whatever_it_is_sent(service: ApiService) -> None:
    with Client(service.url) as client:
        size = client.get("/v1/log")["size"]
        # Signs of life come all the time, and connections end and begin meanwhile.
        ended = Stream(client, size - 1, kinds=["payout"], pause=lambda _: None, lasts_s=0.3)
        assert list(ended) == []
        assert list(Stream(client, 0, lasts_s=0)) == []


def test_a_silent_server_does_not_keep_a_stream_from_its_end() -> None:
    over = Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()
        over.wait(60)

    with serving(silent) as url, Client(url) as client:
        assert list(Stream(client, 0, lasts_s=0.2)) == []
        over.set()


def test_a_line_that_does_not_end_keeps_no_stream_from_its_end() -> None:
    over = Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        # Each byte comes in time, and no line is ever whole.
        while not over.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    with serving(drip) as url, Client(url) as client:
        ending = Timer(20, over.set)
        ending.start()
        try:
            assert list(Stream(client, 0, lasts_s=0.3)) == []
            assert not over.is_set()
        finally:
            over.set()
            ending.cancel()


def test_a_stream_waits_for_no_server_beyond_its_end() -> None:
    pauses: list[float] = []
    with Client("http://127.0.0.1:9") as client:
        stream = Stream(client, 0, pause=pauses.append, lasts_s=20)
        with pytest.raises(ServerError):
            list(stream)
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert max(pauses) <= 20


def test_a_stream_goes_on_however_long_its_log_is_quiet() -> None:
    asked, pauses = list[str](), list[float]()

    def quiet(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Last-Event-ID"])
        served(": so far\nid: 5\n\n")(handler)

    with serving(quiet) as url, Client(url) as client:
        # Each connection lasts for minutes by this clock, and tells nothing but that it is there.
        hours = Stream(client, 5, lasts_s=36_000, pause=pauses.append, clock=count(0, 60).__next__)
        assert list(hours) == []
    assert len(asked) > MAX_ATTEMPTS
    assert set(asked) == {"5"}
    assert pauses == []


def test_no_pause_is_longer_than_the_stream() -> None:
    pauses, now_s = list[float](), 0.0

    def pause(seconds: float) -> None:
        nonlocal now_s
        pauses.append(seconds)
        now_s += seconds

    with Client("http://127.0.0.1:9") as client:
        assert list(Stream(client, 0, pause=pause, lasts_s=5, clock=lambda: now_s)) == []
    assert pauses == [1, 2, 2]


def test_filters_are_sent(service: ApiService) -> None:
    with Client(service.url) as client:
        (genesis,) = islice(Stream(client, 0, kinds=["policy.published", "payout"]), 1)
        assert genesis.record.entry.kind == "policy.published"


def test_a_refusal_that_time_does_not_change_is_raised(service: ApiService) -> None:
    with Client(service.url) as client, pytest.raises(ServerError) as refused:
        next(iter(Stream(client, 10**9)))
    assert refused.value.code == "http-422"


def served(*events: dict[str, Any] | str) -> Any:
    """Return a server's answer of these events, the same each time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for one in events:
            if isinstance(one, str):
                handler.wfile.write(one.encode())
            else:
                text = f"event: entry\nid: {one['position']}\ndata: {json.dumps(one)}\n\n"
                handler.wfile.write(text.encode())

    return answer


def an_entry(service: ApiService, **changes: object) -> dict[str, Any]:
    (entry,) = service.entries(0, 1)
    checkpoint = {"size": 9, "root": "0x" + "11" * 32}
    whole = {"position": 1, "entry": f"0x{encode(entry).hex()}", "checkpoint": checkpoint}
    return whole | {"opening": None} | changes


@pytest.mark.parametrize(
    "change",
    [
        {"entry": "0x12"},
        {"entry": 7},
        {"checkpoint": {"size": 1, "root": "0x" + "11" * 32}},
        {"checkpoint": {"size": True, "root": "0x" + "11" * 32}},
        {"checkpoint": None},
    ],
)
def test_a_false_entry_is_refused(service: ApiService, change: dict[str, object]) -> None:
    with (
        serving(served(an_entry(service, **change))) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="does not say"),
    ):
        next(iter(Stream(client, 0)))


def test_what_is_no_entry_is_refused(service: ApiService) -> None:
    false = an_entry(service, entry="0x" + "00" * 256)
    with serving(served(false)) as url, Client(url) as client, pytest.raises(ReplayError):
        next(iter(Stream(client, 0)))


@pytest.mark.parametrize(
    "answer", ["id: x\n\n", "id: 2\n\nid: 1\n\n", 'event: entry\nid: 1\ndata: {"position": 2}\n\n']
)
def test_a_server_that_goes_back_is_refused(answer: str) -> None:
    with (
        serving(served(answer)) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="does not say"),
    ):
        next(iter(Stream(client, 0)))


def test_the_same_entry_comes_once(service: ApiService) -> None:
    entry = an_entry(service)
    with serving(served(entry, entry)) as url, Client(url) as client:
        found = iter(Stream(client, 0))
        assert next(found).position == 1
        with pytest.raises(ServerError, match="does not say"):
            next(found)


def test_a_line_without_an_end_is_left() -> None:
    line = "data: " + "x" * MAX_LINE_BYTES
    with serving(served(line)) as url, Client(url) as client, pytest.raises(ServerError) as refused:
        next(iter(Stream(client, 0)))
    assert refused.value.code == "answer-too-large"


def test_a_server_that_gives_nothing_is_left() -> None:
    pauses: list[float] = []
    with (
        serving(served("")) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="ends its streams at once"),
    ):
        next(iter(Stream(client, 0, pause=pauses.append)))
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert pauses == sorted(pauses)


def test_a_server_that_is_away_is_tried_again(service: ApiService) -> None:
    pauses: list[float] = []
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerError) as failed:
        next(iter(Stream(client, 0, pause=pauses.append)))
    assert failed.value.code == "server-unreachable"
    assert len(pauses) == MAX_ATTEMPTS - 1
