"""The checking and the restoring of the database that the settings name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.client.log_server import LogSource
from orchestrator.core.common.errors import InputError, TermsError
from orchestrator.core.deals.site import Site
from orchestrator.core.deals.terms import checkpoint_digest, recover, sign_digest
from orchestrator.core.world.contract import rules_of
from orchestrator.log.fsck import Checks, Finding, findings
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.log.guard.mark import Mark
from orchestrator.log.tree import Checkpoint, stored_checkpoint
from orchestrator.runtime.local_servers import LocalAnvil, LocalPostgres, find_anvil
from orchestrator.runtime.migration import begin_log, check_log, prepare_schema
from orchestrator.runtime.recovery.restore import Parties, Restored, restore
from orchestrator.runtime.serve import now_ms
from orchestrator.runtime.settings import Settings, read_limits_file, read_site
from orchestrator.storage.database import SEQUENCER, WORKER, Database, DatabaseUrls
from orchestrator.storage.local.files import read_key
from orchestrator.verify.anchors import Anchors
from orchestrator.verify.saved_log import SavedLog, save_log

Report = Callable[[str, int], None]


class _Opened(NamedTuple):
    """A deployment's log: its databases, its chain, its site, and who publishes it."""

    urls: DatabaseUrls
    chain: Chain
    site: Site
    publisher: str


def _check_home(settings: Settings, *, has_database: bool) -> None:
    """Raise InputError where our own servers are meant and HOME has none; nothing is made there."""
    needed = []
    if settings.databases.are_unset and has_database:
        needed.append(settings.home / "postgres/data")
    if settings.rpc_url is None:
        needed.append(settings.home / "site.json")
        find_anvil()
    for path in needed:
        if not path.exists():
            raise InputError(
                "home-empty",
                f"{path} is not there: {settings.home} is no folder of a deployment; correct "
                f"TALLYSTICK_HOME, or name database and node as for serve",
            )


@contextmanager
def _opened(settings: Settings, *, may_prepare: bool) -> Iterator[_Opened]:
    """Open the deployment, with servers of its own if it has such, until the block ends.

    Only one that `may_prepare` a database begins a new one of our own, or brings it up to date.
    """
    _check_home(settings, has_database=not may_prepare)
    with ExitStack() as exits:
        urls, rpc_url, site_path = settings.databases, settings.rpc_url, settings.site
        if urls.are_unset:
            postgres = exits.enter_context(LocalPostgres(settings.home / "postgres"))
            urls = postgres.urls()
        if rpc_url is None:
            rpc_url = exits.enter_context(LocalAnvil(settings.home / "chain")).rpc_url
            site_path = settings.home / "site.json"
        if site_path is None:
            raise InputError("setting-site", "set TALLYSTICK_SITE to the deployment's JSON file")
        site = read_site(site_path)
        chain = exits.enter_context(Chain(rpc_url, site.addresses, settings.final_depth))
        chain.check()
        publisher = chain.check_log(site.log_id, site.registrant, site.origin)
        if settings.databases.are_unset and may_prepare:
            prepare_schema(urls, limits=read_limits_file(settings.limits))
            begin_log(urls, site, publisher)
        yield _Opened(urls, chain, site, publisher)


@contextmanager
def _database(opened: _Opened, login: str) -> Iterator[Database]:
    url = opened.urls.by_login.get(login)
    if url is None:
        name = login.removeprefix("tallystick_").upper()
        raise InputError("database-url-missing", f"set TALLYSTICK_{name}_DATABASE_URL")
    with Database(url, login) as database:
        database.try_connection()
        check_log(database, opened.site)
        yield database


def check_deployment(settings: Settings, report_progress: Report) -> tuple[int, list[Finding]]:
    """Check the log and its projections; return its size and what is wrong."""
    with (
        _opened(settings, may_prepare=False) as opened,
        _database(opened, SEQUENCER) as writer,
        _database(opened, WORKER) as worker,
    ):
        chain, log_id = opened.chain, opened.site.log_id
        checks = Checks(
            tuple(_known_roots(settings, opened, writer)),
            _Signers(opened).has_signed,
            lambda contract_id: rules_of(chain.terms_of(contract_id), contract_id),
            report_progress,
        )
        found = list(findings(writer, worker, log_id, checks))
        with writer.transaction() as session:
            last = stored_checkpoint(session, log_id)
    return (last.size if last else 0), found


def _known_roots(settings: Settings, opened: _Opened, writer: Database) -> list[KnownRoot]:
    log_id = opened.site.log_id
    known = Anchors(opened.chain, log_id).known(writer)
    mark = Mark(settings.mark, log_id)
    mark.look()
    with writer.transaction() as session:
        last = stored_checkpoint(session, log_id)
    return [*known, *mark.known_roots(last.size if last else 0)]


class _Signers:
    """The publishers of a log: that of today, and those that have handed it over since it began.

    The chain is asked for those before once, and not until a signature is none of today's.
    """

    def __init__(self, opened: _Opened) -> None:
        self._chain, self._log_id = opened.chain, opened.site.log_id
        self._publisher = opened.publisher

    @cached_property
    def _before(self) -> frozenset[str]:
        start = self._chain.block(self._chain.addresses.start_block)
        return frozenset(self._chain.publishers_replaced(self._log_id, start.time_s - 1))

    def has_signed(self, one: Checkpoint) -> bool:
        """Return whether a checkpoint is signed by one of them."""
        digest = checkpoint_digest(self._chain.event_log_domain, self._log_id, one.size, one.root)
        try:
            signer = recover(digest, one.signature)
        except TermsError:
            return False
        return signer == self._publisher or signer in self._before


def restore_deployment(settings: Settings, source: str, report_progress: Report) -> Restored:
    """Restore the log's database from a server of the log (a URL) or a folder with a saved one.

    What a server says is saved in HOME first, so that it says the same twice.
    """
    key = read_key(settings.keys / "publisher")
    with _opened(settings, may_prepare=True) as opened, _database(opened, SEQUENCER) as writer:
        domain, log_id = opened.chain.event_log_domain, opened.site.log_id

        def sign(size: int, root: bytes) -> bytes:
            return sign_digest(checkpoint_digest(domain, log_id, size, root), key)

        to = Parties(
            writer,
            opened.chain,
            log_id,
            opened.publisher,
            sign,
            Mark(settings.mark, log_id),
            now_ms,
        )
        return restore(_source(settings, source, report_progress), to, report_progress)


def _source(settings: Settings, source: str, report_progress: Report) -> LogSource:
    folder = Path(source)
    if source.startswith(("http://", "https://")):
        folder = settings.home / "saved-log"
        with Client(source) as client:
            save_log(client, folder, lambda done, _: report_progress("saved", done))
    return SavedLog(folder)
