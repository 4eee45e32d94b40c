"""A pooler in transaction mode between the sequencer and its database: refused, or harmless.

It hands one connection of the server to many clients, so an advisory lock and a temporary table are
anyone's. The compare-and-swap and the mark hold all the same.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.core.common.errors import DomainError
from orchestrator.core.world.requests import Touch
from orchestrator.log.fsck import compare_projections
from orchestrator.log.guard.mark import Guard, Mark
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.storage.database import SEQUENCER, Database, DatabaseError
from tests.support.fsck import fsck
from tests.support.ledger import Ledger, sign
from tests.support.servers import server_folder, urls_of
from tests.support.worlds import LEADS, OPERATORS, SURFACE

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooled(url: str, folder: Path) -> Iterator[str]:
    """Run a PgBouncer in transaction mode, with one connection of the server for all clients."""
    to = conninfo_to_dict(url)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    users, settings = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{to["user"]}" "{to["password"]}"\n')
    settings.write_text(
        "[databases]\n"
        f"log = host={to['host']} dbname={to['dbname']} user={to['user']} "
        f"password={to['password']}\n"
        "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 1\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = plain\nauth_file = {users}\n"
    )
    as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*(as_other if os.geteuid() == 0 else []), str(PROGRAM), str(settings)]
    through = make_conninfo(
        host="127.0.0.1", port=port, dbname="log", user=to["user"], password=to["password"]
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while not is_up(through):
                assert process.poll() is None
                assert time.monotonic() < deadline
            yield through
        finally:
            process.kill()


def is_up(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2, autocommit=True).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
def test_two_writers_behind_a_pooler_make_one_history(running: Ledger, tmp_path: Path) -> None:
    log, failures = running, list[str]()
    with (
        server_folder() as folder,
        pooled(urls_of(log.url).sequencer or "", folder) as url,
        Database(url, SEQUENCER) as one,
        Database(url, SEQUENCER) as two,
    ):
        writers = [
            Sequencer(
                database,
                log.log_id,
                lambda: log.now_ms,
                sign,
                guard=Guard(Mark(tmp_path / f"mark {number}", log.log_id)),
            )
            for number, database in enumerate((one, two))
        ]
        for number in range(8):
            log.submit(*[Touch(SURFACE, LEADS[1], OPERATORS[0], "call")] * 3)
            try:
                writers[number % 2].drain()
            except (DomainError, DatabaseError) as error:
                failures.append(str(error))
        for writer in writers:
            writer.close()
    log.drain()
    assert fsck(log.api, log.log_id) == len(log.entries())
    assert compare_projections(log.writer, log.log_id) == []
