"""Statements are sent in the order in which they were given, as they were when they were given."""

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.storage.database import Session
from orchestrator.storage.statements import Statements
from tests.support.ledger import Ledger, ledger

TYPES = ("bytea", "int8", "bytea", "bytea", "bytea")


@pytest.fixture
def log(module_database_url: str) -> Iterator[Ledger]:
    with ledger(module_database_url) as begun:
        yield begun


def entry(log: Ledger, position: int) -> tuple[object, ...]:
    return (log.log_id, position, bytes(256), None, None)


def count(session: Session, log: Ledger) -> int:
    return len(session.all("log.leaves", log_id=log.log_id, start=0, stop=9))


def test_they_are_sent_in_their_order_and_steps_are_told_between(log: Ledger) -> None:
    statements, seen = Statements(), list[tuple[str, int]]()
    rows = [entry(log, 0)]
    operators = [
        {"log_id": log.log_id, "operator": bytes([n]) * 32, "registered": n} for n in (1, 2)
    ]
    statements.copy("log.append_entries", TYPES, rows)
    rows.append(entry(log, 0))  # what is kept is what was given
    statements.reach("one")
    statements.copy("log.append_entries", TYPES, (entry(log, n) for n in (1, 2)))
    statements.run("log.put_operator", log_id=log.log_id, operator=ZERO_WORD, registered=7)
    statements.run("log.announce")
    statements.run_each("log.put_operator", operators)
    statements.reach("all")
    with log.writer.transaction() as session:
        statements.send(session, lambda step: seen.append((step, count(session, log))))
        found = session.all("log.operators", log_id=log.log_id)
    assert seen == [("one", 1), ("all", 3)]
    assert sorted(row.registered for row in found) == [1, 2, 7]


def test_the_first_that_fails_is_raised_and_none_after_it_is_sent(log: Ledger) -> None:
    statements, seen = Statements(), list[str]()
    statements.run("log.put_operator", log_id=log.log_id, operator=b"", registered=7)
    statements.run("log.announce")
    statements.reach("never")
    with pytest.raises(psycopg.errors.CheckViolation), log.writer.transaction() as session:
        statements.send(session, seen.append)
    assert seen == []
