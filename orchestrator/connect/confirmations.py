"""Requests that a person confirms outside the model; they wait in files of the user's own.

A request is written by the server that a model speaks to, and confirmed by a command that a person
runs. It holds all that will be done, so nothing can be put in its place, and goes when it is done.
"""

import json
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.files import read_text, write_private

KEPT_S = 86_400
MAX_WAITING = 20
_ID = re.compile(r"[0-9a-f]{12}")


class Asked(NamedTuple):
    """A request: for which wallet, what is done, and the lines that say so to a person."""

    id: str
    wallet: str
    kind: str
    what: dict[str, Any]
    lines: list[str]
    asked_s: int
    is_confirmed: bool = False


class Confirmations:
    """The requests in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(
        self, wallet: str, kind: str, what: dict[str, Any], lines: list[str], now_s: int
    ) -> Asked:
        """Keep a request. Raises InputError `confirmations-many` while too many wait."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting = [one for one in self._all() if not self._drop_old(one, now_s)]
        if len(waiting) >= MAX_WAITING:
            raise InputError(
                "confirmations-many",
                f"{MAX_WAITING} requests wait to be confirmed; have the person look at them first",
            )
        asked = Asked(secrets.token_hex(6), wallet, kind, what, lines, now_s)
        self._write(asked)
        return asked

    def waiting(self, now_s: int) -> list[Asked]:
        """Return the requests that wait, oldest first."""
        kept = [one for one in self._all() if not self._drop_old(one, now_s)]
        return sorted(kept, key=lambda one: (one.asked_s, one.id))

    def read(self, id_: str, now_s: int) -> Asked:
        """Return a request. Raises InputError `confirmation-unknown`."""
        if _ID.fullmatch(id_) and (self._folder / f"{id_}.json").exists():
            asked = self._parse(self._folder / f"{id_}.json")
            if not self._drop_old(asked, now_s):
                return asked
        raise InputError("confirmation-unknown", f"no request {id_[:40]!r} waits to be confirmed")

    def confirm(self, asked: Asked) -> None:
        """Keep that a person has confirmed this."""
        self._write(asked._replace(is_confirmed=True))

    def drop(self, asked: Asked) -> None:
        """Take a request away, for good."""
        (self._folder / f"{asked.id}.json").unlink(missing_ok=True)

    def confirmed(self, id_: str, wallet: str, now_s: int) -> Asked:
        """Return a confirmed request of a wallet. Raises InputError for any other."""
        asked = self.read(id_, now_s)
        if asked.wallet != wallet:
            raise InputError("confirmation-of-another", f"request {id_} is of {asked.wallet}")
        if not asked.is_confirmed:
            raise InputError(
                "confirmation-missing",
                f"no person has confirmed request {id_} yet; {how_to_confirm(id_)}",
            )
        return asked

    def _drop_old(self, asked: Asked, now_s: int) -> bool:
        is_old = asked.asked_s < now_s - KEPT_S
        if is_old:
            self.drop(asked)
        return is_old

    def _all(self) -> list[Asked]:
        return [self._parse(path) for path in sorted(self._folder.glob("*.json"))]

    def _parse(self, path: Path) -> Asked:
        try:
            asked = Asked(**json.loads(read_text(path, is_secret=True)))
        except (ValueError, TypeError, RecursionError):
            raise InputError(
                "confirmation-malformed", f"{path}: is no request; delete it"
            ) from None
        return asked._replace(id=path.stem)

    def _write(self, asked: Asked) -> None:
        write_private(self._folder / f"{asked.id}.json", json.dumps(asked._asdict(), indent=2))


def how_to_confirm(id_: str) -> str:
    """Return what a person does to confirm a request."""
    return f"the person at this machine runs: tallystick connect confirm {id_}"
