"""Several processes on one address: an end is noticed and mended, and a stop does not wait."""

import os
import signal
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import pytest

from orchestrator.core.common.errors import ChainError
from orchestrator.runtime.connections import listen
from orchestrator.runtime.processes import crew as crews
from orchestrator.runtime.processes.crew import Crew
from orchestrator.runtime.settings import Settings, read_settings
from tests.support.api_process import answer

# The longest that a process may take to start, of which there are several at once.
WAIT_S = 60.0


def settings_in(home: Path) -> Settings:
    return replace(read_settings({"TALLYSTICK_HOME": str(home)}), port=0)


def test_one_that_is_killed_is_started_again_and_one_that_hangs_ends_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "STOP_S", 0.2)
    with Crew(settings_in(tmp_path), 2, answer, as_json=False) as crew:
        assert crew.conditions() == {"1": True, "2": True}
        for told in crew.numbers().values():
            assert "tallystick_http_answers" in {each.name for each in told}
        first, second = crew.servers
        held = second._orders.counts.holders("streams")
        assert held.take("a") == (3, 3)
        # The one that they are forks of may end: they live on.
        fork = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        os.kill(fork, signal.SIGKILL)
        os.waitid(os.P_PID, fork, os.WEXITED | os.WNOWAIT)
        assert [first.tend(), second.tend()] == [False, False]
        assert crew.conditions() == {"1": True, "2": True}
        os.kill(first.pid, signal.SIGKILL)
        assert first._life.has_ended(WAIT_S)
        assert crew.conditions() == {"1": False, "2": True}
        assert first.tend()
        # What the dead one held is free.
        assert held.take("a") == (3, 3)
        with pytest.raises(ChainError, match="process 1 of the API: it does not come back"):
            first.wait_until_up(time.monotonic() + WAIT_S)
        assert first._life.has_ended(WAIT_S)
        assert crew.starts() == {"1": 2, "2": 1}
        # It has never answered, so it is not tried at once.
        assert not first.tend()
        assert list(crew.numbers()) == ["2"]
        hung = crews._Life(second.pid)
    # It did not end by itself, so it was killed.
    assert hung.has_ended()
    hung.close()


def test_one_that_hangs_is_ended_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel goes on giving it connections, which none would answer."""
    monkeypatch.setattr(crews, "SILENT_LOOKS", 3)
    with Crew(settings_in(tmp_path), 1, answer, as_json=False) as crew:
        (server,) = crew.servers
        hung = crews._Life(server.pid)
        os.kill(server.pid, signal.SIGSTOP)
        assert any(server.tend() for _ in range(1_000))
        assert hung.has_ended()
        hung.close()
        assert crew.starts() == {"1": 2}
        said = [record.getMessage() for record in caplog.records]
        assert said.count("process 1 of the API tells nothing any more; ending it") == 1


def test_an_address_that_is_taken_is_told_before_any_starts(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        settings = replace(settings_in(tmp_path), port=taken.getsockname()[1])
        with pytest.raises(ChainError, match="is in use"):
            Crew(settings, 1, answer, as_json=True)
    assert not (tmp_path / "0").exists()
