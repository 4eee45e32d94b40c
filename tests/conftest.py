"""Settings and servers that every Python test shares."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from orchestrator.database import migrate
from orchestrator.local import LocalAnvil, LocalPostgres
from tests.depth import PROFILE

settings.load_profile(PROFILE)

# The first block of the test chain: 2026-01-01T00:00:00Z.
CHAIN_START_S = 1_767_225_600
_TEMPLATE = "template_of_tests"
_numbers = count(1)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A short path that other users may enter, in memory if possible; removed afterwards."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
    spacious = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="tallystick-", dir=memory if spacious else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """The session's PostgreSQL; a test that kills one starts its own."""
    with server_folder() as folder, LocalPostgres(folder) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {_TEMPLATE}")
        migrate(server.url_of(_TEMPLATE))
        yield server


@contextmanager
def fresh_database(server: LocalPostgres, template: str = _TEMPLATE) -> Iterator[str]:
    """The superuser's URL of a migrated, empty database, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield server.url_of(name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: LocalPostgres) -> Iterator[str]:
    """A migrated, empty database for one test."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres: LocalPostgres) -> Iterator[str]:
    """A migrated, empty database that the tests of one module share."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def anvil() -> Iterator[LocalAnvil]:
    """A new chain for one test, whose clock starts at `CHAIN_START_S`."""
    with server_folder() as folder, LocalAnvil(folder, CHAIN_START_S) as node:
        yield node


@pytest.fixture(scope="module")
def module_anvil() -> Iterator[LocalAnvil]:
    """A new chain that the tests of one module share."""
    with server_folder() as folder, LocalAnvil(folder, CHAIN_START_S) as node:
        yield node
