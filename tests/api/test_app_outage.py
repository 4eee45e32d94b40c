"""A database that goes away: every door says so, the journal does once, and nothing is lost."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.context import Service
from api.routes.records import stream
from orchestrator.core.account.sources import NetworkSource, source_of_host
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from tests.support.api_service import (
    another_api,
    event,
    open_surface,
    problem_of,
    report,
    running_service,
    wallet,
)
from tests.support.servers import server_folder

WRITES = 60
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
BOTH = {"Accept": "application/json, text/event-stream"}


class Away(NamedTuple):
    """An API with a PostgreSQL of its own, and an owner with a surface."""

    server: LocalPostgres
    app: FastAPI
    owner: httpx.Client
    surface: str

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.server.url, autocommit=True)

    def write(self, key: str, **how: Any) -> httpx.Response:
        return report(self.owner, self.surface, key, event(lead=key, **how))

    def end_connections(self) -> None:
        """Have the server end all connections of the API, and wait until they have ended.

        One that is told to end still takes a statement or two, and then answers in other words.
        """
        with self.admin() as admin:
            while admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                ("tallystick_api",),
            ).fetchall():
                pass

    def is_back(self) -> None:
        """Wait until the API answers, and for as long as it takes to say so."""
        with httpx.Client(base_url=self.owner.base_url, trust_env=False) as client:
            service: Service = self.app.state.service
            while client.get("/v1/log").status_code != 200 or service.database.is_troubled:
                pass


@pytest.fixture(scope="module")
def away() -> Iterator[Away]:
    apps: list[FastAPI] = []
    with server_folder() as folder, LocalPostgres(folder) as server:
        prepare_schema(server.urls())
        with running_service(server.url) as service:
            owner = service.sign_in(wallet("owner"), "owner")
            surface = open_surface(owner, "a surface")
            shown = {"Authorization": owner.headers["Authorization"]}
        with (
            another_api(service, 0, apps.append) as url,
            httpx.Client(base_url=url, headers=shown, timeout=30, trust_env=False) as client,
        ):
            yield Away(server, apps[0], client, surface)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what the journal was told for the API, without how long it took."""
    return [
        (record.levelname, record.getMessage().partition(" after ")[0])
        for record in caplog.records
        if record.name.startswith("tallystick") and getattr(record, "part", "api") == "api"
    ]


def test_every_door_says_when_to_come_again_and_the_journal_says_it_once(
    away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tallystick")
    client = away.owner
    assert client.get("/v1/me").status_code == 200
    away.server.kill()
    read, *_ = [client.get("/v1/me") for _ in range(10)]
    problem = problem_of(read, 503, "unavailable")
    assert problem["retry"] is True
    assert "under the same Idempotency-Key" in str(problem["detail"])
    written = away.write("while-it-is-away")
    problem_of(written, 503, "unavailable")
    problem_of(client.get("/v1/stream"), 503, "unavailable")
    # Pages of people, and each protocol in its own form.
    page = client.get("/oauth/authorize", params={"client_id": "x"})
    assert "cannot answer just now" in page.text
    token = client.post("/oauth/token", data={"grant_type": "authorization_code"})
    assert token.json()["error"] == "temporarily_unavailable"
    called = client.post("/mcp", json=CALL, headers=BOTH)
    assert called.json()["error"]["data"]["code"] == "unavailable"
    assert (called.json()["jsonrpc"], called.json()["id"]) == ("2.0", None)
    for one in (read, written, page, token, called):
        assert (one.status_code, one.headers["Retry-After"]) == (503, "2")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["parts"]["database"]) == (503, False)
    assert client.get("/healthz").status_code == 200
    away.server.start()
    away.is_back()
    assert client.get("/readyz?part=database").status_code == 200
    [(level, began), ended] = said(caplog)
    assert (level, ended) == ("WARNING", ("INFO", "api: works again"))
    assert began.startswith("api: the database does not answer: ")


def test_what_is_acknowledged_is_kept_once_through_a_crash(away: Away) -> None:
    """A write that no one acknowledged is sent again under its key, as the answer says."""
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(_until_taken, away, f"write-{n}") for n in range(WRITES)]
        # In the midst of them.
        written[WRITES // 4].result()
        away.server.kill()
        away.server.start()
        refused = {status for each in written for status in each.result()}
    assert refused <= {503}
    with away.admin() as admin:
        kept = admin.execute(
            "SELECT count(*), count(DISTINCT idempotency_key) FROM requests "
            "WHERE idempotency_key LIKE '%write-%'"
        )
        assert kept.fetchone() == (WRITES, WRITES)
    away.is_back()


def _until_taken(away: Away, key: str) -> list[int]:
    """Send a write until it is taken; return the statuses of the answers before that."""
    refused = []
    while (answer := away.write(key)).status_code != 202:
        problem_of(answer, 503, "unavailable")
        refused.append(answer.status_code)
    return refused


def test_a_connection_that_is_cut_in_the_middle_is_told_to_its_request_alone(away: Away) -> None:
    with away.admin() as admin, ThreadPoolExecutor(1) as pool:
        admin.execute("BEGIN; LOCK TABLE requests")
        waiting: Future[httpx.Response] = pool.submit(away.write, "cut")
        with away.admin() as other:
            while not other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'tallystick_api' AND wait_event_type = 'Lock'"
            ).fetchall():
                pass
        problem_of(waiting.result(), 503, "unavailable")
        admin.execute("COMMIT")
    assert away.write("cut").status_code == 202
    away.is_back()


@pytest.mark.parametrize(
    ("trouble", "mended", "why"),
    [
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1", "it has no connection left for us"),
        (
            "SET default_transaction_read_only = on",
            "RESET default_transaction_read_only",
            "it takes no writes, as a replica does",
        ),
        ("NOLOGIN", "LOGIN", "it takes no connection"),
    ],
)
def test_a_server_that_refuses_us_is_tried_until_it_does_not(
    away: Away, caplog: pytest.LogCaptureFixture, trouble: str, mended: str, why: str
) -> None:
    caplog.set_level(logging.INFO, "tallystick")
    with away.admin() as admin:
        admin.execute(f"ALTER ROLE tallystick_api {trouble}")
        away.end_connections()
        problem_of(away.write(mended.replace(" ", "-")), 503, "unavailable")
        admin.execute(f"ALTER ROLE tallystick_api {mended}")
    away.is_back()
    assert away.write(mended.replace(" ", "-")).status_code == 202
    assert said(caplog) == [
        ("WARNING", f"api: the database does not answer: {why}; trying again"),
        ("INFO", "api: works again"),
    ]


def test_a_stream_that_cannot_go_on_reading_sends_its_reader_to_come_again(away: Away) -> None:
    """Its reader has the id to go on behind; a broken connection would say nothing."""

    async def told() -> list[bytes]:
        service: Service = away.app.state.service
        assert service.feed.open() > 1
        away.server.kill()
        source: NetworkSource = source_of_host("127.0.0.1")
        events = stream._events(service, source, stream.Wanted(), 0)
        return [one async for one in events]

    *_, last = asyncio.run(told())
    assert b"event: resume" in last
    assert b"id: 0" in last
    away.server.start()
    away.is_back()
