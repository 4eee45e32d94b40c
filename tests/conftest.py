"""Settings and servers that all Python tests share."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from tests.support.depth import PROFILE
from tests.support.servers import CHAIN_START_S, TEMPLATE, fresh_database, server_folder

settings.load_profile(PROFILE)


# The files that take longest, and folders of such. They come first, or one of them is left alone at
# the end.
LONGEST = (
    "api/test_app.py",
    "runtime/test_serve.py",
    "cli/sandbox",
    "settlement",
    "webhooks/test_delivery.py",
    "simulation",
    "connect/test_server.py",
    "backtest",
    "log/test_fsck.py",
    "log/sequencing/test_sequencer_faults.py",
    "runtime/recovery",
    "cli/test_main_database.py",
    "test_examples.py",
    "test_rights.py",
    "actions",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by how long they take; workers take them in this order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}

    @cache
    def place_of(file: Path) -> int:
        return min(places.get(path, len(LONGEST)) for path in (file, *file.parents))

    items.sort(key=lambda item: place_of(item.path))


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """Start the session's PostgreSQL. A test that kills one starts its own."""
    with server_folder() as folder, LocalPostgres(folder) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {TEMPLATE}")
        # Copying a migrated database is faster than migrating one for each test.
        prepare_schema(server.urls(TEMPLATE))
        yield server


@pytest.fixture
def database_url(postgres: LocalPostgres) -> Iterator[str]:
    """Make a migrated, empty database for one test."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres: LocalPostgres) -> Iterator[str]:
    """Make a migrated, empty database that the tests of one module share."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def anvil() -> Iterator[LocalAnvil]:
    """Start a new chain at `CHAIN_START_S` for one test."""
    with server_folder() as folder, LocalAnvil(folder, CHAIN_START_S) as node:
        yield node


@pytest.fixture(scope="module")
def module_anvil() -> Iterator[LocalAnvil]:
    """Start a new chain that the tests of one module share."""
    with server_folder() as folder, LocalAnvil(folder, CHAIN_START_S) as node:
        yield node
