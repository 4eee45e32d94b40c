"""Accounts that a test has for itself."""

import httpx
import pytest
from eth_account.signers.local import LocalAccount

from tests.support.api_service import ApiService, wallet


@pytest.fixture
def own_wallet(request: pytest.FixtureRequest) -> LocalAccount:
    """A wallet that no other test uses."""
    return wallet(request.node.name[-30:])


@pytest.fixture
def agent(service: ApiService, own_wallet: LocalAccount) -> httpx.Client:
    """An operator of the test's own."""
    return service.sign_in(own_wallet, "operator")


@pytest.fixture
def someone(service: ApiService, own_wallet: LocalAccount) -> httpx.Client:
    """An account of the test's own, by its wallet's key, that may do all that accounts can."""
    return service.sign_in(own_wallet, "owner", "operator")
