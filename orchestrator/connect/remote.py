"""The service's own MCP server, asked with the wallet's key, which is renewed by itself.

It is a stranger: its answers are bounded in size and time, its listings in number and length, and
none of its tools takes the name of one of ours, or a signature's place.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import httpx
import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import encode_header_value
from pydantic import ValidationError

from orchestrator.client.accounts import AccountClient
from orchestrator.client.http import TIMEOUT_S, tls_settings
from orchestrator.core.common.errors import ServerError

VERSION = "2026-07-28"
MAX_TOOLS = 100
MAX_DESCRIPTION = 2_000
MAX_TOOL_BYTES = 262_144
_TOOL = re.compile(r"[a-z][a-z0-9_]{0,63}")
# They take a signature, which a model never has: ours make it and call their routes.
SIGNED_TOOLS = frozenset({"propose_contract", "accept_proposal"})
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
}
_META = {
    types.PROTOCOL_VERSION_META_KEY: VERSION,
    types.CLIENT_INFO_META_KEY: {"name": "tallystick-connect", "version": "1"},
    types.CLIENT_CAPABILITIES_META_KEY: {},
}

Result = TypeVar("Result", bound=types.Result)


class RpcError(ServerError):
    """An error of the protocol, by its number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__("rpc-error", message)
        self.number = number


class RemoteServer(AccountClient):
    """The MCP server at a service, for one wallet with these scopes."""

    def ask(self, method: str, params: Mapping[str, Any], result: type[Result]) -> Result:
        """Return the result of a request. Raises `MCPError`, or `ServerError` without a reply."""
        headers = self.headers(method)
        if method in _NAMED:
            headers["Mcp-Name"] = encode_header_value(str(params[_NAMED[method]]))
        try:
            reply = self._request(
                "POST", "/mcp", json=self.request(method, params), headers=headers
            )
            return result.model_validate(reply["result"])
        except RpcError as error:
            raise MCPError(error.number, error.message) from None
        except (ValidationError, LookupError, TypeError):
            raise ServerError("answer-garbled", f"{self.server} sent no {method} result") from None

    @staticmethod
    def request(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request of the protocol, as it is sent."""
        return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}

    @staticmethod
    def headers(method: str) -> dict[str, str]:
        """Return the headers of a request but those that name its subject and its caller."""
        return {**_HEADERS, "Mcp-Method": method}

    def listening_client(self, silence_s: float) -> httpx.AsyncClient:
        """Return a client for an answer without an end; with each request it shows today's key."""

        async def show_key(request: httpx.Request) -> None:
            request.headers["Authorization"] = self._http.headers.get("Authorization", "")

        return httpx.AsyncClient(
            base_url=self._http.base_url,
            timeout=httpx.Timeout(TIMEOUT_S, read=silence_s),
            trust_env=False,
            verify=tls_settings(trust_env=False),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"request": [show_key]},
        )

    def tools(self, taken: Collection[str]) -> list[types.Tool]:
        """Return the service's tools but those that ours stand for, or whose names are `taken`."""
        listed = self.ask("tools/list", {}, types.ListToolsResult).tools[:MAX_TOOLS]
        hidden = {*taken, *SIGNED_TOOLS}
        return [
            tool.model_copy(update={"description": (tool.description or "")[:MAX_DESCRIPTION]})
            for tool in listed
            if _TOOL.fullmatch(tool.name)
            and tool.name not in hidden
            and len(tool.model_dump_json()) <= MAX_TOOL_BYTES
        ]

    def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Return the result of one of its tools."""
        if name in SIGNED_TOOLS or not _TOOL.fullmatch(name):
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {name[:60]!r} here")
        params = {"name": name, "arguments": dict(arguments)}
        return self.ask("tools/call", params, types.CallToolResult)

    def _decoded(self, body: bytes) -> Any:
        """Return the reply in a body: JSON, or the last event of a stream that ended with it."""
        if body[:1] in (b"e", b":", b"d", b"i"):
            data = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
            body = data[-1] if data else b""
        found = super()._decoded(body)
        if isinstance(found, dict) and "error" in found:
            raise _as_error(found["error"])
        return found

    def _refused(self, method: str, path: str, response: Any, answer: object) -> ServerError:
        if isinstance(answer, dict) and "jsonrpc" in answer and "error" in answer:
            return _as_error(answer["error"])
        return super()._refused(method, path, response, answer)


def _as_error(error: Any) -> RpcError:
    number = error.get("code") if isinstance(error, dict) else None
    message = str(error.get("message")) if isinstance(error, dict) else "no reason was given"
    return RpcError(number if isinstance(number, int) else types.INTERNAL_ERROR, message[:500])
