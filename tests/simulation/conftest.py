"""A sandbox and a small market in it, shared by the tests of one module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.simulation.sandbox import Sandbox
from tests.support.market import Market, Outcome
from tests.support.sandboxes import running_sandbox


@pytest.fixture(scope="module")
def sandbox(module_database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("simulation.example", module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> Iterator[Market]:
    def no_command(_arguments: list[str], _answer: str) -> Outcome:
        raise NotImplementedError("these parties do not use the command line")

    market = Market(sandbox, Path(), no_command)
    yield market
    market.close()
