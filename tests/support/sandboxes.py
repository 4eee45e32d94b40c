"""Sandboxes for tests: a whole deployment from the first second of the test chain on."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.simulation.sandbox import Sandbox, SandboxOptions
from tests.support.servers import CHAIN_START_S, server_folder


@contextmanager
def running_sandbox(
    origin: str, database_url: str | None = None, fee_bps: int = 0
) -> Iterator[Sandbox]:
    """Run a sandbox that reports no progress until the block ends.

    Starting one takes seconds, so the tests of a module share it where they can.
    """
    with server_folder() as folder:
        options = SandboxOptions(folder, CHAIN_START_S * 1000, origin, fee_bps, database_url)
        with Sandbox(options, lambda _: None) as sandbox:
            yield sandbox
