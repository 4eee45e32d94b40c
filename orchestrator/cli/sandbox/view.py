"""The words with which a sandbox begins: where it is, and what to do with it first."""

import shlex
import sys

from orchestrator.core.account.mcp_setup import NAME

# As it was called, so that the printed commands can be run as they stand.
COMMAND = sys.argv[0]
# It has what the example imports, but for the clone itself.
PYTHON = shlex.quote(sys.executable or "python")


def welcome(url: str, rpc_url: str, speed: int) -> str:
    """Return how agents and people begin in a sandbox at this URL."""
    pace = "a day a minute" if speed == 1_440 else f"{speed} seconds a second"
    options = ["--key-file", "agent.key", "--outstanding", "1000", "--a-day", "1000"]
    connect = shlex.join([COMMAND, "connect", "--api", url, *options, "--confirm", "never"])
    return (
        f"A living market, with test money and simulated customers ({pace}). Ctrl-C ends it; the\n"
        f"same command goes on where it stood.\n"
        f"  look at it   {url}/\n"
        f"  API          {url}/docs\n"
        f"  chain        {rpc_url}\n"
        f"An agent of yours, with a new wallet:\n"
        f"  (umask 077; openssl rand -hex 32 > agent.key)\n"
        f"  PYTHONPATH=. {PYTHON} docs/examples/agent_http.py {url} sandbox-trial agent.key\n"
        f"or by MCP, for example in Claude Code:\n"
        f"  claude mcp add {NAME} -- {connect}\n"
    )
