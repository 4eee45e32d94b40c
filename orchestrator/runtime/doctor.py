"""Checks of everything that a deployment needs: present, reachable, and in agreement."""

import errno
import os
import platform
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.chain.nodes.pool import split_urls
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, InputError
from orchestrator.core.common.units import MAX_AHEAD_MS, format_second
from orchestrator.core.deals.site import Site
from orchestrator.core.deals.terms import address_of
from orchestrator.core.health import LEAST_FREE_BYTES
from orchestrator.log.guard.mark import Mark
from orchestrator.runtime.health.needs import examine_node
from orchestrator.runtime.local_servers import LocalPostgres, find_anvil, find_postgres
from orchestrator.runtime.migration import check_clock, check_limits, check_log
from orchestrator.runtime.serve import now_ms, read_keys
from orchestrator.runtime.settings import Settings, read_limits_file, read_site
from orchestrator.runtime.stack import PARTS
from orchestrator.storage.database import API, REGISTRAR, Database, DatabaseError, refusal_of
from orchestrator.storage.local.files import free_bytes, read_key

FREE_BYTES = LEAST_FREE_BYTES
ANSWER_S = 2  # that a program at our port has to show that it is ours


class CheckResult(NamedTuple):
    """The result of one check. `detail` describes what is there, or what to do about it."""

    what: str
    ok: bool
    detail: str


def examine(read_settings: Callable[[], Settings]) -> list[CheckResult]:
    """Check everything that the settings need, without starting or changing anything.

    Reading the settings is a check too: if it fails, the checks that need them are left out.
    """
    results = [
        _check("python", lambda: f"{platform.python_version()} at {sys.executable}"),
        _check("tallystick", lambda: version("tallystick")),
    ]
    try:
        settings = read_settings()
    except DomainError as error:
        return [*results, CheckResult("settings", False, error.message)]
    results.append(CheckResult("settings", True, f"home {settings.home}, API on {settings.host}"))
    results.append(_check("home", lambda: _describe_home(settings)))
    if settings.limits is not None:
        results.append(_check("limits", lambda: _describe_limits(settings)))
    signing = _parts_with_keys(settings)
    if signing:
        results.append(_check("keys", lambda: _describe_keys(settings, signing)))
    if "sequencer" in signing:
        results.append(_check("mark", lambda: _describe_mark(settings)))
    results.append(_check("disk", lambda: _describe_disk(settings.home)))
    results += [
        _check(f"port {port}", partial(_describe_port, host, port))
        for host, port in _ports(settings)
    ]
    if settings.databases.are_unset:
        results.append(_check("postgresql", lambda: f"our own, {find_postgres()}"))
    for login, url in settings.databases.by_login.items():
        part = login.removeprefix("tallystick_")
        describe = partial(_describe_database, login, url, settings)
        results.append(_check(f"postgresql, {part}", describe))
    if settings.rpc_url is None:
        results.append(_check("anvil", lambda: f"{find_anvil()}, for a local chain"))
    else:
        results.append(_check("chain", lambda: _describe_chain(settings)))
        # Without our contracts there is nothing to try the nodes with.
        if results[-1].ok and settings.site is not None:
            results += _examine_nodes(settings, settings.rpc_url, read_site(settings.site))
    return results


def _examine_nodes(settings: Settings, rpc_urls: str, site: Site) -> list[CheckResult]:
    """Try what the pipeline needs of each node; that they agree was checked with the chain."""
    depth, results, payer = settings.final_depth, list[CheckResult](), None
    key_file = settings.keys / "relayer"
    if _is_there(key_file):
        try:
            payer = address_of(read_key(key_file))
        except InputError as error:
            results.append(CheckResult("gas money", False, error.message))
    for rpc_url in split_urls(rpc_urls):
        with Chain(rpc_url, site.addresses, depth) as chain:
            name = chain.node.name.removeprefix("the ")
            results += [
                CheckResult(f"{name}, {need.what}", need.ok, need.detail)
                for need in examine_node(chain, payer)
            ]
    return results


def _check(what: str, describe: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(what, True, describe())
    except DomainError as error:
        return CheckResult(what, False, error.message)
    except DatabaseError as error:
        return CheckResult(what, False, refusal_of(error).message)
    except OSError as error:
        return CheckResult(what, False, f"{error.filename}: {error.strerror}")


def _is_there(path: Path) -> bool:
    """Return whether a path is there, as far as we may see: in a folder closed to us nothing is."""
    return _may(path, os.F_OK)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _ports(settings: Settings) -> list[tuple[str, int]]:
    """Return where a deployment listens; what it can do without is left out."""
    metrics = settings.metrics
    named = [] if metrics is None or metrics.is_default else [(metrics.host, metrics.port)]
    return [(settings.host, settings.port), *named]


def _describe_port(host: str, port: int) -> str:
    """Return that a port is free, or what of ours listens there; nothing is left listening."""
    try:
        with socket.create_server((host, port)):
            return f"free at {host}"
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise DomainError(
                "port-unusable", f"{host}:{port} cannot be listened on: {error.strerror}"
            ) from None
    if _is_ours(f"http://{host}:{port}"):
        return f"a Tallystick service listens at {host} already"
    raise DomainError(
        "port-taken",
        f"another program listens at {host}:{port}; stop it, or set TALLYSTICK_LISTEN or "
        f"TALLYSTICK_METRICS to another port",
    )


def _is_ours(url: str) -> bool:
    """Return whether a service like ours answers: the API by its log, or a part by its state."""
    with Client(url, timeout_s=ANSWER_S) as client:
        for path, member in (("/v1/log", "log_id"), ("/status", "parts")):
            with suppress(DomainError):
                answer = client.get(path)
                if isinstance(answer, dict) and member in answer:
                    return True
    return False


def _describe_disk(home: Path) -> str:
    free = free_bytes(home)
    if free < FREE_BYTES:
        raise DomainError("disk-full", f"{free >> 20} MiB are free at {home}; make it 1024 or more")
    return f"{free >> 30} GiB free at {home}"


def _describe_home(settings: Settings) -> str:
    """Return that a deployment can keep there what it does; nothing is made."""
    nearest = next(each for each in (settings.home, *settings.home.parents) if _is_there(each))
    if not nearest.is_dir() or not _may(nearest, os.W_OK | os.X_OK):
        raise DomainError(
            "home-unusable",
            f"{nearest} is no folder that we may write in; set TALLYSTICK_HOME to one",
        )
    if settings.databases.are_unset:
        LocalPostgres(settings.home / "postgres").check_folder()
    return f"{settings.home}{'' if nearest == settings.home else ', which is made at the start'}"


def _describe_limits(settings: Settings) -> str:
    read_limits_file(settings.limits)
    return f"those of {settings.limits}"


def _parts_with_keys(settings: Settings) -> list[str]:
    """Return the parts that may run here and sign; those of a chain that we begin get their keys.

    The worker's login is of the part `webhooks` too, which has no key: where no folder is named and
    there is none, that one may be meant.
    """
    logins = settings.databases.by_login
    if settings.rpc_url is None and not _is_there(settings.home / "site.json"):
        return []
    parts = [
        name
        for name, part in PARTS.items()
        if part.keys and (settings.databases.are_unset or part.login in logins)
    ]
    is_named = settings.keys != settings.home / "keys"
    if parts == ["pipeline"] and not is_named and not _is_there(settings.keys):
        return []
    return parts


def _describe_keys(settings: Settings, parts: Sequence[str]) -> str:
    keys = read_keys(settings.keys, {name for part in parts for name in PARTS[part].keys})
    return ", ".join(f"{name} {address_of(key)}" for name, key in keys.items())


def _describe_mark(settings: Settings) -> str:
    path = settings.mark
    if not _may(path.parent, os.W_OK | os.X_OK):
        raise DomainError(
            "mark-unwritable",
            f"{path}: its folder is not there, or we may not write in it; name a file that the "
            f"sequencer may write with TALLYSTICK_MARK",
        )
    site = _known_site(settings)
    if site is not None:
        Mark(path, site.log_id).look()
    return f"{path}{'' if path.exists() else ', which is made at the first checkpoint'}"


def _known_site(settings: Settings) -> Site | None:
    """Return the site, if it can be read; what is wrong with it is a result about the chain."""
    if settings.site is None:
        return None
    with suppress(DomainError):
        return read_site(settings.site)
    return None


def _describe_database(login: str, url: str, settings: Settings) -> str:
    site = _known_site(settings)
    with Database(url, login) as database:
        database.try_connection()
        ahead_ms = check_clock(database) - now_ms()
        if site is not None and login != REGISTRAR:  # which sees nothing of a log
            check_log(database, site)
        if login == API:
            with suppress(InputError):  # a result of its own
                check_limits(database, read_limits_file(settings.limits))
    if abs(ahead_ms) > MAX_AHEAD_MS:
        raise DomainError(
            "clocks-differ",
            f"its clock is {abs(ahead_ms) / 1000:.0f} s {'ahead of' if ahead_ms > 0 else 'behind'} "
            f"this machine's; receipts are stamped by it, so set the one that is wrong",
        )
    return "reachable, and set up for us; its clock is this machine's"


def _describe_chain(settings: Settings) -> str:
    if settings.site is None or settings.rpc_url is None:
        raise DomainError("site-missing", "set TALLYSTICK_SITE to the deployment's JSON file")
    site = read_site(settings.site)
    with Chain(settings.rpc_url, site.addresses, settings.final_depth) as chain:
        chain.check()
        chain.check_companions()
        anchor = chain.checkpoint(site.log_id)
        forked_at_s = chain.forked_at(site.log_id)
    if forked_at_s is not None:
        raise DomainError(
            "log-forked",
            f"the log was marked as forked at {format_second(forked_at_s)}: nothing more of it is "
            f"anchored; find out who holds the publisher's key, and begin another log",
        )
    return (
        f"chain {site.addresses.chain_id} holds our contracts; "
        f"the log is anchored at size {anchor.size}"
    )
