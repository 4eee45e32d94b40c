"""The service that a module's tests share, with room for as many sign-ins as they make."""

from collections.abc import Iterator

import pytest

from orchestrator.core.common.limits import Limits
from tests.support.api_service import ApiService, running_service


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    """A running service that a module's tests share."""
    with running_service(module_database_url, Limits(source_sign_ins_a_minute=100_000)) as running:
        yield running
