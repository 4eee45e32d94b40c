"""Sandboxes for tests: a whole deployment from the first second of the test chain on."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.simulation.sandbox import Sandbox, SandboxOptions
from orchestrator.storage.database import NO_URLS
from tests.support.servers import CHAIN_START_S, server_folder, urls_of


@contextmanager
def running_sandbox(
    origin: str, database_url: str | None = None, fee_bps: int = 0
) -> Iterator[Sandbox]:
    """Run a sandbox that reports no progress until the block ends.

    Starting one takes seconds, so the tests of a module share it where they can.
    """
    with server_folder() as folder:
        databases = NO_URLS if database_url is None else urls_of(database_url)
        options = SandboxOptions(folder, CHAIN_START_S * 1000, origin, fee_bps, databases)
        with Sandbox(options, lambda _: None) as sandbox:
            yield sandbox
