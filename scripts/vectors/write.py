"""The command that writes tests/vectors/, which pytest and forge read alike.

`.venv/bin/python -m scripts.vectors.write` writes the files; with --check it only compares.

A file holds the cases on which Python and Solidity must agree. Every list holds objects of one
shape with their keys in alphabetical order, so that forge decodes it in one go into an array of
structs with the same fields. Words are 0x and 64 hex digits, other bytes hex of their own length,
amounts words (forge takes decimal text for a number or for text by its size), all other integers
JSON numbers. Terms stand in the form of `Terms.to_json`. `reason` is the code of the error in
orchestrator/core/common/errors.py.
"""

import json
import sys
from pathlib import Path

from scripts.vectors import entries, evidence, histories, merkle, signatures

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "vectors"


def make_files() -> dict[str, str]:
    """Return the text of every file by its name."""
    tables = {
        "entries": entries.table(),
        "evidence": evidence.table(),
        "histories": histories.table(),
        "merkle": merkle.table(),
        "signatures": signatures.table(),
    }
    return {
        f"{name}.json": json.dumps(table, indent=1, sort_keys=True) + "\n"
        for name, table in tables.items()
    }


def find_stale() -> list[str]:
    """Return the names of the files that are missing or differ from what this command writes."""
    return [
        name
        for name, text in make_files().items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text
    ]


def main(arguments: list[str]) -> int:
    if unknown := set(arguments) - {"--check"}:
        print(f"write.py: unknown argument {min(unknown)!r}; the only one is --check")
        return 2
    if arguments:
        stale = find_stale()
        for name in stale:
            print(f"tests/vectors/{name} is stale: run python -m scripts.vectors.write")
        return bool(stale)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in make_files().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
