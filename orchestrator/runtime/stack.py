"""A deployment's parts wired together: database, chain, log, pipeline and API, on one clock.

`serve`, `demo` and `backtest --settle` all use this, so a demonstration shows what a deployment
does. No part starts before the site has been checked against the chain and the database.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI

from api.context import ChainReads, Network, ServiceInfo
from api.places import CountHolders, count_alone
from api.watch import Watch
from orchestrator.actions.contract_state import read_cautions
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer, stored_fork
from orchestrator.chain.relayer import Relayer
from orchestrator.core.account.agent_card import KEYS_PATH, CardKey
from orchestrator.core.account.sign_in import Audience
from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import format_second
from orchestrator.core.deals.site import Site, Sponsorship
from orchestrator.core.deals.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.resource import ResourceGroup
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world.requests import Genesis
from orchestrator.identity.registrar import Registrar
from orchestrator.log.feed import Feed
from orchestrator.log.guard.mark import Guard, Mark
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.reader import PAGE_ENTRIES, LogReader
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.connections import Bounds, Gate, allow_files, bounded_server
from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.health.pulse import Figures, Heart, chain_figures, no_figures
from orchestrator.runtime.migration import check_clock, check_limits, check_log
from orchestrator.settlement.pipeline import Pipeline
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import (
    API,
    REGISTRAR,
    SEQUENCER,
    WORKER,
    Database,
    DatabaseUrls,
)
from orchestrator.storage.traces import Tracer
from orchestrator.storage.trouble import Trouble
from orchestrator.verify.anchors import Anchors
from orchestrator.verify.log_replay import LogReplay
from orchestrator.verify.resuming.kept_fold import KeptFold
from orchestrator.webhooks.courier import Courier
from orchestrator.webhooks.delivery import Deliverer
from orchestrator.webhooks.posting import Poster
from orchestrator.webhooks.worker import WebhookWorker

MAX_TRANSACTIONS = 10_000

_log = logging.getLogger(__name__)


class Keys(NamedTuple):
    """The private keys, 32 bytes each: one anchors the log, one signs statements, one pays gas.

    There are three so that losing one is not losing all. A stolen relayer key costs gas. A stolen
    verifier key pays nothing without an anchored entry. A stolen publisher key pays nothing that
    the verifier does not sign or that the owner disputes. So each part gets its own alone: the
    sequencer the first, the pipeline the other two, the API none.
    """

    publisher: bytes | None = None
    verifier: bytes | None = None
    relayer: bytes | None = None

    def __repr__(self) -> str:
        return "Keys(…)"


class Part(NamedTuple):
    """A part of a deployment, by the login with which it works and the keys that it needs."""

    login: str
    keys: tuple[str, ...] = ()


PARTS: Mapping[str, Part] = {
    "api": Part(API),
    "registrar": Part(REGISTRAR),
    "sequencer": Part(SEQUENCER, ("publisher",)),
    "pipeline": Part(WORKER, ("verifier", "relayer")),
    "webhooks": Part(WORKER),
}


class SentTransaction(NamedTuple):
    """A transaction of the relayer that succeeded: its intent, its hash, and the gas it used."""

    intent_key: str
    tx_hash: bytes
    gas_used: int


class Surroundings(NamedTuple):
    """Proxies that are believed who sent a request, origins whose pages may send keys, our folder.

    Blocks are believed to be final that lie `final_depth` below the latest, or else those that the
    nodes call so. Webhooks may go to the networks, although they are not of the public Internet.
    Documents of OAuth's clients may be in the `client_networks` likewise. The folder is on the disk
    that must have room. The mark is the file that says what was signed, and in the file `replay`
    the verifier's replay is kept. The card key signs agent cards, if there is one. What callers
    hold of the API at a time is counted by `holders`. The tracer is told what requests cause.
    """

    proxies: tuple[Network, ...] = ()
    origins: tuple[str, ...] = ()
    final_depth: int | None = None
    webhook_networks: tuple[Network, ...] = ()
    folder: Path = Path("/")
    client_networks: tuple[Network, ...] = ()
    mark: Path | None = None
    card_key: bytes | None = None
    replay: Path | None = None
    holders: CountHolders = count_alone
    tracer: Tracer | None = None

    def __repr__(self) -> str:
        return "Surroundings(…)"


NO_SURROUNDINGS = Surroundings()
T = TypeVar("T")


class Stack(ResourceGroup):
    """A site in operation. `now_ms` is the clock of all its parts but the database.

    The database's own stamps receipts. If that is another than the machine's, `speed` must say how
    many of its seconds one of real time has (0: it is moved by hand), and `now_ms` be the same: no
    service of real time may run on it.

    API, registrar, sequencer, relayer and pipeline are made at first use. They raise InputError
    `key-missing` without their keys, and `database-url-missing` without their logins.
    """

    def __init__(
        self,
        *,
        databases: DatabaseUrls,
        rpc_url: str,
        site: Site,
        keys: Keys,
        now_ms: Callable[[], int],
        public_url: str,
        limits: Limits | None = None,
        around: Surroundings = NO_SURROUNDINGS,
        speed: int | None = None,
    ) -> None:
        super().__init__()
        self.site = site
        self.now_ms = now_ms
        self._keys = keys
        self._urls = databases
        self._databases: dict[str, Database] = {}
        self._is_simulated, self._speed = speed is not None, 1 if speed is None else speed
        self.limits = limits or Limits()
        with self._opening():
            self._public_url, self._around = public_url, around
            self._open_chain(rpc_url)
            self._check_databases()

    def _open_chain(self, rpc_url: str) -> None:
        """Check that the site's contracts and log are on this chain, and that our keys are theirs.

        This comes before the database is touched: a wrong site must leave no trace in it.
        """
        site = self.site
        chain = Chain(rpc_url, site.addresses, self._around.final_depth)
        self.chain = self._exits.enter_context(chain)
        self.chain.check()
        self.chain.check_companions()
        self.publisher = self.chain.check_log(site.log_id, site.registrant, site.origin)
        if site.verifier == self.publisher:
            raise InputError("keys-same", "publisher and verifier must be two accounts")
        _check_key("publisher", self._keys.publisher, self.publisher)
        _check_key("verifier", self._keys.verifier, site.verifier)
        self.escrow_domain = self.chain.escrow_domain

    def _check_databases(self) -> None:
        """Check that all our logins lead to this log; as the worker, ask for its genesis."""
        self._anchors = Anchors(self.chain, self.site.log_id)
        for login in self._urls.by_login:
            database = self._database(login)
            database.try_connection()
            if not self._is_simulated:
                check_clock(database)
            if login != REGISTRAR:  # which sees nothing of a log
                check_log(database, self.site)
                self._check_moved(login)
            if login == API:
                check_limits(database, self.limits)
        if self._urls.worker is not None and self.log.checkpoint() is None:
            self._submit_genesis()

    def _check_moved(self, login: str) -> None:
        """Raise LogError for a database that lacks what was anchored or signed."""
        guard = self._guard(login)
        if guard.mark is not None:
            # Before the database: a writer that runs brings that up to date after the mark.
            guard.mark.look()
        with self._database(login).transaction() as session:
            guard.check(session, self.site.log_id)

    def _guard(self, login: str) -> Guard:
        """Return what is known of the log beside a database; the mark is the sequencer's alone."""
        path = self._around.mark if login == SEQUENCER else None
        mark = None if path is None else Mark(path, self.site.log_id)
        return Guard(mark, partial(self._anchors.known, self._database(login)))

    def _database(self, login: str) -> Database:
        """Return the database by a login of ours. Raises InputError if we have not got it."""
        if login not in self._databases:
            url = self._urls.by_login.get(login)
            if url is None:
                name = login.removeprefix("tallystick_").upper()
                raise InputError(
                    "database-url-missing", f"this part needs TALLYSTICK_{name}_DATABASE_URL"
                )
            # The other parts say their trouble of every sort, this one what its callers meet.
            trouble = Trouble("api") if login == API else None
            database = Database(url, login, trouble=trouble)
            self._databases[login] = self._exits.enter_context(database)
        return self._databases[login]

    @property
    def worker(self) -> Database:
        """The database as the pipeline sees it."""
        return self._database(WORKER)

    @property
    def api(self) -> Database:
        """The database as the API sees it."""
        return self._database(API)

    @cached_property
    def log(self) -> LogReader:
        """The log as the pipeline reads it."""
        return LogReader(self.worker, self.site.log_id)

    @cached_property
    def app(self) -> FastAPI:
        """The API."""
        # Its routes take as long to import as all else here, and four of five parts serve none.
        from api.app import create_app  # noqa: PLC0415

        site = self.site
        return create_app(
            database=self.api,
            log_id=site.log_id,
            now_ms=self.now_ms,
            escrow_domain=self.escrow_domain,
            event_log_domain=self.chain.event_log_domain,
            chain=ChainReads(
                self.chain.is_signed_by_wallet,
                self.chain.agent_accounts,
                lambda: self._forked_at_s(self.api),
                lambda terms: read_cautions(self.chain, terms, (site.verifier,)),
                self.chain.funds_of,
            ),
            info=ServiceInfo(
                public_url=self._public_url,
                origin=site.origin,
                publisher=self.publisher,
                verifier=site.verifier,
                tokens=site.tokens,
                fee_bps=site.fee_bps,
                fee_recipient=site.fee_recipient,
                lens=site.addresses.lens,
                feedback=site.addresses.feedback,
                evaluators=site.addresses.evaluators,
                splits=site.addresses.splits,
                trusted_proxies=self._around.proxies,
                webhook_networks=self._around.webhook_networks,
                folder=self._around.folder,
                client_networks=self._around.client_networks,
                speed=self._speed,
                cards=self._card_key(),
                holders=self._around.holders,
                tracer=self._around.tracer,
            ),
            limits=self.limits,
            origins=self._around.origins,
        )

    def _card_key(self) -> CardKey | None:
        secret = self._around.card_key
        return None if secret is None else CardKey(secret, self._public_url + KEYS_PATH)

    def watch(self) -> Watch:
        """Return a look at the whole service, by whichever login we have."""
        (login, *_) = self._urls.by_login
        return Watch(self._database(login), self.site.log_id, self._around.folder, self._speed)

    def heart(self, part: str, act: Callable[[], T]) -> Heart[T]:
        """Return a part's work, which notes in the database that it goes well."""
        figures: Figures = no_figures
        if part == "pipeline":
            sender = self.relayer.sender
            figures = partial(chain_figures, self.chain, self.site.log_id, sender)
        database = self._database(PARTS[part].login)
        return Heart(act, database, self.site.log_id, part, figures)

    @cached_property
    def sequencer(self) -> Sequencer:
        """The log's only writer. It needs the publisher's key."""
        key, log_id = _require("publisher", self._keys.publisher), self.site.log_id
        domain, database = self.chain.event_log_domain, self._database(SEQUENCER)

        def sign(size: int, root: bytes) -> bytes:
            forked_at_s = self._forked_at_s(database)
            if forked_at_s is not None:
                raise LogError(
                    "log-forked",
                    f"log {to_hex(log_id)} was marked as forked at {format_second(forked_at_s)}, "
                    f"so nothing more is signed; find out who holds the publisher's key, and begin "
                    f"another log",
                )
            return sign_digest(checkpoint_digest(domain, log_id, size, root), key)

        guard = self._guard(SEQUENCER)
        sequencer = Sequencer(database, log_id, self.now_ms, sign, guard=guard)
        sequencer.tracer = self._around.tracer
        # It takes the writer's lock at its first drain; entering it here would take it now.
        self._exits.callback(sequencer.close)
        return sequencer

    @cached_property
    def registrar(self) -> Registrar:
        """The decider of sign-ins. It needs no key, and a login that the API has not."""
        url = self._public_url
        return self._exits.enter_context(
            Registrar(
                self._database(REGISTRAR),
                Audience(urlsplit(url).netloc, url, self.escrow_domain.chain_id),
                self.chain.is_signed_by_wallet,
                max(1, self._speed),
            )
        )

    @cached_property
    def relayer(self) -> Relayer:
        """The sender of our transactions. It needs the relayer's key."""
        key = _require("relayer", self._keys.relayer)
        tracer = self._around.tracer
        return Relayer(self.chain, self.worker, key, self.now_ms, tracer=tracer)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The worker that settles and pays. It needs the verifier's key and the relayer's."""
        site, key = self.site, _require("verifier", self._keys.verifier)
        replay = LogReplay(
            site.log_id,
            self.records,
            self._policy,
            self._settings,
            self.chain,
            self.now_ms,
            kept=self._kept_fold(key),
        )
        return Pipeline(
            database=self.worker,
            log=self.log,
            chain=self.chain,
            relayer=self.relayer,
            indexer=Indexer(self.chain, self.worker),
            verifier=Verifier(replay, key),
            now_ms=self.now_ms,
            account=self.publisher,
            sponsorship=Sponsorship(site, self.limits),
        )

    def _kept_fold(self, key: bytes) -> KeptFold | None:
        """Return where the verifier's replay is kept, if it can be."""
        if self._around.replay is None:
            return None
        binding = f"{to_hex(self.site.log_id)} {self.site.addresses}".encode()
        try:
            return self._exits.enter_context(KeptFold(self._around.replay, key, binding))
        except InputError as error:
            _log.warning("%s; the replay is not kept: it begins at the first entry", error)
            return None

    @cached_property
    def webhooks(self) -> WebhookWorker:
        """The worker that sends webhooks. It needs no key, and the worker's login."""
        database, log_id = self.worker, self.site.log_id
        feed = self._exits.enter_context(Feed(database, log_id))
        limits, url = self.limits, self._urls.by_login[WORKER]
        courier = Courier(database, log_id, feed, limits)
        deadline_s = limits.webhook_try_ms / 1000
        poster = Poster(self._around.webhook_networks, deadline_s=deadline_s)
        parts = (database, log_id, feed, courier, poster)
        deliverer = Deliverer(*parts, self.publisher, limits=limits)
        look = self.heart("webhooks", courier.step)
        return WebhookWorker(url, feed, look, deliverer, limits.webhooks_at_once)

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Yield the log's records at positions [start, stop), as far as they are written."""
        while start < stop:
            page = self.log.entries(start, min(PAGE_ENTRIES, stop - start))
            if not page:
                return
            for stored in page:
                yield Record(stored.entry, stored.opened)
            start += len(page)

    def _forked_at_s(self, database: Database) -> int | None:
        """Return when the log was marked as forked, as far as the chain's events were read."""
        fork = stored_fork(database, self.site.addresses, self.site.log_id)
        return None if fork is None else fork.time_s

    def drain(self) -> None:
        """Decide all requests that wait now."""
        self.sequencer.drain_all()

    def sweep(self) -> None:
        """Delete expired nonces and authorizations, and allowances that are full again."""
        with self.worker.transaction() as session:
            session.run("api.sweep_nonces")
            session.run("api.sweep_limits")
            session.run("authorizations.sweep")

    def transactions(self) -> list[SentTransaction]:
        """Return the relayer's transactions that succeeded and are final, oldest first."""
        with self.worker.transaction() as session:
            rows = session.all(
                "pipeline.transactions",
                chain_id=self.site.addresses.chain_id,
                sender=self.relayer.sender.lower(),
                limit=MAX_TRANSACTIONS,
            )
        return [SentTransaction(*row) for row in rows]

    def _submit_genesis(self) -> None:
        genesis = Genesis(self.site.log_id, address_word(self.publisher))
        account = self.publisher.lower()
        with self.worker.transaction(account) as session:
            first = Submission("genesis", genesis, b"genesis")
            submit(session, self.site.log_id, account, [first])

    def _policy(self, hash_: bytes) -> Policy:
        policy = self.log.policy(hash_)
        if policy is None:
            raise LogError("policy-missing", f"policy {to_hex(hash_)} is not in the database")
        return policy

    def _settings(self, hash_: bytes) -> SurfaceSettings:
        settings = self.log.settings(hash_)
        if settings is None:
            raise LogError("settings-missing", f"settings {to_hex(hash_)} are not in the database")
        return settings


def _require(name: str, key: bytes | None) -> bytes:
    if key is None:
        raise InputError("key-missing", f"this part needs the {name}'s key")
    return key


def _check_key(name: str, key: bytes | None, expected: str) -> None:
    if key is not None and address_of(key) != expected:
        raise InputError(
            "key-of-another",
            f"the {name} of this deployment is {expected}, and our key is {address_of(key)}'s",
        )


def http_server(
    app: FastAPI, sock: socket.socket, metrics: Metrics | None = None
) -> AbstractContextManager[str]:
    """Serve the API over HTTP from a thread until the block ends, and give its URL."""
    service = app.state.service
    limits = service.limits
    gate = Gate(
        Bounds(
            allow_files(limits.connections),
            limits.source_connections,
            service.info.trusted_proxies,
            limits.wide_sources,
        ),
        service.info.holders,
    )
    served = app if metrics is None else metrics.counting(app, gate)
    # Streams have no end of their own, and the server waits for every answer to end.
    return bounded_server(served, sock, gate, before_stop=[service.feed.close, service.bell.close])
