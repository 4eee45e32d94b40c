"""The file that counts the budgets a program has signed, on the machine of the wallet.

It is locked while it is read and added to, so that all who share it keep its ceilings together.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.mandate import SignedBudget

MAX_LEDGER_BYTES = 16 * 1_048_576
_TYPES = [str, str, int, int, int]


@contextmanager
def open_ledger(path: Path) -> Iterator[tuple[list[SignedBudget], IO[str]]]:
    """Open the file of signed budgets alone, to be read and added to.

    Raises InputError `ledger-malformed` for a file with anything else: it is never passed over.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read(MAX_LEDGER_BYTES + 1)
        is_whole = len(text) <= MAX_LEDGER_BYTES and (not text or text.endswith("\n"))
        try:
            rows: list[Any] = [json.loads(line) for line in text.splitlines()] if is_whole else [0]
        except ValueError:
            rows = [0]
        if not all(
            isinstance(row, list) and [type(each) for each in row] == _TYPES for row in rows
        ):
            raise InputError(
                "ledger-malformed",
                f"{path}: is no whole file of signed budgets; mend it, or name another",
            )
        yield [SignedBudget(*row) for row in rows], file


def add_budget(file: IO[str], signed: SignedBudget) -> None:
    """Add a budget to the open file. When this returns it is counted, whatever happens next."""
    file.write(json.dumps(signed) + "\n")
    file.flush()
    os.fsync(file.fileno())
