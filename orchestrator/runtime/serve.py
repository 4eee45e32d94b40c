"""A deployment as a running service: its keys, its servers where it has none, its workers.

`deployment` gives a `Stack` for the settings. What the settings do not name (a database, a chain)
is started in HOME, kept there, and stopped with us. `work` runs the parts until it is told to stop.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.core.errors import DomainError, InputError
from orchestrator.core.site import Site, TokenInfo
from orchestrator.core.terms import address_of
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.stack import Keys, Stack, http_server, listen
from orchestrator.storage.database import Unreachable
from orchestrator.storage.files import read_key, read_text

# The parts of a deployment, and the keys that each needs.
PARTS = {"api": (), "sequencer": ("publisher",), "pipeline": ("verifier", "relayer")}
LOCAL_ORIGIN = "local.tallystick"
FLUSH_S = 0.2
STEP_S = 1.0
SWEEP_S = 30.0
MAX_WAIT_S = 60.0
GAS_FUNDS_WEI = 10**20
BLOCK_TIME_S = 1

Say = Callable[[str], None]


def now_ms() -> int:
    """Our clock, UTC milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def deployment(settings: Settings, parts: Collection[str], say: Say) -> Iterator[Stack]:
    """The deployment that the settings describe, checked and wired, until the block ends.

    It is given the keys of these parts and no others.
    """
    with ExitStack() as exits:
        database_url = settings.database_url
        if database_url is None:
            say("starting PostgreSQL")
            server = LocalPostgres(_home(settings) / "postgres")
            database_url = exits.enter_context(server).url
        rpc_url, site_path = settings.rpc_url, settings.site
        if rpc_url is not None and site_path is None:
            raise InputError(
                "setting-site",
                "a node is set and nothing says what is there: set TALLYSTICK_SITE to the "
                "deployment's JSON file",
            )
        is_local = rpc_url is None
        if rpc_url is None:
            say("starting a local chain")
            options = ("--block-time", str(BLOCK_TIME_S))
            node = LocalAnvil(_home(settings) / "chain", options=options)
            rpc_url = exits.enter_context(node).rpc_url
            say(f"a local chain on {rpc_url}, until we stop")
        if is_local:
            site_path = _home(settings) / "site.json"
            if not site_path.exists():
                say("deploying the contracts and a test stablecoin")
                _make_keys(settings.keys)
                _deploy(rpc_url, _keys(settings.keys, Keys._fields), site_path)
        keys = _keys(settings.keys, {name for part in parts for name in PARTS[part]})
        site = read_site(site_path or Path())
        stack = Stack(
            database_url=database_url,
            rpc_url=rpc_url,
            site=site,
            keys=Keys(**keys),
            now_ms=now_ms,
            public_url=settings.public_url,
        )
        yield exits.enter_context(stack)


def work(
    stack: Stack, settings: Settings, parts: Collection[str], stop: threading.Event, say: Say
) -> None:
    """Run these parts of a deployment until `stop` is set; an error is said, and tried again."""
    with ExitStack() as exits:
        if "api" in parts:
            sock = listen(settings.host, settings.port)
            url = exits.enter_context(http_server(stack.app, sock))
            say(f"API on {url} (description: {url}/v1/openapi.json)")
        loops: list[threading.Thread] = []
        if "sequencer" in parts:
            loops.append(_loop("sequencer", stack.drain, FLUSH_S, stop, say))
        if "pipeline" in parts:
            step = _Step(stack, settings.settle_every_s)
            loops.append(_loop("pipeline", step, STEP_S, stop, say))
            loops.append(_loop("sweeper", stack.sweep, SWEEP_S, stop, say))
        stop.wait()
        for loop in loops:
            loop.join()


class _Step:
    """The pipeline's step, with a settlement tick whenever one is due."""

    def __init__(self, stack: Stack, settle_every_s: int) -> None:
        self._stack = stack
        self._every_ms = settle_every_s * 1000

    def __call__(self) -> None:
        # Named by the period, not by the process: after a restart the same tick is not run twice.
        self._stack.pipeline.tick(f"every-{self._stack.now_ms() // self._every_ms}")
        self._stack.pipeline.step()


def _loop(
    name: str, act: Callable[[], object], every_s: float, stop: threading.Event, say: Say
) -> threading.Thread:
    def run() -> None:
        wait_s, last = every_s, ""
        while not stop.wait(wait_s):
            try:
                act()
            except Exception as error:  # noqa: BLE001 - a part that ends without a word pays nobody
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                if not isinstance(error, (DomainError, *Unreachable)):
                    said = f"unexpected {type(error).__name__}, please report it: {said}"
                if said != last:
                    say(f"{name}: {said}; trying again")
                wait_s, last = min(2 * wait_s, MAX_WAIT_S), said
            else:
                wait_s, last = every_s, ""

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread


def read_site(path: Path) -> Site:
    """Return the site that a file describes. Raises InputError, which names the file."""
    text = read_text(path)
    try:
        return Site.from_json(json.loads(text))
    except (ValueError, InputError) as error:
        raise InputError("site-malformed", f"{path}: {error}") from None


def _deploy(rpc_url: str, keys: Mapping[str, bytes], path: Path) -> None:
    account = {name: address_of(key) for name, key in keys.items()}
    publisher, verifier = account["publisher"], account["verifier"]
    chain = LocalChainClock(rpc_url)
    try:
        for address in account.values():
            chain.fund(address, GAS_FUNDS_WEI)
        made = deploy_local(rpc_url, keys["publisher"], origin=LOCAL_ORIGIN, publisher=publisher)
    finally:
        chain.release()
    token = TokenInfo(made.token, "TEST", 6)
    site = Site(made.addresses, made.log_id, LOCAL_ORIGIN, publisher, verifier, (token,))
    document = site.to_json() | {"stand_ins": made.stand_ins._asdict()}
    _write(path, json.dumps(document, indent=2) + "\n")


def _make_keys(folder: Path) -> None:
    """The keys of a local deployment, as far as they are not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in Keys._fields:
        if not (folder / name).exists():
            _write(folder / name, secrets.token_hex(32) + "\n")


def _keys(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """The keys of these names in a folder."""
    found = {}
    for name in Keys._fields:
        if name not in names:
            continue
        found[name] = read_key(folder / name)
    if len(set(found.values())) != len(found):
        raise InputError("keys-same", f"{folder}: the keys of {' and '.join(found)} must differ")
    return found


def _home(settings: Settings) -> Path:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("home-unusable", f"{settings.home}: {error.strerror}") from None
    return settings.home


def _write(path: Path, text: str) -> None:
    """Write a file that only we may read, complete or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
