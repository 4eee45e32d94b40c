"""Trust in the demonstration: an agent that earns its first level by forecasting, and the rest.

The forecaster makes its first forecast with the MCP SDK's own client, by a key for that alone. It
has no model of its own. It is told what the sample's customers will do, to the whole
percent: as much as an agent knows that has talked to them, and no more than the log will show.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import anyio
import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from orchestrator.client.accounts import OperatorClient
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.units import BPS, DAY_MS
from orchestrator.core.entries.kinds import KINDS, Topic
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import TrustOpening
from orchestrator.core.surface.forecast import Question, forecast_day
from orchestrator.log.reader import LogReader
from orchestrator.simulation.cdnow import Day

QUESTION = Question("buyer", "repeat_buyer", 14)
PERCENT_BPS = BPS // 100
MAX_CHANGES = 1_000
# How long the log is left alone while a tool waits for it.
DECIDE_S = 0.02


class LevelChange(NamedTuple):
    """A change of an operator's standing: its level and ground, or the owner's hand."""

    time_ms: int
    operator: str
    what: str
    position: int


class McpOperator(OperatorClient):
    """An operator that makes its first forecast through MCP, with no client of ours.

    `decide` has the log decide what waits: the tool answers when that has been done.
    """

    def __init__(
        self, base_url: str, account: Any, name: str, decide: Callable[[], object]
    ) -> None:
        super().__init__(base_url, account, name)
        self._url = f"{base_url}/mcp"
        self._decide = decide
        self.results: list[Any] = []

    def forecast(
        self,
        surface: str,
        question: Mapping[str, object],
        probability_bps: int,
        wait_s: int = 0,
    ) -> Any:
        """Forecast a question, the first time by the tool for it."""
        if self.results:
            return super().forecast(surface, question, probability_bps, wait_s)
        said = {"surface": surface, "probability_bps": probability_bps, "intent": "first-forecast"}
        self.results.append(self._call(surface, "submit_forecast", {**question, **said}))
        return self.results[0]

    def _call(self, surface: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Return a tool's result, by a new key that is good for forecasts on this surface."""
        made = self.post(
            "/v1/keys",
            {"name": tool, "scopes": ["operator:forecast"], "surfaces": [surface]},
        )
        with ThreadPoolExecutor(1) as thread:
            call = thread.submit(anyio.run, _call_tool, self._url, made["key"], tool, arguments)
            while not wait([call], DECIDE_S).done:
                self._decide()
        result = call.result()
        if result.is_error:
            raise ServerError("tool-failed", f"{tool} of {self.server}: {result.content}")
        return result.structured_content


async def _call_tool(url: str, key: str, tool: str, arguments: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        McpClient(streamable_http_client(url, http_client=http)) as client,
    ):
        return await client.call_tool(tool, arguments)


class Forecaster:
    """An agent that forecasts the same question again and again, each time its last window is over.

    `purchases` are the sample's days, from which it knows what comes.
    """

    def __init__(self, client: OperatorClient, surface: str, purchases: Iterable[Day]) -> None:
        self.client = client
        self._surface = surface
        self._second_day = _second_purchases(purchases)
        self._next_day = 0

    def forecast(self, now_ms: int) -> bool:
        """Make the forecast that is due; return False if none is, or its cohort is too small."""
        day = forecast_day(now_ms)
        cohort = [second for first, second in self._second_day.values() if first < day <= second]
        if day < self._next_day or len(cohort) < 2 * BPS // PERCENT_BPS:
            return False
        moved = sum(second < QUESTION.end(day) for second in cohort)
        percent = (200 * moved + len(cohort)) // (2 * len(cohort))
        self.client.forecast(self._surface, QUESTION._asdict(), percent * PERCENT_BPS)
        self._next_day = QUESTION.end(day)
        return True

    @property
    def level(self) -> int:
        """The agent's level on the surface."""
        level: int = self.client.standing(self._surface)["level"]
        return level


def _second_purchases(purchases: Iterable[Day]) -> dict[str, tuple[int, int]]:
    """Return the days of each customer's first and second purchase; a second may never come."""
    found: dict[str, tuple[int, int]] = {}
    never = 1 << 40
    for start_ms, events in purchases:
        day = start_ms // DAY_MS
        for event in events:
            if event.event != "purchase":
                continue
            first, second = found.get(event.lead, (day, never))
            if event.lead in found and second == never:
                second = day
            found[event.lead] = (first, second)
    return found


def level_changes(log: LogReader, names: dict[str, str]) -> list[LevelChange]:
    """Return what happened to the standings of operators, whose names are given by address."""
    words = {address_word(address): name for address, name in names.items()}
    found = []
    for kind in (one.name for one in KINDS.values() if one.topic is Topic.LEVEL):
        for stored in log.of_kind(kind, -1, MAX_CHANGES):
            entry, opening = stored.entry, stored.opened
            if entry.subject not in words:
                continue
            what = f"{kind.rpartition('.')[2]} ({entry.label})"
            if isinstance(opening, TrustOpening):
                what = f"level {opening.level_before} → {entry.label} by {opening.ground}"
            found.append(LevelChange(entry.time_ms, words[entry.subject], what, stored.position))
    return sorted(found, key=lambda change: change.position)
