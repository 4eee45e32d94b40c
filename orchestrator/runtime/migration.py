"""The preparing of a deployment's database, and the checks that it is prepared.

`tallystick migrate` prepares it as the owner of its schema, and a local deployment its own
PostgreSQL; no part of a service can. Each part checks what it finds before it works there.
"""

from collections.abc import Callable
from contextlib import closing

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits, inbox_limits
from orchestrator.core.deals.site import Site
from orchestrator.runtime.settings import Settings, read_limits_file, read_site
from orchestrator.storage.database import Database, DatabaseUrls, Session, connect_as_owner
from orchestrator.storage.schema import create_log, inbox_limits_of, migrate, secure_logins


def migrate_deployment(settings: Settings, report_progress: Callable[[str], None]) -> None:
    """Bring the database that the settings name up to date: schema, logins and the site's log.

    All of it may be done again at any time. Raises InputError, ChainError or LogError.
    """
    urls, rpc_url, site_path = settings.databases, settings.rpc_url, settings.site
    urls.owners  # noqa: B018 - refused before the chain is asked
    if rpc_url is None or site_path is None:
        raise InputError(
            "setting-site",
            "whose log this is stands on chain: set TALLYSTICK_RPC_URL and TALLYSTICK_SITE",
        )
    site = read_site(site_path)
    # The site comes before the database: a wrong one must leave no trace in it.
    publisher = publisher_of(rpc_url, site)
    prepare_schema(urls, report_progress, limits=read_limits_file(settings.limits))
    if begin_log(urls, site, publisher):
        report_progress(f"log {to_hex(site.log_id)} of {site.origin} has begun")


def prepare_schema(
    urls: DatabaseUrls,
    report_progress: Callable[[str], None] = lambda _: None,
    *,
    limits: Limits | None = None,
) -> None:
    """Bring the schema up to date, with the logins and the passwords that their URLs have.

    Requests are held to these limits from then on.
    """
    for name in migrate(urls.owners, limits):
        report_progress(f"migration {name}")
    for login in secure_logins(urls):
        report_progress(f"password of {login}")


def publisher_of(rpc_url: str, site: Site) -> str:
    """Return the publisher of the site's log by the chain. Raises ChainError for a wrong site."""
    with Chain(rpc_url, site.addresses) as chain:
        chain.check()
        return chain.check_log(site.log_id, site.registrant, site.origin)


def begin_log(urls: DatabaseUrls, site: Site, publisher: str) -> bool:
    """Begin the site's log in its database; return False if it has begun. Raises LogError."""
    with (
        closing(connect_as_owner(urls.owners)) as connection,
        connection.transaction() as session,
    ):
        refuse_other_log(session, site)
    return create_log(
        urls.owners,
        log_id=site.log_id,
        origin=site.origin,
        chain_id=site.addresses.chain_id,
        event_log=site.addresses.event_log,
        escrow=site.addresses.escrow,
        publisher=publisher,
    )


def check_clock(database: Database) -> int:
    """Return the database's clock, UTC milliseconds. Raises LogError if it is moved by hand."""
    with database.transaction() as session:
        clock = session.one("database.clock")
    if clock is None or clock.is_simulated:
        raise LogError(
            "clock-simulated",
            "the clock of this database is moved by hand, as in a demonstration, so no receipt in "
            "it is true; name another database",
        )
    return int(clock.now_ms)


def check_log(database: Database, site: Site) -> None:
    """Raise LogError unless the database keeps the log of this site, and no other."""
    with database.transaction() as session:
        refuse_other_log(session, site)
        if session.one("database.log", log_id=site.log_id) is None:
            raise LogError(
                "log-unknown",
                f"this database does not keep log {to_hex(site.log_id)}; run tallystick migrate",
            )


def check_limits(database: Database, limits: Limits) -> None:
    """Raise LogError unless the database holds requests to these limits, which callers are told."""
    with database.transaction() as session:
        held, ours = inbox_limits_of(session), inbox_limits(limits)
    if held != ours:
        raise LogError(
            "limits-unmigrated",
            f"the database holds requests to {held}, and TALLYSTICK_LIMITS says {ours}; run "
            f"tallystick migrate with the same limits",
        )


def refuse_other_log(session: Session, site: Site) -> None:
    """Raise LogError for a database that keeps another log."""
    other = session.one("pipeline.other_log", log_id=site.log_id)
    if other is not None:
        raise LogError(
            "database-of-another-log",
            f"this database keeps log {to_hex(bytes(other.log_id))} of {other.origin}, not "
            f"{to_hex(site.log_id)} of {site.origin}; name another database",
        )
