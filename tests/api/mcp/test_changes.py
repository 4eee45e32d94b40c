"""Clients that listen are told that their tools are others, and what they named has changed."""

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    open_surface,
    report,
    running_service,
    wallet,
)
from tests.support.mcp_client import connected, key_of


async def names(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools()).tools}


def heard(
    service: ApiService,
    client: httpx.Client,
    act: Callable[[], object],
    count: int = 1,
    **wanted: Any,
) -> list[str]:
    """Return the first events that a client is told of once `act` has been done."""

    async def listen() -> list[str]:
        told = []
        async with (
            connected(service.url, key_of(client)) as one,
            one.listen(**wanted) as subscription,
        ):
            await anyio.to_thread.run_sync(act)
            with anyio.fail_after(20):
                async for change in subscription:
                    told.append(getattr(change, "uri", type(change).__name__))
                    if len(told) == count:
                        break
        return told

    return anyio.run(listen)


def test_a_client_is_told_when_its_trust_has_changed_its_tools(
    service: ApiService, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "told of trust")
    riser = service.sign_in(wallet("told riser"), "operator")

    async def rise() -> None:
        async with connected(service.url, key_of(riser)) as client:
            assert "touch_lead" not in await names(client)
            async with client.listen(tools_list_changed=True) as changes:
                # Another's rise, and a lead, change nothing for this one.
                await anyio.to_thread.run_sync(give_level, service, surface, wallet("another"))
                await anyio.to_thread.run_sync(report, owner, surface, "one", event())
                await anyio.to_thread.run_sync(give_level, service, surface, wallet("told riser"))
                with anyio.fail_after(20):
                    async for _ in changes:
                        break
                assert "touch_lead" in await names(client)

    anyio.run(rise)


def test_a_client_is_told_of_the_resources_that_it_named(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "told of leads")
    standing = f"tallystick://surfaces/{surface}/operators/{wallet('operator').address}"
    funnel = f"tallystick://surfaces/{surface}/funnel"

    def act() -> None:
        report(owner, surface, "one", event())
        give_level(service, surface, wallet("operator"))

    assert heard(service, operator, act, 2, resource_subscriptions=[funnel, standing]) == [
        funnel,
        standing,
    ]


def test_a_new_surface_is_a_new_resource(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    def act() -> None:
        open_surface(owner, "one more")

    assert heard(service, operator, act, resources_list_changed=True) == ["ResourcesListChanged"]


def test_places_are_bounded(database_url: str) -> None:
    limits = Limits(account_streams=1)

    async def two(service: ApiService, key: str) -> None:
        async with (
            connected(service.url, key) as one,
            connected(service.url, key) as other,
            one.listen(tools_list_changed=True),
        ):
            with pytest.raises(MCPError, match="streams-many"):
                await other.listen(tools_list_changed=True).__aenter__()

    with running_service(database_url, limits) as service:
        key = key_of(service.sign_in(wallet("operator"), "operator"))
        anyio.run(two, service, key)
        # And given back.
        anyio.run(two, service, key)


def test_too_many_resources_are_refused(service: ApiService, operator: httpx.Client) -> None:
    many = [f"tallystick://contracts/{n}" for n in range(101)]

    async def listen() -> None:
        async with connected(service.url, key_of(operator)) as client:
            with pytest.raises(MCPError, match="101 resources; at most 100"):
                await client.listen(resource_subscriptions=many).__aenter__()

    anyio.run(listen)
