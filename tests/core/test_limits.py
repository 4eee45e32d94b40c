"""Limits: read from a document, told in a table, and the places that are an account's."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import InputError
from orchestrator.core.limits import (
    MAY_BE_ZERO,
    MOST,
    RATES,
    SHARE,
    Limits,
    Rate,
    limits_for,
    places_for,
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
    guide = Path(__file__).parents[2].joinpath("docs/operating.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9]+) \|", guide, re.MULTILINE))
    assert rows == {name: str(value) for name, value in Limits()._asdict().items()}


def test_what_may_be_zero_is_a_limit() -> None:
    assert set(Limits._fields) > MAY_BE_ZERO


def test_every_caller_has_the_same_limits_yet() -> None:
    limits = Limits(surfaces=3)
    assert [limits_for(limits, level) for level in (None, "0", "3")] == [limits] * 3


def test_a_rate_is_of_the_limit_of_its_name() -> None:
    limits = Limits(touches_a_day=10, requests_a_minute=60_000)
    assert rate_of(limits, "touches") == Rate("touches", 10, 86_400, "touches")
    for name in RATES:
        assert rate_of(limits, name).quota in limits
    # What costs less than a microsecond is not free.
    assert Rate("x", 3_000_000, 1, "x").cost_us(1) == 1
    assert Rate("x", 60_000, 60, "x").cost_us(5) == 5_000


@given(st.integers(1, 10**6), st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_however_many_flood_the_next_has_a_place(
    whole: int, owners: list[bool], data: st.DataObject
) -> None:
    """Each takes all that it may, in any order and again and again."""
    limits = Limits(waiting_requests=whole)
    own = [0] * len(owners)
    for _ in range(3):
        for number in data.draw(st.permutations(range(len(owners)))):
            own[number] += max(
                0, places_for(limits, sum(own), own[number], is_owner=owners[number])
            )
    assert sum(own) <= whole
    assert max(own) <= whole // SHARE
    of_operators = sum(held for held, is_owner in zip(own, owners, strict=True) if not is_owner)
    assert of_operators <= whole // 2
    # As long as there are more places than a quarter for each of them rounds away.
    if whole > 10**5:
        assert places_for(limits, sum(own), 0, is_owner=True) > 0


def test_openings_are_paid_unless_a_limit_is_zero() -> None:
    assert Limits().openings_are_paid
    assert not Limits(openings_a_day=0).openings_are_paid
    assert not Limits(openings_of_all_a_day=0).openings_are_paid
