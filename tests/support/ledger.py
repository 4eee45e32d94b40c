"""A log of its own for a test, in a real database, submitted to, drained and read by real parts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import psycopg

from orchestrator.core.entry import address_word
from orchestrator.core.limits import Limits
from orchestrator.core.policies import CACHED_BYTES
from orchestrator.core.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    RegisterOperator,
    Request,
    Touch,
)
from orchestrator.log.inbox import Result, Submission, pseudonyms_for, results_of, submit
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.log.sequencer import Sequencer
from orchestrator.runtime.serve import now_ms
from orchestrator.storage.database import API, SEQUENCER, Database, Session, create_log
from tests.support.database_clock import DatabaseClock
from tests.support.worlds import OPERATORS, SURFACE, policy, rules, word

OWNER, OPERATOR, STRANGER = ("0x" + digit * 40 for digit in "abc")
PUBLISHER = "0x" + "d" * 40
OWNER_WORD = address_word(OWNER)
POLICY = policy()
CONTRACT = rules("contract", POLICY, owner=OWNER_WORD)
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
    clock: DatabaseClock | None = None
    limits: Limits = field(default_factory=Limits)
    _keys: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def now_ms(self) -> int:
        return now_ms() if self.clock is None else self.clock.now_ms

    @now_ms.setter
    def now_ms(self, time_ms: int) -> None:
        assert self.clock is not None
        self.clock.now_ms = time_ms

    def sequencer(
        self,
        *,
        leads_in_memory: int = 100,
        policy_bytes: int = CACHED_BYTES,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> Sequencer:
        return Sequencer(
            self.writer,
            self.log_id,
            lambda: self.now_ms,
            sign,
            leads_in_memory=leads_in_memory,
            policy_bytes=policy_bytes,
            failpoint=failpoint,
        )

    def submit(self, *requests: Request, account: str = OWNER) -> list[UUID]:
        """Submit requests under keys never used before."""
        return self.offer(
            [Submission(f"key {next(self._keys)}", request, b"") for request in requests], account
        )

    def submit_and_drain(self, *requests: Request) -> list[UUID]:
        """Submit requests and have a sequencer of their own decide them."""
        ids = self.submit(*requests)
        self.drain()
        return ids

    def offer(self, submissions: Sequence[Submission], account: str = OWNER) -> list[UUID]:
        with self.api.transaction(account) as session:
            return submit(session, self.log_id, account, submissions, self.limits)

    def results(self, ids: Sequence[UUID], account: str = OWNER) -> list[Result | None]:
        with self.api.transaction(account) as session:
            found = results_of(session, self.log_id, ids)
        return [found.get(name) for name in ids]

    def drain(self, sequencer: Sequencer | None = None) -> None:
        """Decide all that waits, by this sequencer or else by a new one."""
        if sequencer is None:
            with self.sequencer() as new:
                self.drain(new)
        else:
            while sequencer.drain() is not None:
                pass

    @property
    def reader(self) -> LogReader:
        return LogReader(self.api, self.log_id)

    def entries(self) -> list[StoredEntry]:
        return self.reader.entries(0, 10_000)


@contextmanager
def ledger(url: str) -> Iterator[Ledger]:
    """Begin a log in this database, which holds nothing yet."""
    with (
        Database(url, API) as api,
        Database(url, SEQUENCER) as writer,
        DatabaseClock(url, 0) as clock,
    ):
        yield begin_log(url, api, writer, clock)


def begin_log(
    url: str, api: Database, writer: Database, clock: DatabaseClock | None = None
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
    return Ledger(url, log_id, api, writer, clock)


def genesis(log: Ledger) -> Genesis:
    return Genesis(log.log_id, address_word(PUBLISHER))


def open_market(log: Ledger) -> None:
    """Write the log's first entries: a surface, an operator and a contract."""
    log.submit_and_drain(
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], "0", word("profile")),
        OpenContract(CONTRACT, word("transaction")),
    )


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
