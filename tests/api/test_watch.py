"""The routes that say how a service is, while it works and while its database is gone."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psycopg
import pytest

from api.watch import PATIENCE_S, Watch
from orchestrator.core.health import JUDGED_PARTS
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from orchestrator.storage.database import API, Database
from tests.support.api_service import LOG_ID, ApiService, running_service
from tests.support.servers import server_folder

FIGURES = {"anchored": 10**9, "balance_wei": 10**20, "gas_price_wei": 1}


@pytest.fixture
def service(database_url: str) -> Iterator[ApiService]:
    with running_service(database_url) as running:
        yield running


def set_pulses(service: ApiService, *parts: str) -> None:
    """Have these parts worked just now, and no others."""
    with service.admin() as admin:
        admin.execute("DELETE FROM pulses")
        for part in parts:
            admin.execute(
                "INSERT INTO pulses VALUES (%s, %s, (SELECT clock_ms()), %s)",
                (LOG_ID, part, json.dumps(FIGURES)),
            )


def test_it_is_alive_without_a_look_at_anything(service: ApiService) -> None:
    answer = service.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_readiness_tells_each_part_and_is_read_once_a_second(service: ApiService) -> None:
    set_pulses(service, "sequencer", "pipeline", "webhooks")
    answer = service.http.get("/readyz")
    expected = {part: part != "registrar" for part in JUDGED_PARTS}
    assert (answer.status_code, answer.json()) == (503, {"status": "unready", "parts": expected})
    assert answer.headers["Cache-Control"] == "no-store"
    set_pulses(service, "sequencer", "pipeline", "registrar", "webhooks")
    # The next reading is due in a second.
    wait = Event()
    found = (service.http.get("/readyz") for _ in range(600) if not wait.wait(0.05))
    answer = next(each for each in found if each.status_code == 200)
    assert answer.json() == {"status": "ready", "parts": dict.fromkeys(JUDGED_PARTS, True)}


def test_one_may_ask_for_some_parts_alone(service: ApiService) -> None:
    set_pulses(service)
    answer = service.http.get("/readyz?part=database&part=disk")
    assert (answer.status_code, answer.json()["parts"]) == (200, {"database": True, "disk": True})
    assert service.http.get("/readyz?part=sequencer").status_code == 503
    assert service.http.get("/readyz?part=moon").status_code == 422


def test_a_database_that_is_gone_or_silent_is_told_in_time() -> None:
    with server_folder() as folder, LocalPostgres(folder) as server:
        prepare_schema(server.urls())
        with Database(server.urls().by_login[API], API) as database:
            with psycopg.connect(server.url) as admin:
                admin.execute("LOCK TABLE pulses")
                assert conditions(database, folder)["database"] is False
            server.kill()
            assert conditions(database, folder) == dict.fromkeys(JUDGED_PARTS[:-1], False) | {
                "disk": True
            }


def conditions(database: Database, folder: Path) -> dict[str, bool]:
    """Return what a new watch says, which takes little more than its patience."""

    async def look() -> dict[str, bool]:
        sight = await Watch(database, LOG_ID, folder).look()
        return {each.part: each.is_well for each in sight.conditions}

    async def in_time() -> dict[str, bool]:
        return await asyncio.wait_for(look(), 10 * PATIENCE_S)

    return asyncio.run(in_time())
