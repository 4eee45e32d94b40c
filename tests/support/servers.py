"""Folders, databases and the start of time for the servers that tests run."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import Database, DatabaseUrls

# The first block of the test chain: 2026-01-01T00:00:00Z.
CHAIN_START_S = 1_767_225_600
TEMPLATE = "template_of_tests"

_numbers = count(1)
# Below those that the kernel hands out, which it could give to another before a server listens.
_ports = iter(range(20_000 + os.getpid() * 32 % 12_000, 32_768))


@contextmanager
def server_folder() -> Iterator[Path]:
    """Make a folder with a short path that other users may enter, and remove it afterwards.

    It is in memory if there is room: the servers sync to disk all the time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="tallystick-", dir=memory if has_room else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def fresh_database(server: LocalPostgres, template: str = TEMPLATE) -> Iterator[str]:
    """Create a migrated, empty database, yield the superuser's URL of it, and drop it."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        # Through the log it would cost the processor twice as much, and the end three times.
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield server.url_of(name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    """Return a port of loopback that nothing else is given meanwhile, for a server yet to start."""
    for port in _ports:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port below those that the kernel hands out is free")


def urls_of(owner_url: str) -> DatabaseUrls:
    """Return the URLs of the logins of a database of a local server, by its superuser's."""
    parameters = conninfo_to_dict(owner_url)
    folder = Path(str(parameters["host"])).parent
    return LocalPostgres(folder).urls(str(parameters["dbname"]))


def hold_inbox_to(owner_url: str, **numbers: int) -> None:
    """Hold the requests of a database to these numbers, as only its owner can."""
    columns = [
        sql.SQL("{} = {}").format(sql.Identifier(name), number) for name, number in numbers.items()
    ]
    with psycopg.connect(owner_url) as admin:
        admin.execute(sql.SQL("UPDATE inbox_limits SET {}").format(sql.SQL(", ").join(columns)))


def open_as(owner_url: str, name: str, **options: Any) -> Database:
    """Return a database as one of its logins sees it; the URL is its superuser's."""
    return Database(urls_of(owner_url).by_login[name], name, **options)
