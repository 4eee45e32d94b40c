"""Configurations, ready to be pasted, by which MCP clients start `tallystick connect`."""

import json
import shlex
from collections.abc import Sequence
from typing import NamedTuple

NAME = "tallystick"


class ClientSetup(NamedTuple):
    """An MCP client, where its configuration goes, and that."""

    client: str
    where: str
    text: str


def client_setups(command: str, arguments: Sequence[str]) -> list[ClientSetup]:
    """Return the configuration of each of the usual clients for a command."""
    entry = {"command": command, "args": [*arguments]}
    usual = json.dumps({"mcpServers": {NAME: entry}}, indent=2)
    code = json.dumps({"servers": {NAME: {"type": "stdio", **entry}}}, indent=2)
    line = shlex.join([command, *arguments])
    return [
        ClientSetup("Claude Desktop", "Settings, Developer: claude_desktop_config.json", usual),
        ClientSetup("Claude Code", "in a shell", f"claude mcp add {NAME} -- {line}"),
        ClientSetup("Cursor", "~/.cursor/mcp.json", usual),
        ClientSetup("VS Code", ".vscode/mcp.json", code),
        ClientSetup("any other client (stdio)", "as the command of a server", line),
    ]


def connect_hint(url: str) -> str:
    """Return in one line how an agent with a wallet connects to a service."""
    return (
        f"agents connect by MCP: tallystick connect --api {url} --key-file WALLET (add "
        f"--print-config for the configuration of Claude, Cursor, VS Code and others), or with a "
        f"key at {url}/mcp"
    )
