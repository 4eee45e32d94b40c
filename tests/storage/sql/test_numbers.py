"""Bounds that Python tells or keeps to, and the database enforces, are the same number."""

import re
from pathlib import Path

import pytest

from orchestrator.core.account.sign_in import MOST_KEYS
from orchestrator.log.inbox import MAX_BULK
from orchestrator.storage.traces import MOST_TRACES

ROOT = Path(__file__).parents[3]
MIGRATIONS = "orchestrator/storage/sql/migrations"


@pytest.mark.parametrize(
    ("page", "pattern", "count", "number"),
    [
        ("0001_log.sql", r"(?:cardinality|array_length)\(\w+\) > (\d+) THEN", 2, MAX_BULK),
        ("0001_log.sql", r"at most (\d+) (?:pseudonyms|requests)", 2, MAX_BULK),
        ("0005_identity.sql", r"(\d+) live (?:delegates|keys)", 3, MOST_KEYS),
        ("0005_identity.sql", r"> moment\s+\) >= (\d+) THEN", 1, MOST_KEYS),
        # The new one is not among those that are kept.
        (
            "0005_identity.sql",
            r"k\.created_ms DESC, k\.key OFFSET (\d+)\);\s+ELSIF",
            1,
            MOST_KEYS - 1,
        ),
        ("0022_traces.sql", r"cardinality\(\w+\) <= (\d+)", 2, MOST_TRACES),
        ("0022_traces.sql", r"and (\d+) at most", 1, MOST_TRACES),
        ("docs/api.md", r"at most (\d+) live delegates", 1, MOST_KEYS),
        ("docs/api.md", r"wallet's keys a (\d+)st ends", 1, MOST_KEYS + 1),
    ],
)
def test_a_bound_is_the_same_everywhere(page: str, pattern: str, count: int, number: int) -> None:
    file = ROOT / (page if "/" in page else f"{MIGRATIONS}/{page}")
    assert re.findall(pattern, file.read_text()) == [str(number)] * count
