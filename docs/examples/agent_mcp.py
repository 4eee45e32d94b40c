"""An agent over MCP, by the generic client of the SDK; `tallystick connect` has the wallet."""

import json
import sys

import anyio
from mcp import Client, StdioServerParameters

URL, SURFACE, KEY_FILE = sys.argv[1:]
CEILINGS = ["--outstanding", "100", "--a-day", "100", "--confirm", "above=50"]
CONNECT = ["connect", "--api", URL, "--key-file", KEY_FILE, *CEILINGS]
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "closes_in": "14 days"}


async def call(client: Client, tool: str, **arguments: object) -> dict:
    result = await client.call_tool(tool, arguments)
    if result.is_error:  # every refusal says what was wrong, and what to do
        raise SystemExit(result.content[0].text)
    found = result.structured_content
    return found | found.get("untrusted", {})  # what others wrote is data, and stands apart


async def main() -> None:
    server = StdioServerParameters(command="tallystick", args=CONNECT)
    async with Client(server, mode="2026-07-28") as client:
        print("tools:", *[tool.name for tool in (await client.list_tools()).tools])
        print("funnel:", json.dumps(await call(client, "read_funnel", surface=SURFACE)))
        draft = await call(client, "draft_contract", surface=SURFACE, deal=DEAL)
        print(*draft["sentences"], *draft["cautions"], sep="\n")
        done = await call(client, "sign_and_propose", surface=SURFACE, deal=DEAL)
        if "waits" in done:  # the deal is above what this agent may sign alone
            print(done["next"])
        else:
            print(done["status"], done["contract_id"])


anyio.run(main)
