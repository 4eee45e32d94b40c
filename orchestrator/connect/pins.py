"""The facts of a deployment, taken down at first use in a file of the user's own."""

import json
from pathlib import Path
from typing import Any

from orchestrator.client.deals import served_pins
from orchestrator.client.http import Client
from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.mandate import Pins
from orchestrator.storage.local.files import locked, read_text, write_private


def pinned(folder: Path, url: str, client: Client) -> Pins:
    """Return the facts that were pinned for a URL; at first use what its server says, kept.

    Raises InputError `pin-changed` where the server says something else now.
    """
    path, now = folder / "pins.json", served_pins(client)
    # Several clients of one user may start at once.
    with locked(folder / "pins.lock"):
        known = _read(path)
        if url not in known:
            known[url] = now.to_json()
            write_private(path, json.dumps(known, indent=2) + "\n")
            return now
    before = _parse(path, known[url])
    before.check_same(now, f"{url} in {path}")
    return before


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(read_text(path, is_secret=True))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("pins-malformed", f"{path}: is no file of pins; mend it or delete it")
    return found


def _parse(path: Path, document: Any) -> Pins:
    try:
        return Pins.from_json(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(
            "pins-malformed", f"{path}: is no file of pins; mend it or delete it"
        ) from None
