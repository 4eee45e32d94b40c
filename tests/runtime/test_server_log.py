"""A server's log is bounded, and nothing that was said is lost at the next start."""

import os
from pathlib import Path

import pytest

from orchestrator.runtime.server_log import KEPT, ServerLog


def say(log: ServerLog, *parts: bytes) -> None:
    """Have the log follow a server that says this and ends."""
    read, write = os.pipe()
    log.follow(os.fdopen(read, "rb"))
    with os.fdopen(write, "wb", buffering=0) as server:
        for part in parts:
            server.write(part)
    log.finish(30)


def test_a_start_adds_to_what_the_last_one_said(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "server.log")
    say(log, b"first start\n")
    say(log, b"second ", b"start\n")
    assert log.path.read_bytes() == b"first start\nsecond start\n"
    assert (log.first, log.last) == (b"second start\n", "second start")


def test_parts_are_put_aside_whole_and_the_oldest_goes(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "server.log", max_bytes=100)
    for number in range(9):
        say(log, f"{number}".encode() * 60)
    kept = [tmp_path / "server.log", *(tmp_path / f"server.log.{n}" for n in range(1, KEPT + 1))]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert [path.read_text() for path in kept] == [f"{n}" * 60 for n in (8, 7, 6, 5, 4)]


def test_only_the_beginning_and_the_end_are_remembered(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "server.log")
    say(log, b"begin" + b"." * 100_000, b"end")
    assert log.first.startswith(b"begin.")
    assert log.last.endswith(".end")
    assert len(log.first) + len(log.last) < 20_000


@pytest.mark.parametrize("path", [Path("/nowhere/server.log"), Path("/proc/server.log")])
def test_a_server_goes_on_where_nothing_can_be_written(path: Path) -> None:
    log = ServerLog(path)
    say(log, b"begin", b"." * 1_000_000, b"end")
    assert log.last.endswith(".end")
