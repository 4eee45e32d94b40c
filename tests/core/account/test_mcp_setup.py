"""Configurations of MCP clients: what is pasted starts the command with these arguments."""

import json
import shlex

from orchestrator.core.account.mcp_setup import client_setups, connect_hint

COMMAND, ARGUMENTS = "/opt/tally stick/bin/tallystick", ["connect", "--key-file", "/home/a b/key"]


def test_each_client_starts_the_command_as_it_stands() -> None:
    setups = {setup.client: setup for setup in client_setups(COMMAND, ARGUMENTS)}
    assert {"Claude Desktop", "Claude Code", "Cursor", "VS Code"} < setups.keys()
    for client in ("Claude Desktop", "Cursor"):
        entry = json.loads(setups[client].text)["mcpServers"]["tallystick"]
        assert (entry["command"], entry["args"]) == (COMMAND, ARGUMENTS)
    code = json.loads(setups["VS Code"].text)["servers"]["tallystick"]
    assert (code["type"], code["command"], code["args"]) == ("stdio", COMMAND, ARGUMENTS)
    assert shlex.split(setups["Claude Code"].text)[5:] == [COMMAND, *ARGUMENTS]
    assert shlex.split(setups["any other client (stdio)"].text) == [COMMAND, *ARGUMENTS]


def test_a_service_says_in_one_line_how_agents_connect() -> None:
    hint = connect_hint("https://a.example")
    assert "tallystick connect --api https://a.example --key-file WALLET" in hint
    assert "\n" not in hint
