"""The contract that a module's tests share."""

import httpx
import pytest

from tests.support.api_service import ApiService
from tests.support.settled_contract import SettledContract


@pytest.fixture(scope="module")
def settled(service: ApiService, owner: httpx.Client, operator: httpx.Client) -> SettledContract:
    return SettledContract(service, owner, operator)
