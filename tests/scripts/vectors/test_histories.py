"""Histories: only the dishonest ones hold lies."""

from scripts.vectors.histories import histories, lies


def test_only_dishonest_histories_hold_lies() -> None:
    for history in histories():
        assert bool(lies(history)) == (history.name != "honest"), history.name
