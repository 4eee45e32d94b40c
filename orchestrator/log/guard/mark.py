"""The mark: a small file beside the publisher's key that says which checkpoint was signed last.

It is written, and on the disk, before a checkpoint is signed, and it is in no back-up of the
database: so it survives a restored one. With the checkpoint it names the requests whose entries it
covers. If the transaction that stores the checkpoint is lost, in a crash or in a fail-over, then
the next writer decides just these requests again, and signs if the same root comes out. Nothing
else of that size, or smaller, is ever signed.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.resource import Resource
from orchestrator.log.guard.known_root import KnownRoot, check_known_roots
from orchestrator.log.tree import stored_checkpoint
from orchestrator.storage.database import Session
from orchestrator.storage.local.files import lock_if_free, read_text, write_private

# A drain has at most 5,000 requests.
MAX_MARK_BYTES = 1_048_576


class Signed(NamedTuple):
    """A checkpoint that was signed, the one that it follows, and the requests that it decides."""

    size: int
    root: bytes
    old_size: int
    old_root: bytes
    requests: tuple[int, ...]


class Mark(Resource):
    """The mark of one log, in a file. While it is open no other process has it."""

    def __init__(self, path: Path, log_id: bytes) -> None:
        self._path = path
        self._log_id = log_id
        self._lock: int | None = None
        self._last: Signed | None = None

    def open(self) -> None:
        """Take the file for this process and read it. Raises `LogError`.

        `sequencer-busy`: another process has it. `mark-unreadable`: it is no mark of this log.
        """
        self.close()
        try:
            self._lock = lock_if_free(self._path.with_name(f".{self._path.name}.lock"))
        except OSError as error:
            raise LogError(
                "mark-unwritable",
                f"{self._path}: {error.strerror}; the sequencer keeps there what it has signed: "
                f"name a file that it may write with TALLYSTICK_MARK",
            ) from None
        if self._lock is None:
            raise LogError("sequencer-busy", f"another sequencer signs with the mark {self._path}")
        try:
            self.look()
        except LogError:
            self.close()
            raise

    def look(self) -> None:
        """Read the file. A database that is looked at later has what it says."""
        self._last = self._read() if self._path.exists() else None

    def close(self) -> None:
        """Let other processes have it."""
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None

    def known_roots(self, size: int) -> list[KnownRoot]:
        """Return what a database with so many entries must have, by what was signed."""
        last = self._last
        if last is None:
            return []
        source = f"what was signed last (by {self._path})"
        if size == last.old_size:
            return [KnownRoot(last.old_size, last.old_root, f"what was signed before {last.size}")]
        return [KnownRoot(last.size, last.root, source)]

    def requests_to_repeat(self, size: int) -> tuple[int, ...]:
        """Return the requests that must come next in a log of this size; none if any may."""
        last = self._last
        return last.requests if last is not None and size == last.old_size else ()

    def move_to(self, signed: Signed) -> None:
        """Note, on the disk, that this is going to be signed. Raises `LogError` if it must not be.

        Once more the same checkpoint is no other.
        """
        if self._lock is None:
            raise LogError("mark-closed", f"the mark {self._path} is not open")
        last = self._last
        if last is not None and (last.size, last.root) == (signed.size, signed.root):
            return
        if last is not None and signed.size <= last.size:
            raise LogError(
                "signed-already",
                f"a checkpoint of {last.size} entries with root {to_hex(last.root)} was signed "
                f"already (by {self._path}), so one of {signed.size} with {to_hex(signed.root)} is "
                f"not; see Recovery of the database in docs/operating.md",
            )
        document = {
            "log_id": to_hex(self._log_id),
            "size": signed.size,
            "root": to_hex(signed.root),
            "follows": {"size": signed.old_size, "root": to_hex(signed.old_root)},
            "requests": list(signed.requests),
        }
        write_private(self._path, json.dumps(document, separators=(",", ":")) + "\n")
        self._last = signed

    def _read(self) -> Signed:
        try:
            found = json.loads(read_text(self._path, MAX_MARK_BYTES))
            follows = found["follows"]
            signed = Signed(
                int(found["size"]),
                from_hex(found["root"], WORD_BYTES),
                int(follows["size"]),
                from_hex(follows["root"], WORD_BYTES),
                tuple(map(int, found["requests"])),
            )
            log_id = from_hex(found["log_id"], WORD_BYTES)
        except (InputError, ValueError, LookupError, TypeError):
            raise LogError(
                "mark-unreadable",
                f"{self._path} does not say what was signed last; put back the file as it was: "
                f"without it a checkpoint could be signed twice",
            ) from None
        if log_id != self._log_id:
            raise LogError(
                "mark-of-another",
                f"{self._path} is the mark of log {to_hex(log_id)}, not of {to_hex(self._log_id)}; "
                f"name another file with TALLYSTICK_MARK",
            )
        return signed


def _no_anchors() -> tuple[KnownRoot, ...]:
    return ()


class Guard(NamedTuple):
    """Knowledge of a log beside its database: the mark, and the roots that the chain holds."""

    mark: Mark | None = None
    anchors: Callable[[], Iterable[KnownRoot]] = _no_anchors

    def check(self, session: Session, log_id: bytes) -> None:
        """Raise `LogError` unless the stored log has all of it."""
        last = stored_checkpoint(session, log_id)
        known = list(self.anchors())
        if self.mark is not None:
            known += self.mark.known_roots(last.size if last else 0)
        check_known_roots(session, log_id, known)


NO_GUARD = Guard()
