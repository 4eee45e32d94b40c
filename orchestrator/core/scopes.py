"""Scopes: what a key may do; the sets of them that have names."""

from collections.abc import Iterable
from typing import Literal, get_args

# Each is named by its audience and its deed. The row policies ask for them by these names.
Scope = Literal[
    "operator:forecast",
    "operator:issue",
    "operator:memory",
    "operator:profile",
    "operator:propose",
    "operator:read",
    "operator:request",
    "operator:touch",
    "owner:answer",
    "owner:erase",
    "owner:publish",
    "owner:read",
    "owner:report",
    "owner:review",
]
# An owner gives its people one of `owner`, `reviewer` (decides on proposals) and `reader`.
ScopeSet = Literal["operator", "owner", "reader", "reviewer"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
SCOPE_SETS: dict[ScopeSet, tuple[Scope, ...]] = {
    "operator": tuple(scope for scope in SCOPES if scope.startswith("operator:")),
    "owner": tuple(scope for scope in SCOPES if scope.startswith("owner:")),
    "reader": ("owner:read",),
    "reviewer": ("owner:read", "owner:review"),
}


def scopes_of(names: Iterable[Scope | ScopeSet]) -> list[Scope]:
    """Return the scopes that these scopes and sets name, each once, in their own order."""
    named: set[Scope] = set()
    for name in names:
        match name:
            case "operator" | "owner" | "reader" | "reviewer":
                named.update(SCOPE_SETS[name])
            case _:
                named.add(name)
    return [scope for scope in SCOPES if scope in named]
