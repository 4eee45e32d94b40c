"""The stored log as a source of answers: it finds what a log in memory does, by an index."""

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.why.contract import why_contract
from orchestrator.core.why.lead import why_lead
from orchestrator.core.why.level import why_level
from orchestrator.core.why.source import Filter
from orchestrator.core.world.requests import (
    CloseContract,
    ProductEvent,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.log.projections import Sources, load_leads, load_world
from orchestrator.log.stored_records import StoredRecords, search
from orchestrator.storage.database import Session
from orchestrator.storage.queries import statement
from tests.support.ledger import CONTRACT, OWNER_WORD, Ledger, journey
from tests.support.why_source import MemorySource
from tests.support.worlds import LEADS, OPERATORS, SURFACE, word

NOTHING = word("nothing")


@pytest.fixture
def told(running: Ledger) -> Ledger:
    """A log with an outcome, a statement, a suspension and a closing."""
    running.submit_and_drain(
        *journey(LEADS[0]),
        Touch(SURFACE, LEADS[1], OPERATORS[0], "call"),
        ProductEvent(SURFACE, LEADS[0], "refund", 0, 0),
        Settle(),
        SuspendOperator(SURFACE, OWNER_WORD, OPERATORS[0], "spam"),
        CloseContract(CONTRACT.contract_id, 0, word("closing")),
    )
    return running


@pytest.fixture
def session(told: Ledger) -> Iterator[Session]:
    with told.api.transaction() as session:
        yield session


def stored(session: Session, log: Ledger) -> StoredRecords:
    return StoredRecords(session, log.log_id, log.now_ms, {}, lambda _: False)


def in_memory(session: Session, log: Ledger) -> MemorySource:
    """Return the same log in memory, with the world that its projections keep."""
    source = stored(session, log)
    records: list[Record] = []
    while (placed := source.at(len(records))) is not None:
        records.append(placed.record)
    world = load_world(session, log.log_id, len(records), 0, Sources(session, log.log_id))
    world.leads |= dict(load_leads(session, log.log_id, LEADS))
    found = MemorySource(records, world, log.now_ms)
    found.tokens = {}
    return found


def test_what_is_asked_for_is_found_as_in_memory(told: Ledger, session: Session) -> None:
    source, memory = stored(session, told), in_memory(session, told)
    contract = CONTRACT.contract_id
    for wanted in (
        Filter(LEADS[0]),
        Filter(LEADS[0], after=12),
        Filter(LEADS[0], kind="touch"),
        Filter(contract, kind="settlement"),
        Filter(contract, kind="contract.closed", newest=True),
        Filter(surface=SURFACE, kind="policy.published"),
        Filter(surface=SURFACE, kind="contract.opened"),
        Filter(surface=SURFACE, kind="contract.opened", newest=True),
        Filter(OPERATORS[0], SURFACE, "operator.suspended", newest=True),
        Filter(OPERATORS[1], SURFACE, "operator.suspended"),
        Filter(NOTHING),
    ):
        for limit in (1, 2, 100):
            assert source.find(wanted, limit) == memory.find(wanted, limit), wanted


def test_answers_are_those_from_a_log_in_memory(told: Ledger, session: Session) -> None:
    source, memory = stored(session, told), in_memory(session, told)
    assert why_lead(source, SURFACE, LEADS[0]) == why_lead(memory, SURFACE, LEADS[0])
    for operator in OPERATORS:
        answer = why_level(source, SURFACE, operator)
        assert answer == why_level(memory, SURFACE, operator)
    contract = CONTRACT.contract_id
    assert why_contract(source, contract) == why_contract(memory, contract)


def test_what_is_not_there_is_none(told: Ledger, session: Session) -> None:
    source = stored(session, told)
    assert source.at(10**6) is None
    assert source.contract(NOTHING) is None
    assert source.policy(NOTHING) is None
    assert source.settings(NOTHING) is None
    assert source.standing(NOTHING, OPERATORS[0]) is None
    assert source.pool(NOTHING).holders == {}
    assert source.cohorts(NOTHING).counts() == {}
    assert source.contracts(SURFACE, address_word("0x" + "f" * 40), 10) == []


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Filter(), "search-open"),
        (Filter(kind="payout"), "search-open"),
        (Filter(surface=SURFACE), "search-open"),
        (Filter(LEADS[0], SURFACE), "search-open"),
        (Filter(LEADS[0], newest=True), "search-open"),
        (Filter(surface=SURFACE, kind="touch"), "kind-not-listed"),
    ],
)
def test_what_no_index_finds_is_refused(
    told: Ledger, session: Session, wanted: Filter, code: str
) -> None:
    with pytest.raises(WhyError) as caught:
        search(session, told.log_id, wanted, 10)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("log.entries_about", ["97"]),
        ("log.entries_about_of_kind", ["97"]),
        ("log.newest_about_of_kind", ["97"]),
        ("log.entries_on_surface", ["33", "listed_kind", "97"]),
        ("log.newest_on_surface", ["33", "listed_kind", "97"]),
    ],
)
def test_every_search_has_its_index(told: Ledger, query: str, columns: list[str]) -> None:
    """Without a choice of scanning the table, the condition of each query is one of an index."""
    arguments = {"log_id": told.log_id, "after": 0, "limit": 1, "kind": NOTHING}
    arguments |= {"subject": NOTHING, "surface": SURFACE}
    with psycopg.connect(told.url) as admin:
        admin.execute("SET enable_seqscan = off")
        admin.execute("ALTER TABLE entries DROP CONSTRAINT entries_pkey")
        plan = admin.execute(f"EXPLAIN {statement(query)}", arguments).fetchall()
        admin.rollback()
    text = "\n".join(line for (line,) in plan)
    (condition,) = [line for (line,) in plan if "Index Cond" in line]
    for column in columns:
        assert column in condition, text
