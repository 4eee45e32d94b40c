"""A log of one's own in a test's database: whoever submits, drains and reads it is real."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from orchestrator.core.entry import address_word
from orchestrator.core.requests import Genesis, Request
from orchestrator.log.inbox import Result, Submission, results_of, submit
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.log.sequencer import Sequencer
from orchestrator.storage.database import API, SEQUENCER, Database, create_log

OWNER, OPERATOR, STRANGER = ("0x" + digit * 40 for digit in "abc")
PUBLISHER = "0x" + "d" * 40
_names = count(1)


def sign(size: int, root: bytes) -> bytes:
    """A signature that names what it signs; real ones are the chain's business."""
    return (size.to_bytes(33) + root).ljust(65, b"\0")


@dataclass
class Ledger:
    """A log, the databases of its users, and a clock that stands still until a test moves it."""

    url: str
    log_id: bytes
    api: Database
    writer: Database
    now_ms: int = 0
    _keys: Iterator[int] = field(default_factory=lambda: count(1))

    def sequencer(
        self, *, leads_in_memory: int = 100, failpoint: Callable[[str], None] = lambda _: None
    ) -> Sequencer:
        return Sequencer(
            self.writer,
            self.log_id,
            lambda: self.now_ms,
            sign,
            leads_in_memory=leads_in_memory,
            failpoint=failpoint,
        )

    def submit(self, *requests: Request, account: str = OWNER) -> list[UUID]:
        """Submit requests under keys never used before."""
        return self.offer(
            [Submission(f"key {next(self._keys)}", request, b"") for request in requests], account
        )

    def offer(self, submissions: Sequence[Submission], account: str = OWNER) -> list[UUID]:
        with self.api.transaction(account) as session:
            return submit(session, self.log_id, account, submissions, self.now_ms)

    def results(self, ids: Sequence[UUID], account: str = OWNER) -> list[Result | None]:
        with self.api.transaction(account) as session:
            found = results_of(session, self.log_id, ids)
        return [found.get(name) for name in ids]

    def drain(self, sequencer: Sequencer) -> None:
        while sequencer.drain() is not None:
            pass

    @property
    def reader(self) -> LogReader:
        return LogReader(self.api, self.log_id)

    def entries(self) -> list[StoredEntry]:
        return self.reader.entries(0, 10_000)


@contextmanager
def ledger(url: str) -> Iterator[Ledger]:
    """A log that was begun in this database, and holds nothing yet."""
    with Database(url, API) as api, Database(url, SEQUENCER) as writer:
        yield begin_log(url, api, writer)


def begin_log(url: str, api: Database, writer: Database) -> Ledger:
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
    return Ledger(url, log_id, api, writer)


def genesis(log: Ledger) -> Genesis:
    return Genesis(log.log_id, address_word(PUBLISHER))
