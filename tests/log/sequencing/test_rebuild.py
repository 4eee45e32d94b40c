"""Projections made anew are those that the writer has made, wherever pages end."""

from contextlib import closing

import pytest

from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.log.opening import Record
from orchestrator.core.world.requests import Arrival, IssueCode, PublishSettings
from orchestrator.log.sequencing.rebuild import Rebuild
from tests.support import worlds
from tests.support.ledger import CONTRACT, OWNER_WORD, POLICY, SETTINGS, Ledger, journey
from tests.support.worlds import LEADS, OPERATORS, SURFACE, word


@pytest.mark.parametrize("page", [1, 7, 1000])
def test_any_pages_make_the_same_rows(running: Ledger, page: int) -> None:
    """A click is told as a new lead's also where a page ends before it."""
    log, others = running, worlds.settings()
    log.submit_and_drain(
        *journey(LEADS[0]),
        PublishSettings(SURFACE, OWNER_WORD, others),
        IssueCode(SURFACE, word("code"), OPERATORS[0], 5, log.now_ms + 1000, ZERO_WORD, ZERO_WORD),
        Arrival(SURFACE, word("came"), word("code"), False, False, "signup", 0, log.now_ms),
    )
    settings = {one.hash: one for one in (SETTINGS, others)}
    documents = Documents(lambda _: POLICY, settings.__getitem__, lambda _: CONTRACT)
    records = [Record(item.entry, item.opened) for item in log.entries()]
    with closing(log.writer.connect()) as connection, connection.transaction() as session:
        session.run("log.prepare_leads")
        session.run("log.shadow_projections")
        rebuild = Rebuild(session, log.log_id, documents)
        for start in range(0, len(records), page):
            rebuild.take(records[start : start + page])
        assert rebuild.world.size == len(records)
        assert session.all("log.projection_differences", log_id=log.log_id, limit=9) == []
