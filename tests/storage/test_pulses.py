"""Pulses: a part notes its own alone, and the state of a service is read by every login."""

import psycopg
import pytest

from orchestrator.core.log.entry import address_word
from orchestrator.core.world.requests import RegisterOperator
from orchestrator.storage.database import API, LOGINS, REGISTRAR, SEQUENCER, WORKER
from orchestrator.storage.pulses import beat, read_vitals
from tests.support.ledger import OPERATOR, Ledger, genesis, ledger
from tests.support.servers import open_as
from tests.support.worlds import word

OWN = {SEQUENCER: "sequencer", WORKER: "pipeline", REGISTRAR: "registrar"}


def test_each_part_notes_its_own_and_every_login_reads_all(database_url: str) -> None:
    with ledger(database_url) as log:
        for login, own in OWN.items():
            for part in OWN.values():
                _beat_as(log, login, part, is_own=part == own)
        for login in LOGINS:
            with open_as(log.url, login) as database, database.transaction() as session:
                vitals = read_vitals(session, log.log_id)
            assert set(vitals.pulses) == set(OWN.values())
            assert vitals.pulses["pipeline"].figures == {"balance_wei": 10**20}
            assert all(vitals.silent_ms(part) == 0 for part in OWN.values())


def _beat_as(log: Ledger, login: str, part: str, *, is_own: bool) -> None:
    with open_as(log.url, login) as database:
        # Twice, so that both the first note and the next are tried.
        for _ in range(2):
            try:
                with database.transaction() as session:
                    beat(session, log.log_id, part, {"balance_wei": 10**20})
            except psycopg.errors.InsufficientPrivilege:
                assert not is_own
            else:
                assert is_own


def test_the_api_notes_none(database_url: str) -> None:
    with ledger(database_url) as log, open_as(log.url, API) as database:
        for part in OWN.values():
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                database.transaction() as session,
            ):
                beat(session, log.log_id, part, {})


def test_what_waits_and_what_is_not_anchored_is_counted(database_url: str) -> None:
    with ledger(database_url) as log, open_as(log.url, WORKER) as worker:

        def read(at_ms: int) -> tuple[int, int, int, int]:
            log.now_ms = at_ms
            with worker.transaction() as session:
                vitals = read_vitals(session, log.log_id)
            return vitals.waiting, vitals.waiting_ms, vitals.size, vitals.unanchored_ms

        start_ms = log.now_ms
        assert read(start_ms) == (0, 0, 0, 0)
        log.submit(genesis(log))
        log.now_ms += 10
        log.submit(RegisterOperator(address_word(OPERATOR), word("profile")))
        assert read(start_ms + 50) == (2, 50, 0, 0)
        log.drain()
        waiting, waiting_ms, size, unanchored_ms = read(start_ms + 1_000)
        assert (waiting, waiting_ms, size) == (0, 0, 2)
        assert 0 < unanchored_ms <= 1_000
        with worker.transaction() as session:
            beat(session, log.log_id, "pipeline", {"anchored": 2})
        assert read(start_ms + 2_000) == (0, 0, 2, 0)
