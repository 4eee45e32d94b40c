"""Listening: a connection that is told what others have committed, kept up; and the bell."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestrator.core.common.errors import LogError
from orchestrator.core.resource import Resource
from orchestrator.storage.database import Connection, Database, DatabaseError
from orchestrator.storage.trouble import Trouble

# Those who wait look by themselves as often: a pooler may keep the news from us.
LOOK_S = 1.0
_MOST_WAIT_S = 3.0


def keep_listening(
    database: Database,
    stopped: threading.Event,
    listen: Callable[[Connection, Callable[[], object]], object],
    trouble: Trouble,
) -> None:
    """Have `listen` use a connection until it is stopped, and another one whenever that fails.

    It is given what to call whenever it has done well.
    """
    wait_s = LOOK_S
    while not stopped.is_set():
        try:
            connection = database.connect()
            wait_s = LOOK_S
            try:
                listen(connection, trouble.end)
            finally:
                connection.close()
        except (LogError, DatabaseError) as error:
            is_away = not isinstance(error, LogError) or error.code == "database-unreachable"
            trouble.note("the database does not answer" if is_away else str(error))
            stopped.wait(wait_s)
            wait_s = min(2 * wait_s, _MOST_WAIT_S)


class Bell(Resource):
    """The bell of all boards: it wakes those who wait for messages of one.

    It begins to listen with the first who waits, on a connection of its own. Its methods may be
    called from any thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: dict[str, list[Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._is_told = threading.Event()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Stop listening, and wake all who wait: `is_closed` tells them to go."""
        with self._starting:
            self._stopped.set()
        with self._lock:
            topics = tuple(self._waiters)
        for topic in topics:
            self._ring(topic)
        if self._thread is not None:
            self._thread.join()

    @property
    def is_closed(self) -> bool:
        return self._stopped.is_set()

    def open(self) -> None:
        """Begin to listen, if that has not begun; return once it has, or after a moment."""
        with self._starting:
            if self._thread is None and not self.is_closed:
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()
        self._is_told.wait(LOOK_S)

    @contextmanager
    def waiting(self, topic: str, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake`, which may not block, whenever the topic has news, until the block ends."""
        with self._lock:
            self._waiters.setdefault(topic, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._waiters[topic].remove(wake)
                if not self._waiters[topic]:
                    del self._waiters[topic]

    def _run(self) -> None:
        keep_listening(self._database, self._stopped, self._listen, Trouble("bell"))

    def _listen(self, connection: Connection, works: Callable[[], object]) -> None:
        connection.listen("messages")
        works()
        self._is_told.set()
        while not self._stopped.is_set():
            for topic in connection.notices(LOOK_S):
                self._ring(topic)

    def _ring(self, topic: str) -> None:
        with self._lock:
            waiters = tuple(self._waiters.get(topic, ()))
        for wake in waiters:
            # One whose loop has ended is about to go.
            with suppress(RuntimeError):
                wake()
