"""A pooler in transaction mode between the sequencer and its database: refused, or harmless.

It hands one connection of the server to many clients, so an advisory lock and a temporary table are
anyone's. The compare-and-swap and the mark hold all the same.
"""

from pathlib import Path

from orchestrator.core.common.errors import DomainError
from orchestrator.core.world.requests import Touch
from orchestrator.log.fsck import compare_projections
from orchestrator.log.guard.mark import Guard, Mark
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.storage.database import SEQUENCER, Database, DatabaseError
from tests.support.fsck import fsck
from tests.support.ledger import Ledger, sign
from tests.support.pooler import needs_pooler, pooled
from tests.support.servers import server_folder, urls_of
from tests.support.worlds import LEADS, OPERATORS, SURFACE


@needs_pooler
def test_two_writers_behind_a_pooler_make_one_history(running: Ledger, tmp_path: Path) -> None:
    log, failures = running, list[str]()
    with (
        server_folder() as folder,
        pooled(urls_of(log.url).sequencer or "", folder) as url,
        Database(url, SEQUENCER) as one,
        Database(url, SEQUENCER) as two,
    ):
        writers = [
            Sequencer(
                database,
                log.log_id,
                lambda: log.now_ms,
                sign,
                guard=Guard(Mark(tmp_path / f"mark {number}", log.log_id)),
            )
            for number, database in enumerate((one, two))
        ]
        for number in range(8):
            log.submit(*[Touch(SURFACE, LEADS[1], OPERATORS[0], "call")] * 3)
            try:
                writers[number % 2].drain()
            except (DomainError, DatabaseError) as error:
                failures.append(str(error))
        for writer in writers:
            writer.close()
    log.drain()
    assert fsck(log.api, log.log_id) == len(log.entries())
    assert compare_projections(log.writer, log.log_id) == []
