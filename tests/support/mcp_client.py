"""The MCP SDK's own client, with a key, in either era of the protocol."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import anyio
import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent, TextResourceContents

# In `auto` a client asks the server which era it knows, and what it says of itself.
Era = Literal["legacy", "2026-07-28", "auto"]
ERAS: tuple[Era, ...] = ("legacy", "2026-07-28")
Found = TypeVar("Found")


@asynccontextmanager
async def connected(url: str, key: str, era: Era = "2026-07-28") -> AsyncIterator[Client]:
    """Connect to a service's MCP server with a key."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


def with_client(
    url: str, key: str, use: Callable[[Client], Awaitable[Found]], era: Era = "2026-07-28"
) -> Found:
    """Return what `use` returns of a connected client."""

    async def run() -> Found:
        async with connected(url, key, era) as client:
            return await use(client)

    return anyio.run(run)


def call(url: str, key: str, tool: str, /, **arguments: Any) -> CallToolResult:
    """Return a tool's result."""
    return with_client(url, key, lambda client: client.call_tool(tool, arguments))


def text_of(result: CallToolResult) -> str:
    """Return the text of a result."""
    return "\n".join(map(text_of_content, result.content))


def found_in(result: CallToolResult) -> Any:
    """Return what a tool found, its own words and those that are set apart in one document."""
    assert not result.is_error, text_of(result)
    document = result.structured_content
    assert document is not None
    ours = {name: said for name, said in document.items() if name not in ("notice", "untrusted")}
    return ours | document.get("untrusted", {})


def text_of_content(content: object) -> str:
    """Return the text of a content that must have one."""
    assert isinstance(content, TextContent | TextResourceContents)
    return content.text


def key_of(client: httpx.Client) -> str:
    """Return the key that an HTTP client carries."""
    return client.headers["Authorization"].removeprefix("Bearer ")
