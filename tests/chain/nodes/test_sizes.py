"""Sizes that shrink and grow back, and a patience that ends."""

import pytest

from orchestrator.chain.nodes.sizes import PATIENCE_S, AdaptiveSize, Patience
from orchestrator.chain.rpc import NodeError

BUSY = NodeError("node-busy", "later")


def spend(size: AdaptiveSize, total: int, limit: int) -> int:
    """Ask for `total` things of a node that takes `limit` at once; return the questions."""
    asked = 0
    while total > 0:
        count, asked = min(size.size, total), asked + 1
        if count > limit:
            size.shrink(count)
        else:
            size.grow(count)
            total -= count
    return asked


def test_a_passing_refusal_costs_little() -> None:
    size = AdaptiveSize(2_000)
    while size.size > 1:
        size.shrink(size.size)
    assert spend(size, 20_000, 2_000) < 40
    assert size.size == 2_000


def test_a_standing_limit_is_tried_ever_more_rarely() -> None:
    size = AdaptiveSize(2_000)
    spend(size, 1_000, 10)
    refusals = spend(size, 70_000, 10) - 70_000 // 7
    assert 0 < refusals < 60


def test_a_limit_that_was_lifted_is_found() -> None:
    size = AdaptiveSize(2_000)
    spend(size, 10_000, 10)
    spend(size, 30_000, 2_000)
    assert size.size == 2_000


def test_less_than_the_size_shows_nothing() -> None:
    size = AdaptiveSize(64)
    size.shrink(64)
    for _ in range(100):
        size.grow(31)
    assert size.size == 32
    size.shrink(1)
    assert size.size == 1
    size.restore(64)
    assert size.size == 64


def test_patience_doubles_and_ends_with_the_nodes_own_words() -> None:
    pauses: list[float] = []
    patience = Patience(pauses.append)
    for _ in range(6):
        patience.wait(BUSY)
    with pytest.raises(NodeError, match="later"):
        patience.wait(BUSY)
    assert pauses == [0.25, 0.5, 1, 2, 4, 8]
    assert sum(pauses) <= PATIENCE_S
    assert patience.pauses == 6


def test_a_time_that_the_node_names_is_kept_as_far_as_patience_reaches() -> None:
    pauses: list[float] = []
    patience = Patience(pauses.append)
    patience.wait(NodeError("node-busy", "later", 7))
    assert pauses == [7]
    with pytest.raises(NodeError):
        patience.wait(NodeError("node-busy", "later", 3_600))
    assert pauses == [7]
