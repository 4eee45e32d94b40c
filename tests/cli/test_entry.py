"""The installed command, interrupted before it has begun."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.connecting import ENVIRONMENT

# The command's own modules are a while in being read; this stands in for them.
READING = """
import os, signal, sys
from importlib.abc import MetaPathFinder
from orchestrator.cli.entry import main

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "orchestrator.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
# What starts in the background of a shell without jobs passes interrupts over.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_an_interrupt_while_it_is_read_is_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READING], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


def test_it_runs_the_command() -> None:
    script = "from orchestrator.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--version"],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"tallystick ")
