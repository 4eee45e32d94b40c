"""The routes that say how the service is, for load balancers and alarms: `/healthz`, `/readyz`.

They need no key and charge no allowance, so however many ask, the database is read once a second.
They say of each part whether it is well, and no number.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from orchestrator.core.common.errors import DomainError
from orchestrator.core.health import JUDGED_PARTS, PartCondition, PartName, Vitals, judge
from orchestrator.storage.database import Database, DatabaseError, Unreachable
from orchestrator.storage.local.files import free_bytes
from orchestrator.storage.pulses import read_vitals

FRESH_S = 1.0
# A probe is answered within this, whether the database answers or not.
PATIENCE_S = 2.0


class Sight(NamedTuple):
    """The state of a service as it was seen last; without vitals the database did not answer."""

    vitals: Vitals | None
    free_bytes: int

    @property
    def conditions(self) -> tuple[PartCondition, ...]:
        return judge(self.vitals, self.free_bytes)


class Watch:
    """The state of a service, read at most once a second, by one thread, for one event loop."""

    def __init__(self, database: Database, log_id: bytes, folder: Path, speed: int = 1) -> None:
        self._database = database
        self._log_id = log_id
        self._folder = folder
        self._speed = speed
        self._one = CapacityLimiter(1)
        self._reading: asyncio.Task[Vitals | None] | None = None
        self._begun_s = 0.0

    async def look(self) -> Sight:
        """Return the state of the service as it is, or was a moment ago."""
        now_s = asyncio.get_running_loop().time()
        if self._reading is None or (self._reading.done() and now_s - self._begun_s >= FRESH_S):
            self._begun_s = now_s
            self._reading = asyncio.create_task(to_thread.run_sync(self._read, limiter=self._one))
        try:
            # Others wait for the same reading, so it goes on when this one gives up.
            vitals = await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE_S)
        except TimeoutError:
            vitals = None
        return Sight(vitals, free_bytes(self._folder))

    def _read(self) -> Vitals | None:
        try:
            with self._database.transaction() as session:
                return read_vitals(session, self._log_id)._replace(speed=self._speed)
        except (DomainError, DatabaseError, *Unreachable):
            return None


def health_router(watch: Watch, processes: Callable[[], Mapping[str, bool]] = dict) -> APIRouter:
    """Return the routes that say how a service is.

    `processes` says which of the API's answer, where one process tells of several.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive() -> JSONResponse:
        """Say that the process answers, and nothing of the parts."""
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def ready(part: Annotated[tuple[PartName, ...], Query()] = JUDGED_PARTS) -> JSONResponse:
        """Say of these parts whether they are well, and with 503 that one is not."""
        sight = await watch.look()
        parts = {each.part: each.is_well for each in sight.conditions if each.part in part}
        others = processes()
        is_ready = all(parts.values()) and all(others.values())
        status: dict[str, object] = {"status": "ready" if is_ready else "unready", "parts": parts}
        if others:
            status["processes"] = others
        return JSONResponse(status, 200 if is_ready else 503)

    return router
