"""Resources: each kind is read through its route, and nothing else is."""

import json
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from orchestrator.core.common.untrusted import NOTICE
from tests.support.api_service import ApiService, open_surface, wallet
from tests.support.mcp_client import key_of, text_of_content, with_client


def read(service: ApiService, client: httpx.Client, uri: str) -> object:
    async def use(connected: Client) -> object:
        (content,) = (await connected.read_resource(uri)).contents
        return json.loads(text_of_content(content))

    return with_client(service.url, key_of(client), use)


def test_each_kind_is_the_answer_of_its_route(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "shelved")
    found = operator.get(f"/v1/surfaces/{surface}").json()
    operator_address = wallet("operator").address
    for tail in (
        f"surfaces/{surface}",
        f"surfaces/{surface}/funnel",
        f"surfaces/{surface}/operators/{operator_address}",
        f"policies/{found['policy_hash']}",
        f"settings/{found['settings_hash']}",
    ):
        expected = operator.get(f"/v1/{tail}").json()
        found = read(service, operator, f"tallystick://{tail}")
        assert found == {"notice": NOTICE, "untrusted": expected}


@pytest.mark.parametrize(
    "uri",
    [
        "tallystick://keys",
        "tallystick://surfaces/../keys",
        "tallystick://surfaces/0x00/leads",
        "tallystick://surfaces/%2e%2e",
        "https://elsewhere.example/surfaces/0x00",
        "file:///etc/passwd",
        "tallystick://schemas/no_such_tool",
        "tallystick://contracts/0x" + "1" * 64,
        "tallystick://receipts/" + "9" * 70,
    ],
)
def test_nothing_else_is_read(service: ApiService, operator: httpx.Client, uri: str) -> None:
    async def use(client: Client) -> str:
        with pytest.raises(MCPError) as refused:
            await client.read_resource(uri)
        return refused.value.error.message

    assert uri[:60] in with_client(service.url, key_of(operator), use)


def test_a_tools_answer_is_described_in_full(service: ApiService, operator: httpx.Client) -> None:
    schema: Any = read(service, operator, "tallystick://schemas/get_surface")
    assert schema["$defs"]["Token"]["properties"]["decimals"]["type"] == "integer"


def test_surfaces_are_listed(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "listed")

    async def use(client: Client) -> set[str]:
        return {str(one.uri) for one in (await client.list_resources()).resources}

    assert f"tallystick://surfaces/{surface}" in with_client(service.url, key_of(owner), use)
