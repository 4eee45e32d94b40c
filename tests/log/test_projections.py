"""Projections: what the sequencer writes of the fold is what a new writer loads."""

import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import Projection, kind_of
from orchestrator.core.surface.trust import Standing
from orchestrator.core.world.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    Settle,
)
from orchestrator.core.world.world import World, pair_of
from orchestrator.log import projections
from orchestrator.log.projections import (
    RowChanges,
    Sources,
    StoredStandings,
    load_leads,
    load_world,
    write_standings,
)
from orchestrator.storage.database import Session
from orchestrator.storage.statements import Statements
from tests.support.ledger import (
    CONTRACT,
    OWNER_WORD,
    POLICY,
    SETTINGS,
    Ledger,
    alter,
    genesis,
    journey,
)
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    policy,
    settings,
    surface_named,
    word,
)


def folded(log: Ledger) -> World:
    """Return the world of the requests that follow, decided in memory."""
    world = World()
    for request in (
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
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
        sources = Sources(session, running.log_id)
        world = load_world(session, running.log_id, expected.size, expected.time_ms, sources)
        leads = dict(load_leads(session, running.log_id, [LEADS[0], LEADS[1]]))
        assert world.policies[POLICY.hash] == expected.policies[POLICY.hash]
        assert world.settings[SETTINGS.hash] == expected.settings[SETTINGS.hash]
        standing = world.standing(SURFACE, OPERATORS[0])
        assert standing == expected.standing(SURFACE, OPERATORS[0])
        assert world.standing(SURFACE, OPERATORS[1]) == Standing()
    assert (standing.level, len(standing.buckets)) == (1, 1)
    assert standing.buckets[0].reversed_units == 10
    assert leads == expected.leads
    assert world.surfaces == expected.surfaces
    assert world.operators == expected.operators
    assert world.contracts == expected.contracts

    assert world.contracts[CONTRACT.contract_id].reversed_units == 10


def test_each_changed_row_is_noted_once_and_in_order() -> None:
    changes = RowChanges()
    world = World()
    for request in (
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
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
        Projection.SETTINGS: [SETTINGS.hash],
        Projection.SURFACE: [SURFACE],
        Projection.OPERATOR: [OPERATORS[0]],
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE policies SET document = '[]' WHERE log_id = %s", "policy-altered"),
        ("UPDATE settings SET document = '[]' WHERE log_id = %s", "settings-altered"),
        ("UPDATE settings SET hash = sha256('x') WHERE log_id = %s", "settings-missing"),
        ("UPDATE surfaces SET pool = '{}' WHERE log_id = %s", "pool-malformed"),
        ("UPDATE standings SET document = '{}' WHERE log_id = %s", "standing-malformed"),
        ("UPDATE contracts SET rules = '{}' WHERE log_id = %s", "rules-malformed"),
    ],
)
def test_a_row_that_is_not_what_it_was_is_not_loaded(
    running: Ledger, change: str, code: str
) -> None:
    assert alter(running, change) == 1
    with running.writer.transaction() as session, pytest.raises(LogError) as refused:
        _load_all(session, running.log_id)
    assert refused.value.code == code


def _load_all(session: Session, log_id: bytes) -> None:
    world = load_world(session, log_id, 6, 0, Sources(session, log_id))
    here = world.surfaces[SURFACE]
    assert here.policy is not None
    assert here.settings
    assert world.standing(SURFACE, OPERATORS[0]).level == 1


def test_a_document_is_the_one_that_comes_or_the_stored_one(running: Ledger) -> None:
    newer = policy(lateness_s=7)
    with running.writer.transaction() as session:
        source = Sources(session, running.log_id).policies
        assert source.load(POLICY.hash) == POLICY
        with pytest.raises(LogError) as refused:
            source.load(newer.hash)
        source.coming = {newer.hash: newer}
        assert source.load(newer.hash) is newer
    assert refused.value.code == "policy-missing"


@pytest.mark.parametrize(
    ("table", "code"), [("policies", "policy-altered"), ("settings", "settings-altered")]
)
def test_all_documents_are_checked_page_by_page(
    running: Ledger, monkeypatch: pytest.MonkeyPatch, table: str, code: str
) -> None:
    monkeypatch.setattr(projections, "PAGE_DOCUMENTS", 1)
    running.submit_and_drain(
        PublishPolicy(surface_named("second"), OWNER_WORD, policy(lateness_s=7)),
        PublishSettings(surface_named("second"), OWNER_WORD, settings(pause_s=7)),
    )
    with running.writer.transaction() as session:
        getattr(Sources(session, running.log_id), table).check_all()
    alter(
        running,
        f"UPDATE {table} SET document = '{{}}' WHERE hash = "  # noqa: S608 - names of ours
        f"(SELECT hash FROM {table} WHERE log_id = %s ORDER BY hash DESC LIMIT 1)",
    )
    with running.writer.transaction() as session, pytest.raises(LogError) as refused:
        getattr(Sources(session, running.log_id), table).check_all()
    assert refused.value.code == code


# --- Standings ------------------------------------------------------------------------------------

ANN, BOB, CY = (pair_of(SURFACE, operator) for operator in (*OPERATORS, word("cy")))


def test_standings_are_loaded_as_they_are_needed_and_those_used_last_are_kept(
    running: Ledger,
) -> None:
    with running.writer.transaction() as session:
        world = World(standings=StoredStandings(session, running.log_id))
        for place, operator in enumerate((*OPERATORS, word("cy"))):
            world.moved_standing(SURFACE, operator).leads_today = 10 + place
        write_now(session, running.log_id, world)
        assert world.moved == {}
        stored = StoredStandings(session, running.log_id)
        stored.load([ANN, BOB, CY, pair_of(word("elsewhere"), OPERATORS[0])])
        # All are in memory: what is stored is not asked for again.
        alter_in(session, running.log_id)
        found = [stored.get(pair) for pair in (ANN, BOB, CY)]
        assert [one and one.leads_today for one in found] == [10, 11, 12]
        assert stored.get(pair_of(word("elsewhere"), OPERATORS[0])) is None
        stored.get(BOB)
        stored.forget(1)
        assert stored.get(BOB) is found[1]
        stored.forget(0, {BOB})
        assert stored.get(BOB) is found[1]
        again = stored.get(ANN)
        assert (again and again.leads_today) == 99
        mine = Standing(level=3)
        stored[CY] = mine
        assert stored.get(CY) is mine
        stored.forget(0)
        read = stored.get(CY)
        assert (read and read.leads_today) == 99


def alter_in(session: Session, log_id: bytes) -> None:
    """Let each standing have acted on 99 leads, as a writer could say."""
    world = World(standings=StoredStandings(session, log_id))
    for operator in (*OPERATORS, word("cy")):
        world.moved_standing(SURFACE, operator).leads_today = 99
    write_now(session, log_id, world)


def write_now(session: Session, log_id: bytes, world: World) -> None:
    statements = Statements()
    write_standings(statements, log_id, world)
    statements.send(session)


def test_only_what_has_changed_is_written(running: Ledger) -> None:
    with running.writer.transaction() as session:
        world = World(standings=StoredStandings(session, running.log_id))
        standing = world.standing(SURFACE, OPERATORS[0])
        before = standing.leads_today
        standing.leads_today = 77
        write_now(session, running.log_id, world)
        read = StoredStandings(session, running.log_id).get(ANN)
        assert (read and read.leads_today) == before
