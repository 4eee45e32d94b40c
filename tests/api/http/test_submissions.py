"""Requests to the log: waiting, idempotency, and bodies of many lines."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest

from api.http import submissions
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import format_ms
from tests.support.api_service import (
    NDJSON,
    POLICY,
    ApiService,
    another_api,
    event,
    give_level,
    leads,
    ndjson,
    open_surface,
    problem_of,
    report,
    report_lines,
    row_count,
    running_service,
    touch,
    wallet,
)


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, "events")


# --- Waiting --------------------------------------------------------------------------------------


def test_without_waiting_the_answer_is_a_promise(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    path = f"/v1/surfaces/{surface}/events"
    with service.sequencer_lock:
        headers = {"Idempotency-Key": "promised", "Prefer": "respond-async"}
        answer = owner.post(path, json=event("promised"), headers=headers)
        assert answer.status_code == 202
        assert answer.json()["status"] == "waiting"
        headers["Prefer"] = "wait=1"
        assert owner.post(path, json=event("promised"), headers=headers).status_code == 202
    assert report(owner, surface, "promised", event("promised")).json()["status"] == "done"


def test_when_too_many_wait_the_others_are_answered_at_once(database_url: str) -> None:
    with running_service(database_url, Limits(waiters=0)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        with service.sequencer_lock:
            answer = owner.post(
                "/v1/surfaces",
                json={"name": "patience", "policy": POLICY},
                headers={"Idempotency-Key": "patience"},
            )
        assert answer.status_code == 202
        assert "Preference-Applied" not in answer.headers


def test_one_account_does_not_take_all_places_to_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Semaphore(0)

    async def sleep(seconds: float) -> None:
        waits.release()
        await anyio.sleep(seconds)

    with running_service(database_url, Limits(waiters=10, waiters_of_account=1)) as service:
        greedy, other = (service.sign_in(wallet(name), "owner") for name in ("greedy", "other"))
        surface, of_other = open_surface(greedy, "greedy"), open_surface(other, "other")
        with ThreadPoolExecutor(1) as pool:
            with service.sequencer_lock:
                monkeypatch.setattr(submissions, "sleep", sleep)
                first = pool.submit(report, greedy, surface, "first", event())
                assert waits.acquire(timeout=20)
                second = report(greedy, surface, "second", event())
                assert second.status_code == 202
                assert "Preference-Applied" not in second.headers
                path = f"/v1/surfaces/{of_other}/events"
                headers = {"Idempotency-Key": "mine", "Prefer": "wait=1"}
                of_another = other.post(path, json=event(), headers=headers)
                assert of_another.headers["Preference-Applied"] == "wait=1"
            assert first.result().status_code == 200


def test_another_accounts_request_is_not_there(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    href = report(owner, surface, "private", event("private")).json()["href"]
    assert service.sign_in(wallet("stranger"), "owner").get(href).status_code == 404


# --- Clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_ms", [5 * 3_600_000, -5 * 3_600_000])
def test_the_clocks_of_api_processes_decide_nothing(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, off_ms: int
) -> None:
    """A touch by one process stands before the purchase by another, however wrong they are."""
    surface = open_surface(owner, f"processes {off_ms}", lateness_s=60)
    give_level(service, surface, wallet("operator"))
    with another_api(service, off_ms) as url, another_api(service, -off_ms) as url_of_third:
        kept = {"base_url": url, "trust_env": False, "timeout": 30}
        with (
            httpx.Client(headers=owner.headers, **kept) as second,  # type: ignore[arg-type]
            httpx.Client(headers=operator.headers, **kept | {"base_url": url_of_third}) as third,  # type: ignore[arg-type]
        ):
            written = []
            for number, (client, what) in enumerate(
                [(owner, "signup"), (third, "email"), (second, "activate"), (operator, "email")]
            ):
                service.clock.now_ms += 10
                now_ms = service.clock.now_ms
                if what == "email":
                    (lead,) = leads(operator, surface)
                    answer = touch(client, surface, f"{number}", lead["lead"], what)
                else:
                    body = event(f"of {off_ms}", what, time=format_ms(now_ms))
                    answer = report(client, surface, f"{number}", body)
                reply = answer.json()
                assert answer.status_code == 200, answer.text
                entry = service.entries(reply["first_position"], reply["count"])[-1]
                written.append((entry.label, entry.time_ms == now_ms))
    labels = ["signed_up", "email", "activated", "email"]
    assert written == [(label, True) for label in labels]


# --- Events that are dated ahead ------------------------------------------------------------------


class Sleeps(list[float]):
    """The waits at the door, each of which moves the database's clock on instead."""


@pytest.fixture
def sleeps(service: ApiService, monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    found = Sleeps()

    async def sleep(seconds: float) -> None:
        if seconds == submissions._POLL_S:
            await anyio.sleep(seconds)
            return
        found.append(seconds)
        service.clock.now_ms += round(seconds * 1000)

    monkeypatch.setattr(submissions, "sleep", sleep)
    return found


def ahead(service: ApiService, duration_ms: int) -> str:
    return format_ms(service.clock.now_ms + duration_ms)


@pytest.mark.parametrize("ahead_ms", [1, 200, 4_999, 5_000])
def test_an_event_a_little_ahead_is_taken_when_its_time_has_come(
    service: ApiService, owner: httpx.Client, surface: str, sleeps: Sleeps, ahead_ms: int
) -> None:
    at_ms = service.clock.now_ms + ahead_ms
    body = event(f"ahead {ahead_ms}", time=ahead(service, ahead_ms))
    answer = report(owner, surface, f"ahead-{ahead_ms}", body)
    assert (answer.status_code, answer.json()["verdict"]) == (200, "accepted"), answer.text
    assert sleeps == [ahead_ms / 1000]
    (entry,) = service.entries(answer.json()["first_position"] + 1, 1)
    assert entry.time_ms == at_ms


@pytest.mark.parametrize("is_bulk", [False, True])
@pytest.mark.parametrize("ahead_ms", [5_001, 3_600_000])
def test_an_event_further_ahead_is_refused_and_does_not_use_up_its_key(
    service: ApiService,
    owner: httpx.Client,
    surface: str,
    sleeps: Sleeps,
    ahead_ms: int,
    is_bulk: bool,
) -> None:
    key, lead = f"far-{ahead_ms}-{is_bulk}", f"far {ahead_ms} {is_bulk}"

    def send(body: dict[str, object]) -> httpx.Response:
        if not is_bulk:
            return report(owner, surface, key, body)
        other = event(f"{lead} beside", id=f"{key}-beside")
        return report_lines(owner, surface, ndjson(other, body | {"id": key}))

    with service.admin() as admin:
        before = row_count(admin, "requests"), row_count(admin, "lead_identities")
        answer = send(event(lead, time=ahead(service, ahead_ms)))
        problem = problem_of(answer, 422, "event-ahead")
        assert problem["retry"] is True
        assert answer.headers["Retry-After"] == str(-(-ahead_ms // 1000))
        assert re.search(r"event of 2026-01-01T0.*Z cannot be received at 2026-", answer.text)
        assert (row_count(admin, "requests"), row_count(admin, "lead_identities")) == before
    assert sleeps == []
    # The same key, with the time as it should have been.
    assert send(event(lead, time=ahead(service, 0))).status_code == 200


def test_a_bulk_waits_once_for_its_latest_event_and_is_taken_whole(
    service: ApiService, owner: httpx.Client, sleeps: Sleeps
) -> None:
    surface = open_surface(owner, "bulk ahead")
    times = [ahead(service, ms) for ms in (0, 700, 300)] + [ahead(service, 0)] * 1998
    lines = [event(f"line {n}", id=f"line-{n}", time=time) for n, time in enumerate(times)]
    lines.append(event("the last", id="last", time=ahead(service, 1_500)))
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    assert {line["verdict"] for line in answer.json()["results"]} == {"accepted"}
    assert sleeps == [1.5]


def test_who_waits_for_a_clock_that_stands_still_is_refused_in_the_end(
    owner: httpx.Client, service: ApiService, surface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "EVENT_PATIENCE_S", 0.2)
    body = event("still", time=ahead(service, 150))
    problem_of(report(owner, surface, "still", body), 422, "event-ahead")


def test_without_a_place_to_wait_an_event_ahead_is_refused_at_once(database_url: str) -> None:
    with running_service(database_url, Limits(waiters=0)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        body = {"name": "no place", "policy": POLICY}
        opened = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "open"})
        surface = opened.json()["surface"]
        service.decide_waiting()
        answer = report(owner, surface, "ahead", event(time=ahead(service, 800)))
        problem_of(answer, 422, "event-ahead")
        assert answer.headers["Retry-After"] == "1"
        service.clock.now_ms += 800
        assert report(owner, surface, "ahead", event(time=ahead(service, 0))).status_code == 202


def test_those_who_wait_hold_no_connection(
    owner: httpx.Client, service: ApiService, surface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More wait than the pool has connections, and the service answers others."""
    waiting, go = threading.Semaphore(0), threading.Event()

    async def sleep(seconds: float) -> None:
        if seconds != submissions._POLL_S:
            waiting.release()
            while not go.is_set():  # noqa: ASYNC110 - another thread sets it
                await anyio.sleep(0.01)
        await anyio.sleep(submissions._POLL_S)

    monkeypatch.setattr(submissions, "sleep", sleep)
    soon = ahead(service, 1_000)
    with ThreadPoolExecutor(16) as pool:
        answers = [
            pool.submit(report, owner, surface, f"soon-{n}", event(f"soon {n}", time=soon))
            for n in range(16)
        ]
        try:
            for _ in answers:
                assert waiting.acquire(timeout=20)
            assert report(owner, surface, "meanwhile", event("meanwhile")).status_code == 200
            service.clock.now_ms += 1_000
        finally:
            go.set()
        assert {answer.result().status_code for answer in answers} == {200}


# --- Idempotency ----------------------------------------------------------------------------------


def test_the_same_event_again_has_the_same_answer(owner: httpx.Client, surface: str) -> None:
    body = event("twice")
    first = report(owner, surface, "twice", body)
    assert first.json()["verdict"] == "accepted"
    assert report(owner, surface, "twice", body).json() == first.json()
    line = ndjson(body | {"id": "twice"})
    assert report_lines(owner, surface, line).json()["results"] == [first.json() | {"id": "twice"}]
    other = report(owner, surface, "twice", body | {"value": "1.00"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


def test_a_key_is_demanded(owner: httpx.Client, surface: str) -> None:
    answer = owner.post(f"/v1/surfaces/{surface}/events", json=event())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "header/Idempotency-Key"


@pytest.mark.parametrize("key", ["", "two words", "x" * 129, "ümlaut", "in\tside"])
def test_an_idempotency_key_is_plain(owner: httpx.Client, key: str) -> None:
    answer = owner.post(
        f"/v1/surfaces/0x{'00' * 32}/events",
        json=event(),
        headers=[(b"Idempotency-Key", key.encode())],
    )
    assert answer.status_code == 422


def test_one_request_sent_many_times_at_once_is_one(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    before = service.get("/v1/log")["size"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: report(owner, surface, "race", event("racer")), range(16))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert service.get("/v1/log")["size"] == before + 2


# --- Lines ----------------------------------------------------------------------------------------


def test_lines_are_taken_in_their_order(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    lines = [
        event("bulk", what, id=f"bulk-{what}", value="29.90")
        for what in ("signup", "activate", "subscribe")
    ]
    answer = report_lines(owner, surface, ndjson(*lines) + b"\n\r\n")
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [line["id"] for line in results] == [line["id"] for line in lines]
    assert {line["verdict"] for line in results} == {"accepted"}
    last = results[-1]
    assert [entry.label for entry in service.entries(last["first_position"], 1)] == ["subscribed"]


def test_five_thousand_lines_are_taken_at_once(owner: httpx.Client) -> None:
    surface = open_surface(owner, "five thousand")
    lines = [event(f"lead-{n % 2500}", "signup", id=f"line-{n}") for n in range(5000)]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    verdicts = [line["verdict"] for line in answer.json()["results"]]
    assert verdicts == ["accepted"] * 2500 + ["refused"] * 2500
    more = report_lines(owner, surface, ndjson(*lines, event(id="one-more")))
    assert (more.status_code, more.json()["code"]) == (413, "lines-too-many")


def test_one_bad_line_stops_them_all_and_is_named(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    before = service.get("/v1/log")["size"]
    body = (
        ndjson(event("none", id="none-1"))
        + b"\n"
        + b'{"id": "none-2", "value": 1.5}\n'
        + ndjson(event("none", id="none-3", value="x"))
    )
    answer = report_lines(owner, surface, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "line-invalid")
    assert [fault["where"] for fault in problem["errors"]] == ["line 3", "line 4/value"]
    assert report(owner, surface, "none-1", event("another")).status_code == 200
    after = service.get("/v1/log")["size"]
    assert after == before + 2


def test_a_conflict_in_one_line_stops_them_all(owner: httpx.Client, surface: str) -> None:
    report(owner, surface, "taken", event("taken"))
    lines = ndjson(event("fresh", id="fresh"), event("other", id="taken"))
    answer = report_lines(owner, surface, lines)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-conflict")
    assert "taken" in answer.json()["detail"]
    assert report(owner, surface, "fresh", event("not so fresh")).status_code == 200


def test_lines_are_paid_for_before_they_are_read_and_once(database_url: str) -> None:
    with running_service(database_url, Limits(events_a_day=600, touches_a_day=600)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        operator = service.sign_in(wallet("operator"), "operator")
        surface = open_surface(owner, "paid")
        good = ndjson(*[event(id=f"e{n}") for n in range(300)])
        # Paid for twice, these would be more than there is.
        assert report_lines(owner, surface, good + b"\n" * 300).status_code == 200
        bad = ndjson(*[event(id=f"e{n}") for n in range(249)]) + b"{}\n"
        problem_of(report_lines(owner, surface, bad), 422, "line-invalid")
        problem_of(report_lines(owner, surface, bad), 429, "rate-limited")
        # No allowance is large enough for so many: waiting would not help.
        problem_of(report_lines(owner, surface, b"{}\n" * 5001), 413, "lines-too-many")

        path = f"/v1/surfaces/{surface}/touches/bulk"
        answers = [operator.post(path, content=b"{}\n" * 400, headers=NDJSON) for _ in range(2)]
        problem_of(answers[0], 422, "line-invalid")
        problem_of(answers[1], 429, "rate-limited")
