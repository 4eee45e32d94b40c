"""The words of a server of our own, kept in files that grow to a bound and are put aside whole.

The server writes into a pipe, for it would hold on to a file that is renamed. A line that was
written is never taken back: the file of the last start is there after the next one.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_BYTES = 8 * 1_048_576
KEPT = 4
# What is remembered of a server's life: what it says first, and what it said last.
_FIRST_BYTES = 16_384
_LAST_BYTES = 2_000
_READ_BYTES = 65_536


class ServerLog:
    """The log of one server, across its starts: `path`, and older parts `path.1`, `path.2` …"""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._first, self._last = bytearray(), bytearray()
        self._reader: threading.Thread | None = None

    def follow(self, pipe: IO[bytes]) -> None:
        """Write down all that comes out of the pipe of a server that starts, until it ends."""
        with self._lock:
            self._first, self._last = bytearray(), bytearray()
        self._reader = threading.Thread(
            target=self._read, args=(pipe,), name=self.path.name, daemon=True
        )
        self._reader.start()

    def finish(self, within_s: float) -> None:
        """Wait until the last words of a server that has ended are written."""
        if self._reader is not None:
            self._reader.join(within_s)

    @property
    def first(self) -> bytes:
        """The first words of the server since its start."""
        with self._lock:
            return bytes(self._first)

    @property
    def last(self) -> str:
        """The last words of the server since its start."""
        with self._lock:
            return self._last.decode(errors="replace").strip()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while part := pipe.read1(_READ_BYTES):  # type: ignore[attr-defined]
                # Where the disk is full the words are lost, and the server goes on.
                with self._lock, suppress(OSError):
                    self._remember(part)
                    self._write(part)

    def _remember(self, part: bytes) -> None:
        self._first += part[: _FIRST_BYTES - len(self._first)]
        self._last = (self._last + part)[-_LAST_BYTES:]

    def _write(self, part: bytes) -> None:
        if self.path.exists() and self.path.stat().st_size + len(part) > self._max_bytes:
            self._put_aside()
        with self.path.open("ab") as file:
            file.write(part)

    def _put_aside(self) -> None:
        for number in range(KEPT, 0, -1):
            older = self.path if number == 1 else self._part(number - 1)
            if older.exists():
                older.replace(self._part(number))

    def _part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
