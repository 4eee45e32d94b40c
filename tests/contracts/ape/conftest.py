"""A chain with the contracts as scripts/deploy.py deploys them. Ape undoes each test's changes."""

from typing import Any

import pytest
from ape.api.accounts import TestAccountAPI
from ape.contracts import ContractInstance
from ape.managers.accounts import TestAccountManager
from ape.managers.chain import ChainManager

from scripts.deploy import container, deploy


@pytest.fixture(scope="session")
def deployer(accounts: TestAccountManager) -> TestAccountAPI:
    account: TestAccountAPI = accounts[0]
    return account


@pytest.fixture(scope="session")
def address_book(
    deployer: TestAccountAPI, chain: ChainManager, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return deploy(deployer, chain.provider, tmp_path_factory.mktemp("book") / "book.json", {})


def _at(address_book: dict[str, Any], name: str) -> ContractInstance:
    return container(name).at(address_book["contracts"][name]["address"])


@pytest.fixture(scope="session")
def event_log(address_book: dict[str, Any]) -> ContractInstance:
    return _at(address_book, "EventLog")


@pytest.fixture(scope="session")
def escrow(address_book: dict[str, Any]) -> ContractInstance:
    return _at(address_book, "OutcomeEscrow")


@pytest.fixture(scope="session")
def lens(address_book: dict[str, Any]) -> ContractInstance:
    return _at(address_book, "EscrowLens")


@pytest.fixture(scope="session")
def token(address_book: dict[str, Any]) -> ContractInstance:
    return _at(address_book, "TestStablecoin")
