"""A part's pulse: it beats while the work goes well, and tells what is seen."""

import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.runtime.health.pulse import Heart
from orchestrator.storage.database import SEQUENCER
from orchestrator.storage.pulses import read_vitals
from tests.support.ledger import ledger
from tests.support.servers import open_as


def test_a_part_has_a_pulse_only_while_its_work_goes_well(database_url: str) -> None:
    results: list[Exception | None] = [LogError("busy", "not now"), None, None]

    def act() -> None:
        result = results.pop(0)
        if result is not None:
            raise result

    with ledger(database_url) as log, open_as(log.url, SEQUENCER) as database:

        def pulses() -> list[int]:
            with database.transaction() as session:
                return [pulse.at_ms for pulse in read_vitals(session, log.log_id).pulses.values()]

        heart = Heart(act, database, log.log_id, "sequencer")
        with pytest.raises(LogError):
            heart()
        assert pulses() == []
        heart()
        first = pulses()
        assert first == [log.now_ms]
        # The next one is due only in a while.
        log.now_ms += 1
        heart()
        assert pulses() == first
