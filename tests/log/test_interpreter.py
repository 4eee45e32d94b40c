"""The interpreter's switch interval is the least that any part of the process has asked for."""

import sys
from collections.abc import Iterator

import pytest

from orchestrator.log.interpreter import give_way_within


@pytest.fixture
def _as_it_starts() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_as_it_starts")
def test_the_least_interval_holds_in_whatever_order_the_parts_ask() -> None:
    for asked, held in ((0.001, 0.001), (0.0005, 0.0005), (0.001, 0.0005), (0.01, 0.0005)):
        give_way_within(asked)
        assert sys.getswitchinterval() == pytest.approx(held)
