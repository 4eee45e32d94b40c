"""A public log saved in a folder, and read from there as from its server.

Nothing in it needs to be believed: entries are hashed, documents have their hashes, and the last
checkpoint its publisher's signature.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.client.http import MAX_ANSWER_BYTES, PAGE
from orchestrator.client.log_server import LogSource, reading, record_of, served_entries
from orchestrator.core.errors import InputError, ServerError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.storage.files import read_bytes, write_private

# The kinds of entries that name a document by its hash, and what the API calls these documents.
_DOCUMENTS = {"policy.published": "policies", "settings.published": "settings"}


def save_log(
    client: LogSource, folder: Path, report_progress: Callable[[str, int], None] = lambda *_: None
) -> int:
    """Save what a server says of its log, and return the size. A folder that has pages goes on.

    The checkpoint is written last: a folder without one was not finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = client.get("/v1/log/checkpoint")
    with reading(client, "how long its log is"):
        size = int(newest["size"])
    for start in range(0, size, PAGE):
        _save_page(client, folder, start, min(PAGE, size - start))
        report_progress("saved", min(size, start + PAGE))
    _write(folder, "/v1/log", client.get("/v1/log"))
    _write(folder, "/v1/log/checkpoint", newest)
    return size


def _save_page(client: LogSource, folder: Path, start: int, limit: int) -> None:
    """Save a page of entries, and before it the documents that they name."""
    items: list[dict[str, object]] = []
    while len(items) < limit:
        page = served_entries(client, start + len(items), limit - len(items))
        if not page:
            raise ServerError(
                "entries-short", f"{client.server} has {start + len(items)} entries and said more"
            )
        for position, served in enumerate(page, start + len(items)):
            entry = record_of(served, position).entry
            kind = _DOCUMENTS.get(entry.kind)
            if kind is not None:
                path = f"/v1/{kind}/{to_hex(entry.subject)}"
                _write(folder, path, client.get(path))
            items.append(
                {"position": position, "entry": to_hex(served.data), "opening": served.opening}
            )
    _write(folder, f"/v1/log/entries-{start}", {"entries": items})


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

    def get(self, path: str, **query: object) -> Any:
        """Return what the server answered. Raises ServerError for what it was not asked."""
        if path != "/v1/log/entries":
            return self._read(path)
        start, limit = int(str(query["start"])), int(str(query["limit"]))
        page_start = start - start % PAGE
        if not _file_of(self._folder, f"/v1/log/entries-{page_start}").is_file():
            return {"entries": []}
        found = self._read(f"/v1/log/entries-{page_start}")
        with reading(self, "what its entries are"):
            return {"entries": found["entries"][start - page_start :][:limit]}

    def _read(self, path: str) -> Any:
        file = _file_of(self._folder, path)
        try:
            return json.loads(read_bytes(file, MAX_ANSWER_BYTES))
        except (InputError, ValueError):
            raise ServerError("copy-damaged", f"{file} cannot be read as saved") from None


def _file_of(folder: Path, path: str) -> Path:
    return folder / f"{path.removeprefix('/v1/').replace('/', '-')}.json"


def _write(folder: Path, path: str, document: object) -> None:
    write_private(_file_of(folder, path), json.dumps(document))
