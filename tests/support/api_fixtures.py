"""The service and the callers that a module's tests share; conftest files take them from here."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.api_service import ApiService, running_service, wallet


@pytest.fixture(scope="module")
def service(module_database_url: str, request: pytest.FixtureRequest) -> Iterator[ApiService]:
    """A running service that a module's tests share; it has the module's `LIMITS`, if any."""
    limits = getattr(request.module, "LIMITS", None)
    with running_service(module_database_url, limits) as running:
        yield running


@pytest.fixture(scope="module")
def owner(service: ApiService) -> httpx.Client:
    """The owner of most surfaces."""
    return service.sign_in(wallet("owner"), "owner")


@pytest.fixture(scope="module")
def operator(service: ApiService) -> httpx.Client:
    """A registered operator."""
    return service.sign_in(wallet("operator"), "operator")
