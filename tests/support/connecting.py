"""`tallystick connect` as a process, driven by the MCP SDK's own client on stdio."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
from eth_account.signers.local import LocalAccount
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult

from tests.support.mcp_client import Era, text_of

ROOT = Path(__file__).parents[2]
COMMAND = ("-c", "from orchestrator.cli.main import main; main()")
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
Found = TypeVar("Found")


class Connector:
    """The command for one wallet at one service, with a folder of its own."""

    def __init__(self, folder: Path, url: str, account: LocalAccount, *options: str) -> None:
        self.folder = folder / "config"
        key_file = folder / "wallet"
        key_file.touch(0o600)
        key_file.write_text(bytes(account.key).hex())
        self.options = ["connect", "--api", url, "--key-file", str(key_file)]
        self.options += ["--folder", str(self.folder), *options]

    def parameters(self) -> StdioServerParameters:
        """Return how an MCP client starts it."""
        return StdioServerParameters(
            command=sys.executable, args=[*COMMAND, *self.options], env=ENVIRONMENT
        )

    def failure(self) -> tuple[int, str]:
        """Return the exit code and the error of a start that must fail."""
        command = [sys.executable, *COMMAND, *self.options]
        done = subprocess.run(
            command, input="", capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
        assert not done.stdout
        return done.returncode, done.stderr

    @asynccontextmanager
    async def connected(self, era: Era = "2026-07-28") -> AsyncIterator[Client]:
        async with Client(self.parameters(), mode=era, read_timeout_seconds=60) as client:
            yield client

    def run(self, use: Callable[[Client], Awaitable[Found]], era: Era = "2026-07-28") -> Found:
        """Return what `use` returns of a connected client."""

        async def go() -> Found:
            async with self.connected(era) as client:
                return await use(client)

        return anyio.run(go)

    def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """Return a tool's result, of a process of its own."""
        return self.run(lambda client: client.call_tool(tool, arguments))


def answer_of(result: CallToolResult) -> Any:
    """Return the document of a result that must be one."""
    assert not result.is_error, text_of(result)
    return json.loads(text_of(result))
