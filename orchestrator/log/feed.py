"""The feed: the log's newest entries, read from the database once for all who follow them.

A thread is told of each commit of the sequencer, reads the entries that are new and keeps the last
ones in a window. A follower takes from the window by a cursor of its own, the position of the last
entry that it has seen: nothing is queued for it, so a slow one costs no memory. One that is further
behind than the window reads the stored log a page at a time.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import NamedTuple

from orchestrator.core.common.errors import LogError
from orchestrator.core.entries.kinds import kind_of
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import Opening
from orchestrator.core.resource import Resource
from orchestrator.log.reader import StoredEntry, read_entries
from orchestrator.log.tree import Checkpoint, checkpoint_of, stored_checkpoint
from orchestrator.storage.database import Connection, Database, Session
from orchestrator.storage.listening import LOOK_S, keep_listening
from orchestrator.storage.trouble import Trouble

# The newest entries that are kept for followers, some 2 MB.
WINDOW_ENTRIES = 2_000
# The most entries of one page, which a follower holds while it is sent.
PAGE_ENTRIES = 250
# The contracts whose operators are remembered.
_CONTRACTS_KEPT = 10_000


class Told(NamedTuple):
    """An entry as followers are told it, with the contract and the operator that it is about.

    Where an entry names a contract alone, the operator is the contract's. `None` is for neither.
    """

    position: int
    data: bytes
    entry: Entry
    opening: Opening | None
    contract: bytes | None
    operator: bytes | None


class Page(NamedTuple):
    """Entries in the order of the log, and a checkpoint that covers them."""

    entries: Sequence[Told]
    checkpoint: Checkpoint | None


class Feed(Resource):
    """The feed of one log. It begins with its first follower; use it with `with`, or call `close`.

    Its methods may be called from any thread.
    """

    def __init__(
        self, database: Database, log_id: bytes, *, window_entries: int = WINDOW_ENTRIES
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._window: deque[Told] = deque(maxlen=window_entries)
        self._newest: Checkpoint | None = None
        self._operators: dict[bytes, bytes] = {}
        self._followers: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Stop reading, and wake all followers: `is_closed` tells them to go."""
        with self._starting:
            self._stopped.set()
            self._wake()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_closed(self) -> bool:
        return self._stopped.is_set()

    def open(self) -> int:
        """Begin to read, if that has not begun; return the log's size as far as it is known."""
        with self._starting:
            if self._thread is None and not self.is_closed:
                with self._database.transaction() as session:
                    row = stored_checkpoint(session, self._log_id)
                self._newest = None if row is None else checkpoint_of(row)
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()
        return self.size

    @property
    def size(self) -> int:
        """The size of the newest checkpoint that was read."""
        with self._lock:
            return self._newest.size if self._newest else 0

    @contextmanager
    def following(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake`, which may not block, whenever there is more, until the block ends."""
        with self._lock:
            self._followers.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._followers.discard(wake)

    def after(self, cursor: int) -> Page | None:
        """Return the next entries of the window, none at its end; None if it begins later."""
        with self._lock:
            size = self._newest.size if self._newest else 0
            first = size - len(self._window)
            if cursor + 1 >= size:
                return Page((), self._newest)
            if cursor + 1 < first:
                return None
            start = cursor + 1 - first
            entries = list(islice(self._window, start, start + PAGE_ENTRIES))
            return Page(entries, self._newest)

    def read(self, cursor: int, most: int = PAGE_ENTRIES) -> Page:
        """Return the next entries from the stored log, a page of them at most."""
        with self._database.transaction() as session:
            row = stored_checkpoint(session, self._log_id)
            if row is None:
                return Page((), None)
            limit = min(most, PAGE_ENTRIES, row.size - cursor - 1)
            stored = read_entries(session, self._log_id, cursor + 1, limit) if limit > 0 else []
            return Page(self._told(session, stored), checkpoint_of(row))

    # --- The thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        keep_listening(self._database, self._stopped, self._listen, Trouble("feed"))

    def _listen(self, connection: Connection, works: Callable[[], object]) -> None:
        connection.listen("checkpoints")
        while not self._stopped.is_set():
            with connection.transaction() as session:
                while self._read_on(session) and not self._stopped.is_set():
                    self._wake()
            works()
            connection.wait_for_notice(LOOK_S)

    def _read_on(self, session: Session) -> bool:
        """Take a page of new entries into the window; return whether there was one."""
        row = stored_checkpoint(session, self._log_id)
        size = self.size
        if row is None or row.size <= size:
            return False
        # Of more than the window holds only the last are kept, so only they are read.
        most = self._window.maxlen or WINDOW_ENTRIES
        start = max(size, row.size - most)
        stored: list[StoredEntry] = []
        while start + len(stored) < row.size:
            next_ = start + len(stored)
            page = read_entries(session, self._log_id, next_, row.size - next_)
            if not page:
                raise LogError("entry-missing", f"entry {next_} is missing")
            stored += page
        told = self._told(session, stored)
        with self._lock:
            if start > size:
                self._window.clear()
            self._window.extend(told)
            self._newest = checkpoint_of(row)
        return True

    def _wake(self) -> None:
        with self._lock:
            followers = tuple(self._followers)
        for wake in followers:
            # A follower whose loop has ended is about to go.
            with suppress(RuntimeError):
                wake()

    def _told(self, session: Session, stored: Sequence[StoredEntry]) -> list[Told]:
        """Decode entries, and find the operators of the contracts that they name."""
        entries = [each.entry for each in stored]
        contracts = [_word_of(entry, "contract id") for entry in entries]
        operators = self._operators_of(session, {each for each in contracts if each is not None})
        return [
            Told(
                each.position,
                each.data,
                entry,
                each.opened,
                contract,
                _word_of(entry, "operator") or operators.get(contract or b""),
            )
            for each, entry, contract in zip(stored, entries, contracts, strict=True)
        ]

    def _operators_of(self, session: Session, contracts: set[bytes]) -> dict[bytes, bytes]:
        known = self._operators
        found = {each: known[each] for each in contracts if each in known}
        missing = contracts - found.keys()
        if missing:
            rows = session.all(
                "log.operators_of_contracts", log_id=self._log_id, contract_ids=list(missing)
            )
            fresh = {bytes(row.contract_id): bytes(row.operator) for row in rows}
            found |= fresh
            kept = fresh if len(known) + len(fresh) > _CONTRACTS_KEPT else known | fresh
            # Replaced as a whole: others read it meanwhile.
            self._operators = kept
        return found


def _word_of(entry: Entry, meaning: str) -> bytes | None:
    field = kind_of(entry).field_of(meaning)
    word: bytes | None = getattr(entry, field) if field else None
    return word
