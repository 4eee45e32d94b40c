"""A sandbox and a small market in it, shared by the tests of one module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.simulation.sandbox import Sandbox
from tests.support.market import Market
from tests.support.sandboxes import running_sandbox


@pytest.fixture(scope="module")
def sandbox(module_database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("simulation.example", module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> Iterator[Market]:
    market = Market(sandbox, Path())
    yield market
    market.close()
