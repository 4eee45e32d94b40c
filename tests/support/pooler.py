"""PgBouncer between the parts of a service and their database, where it is installed."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.storage.database import LOGINS, DatabaseUrls
from tests.support.servers import free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
# Since then a client may have it forget all prepared statements, as our driver does.
PREPARES_SINCE = (1, 22)
needs_pooler = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


def pooler_version() -> tuple[int, int]:
    """Return the version of the PgBouncer that is installed; (0, 0) if none is."""
    if PROGRAM is None:
        return (0, 0)
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


class Pooler:
    """A PgBouncer on a port of its own. It can be led to another server while it runs."""

    def __init__(self, folder: Path, connections: int) -> None:
        self._settings, self._users = folder / "pgbouncer.ini", folder / "users.txt"
        self._connections, self.port = connections, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def lead_to(self, urls: Mapping[str, str]) -> None:
        """Have it lead to the server of these URLs, by the passwords in them, with these logins."""
        found = [conninfo_to_dict(url) for url in urls.values()]
        to = f"host={found[0]['host']} dbname={found[0]['dbname']}"
        self._users.write_text("".join(f'"{one["user"]}" "{one["password"]}"\n' for one in found))
        self._settings.write_text(
            f"[databases]\nlog = {to}\nsessions = {to} pool_mode=session pool_size=20\n"
            f"[pgbouncer]\npool_mode = transaction\ndefault_pool_size = {self._connections}\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {self._users}\nquery_wait_timeout = 10\n"
            + "max_prepared_statements = 200\n"
            * (pooler_version() >= PREPARES_SINCE)
        )
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def url(self, direct: str, database: str = "log") -> str:
        """Return the URL of a login through it: `log` by transactions, `sessions` by sessions."""
        to = conninfo_to_dict(direct)
        return make_conninfo(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=to["user"],
            password=to["password"],
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it until the end of the block, which begins once it listens."""
        as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        command = [*(as_other if os.geteuid() == 0 else []), str(PROGRAM), str(self._settings)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as self._process:
            try:
                deadline = time.monotonic() + 20
                while not self._listens():
                    assert self._process.poll() is None
                    assert time.monotonic() < deadline
                yield
            finally:
                self._process.kill()

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def pooled(direct: str, folder: Path) -> Iterator[str]:
    """Run one in transaction mode, with one connection of the server for all clients of a login."""
    pooler = Pooler(folder, connections=1)
    pooler.lead_to({"": direct})
    with pooler.running():
        yield pooler.url(direct)


def pooled_urls(pooler: Pooler, direct: DatabaseUrls) -> DatabaseUrls:
    """Return the URLs of all logins through a pooler, each in the mode that suits its part."""
    sequencer, worker, api, registrar = (direct.by_login[login] for login in LOGINS)
    return DatabaseUrls(
        sequencer=pooler.url(sequencer, "sessions"),
        worker=pooler.url(worker),
        api=pooler.url(api),
        registrar=pooler.url(registrar, "sessions"),
        owner=direct.owner,
    )
