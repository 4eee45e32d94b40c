"""Customers: their chances are those that are stated, and a seed gives the same run again."""

from orchestrator.core.common.units import DAY_MS, HOUR_S
from orchestrator.simulation.market.customers import habit_of, response_to
from orchestrator.simulation.market.surfaces import SHOP, TRIAL

MANY = 4_000


def test_so_many_respond_as_is_stated() -> None:
    for surface in (TRIAL, SHOP):
        for one in surface.responses:
            found = [
                response_to(surface, "seed", "ann", one.state, one.action, (position, 1_000))
                for position in range(MANY)
            ]
            planned = [each for each in found if each is not None]
            assert abs(len(planned) / MANY - one.chance_bps / 10_000) < 0.03
            assert {(each.event, each.value) for each in planned} == {(one.event, one.value)}
            assert all(0 < each.due_ms - 1_000 <= one.within_h * HOUR_S * 1000 for each in planned)


def test_so_many_act_by_themselves_as_is_stated() -> None:
    for one in TRIAL.habits:
        found = [habit_of(TRIAL, "seed", f"lead-{n}", one.state, 0) for n in range(MANY)]
        planned = [each for each in found if each is not None]
        assert abs(len(planned) / MANY - one.chance_bps / 10_000) < 0.02
        assert all(0 < each.due_ms <= one.within_days * DAY_MS for each in planned)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    def run(seed: str) -> list[object]:
        at = range(50)
        return [response_to(TRIAL, seed, "ann", "signed_up", "email", (n, 0)) for n in at]

    assert run("a") == run("a")
    assert run("a") != run("b")


def test_what_nothing_is_stated_of_does_nothing() -> None:
    assert response_to(TRIAL, "seed", "ann", "paying", "email", (1, 0)) is None
    assert response_to(TRIAL, "seed", "ann", "signed_up", "dance", (1, 0)) is None
    assert habit_of(TRIAL, "seed", "ann", "", 0) is None


def test_an_event_says_where_it_leads() -> None:
    found = (response_to(TRIAL, "seed", "ann", "signed_up", "email", (n, 0)) for n in range(100))
    assert {each.enters for each in found if each} == {"activated"}
    left = (habit_of(TRIAL, "seed", f"lead-{n}", "paying", 0) for n in range(500))
    assert {each.enters for each in left if each} == {""}
