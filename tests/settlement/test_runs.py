"""Neighbouring statements are taken together, as far as the escrow takes them in one call."""

import pytest

from orchestrator.settlement import runs


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([], []),
        ([7], [(7, 1)]),
        ([7, 8, 9], [(7, 3)]),
        ([7, 9], [(7, 1), (9, 1)]),
        ([1, 2, 5, 6, 7, 10], [(1, 2), (5, 3), (10, 1)]),
    ],
)
def test_neighbours_are_signed_together(
    positions: list[int], expected: list[tuple[int, int]]
) -> None:
    assert list(runs.neighbours(positions)) == expected
