"""The words with which a sandbox begins: where it is, and what to do with it first."""

import shlex
import sys
from pathlib import Path

from orchestrator.cli.accounts.connect import Setup
from orchestrator.core.common.units import counted

# It has what the example imports, but for the clone itself.
PYTHON = sys.executable or "python"
CLONE = Path(__file__).parents[3]


def welcome(url: str, rpc_url: str, speed: int) -> str:
    """Return how agents and people begin in a sandbox at this URL.

    All paths are whole: the commands are for another terminal, in whatever folder it is.
    """
    pace = {1_440: "a day a minute", 1: "at the pace of real time"}.get(
        speed, f"{counted(speed, 'second')} a second"
    )
    key = Path("agent.key").absolute()
    setup = Setup(url, key, outstanding="1000", a_day="1000", confirm="never")
    (line,) = (one.text for one in setup.clients() if one.client == "Claude Code")
    example = CLONE / "docs/examples/agent_http.py"
    run = [PYTHON, str(example), url, "sandbox-trial", str(key)]
    steps = [f"(umask 077; openssl rand -hex 32 > {shlex.quote(str(key))})"]
    # What was installed alone has no examples beside it.
    if example.exists():
        steps.append(f"PYTHONPATH={shlex.quote(str(CLONE))} {shlex.join(run)}")
    lines = "".join(f"  {step}\n" for step in steps)
    return (
        f"A living market, with test money and simulated customers ({pace}). Ctrl-C ends it; the\n"
        f"same command goes on where it stood.\n"
        f"  look at it   {url}/\n"
        f"  API          {url}/docs\n"
        f"  chain        {rpc_url}\n"
        f"An agent of yours, with a new wallet, in another terminal:\n"
        f"{lines}"
        f"or by MCP, for example in Claude Code (--confirm never is for test money only):\n"
        f"  {line}\n"
        f"With --print-config at its end the command prints what other clients need.\n"
    )
