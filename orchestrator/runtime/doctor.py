"""What a deployment needs, looked at one by one: is it here, is it reachable, does it agree?"""

import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.core.errors import DomainError
from orchestrator.runtime.local_servers import find_anvil, find_postgres
from orchestrator.runtime.serve import read_site
from orchestrator.runtime.settings import Settings
from orchestrator.storage.database import API, Database, DatabaseError

FREE_BYTES = 2**30


class Finding(NamedTuple):
    """One thing that was looked at; `detail` says what is there, or what to do about it."""

    what: str
    ok: bool
    detail: str


def examine(read_settings: Callable[[], Settings]) -> list[Finding]:
    """Look at everything that the settings need. Starts and changes nothing."""
    findings = [
        _look("python", lambda: f"{platform.python_version()} at {sys.executable}"),
        _look("tallystick", lambda: version("tallystick")),
    ]
    try:
        settings = read_settings()
    except DomainError as error:
        return [*findings, Finding("settings", False, error.message)]
    findings.append(Finding("settings", True, f"home {settings.home}, API on {settings.host}"))
    findings.append(_look("disk", lambda: _disk(settings.home)))
    if settings.database_url is None:
        findings.append(_look("postgresql", lambda: f"our own, {find_postgres()}"))
    else:
        findings.append(_look("postgresql", lambda: _database(settings)))
    if settings.rpc_url is None:
        findings.append(_look("anvil", lambda: f"{find_anvil()}, for a local chain"))
    else:
        findings.append(_look("chain", lambda: _chain(settings)))
    return findings


def _look(what: str, examine_it: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, examine_it())
    except (DomainError, DatabaseError) as error:
        said = str(error).splitlines()
        return Finding(what, False, said[0] if said else type(error).__name__)


def _disk(home: Path) -> str:
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise DomainError(
            "disk-full", f"{free >> 20} MiB are free at {there}; make it 1024 or more"
        )
    return f"{free >> 30} GiB free at {there}"


def _database(settings: Settings) -> str:
    with Database(settings.database_url or "", API) as database, closing(database.connect()):
        return "reachable, and set up for us"


def _chain(settings: Settings) -> str:
    if settings.site is None or settings.rpc_url is None:
        raise DomainError("site-missing", "set TALLYSTICK_SITE to the deployment's JSON file")
    site = read_site(settings.site)
    chain = Chain(settings.rpc_url, site.addresses)
    try:
        chain.check()
        chain.check_companions()
        anchor = chain.checkpoint(site.log_id)
    finally:
        chain.close()
    return (
        f"chain {site.addresses.chain_id} holds our contracts; "
        f"the log is anchored at size {anchor.size}"
    )
