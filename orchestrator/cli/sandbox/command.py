"""The command that runs a sandbox: a whole service with a living market, in one folder."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import JsonLines, stop_on_signal
from orchestrator.core.common.errors import ChainError, InputError
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_MS
from orchestrator.storage.local.files import write_private

if TYPE_CHECKING:
    from orchestrator.runtime.settings import Settings

NAME = "tallystick-sandbox"
SPEED = 1_440
PORT = 8700
_MOST_PORT = 65_535
# As many as `orchestrator/simulation/market/life.py` knows.
RESIDENTS = 5
# One owner opens all contracts, and one may be as small as one outcome.
_SMALL = {"opening_tokens": 1, "openings_a_day": 1_000, "openings_of_all_a_day": 1_000}
# Beyond this machine, a sandbox takes what a few dozen agents need.
_PUBLIC = {
    "requests_a_minute": 1_200,
    "rows_a_minute": 100_000,
    "touches_a_day": 5_000,
    "acts_a_day": 2_000,
    "source_sign_ins_a_minute": 60,
    "source_reads_a_minute": 1_200,
    "connections": 300,
    "source_connections": 40,
    "streams": 100,
    "source_streams": 5,
    "surfaces": 3,
    "open_proposals": 20,
    "waiting_requests": 10_000,
}
# What an account sends that does not fit is refused.
_STORED_BYTES = 2_000_000_000
# The settings that the commands of clients have as well, so that a shell may well have them set.
_SHARED = frozenset(
    f"TALLYSTICK_{name}" for name in ("ANVIL", "KEY_FILE", "METRICS", "PUBLIC_URL", "RPC_URL")
)
_OPTION_FOR = {
    "TALLYSTICK_HOME": "name its folder with --home",
    "TALLYSTICK_LISTEN": "name its port with --port, and its address with --public",
}
_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.\-]{0,252}")


def sandbox(
    home: Annotated[
        Path | None,
        typer.Option(help=f"Its folder; a new one begins a new market; else ~/.{NAME}."),
    ] = None,
    speed: Annotated[
        int, typer.Option(help="Seconds of its clock in a second: 1, up to 1440 (a day a minute).")
    ] = SPEED,
    port: Annotated[int, typer.Option(min=1, max=_MOST_PORT, help="Port of its API.")] = PORT,
    public: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address of this machine for others; this one alone."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="What its customers' chances are drawn from; at random.")
    ] = None,
    residents: Annotated[
        int, typer.Option(help="Agents of its own that work there: from 0 to 5.")
    ] = RESIDENTS,
    json_out: JsonLines = False,
) -> None:
    """Run a living market for agents to try: test money, simulated customers, a fast clock."""
    from orchestrator.cli.sandbox.view import welcome
    from orchestrator.runtime.health.journal import logger, open_journal
    from orchestrator.runtime.serve import Pace, open_deployment, run_parts
    from orchestrator.runtime.settings import read_settings
    from orchestrator.runtime.stack import PARTS
    from orchestrator.simulation.market.life import SandboxPlace, living
    from orchestrator.simulation.market.running_clock import MAX_SPEED, RunningClock

    if not 1 <= speed <= MAX_SPEED:
        raise InputError(
            "speed-range", f"--speed must be from 1 to {MAX_SPEED} (a day a minute), not {speed}"
        )
    if not 0 <= residents <= RESIDENTS:
        raise InputError(
            "residents-range", f"--residents must be from 0 to {RESIDENTS}, not {residents}"
        )
    _refuse_settings(os.environ)
    read_settings(os.environ)  # a misspelt name is told here as well
    settings = _settings(_checked_home(home), speed, port, public)
    open_journal(as_json=json_out)
    stop = stop_on_signal(logger.info)
    clocks: list[RunningClock] = []

    def open_clock(database_url: str, rpc_url: str) -> RunningClock:
        clocks.append(RunningClock(database_url, rpc_url, speed))
        return clocks[0]

    def begin(line: str) -> None:
        if stop.is_set():
            raise _Stopped
        logger.info(line)

    parts = tuple(PARTS)
    with (
        suppress(_Stopped),
        open_deployment(settings, parts, begin, Pace(speed, open_clock)) as deployment,
    ):
        rpc_url = deployment.chain.rpc_url if deployment.chain else ""
        place = SandboxPlace(settings.home, settings.public_url, rpc_url)
        begin("opening the market")
        with living(deployment.stack, clocks[0], place, seed, residents) as workers:
            words = "" if json_out else welcome(settings.public_url, rpc_url, speed)
            announce = partial(typer.echo, words, nl=False)
            run_parts(deployment, settings, parts, stop, workers, announce=announce)
    logger.info("stopped")


class _Stopped(Exception):  # noqa: N818 - no error: it is to end before it has begun
    """The end of a start during which a signal came."""


def _checked_home(named: Path | None) -> Path:
    """Return the folder to live in, which need not be there; nothing is made.

    Raises InputError for a place that is none, LocalError for one that PostgreSQL cannot enter.
    """
    from orchestrator.runtime.local_servers import check_enterable
    from orchestrator.runtime.settings import default_home

    try:
        home = (default_home(NAME) if named is None else named.expanduser()).absolute()
    except RuntimeError:
        raise InputError("home-unusable", "this user has no home: give --home") from None
    for place in (home, *home.parents):
        if place.exists():
            if not place.is_dir():
                raise InputError("home-unusable", f"--home: {place} is a file; name a folder")
            break
    example = f"tallystick sandbox --home {Path(gettempdir()) / NAME}"
    check_enterable(home, f"give --home a folder that all may enter, for example: {example}")
    return home


def _check_port(host: str, port: int) -> None:
    """Raise ChainError, with what to do, for a port that is not ours to take."""
    from orchestrator.runtime.connections import listen

    try:
        listen(host, port).close()
    except ChainError as error:
        if error.code != "address-taken":
            raise
        other = port + 1 if port < _MOST_PORT else PORT
        remedy = f"end what listens there, or give --port {other}"
        raise ChainError(error.code, f"{error.message}: {remedy}") from None


def _settings(home: Path, speed: int, port: int, public: str | None) -> "Settings":
    """Return the settings of a sandbox: servers of its own, in its folder."""
    from orchestrator.runtime.local_servers import make_enterable
    from orchestrator.runtime.settings import Settings
    from orchestrator.storage.database import NO_URLS

    if public is not None and not _HOST.fullmatch(public):
        raise InputError(
            "public-malformed",
            f"--public must be a name or an IPv4 address of this machine, not {public!r:.80}",
        )
    if public == "0.0.0.0":  # noqa: S104 - it is refused
        raise InputError(
            "public-nowhere",
            "--public must be an address at which others reach this machine, which 0.0.0.0 is for "
            "none: clients sign in to the address that they were given",
        )
    host = public or "127.0.0.1"
    _check_port(host, port)
    make_enterable(home)
    limits = home / "limits.json"
    write_private(limits, json.dumps(sandbox_limits(speed, is_public=public is not None)))
    return Settings(
        home=home,
        databases=NO_URLS,
        rpc_url=None,
        site=None,
        keys=home / "keys",
        key_file=None,
        host=host,
        port=port,
        public_url=f"http://{host}:{port}",
        # Often enough for an outcome to be paid within seconds.
        settle_every_s=3 * speed,
        limits=limits,
        trusted_proxies=(),
        metrics=None,
    )


def _refuse_settings(environment: Mapping[str, str]) -> None:
    """Raise InputError for a setting of deployments: a sandbox would silently go by another."""
    from orchestrator.runtime.settings import NAMES

    for name in NAMES:
        if name not in _SHARED and environment.get(name):
            option = _OPTION_FOR.get(name, "there is no option in its place")
            raise InputError(
                "setting-unused", f"a sandbox does not go by {name}: unset it; {option}"
            )


def sandbox_limits(speed: int, *, is_public: bool) -> dict[str, int]:
    """Return the limits that differ: what people wait for takes as long as by a slow clock."""
    usual = Limits()
    waits = {
        # The database lets no nonce live longer than a day.
        name: min(getattr(usual, name) * speed, DAY_MS)
        for name in ("nonce_ttl_ms", "confirmation_ttl_ms")
    }
    return {**_SMALL, **waits, "stored_bytes": _STORED_BYTES, **(_PUBLIC if is_public else {})}
