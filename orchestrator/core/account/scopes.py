"""Scopes: what a key may do; the sets of them that have names."""

from collections.abc import Iterable
from typing import Literal, get_args

# Each is named by its audience and the act. The row policies ask for them by these names.
Scope = Literal[
    "operator:coordinate",
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

# What a key with a scope may do, in words for a person who is asked to grant it.
SCOPE_WORDS: dict[Scope, str] = {
    "operator:coordinate": "take leases on work, and write to the parties of your contracts",
    "operator:forecast": "make forecasts about leads",
    "operator:issue": "issue and end referral codes",
    "operator:memory": "read and write your private notes",
    "operator:profile": "change what your profile says of you",
    "operator:propose": "send proposals that your wallet has signed, and withdraw them",
    "operator:read": "read surfaces, leads and your contracts as an operator",
    "operator:request": "request actions on leads, which surfaces carry out",
    "operator:touch": "register you as an operator, and report your touches",
    "owner:answer": "answer the actions that operators request of your surfaces",
    "owner:erase": "erase your leads, for ever",
    "owner:publish": "open surfaces, and change their policies and settings",
    "owner:read": "read your surfaces, their leads and proposals",
    "owner:report": "report events and arrivals of your product, which contracts pay for",
    "owner:review": "answer proposals, suspend operators and end codes",
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
