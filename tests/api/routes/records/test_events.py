"""Events in pages: what a reader that was away missed, of what it wants, and what comes next."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.api_service import (
    ApiService,
    event,
    ndjson,
    open_surface,
    problem_of,
    report,
    report_lines,
)


def page(service: ApiService, **query: object) -> Any:
    return service.get("/v1/log/events", **query)


def test_a_reader_goes_on_where_it_was_and_sees_each_event_once(
    service: ApiService, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "paged")
    service.heard_size()
    begun = page(service)
    assert (begun["events"], begun["has_more"]) == ([], False)
    report_lines(owner, surface, ndjson(*(event(f"lead {n}", id=f"e{n}") for n in range(5))))
    service.heard_size()
    seen, after, pages = [], begun["next"], 0
    while True:
        found = page(service, after=after, limit=3)
        seen += found["events"]
        after, pages = found["next"], pages + 1
        if not found["has_more"]:
            break
    assert pages == 4
    assert [each["position"] for each in seen] == list(range(begun["next"] + 1, after + 1))
    assert {each["kind"] for each in seen} == {"lead.registered", "lead.transition"}
    assert {each["surface"] for each in seen} == {surface}
    assert page(service, after=after) == {"events": [], "next": after, "has_more": False}


def test_only_what_is_wanted_is_told_and_the_cursor_moves_past_the_rest(
    service: ApiService, owner: httpx.Client
) -> None:
    begun = service.heard_size() - 1
    surface = open_surface(owner, "wanted")
    open_surface(owner, "unwanted")
    report(owner, surface, "one", event())
    size = service.heard_size()
    wanted = {"surface": surface, "kinds": "lead.transition,touch"}
    (found,) = (told := page(service, after=begun, **wanted))["events"]
    assert (found["kind"], found["label"], found["value"]) == ("lead.transition", "signed_up", "0")
    assert told["next"] == size - 1
    none = page(service, after=begun, operator="0x" + "1" * 40)
    assert (none["events"], none["next"], none["has_more"]) == ([], size - 1, False)


def test_one_that_waits_is_told_at_once(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "awaited")
    after = service.heard_size() - 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(page, service, after=after, surface=surface, wait_s=10)
        report(owner, surface, "one", event())
        told = waiting.result()
    assert told["events"][0]["kind"] == "lead.registered"


def test_the_clock_waits_for_a_time_and_not_for_long(service: ApiService) -> None:
    now_s = service.clock.now_ms // 1000
    assert service.get("/v1/clock")["has_come"] is None
    assert service.get("/v1/clock", until_s=now_s)["has_come"] is True
    with service.clock.moved_by((now_s + 1) * 1000 - 20 - service.clock.now_ms):
        # Twenty milliseconds later this clock, which is moved by hand, stands where it stood.
        told = service.get("/v1/clock", until_s=now_s + 1)
    assert (told["has_come"], told["time_ms"]) == (False, (now_s + 1) * 1000 - 20)


def test_what_is_older_than_the_window_is_read_from_the_log(
    service: ApiService, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "old")
    lines = [event(f"old {n}", id=f"o{n}") for n in range(1_200)]
    assert report_lines(owner, surface, ndjson(*lines)).status_code == 200
    size = service.heard_size()
    assert size > 2_400
    rare = {"surface": surface, "kinds": "settings.published"}
    first = page(service, after=0, **rare)
    assert len(first["events"]) == 1
    # It has looked at so many and no more, and says that there is more.
    assert (first["next"], first["has_more"]) == (2_000, True)
    second = page(service, after=first["next"], **rare)
    assert (second["events"], second["next"], second["has_more"]) == ([], size - 1, False)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("after=99999999", "position-ahead"),
        ("wait_s=11", "invalid"),
        ("kinds=nothing", "invalid"),
        ("operators=0x", "query-invalid"),
        ("limit=0", "invalid"),
    ],
)
def test_what_cannot_be_asked_is_refused(service: ApiService, query: str, code: str) -> None:
    problem_of(service.http.get(f"/v1/log/events?{query}"), 422, code)
