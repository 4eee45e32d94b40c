"""A real service at the time of this machine, by which the command makes terms."""

import time
from collections.abc import Iterator

import pytest

from orchestrator.core.common.units import NS_PER_MS
from tests.support.api_service import POLICY, ApiService, open_surface, running_service, wallet


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url) as running:
        running.clock.now_ms = time.time_ns() // NS_PER_MS
        yield running


@pytest.fixture(scope="module")
def surface(service: ApiService) -> str:
    owner = service.sign_in(wallet("owner"), "owner")
    return open_surface(owner, "connected", attribution=POLICY["attribution"])
