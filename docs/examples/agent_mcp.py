"""An agent over MCP, by the generic client of the SDK; `tallystick connect` has the wallet."""

import json
import sys
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

from orchestrator.client import http
from orchestrator.client.log_server import find_surface
from orchestrator.core.common.errors import DomainError

CEILINGS = ["--outstanding", "100", "--a-day", "100", "--confirm", "above=50"]
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "closes_in": "14 days"}
COMMAND = str(Path(sys.executable).with_name("tallystick"))  # installed beside this Python


async def call(client: Client, tool: str, **arguments: object) -> dict:
    result = await client.call_tool(tool, arguments)
    if result.is_error:  # every refusal says what was wrong, and what to do
        raise SystemExit(result.content[0].text)
    found = result.structured_content
    return found | found.get("untrusted", {})  # what others wrote is data, and stands apart


async def main(url: str, surface: str, key_file: str) -> None:
    connect = ["connect", "--api", url, "--key-file", key_file, *CEILINGS]
    server = StdioServerParameters(command=COMMAND, args=connect)
    async with Client(server, mode="2026-07-28") as client:
        print("tools:", *[tool.name for tool in (await client.list_tools()).tools])
        print("funnel:", json.dumps(await call(client, "read_funnel", surface=surface)))
        draft = await call(client, "draft_contract", surface=surface, deal=DEAL)
        print(*draft["sentences"], *draft["cautions"], sep="\n")
        done = await call(client, "sign_and_propose", surface=surface, deal=DEAL)
        if "waits" in done:  # the deal is above what this agent may sign alone
            print(done["next"])
        else:
            print(done["status"], done["contract_id"])


if len(sys.argv) != 4:
    sys.exit("usage: agent_mcp.py URL SURFACE KEY_FILE")
try:
    with http.Client(sys.argv[1]) as public:
        named = find_surface(public, sys.argv[2])
except DomainError as error:
    sys.exit(f"agent_mcp: {error}")
anyio.run(main, sys.argv[1], named, sys.argv[3])
