"""Faults that a log survives: death at any step, two writers, a failing clock or database."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread, current_thread
from typing import Any

import psycopg
import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.requests import (
    Arrival,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.log.fsck import compare_projections
from orchestrator.log.sequencing import sequencer as sequencer_module
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import prepare_schema
from orchestrator.storage.database import API, SEQUENCER, WORKER, DatabaseError
from orchestrator.storage.queries import queries
from tests.support.database_clock import DatabaseClock
from tests.support.depth import cases
from tests.support.failpoints import DECIDING, WhileAhead
from tests.support.fsck import fsck
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
    "codes",
    "clicks",
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


# Of the second half a batch of so many is full when the first documents are written.
FEW = 2


def second_half() -> list[Request]:
    """Requests that change every projection, and complete a tile."""
    code = word("code")
    return [
        RegisterOperator(OPERATORS[1], word("profile")),
        PublishPolicy(surface_named("second"), OWNER_WORD, POLICY),
        PublishSettings(surface_named("second"), OWNER_WORD, settings(pause_s=9)),
        IssueCode(SURFACE, code, OPERATORS[0], 5, 9000, ZERO_WORD, ZERO_WORD),
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "signup", 0, 1000),
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 1000),
        Arrival(SURFACE, LEADS[1], code, False, False, "signup", 0, 1000),
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
from orchestrator.log.sequencing.sequencer import Sequencer
from tests.support.failpoints import DECIDING, WhileAhead

url, log_id, step = sys.argv[1:]
failpoint = WhileAhead(step, lambda: os.kill(os.getpid(), signal.SIGKILL))

with Database(url, SEQUENCER) as database:
    sign = lambda size, root: (size.to_bytes(33) + root).ljust(65, b"\\0")
    with Sequencer(database, bytes.fromhex(log_id), lambda: 1000, sign, failpoint=failpoint) as one:
        one.drain_all(2)
"""


@pytest.mark.parametrize("step", cases(STEPS, "decided", "projections", "committed"))
def test_a_sequencer_killed_after_any_step_loses_and_doubles_nothing(
    log: Ledger, uninterrupted: dict[str, Any], step: str
) -> None:
    """Killed with one batch half written and the next one decided."""
    prepared(log)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, urls_of(log.url).sequencer or "", log.log_id.hex(), step],
        cwd=Path(__file__).parents[3],
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


# --- One batch is written while the next is decided -----------------------------------------------


def sizes_of(log: Ledger) -> list[int]:
    """Return the sizes of the log's checkpoints."""
    with psycopg.connect(log.url) as admin:
        query = "SELECT size FROM checkpoints WHERE log_id = %s ORDER BY size"
        return [row[0] for row in admin.execute(query, (log.log_id,))]


def check_thrown_away(log: Ledger, failpoint: WhileAhead, expected: type[Exception]) -> None:
    """See a drain fail at a failpoint, and leave nothing of what was not yet written."""
    with log.sequencer(failpoint=failpoint) as sequencer:
        with pytest.raises(expected):
            sequencer.drain_all(FEW)
        assert failpoint.has_acted
        assert sequencer._writer is None
        assert fsck(log.api, log.log_id) == sizes_of(log)[-1] == len(log.entries())
        assert compare_projections(log.writer, log.log_id) == []


@pytest.mark.parametrize("step", cases(STEPS, "taken", "subtrees", "finished"))
def test_an_error_at_any_step_of_two_batches_throws_both_away(
    log: Ledger, uninterrupted: dict[str, Any], step: str
) -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    prepared(log)
    check_thrown_away(log, WhileAhead(step, fail), OSError)
    # Of a failure to decide, the batch before it is none the wiser.
    assert len(sizes_of(log)) == (4 if step in ("taken", "decided", "committed") else 3)
    log.drain()
    check_whole(log, uninterrupted)


FAULTS = {
    "a constraint": "ALTER TABLE results ADD CONSTRAINT fault CHECK (count > 99) NOT VALID",
    "a full disk": """
        CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER fault BEFORE INSERT ON results EXECUTE FUNCTION fault()
    """,
    "a connection that is cut": """
        SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())
    """,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_that_fails_throws_away_what_was_decided_behind_it(
    log: Ledger, uninterrupted: dict[str, Any], fault: str
) -> None:
    prepared(log)
    with psycopg.connect(log.url, autocommit=True) as admin:
        try:
            failpoint = WhileAhead("entries", lambda: admin.execute(FAULTS[fault]))
            check_thrown_away(log, failpoint, DatabaseError)
        finally:
            admin.execute("ALTER TABLE results DROP CONSTRAINT IF EXISTS fault")
            admin.execute("DROP FUNCTION IF EXISTS fault CASCADE")
    assert len(sizes_of(log)) == 3
    log.drain()
    check_whole(log, uninterrupted)


@pytest.mark.parametrize("limit", [1, FEW, 3])
def test_what_is_decided_ahead_is_what_would_be_decided_later(
    log: Ledger,
    uninterrupted: dict[str, Any],
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each batch is decided before the last is stored, with the least memory of what is not."""
    monkeypatch.setattr(sequencer_module, "CODES_IN_MEMORY", 0)
    prepared(log)
    failpoint = WhileAhead("marked", lambda: None)
    with log.sequencer(leads_in_memory=0, standings_in_memory=0, failpoint=failpoint) as sequencer:
        head = sequencer.drain_all(limit)
    assert failpoint.has_acted
    assert head == log.reader.checkpoint()
    check_whole(log, uninterrupted)


def test_documents_are_stored_before_the_next_batch_is_decided(
    log: Ledger, uninterrupted: dict[str, Any]
) -> None:
    """They could not be read while they are being written, should they be forgotten."""
    prepared(log)
    seen: list[str] = []

    def note(step: str) -> None:
        if current_thread().name != "write":
            seen.append(step)

    with log.sequencer(failpoint=note) as sequencer:
        sequencer.drain_all(1)
    writing = STEPS[len(DECIDING) :]
    # A registration, a policy, settings, and seven requests that publish nothing.
    assert tuple(seen) == (*DECIDING * 2, *writing, *DECIDING, *writing, *DECIDING * 7)
    check_whole(log, uninterrupted)


def test_both_connections_are_of_one_server(log: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(log)
    monkeypatch.setitem(queries(), "database.server", "SELECT random() AS began")
    with pytest.raises(LogError) as refusal:
        log.sequencer().open()
    assert refusal.value.code == "servers-two"
    monkeypatch.undo()
    log.drain()


# --- Two writers, wrong clocks, a database that dies ----------------------------------------------


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
    monkeypatch.setitem(queries(), "log.lock", "SELECT true AS taken, %(key)s AS key")
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


@pytest.mark.parametrize("step", cases(STEPS, "checkpoint", "committed"))
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
        failpoint = WhileAhead(step, killable.kill)
        sequencer = log.sequencer(failpoint=failpoint)
        with pytest.raises(DatabaseError):
            sequencer.drain_all(FEW)
        assert failpoint.has_acted
        killable.start()
        log.drain(sequencer)
        sequencer.close()
        check_whole(log, uninterrupted)


def test_failpoints_are_all_of_a_drain(log: Ledger) -> None:
    """Deep runs test every step above, and none that no longer exists."""
    prepared(log)
    seen: list[str] = []
    with log.sequencer(failpoint=seen.append) as sequencer:
        sequencer.drain()
    assert tuple(seen) == STEPS
