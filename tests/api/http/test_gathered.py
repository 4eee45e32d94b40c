"""Requests that come at one time by one key: let in and taken together, each answered alone."""

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from api.gathering import Gathering
from api.http.auth import Charge
from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    lead_ids,
    open_surface,
    problem_of,
    report,
    running_service,
    touch,
    wallet,
)

SENT = 7
Send = Callable[[int], httpx.Response]


@pytest.fixture
def send_together(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Send], list[httpx.Response]]:
    """Return what sends requests such that the first is being taken when the others come."""
    return lambda send: together(service, monkeypatch, send)


def together(
    service: ApiService,
    monkeypatch: pytest.MonkeyPatch,
    send: Send,
    table: str = "inbox_lanes",
    meanwhile: Callable[[], object] = lambda: None,
) -> list[httpx.Response]:
    """Send requests in turn, of which the first waits for a table until the last has come."""
    came, act = threading.Semaphore(0), Gathering.act
    are_let_in = table == "rate_limits"

    async def counted(self: Any, group: Hashable, *how: Any) -> Any:
        # In that turn of the event loop in which it is added to those who wait.
        if isinstance(group, Charge) == are_let_in:
            came.release()
        return await act(self, group, *how)

    monkeypatch.setattr(Gathering, "act", counted)
    with ThreadPoolExecutor(SENT) as pool, held(service, table):
        answers = []
        for number in range(SENT):
            answers.append(pool.submit(send, number))
            assert came.acquire(timeout=20)
        meanwhile()
    return [answer.result() for answer in answers]


@contextmanager
def held(service: ApiService, table: str) -> Iterator[None]:
    """Have all wait who write to a table."""
    with psycopg.connect(service.database_url) as admin:
        admin.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


def taken_by_transaction(service: ApiService, keys: str) -> list[int]:
    """Return how many requests each transaction took, in their order, of those with such keys."""
    with service.admin() as admin:
        rows = admin.execute(
            "SELECT count(*) FROM requests WHERE idempotency_key LIKE %s"
            " GROUP BY xmin::text ORDER BY min(seq)",
            (keys,),
        ).fetchall()
    return [count for (count,) in rows]


def test_events_that_come_together_are_taken_in_one_transaction(
    service: ApiService, owner: httpx.Client, send_together: Callable[[Send], list[httpx.Response]]
) -> None:
    surfaces = [open_surface(owner, f"together {number}") for number in range(2)]

    def send(number: int) -> httpx.Response:
        body = event(f"lead {number // 3}", order=f"order {number}" if number % 3 else None)
        return report(owner, surfaces[number % 2], f"with-others-{number}", body)

    answers = send_together(send)
    assert [answer.status_code for answer in answers] == [200] * SENT
    assert len({answer.json()["request_id"] for answer in answers}) == SENT
    assert taken_by_transaction(service, "%with-others-%") == [1, SENT - 1]
    # The same id names a lead of each surface.
    named = [lead_ids(owner, surface) for surface in surfaces]
    assert [set(each) for each in named] == [{"lead 0", "lead 1", "lead 2"}, {"lead 0", "lead 1"}]
    assert set(named[0].values()).isdisjoint(named[1].values())
    # Each stands in the log by itself, in the order in which it came.
    places = [answer.json()["first_position"] for answer in answers]
    assert places == sorted(places)


def test_touches_that_come_together_are_taken_in_one_transaction(
    service: ApiService,
    owner: httpx.Client,
    operator: httpx.Client,
    send_together: Callable[[Send], list[httpx.Response]],
) -> None:
    surfaces = [open_surface(owner, f"touched together {number}") for number in range(2)]
    for surface in surfaces:
        give_level(service, surface, wallet("operator"))
    for number in range(SENT):
        assert report(
            owner, surfaces[number % 2], f"lead-{number}", event(f"lead {number}")
        ).is_success
    known = [lead_ids(owner, surface) for surface in surfaces]

    def send(number: int) -> httpx.Response:
        lead = known[number % 2][f"lead {number}"]
        return touch(operator, surfaces[number % 2], f"of-{number}-at-once", lead, "email")

    answers = send_together(send)
    assert [answer.status_code for answer in answers] == [200] * SENT, answers[0].text
    assert taken_by_transaction(service, "%of-%-at-once") == [1, SENT - 1]


def test_one_that_is_refused_leaves_the_others_as_they_are(
    service: ApiService, owner: httpx.Client, send_together: Callable[[Send], list[httpx.Response]]
) -> None:
    surface = open_surface(owner, "one refused")
    assert report(owner, surface, "refused-3", event("another")).is_success
    names = [f"refused-{number}" for number in range(SENT)]
    answers = send_together(
        lambda number: report(owner, surface, names[number], event(f"lead {number}"))
    )
    problem_of(answers.pop(3), 409, "idempotency-conflict")
    assert [answer.status_code for answer in answers] == [200] * (SENT - 1)
    assert sum(taken_by_transaction(service, "%refused-%")) == SENT


def test_a_surface_of_another_is_refused_alone(
    service: ApiService, owner: httpx.Client, send_together: Callable[[Send], list[httpx.Response]]
) -> None:
    own = open_surface(owner, "own")
    of_another = open_surface(service.sign_in(wallet("another"), "owner"), "of another")
    answers = send_together(
        lambda number: report(
            owner, of_another if number == 2 else own, f"own-{number}", event(f"lead {number}")
        )
    )
    problem_of(answers.pop(2), 403, "not-the-owner")
    assert [answer.status_code for answer in answers] == [200] * (SENT - 1)


def test_one_request_sent_many_times_at_once_counts_once(
    service: ApiService, owner: httpx.Client, send_together: Callable[[Send], list[httpx.Response]]
) -> None:
    surface = open_surface(owner, "many times")
    answers = send_together(lambda _: report(owner, surface, "many-times", event("lead")))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert taken_by_transaction(service, "event:%:many-times") == [1]


def test_requests_are_let_in_together_and_no_more_than_the_allowance_has(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_service(database_url, Limits(events_a_day=SENT - 2)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "let in")
        answers = together(
            service,
            monkeypatch,
            lambda number: report(owner, surface, f"let-in-{number}", event(f"lead {number}")),
            "rate_limits",
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * (SENT - 2) + [429, 429]
        last = report(owner, surface, "after", event("after"))
        problem_of(last, 429, "rate-limited")
        assert '"events";r=0' in last.headers["RateLimit"]


def test_requests_let_in_together_are_charged_each(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_service(database_url, Limits(events_a_day=100)) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "charged")
        answers = together(
            service,
            monkeypatch,
            lambda number: report(owner, surface, f"charged-{number}", event(f"lead {number}")),
            "rate_limits",
        )
        assert {answer.status_code for answer in answers} == {200}
        last = report(owner, surface, "last", event("last"))
        assert f'"events";r={100 - SENT - 1}' in last.headers["RateLimit"]


def test_a_key_that_ends_meanwhile_ends_for_all(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = wallet("ending")
    owner = service.sign_in(ending, "owner")
    surface = open_surface(owner, "ending")

    def end() -> None:
        with service.admin() as admin:
            admin.execute(
                "UPDATE api_keys SET revoked_ms = clock_ms() WHERE account = %s",
                (ending.address.lower(),),
            )

    answers = together(
        service,
        monkeypatch,
        lambda number: report(owner, surface, f"ended-{number}", event(f"lead {number}")),
        meanwhile=end,
    )
    for answer in answers[1:]:
        problem_of(answer, 401, "key-revoked")
    assert taken_by_transaction(service, "event:%:ended-%") == [1]
