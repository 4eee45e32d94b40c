"""Limits: read from a document, told in a table, and by level."""

import re
from pathlib import Path

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.limits import (
    BYTES_OF_ROW,
    MAY_BE_ZERO,
    MOST,
    OPERATORS_PART,
    RATES,
    SHARE,
    TURN_REQUESTS,
    InboxLimits,
    Limits,
    Rate,
    inbox_limits,
    limits_for,
    rate_of,
    read_limits,
)


def test_a_document_changes_what_it_names() -> None:
    assert read_limits({}) == Limits()
    changed = read_limits({"touches_a_day": 7, "waiters": 0, "surfaces": MOST - 1})
    assert changed == Limits()._replace(touches_a_day=7, waiters=0, surfaces=MOST - 1)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "limits-malformed"),
        ("x", "limits-malformed"),
        ({"touches": 1}, "limit-unknown"),
        ({"touches_a_day": 0}, "limit-range"),
        ({"touches_a_day": -1}, "limit-range"),
        ({"touches_a_day": True}, "limit-range"),
        ({"touches_a_day": 1.0}, "limit-range"),
        ({"touches_a_day": "9"}, "limit-range"),
        ({"waiters": -1}, "limit-range"),
        ({"surfaces": MOST}, "limit-range"),
    ],
)
def test_what_is_no_limit_is_refused(document: object, code: str) -> None:
    with pytest.raises(InputError) as refused:
        read_limits(document)
    assert refused.value.code == code


def test_every_limit_is_in_the_table_with_its_default() -> None:
    guide = Path(__file__).parents[3].joinpath("docs/operating.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_0-9]+)` \| ([0-9]+) \|", guide, re.MULTILINE))
    assert rows == {name: str(value) for name, value in Limits()._asdict().items()}


def test_what_may_be_zero_is_a_limit() -> None:
    assert set(Limits._fields) > MAY_BE_ZERO


def test_an_operator_of_a_higher_level_asks_for_more() -> None:
    limits = Limits(touches_a_day=10, acts_a_day=1, level_0_percent=50, level_3_percent=250)
    first, last = limits_for(limits, 0), limits_for(limits, 3)
    assert (first.touches_a_day, last.touches_a_day) == (5, 25)
    assert (first.acts_a_day, last.acts_a_day) == (1, 2)  # never none
    # What owners report, and what all share, stays as it is.
    changed = {"requests_a_minute", "rows_a_minute", "touches_a_day", "acts_a_day"}
    assert {name for name in Limits._fields if getattr(last, name) != getattr(limits, name)} == (
        changed
    )
    # As much as can be said still is a limit.
    most = limits_for(Limits(touches_a_day=MOST - 1, level_1_percent=MOST - 1), 1)
    assert read_limits(most._asdict()) == most


def test_a_rate_is_of_the_limit_of_its_name() -> None:
    limits = Limits(touches_a_day=10, requests_a_minute=60_000)
    assert rate_of(limits, "touches") == Rate("touches", 10, 86_400, "touches")
    for name in RATES:
        assert rate_of(limits, name).quota in limits
    # What costs less than a microsecond is not free.
    assert Rate("x", 3_000_000, 1, "x").cost_us(1) == 1
    assert Rate("x", 60_000, 60, "x").cost_us(5) == 5_000


def test_the_database_is_told_what_it_holds_requests_to() -> None:
    few = Limits(stored_bytes=7)._replace(waiting_requests=9, all_stored_bytes=8, table_bytes=6)
    held = inbox_limits(few._replace(leases=5, messages=4, memories_bytes=3, webhooks=2))
    assert held == InboxLimits(
        9, 9 // OPERATORS_PART, SHARE, 7, 8, BYTES_OF_ROW, TURN_REQUESTS, 6, 5, 4, 3, 2
    )
    # Its columns bear the same names.
    sql = Path(__file__).parents[3].joinpath("orchestrator/storage/sql/queries/database.sql")
    names = ", ".join(InboxLimits._fields)
    assert " ".join(sql.read_text().split()).count(names) == 2


def test_openings_are_paid_unless_a_limit_is_zero() -> None:
    assert Limits().openings_are_paid
    assert not Limits(openings_a_day=0).openings_are_paid
    assert not Limits(openings_of_all_a_day=0).openings_are_paid
