"""The worker: jobs of procrastinate that run by themselves, as the worker's login alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestrator.storage.database import LOGINS, WORKER
from orchestrator.webhooks.worker import WebhookWorker
from tests.support.pooler import Pooler, needs_pooler
from tests.support.servers import server_folder, urls_of
from tests.support.webhooks import Bench, Receiver, receiving


def direct_url(site: Bench) -> str:
    return urls_of(site.service.database_url).by_login[WORKER]


def worker_of(site: Bench, url: str | None = None) -> WebhookWorker:
    return WebhookWorker(url or direct_url(site), site.feed, site.courier.step, site.deliverer)


@contextmanager
def working(site: Bench, url: str | None = None) -> Iterator[None]:
    """Run a worker until the block ends; what it fails with is raised."""
    stop, failures = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            worker_of(site, url).run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def jobs(site: Bench) -> int:
    with site.service.admin() as admin:
        (count,) = admin.execute("SELECT count(*) FROM jobs.procrastinate_jobs").fetchone() or (0,)
    return int(count)


def test_it_delivers_by_itself_and_leaves_no_job_behind(site: Bench, receiver: Receiver) -> None:
    arrived = threading.Semaphore(0)

    def judge(_: object) -> int:
        arrived.release()
        return 200

    receiver.judge = judge
    site.register(receiver, events=["action.requested"])
    asked = site.request("before it runs")
    with working(site):
        assert arrived.acquire(timeout=30)
        asked += site.request("while it runs")
        assert arrived.acquire(timeout=30)
    assert receiver.positions == asked
    assert jobs(site) == 0
    site.service.decide_waiting()
    assert {site.action(one)["state"] for one in asked} == {"taken"}


def test_it_says_that_it_works_while_it_does(site: Bench) -> None:
    stop, told = threading.Event(), threading.Event()
    thread = threading.Thread(target=worker_of(site).run, args=(stop, told.set))
    thread.start()
    try:
        assert told.wait(30)
    finally:
        stop.set()
        thread.join()


@needs_pooler
def test_it_delivers_behind_a_pooler_in_session_mode(site: Bench, receiver: Receiver) -> None:
    arrived = threading.Event()

    def judge(_: object) -> int:
        arrived.set()
        return 200

    receiver.judge = judge
    site.register(receiver, events=["action.requested"])
    site.request("one")
    with server_folder() as folder:
        pooler = Pooler(folder, connections=1)
        pooler.lead_to({"": direct_url(site)})
        with pooler.running(), working(site, pooler.url(direct_url(site), "sessions")):
            assert arrived.wait(30)


def test_a_connection_of_the_jobs_asks_for_nothing_at_its_start(
    site: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler refuses options there, so all that is set is set by a statement."""
    asked, connect = list[dict[str, Any]](), psycopg.AsyncConnection.connect
    arrived = threading.Event()

    async def noting(url: str, **how: Any) -> Any:
        asked.append(conninfo_to_dict(url) | how)
        return await connect(url, **how)

    def judge(_: object) -> int:
        arrived.set()
        return 200

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", noting)
    receiver.judge = judge
    site.register(receiver, events=["action.requested"])
    site.request("one")
    with working(site):
        assert arrived.wait(30)
    assert {one["application_name"] for one in asked} == {"webhooks"}
    assert not any("options" in one for one in asked)


def test_what_is_due_is_sent_by_hand_too(site: Bench, receiver: Receiver) -> None:
    site.register(receiver, events=["action.requested"])
    worker = worker_of(site)
    receiver.status = 503
    asked = site.request("one", "two")
    assert (worker.send_due(), receiver.positions) == (2, [])
    receiver.status = 200
    # Nothing is due before its time.
    assert worker.send_due() == 0
    site.service.clock.now_ms += 60_000
    assert (worker.send_due(), sorted(receiver.positions)) == (2, asked)
    assert worker.send_due() == 0


def test_one_that_hangs_holds_up_no_other(site: Bench, receiver: Receiver) -> None:
    over, arrived = threading.Event(), threading.Event()
    site.register(receiver, events=["action.requested"])

    def judge(told: dict[str, object]) -> int:
        arrived.set()
        return 200

    with receiving() as hanging:
        hanging.answer = lambda _: over.wait(30)
        secret = receiver.secret
        site.register(hanging, events=["action.requested"])
        receiver.secret, receiver.judge = secret, judge
        site.request("one")
        with working(site):
            assert arrived.wait(4)
            over.set()


def test_jobs_of_a_process_that_died_are_dropped(site: Bench, receiver: Receiver) -> None:
    with site.service.admin() as admin:
        admin.execute(
            "INSERT INTO jobs.procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 day')"
        )
        admin.execute(
            "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, status, worker_id, args)"
            " SELECT 'webhooks', 'deliver', 'doing', max(id), '{}'"
            " FROM jobs.procrastinate_workers"
        )
    arrived = threading.Event()

    def judge(_: object) -> int:
        arrived.set()
        return 200

    receiver.judge = judge
    site.register(receiver, events=["action.requested"])
    site.request("one")
    with working(site):
        assert arrived.wait(30)
    assert jobs(site) == 0


@pytest.mark.parametrize("login", [login for login in LOGINS if login != WORKER])
def test_no_other_login_reaches_the_jobs(database_url: str, login: str) -> None:
    with (
        psycopg.connect(urls_of(database_url).by_login[login]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT count(*) FROM jobs.procrastinate_jobs")
