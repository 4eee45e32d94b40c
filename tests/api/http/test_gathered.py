"""Requests that come at one time by one key: let in and taken together, each answered alone."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from api.gathering import Gathering
from api.http.auth import Charge
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.world.requests import Erasure
from orchestrator.log import inbox
from tests.support.api_service import (
    LOG_ID,
    ApiService,
    erase,
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
    came = counter(monkeypatch, of_admissions=table == "rate_limits")
    with ThreadPoolExecutor(SENT) as pool, held(service, table):
        answers = []
        for number in range(SENT):
            answers.append(pool.submit(send, number))
            assert came.acquire(timeout=20)
        meanwhile()
    return [answer.result() for answer in answers]


def counter(monkeypatch: pytest.MonkeyPatch, *, of_admissions: bool = False) -> threading.Semaphore:
    """Return what is released for each request that is added to those who wait."""
    came, act = threading.Semaphore(0), Gathering.act

    async def counted(self: Any, group: Hashable, *how: Any) -> Any:
        # In that turn of the event loop in which it is added.
        if isinstance(group, Charge) == of_admissions:
            came.release()
        return await act(self, group, *how)

    monkeypatch.setattr(Gathering, "act", counted)
    return came


@contextmanager
def held(service: ApiService, table: str) -> Iterator[None]:
    """Have all wait who write to a table."""
    with psycopg.connect(service.database_url) as admin:
        admin.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


@contextmanager
def surface_held(service: ApiService, surface: str) -> Iterator[Callable[[int], None]]:
    """Hold a surface; what is given waits until so many transactions wait for it."""
    with psycopg.connect(service.database_url) as holder, service.admin() as admin:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (lock_of(surface),))
        pid = holder.info.backend_pid

        def wait_for(waiting: int) -> None:
            count = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
            deadline = time.monotonic() + 20
            while admin.execute(count, (pid,)).fetchone() != (waiting,):
                assert time.monotonic() < deadline, f"there are not {waiting} who wait"

        yield wait_for


def lock_of(surface: str) -> int:
    (lock,) = inbox._locks(LOG_ID, [Erasure(from_hex(surface), bytes(32), bytes(32))])
    return lock


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


def test_nobody_waits_with_a_surface_of_another_in_hand(
    service: ApiService, owner: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who holds its own surface for long would hold up the owner of any other."""
    attacker = service.sign_in(wallet("attacker"), "owner")
    first = open_surface(attacker, "first")
    of_owner = open_surface(owner, "of its owner")
    # Surfaces are taken in the order of their locks.
    names = (open_surface(attacker, f"held {number}") for number in range(99))
    own = next(name for name in names if lock_of(name) > lock_of(of_owner))
    came = counter(monkeypatch)
    with ThreadPoolExecutor(3) as pool, surface_held(service, own) as wait_for:
        with surface_held(service, first):
            sent = []
            for number, surface in enumerate((first, own, of_owner)):
                sent.append(pool.submit(report, attacker, surface, f"{number}", event("x")))
                assert came.acquire(timeout=20)
        wait_for(1)
        assert report(owner, of_owner, "meanwhile", event("own")).status_code == 200
        problem_of(sent[2].result(), 403, "not-the-owner")
        assert not sent[1].done()
    assert [sent[0].result().status_code, sent[1].result().status_code] == [200, 200]


def test_an_erasure_waits_for_those_who_name_the_lead(
    service: ApiService, owner: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface, other = open_surface(owner, "erasing"), open_surface(owner, "beside it")
    for lead in "ab":
        assert report(owner, surface, f"known-{lead}", event(lead)).is_success
    came = counter(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        with surface_held(service, surface) as wait_for:
            with surface_held(service, other):
                sent = [pool.submit(report, owner, other, "beside", event("x"))]
                assert came.acquire(timeout=20)
                for lead in "ab":
                    sent.append(pool.submit(report, owner, surface, f"again-{lead}", event(lead)))
                    assert came.acquire(timeout=20)
            wait_for(1)
            for waiting in (2, 3):
                sent.append(pool.submit(erase, owner, surface, "erased", lead="a"))
                wait_for(waiting)
        assert [answer.result().status_code for answer in sent] == [200] * 5
        assert sent[-1].result().json() == sent[-2].result().json()
    assert "a" not in lead_ids(owner, surface)


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
