"""A running clock: it moves with real time, the chain follows, and a restart goes on."""

import time
from collections.abc import Iterator

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.runtime.local_chain import LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.simulation.market.running_clock import MAX_SPEED, RunningClock
from tests.support.servers import CHAIN_START_S


@pytest.fixture
def rpc_url(anvil: LocalAnvil) -> str:
    return anvil.rpc_url


@pytest.fixture
def first(database_url: str, rpc_url: str) -> Iterator[RunningClock]:
    with RunningClock(database_url, rpc_url, 60, now_s=lambda: CHAIN_START_S) as clock:
        yield clock


def test_it_moves_as_fast_as_it_is_told(
    first: RunningClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_ms, real_s = first(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: real_s + 10)
    assert first() == began_ms  # until it is moved
    first.move()
    assert began_ms + 600_000 <= first() <= began_ms + 660_000
    monkeypatch.setattr(time, "monotonic", lambda: real_s - 10)
    moved_ms = first()
    first.move()
    assert first() == moved_ms


def test_the_chain_follows_with_a_block(first: RunningClock, rpc_url: str) -> None:
    with LocalChainClock(rpc_url) as chain:
        first.move_chain()
        assert chain.now_s() >= first() // 1000


def test_a_restart_goes_on_where_it_stood(
    database_url: str, rpc_url: str, first: RunningClock
) -> None:
    first.move()
    with RunningClock(database_url, rpc_url, 1, now_s=lambda: 0) as again:
        assert again() >= first()


@pytest.mark.parametrize("speed", [0, -1, MAX_SPEED + 1])
def test_a_speed_that_is_none_is_refused(database_url: str, rpc_url: str, speed: int) -> None:
    with pytest.raises(InputError) as refused:
        RunningClock(database_url, rpc_url, speed)
    assert refused.value.code == "speed-range"
