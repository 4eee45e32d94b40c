"""The service and the people that a module's tests share."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.api_service import Stage, stage, wallet


@pytest.fixture(scope="module")
def here(module_database_url: str) -> Iterator[Stage]:
    """The service that a module's tests share."""
    with stage(module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def owner(here: Stage) -> httpx.Client:
    """The owner of most surfaces."""
    return here.sign_in(wallet("owner"), "owner")


@pytest.fixture(scope="module")
def operator(here: Stage) -> httpx.Client:
    """A registered operator."""
    return here.sign_in(wallet("operator"), "operator")
