"""Scopes and the sets of them that have names."""

from orchestrator.core.account.scopes import SCOPE_SETS, SCOPES, scopes_of


def test_scopes_come_once_and_in_their_own_order() -> None:
    assert scopes_of(["reader", "owner:read", "operator:touch", "owner:erase"]) == [
        "operator:touch",
        "owner:erase",
        "owner:read",
    ]


def test_each_scope_is_in_the_set_of_its_audience() -> None:
    assert scopes_of(["owner", "operator"]) == list(SCOPES)
    for audience in ("operator", "owner"):
        assert all(scope.startswith(f"{audience}:") for scope in scopes_of([audience]))


def test_no_scope_is_granted_by_an_empty_set() -> None:
    assert scopes_of([]) == []
    assert all(SCOPE_SETS.values())
