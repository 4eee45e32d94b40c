"""Faults that a log survives: death at any step, two writers, a failing clock or database."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from orchestrator.core.errors import LogError
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.log.fsck import compare_projections, fsck
from orchestrator.log.sequencer import Sequencer
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from orchestrator.storage import database
from orchestrator.storage.database import API, SEQUENCER, WORKER, DatabaseError
from tests.support.database_clock import DatabaseClock
from tests.support.ledger import (
    CONTRACT,
    OWNER_WORD,
    POLICY,
    SETTINGS,
    Ledger,
    begin_log,
    genesis,
    ledger,
    sign,
)
from tests.support.servers import open_as, server_folder, urls_of
from tests.support.worlds import LEADS, OPERATORS, SURFACE, settings, surface_named, word

STEPS = (
    "taken",
    "decided",
    "entries",
    "subtrees",
    "leads",
    "projections",
    "marked",
    "checkpoint",
    "finished",
    "committed",
)
PROJECTIONS = (
    "policies",
    "settings",
    "surfaces",
    "operators",
    "standings",
    "contracts",
    "leads",
    "results",
    "inbox",
)


def first_half(log: Ledger) -> list[Request]:
    return [
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
        OpenContract(CONTRACT, word("transaction")),
        *[Touch(SURFACE, LEADS[2], OPERATORS[0], "call")] * 250,
    ]


def second_half() -> list[Request]:
    """Requests that change every projection, and complete a tile."""
    return [
        RegisterOperator(OPERATORS[1], word("profile")),
        PublishPolicy(surface_named("second"), OWNER_WORD, POLICY),
        PublishSettings(surface_named("second"), OWNER_WORD, settings(pause_s=9)),
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "signup", 0, 1000),
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 1000),
        Touch(word("nowhere"), LEADS[0], OPERATORS[0], "email"),  # refused
        Settle(),
    ]


def state_of(log: Ledger) -> dict[str, Any]:
    """All that is stored of a log, without the log's own name."""
    with psycopg.connect(log.url) as admin:
        rows = {
            table: sorted(row for row in admin.execute(f"TABLE {table}") if row[0] == log.log_id)
            for table in PROJECTIONS
        }
    # Results and inbox are keyed by arrival, which differs from log to log.
    found: dict[str, Any] = {
        table: [row[2 if table in ("results", "inbox") else 1 :] for row in rows[table]]
        for table in PROJECTIONS
    }
    found["entries"] = log.entries()[1:]  # the genesis names the log
    return found


def prepared(log: Ledger) -> None:
    """The first half drained, the second half waiting."""
    log.submit(*first_half(log))
    log.drain()
    log.now_ms = 1000
    log.submit(*second_half())


@pytest.fixture(scope="module")
def uninterrupted(module_database_url: str) -> dict[str, Any]:
    """The contents of a log whose sequencer was never disturbed."""
    with ledger(module_database_url) as log:
        prepared(log)
        log.drain()
        return state_of(log)


def check_whole(log: Ledger, uninterrupted: dict[str, Any]) -> None:
    assert state_of(log) == uninterrupted
    assert fsck(log.api, log.log_id) == len(log.entries())
    assert compare_projections(log.writer, log.log_id) == []


CHILD = """
import os, signal, sys
from orchestrator.storage.database import SEQUENCER, Database
from orchestrator.log.sequencer import Sequencer

url, log_id, step = sys.argv[1:]

def failpoint(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)

with Database(url, SEQUENCER) as database:
    sign = lambda size, root: (size.to_bytes(33) + root).ljust(65, b"\\0")
    with Sequencer(database, bytes.fromhex(log_id), lambda: 1000, sign, failpoint=failpoint) as one:
        while one.drain():
            pass
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_sequencer_killed_after_any_step_loses_and_doubles_nothing(
    log: Ledger, uninterrupted: dict[str, Any], step: str
) -> None:
    prepared(log)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, urls_of(log.url).sequencer or "", log.log_id.hex(), step],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    wait_for_lock(log)
    log.drain()
    check_whole(log, uninterrupted)


def wait_for_lock(log: Ledger) -> None:
    """Until the server has noticed that the last writer's connection is gone."""
    with psycopg.connect(log.url, autocommit=True) as admin:
        for _ in range(1000):
            locks = admin.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchone()
            if locks == (0,):
                return
            admin.execute("SELECT pg_sleep(0.01)")
    pytest.fail("the lock was never given back")


@pytest.mark.parametrize("step", STEPS)
def test_an_error_after_any_step_throws_the_fold_away(
    log: Ledger, uninterrupted: dict[str, Any], step: str
) -> None:
    prepared(log)
    failed = False

    def failpoint(name: str) -> None:
        nonlocal failed
        if name == step and not failed:
            failed = True
            raise OSError("the disk is gone")

    with log.sequencer(failpoint=failpoint) as sequencer:
        with pytest.raises(OSError, match="the disk is gone"):
            sequencer.drain()
        log.drain(sequencer)
    assert failed
    check_whole(log, uninterrupted)


def test_of_two_sequencers_only_one_opens_the_log(log: Ledger) -> None:
    prepared(log)
    with log.sequencer() as first:
        with pytest.raises(LogError) as refusal:
            log.sequencer().open()
        assert refusal.value.code == "sequencer-busy"
        first.drain()
    second = log.sequencer()
    assert second.drain() is None  # it opens by itself, now that it can
    second.close()


def test_two_sequencers_without_the_lock_still_write_one_log(
    log: Ledger, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint row alone keeps a second writer out, should the lock ever fail."""
    prepared(log)
    monkeypatch.setitem(database.queries(), "log.lock", "SELECT true AS taken, %(key)s AS key")
    refusals: list[Exception] = []

    def drain(sequencer: Any) -> None:
        with sequencer:
            try:
                sequencer.drain()
            except (LogError, DatabaseError) as error:
                refusals.append(error)

    second_is_done: list[Thread] = []

    def failpoint(name: str) -> None:
        # The second writer goes as far as it can while the first is about to commit.
        if name == "taken":
            second = Thread(target=drain, args=(log.sequencer(),))
            second.start()
            second.join(10)
            second_is_done.append(second)

    drain(log.sequencer(failpoint=failpoint))
    for second in second_is_done:
        second.join()
    assert len(refusals) == 1
    monkeypatch.undo()
    log.drain()
    check_whole(log, uninterrupted)


def test_of_many_racing_sequencers_none_leaves_a_gap_or_a_double(log: Ledger) -> None:
    log.submit(*first_half(log))
    failures: list[BaseException] = []

    def race() -> None:
        sequencer = log.sequencer()
        for _ in range(60):
            try:
                sequencer.drain(limit=7)
            except LogError as error:
                if error.code != "sequencer-busy":
                    failures.append(error)
            finally:
                sequencer.close()

    threads = [Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(20):
        log.submit(Touch(SURFACE, LEADS[1], OPERATORS[0], f"step {n}"))
    for thread in threads:
        thread.join()
    assert failures == []
    log.drain()
    labels = [s.entry.label for s in log.entries() if s.entry.subject == LEADS[1]][1:]
    assert labels == [f"step {n}" for n in range(20)]
    assert fsck(log.api, log.log_id) == len(log.entries())
    assert compare_projections(log.writer, log.log_id) == []


@pytest.mark.parametrize("ahead_ms", [5_001, 3_600_000])
def test_a_receipt_too_far_ahead_of_the_writers_clock_stops_it(log: Ledger, ahead_ms: int) -> None:
    """Either clock may be the wrong one, so nothing is decided until a person has set it."""
    prepared(log)
    own_ms = 1000
    sequencer = Sequencer(log.writer, log.log_id, lambda: own_ms, sign)
    with sequencer:
        log.drain(sequencer)
        size = len(log.entries())
        log.now_ms = 1000 + ahead_ms
        (name,) = log.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "call"))
        for _ in range(2):
            with pytest.raises(LogError, match=r"received at 1970-01-01T0") as refusal:
                sequencer.drain()
            assert refusal.value.code == "receipt-ahead"
        assert len(log.entries()) == size
        # The writer's clock stamps nothing: once it is right, the entry has its receipt.
        own_ms = 1000 + ahead_ms - 5_000
        log.drain(sequencer)
    (result,) = log.results([name])
    assert result is not None
    assert result.first_position is not None
    assert log.entries()[result.first_position].entry.time_ms == 1000 + ahead_ms
    assert compare_projections(log.writer, log.log_id) == []


@pytest.mark.parametrize("own_ms", [0, 1000, 3_601_000, 10**12])
def test_the_writers_clock_stamps_nothing(
    log: Ledger, uninterrupted: dict[str, Any], own_ms: int
) -> None:
    prepared(log)
    with Sequencer(log.writer, log.log_id, lambda: own_ms, sign) as sequencer:
        log.drain(sequencer)
    check_whole(log, uninterrupted)


def test_a_checkpoint_that_another_writer_slipped_in_stops_the_drain(
    log: Ledger,
) -> None:
    prepared(log)
    head = log.reader.checkpoint()
    assert head is not None

    def failpoint(name: str) -> None:
        if name == "projections":
            with psycopg.connect(log.url) as admin:
                admin.execute(
                    """
                    INSERT INTO checkpoints
                    SELECT log_id, size + 1, size, root, time_ms, nodes, signature
                    FROM checkpoints WHERE log_id = %s AND size = %s
                    """,
                    (log.log_id, head.size),
                )

    with log.sequencer(failpoint=failpoint) as sequencer:
        with pytest.raises(LogError) as refusal:
            sequencer.drain()
        assert refusal.value.code == "checkpoint-moved"
        # Nor does a sequencer go on from a checkpoint whose entries are not there.
        with pytest.raises(LogError):
            sequencer.drain()


def test_a_signer_that_fails_leaves_the_requests_waiting(
    log: Ledger, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(log)
    sequencer = log.sequencer()

    def fail(size: int, root: bytes) -> bytes:
        raise TimeoutError("the signer does not answer")

    monkeypatch.setattr(sequencer, "_sign", fail)
    with pytest.raises(TimeoutError):
        sequencer.drain()
    monkeypatch.setattr(sequencer, "_sign", sign)
    log.drain(sequencer)
    sequencer.close()
    check_whole(log, uninterrupted)


@pytest.fixture(scope="module")
def killable() -> Iterator[LocalPostgres]:
    """A PostgreSQL that tests may kill."""
    with server_folder() as folder, LocalPostgres(folder) as server:
        prepare_schema(server.urls())
        yield server


@pytest.mark.parametrize("step", STEPS)
def test_a_database_killed_after_any_step_comes_back_whole(
    killable: LocalPostgres, uninterrupted: dict[str, Any], step: str
) -> None:
    with (
        open_as(killable.url, API) as api,
        open_as(killable.url, SEQUENCER) as writer,
        open_as(killable.url, WORKER) as worker,
        DatabaseClock(killable.url, 0) as clock,
    ):
        log = begin_log(killable.url, api, writer, worker, clock)
        prepared(log)
        killed = False

        def failpoint(name: str) -> None:
            nonlocal killed
            if name == step and not killed:
                killed = True
                killable.kill()

        sequencer = log.sequencer(failpoint=failpoint)
        if step == "committed":
            sequencer.drain()
        with pytest.raises(DatabaseError):
            sequencer.drain()
        assert killed
        killable.start()
        log.drain(sequencer)
        sequencer.close()
        check_whole(log, uninterrupted)


def test_failpoints_are_all_of_a_drain(log: Ledger) -> None:
    """Every step is tested above, and none that no longer exists."""
    prepared(log)
    seen: list[str] = []
    with log.sequencer(failpoint=seen.append) as sequencer:
        sequencer.drain()
    assert tuple(seen) == STEPS
