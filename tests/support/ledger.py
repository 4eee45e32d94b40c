"""A log of its own for a test, in a real database, submitted to, drained and read by real parts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, groupby
from uuid import UUID

import psycopg

from orchestrator.core.common.document import CACHED_BYTES
from orchestrator.core.log.entry import address_word
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    Request,
    Touch,
)
from orchestrator.core.world.rights import RIGHTS
from orchestrator.log.inbox import (
    Result,
    Submission,
    pseudonyms_for,
    results_of,
    submit,
    submit_last,
)
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.serve import now_ms
from orchestrator.storage.database import API, SEQUENCER, WORKER, Database, Session
from orchestrator.storage.schema import create_log
from tests.support import worlds
from tests.support.database_clock import DatabaseClock
from tests.support.keys import give_key, secret_of
from tests.support.servers import open_as
from tests.support.worlds import (
    OPERATORS,
    SURFACE,
    SURFACE_NAMES,
    TOKEN,
    policy,
    rules,
    settings,
    word,
)

OWNER, OPERATOR, STRANGER = ("0x" + digit * 40 for digit in "abc")
PUBLISHER = "0x" + "d" * 40
OWNER_WORD = worlds.OWNER
POLICY = policy()
# Actions that tests tell apart by their labels.
ACTIONS = ("email", "call", "late", "zeroth", "first", "second", *(f"step {n}" for n in range(200)))
SETTINGS = settings(actions={name: {"level": 1} for name in ACTIONS})
CONTRACT = rules("contract", POLICY, owner=OWNER_WORD, token=TOKEN)
_names = count(1)


def sign(size: int, root: bytes) -> bytes:
    """Return a signature that names what it signs; only the chain checks real ones."""
    return (size.to_bytes(33) + root).ljust(65, b"\0")


@dataclass
class Ledger:
    """A log, the databases of its users, and a clock that stands still until a test moves it.

    Without a clock it is real time.
    """

    url: str
    log_id: bytes
    api: Database
    writer: Database
    worker: Database
    clock: DatabaseClock | None = None
    _keys: Iterator[int] = field(default_factory=lambda: count(1))
    # The part of the service by which each request came, and whose it is.
    _askers: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    _with_keys: set[str] = field(default_factory=set)

    @property
    def now_ms(self) -> int:
        return now_ms() if self.clock is None else self.clock.now_ms

    @now_ms.setter
    def now_ms(self, time_ms: int) -> None:
        assert self.clock is not None
        self.clock.now_ms = time_ms

    def another(self) -> "Ledger":
        """Begin another log in the same database."""
        return begin_log(self.url, self.api, self.writer, self.worker, self.clock)

    def sequencer(
        self,
        *,
        leads_in_memory: int = 100,
        standings_in_memory: int = 100,
        document_bytes: int = CACHED_BYTES,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> Sequencer:
        return Sequencer(
            self.writer,
            self.log_id,
            lambda: self.now_ms,
            sign,
            leads_in_memory=leads_in_memory,
            standings_in_memory=standings_in_memory,
            document_bytes=document_bytes,
            failpoint=failpoint,
        )

    def submit(self, *requests: Request) -> list[UUID]:
        """Submit requests under keys never used before."""
        return self.offer(
            [Submission(f"key {next(self._keys)}", request, b"") for request in requests]
        )

    def submit_and_drain(self, *requests: Request) -> list[UUID]:
        """Submit requests and have a sequencer of their own decide them."""
        ids = self.submit(*requests)
        self.drain()
        return ids

    def offer(self, submissions: Sequence[Submission]) -> list[UUID]:
        """Submit requests in their order, each as whose it is, in a transaction for each run.

        One alone of the API's is taken as the API takes one.
        """
        ids: list[UUID] = []
        for (part, account), run in groupby(submissions, lambda one: _asker(one.request)):
            page = list(run)
            with self._session_of(part, account) as session:
                for one in page:
                    self._name_surface(session, one.request)
                if part == API and len(page) == 1:
                    taken = submit_last(session, self.log_id, account, page[0]).ids
                else:
                    taken = submit(session, self.log_id, account, page).ids
            self._askers |= dict.fromkeys(taken, (part, account))
            ids += taken
        return ids

    def _name_surface(self, session: Session, request: Request) -> None:
        """Keep the name of a surface that opens, as the API does."""
        if isinstance(request, PublishPolicy) and request.surface in SURFACE_NAMES:
            session.run(
                "api.add_surface_name",
                log_id=self.log_id,
                surface=request.surface,
                owner=request.owner,
                name=SURFACE_NAMES[request.surface],
            )

    @contextmanager
    def session(self, account: str) -> Iterator[Session]:
        """Open a transaction by a key of this account, or by none, as the API does."""
        if account and account not in self._with_keys:
            give_key(self.url, account)
            self._with_keys.add(account)
        with self.api.transaction(secret=secret_of(account) if account else b"") as session:
            yield session

    @contextmanager
    def session_apart(self, account: str) -> Iterator[Session]:
        """Open such a transaction for which no connection there is waits where it is held.

        Sums of requests are kept in 32 shards by a connection's number, and two of one shard wait.
        """
        with self.session(account), self.session(account):
            pass  # that there is another of the pool when this one is held
        with ExitStack() as kept:
            with ExitStack() as passed:
                while True:
                    held = passed.enter_context(ExitStack())
                    session = held.enter_context(self.session(account))
                    own = session._connection.info.backend_pid
                    with psycopg.connect(self.url) as admin:
                        others = admin.execute(
                            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
                            " AND pid <> %s AND pid %% 32 = %s AND usename LIKE 'tallystick\\_%%'",
                            (own, own % 32),
                        ).fetchall()
                    if not others:
                        kept.push(held.pop_all())
                        break
            # Those passed over are in the pool again, which so needs no new one meanwhile.
            yield session

    @contextmanager
    def _session_of(self, part: str, account: str) -> Iterator[Session]:
        """Open a transaction of the API, or of the worker, for an account."""
        with (
            self.worker.transaction(account) if part == WORKER else self.session(account)
        ) as session:
            yield session

    def results(self, ids: Sequence[UUID], account: str | None = None) -> list[Result | None]:
        """Return the results of requests to those who made them, or to an account."""
        found: dict[UUID, Result] = {}
        for name in ids:
            part, asker = self._askers[name]
            with self._session_of(part, asker if account is None else account) as session:
                found |= results_of(session, self.log_id, [name])
        return [found.get(name) for name in ids]

    def drain(self, sequencer: Sequencer | None = None) -> None:
        """Decide all that waits, by this sequencer or else by a new one."""
        if sequencer is None:
            with self.sequencer() as new:
                self.drain(new)
        else:
            sequencer.drain_all()

    @property
    def reader(self) -> LogReader:
        return LogReader(self.api, self.log_id)

    def entries(self) -> list[StoredEntry]:
        return self.reader.entries(0, 10_000)


@contextmanager
def ledger(url: str) -> Iterator[Ledger]:
    """Begin a log in this database, which holds nothing yet."""
    with (
        open_as(url, API) as api,
        open_as(url, SEQUENCER) as writer,
        open_as(url, WORKER) as worker,
        DatabaseClock(url, 0) as clock,
    ):
        yield begin_log(url, api, writer, worker, clock)


def begin_log(
    url: str,
    api: Database,
    writer: Database,
    worker: Database,
    clock: DatabaseClock | None = None,
) -> Ledger:
    """Return a new log in this database, at time 0 if the clock is one that tests move."""
    if clock is not None:
        clock.now_ms = 0
    number = next(_names)
    log_id = number.to_bytes(32)
    create_log(
        url,
        log_id=log_id,
        origin=f"log.example/{number}",
        chain_id=31337,
        event_log="0x" + "1" * 40,
        escrow="0x" + "2" * 40,
        publisher=PUBLISHER,
    )
    return Ledger(url, log_id, api, writer, worker, clock)


def _asker(request: Request) -> tuple[str, str]:
    """Return the login and the account whose request this is."""
    right = RIGHTS[type(request)]
    if right.sender != "api":
        return WORKER, PUBLISHER
    actor: bytes = getattr(request, right.actor) if right.actor else OWNER_WORD
    return API, f"0x{actor[12:].hex()}"


def genesis(log: Ledger) -> Genesis:
    return Genesis(log.log_id, address_word(PUBLISHER))


def open_market(log: Ledger) -> None:
    """Write the log's first six entries: a surface, an operator, a contract and a level."""
    log.submit_and_drain(
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
        RegisterOperator(OPERATORS[0], word("profile")),
        OpenContract(CONTRACT, word("transaction")),
    )


def opening(
    surface: bytes, operators: Sequence[bytes] = OPERATORS[:1], policy_: Policy = POLICY
) -> list[Request]:
    """Return requests that open another surface of the owner's, with levels for these operators."""
    return [
        PublishPolicy(surface, OWNER_WORD, policy_),
        PublishSettings(surface, OWNER_WORD, SETTINGS),
        *(
            request
            for operator in operators
            for request in worlds.partnership(policy_, operator, surface=surface)
        ),
    ]


def journey(lead: bytes, now_ms: int = 0) -> list[Request]:
    """Return requests by which a lead is touched, signs up and pays: five entries, one outcome."""
    return [
        Touch(SURFACE, lead, OPERATORS[0], "email"),
        ProductEvent(SURFACE, lead, "signup", 0, now_ms),
        ProductEvent(SURFACE, lead, "buy", 7, now_ms),
    ]


def alter(log: Ledger, change: str) -> int:
    """Change tables as only a superuser can, with the triggers off. Return how many rows it met."""
    with psycopg.connect(log.url) as admin:
        guarded = admin.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'only_grows'"
        ).fetchall()
        for (name,) in guarded:
            admin.execute(f"ALTER TABLE {name} DISABLE TRIGGER only_grows")
        changed = admin.execute(change, [log.log_id] * change.count("%s")).rowcount
        for (name,) in guarded:
            admin.execute(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER only_grows")
    return changed


def pseudonym_for(
    session: Session, log_id: bytes, surface: bytes, external_id: str, new_pseudonym: bytes
) -> bytes:
    """Return the pseudonym of one identity: the one it has, or else the new one."""
    return pseudonyms_for(session, log_id, surface, [external_id], [new_pseudonym])[external_id]
