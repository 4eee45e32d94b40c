"""A private file of rows: texts by a sort and a name, changed all at once or not at all.

It is an SQLite database, of one process at a time. All its SQL stands here.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.core.common.errors import InputError
from orchestrator.core.resource import Resource
from orchestrator.storage.local.files import lock_if_free

# The sort and the name of a row.
Key = tuple[str, bytes]

_OTHERS_MODE = 0o077


class DamagedFileError(InputError):
    """A file whose rows cannot be read."""


class KeyedFile(Resource):
    """The rows in a file, which is made if there is none.

    One that cannot be read begins anew. Raises `InputError` for a file that another process has, or
    that other users of the machine may read or change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = self._locked()
        try:
            self._rows = self._opened()
        except DamagedFileError:
            self._rows = self._made_anew()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let other processes have it."""
        self._rows.close()
        os.close(self._lock)

    def get(self, sort: str, name: bytes) -> str | None:
        """Return the text of a row; None if there is none."""
        with self._failing():
            query = "SELECT text FROM rows WHERE sort = ? AND name = ?"
            row = self._rows.execute(query, (sort, name)).fetchone()
        return None if row is None else str(row[0])

    def all(self) -> Iterator[tuple[str, bytes, str]]:
        """Yield all rows."""
        with self._failing():
            yield from self._rows.execute("SELECT sort, name, text FROM rows")

    def put(self, rows: Mapping[Key, str]) -> None:
        """Make these rows have these texts: all of them, or none if it fails."""
        texts = ((sort, name, text) for (sort, name), text in rows.items())
        with self._failing(), self._rows:
            self._rows.execute("BEGIN")
            self._rows.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", texts)

    def clear(self) -> None:
        """Remove all rows, whatever the file has become."""
        self._rows.close()
        self._rows = self._made_anew()

    def _made_anew(self) -> sqlite3.Connection:
        # With what a crash has left of a change: it would be undone in the new file.
        for name in (f"{self._path.name}-journal", self._path.name):
            self._path.with_name(name).unlink(missing_ok=True)
        return self._opened()

    def _locked(self) -> int:
        try:
            lock = lock_if_free(self._path.with_name(f".{self._path.name}.lock"))
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        if lock is None:
            raise self._unusable("another process has it")
        return lock

    def _opened(self) -> sqlite3.Connection:
        with self._failing():
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            mode = os.fstat(descriptor).st_mode
            os.close(descriptor)
            if mode & _OTHERS_MODE:
                raise self._unusable("others may read it; run chmod 600 on it, or remove it")
            # One thread uses it after the other.
            rows = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                rows.execute(
                    "CREATE TABLE IF NOT EXISTS rows (sort TEXT NOT NULL, name BLOB NOT NULL,"
                    " text TEXT NOT NULL, PRIMARY KEY (sort, name)) WITHOUT ROWID"
                )
            except BaseException:
                rows.close()
                raise
        return rows

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise self._unusable(str(error)) from None
        except sqlite3.Error as error:
            raise DamagedFileError("file-damaged", f"{self._path}: {error}") from None

    def _unusable(self, reason: str) -> InputError:
        return InputError("file-unusable", f"{self._path}: {reason}")
