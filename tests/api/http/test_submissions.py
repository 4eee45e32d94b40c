"""Requests to the log: waiting, idempotency, and bodies of many lines."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from api.context import Limits
from tests.support.api_service import (
    NDJSON,
    POLICY,
    ApiService,
    event,
    ndjson,
    open_surface,
    problem_of,
    report,
    report_lines,
    running_service,
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


def test_another_accounts_request_is_not_there(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    href = report(owner, surface, "private", event("private")).json()["href"]
    assert service.sign_in(wallet("stranger"), "owner").get(href).status_code == 404


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
    with running_service(database_url, Limits(account_per_s=1, account_burst=600)) as service:
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
