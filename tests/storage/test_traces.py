"""Traces beside what is stored: well formed, of the transaction that takes, and no one else's."""

import psycopg
import pytest

from orchestrator.core.world.requests import Touch
from orchestrator.storage.database import DatabaseError
from orchestrator.storage.traces import followed, following, is_trace, trace_query
from tests.support.ledger import Ledger, ledger, open_market
from tests.support.worlds import LEADS, OPERATORS, SURFACE

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        TRACE[:-1],
        TRACE + "0",
        TRACE + "\n",
        TRACE.upper(),
        "01" + TRACE[2:],
        TRACE.replace("-", "_"),
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01",
        TRACE.replace("0af7", "\u0660af7"),
    ],
)
def test_what_is_not_well_formed_is_no_trace(text: str) -> None:
    assert is_trace(TRACE)
    assert not is_trace(text)


def test_a_trace_is_followed_until_its_block_ends() -> None:
    with following(TRACE):
        assert followed() == TRACE
        with following(""):
            assert trace_query() == []
        assert followed() == TRACE
    assert (followed(), trace_query()) == ("", [])


def test_a_request_is_stored_with_the_trace_of_its_own_transaction(database_url: str) -> None:
    with ledger(database_url) as log:
        open_market(log)
        with following(TRACE):
            offer(log)
        # By the same pooled connection, which names none any more.
        offer(log)
        with pytest.raises(DatabaseError, match="trace"), following("not one"):
            offer(log)
        with psycopg.connect(database_url) as admin:
            stored = admin.execute("SELECT trace FROM inbox ORDER BY seq").fetchall()
            assert stored[-2:] == [(TRACE,), (None,)]


def offer(log: Ledger) -> None:
    log.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "email"))
