"""Projections: what the sequencer writes of the fold is what a new writer loads."""

import pytest

from orchestrator.core.decide import decide
from orchestrator.core.errors import LogError
from orchestrator.core.kinds import Projection, kind_of
from orchestrator.core.policy import Policy
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    RegisterOperator,
    Settle,
)
from orchestrator.core.world import World
from orchestrator.log import projections
from orchestrator.log.projections import (
    Changes,
    PolicySource,
    check_policies,
    load_leads,
    load_world,
)
from orchestrator.storage.database import Session
from tests.support.ledger import (
    CONTRACT,
    OWNER_WORD,
    POLICY,
    Ledger,
    alter,
    genesis,
    journey,
)
from tests.support.worlds import LEADS, OPERATORS, SURFACE, policy, word


def folded(log: Ledger) -> World:
    """Return the world of the requests that follow, decided in memory."""
    world = World()
    for request in (
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], word("profile")),
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
        source = PolicySource(session, running.log_id)
        world = load_world(session, running.log_id, expected.size, expected.time_ms, source)
        leads = dict(load_leads(session, running.log_id, [LEADS[0], LEADS[1]]))
        assert world.policies[POLICY.hash] == expected.policies[POLICY.hash]
    assert leads == expected.leads
    assert world.surfaces == expected.surfaces
    assert world.operators == expected.operators
    assert world.contracts == expected.contracts

    assert world.contracts[CONTRACT.contract_id].reversed_units == 10


def test_each_changed_row_is_noted_once_and_in_order() -> None:
    changes = Changes()
    world = World()
    for request in (
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], word("profile")),
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
        _governing(session, running.log_id)
    assert refused.value.code == code


def _governing(session: Session, log_id: bytes) -> Policy:
    world = load_world(session, log_id, 4, 0, PolicySource(session, log_id))
    return world.surfaces[SURFACE].policy


def test_a_policy_is_the_one_that_comes_or_the_stored_one(running: Ledger) -> None:
    newer = policy(lateness_s=7)
    with running.writer.transaction() as session:
        source = PolicySource(session, running.log_id)
        assert source.load(POLICY.hash) == POLICY
        with pytest.raises(LogError) as refused:
            source.load(newer.hash)
        source.coming = {newer.hash: newer}
        assert source.load(newer.hash) is newer
    assert refused.value.code == "policy-missing"


def test_all_policies_are_checked_page_by_page(
    running: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "PAGE_POLICIES", 1)
    newer = policy(lateness_s=7)
    running.submit_and_drain(PublishPolicy(word("second"), OWNER_WORD, newer))
    with running.writer.transaction() as session:
        check_policies(session, running.log_id)
    alter(
        running,
        "UPDATE policies SET document = '{}' WHERE hash = "
        "(SELECT hash FROM policies WHERE log_id = %s ORDER BY hash DESC LIMIT 1)",
    )
    with running.writer.transaction() as session, pytest.raises(LogError) as refused:
        check_policies(session, running.log_id)
    assert refused.value.code == "policy-altered"
