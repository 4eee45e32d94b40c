"""A deployment under faults: its parts, database and node are killed, moved and misled.

    .venv/bin/python -m scripts.assurance.chaos [--faults N] [--outcomes N] [--seed S]

An owner reports so many purchases meanwhile, each until it is acknowledged, and those anew that a
lost end of the database took along. In the end each has counted once, the payee has their price to
the last unit, the log has not forked, and a replay and `fsck` find nothing. The seed says which
faults come in which order; the machine says what they meet.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from orchestrator.chain.deployment import Chain
from orchestrator.cli.main import main as command
from orchestrator.client.accounts import EventReport, OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, LocalError, ServerError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.site import Site, TokenInfo
from orchestrator.log.guard.mark import Mark
from orchestrator.runtime.connections import listen
from orchestrator.runtime.local_chain import (
    GAS_FUNDS_WEI,
    LocalChainClock,
    deploy_local,
    send_local,
)
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres
from orchestrator.runtime.serve import now_ms
from orchestrator.runtime.stack import PARTS, Keys
from orchestrator.simulation.sandbox import address_of, key_of
from orchestrator.storage.database import Unreachable
from orchestrator.verify.saved_log import save_log
from tests.support.clusters import base_backup, cut_off, promote, wait_for_replica
from tests.support.dialects import DIALECTS, answering
from tests.support.market import GUARDED, PLAIN
from tests.support.rpc_proxy import Answer, Fault, RpcProxy, honest
from tests.support.servers import server_folder

# Parts are forks of a process that has imported them all: there are thousands of starts.
FORKS = get_context("forkserver")
COMMAND = [sys.executable, "-c", "from orchestrator.cli.main import main; main()"]
PRICE_UNITS = 10_000
LEADS = [f"lead-{number}" for number in range(10)]
POLICY: dict[str, object] = {
    "initial": "new",
    "states": ["new", "trial", "paid"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
        {"on": "buy", "from": ["trial", "paid"], "to": "paid", "motion": "conversion"},
    ],
    "attribution": "last_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}
POST_EVENTS = 50
# After so many faults all that was reported must have been acknowledged before there are more.
FAULTS_AT_ONCE = 4
# What is waited for comes within this, or the run has failed.
PATIENCE_S = 600.0
POLL_S = 0.05
DISK_BYTES = 2 << 30
# So many purchases more are reported while an end of the database comes to be that will be lost.
TAIL = 40
# The words with which a sequencer refuses a database that lacks what was signed.
OLDER = "older copy"
WORDS: dict[str, Callable[[], Fault]] = {
    **{name: lambda make=make: make() for name, make in DIALECTS.items()},  # type: ignore[misc]
    "silence": lambda: answering(None),
    "a page": lambda: answering(b"<html>502 Bad Gateway</html>"),
    "too busy": lambda: answering(Answer(b"{}", 429, {"Retry-After": "1"})),
}


def run_command(arguments: list[str], environment: dict[str, str], journal: Path) -> None:
    """Be a process of the command, with this environment and a file for what it says."""
    os.environ.clear()
    os.environ.update(environment)
    with journal.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.argv = ["tallystick", *arguments]
    command()


def wait_for(what: str, is_so: Callable[[], bool], tend: Callable[[], object]) -> None:
    """Wait until something is so, and tend the servers meanwhile; end the run if it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(DomainError, *Unreachable):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"chaos: waited {PATIENCE_S:.0f} s in vain until {what}")
        tend()
        time.sleep(POLL_S)


class Head(NamedTuple):
    """The end of a log: its number of entries, and their root."""

    size: int
    root: bytes


class Place:
    """The folder, chain, cluster and parts of one deployment; parts that end are started again."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self._exits, self.folder = exits, folder
        self.disk, self.can_fill = folder / "disk", _mounted(folder / "disk", exits)
        self.node = exits.enter_context(
            LocalAnvil(folder / "chain", options=("--block-time", "1", "--state-interval", "1"))
        )
        self.proxy = RpcProxy(self.node.rpc_url)
        exits.enter_context(self.proxy)
        self.clusters = 0
        self.server = exits.enter_context(LocalPostgres(self.next_cluster()))
        with listen("127.0.0.1", 0) as sock:
            self.port = int(sock.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._site()
        self.processes: dict[str, BaseProcess] = {}
        exits.callback(self.stop_parts)

    def next_cluster(self) -> Path:
        """Return the folder of the next cluster, on the disk that can be filled."""
        self.clusters += 1
        return self.disk / f"cluster-{self.clusters}"

    def _site(self) -> None:
        keys = self.folder / "keys"
        keys.mkdir(mode=0o700)
        for name in Keys._fields:
            (keys / name).touch(0o600)
            (keys / name).write_text(key_of(name).hex())
        deployed = deploy_local(
            self.node.rpc_url, key_of("publisher"), publisher=address_of("publisher")
        )
        with LocalChainClock(self.node.rpc_url) as clock:
            for name in ("relayer", "owner"):
                clock.fund(address_of(name), GAS_FUNDS_WEI)
            clock.release()
        self.site = Site(
            deployed.addresses,
            deployed.log_id,
            "local.tallystick",
            address_of("publisher"),
            address_of("verifier"),
            (TokenInfo(deployed.token, "TEST", 6),),
        )
        (self.folder / "site.json").write_text(json.dumps(self.site.to_json()))

    def environment(self) -> Mapping[str, str]:
        """Return the settings of all parts, on the cluster of now."""
        urls = self.server.urls()
        named = {
            "SEQUENCER": urls.sequencer,
            "WORKER": urls.worker,
            "API": urls.api,
            "REGISTRAR": urls.registrar,
            "SCHEMA": urls.owner,
        }
        return os.environ | {
            **{f"TALLYSTICK_{name}_DATABASE_URL": url or "" for name, url in named.items()},
            "TALLYSTICK_HOME": str(self.folder / "home"),
            "TALLYSTICK_KEYS": str(self.folder / "keys"),
            "TALLYSTICK_SITE": str(self.folder / "site.json"),
            "TALLYSTICK_RPC_URL": self.proxy.url,
            "TALLYSTICK_LISTEN": f"127.0.0.1:{self.port}",
            "TALLYSTICK_METRICS": "off",
            "TALLYSTICK_SETTLE_EVERY_S": "2",
        }

    def command(self, *arguments: str) -> str:
        """Run the command to its end and return its output; end the run if it fails."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"chaos: {arguments} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def tend(self, *, but: str = "") -> None:
        """Start again what has ended, as those who run a service have it done; `but` one part."""
        for server in (self.server, self.node):
            with suppress(LocalError):
                server.tend()
        for part in PARTS:
            if part != but:
                self.tend_part(part, self.folder / f"{part}.log")

    def tend_part(self, part: str, journal: Path) -> None:
        """Start a part, or start it again once it has ended; what it says is added to a file."""
        process = self.processes.get(part)
        if process is not None and process.is_alive():
            return
        options = ["--workers", "2"] if part == "api" else []
        arguments = ["serve", "--only", part, *options]
        self.processes[part] = FORKS.Process(
            target=run_command, args=(arguments, dict(self.environment()), journal)
        )
        self.processes[part].start()

    def stop_parts(self) -> None:
        """Kill all parts."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()
        self.processes.clear()

    def move_to(self, server: LocalPostgres) -> None:
        """Have the parts use another cluster, which is started already."""
        self.stop_parts()
        self.server.kill()
        # The disk is small. The program stays: later clusters run it from there.
        shutil.rmtree(self.server.folder / "data", ignore_errors=True)
        self._exits.callback(server.stop)
        self.server = server


def _mounted(disk: Path, exits: ExitStack) -> bool:
    """Make a small disk of its own for the database, and return True; or only its folder."""
    disk.mkdir(mode=0o755)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return False
    exits.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
    return True


class Load:
    """The purchases that an owner reports, from a thread: each until it is acknowledged."""

    def __init__(self, place: Place, surface: str) -> None:
        self._place, self._surface = place, surface
        self.released = self.acknowledged = self.tries = self.again = self._rounds = 0
        self.refused: list[object] = []
        self._stop = threading.Event()
        self._is_held, self._reporting = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def is_done(self) -> bool:
        """True if all that is to be reported was acknowledged. A refusal ends the run."""
        if self.refused:
            raise SystemExit(f"chaos: refused: {self.refused[0]}")
        return self.acknowledged == self.released

    @contextmanager
    def held(self) -> Iterator[None]:
        """Report nothing during the block, and give up what is being reported."""
        self._is_held.set()
        with self._reporting:
            self._is_held.clear()
            yield

    def begin_at(self, number: int) -> None:
        """Report anew what follows so many: the log has these, in their order, and no others."""
        self.again += max(0, self.acknowledged - number)
        # What waited was refused under its key, so the next ones have others.
        self.acknowledged, self._rounds = number, self._rounds + 1

    def _run(self) -> None:
        with OwnerClient(self._place.url, wallet(key_of("owner")), "owner") as owner:
            while not self._stop.wait(POLL_S):
                with self._reporting:
                    while self.acknowledged < self.released and not self._is_to_end:
                        self._report(owner)

    @property
    def _is_to_end(self) -> bool:
        return self._stop.is_set() or self._is_held.is_set()

    def _report(self, owner: OwnerClient) -> None:
        first = self.acknowledged
        last = min(self.released, first + POST_EVENTS)
        # After the touches, which count for what comes later alone.
        at_ms = now_ms()
        events = [
            EventReport(f"purchase-{n}-{self._rounds}", LEADS[n % len(LEADS)], "buy", "1", at_ms)
            for n in range(first, last)
        ]
        # The same bodies are sent again until they are taken, under the same keys.
        while not self._is_to_end:
            self.tries += 1
            with suppress(ServerError):
                taken = owner.report_events(self._surface, events)
                self.refused += [one for one in taken if one["status"] == "refused"]
                self.acknowledged = last
                return
            self._stop.wait(POLL_S)


class Chaos:
    """A run: a market on a deployment, and the faults that it bears."""

    def __init__(self, place: Place, outcomes: int, seed: int) -> None:
        self.place, self._outcomes = place, outcomes
        self._random = random.Random(seed)  # noqa: S311 - the same faults for the same seed
        self.seen: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        # What became of databases that had lost their end, and how many entries they lacked.
        self.ends: Counter[str] = Counter()
        self.lacked = 0
        self.chain = Chain(place.node.rpc_url, place.site.addresses)
        self.surface = self._open_market()
        self.load = Load(place, self.surface)
        self._faults: list[tuple[str, int, Callable[[], None]]] = [
            *((f"kill {part}", 6, lambda part=part: self._kill(part)) for part in PARTS),
            ("kill a process of the API", 6, self._kill_process),
            ("kill the database", 8, self._kill_database),
            ("kill the node", 6, self._kill_node),
            *((f"words: {name}", 2, lambda name=name: self._mislead(name)) for name in WORDS),
            ("disk full", 2, self._fill_disk),
            ("promotion", 2, self._promote),
            ("restore", 1, self._restore),
            ("promotion of a replica that lacks the end", 2, partial(self._lose_end, replica=True)),
            ("an older copy of the database", 2, partial(self._lose_end, replica=False)),
        ]
        if not place.can_fill:
            self._skip("disk full", "no disk of its own can be mounted here")

    def close(self) -> None:
        self.load.close()
        self.chain.close()

    def _skip(self, name: str, reason: str) -> None:
        self._faults = [each for each in self._faults if each[0] != name]
        self.skipped[name] = reason

    # --- The market ---

    def _open_market(self) -> str:
        """Open a surface and a contract, and have the operator touch each lead."""
        place = self.place
        place.command("migrate")
        place.tend()
        owner = OwnerClient(place.url, wallet(key_of("owner")), "owner")
        operator = OperatorClient(place.url, wallet(key_of("ada")), "ada")
        with owner, operator:
            for party in (owner, operator):
                wait_for("all sign in", lambda party=party: bool(party.sign_in()), place.tend)  # type: ignore[misc]
            surface = owner.open_surface("shop", POLICY, wait_s=10)
            settings = {
                "token": place.site.tokens[0].address,
                "actions": {"email": {"level": 1}},
                "levels": [{"leads_a_day": 1000}],
            }
            owner.publish_settings(surface, settings, wait_s=10)
            self._open_contract(owner, operator, surface)
            signups = [EventReport(lead, lead, "signup", "0", now_ms() - 1_000) for lead in LEADS]
            owner.report_events(surface, signups)
            wait_for(
                "the leads are there",
                lambda: len(operator.leads(surface, "trial")) == len(LEADS),
                place.tend,
            )
            operator.touch(surface, operator.leads(surface, "trial"), "email", "hello")
        return surface

    def _open_contract(self, owner: OwnerClient, operator: OperatorClient, surface: str) -> None:
        budget = max(self._outcomes * PRICE_UNITS, 10 * 10**6)
        token, node = self.place.site.tokens[0].address, self.chain.node
        for call in (
            self.chain.mint(token, owner.address, budget),
            self.chain.approve(token, budget),
        ):
            send_local(node, key_of("owner"), call.to, call.data)
        opens_at_s = now_ms() // 1000 + 20
        domain = self.chain.escrow_domain
        name = operator.propose(
            surface,
            domain,
            **GUARDED
            | PLAIN
            | {
                "unit_price_units": str(PRICE_UNITS),
                "budget_units": str(budget),
                "repeatable": True,
                "opens_at_s": opens_at_s,
                "deadline_s": opens_at_s + 10 * DAY_S,
            },
        )
        owner.accept_all(surface, domain)
        wait_for(
            "the contract is open",
            lambda: (
                self.chain.status_of(name) == "open" and operator.standing(surface)["level"] >= 1
            ),
            self.place.tend,
        )

    def paid_units(self) -> int:
        """Return what the payee has."""
        return self.chain.balance_of(self.place.site.tokens[0].address, address_of("ada"))

    # --- The faults ---

    def run(self, faults: int) -> None:
        """Bear so many faults, and then come to rest."""
        for number, (name, inflict) in enumerate(self._drawn(faults), 1):
            self._release(self._outcomes * number // faults)
            self._pass(self._random.uniform(0, 0.5))
            print(f"{number:5} {name}", flush=True)
            inflict()
            self.seen[name] += 1
            if number % FAULTS_AT_ONCE == 0:
                self._settle_down()
        self._settle_down()

    def _drawn(self, faults: int) -> list[tuple[str, Callable[[], None]]]:
        """Draw so many faults: each once, as far as that goes, and others by their weight."""
        once = self._random.sample(self._faults, len(self._faults))[:faults]
        weights = [weight for _, weight, _ in self._faults]
        others = self._random.choices(self._faults, weights, k=faults - len(once))
        return [(name, inflict) for name, _, inflict in once + others]

    def _release(self, number: int) -> None:
        """Have so many purchases reported, if they were not, and there are so many."""
        self.load.released = max(self.load.released, min(self._outcomes, number))

    def _pass(self, seconds: float, *, but: str = "") -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.place.tend(but=but)
            time.sleep(POLL_S)

    def _settle_down(self) -> None:
        """Wait until all that was to be reported so far is acknowledged."""
        self.place.proxy.fault = honest
        wait_for("all is acknowledged", lambda: self.load.is_done, self.place.tend)

    def _kill(self, part: str) -> None:
        self.place.processes[part].kill()

    def _kill_process(self) -> None:
        """Kill a process that answers the API, or the one that they are forks of."""
        keeper = self.place.processes["api"].pid or 0
        with suppress(OSError):
            found = [
                child
                for fork in _children(keeper)
                if b"forkserver" in Path(f"/proc/{fork}/cmdline").read_bytes()
                for child in (fork, *_children(fork))
            ]
            if found:
                os.kill(self._random.choice(found), signal.SIGKILL)

    def _kill_database(self) -> None:
        self.place.server.kill()
        self.place.server.start()

    def _kill_node(self) -> None:
        """Kill the node; one that is in the midst of writing its file begins with a copy of it."""
        node = self.place.node
        wait_for("the chain is kept", node.keep_state, self.place.tend)
        node.kill()
        node.start()

    def _mislead(self, name: str) -> None:
        self.place.proxy.fault = WORDS[name]()

    def _fill_disk(self) -> None:
        """Leave nothing of the database's disk for some seconds."""
        ballast = self.place.disk / "ballast"
        with ballast.open("wb") as file:
            stats = os.statvfs(self.place.disk)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, stats.f_bavail * stats.f_frsize)
        time.sleep(self._random.uniform(1, 4))
        ballast.unlink()

    def _promote(self) -> None:
        """Lose the cluster while a replica follows that has all that was acknowledged."""
        old = self.place.server
        replica = base_backup(old, self.place.next_cluster(), replica=True)
        replica.start()
        _set(old, "synchronous_standby_names", "*")
        wait_for_replica(old, replica)
        self._pass(self._random.uniform(0, 1))
        self.place.move_to(replica)
        promote(replica)

    def _restore(self) -> None:
        """Lose the cluster, and bring a back-up forward by what the public log says."""
        backup = base_backup(self.place.server, self.place.next_cluster())
        self._pass(self._random.uniform(0, 2))
        # What no reader has seen is lost with a cluster, so all of it is to be public first.
        self._settle_down()
        saved = self.place.folder / f"saved-{self.place.clusters}"
        with Client(self.place.url) as client:
            wait_for("all is decided", lambda: self._is_decided(client), self.place.tend)
            # Nor may anything be signed behind what is saved.
            sequencer = self.place.processes["sequencer"]
            sequencer.terminate()
            sequencer.join()
            rest = partial(self.place.tend, but="sequencer")
            wait_for("the log is saved", lambda: bool(save_log(client, saved)), rest)
        backup.start()
        self.place.move_to(backup)
        self.place.command("restore", "--source", str(saved))

    def _lose_end(self, *, replica: bool) -> None:
        """Lose the cluster while another lacks what was signed last, and requests that wait.

        The other must be refused, or sign again what was signed; a copy of the public log brings
        the rest. Purchases that no entry tells of are reported again.
        """
        place, old = self.place, self.place.server
        place.proxy.fault = honest
        newer = base_backup(old, place.next_cluster(), replica=replica)
        if replica:
            newer.start()
            wait_for_replica(old, newer)
            cut_off(newer)
        begun, released = _head(old), self.load.released
        self._release(released + TAIL)
        self._pass(self._random.uniform(0, 2))
        if self.load.released > released:
            wait_for(
                "something is signed that the other lacks",
                lambda: _head(old) != begun,
                place.tend,
            )
        self._end_sequencer(old)
        # These wait in what will be lost.
        self._release(self.load.released + TAIL)
        self._pass(self._random.uniform(0, 1), but="sequencer")
        saved = place.folder / f"saved-{place.clusters}"
        rest = partial(place.tend, but="sequencer")
        with Client(place.url) as client, self.load.held():
            wait_for("the log is saved", lambda: bool(save_log(client, saved)), rest)
            signed = _head(old)
            if not replica:
                newer.start()
            place.move_to(newer)
            if replica:
                promote(newer)
            self._go_on_from(newer, signed, saved)
            wait_for("nothing waits", lambda: not _waiting(newer), place.tend)
            wait_for("the log is counted", lambda: self._begin_at_end(client), place.tend)

    def _begin_at_end(self, client: Client) -> bool:
        self.load.begin_at(self._counted(client))
        return True

    def _end_sequencer(self, server: LocalPostgres) -> None:
        """End the sequencer with all that it has signed in the database."""
        mark = Mark(self.place.folder / "keys/publisher.mark", self.place.site.log_id)
        while True:
            wait_for("there is a sequencer", self._has_sequencer, self.place.tend)
            sequencer = self.place.processes["sequencer"]
            sequencer.terminate()
            sequencer.join()
            mark.look()
            if all(_has(server, Head(*known[:2])) for known in mark.known_roots(-1)):
                return

    def _has_sequencer(self) -> bool:
        sequencer = self.place.processes.get("sequencer")
        return sequencer is not None and sequencer.is_alive()

    def _go_on_from(self, server: LocalPostgres, signed: Head, saved: Path) -> None:
        """Start a sequencer on a database that may lack what was signed; restore that if need be.

        End the run if it writes anything else in its place.
        """
        place, found = self.place, _head(server)
        if found == signed:
            self.ends["lacked nothing"] += 1
            return
        self.lacked += signed.size - found.size
        journal = place.folder / f"refusal-{place.clusters}.log"
        journal.touch()
        try:
            wait_for(
                "the sequencer refuses or signs again",
                lambda: OLDER in journal.read_text() or _head(server) != found,
                lambda: place.tend_part("sequencer", journal),
            )
        finally:
            place.stop_parts()
        if _has(server, signed):
            self.ends["signed the same again"] += 1
            return
        if _head(server) != found:
            raise SystemExit(f"chaos: {_head(server)} was written, and {signed} was signed")
        place.command("restore", "--source", str(saved))
        if _head(server) != signed:
            raise SystemExit(f"chaos: {_head(server)} was restored, and {signed} was signed")
        self.ends["refused and were restored"] += 1

    def _is_decided(self, client: Client) -> bool:
        """Return whether the log has all purchases that were acknowledged."""
        return self._counted(client) == self.load.acknowledged

    def _counted(self, client: Client) -> int:
        listed = client.get("/v1/contracts", surface=self.surface)
        return sum(int(one["outcomes"]) for one in listed["contracts"])

    # --- The end ---

    def check(self) -> None:
        """End the run with an error unless each purchase counted once and is paid."""
        place = self.place
        expected = self._outcomes * PRICE_UNITS
        wait_for("all is paid", lambda: self.paid_units() >= expected, place.tend)
        if self.paid_units() != expected:
            raise SystemExit(f"chaos: {self.paid_units()} units are paid, not {expected}")
        with Client(place.url) as client:
            wait_for(
                "each counted once", lambda: self._counted(client) == self._outcomes, place.tend
            )
            wait_for("the API answers", lambda: bool(client.get("/v1/log")), place.tend)
        if self.chain.forked_at(place.site.log_id) is not None:
            raise SystemExit("chaos: the log has forked")
        rpc = place.node.rpc_url
        print(place.command("replay", "--api", place.url, "--rpc", rpc).splitlines()[-1])
        print(place.command("fsck").splitlines()[-1])


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def _rows(server: LocalPostgres, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url, autocommit=True) as admin:
        return admin.execute(query, values).fetchall()


def _head(server: LocalPostgres) -> Head:
    rows = _rows(server, "SELECT size, root FROM checkpoints ORDER BY size DESC LIMIT 1")
    return Head(*rows[0])


def _has(server: LocalPostgres, head: Head) -> bool:
    """Return whether a database has just this checkpoint."""
    return bool(_rows(server, "SELECT FROM checkpoints WHERE size = %s AND root = %s", *head))


def _waiting(server: LocalPostgres) -> bool:
    """Return whether a request of an account waits to be decided."""
    return bool(_rows(server, "SELECT FROM inbox WHERE sender = 'tallystick_api' LIMIT 1"))


def _set(server: LocalPostgres, name: str, value: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
        admin.execute("SELECT pg_reload_conf()")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--outcomes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    asked = parser.parse_args()
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {asked.seed}: {asked.faults} faults over {asked.outcomes} outcomes", flush=True)
    begun = time.monotonic()
    FORKS.set_forkserver_preload(["orchestrator.cli.main", "orchestrator.runtime.serve"])
    with server_folder() as folder, ExitStack() as exits:
        chaos = Chaos(Place(folder, exits), asked.outcomes, asked.seed)
        with closing(chaos):
            chaos.run(asked.faults)
            chaos.check()
        for name, reason in chaos.skipped.items():
            print(f"skipped: {name}: {reason}")
        told = ", ".join(f"{count} {name}" for name, count in sorted(chaos.seen.items()))
        ends = ", ".join(f"{count} {name}" for name, count in sorted(chaos.ends.items()))
        print(f"{told}; {chaos.load.tries} posts; {time.monotonic() - begun:.0f} s")
        print(
            f"databases without their end: {ends or 'none'}; they lacked {chaos.lacked} entries, "
            f"and {chaos.load.again} purchases were reported again"
        )
        print(f"each of {asked.outcomes} outcomes counted once and is paid, to the last unit")


if __name__ == "__main__":
    main()
