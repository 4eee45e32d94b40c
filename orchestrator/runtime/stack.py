"""One deployment, wired: database, chain, log, pipeline and API over the same log and clock.

`serve`, `demo` and `backtest --settle` all stand on this, so what a demonstration shows is what a
deployment does. Nothing here starts before it has been checked against what is really there.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import TracebackType
from typing import NamedTuple, Self

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.context import Limits, ServiceInfo
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Watcher
from orchestrator.chain.relayer import Submitter
from orchestrator.core.entry import address_word
from orchestrator.core.errors import ChainError, InputError, LogError
from orchestrator.core.opening import Record
from orchestrator.core.policy import Policy
from orchestrator.core.requests import Genesis
from orchestrator.core.site import Site
from orchestrator.core.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.reader import PAGE_ENTRIES, LogReader
from orchestrator.log.sequencer import Sequencer
from orchestrator.settlement.pipeline import Pipeline
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import API, SEQUENCER, WORKER, Database, create_log, migrate
from orchestrator.verify.log_replay import LogReplay

START_S = 30
MAX_TRANSACTIONS = 10_000
_POLL_S = 0.01


class Keys(NamedTuple):
    """Private keys, 32 bytes each: anchors the log, signs statements, pays for gas.

    Three, because they can be lost apart: a stolen relayer costs gas, a verifier pays nothing
    without an anchored entry, and a publisher pays nothing that a verifier does not sign or that an
    owner does not leave undisputed. So each part is given its own: the sequencer the first, the
    pipeline the other two, the API none.
    """

    publisher: bytes | None = None
    verifier: bytes | None = None
    relayer: bytes | None = None

    def __repr__(self) -> str:
        return "Keys(…)"


class SentTransaction(NamedTuple):
    """One of our transactions that succeeded: what for, its hash, and the gas it used."""

    intent_key: str
    tx_hash: bytes
    gas_used: int


class Stack:
    """A site in operation. Use it with `with`; `now_ms` is the one clock of all its parts.

    A part is made when it is first asked for, and refuses without its keys.
    """

    def __init__(
        self,
        *,
        database_url: str,
        rpc_url: str,
        site: Site,
        keys: Keys,
        now_ms: Callable[[], int],
        public_url: str,
        limits: Limits | None = None,
    ) -> None:
        self.site = site
        self.now_ms = now_ms
        self._keys = keys
        self._database_url = database_url
        self._exits = ExitStack()
        try:
            self._open(rpc_url, public_url, limits)
        except BaseException:
            self._exits.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def _open(self, rpc_url: str, public_url: str, limits: Limits | None) -> None:
        site = self.site
        self.chain = Chain(rpc_url, site.addresses)
        self._exits.callback(self.chain.close)
        self.chain.check()
        self.chain.check_beside()
        self.publisher = self.chain.check_log(site.log_id, site.registrant, site.origin)
        if site.verifier == self.publisher:
            raise InputError("keys-same", "publisher and verifier must be two accounts")
        _check_key("publisher", self._keys.publisher, self.publisher)
        _check_key("verifier", self._keys.verifier, site.verifier)
        self.escrow_domain = self.chain.escrow_domain

        migrate(self._database_url)
        self.worker = self._database(WORKER)
        _refuse_other_log(self.worker, site)
        is_new = create_log(
            self._database_url,
            log_id=site.log_id,
            origin=site.origin,
            chain_id=site.addresses.chain_id,
            event_log=site.addresses.event_log,
            escrow=site.addresses.escrow,
            publisher=self.publisher,
        )
        self.log = LogReader(self.worker, site.log_id)
        if is_new:
            self._begin(self.worker)
        self.app = create_app(
            database=self._database(API),
            log_id=site.log_id,
            now_ms=self.now_ms,
            escrow_domain=self.escrow_domain,
            event_log_domain=self.chain.event_log_domain,
            is_valid_signature=self.chain.is_signed_by_wallet,
            info=ServiceInfo(
                public_url=public_url,
                origin=site.origin,
                publisher=self.publisher,
                verifier=site.verifier,
                tokens=site.tokens,
                fee_bps=site.fee_bps,
                fee_recipient=site.fee_recipient,
                feedback=site.addresses.feedback,
                evaluators=site.addresses.evaluators,
            ),
            limits=limits,
        )

    def _database(self, role: str) -> Database:
        return self._exits.enter_context(Database(self._database_url, role))

    @cached_property
    def sequencer(self) -> Sequencer:
        """The log's only writer. It needs the publisher's key."""
        key, log_id = _needed("publisher", self._keys.publisher), self.site.log_id
        domain = self.chain.event_log_domain
        made = Sequencer(
            self._database(SEQUENCER),
            log_id,
            self.now_ms,
            lambda size, root: sign_digest(checkpoint_digest(domain, log_id, size, root), key),
        )
        self._exits.callback(made.close)
        return made

    @cached_property
    def submitter(self) -> Submitter:
        """What sends our transactions. It needs the relayer's key."""
        key = _needed("relayer", self._keys.relayer)
        return Submitter(self.chain, self.worker, key, self.now_ms)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What moves the log and the escrow. It needs the verifier's key and the relayer's."""
        site, key = self.site, _needed("verifier", self._keys.verifier)
        replay = LogReplay(site.log_id, self.records, self._policy, self.chain)
        return Pipeline(
            database=self.worker,
            log=self.log,
            chain=self.chain,
            submitter=self.submitter,
            watcher=Watcher(self.chain, self.worker),
            verifier=Verifier(replay, key),
            now_ms=self.now_ms,
            account=self.publisher,
            serves=site.serves,
        )

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """The log's records at positions [start, stop), as far as they are written."""
        while start < stop:
            page = self.log.entries(start, min(PAGE_ENTRIES, stop - start))
            if not page:
                return
            for stored in page:
                yield Record(stored.entry, stored.opened)
            start += len(page)

    def drain(self) -> None:
        """Decide everything that waits now."""
        while self.sequencer.drain() is not None:
            pass

    def sweep(self) -> None:
        """Forget expired sign-in nonces and allowances that are full again."""
        with self.worker.transaction() as session:
            session.run("api.sweep_nonces", now_ms=self.now_ms())
            session.run("api.sweep_limits")

    def transactions(self) -> list[SentTransaction]:
        """Our transactions that are final and succeeded, oldest first."""
        with self.worker.transaction() as session:
            rows = session.all(
                "pipeline.transactions",
                chain_id=self.site.addresses.chain_id,
                sender=self.submitter.sender.lower(),
                limit=MAX_TRANSACTIONS,
            )
        return [SentTransaction(*row) for row in rows]

    def _begin(self, worker: Database) -> None:
        genesis = Genesis(self.site.log_id, address_word(self.publisher))
        account = self.publisher.lower()
        with worker.transaction(account) as session:
            first = Submission("genesis", genesis, b"genesis")
            submit(session, self.site.log_id, account, [first], self.now_ms())

    def _policy(self, hash_: bytes) -> Policy:
        policy = self.log.policy(hash_)
        if policy is None:
            raise LogError("policy-missing", f"policy 0x{hash_.hex()} is not in the database")
        return policy


def _needed(name: str, key: bytes | None) -> bytes:
    if key is None:
        raise InputError("key-missing", f"this part needs the {name}'s key")
    return key


def _check_key(name: str, key: bytes | None, expected: str) -> None:
    if key is not None and address_of(key) != expected:
        raise InputError(
            "key-of-another",
            f"the {name} of this deployment is {expected}, and our key is {address_of(key)}'s",
        )


def _refuse_other_log(database: Database, site: Site) -> None:
    with database.transaction() as session:
        other = session.one("pipeline.other_log", log_id=site.log_id)
    if other is not None:
        raise LogError(
            "database-of-another-log",
            f"this database keeps log 0x{bytes(other.log_id).hex()} of {other.origin}, not "
            f"0x{site.log_id.hex()} of {site.origin}; name another database",
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises `ChainError` if it is taken."""
    # With its protocol named, asyncio sees TCP and switches Nagle's delay off (40 ms an answer).
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ChainError(
            "address-taken", f"cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    return sock


@contextmanager
def http_server(app: FastAPI, sock: socket.socket) -> Iterator[str]:
    """The application served over HTTP from a thread, until the block ends; gives its URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", server_header=False
        )
    )
    thread = threading.Thread(target=server.run, args=([sock],), name="http")
    thread.start()
    try:
        deadline = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise ChainError("server-down", "the HTTP server did not start")
            time.sleep(_POLL_S)
        host, port = sock.getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()
