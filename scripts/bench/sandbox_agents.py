"""The benchmark of many agents: hundreds at once in one sandbox, half over HTTP and half over MCP.

    .venv/bin/python -m scripts.bench.sandbox_agents [--agents N] [--minutes M]

Starts a sandbox, and one process in which all agents run. Each comes with a new wallet and an
address of its own, signs in, has a contract drafted, signs and proposes it, waits until it is open,
and then takes turns until the time is up: it looks at what happened, lists leads, and touches one.
Prints a Markdown table and removes everything. A share is the turns of one agent while all had
their contracts; the index of fairness is Jain's, 1 where all are the same. Exit code 1 if anything
failed: what a rule refuses is counted and is no failure.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import httpx2
from eth_account import Account
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from api.mcp.catalogue import TOOLS
from api.mcp.operations import Operation, read_operation
from orchestrator.client.accounts import OperatorClient
from orchestrator.client.deals import served_pins
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.terms import Terms, operator_consent_digest, sign_digest
from orchestrator.runtime.connections import listen
from orchestrator.simulation.market.surfaces import SHOP, TRIAL, MarketSurface

DEALS = {
    TRIAL.name: {"outcome": "activated", "price": "8.00", "at_most": 1},
    SHOP.name: {"outcome": "repeat_buyer", "price": "4.00", "at_most": 2},
}
WAYS = ("HTTP", "MCP")
# How long an agent thinks between two turns, and looks again while it waits for its contract.
THINK_S = 1.0
TIMEOUT_S = 60.0
ROUTES = {tool.name: tool.routes[""] for tool in TOOLS if "" in tool.routes}


class RefusedError(Exception):
    """The code of a rule that refused."""


@dataclass
class Tally:
    """All that the agents of one way have seen."""

    times: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, begun_s: float) -> None:
        """Note how long something took that has just ended."""
        self.times.setdefault(what, []).append(time.perf_counter() - begun_s)


class Market(NamedTuple):
    """A running sandbox as its agents know it."""

    url: str
    pins: Pins
    surfaces: dict[str, str]
    operations: dict[str, Operation]


class HttpWay:
    """Tools as requests to their routes."""

    def __init__(self, market: Market, key: str, address: str) -> None:
        self._operations = market.operations
        self._http = httpx.AsyncClient(
            base_url=market.url,
            headers={"Authorization": f"Bearer {key}", "Prefer": "wait=10"},
            transport=httpx.AsyncHTTPTransport(local_address=address),
            timeout=TIMEOUT_S,
        )

    async def __aenter__(self) -> "HttpWay":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, tool: str, arguments: dict[str, Any]) -> Any:
        made = self._operations[tool].call(arguments)
        headers = {} if made.intent is None else {"Idempotency-Key": made.intent}
        answer = await self._http.request(
            made.method, made.path, params=made.query, json=made.body, headers=headers
        )
        if answer.is_server_error:
            raise ServerError("failed", f"{answer.status_code}")
        if not answer.is_success:
            raise RefusedError(answer.json()["code"])
        return answer.json()


class McpWay:
    """Tools as an MCP client calls them."""

    def __init__(self, client: McpClient) -> None:
        self._client = client

    async def ask(self, tool: str, arguments: dict[str, Any]) -> Any:
        result = await self._client.call_tool(tool, arguments)
        if result.is_error:
            raise RefusedError(str(getattr(result.content[0], "text", "")).partition(":")[0])
        found = result.structured_content or {}
        return found | found.get("untrusted", {})


@asynccontextmanager
async def way_of(market: Market, name: str, key: str, address: str) -> AsyncIterator[Any]:
    if name == "HTTP":
        async with HttpWay(market, key, address) as way:
            yield way
        return
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, transport=transport, timeout=TIMEOUT_S) as http,
        McpClient(
            streamable_http_client(f"{market.url}/mcp", http_client=http), mode="2026-07-28"
        ) as client,
    ):
        yield McpWay(client)


class Agent:
    """One agent, from nothing to its turns; `turns` are the times at which each ended."""

    def __init__(self, market: Market, number: int, tally: Tally) -> None:
        self._market, self._tally, self._number = market, tally, number
        self.way = WAYS[number % 2]
        name = (TRIAL, SHOP)[number // 2 % 2].name
        self._surface, self._deal = market.surfaces[name], DEALS[name]
        self._account = Account.create()
        # Of the loopback network: limits are those of an address.
        self._address = f"127.1.{number // 250}.{1 + number % 250}"
        self.open_at_s: float | None = None
        self.turns: list[float] = []

    async def live(self, end_s: float) -> None:
        """Live until the time is up; what fails is counted."""
        try:
            key = await asyncio.to_thread(self._sign_in)
            async with way_of(self._market, self.way, key, self._address) as self._asked:
                await self._be_hired(end_s)
                while time.monotonic() < end_s:
                    await self._turn()
                    await asyncio.sleep(THINK_S)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, it is a failure to count.
            self._tally.failed[_innermost(error)] += 1

    def _sign_in(self) -> str:
        with OperatorClient(self._market.url, self._account, "agent") as client:
            # Its own address here as well: sign-ins are limited by it.
            client._http = httpx.Client(  # noqa: SLF001
                base_url=self._market.url,
                transport=httpx.HTTPTransport(local_address=self._address),
                timeout=TIMEOUT_S,
                headers={"Prefer": "wait=10"},
            )
            # Few threads sign in at a time; to wait for one of them is not the service's time.
            begun = time.perf_counter()
            key = str(client.sign_in()["key"])
            self._tally.add("sign in", begun)
            return key

    async def _be_hired(self, end_s: float) -> None:
        after = (await self._ask("read_events"))["next"]
        draft = await self._ask("draft_contract", surface=self._surface, deal=self._deal)
        terms = Terms.from_json(draft["terms"])
        digest = operator_consent_digest(terms, self._market.pins.domain)
        signature = to_hex(sign_digest(digest, bytes(self._account.key)))
        made = await self._ask(
            "propose_contract", terms=draft["terms"], operator_signature=signature
        )
        contract = made["contract_id"]
        while time.monotonic() < end_s:
            told = await self._ask(
                "read_events", after=after, contract=contract, kinds="contract.opened"
            )
            after = told["next"]
            if told["events"]:
                self.open_at_s = time.monotonic()
                return
            await asyncio.sleep(THINK_S)

    async def _turn(self) -> None:
        told = await self._ask("read_events", surface=self._surface)
        found = await self._ask("list_leads", surface=self._surface, limit=10)
        leads = found["leads"] if found else []
        if leads:
            lead = leads[(self._number + len(self.turns)) % len(leads)]["lead"]
            touch = {"lead": lead, "action": "email", "intent": secrets.token_hex(8)}
            await self._ask("touch_lead", surface=self._surface, **touch)
        if told is not None:
            self.turns.append(time.monotonic())

    async def _ask(self, tool: str, **arguments: Any) -> Any:
        try:
            return await self._timed(tool, self._asked.ask(tool, arguments))
        except RefusedError as refused:
            self._tally.refused[str(refused)] += 1
            return None

    async def _timed(self, what: str, doing: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await doing
        finally:
            self._tally.add(what, begun)


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error!s:.120}"


# --- The sandbox ----------------------------------------------------------------------------------


@contextmanager
def running_sandbox(folder: Path) -> Iterator[str]:
    """Run a sandbox until the block ends; return its URL once its market has begun."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = "from orchestrator.cli.main import main; main()"
    options = ["sandbox", "--json", "--home", str(folder), "--port", str(port), "--seed", "bench"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *options], stdout=subprocess.DEVNULL, env=os.environ
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def known_market(url: str) -> Market:
    """Return the market once it has surfaces with leads."""
    with OperatorClient(url, Account.create(), "first") as client:
        surfaces: dict[str, str] = {}
        while not surfaces:
            try:
                surfaces = {one.name: _surface_of(client, one) for one in (TRIAL, SHOP)}
            except (ServerError, LookupError):
                time.sleep(0.5)
        description = client.get("/v1/openapi.json")
        operations = {
            name: read_operation(description, method, path)
            for name, (method, path) in ROUTES.items()
        }
        return Market(url, served_pins(client), surfaces, operations)


def _surface_of(client: OperatorClient, one: MarketSurface) -> str:
    found: str = client.get("/v1/surfaces", name=one.name)["surfaces"][0]["surface"]
    client.get("/v1/log/search", surface=found, kind="settings.published")["entries"][0]
    return found


# --- What is shown --------------------------------------------------------------------------------


def fairness(shares: Sequence[float]) -> float:
    """Return Jain's index of shares: 1 where all are the same, 1/n where one has all."""
    squares = sum(each * each for each in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def show(agents: Sequence[Agent], tallies: dict[str, Tally], end_s: float) -> None:
    print("| what | way | count | median, ms | 99 of 100 below, ms |")
    print("|---|---|---:|---:|---:|")
    for what in dict.fromkeys(what for tally in tallies.values() for what in tally.times):
        for way, tally in tallies.items():
            times = sorted(tally.times.get(what, ()))
            if times:
                high = times[min(len(times) - 1, len(times) * 99 // 100)]
                cells = f"{1000 * statistics.median(times):.0f} | {1000 * high:.0f}"
                print(f"| {what} | {way} | {len(times)} | {cells} |")
    opened = [agent.open_at_s for agent in agents if agent.open_at_s is not None]
    print(f"\n{len(opened)} of {len(agents)} agents had a contract.")
    if opened:
        begun_s = max(opened)
        for way in (*WAYS, "all"):
            of_way = [one for one in agents if one.open_at_s and way in (one.way, "all")]
            shares = [sum(at_s > begun_s for at_s in one.turns) for one in of_way]
            if shares:
                print(
                    f"{way}: {sum(shares)} turns in {end_s - begun_s:.0f} s, from "
                    f"{min(shares)} to {max(shares)} each; index of fairness {fairness(shares):.3f}"
                )
    for way, tally in tallies.items():
        print(f"{way}: refused {json.dumps(tally.refused)}, failed {json.dumps(tally.failed)}")


async def run(market: Market, count: int, minutes: float) -> bool:
    """Run so many agents for so long; return whether nothing failed."""
    tallies = {way: Tally() for way in WAYS}
    agents = [Agent(market, number, tallies[WAYS[number % 2]]) for number in range(count)]
    end_s = time.monotonic() + 60 * minutes
    await asyncio.gather(*(agent.live(end_s) for agent in agents))
    show(agents, tallies, end_s)
    return not any(tally.failed for tally in tallies.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running_sandbox(folder / "box") as url:
            return 0 if asyncio.run(run(known_market(url), asked.agents, asked.minutes)) else 1


if __name__ == "__main__":
    sys.exit(main())
