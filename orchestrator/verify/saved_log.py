"""A public log saved in a folder, and read from there as from its server.

Nothing in it needs to be believed: entries are hashed, documents have their hashes, and the last
checkpoint its publisher's signature.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.client.http import MAX_ANSWER_BYTES
from orchestrator.client.log_server import (
    LogSource,
    reading,
    record_of_bundled,
    served_bundle,
    served_policy,
    served_settings,
)
from orchestrator.core.common.errors import EntryError, InputError, ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.log.bundle import MAX_BUNDLE, read_bundle, write_bundle
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.storage.local.files import read_bytes, write_private

# The kinds of entries that name a document by its hash, what the API calls these documents, and how
# one is read.
_DOCUMENTS: dict[str, tuple[str, Callable[[LogSource, bytes], Policy | SurfaceSettings]]] = {
    "policy.published": ("policies", served_policy),
    "settings.published": ("settings", served_settings),
}


def save_log(
    client: LogSource,
    folder: Path,
    report_progress: Callable[[int, int], None] = lambda *_: None,
    most: float = math.inf,
) -> int:
    """Save what a server says of its log, of at most so many entries, and return the size.

    The checkpoint is written last: a folder without one was not finished. Raises ServerError for a
    longer log, and ReplayError for a document that is not the one of its hash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = client.get("/v1/log/checkpoint")
    with reading(client, "how long its log is"):
        size = int(newest["size"])
    if size > most:
        raise ServerError(
            "log-ahead", f"{client.server} has {size} entries by now, and was to have {most}"
        )
    for start in range(0, size, MAX_BUNDLE):
        _save_bundle(client, folder, start, min(MAX_BUNDLE, size - start))
        report_progress(min(size, start + MAX_BUNDLE), size)
    _write(folder, "/v1/log", client.get("/v1/log"))
    _write(folder, "/v1/log/checkpoint", newest)
    return size


def _save_bundle(client: LogSource, folder: Path, start: int, limit: int) -> None:
    """Save a bundle of entries, and before it the documents that they name."""
    items: list[PublicEntry] = []
    while len(items) < limit:
        found = served_bundle(client, start + len(items), limit - len(items))
        if not found:
            raise ServerError(
                "entries-short", f"{client.server} has {start + len(items)} entries and said more"
            )
        for position, item in enumerate(found, start + len(items)):
            entry = record_of_bundled(item, position).entry
            named = _DOCUMENTS.get(entry.kind)
            if named is not None:
                kind, read = named
                document = read(client, entry.subject).document()
                _write(folder, f"/v1/{kind}/{to_hex(entry.subject)}", {"document": document})
        items += found
    write_private(_bundle_of(folder, start), write_bundle(items))


class SavedLog:
    """The public log in a folder that `save_log` has filled."""

    def __init__(self, folder: Path) -> None:
        self.server = f"the saved log in {folder}"
        self._folder = folder
        if not _file_of(folder, "/v1/log/checkpoint").is_file():
            raise InputError(
                "copy-unfinished",
                f"{folder} holds no whole saved log; save one with tallystick replay --save",
            )

    def get(self, path: str, **_: object) -> Any:
        """Return what the server answered. Raises ServerError for what it was not asked."""
        file = _file_of(self._folder, path)
        try:
            return json.loads(read_bytes(file, MAX_ANSWER_BYTES))
        except (InputError, ValueError):
            raise _damaged(file) from None

    def get_bytes(self, path: str, **query: object) -> bytes:
        """Return a bundle as the server would: of one file at most, empty at the log's end."""
        if path != "/v1/log/bundles":
            raise ServerError("copy-damaged", f"{self.server} has no {path}")
        start, limit = int(str(query["start"])), int(str(query["limit"]))
        first = start - start % MAX_BUNDLE
        file = _bundle_of(self._folder, first)
        if not file.is_file():
            return b""
        try:
            found = list(read_bundle(read_bytes(file, MAX_ANSWER_BYTES)))
        except (InputError, EntryError):
            raise _damaged(file) from None
        return write_bundle(found[start - first :][:limit])


def _damaged(file: Path) -> ServerError:
    return ServerError("copy-damaged", f"{file} cannot be read as saved")


def _file_of(folder: Path, path: str) -> Path:
    return folder / f"{path.removeprefix('/v1/').replace('/', '-')}.json"


def _bundle_of(folder: Path, start: int) -> Path:
    return folder / f"log-entries-{start}.bundle"


def _write(folder: Path, path: str, document: object) -> None:
    write_private(_file_of(folder, path), json.dumps(document))
