"""Logs in a database: an empty one, one with a market, and one with every projection filled."""

from collections.abc import Iterator

import pytest

from orchestrator.core.common.limits import Limits, inbox_limits
from orchestrator.core.world.requests import Touch
from tests.support.ledger import Ledger, journey, ledger, open_market
from tests.support.servers import hold_inbox_to
from tests.support.worlds import LEADS, OPERATORS, SURFACE


@pytest.fixture
def log(module_database_url: str) -> Iterator[Ledger]:
    """A log that was begun, and holds nothing."""
    with ledger(module_database_url) as begun:
        yield begun
    # The database outlives it, and the next log of it begins with the limits of all.
    hold_inbox_to(module_database_url, **inbox_limits(Limits())._asdict())


@pytest.fixture
def running(log: Ledger) -> Ledger:
    """A log with a surface, an operator and a contract."""
    open_market(log)
    return log


@pytest.fixture
def full(running: Ledger) -> Ledger:
    """A log with every projection filled and one whole tile."""
    calls = [Touch(SURFACE, LEADS[1], OPERATORS[0], "call")] * 300
    running.submit_and_drain(*journey(LEADS[0]), *calls)
    return running
