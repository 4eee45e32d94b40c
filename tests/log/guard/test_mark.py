"""The mark: what was signed is signed once, whatever becomes of the database."""

import json
import multiprocessing
from pathlib import Path

import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.log.merkle import EMPTY_ROOT
from orchestrator.core.world.requests import Touch
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.log.guard.mark import Guard, Mark, Signed
from orchestrator.log.sequencing.sequencer import Sequencer
from tests.support.ledger import Ledger, alter, genesis, open_market, sign
from tests.support.worlds import LEADS, OPERATORS, SURFACE

LOG_ID = bytes(32)
FIRST = Signed(3, b"a" * 32, 0, EMPTY_ROOT, (1, 2))
TOUCH = Touch(SURFACE, LEADS[1], OPERATORS[0], "call")


def test_it_outlives_its_process_and_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    with Mark(path, LOG_ID) as mark:
        mark.open()
        assert mark.known_roots(7) == []
        mark.move_to(FIRST)
        mark.move_to(FIRST)
        for size, root in ((3, b"b" * 32), (2, b"a" * 32)):
            with pytest.raises(LogError, match="was signed already") as refused:
                mark.move_to(Signed(size, root, 0, EMPTY_ROOT, (1,)))
            assert refused.value.code == "signed-already"
    with pytest.raises(LogError, match="is not open"):
        mark.move_to(Signed(9, b"c" * 32, 3, b"a" * 32, ()))
    with Mark(path, LOG_ID) as again:
        again.open()
        assert again.requests_to_repeat(0) == (1, 2)
        assert again.requests_to_repeat(3) == ()
        assert again.known_roots(0) == [KnownRoot(0, EMPTY_ROOT, "what was signed before 3")]
        assert [known[:2] for known in again.known_roots(2)] == [(3, b"a" * 32)]
    assert path.stat().st_mode & 0o777 == 0o600


def _try_to_open(path: Path) -> None:
    try:
        Mark(path, LOG_ID).open()
    except LogError as error:
        raise SystemExit(7 if error.code == "sequencer-busy" else 1) from None


def test_one_process_has_it(tmp_path: Path) -> None:
    with Mark(tmp_path / "mark", LOG_ID) as mark:
        mark.open()
        other = multiprocessing.get_context("spawn").Process(
            target=_try_to_open, args=(tmp_path / "mark",)
        )
        other.start()
        other.join()
        assert other.exitcode == 7


def test_what_is_no_mark_of_this_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    for text in ("", "{}", "[]", '{"size": "x"}'):
        path.write_text(text)
        with pytest.raises(LogError, match="put back the file") as refused:
            Mark(path, LOG_ID).open()
        assert refused.value.code == "mark-unreadable"
    path.unlink()
    with Mark(path, LOG_ID) as mark:
        mark.open()
        mark.move_to(FIRST)
    assert json.loads(path.read_text())["size"] == 3
    with pytest.raises(LogError, match="not of") as refused:
        Mark(path, b"x" * 32).look()
    assert refused.value.code == "mark-of-another"
    with pytest.raises(LogError, match="TALLYSTICK_MARK") as refused:
        Mark(tmp_path / "none" / "mark", LOG_ID).open()
    assert refused.value.code == "mark-unwritable"


def sequencer(log: Ledger, path: Path, **options: object) -> Sequencer:
    guard = Guard(Mark(path, log.log_id))
    return Sequencer(log.writer, log.log_id, lambda: log.now_ms, sign, guard=guard, **options)  # type: ignore[arg-type]


def forget_last_checkpoint(log: Ledger) -> None:
    """Take a log back to the checkpoint before the last, as a replica is that lacks the end."""
    entries = """
        DELETE FROM entries WHERE log_id = %s AND position >=
            (SELECT previous_size FROM checkpoints WHERE log_id = %s ORDER BY size DESC LIMIT 1)
        """
    last = """
        DELETE FROM checkpoints WHERE log_id = %s AND size =
            (SELECT max(size) FROM checkpoints WHERE log_id = %s)
        """
    assert alter(log, entries) > 0
    assert alter(log, last) == 1


def test_an_older_database_is_not_written_on(log: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "mark"
    log.submit(genesis(log))
    with sequencer(log, path) as one:
        one.drain()
    open_market(log)  # by a sequencer with another mark, as before a move
    log.submit(TOUCH)
    with sequencer(log, path) as one:
        one.drain()
    # The request is gone from the inbox, and so is its entry: what was signed cannot come again.
    forget_last_checkpoint(log)
    log.submit(TOUCH)
    with sequencer(log, path) as one, pytest.raises(LogError, match="is an older copy") as refused:
        one.drain()
    assert refused.value.code == "requests-lost"
    forget_last_checkpoint(log)
    with pytest.raises(LogError, match="older copy of the log") as refused:
        sequencer(log, path).open()
    assert refused.value.code == "log-behind"


def test_what_was_signed_and_lost_is_signed_again_and_nothing_else(
    running: Ledger, tmp_path: Path
) -> None:
    """A crash between mark and commit must not stop the log, nor change what comes next."""
    path, failed = tmp_path / "mark", list[bytes]()

    def failpoint(name: str) -> None:
        if name == "finished" and not failed:
            failed.append(path.read_bytes())
            raise OSError("the power is gone")

    running.submit(TOUCH)
    with sequencer(running, path, failpoint=failpoint) as one:
        with pytest.raises(OSError, match="power"):
            one.drain()
        # More has come in since; it would make another checkpoint of another size.
        running.submit(*[TOUCH] * 3)
        size = json.loads(failed[0])["size"]
        for more in (0, 3):
            head = one.drain()
            assert head is not None
            assert head.size == size + more


def test_an_anchor_of_another_history_stops_the_writer(running: Ledger) -> None:
    guard = Guard(anchors=lambda: [KnownRoot(2, bytes(32), "the anchor")])
    with pytest.raises(LogError, match="another history"):
        Sequencer(running.writer, running.log_id, lambda: running.now_ms, sign, guard=guard).open()
