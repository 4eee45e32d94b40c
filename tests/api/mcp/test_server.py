"""The MCP server as the SDK's own client meets it, in both eras of the protocol."""

import json
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp_types import Tool

from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    open_surface,
    problem_of,
    running_service,
    wallet,
)
from tests.support.mcp_client import ERAS, Era, found_in, key_of, with_client

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize("era", ERAS)
def test_a_client_connects_lists_and_calls(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, era: Era
) -> None:
    surface = open_surface(owner, f"mcp {era}")

    async def use(client: Client) -> tuple[list[Tool], Any, list[Any], list[Any]]:
        tools = await client.list_tools()
        found = await client.call_tool("get_surface", {"surface": surface})
        prompts = await client.list_prompts()
        templates = await client.list_resource_templates()
        return tools.tools, found, prompts.prompts, templates.resource_templates

    tools, found, prompts, templates = with_client(service.url, key_of(operator), use, era)
    assert "list_surfaces" in {tool.name for tool in tools}
    assert found_in(found)["surface"] == surface
    assert prompts
    assert templates


def test_a_client_is_told_how_to_begin(service: ApiService, operator: httpx.Client) -> None:
    async def use(client: Client) -> str:
        return client.instructions or ""

    assert "whoami" in with_client(service.url, key_of(operator), use, "legacy")


def test_without_a_key_a_client_is_shown_the_way_to_one(service: ApiService) -> None:
    answer = service.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)
    problem_of(answer, 401, "key-missing")
    where = f"{service.url}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{where}"' in answer.headers["WWW-Authenticate"]
    metadata = httpx.get(where, trust_env=False).json()
    assert metadata["resource"] == f"{service.url}/mcp"
    assert metadata["bearer_methods_supported"] == ["header"]


def test_a_key_that_ended_opens_nothing(service: ApiService) -> None:
    client = service.sign_in(wallet("gone"), "operator")
    assert client.post("/mcp", json=INITIALIZE, headers=ACCEPT).status_code == 200
    assert client.delete("/v1/keys").status_code == 204
    answer = client.post("/mcp", json=INITIALIZE, headers=ACCEPT)
    problem_of(answer, 401, "key-revoked")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_a_page_from_elsewhere_may_not_connect(
    service: ApiService, operator: httpx.Client, origin: str
) -> None:
    answer = operator.post("/mcp", json=INITIALIZE, headers=ACCEPT | {"Origin": origin})
    problem_of(answer, 403, "origin-foreign")


def test_our_own_pages_may_connect(service: ApiService, operator: httpx.Client) -> None:
    answer = operator.post("/mcp", json=INITIALIZE, headers=ACCEPT | {"Origin": service.url})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"no/such"}',
        b"[" * 100_000,
        json.dumps({**INITIALIZE, "params": {"protocolVersion": 7}}).encode(),
    ],
)
def test_what_is_no_request_is_refused_without_a_trace(operator: httpx.Client, body: bytes) -> None:
    headers = ACCEPT | {"Content-Type": "application/json"}
    answer = operator.post("/mcp", content=body, headers=headers)
    assert 400 <= answer.status_code < 500 or '"error"' in answer.text, answer.text
    assert "Traceback" not in answer.text


def test_behind_a_proxy_a_client_spends_nothing_of_another(database_url: str) -> None:
    limits, proxies = Limits(source_reads_a_minute=3), [ip_network("127.0.0.0/8")]
    asked = {"name": "list_surfaces", "arguments": {}}
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    with running_service(database_url, limits, trusted_proxies=proxies) as service:

        def read_from(client: httpx.Client, source: str) -> str:
            headers = ACCEPT | {"X-Forwarded-For": source, "MCP-Protocol-Version": "2025-11-25"}
            return client.post("/mcp", json=ask, headers=headers).text

        greedy = service.sign_in(wallet("greedy"), "operator")
        modest = service.sign_in(wallet("modest"), "operator")
        assert any("rate-limited" in read_from(greedy, "192.0.2.1") for _ in range(8))
        assert "rate-limited" not in read_from(modest, "192.0.2.2")
