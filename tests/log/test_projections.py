"""Projections: what the sequencer writes of the fold is what a new writer loads."""

import pytest

from orchestrator.core.decide import decide
from orchestrator.core.errors import LogError
from orchestrator.core.kinds import Projection, kind_of
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    RegisterOperator,
    Settle,
)
from orchestrator.core.world import World
from orchestrator.log.projections import Changes, load_leads, load_policies, load_world
from tests.support.ledger import (
    CONTRACT,
    OWNER_WORD,
    POLICY,
    Ledger,
    alter,
    genesis,
    journey,
)
from tests.support.worlds import LEADS, OPERATORS, SURFACE, word


def folded(log: Ledger) -> World:
    """Return the world of the requests that follow, decided in memory."""
    world = World()
    for request in (
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], "0", word("profile")),
        OpenContract(CONTRACT, word("transaction")),
        *journey(LEADS[0]),
        ProductEvent(SURFACE, LEADS[0], "refund", 0, 0),
        Settle(),
    ):
        decide(world, request, 0)
    return world


def test_what_is_written_is_loaded(running: Ledger) -> None:
    running.submit_and_drain(
        *journey(LEADS[0]), ProductEvent(SURFACE, LEADS[0], "refund", 0, 0), Settle()
    )
    expected = folded(running)
    with running.writer.transaction() as session:
        world = load_world(session, running.log_id, expected.size, expected.time_ms)
        leads = dict(load_leads(session, running.log_id, [LEADS[0], LEADS[1]]))
    assert leads == expected.leads
    assert world.surfaces == expected.surfaces
    assert world.operators == expected.operators
    assert world.contracts == expected.contracts
    assert world.policies == expected.policies
    assert world.contracts[CONTRACT.contract_id].reversed_units == 10


def test_each_changed_row_is_noted_once_and_in_order() -> None:
    changes = Changes()
    world = World()
    for request in (
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], "0", word("profile")),
        OpenContract(CONTRACT, word("transaction")),
        *journey(LEADS[1]),
        *journey(LEADS[0]),
        Settle(),
    ):
        for record in decide(world, request, 0):
            changes.add(kind_of(record.entry), record.entry)
    assert {projection: list(changes.of(projection)) for projection in Projection} == {
        Projection.LEAD: [LEADS[1], LEADS[0]],
        Projection.CONTRACT: [CONTRACT.contract_id],
        Projection.POLICY: [POLICY.hash],
        Projection.SURFACE: [SURFACE],
        Projection.OPERATOR: [OPERATORS[0]],
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE policies SET document = '[]' WHERE log_id = %s", "policy-altered"),
        ("UPDATE contracts SET rules = '{}' WHERE log_id = %s", "rules-malformed"),
    ],
)
def test_a_row_that_is_not_what_it_was_is_not_loaded(
    running: Ledger, change: str, code: str
) -> None:
    assert alter(running, change) == 1
    with running.writer.transaction() as session, pytest.raises(LogError) as refused:
        load_world(session, running.log_id, 4, 0)
    assert refused.value.code == code


def test_policies_are_loaded_by_hash(running: Ledger) -> None:
    with running.writer.transaction() as session:
        assert load_policies(session, running.log_id) == {POLICY.hash: POLICY}
