"""The clock by which a test's database stamps receipts."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.core.resource import Resource
from orchestrator.storage.database import connect_as_owner, set_clock


class DatabaseClock(Resource):
    """A clock that stands still until a test moves it, in either direction; the database has it."""

    def __init__(self, url: str, start_ms: int) -> None:
        self._connection = connect_as_owner(url)
        self._now_ms = -1
        self.now_ms = start_ms

    def __call__(self) -> int:
        return self._now_ms

    @property
    def now_ms(self) -> int:
        return self._now_ms

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        if now_ms != self._now_ms:
            with self._connection.transaction() as session:
                set_clock(session, now_ms)
            self._now_ms = now_ms

    @contextmanager
    def moved_by(self, duration_ms: int) -> Iterator[None]:
        """Move the clock for as long as a block runs."""
        self.now_ms += duration_ms
        try:
            yield
        finally:
            self.now_ms -= duration_ms

    def close(self) -> None:
        self._connection.close()
