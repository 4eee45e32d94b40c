"""Clients of the command are told that their tools are others, over lost connections as well."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import httpx
import mcp_types as types
import pytest
from mcp import Client

from orchestrator.connect.changes import MAX_LINE_BYTES, SILENCE_S, words
from orchestrator.connect.remote import RemoteServer
from orchestrator.core.limits import Limits
from tests.support.api_service import (
    ApiService,
    give_level,
    open_surface,
    running_service,
    wallet,
)
from tests.support.connecting import Connector
from tests.support.http_server import send, serving
from tests.support.mcp_client import ERAS, Era

# A listening of the service ends so soon that each change falls into another, or between two.
LIFE_MS = 300


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url, Limits(stream_life_ms=LIFE_MS)) as running:
        yield running


@pytest.fixture(scope="module")
def owner(service: ApiService) -> httpx.Client:
    return service.sign_in(wallet("owner"), "owner")


async def can_touch(client: Client) -> bool:
    return "touch_lead" in {tool.name for tool in (await client.list_tools()).tools}


class Ear:
    """A client's way to hear of its tools: earlier eras are told, from 2026 on it listens."""

    def __init__(self) -> None:
        self._send, self._told = anyio.create_memory_object_stream[object](10)
        self._heard: AsyncIterable[object] = self._told

    async def message(self, message: object) -> None:
        """Take a message that came without being asked for."""
        if isinstance(message, types.ToolListChangedNotification):
            await self._send.send(message)

    @asynccontextmanager
    async def open(self, client: Client, era: Era) -> AsyncIterator[None]:
        """Have the client hear until the block ends."""
        async with self._send, self._told, AsyncExitStack() as exits:
            if era == "legacy":
                assert client.server_capabilities.tools is not None
                assert client.server_capabilities.tools.list_changed
            else:
                listening = client.listen(tools_list_changed=True)
                self._heard = await exits.enter_async_context(listening)
            yield

    async def hear(self, act: Callable[[], object]) -> None:
        """Return once the client is told of what `act` does."""
        await anyio.to_thread.run_sync(act)
        with anyio.fail_after(20):
            async for _ in self._heard:
                return


@pytest.mark.parametrize("era", ERAS)
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


@pytest.mark.parametrize(
    "said", [b"x" * (MAX_LINE_BYTES + 1), b"data: [\n" * 3, b'data: {"method": 7}\n\n', b"\xff\n"]
)
def test_what_a_service_says_wrongly_is_no_word(said: bytes) -> None:
    async def listen(url: str) -> list[str]:
        with RemoteServer(url, wallet("operator"), "test") as remote:
            async with remote.listening_client(SILENCE_S) as http:
                return [word async for word in words(http, remote)]

    with serving(lambda handler: send(handler, said)) as url:
        assert anyio.run(listen, url) == []
