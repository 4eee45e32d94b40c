"""A deployment as a running service: its keys, its local servers and its worker threads.

`open_deployment` opens the `Stack` that the settings describe. A database or a chain that they do
not name is started in HOME, kept there, and stopped with this process. `run_parts` runs the parts
until it is stopped.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.connect.clients import connect_hint
from orchestrator.core.errors import DomainError, InputError
from orchestrator.core.site import Site, TokenInfo
from orchestrator.core.terms import address_of
from orchestrator.core.units import TOKEN_DECIMALS
from orchestrator.runtime.local_chain import GAS_FUNDS_WEI, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.migration import begin_log, prepare_schema, publisher_of
from orchestrator.runtime.settings import Settings, read_limits_file, read_site
from orchestrator.runtime.stack import Believed, Keys, Stack, http_server, listen
from orchestrator.storage.database import (
    API,
    REGISTRAR,
    SEQUENCER,
    WORKER,
    DatabaseUrls,
    Unreachable,
)
from orchestrator.storage.files import read_key, write_private

# The parts of a deployment, with the keys and the database logins that each needs.
PARTS = {
    "api": (),
    "registrar": (),
    "sequencer": ("publisher",),
    "pipeline": ("verifier", "relayer"),
}
PART_LOGINS = {
    "api": (API,),
    "registrar": (REGISTRAR,),
    "sequencer": (SEQUENCER,),
    "pipeline": (WORKER,),
}
LOCAL_ORIGIN = "local.tallystick"
FLUSH_S = 0.2
STEP_S = 1.0
ATTEND_S = 0.01
SWEEP_S = 30.0
MAX_WAIT_S = 60.0
BLOCK_TIME_S = 1

# A callback that takes one line about the step that begins now.
Progress = Callable[[str], None]


def now_ms() -> int:
    """Return the machine's time, UTC milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def open_deployment(
    settings: Settings, parts: Collection[str], report_progress: Progress
) -> Iterator[Stack]:
    """Open the deployment that the settings describe, checked and wired, until the block ends.

    It is given the keys and the logins of these parts and no others.
    """
    with ExitStack() as exits:
        databases = settings.databases
        if databases.are_unset:
            report_progress("starting PostgreSQL")
            server = LocalPostgres(_home(settings) / "postgres")
            databases = exits.enter_context(server).urls()
        else:
            _check_logins(databases, parts)
        rpc_url, site_path = settings.rpc_url, settings.site
        if rpc_url is None:
            report_progress("starting a local chain")
            options = ("--block-time", str(BLOCK_TIME_S))
            node = LocalAnvil(_home(settings) / "chain", options=options)
            rpc_url = exits.enter_context(node).rpc_url
            report_progress(f"a local chain on {rpc_url}, until we stop")
            site_path = _home(settings) / "site.json"
            # The chain is kept in HOME, so it has the contracts already after a restart.
            if not site_path.exists():
                report_progress("deploying the contracts and a test stablecoin")
                _make_keys(settings.keys)
                _deploy(rpc_url, _read_keys(settings.keys, Keys._fields), site_path)
        elif site_path is None:
            raise InputError(
                "setting-site",
                "a node is set and nothing says what is there: set TALLYSTICK_SITE to the "
                "deployment's JSON file",
            )
        keys = _read_keys(settings.keys, {name for part in parts for name in PARTS[part]})
        site = read_site(site_path)
        limits = read_limits_file(settings.limits)
        if settings.databases.are_unset:
            prepare_schema(databases, limits=limits)
            begin_log(databases, site, publisher_of(rpc_url, site))
        stack = Stack(
            databases=databases.only({login for part in parts for login in PART_LOGINS[part]}),
            rpc_url=rpc_url,
            site=site,
            keys=Keys(**keys),
            now_ms=now_ms,
            public_url=settings.public_url,
            limits=limits,
            believed=Believed(
                settings.trusted_proxies,
                settings.origins,
                client_networks=settings.client_networks,
            ),
        )
        yield exits.enter_context(stack)


def run_parts(
    stack: Stack,
    settings: Settings,
    parts: Collection[str],
    stop: threading.Event,
    report_progress: Progress,
) -> None:
    """Run these parts of a deployment until `stop` is set.

    A worker that fails reports the error once and goes on trying.
    """
    with ExitStack() as exits:
        if "api" in parts:
            sock = listen(settings.host, settings.port)
            url = exits.enter_context(http_server(stack.app, sock))
            report_progress(f"API on {url} (description: {url}/v1/openapi.json)")
            report_progress(connect_hint(settings.public_url))
        workers: list[tuple[str, Callable[[], object], float]] = []
        if "registrar" in parts:
            workers.append(("registrar", lambda: stack.registrar.attend(STEP_S), ATTEND_S))
        if "sequencer" in parts:
            workers.append(("sequencer", stack.drain, FLUSH_S))
        if "pipeline" in parts:
            step = _PipelineStep(stack, settings.settle_every_s)
            workers += [("pipeline", step, STEP_S), ("sweeper", stack.sweep, SWEEP_S)]
        threads = [
            threading.Thread(
                target=repeat_until_stopped, args=(*worker, stop, report_progress), name=worker[0]
            )
            for worker in workers
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        # The API ends after them: leaving the block closes it.
        for thread in threads:
            thread.join()


class _PipelineStep:
    """A step of the pipeline, after a settlement tick in every period."""

    def __init__(self, stack: Stack, settle_every_s: int) -> None:
        self._stack = stack
        self._every_ms = settle_every_s * 1000

    def __call__(self) -> None:
        # The period names the tick, so the same tick is not run again after a restart.
        self._stack.pipeline.tick(f"every-{self._stack.now_ms() // self._every_ms}")
        self._stack.pipeline.step()


def repeat_until_stopped(
    name: str,
    act: Callable[[], object],
    every_s: float,
    stop: threading.Event,
    report_progress: Progress,
) -> None:
    """Act at this interval until `stop` is set, more rarely while it fails.

    The same error is reported only once in a row.
    """
    wait_s, last = every_s, ""
    while not stop.wait(wait_s):
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a thread that ended in silence would stop payouts
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if not isinstance(error, (DomainError, *Unreachable)):
                reason = f"unexpected {type(error).__name__}, please report it: {reason}"
            if reason != last:
                report_progress(f"{name}: {reason}; trying again")
            wait_s, last = min(2 * wait_s, MAX_WAIT_S), reason
        else:
            wait_s, last = every_s, ""


def _check_logins(databases: DatabaseUrls, parts: Collection[str]) -> None:
    """Raise InputError for a part without a login of its own."""
    for part in parts:
        for login in PART_LOGINS[part]:
            if login not in databases.by_login:
                name = login.removeprefix("tallystick_").upper()
                raise InputError(
                    "database-url-missing",
                    f"{part} logs in as {login}: set TALLYSTICK_{name}_DATABASE_URL, or leave all "
                    f"database URLs unset to have a PostgreSQL of our own",
                )


def _deploy(rpc_url: str, keys: Mapping[str, bytes], path: Path) -> None:
    """Deploy on a local chain, and write the site's file, which is then taken at every start."""
    account = {name: address_of(key) for name, key in keys.items()}
    publisher, verifier = account["publisher"], account["verifier"]
    with LocalChainClock(rpc_url) as clock:
        try:
            for address in account.values():
                clock.fund(address, GAS_FUNDS_WEI)
            deployed = deploy_local(
                rpc_url, keys["publisher"], origin=LOCAL_ORIGIN, publisher=publisher
            )
        finally:
            clock.release()
    token = TokenInfo(deployed.token, "TEST", TOKEN_DECIMALS)
    site = Site(deployed.addresses, deployed.log_id, LOCAL_ORIGIN, publisher, verifier, (token,))
    document = site.to_json() | {"stand_ins": deployed.stand_ins._asdict()}
    write_private(path, json.dumps(document, indent=2) + "\n")


def _make_keys(folder: Path) -> None:
    """Make the keys of a local deployment that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in Keys._fields:
        if not (folder / name).exists():
            write_private(folder / name, secrets.token_hex(32) + "\n")


def _read_keys(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the keys of these names from a folder. Raises InputError if two are the same."""
    keys = {name: read_key(folder / name) for name in Keys._fields if name in names}
    if len(set(keys.values())) != len(keys):
        raise InputError("keys-same", f"{folder}: the keys of {' and '.join(keys)} must differ")
    return keys


def _home(settings: Settings) -> Path:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("home-unusable", f"{settings.home}: {error.strerror}") from None
    return settings.home
