"""Neighbouring statements are taken together, as far as the escrow takes them in one call."""

import pytest

from orchestrator.chain.escrow import Group
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


@pytest.mark.parametrize(
    ("lengths", "weight", "taken"),
    [
        ([], 1, 0),
        ([1, 1, 1], 1, 3),
        ([256], 1, 1),
        ([256, 1], 1, 1),
        ([200, 56, 1], 1, 2),
        ([257], 1, 0),
        ([48], runs.GUARDED_WEIGHT, 1),
        ([40, 11, 1], runs.GUARDED_WEIGHT, 2),
        ([52], runs.GUARDED_WEIGHT, 0),
    ],
)
def test_a_round_takes_what_fits_one_transaction(
    lengths: list[int], weight: int, taken: int
) -> None:
    group = Group(b"", "", "", "", 0)
    made = [runs.Run(group, 0, [b"entry"] * length, [(1,)] * length) for length in lengths]
    assert runs.first_of_round(made, lambda _: weight) == made[:taken]
