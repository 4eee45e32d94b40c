"""The service's MCP server as a stranger: what it lists, says and asks is bounded."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from orchestrator.client import http
from orchestrator.connect.remote import MAX_DESCRIPTION, MAX_TOOLS, RemoteServer
from orchestrator.core.common.errors import ServerError
from tests.support.api_service import wallet
from tests.support.http_server import send, serving

Reply = Callable[[dict[str, Any]], bytes]


@contextmanager
def remote(reply: Reply, status: int = 200) -> Iterator[RemoteServer]:
    """Connect to a server that answers each request by `reply`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.rfile.read(int(handler.headers["Content-Length"]))
        send(handler, reply(json.loads(asked)), status=status)

    with serving(answer) as url, RemoteServer(url, wallet("operator"), "test") as found:
        yield found


def result_of(document: object) -> Reply:
    return lambda asked: json.dumps(
        {"jsonrpc": "2.0", "id": asked["id"], "result": document}
    ).encode()


def tool(name: str, description: str = "Use it.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


def test_no_tool_takes_the_place_of_ours_or_has_a_name_of_its_own_making() -> None:
    names = ["whoami", "withdraw", "propose_contract", "accept_proposal", "Run!", "a" * 65, ""]
    listing = {"tools": [tool(name) for name in names], "ttlMs": 0, "cacheScope": "private"}
    with remote(result_of(listing)) as server:
        assert [one.name for one in server.tools({"withdraw"})] == ["whoami"]


def test_listings_are_cut_in_number_and_length() -> None:
    tools = [tool(f"t{number}", "x" * 100_000) for number in range(MAX_TOOLS + 7)]
    tools[0] |= {"inputSchema": {"type": "object", "description": "x" * 300_000}}
    listing = {"tools": tools, "ttlMs": 0, "cacheScope": "private"}
    with remote(result_of(listing)) as server:
        found = server.tools(())
    assert len(found) == MAX_TOOLS - 1
    assert {len(one.description or "") for one in found} == {MAX_DESCRIPTION}


def test_a_tool_that_takes_a_signature_is_not_called() -> None:
    with remote(result_of({})) as server:
        for name in ("propose_contract", "accept_proposal", "../x", "a b"):
            with pytest.raises(MCPError):
                server.call(name, {})


def test_a_reply_may_come_as_a_stream_that_ends_with_it() -> None:
    content = {"content": [{"type": "text", "text": "hello"}]}

    def streamed(asked: dict[str, Any]) -> bytes:
        return b": ping\n\nevent: message\ndata: " + result_of(content)(asked) + b"\n\n"

    with remote(streamed) as server:
        found = server.call("whoami", {})
    assert found.content == [types.TextContent(type="text", text="hello")]


@pytest.mark.parametrize("status", [200, 404])
def test_an_error_of_the_protocol_is_passed_on_cut(status: int) -> None:
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "y" * 9_000}}
    with (
        remote(lambda _: json.dumps(error).encode(), status) as server,
        pytest.raises(MCPError) as refused,
    ):
        server.call("whoami", {})
    assert (refused.value.error.code, len(refused.value.error.message)) == (-32602, 500)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", "answer-garbled"),
        (b"{}", "answer-garbled"),
        (b'{"result": 7}', "answer-garbled"),
        (b'{"result": {"content": "all"}}', "answer-garbled"),
        (b"event: message\n\n", "answer-garbled"),
        (b"data: {\n\n", "answer-unreadable"),
        (b"<html>", "answer-unreadable"),
        pytest.param(b"[" * 100_000, "answer-unreadable", id="deep"),
    ],
)
def test_what_is_no_reply_is_told(reply: bytes, code: str) -> None:
    with remote(lambda _: reply) as server, pytest.raises(ServerError) as refused:
        server.call("whoami", {})
    assert refused.value.code == code


def test_an_endless_reply_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 10_000)
    with remote(lambda _: b"x" * 10_001) as server, pytest.raises(ServerError) as refused:
        server.call("whoami", {})
    assert refused.value.code == "answer-too-large"
