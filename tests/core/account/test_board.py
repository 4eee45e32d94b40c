"""Boards: the bounds are those that the database has."""

import re
from pathlib import Path

import pytest

from orchestrator.core.account.board import ITEM_PATTERN, MAX_BODY_BYTES, MAX_LEASE_S, MESSAGE_KINDS

MIGRATION = "orchestrator/storage/sql/migrations/0018_coordination.sql"
SQL = Path(__file__).parents[3].joinpath(MIGRATION).read_text()


@pytest.mark.parametrize("item", ["0x" + "0f" * 32, "a", "A.b_c:d-9", "x" * 128])
def test_items_are_leads_and_names(item: str) -> None:
    assert re.search(ITEM_PATTERN, item)


# A lead has one form, or two agents would take one lead under two names.
@pytest.mark.parametrize(
    "item", ["", "0x" + "0F" * 32, "0x" + "0f" * 31, "0X" + "0f" * 32, "9", "-", "a b", "x" * 129]
)
def test_what_is_neither_is_refused(item: str) -> None:
    assert not re.search(ITEM_PATTERN, item)


def test_the_database_has_the_same_bounds() -> None:
    assert SQL.count(f"item ~ '{ITEM_PATTERN}'") == 2
    assert f"kind IN ({', '.join(map(repr, MESSAGE_KINDS))})" in SQL
    assert f"octet_length(body::text) <= {MAX_BODY_BYTES}" in SQL
    assert f"least(for_ms, {1000 * MAX_LEASE_S})" in SQL
