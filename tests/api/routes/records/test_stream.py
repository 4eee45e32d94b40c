"""Streams: resumed, filtered, bounded, and ended with the server; a reader that stalls is left."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.entries.kinds import decode
from orchestrator.log.feed import Feed
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    ndjson,
    open_surface,
    problem_of,
    report,
    report_lines,
    running_service,
    touch,
    wallet,
)

NOW = "2026-01-01T00:00:00Z"


class Event(NamedTuple):
    name: str
    id: str | None
    data: Any


def events(answer: httpx.Response) -> Iterator[Event]:
    """Yield the events of an answer; those without data have an id alone."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        else:
            data = found.get("data")
            yield Event(found.get("event", ""), found.get("id"), data and json.loads(data))
            found = {}


@contextmanager
def following(
    service: ApiService, last: int | None = None, key: str = "", **query: object
) -> Iterator[Iterator[Event]]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    headers |= {"Authorization": key} if key else {}
    with service.http.stream(
        "GET", "/v1/stream", params={k: str(v) for k, v in query.items()}, headers=headers
    ) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        yield events(answer)


def entries(found: Iterator[Event], count: int) -> list[Any]:
    """Return the data of the next entries."""
    told = []
    for each in found:
        if each.name == "entry":
            assert each.id == str(each.data["position"])
            told.append(each.data)
            if len(told) == count:
                return told
    raise AssertionError(f"the stream ended after {told}")


def size_of(service: ApiService) -> int:
    size: int = service.get("/v1/log")["size"]
    return size


def report_many(owner: httpx.Client, surface: str, first: int, count: int) -> None:
    lines = [event(f"lead {n}", id=f"event-{first}-{n}") for n in range(first, first + count)]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text


def test_what_is_new_comes_at_once(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "live")
    size = service.heard_size()
    with following(service) as found:
        assert next(found).id == str(size - 1)
        assert report(owner, surface, "one", event()).status_code == 200
        registered, moved = entries(found, 2)
    assert (registered["kind"], moved["kind"]) == ("lead.registered", "lead.transition")
    assert (registered["position"], moved["position"]) == (size, size + 1)
    entry = decode(from_hex(moved["entry"]))
    assert moved["surface"] == surface == to_hex(entry.surface)
    assert (moved["label"], moved["value"]) == ("signed_up", "0")
    assert moved["opening"]["from_state"] == "new"
    checkpoint = service.get("/v1/log/checkpoint", size=moved["checkpoint"]["size"])
    assert checkpoint["root"] == moved["checkpoint"]["root"]
    assert checkpoint["size"] > moved["position"]


def test_a_reader_that_was_away_misses_nothing(service: ApiService, owner: httpx.Client) -> None:
    """It comes back after each page, and after every entry of one, and sees each entry once."""
    surface = open_surface(owner, "away")
    report_many(owner, surface, 0, 400)
    size = size_of(service)
    seen, last = [], 0
    for part in (1, 1, 300, 1, 400):
        with following(service, last) as found:
            told = entries(found, min(part, size - 1 - last))
        seen += told
        last = told[-1]["position"]
    with following(service, after=last) as found:
        seen += entries(found, size - 1 - last)
    assert [each["position"] for each in seen] == list(range(1, size))
    stored = [
        entry["entry"]
        for start in range(0, size, 500)
        for entry in service.get("/v1/log/entries", start=start, limit=500)["entries"]
    ]
    assert [each["entry"] for each in seen] == stored[1:]


def test_the_last_id_goes_before_after(service: ApiService) -> None:
    """A browser connects again with the address that it had, and the last id in a header."""
    with following(service, 3, after=0) as found:
        assert entries(found, 1)[0]["position"] == 4


def test_filters(service: ApiService, owner: httpx.Client, operator: httpx.Client) -> None:
    surface, other = open_surface(owner, "filters"), open_surface(owner, "beside")
    start = size_of(service) - 1
    give_level(service, surface, wallet("operator"))
    for where in (surface, other):
        report(owner, where, "one", event("filtered"))
    lead = operator.get(f"/v1/surfaces/{surface}/leads").json()["leads"][0]["lead"]
    assert touch(operator, surface, "one", lead, "email").status_code == 200
    report(owner, surface, "two", event("filtered", "activate", time=NOW))
    report(owner, surface, "three", event("filtered", "subscribe", time=NOW))
    log = [(start + 1 + n, entry) for n, entry in enumerate(service.entries(start + 1, 100))]
    here = [n for n, entry in log if to_hex(entry.surface) == surface]
    with following(service, start, surface=surface) as found:
        told = entries(found, len(here))
    assert [each["position"] for each in told] == here
    (outcome,) = (each for each in told if each["kind"] == "outcome")
    assert outcome["operator"] == wallet("operator").address
    about = {"contract.opened", "outcome"}
    with following(service, start, contract=outcome["contract"]) as found:
        assert {each["kind"] for each in entries(found, 2)} == about
    mine = [n for n, entry in log if entry.kind in ("touch", "trust.changed", *about)]
    mine = [n for n in mine if n in here]
    with following(service, start, operator=wallet("operator").address, surface=surface) as found:
        assert [each["position"] for each in entries(found, len(mine))] == mine
    with following(service, start, kinds="touch,outcome", surface=surface) as found:
        assert [each["kind"] for each in entries(found, 2)] == ["touch", "outcome"]


def test_a_cursor_moves_on_past_what_is_not_wanted(
    service: ApiService, owner: httpx.Client
) -> None:
    report_many(owner, open_surface(owner, "past"), 0, 300)
    size = size_of(service)
    with following(service, 0, kinds="erasure") as found:
        for each in found:
            assert each.name == ""
            if each.id == str(size - 1):
                break


def test_a_reader_that_knows_of_more_than_the_feed_goes_on_behind_it(
    service: ApiService, owner: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another route has told it where the log ends: the feed hears of that only some time after."""
    surface = open_surface(owner, "ahead")
    with following(service) as found:
        next(found)
    with monkeypatch.context() as lagging:
        lagging.setattr(Feed, "_read_on", lambda *_: False)
        assert report(owner, surface, "unheard", event()).status_code == 200
        last = size_of(service) - 1
        with following(service, last) as found:
            assert next(found).id == str(last)
        page = service.get("/v1/log/events", after=last)
        assert (page["events"], page["next"], page["has_more"]) == ([], last, False)
        past = service.http.get("/v1/stream", params={"after": last + 1})
        problem_of(past, 422, "position-ahead")
    assert report(owner, surface, "heard", event("user-2")).status_code == 200
    with following(service, last) as found:
        assert [one["position"] for one in entries(found, 2)] == [last + 1, last + 2]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"after": "99999999"}, "position-ahead"),
        ({"kinds": "touch,none"}, "invalid"),
        ({"kinds": "touch,"}, "invalid"),
        ({"surface": "0x1"}, "invalid"),
        ({"of": "1"}, "query-invalid"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    service: ApiService, query: dict[str, str], code: str
) -> None:
    problem_of(service.http.get("/v1/stream", params=query), 422, code)


@pytest.mark.parametrize("last", ["-1", "x", "1.0", "9" * 20])
def test_an_id_that_is_no_position_is_refused(service: ApiService, last: str) -> None:
    answer = service.http.get("/v1/stream", headers={"Last-Event-ID": last})
    problem_of(answer, 422, "event-id")


def test_streams_are_few(database_url: str) -> None:
    limits = Limits(streams=3, public_streams_percent=67, account_streams=2)
    with running_service(database_url, limits) as service:
        key = service.sign_in(wallet("operator"), "operator").headers["Authorization"]
        with following(service), following(service, key=key) as second:
            answer = service.http.get("/v1/stream")
            problem_of(answer, 429, "streams-many")
            assert answer.headers["Retry-After"]
            assert "your network" in answer.json()["detail"]
            answer = service.http.get("/v1/log/events", headers={"Authorization": key})
            assert "your account" in str(problem_of(answer, 429, "streams-many")["detail"])
            # A key that is none brings nothing.
            bad = {"Authorization": f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}"}
            assert "your network" in service.http.get("/v1/stream", headers=bad).json()["detail"]
            next(second)
        # Their places are free once the server has seen them go.
        with closing(httpx.Client(base_url=service.url, trust_env=False)) as other:
            for _ in range(1000):
                with other.stream("GET", "/v1/stream") as again:
                    if again.status_code == 200:
                        break
            else:
                raise AssertionError("no place became free")


def test_a_quiet_stream_gives_signs_of_life(database_url: str) -> None:
    with (
        running_service(database_url, Limits(stream_heartbeat_ms=50)) as service,
        following(service) as found,
    ):
        for _ in range(3):
            assert next(found) == Event("", str(size_of(service) - 1), None)


def test_a_stream_of_age_is_told_to_resume(database_url: str) -> None:
    limits = Limits(stream_life_ms=0, stream_heartbeat_ms=50)
    with running_service(database_url, limits) as service, following(service) as found:
        first, last = found
        assert last.name == "resume"
        assert last.data == {"after": int(first.id or 0), "reason": "it is time"}


def test_a_server_that_stops_ends_its_streams(database_url: str) -> None:
    with running_service(database_url) as service:
        size = size_of(service)
        opened = service.http.stream("GET", "/v1/stream")
        answer = opened.__enter__()
        found = events(answer)
        assert next(found).id == str(size - 1)
        # Read from now on only once the server has ended.
        service.close = lambda: None  # type: ignore[method-assign]
    assert [(each.name, each.data["reason"]) for each in found] == [
        ("resume", "the server ends here")
    ]
    opened.__exit__(None, None, None)


def test_a_reader_that_stalls_is_left(database_url: str) -> None:
    """It takes nothing, so what it is sent fills all buffers; its place is free after a while."""
    limits = Limits(streams=1, stream_stall_ms=300, source_reads_a_minute=100_000)
    with running_service(database_url, limits) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "stalled")
        report_many(owner, surface, 0, 4000)
        url = urlsplit(service.url)
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect((url.hostname, url.port))
            stalled.sendall(b"GET /v1/stream?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stalled.recv(12) == b"HTTP/1.1 200"
            for _ in range(10_000):
                with service.http.stream("GET", "/v1/stream") as answer:
                    if answer.status_code == 200:
                        break
                    assert answer.status_code == 503
            else:
                raise AssertionError("the stalled reader keeps its place")


def test_a_reader_that_falls_behind_is_told_to_resume(database_url: str) -> None:
    """The entries that it has not taken are no longer in memory; it goes on by its last id."""
    with running_service(database_url, Limits(stream_window=5)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "behind")
        with following(service) as found:
            start = int(next(found).id or 0)
            # One checkpoint with far more entries than are kept.
            report_many(owner, surface, 0, 100)
            told = list(found)
        assert told[-1].name == "resume"
        assert told[-1].data["reason"] == "you have fallen behind"
        with following(service, told[-1].data["after"]) as found:
            more = entries(found, 200 - (len(told) - 1))
        seen = [*(each.data["position"] for each in told[:-1]), *(one["position"] for one in more)]
        assert seen == list(range(start + 1, start + 201))


def test_a_replay_goes_on_as_fast_as_its_allowance_is_earned(database_url: str) -> None:
    limits = Limits(source_reads_a_minute=3_000, source_replays_a_minute=50)
    with running_service(database_url, limits) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        report_many(owner, open_surface(owner, "slow"), 0, 1000)
        size = size_of(service)
        with service.admin() as admin:
            admin.execute("DELETE FROM rate_limits")
            with following(service, 0) as found:
                entries(found, size - 1)
            spent = admin.execute("SELECT bucket FROM rate_limits").fetchall()
        assert ("replays",) in spent
