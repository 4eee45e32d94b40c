"""The runner of the tools that check contracts: forge, Slither and halmos."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# This project's own versions come first.
TOOLS_PATH = f"{ROOT / '.venv/bin'}:{ROOT / 'node_modules/.bin'}:{os.environ['PATH']}"


def run_tool(
    command: Sequence[str | Path], folder: Path, timeout_s: float, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a tool in a folder to its end; its exit code is the caller's to judge.

    Raises subprocess.TimeoutExpired.
    """
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": TOOLS_PATH} | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
