"""The world's own questions: who governs, who competes, how often a lead was touched."""

from orchestrator.core.surface.attribution import TouchHistory
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.world import Lead, Surface, World
from tests.support.worlds import OPERATORS, OWNER, SURFACE, policy, rules, word

GOVERNING = policy()
POLICIES = {GOVERNING.hash: GOVERNING}


def test_a_surface_governs_what_its_owner_signed_under_the_policy_in_force() -> None:
    here = Surface(OWNER, GOVERNING.hash, 1, POLICIES, {})
    signed = rules("a", GOVERNING)
    assert here.governs(signed)
    for changes in (
        {"owner": word("another")},
        {"policy_hash": word("another")},
        {"attribution": "last_touch"},
    ):
        assert not here.governs(signed._replace(**changes))


def test_rivals_share_surface_outcome_and_time_and_come_as_they_were_opened() -> None:
    world = World(surfaces={SURFACE: Surface(OWNER, GOVERNING.hash, 1, POLICIES, {})})
    for name, changes in (
        ("b", {}),
        ("a", {}),
        ("late", {"opens_at_ms": 500}),
        ("over", {"deadline_ms": 50}),
        ("other outcome", {"outcome": "trial"}),
        ("other owner", {"owner": word("another")}),
    ):
        world.add_contract(Contract(rules(name, GOVERNING, **changes), world.size))
    found = [contract.rules.contract_id for contract in world.rivals(SURFACE, "paid", 100)]
    assert found == [word("b"), word("a")]
    assert [each.rules.contract_id for each in world.rivals(SURFACE, "paid", 600)][2:] == [
        word("late")
    ]
    assert list(world.rivals(SURFACE, "lost", 100)) == []


def test_touches_are_counted_over_all_operators() -> None:
    lead = Lead(SURFACE, "new")
    assert lead.touch_count == 0
    lead.touches = {OPERATORS[0]: TouchHistory([], 3, 9), OPERATORS[1]: TouchHistory([], 4, 8)}
    assert lead.touch_count == 7
