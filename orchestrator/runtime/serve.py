"""A deployment as a running service: its keys, its local servers and its worker threads.

`open_deployment` opens the `Stack` that the settings describe. A database or a chain that they do
not name is started in HOME, kept there, and stopped with this process. `run_parts` runs the parts
until it is stopped.
"""

import gc
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Protocol

from api.places import CountHolders, SharedCounts, count_alone
from orchestrator.core.account.mcp_setup import connect_hint
from orchestrator.core.common.errors import ChainError, DomainError, InputError
from orchestrator.core.common.limits import Limits, limits_of_part
from orchestrator.core.common.units import TOKEN_DECIMALS
from orchestrator.core.deals.site import Site, TokenInfo
from orchestrator.core.deals.terms import address_of
from orchestrator.runtime.connections import Bounds, Gate, bounded_server, listen
from orchestrator.runtime.health.journal import open_journal
from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.health.server import create_health_app
from orchestrator.runtime.health.traces import open_tracer
from orchestrator.runtime.local_chain import GAS_FUNDS_WEI, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import (
    LocalAnvil,
    LocalPostgres,
    check_enterable,
    find_anvil,
    make_enterable,
)
from orchestrator.runtime.migration import begin_log, prepare_schema, publisher_of
from orchestrator.runtime.processes.crew import Crew
from orchestrator.runtime.processes.worker import (
    Orders,
    StartFailure,
    end_on_signal,
    tell_until_closed,
)
from orchestrator.runtime.settings import MetricsAddress, Settings, read_limits_file, read_site
from orchestrator.runtime.stack import PARTS, Keys, Stack, Surroundings, http_server
from orchestrator.storage.database import (
    API,
    DatabaseUrls,
    Unreachable,
    is_away,
)
from orchestrator.storage.local.files import read_key, write_private
from orchestrator.storage.trouble import Trouble

# The file of the key that signs agent cards; it stands for no account.
CARD_KEY = "agent-cards.key"
LOCAL_ORIGIN = "local.tallystick"
FLUSH_S = 0.2
STEP_S = 1.0
ATTEND_S = 0.01
SWEEP_S = 30.0
# A standby takes over within this time, and whatever was away is found again.
MAX_WAIT_S = 3.0
TEND_S = 1.0
KEEP_S = 10.0
BLOCK_TIME_S = 1
OLD_STATES = 8

# How long the workers have to end, once they are to stop.
STOP_S = 10.0

# Those who read health and metrics are few, and each has several connections at most.
HEALTH_BOUNDS = Bounds(100, 50)

_log = logging.getLogger("tallystick.serve")

# A callback that takes one line about the step that begins now.
Progress = Callable[[str], None]


def now_ms() -> int:
    """Return the machine's time, UTC milliseconds."""
    return time.time_ns() // 1_000_000


class Pace(NamedTuple):
    """A clock other than the machine's, for a deployment with servers of its own alone.

    `speed` is how many of its seconds one of real time has. `open` is given the URLs of the owner's
    database and of the node, once both are there, and no log has begun.
    """

    speed: int
    open: Callable[[str, str], AbstractContextManager[Callable[[], int]]]


class OpenDeployment(NamedTuple):
    """A deployment that is checked and wired, and the servers of its own, for `run_parts`.

    `reached` are the settings with these servers in place of what they left unset.
    """

    stack: Stack
    reached: Settings
    postgres: LocalPostgres | None
    chain: LocalAnvil | None


class Answering(NamedTuple):
    """The way the API is answered: by so many processes; with one, by this one itself.

    The others write their journal as this one does.
    """

    processes: int = 1
    as_json: bool = False


ALONE = Answering()


class Server(Protocol):
    """A server of our own that is looked after."""

    title: str

    def tend(self) -> bool:
        """Start it again if it has ended by itself, and return True then."""


class Worker(NamedTuple):
    """A part's work: to act at this interval, and to let go of what it holds at the end.

    One whose act goes on until the stop has a trouble of its own, and says itself that it works.
    """

    name: str
    act: Callable[[], object]
    every_s: float
    let_go: Callable[[], object] = lambda: None
    trouble: Trouble | None = None


@contextmanager
def open_deployment(
    settings: Settings,
    parts: Collection[str],
    report_progress: Progress,
    pace: Pace | None = None,
    counts: SharedCounts | None = None,
) -> Iterator[OpenDeployment]:
    """Open the deployment that the settings describe, checked and wired, until the block ends.

    It is given the keys and the logins of these parts and no others. With `counts` it is one of
    several processes that answer one API.
    """
    clock: Callable[[], int] = now_ms
    # What needs no server comes first: a start that cannot go well must not begin one.
    limits = _check_settings(settings, parts)
    if settings.databases.are_unset:
        check_enterable(settings.home, "set TALLYSTICK_HOME to a folder that all may enter")
    home = _home(settings)
    site_path = settings.site or home / "site.json"
    # The chain is kept in HOME, so it has the contracts already after a restart.
    is_new = settings.rpc_url is None and not site_path.exists()
    needed = {name for part in parts for name in PARTS[part].keys}
    if is_new:
        _make_keys(settings.keys)
        keys = read_keys(settings.keys, Keys._fields)
    else:
        keys = read_keys(settings.keys, needed)
        read_site(site_path)
    with ExitStack() as exits:
        postgres, node = None, None
        databases, rpc_url = settings.databases, settings.rpc_url
        if databases.are_unset:
            report_progress("starting PostgreSQL")
            postgres = LocalPostgres(home / "postgres")
            databases = exits.enter_context(postgres).urls()
        if rpc_url is None:
            report_progress("starting a local chain")
            node = LocalAnvil(home / "chain", options=_node_options(pace))
            rpc_url = exits.enter_context(node).rpc_url
            report_progress(f"a local chain on {rpc_url}, until we stop")
            if is_new:
                report_progress("deploying the contracts and a test stablecoin")
                _deploy(rpc_url, keys, site_path)
        site = read_site(site_path)
        if settings.databases.are_unset:
            prepare_schema(databases, limits=limits)
            if pace is not None:
                clock = exits.enter_context(pace.open(databases.owners, rpc_url))
            begin_log(databases, site, publisher_of(rpc_url, site))
        holders: CountHolders = count_alone
        if counts is not None:
            limits, holders = limits_of_part(limits, counts.processes), counts.holders
        stack = Stack(
            databases=databases.only({PARTS[part].login for part in parts}),
            rpc_url=rpc_url,
            site=site,
            keys=Keys(**{name: keys[name] for name in needed}),
            now_ms=clock,
            public_url=settings.public_url,
            limits=limits,
            speed=None if pace is None else pace.speed,
            around=Surroundings(
                proxies=settings.trusted_proxies,
                origins=settings.origins,
                final_depth=settings.final_depth,
                webhook_networks=settings.webhook_networks,
                folder=home,
                client_networks=settings.client_networks,
                mark=settings.mark,
                card_key=_card_key(home) if "api" in parts else None,
                replay=settings.replay,
                holders=holders,
                tracer=exits.enter_context(open_tracer()) if settings.traces else None,
            ),
        )
        reached = replace(settings, databases=databases, rpc_url=rpc_url, site=site_path)
        yield OpenDeployment(exits.enter_context(stack), reached, postgres, node)


def run_parts(
    deployment: OpenDeployment,
    settings: Settings,
    parts: Collection[str],
    stop: threading.Event,
    further: Sequence[Worker] = (),
    answering: Answering = ALONE,
    announce: Callable[[], object] = lambda: None,
) -> None:
    """Run these parts of a deployment until `stop` is set, by the main thread.

    `further` work is done beside them. The API is answered as `answering` says; once it is, and we
    are to go on, `announce` is called. A worker that fails logs the error once and goes on trying.
    At the end all have a bounded time: the writer lets go of the log first, so that another may
    write, and the API is closed last.
    """
    stack, metrics = deployment.stack, Metrics()
    logging.getLogger().addHandler(metrics.journal_handler())
    tending = _Tending(deployment)
    with ExitStack() as exits:
        if settings.metrics is not None:
            exits.enter_context(_health_server(stack, settings.metrics, metrics))
        if "api" in parts:
            url, servers = exits.enter_context(_api_server(deployment, metrics, answering))
            tending.servers += servers
            _log.info("API on %s (description: %s/v1/openapi.json)", url, url)
            _log.info(connect_hint(settings.public_url))
        if not stop.is_set():
            announce()
        threads = [
            # A thread that does not end in time must not keep the process: all that it does may
            # end at any point.
            threading.Thread(
                target=repeat_until_stopped, args=(worker, stop), name=worker.name, daemon=True
            )
            for worker in (*_workers(stack, settings, parts, stop), *further)
        ]
        settle_memory()
        for thread in threads:
            thread.start()
        # The kernel ends a server with the thread that started it, so this one does.
        repeat_until_stopped(Worker("servers", tending, TEND_S), stop)
        deadline = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _log.warning("%s does not end; left to the end of the process", thread.name)


@contextmanager
def _api_server(
    deployment: OpenDeployment, metrics: Metrics, answering: Answering
) -> Iterator[tuple[str, Sequence[Server]]]:
    """Answer the API until the block ends; yield its URL and the servers to look after."""
    reached = deployment.reached
    if answering.processes == 1:
        sock = listen(reached.host, reached.port)
        with http_server(deployment.stack.app, sock, metrics) as url:
            yield url, ()
        return
    # Each has the login of the API alone.
    settings = replace(reached, databases=reached.databases.only({API}))
    with Crew(settings, answering.processes, _answer, as_json=answering.as_json) as crew:
        metrics.crew = crew
        yield crew.url, crew.servers


def _answer(orders: Orders, pipe: Connection) -> None:
    """Answer the API in this process, beside others, until the pipe is closed."""
    end_on_signal()
    open_journal(as_json=orders.as_json)
    settings, metrics = orders.settings, Metrics()
    logging.getLogger().addHandler(metrics.journal_handler())
    try:
        with open_deployment(settings, ("api",), _log.info, counts=orders.counts) as deployment:
            sock = listen(settings.host, settings.port, is_shared=True)
            with http_server(deployment.stack.app, sock, metrics):
                settle_memory()
                tell_until_closed(pipe, metrics)
    except DomainError as error:
        with suppress(ConnectionError):
            pipe.send(StartFailure(error.code, error.message))


def settle_memory() -> None:
    """Have the garbage collector pass over what is there by now, which lives as long as we do.

    It looks at all of that else from time to time: a tenth of a second, in which none is answered.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def _health_server(stack: Stack, address: MetricsAddress, metrics: Metrics) -> Iterator[None]:
    """Tell how the service is until the block ends, at an address of its own."""
    try:
        sock = listen(address.host, address.port)
    except ChainError as error:
        if not address.is_default:
            raise
        # Another part that runs here has it, and tells of all of them.
        _log.info("no health and metrics of this process: %s; set TALLYSTICK_METRICS", error)
        yield
        return
    app = create_health_app(stack.watch(), metrics)
    with bounded_server(app, sock, Gate(HEALTH_BOUNDS)) as url:
        _log.info("health and metrics on %s", url)
        yield


def _workers(
    stack: Stack, settings: Settings, parts: Collection[str], stop: threading.Event
) -> list[Worker]:
    workers = []
    if "sequencer" in parts:
        drain = stack.heart("sequencer", stack.drain)
        workers.append(Worker("sequencer", drain, FLUSH_S, stack.sequencer.close))
    if "registrar" in parts:
        attend = stack.heart("registrar", lambda: stack.registrar.attend(STEP_S))
        workers.append(Worker("registrar", attend, ATTEND_S))
    if "pipeline" in parts:
        step = stack.heart("pipeline", _PipelineStep(stack, settings.settle_every_s))
        workers += [Worker("pipeline", step, STEP_S), Worker("sweeper", stack.sweep, SWEEP_S)]
    if "webhooks" in parts:
        trouble = Trouble("webhooks")

        def deliver() -> None:
            stack.webhooks.run(stop, trouble.end)

        workers.append(Worker("webhooks", deliver, STEP_S, trouble=trouble))
    return workers


class _Tending:
    """A look after the servers of our own: one that has ended is started again."""

    def __init__(self, deployment: OpenDeployment) -> None:
        self.servers: list[Server] = [
            each for each in (deployment.postgres, deployment.chain) if each
        ]
        self._chain = deployment.chain
        self._kept_s = time.monotonic()

    def __call__(self) -> None:
        for server in self.servers:
            if server.tend():
                _log.warning("%s had ended by itself; started again", server.title)
        if self._chain is not None and time.monotonic() - self._kept_s >= KEEP_S:
            self._chain.keep_state()
            self._kept_s = time.monotonic()


class _PipelineStep:
    """A step of the pipeline, after a settlement tick in every period."""

    def __init__(self, stack: Stack, settle_every_s: int) -> None:
        self._stack = stack
        self._every_ms = settle_every_s * 1000

    def __call__(self) -> None:
        # The period names the tick, so the same tick is not run again after a restart.
        self._stack.pipeline.tick(f"every-{self._stack.now_ms() // self._every_ms}")
        self._stack.pipeline.step()


def repeat_until_stopped(worker: Worker, stop: threading.Event) -> None:
    """Act at the worker's interval until `stop` is set, more rarely while it fails; then let go.

    An error is logged once in a row, and so is its end.
    """
    trouble = worker.trouble or Trouble(worker.name)
    wait_s = worker.every_s
    while not stop.wait(wait_s):
        try:
            worker.act()
        except Exception as error:  # noqa: BLE001 - a thread that ended in silence would stop payouts
            _note(trouble, error)
            wait_s = min(2 * wait_s, MAX_WAIT_S)
        else:
            trouble.end()
            wait_s = worker.every_s
    try:
        worker.let_go()
    except Exception as error:  # noqa: BLE001 - the others are still to end
        _note(trouble, error)


def _note(trouble: Trouble, error: Exception) -> None:
    """Note the error of a worker; of one that we did not foresee, its type and its place alone."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    code = error.code if isinstance(error, DomainError) else ""
    if is_away(error) or code == "database-unreachable":
        # It is lost in one way, refuses in others, and begins in yet another.
        trouble.note("the database does not answer")
    elif not isinstance(error, (DomainError, *Unreachable)):
        unforeseen = f"unexpected {type(error).__name__}, please report it"
        trouble.note(unforeseen, level=logging.ERROR, error=error)
    elif code == "sequencer-busy":
        trouble.note(reason, "standing by", level=logging.INFO)
    else:
        trouble.note(reason)


def _node_options(pace: Pace | None) -> tuple[str, ...]:
    """Return what our node is told: whether it makes blocks by itself, and to keep its chain."""
    own = () if pace is not None else ("--block-time", str(BLOCK_TIME_S))
    # Of a chain that is left running for days, old states fill no disk: each has the hashes of all
    # blocks, and none reads one.
    old = ("--max-persisted-states", str(OLD_STATES))
    return (*own, *old, "--state-interval", str(BLOCK_TIME_S))


def _check_settings(settings: Settings, parts: Collection[str]) -> Limits:
    """Check what the settings name on this machine, and return the limits.

    Raises InputError or LocalError.
    """
    if not settings.databases.are_unset:
        _check_logins(settings.databases, parts)
    if settings.rpc_url is None:
        find_anvil()
    elif settings.site is None:
        raise InputError(
            "setting-site",
            "a node is set and nothing says what is there: set TALLYSTICK_SITE to the "
            "deployment's JSON file",
        )
    return read_limits_file(settings.limits)


def _check_logins(databases: DatabaseUrls, parts: Collection[str]) -> None:
    """Raise InputError for a part without a login of its own."""
    for part in parts:
        login = PARTS[part].login
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


def _card_key(folder: Path) -> bytes:
    """Return the key that signs agent cards, which is made where there is none yet."""
    file = folder / CARD_KEY
    if not file.exists():
        write_private(file, secrets.token_hex(32) + "\n")
    return read_key(file)


def read_keys(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the keys of these names from a folder. Raises InputError if two are the same."""
    keys = {name: read_key(folder / name) for name in Keys._fields if name in names}
    if len(set(keys.values())) != len(keys):
        raise InputError("keys-same", f"{folder}: the keys of {' and '.join(keys)} must differ")
    return keys


def _home(settings: Settings) -> Path:
    try:
        if settings.databases.are_unset:
            make_enterable(settings.home)
        else:
            settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("home-unusable", f"{settings.home}: {error.strerror}") from None
    return settings.home
