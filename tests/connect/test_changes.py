"""Clients of the command are told that their tools are others, over lost connections as well."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import anyio
import httpx
import mcp_types as types
import pytest
from mcp import Client
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated, ToolsListChanged
from mcp.shared.exceptions import MCPError

from orchestrator.connect.changes import MAX_LINE_BYTES, MAX_RESOURCES, SILENCE_S, Word, words
from orchestrator.connect.remote import RemoteServer
from orchestrator.core.common.limits import Limits
from orchestrator.runtime.local_servers import LocalPostgres
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    open_surface,
    report,
    running_service,
    wallet,
)
from tests.support.connecting import Connector
from tests.support.depth import cases
from tests.support.http_server import send, serving
from tests.support.mcp_client import ERAS, Era
from tests.support.servers import fresh_database

# A listening of the service ends so soon that each change falls into another, or between two.
LIFE_MS = 300


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url, Limits(stream_life_ms=LIFE_MS)) as running:
        yield running


@pytest.fixture(scope="module")
def owner(service: ApiService) -> httpx.Client:
    return service.sign_in(wallet("owner"), "owner")


@pytest.fixture(scope="module")
def lasting(postgres: LocalPostgres) -> Iterator[ApiService]:
    """A service whose listenings outlast a test: what is told there is told at once."""
    with fresh_database(postgres) as url, running_service(url) as running:
        yield running


async def no_use(_: Client) -> None:
    pass


async def ask_for_too_much(client: Client) -> None:
    """Ask for more resources than there may be, alone and beside one that is named already."""
    many = [f"tallystick://contracts/{n}" for n in range(MAX_RESOURCES + 1)]
    for named, said in ((many, "102 resources; at most 100"), (["x" * 301], "300 characters")):
        with pytest.raises(MCPError, match=said):
            await client.listen(resource_subscriptions=named).__aenter__()
    with pytest.raises(MCPError, match="101 resources"):
        await client.listen(resource_subscriptions=many[1:]).__aenter__()


async def can_touch(client: Client) -> bool:
    return "touch_lead" in {tool.name for tool in (await client.list_tools()).tools}


class Ear:
    """A client's way to hear of changes: earlier eras are told, from 2026 on it listens."""

    def __init__(self) -> None:
        self._send, self._told = anyio.create_memory_object_stream[object](100)
        self._heard: AsyncIterable[object] = self._told

    async def message(self, message: object) -> None:
        """Take a message that came without being asked for."""
        match message:
            case types.ToolListChangedNotification():
                await self._send.send(ToolsListChanged())
            case types.ResourceListChangedNotification():
                await self._send.send(ResourcesListChanged())
            case types.ResourceUpdatedNotification():
                await self._send.send(ResourceUpdated(message.params.uri))

    @asynccontextmanager
    async def open(self, client: Client, era: Era, *uris: str) -> AsyncIterator[None]:
        """Have the client hear of its tools and of resources until the block ends."""
        async with self._send, self._told, AsyncExitStack() as exits:
            if era == "legacy":
                told = client.server_capabilities
                assert told.tools == types.ToolsCapability(list_changed=True)
                assert told.resources == types.ResourcesCapability(
                    subscribe=True, list_changed=True
                )
                for uri in uris:
                    # By the SDK it is deprecated, for later eras have no such request.
                    asked = types.SubscribeRequestParams(uri=uri)
                    request = types.SubscribeRequest(params=asked)
                    await client.session.send_request(request, types.EmptyResult)
                if uris:
                    await client.list_resources()
            else:
                listening = client.listen(
                    tools_list_changed=True,
                    resources_list_changed=bool(uris),
                    resource_subscriptions=uris,
                )
                self._heard = await exits.enter_async_context(listening)
            yield

    async def hear(self, act: Callable[[], object], change: object = ToolsListChanged()) -> None:
        """Return once the client is told of a change that `act` makes."""
        await anyio.to_thread.run_sync(act)
        with anyio.fail_after(20):
            async for told in self._heard:
                if told == change:
                    return


@pytest.mark.parametrize("era", cases(ERAS, "legacy"))
def test_a_client_is_told_when_trust_comes_and_when_it_goes(
    service: ApiService, owner: httpx.Client, tmp_path: Path, era: Era
) -> None:
    agent = wallet(f"heard {era}")
    surface = open_surface(owner, f"listened to {era}")

    def suspend() -> None:
        path = f"/v1/surfaces/{surface}/operators/{agent.address}/suspension"
        key = {"Idempotency-Key": f"stop-{era}"}
        answer = owner.post(path, json={"reason": "complaints"}, headers=key)
        assert answer.status_code == 200, answer.text

    async def rise_and_fall() -> None:
        ear = Ear()
        parameters = Connector(tmp_path, service.url, agent).parameters()
        async with (
            Client(parameters, mode=era, message_handler=ear.message) as client,
            ear.open(client, era),
        ):
            assert not await can_touch(client)
            await ear.hear(lambda: give_level(service, surface, agent))
            assert await can_touch(client)
            await ear.hear(suspend)
            assert not await can_touch(client)

    anyio.run(rise_and_fall)


def resources_told(
    service: ApiService,
    owner: httpx.Client,
    folder: Path,
    era: Era,
    first: Callable[[Client], Awaitable[None]] = no_use,
) -> None:
    """Hear of a lead's arrival and of a surface more, and of one resource alone."""
    surface = open_surface(owner, f"told of {era}")
    funnel = f"tallystick://surfaces/{surface}/funnel"
    agent = Connector(folder, service.url, wallet(f"reads {era}"))

    async def listen() -> None:
        ear = Ear()
        async with (
            Client(agent.parameters(), mode=era, message_handler=ear.message) as client,
            ear.open(client, era, funnel),
        ):
            await first(client)
            await ear.hear(
                lambda: report(owner, surface, "arrives", event()), ResourceUpdated(funnel)
            )
            await ear.hear(lambda: open_surface(owner, f"more {era}"), ResourcesListChanged())

    anyio.run(listen)


@pytest.mark.parametrize("era", ERAS)
def test_a_client_is_told_of_resources_at_once(
    lasting: ApiService, tmp_path: Path, era: Era
) -> None:
    resources_told(lasting, lasting.sign_in(wallet("owner"), "owner"), tmp_path, era)


def test_a_client_is_told_of_so_many_resources_after_each_gap(
    service: ApiService, owner: httpx.Client, tmp_path: Path
) -> None:
    resources_told(service, owner, tmp_path, "2026-07-28", ask_for_too_much)


@pytest.mark.parametrize(
    "said", [b"x" * (MAX_LINE_BYTES + 1), b"data: [\n" * 3, b'data: {"method": 7}\n\n', b"\xff\n"]
)
def test_what_a_service_says_wrongly_is_no_word(said: bytes) -> None:
    async def listen(url: str) -> list[Word]:
        with RemoteServer(url, wallet("operator"), "test") as remote:
            async with remote.listening_client(SILENCE_S) as http:
                return [word async for word in words(http, remote)]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        # A connection that is closed with something unread is reset, and what was sent may be lost.
        handler.rfile.read(int(handler.headers["Content-Length"]))
        send(handler, said)

    with serving(answer) as url:
        assert anyio.run(listen, url) == []
