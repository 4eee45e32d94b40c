"""Steps of the fold: requests about two leads and two operators, and what is written for them."""

import copy
from typing import Any

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import Entry
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import ProductEvent, Request, Touch
from orchestrator.core.world.world import World
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    begin,
    policy,
    word,
)

X, Y = LEADS[:2]
ANN, BOB = OPERATORS
ZERO = bytes(32)
FIRST, LAST = policy(), policy(attribution="last_touch")
MODELS = [FIRST, LAST]


def touch(operator: bytes = ANN, lead: bytes = X, surface: bytes = SURFACE) -> Touch:
    return Touch(surface, lead, operator, "email", word("request"), word("commitment"))


def event(
    name: str, at: int, value: int = 0, lead: bytes = X, surface: bytes = SURFACE
) -> ProductEvent:
    return ProductEvent(surface, lead, name, value, at, word("request"), word("commitment"))


def about(order: str, request: ProductEvent, *, whole: bool = False) -> ProductEvent:
    """The same event of an order, of which it tells the value unless it is about the whole."""
    return request._replace(order=word(order), whole=whole)


def run(world: World, *steps: tuple[int, Request]) -> list[Entry]:
    """The entries of these requests, each decided at the time beside it."""
    return [record.entry for now, request in steps for record in decide(world, request, now)]


def kinds_of(entries: list[Entry]) -> list[str]:
    return [entry.kind for entry in entries]


def paid(entries: list[Entry]) -> list[tuple[str, str]]:
    """(contract, kind) of each outcome among the entries."""
    return [
        (entry.actor.decode().rstrip("."), entry.kind.removeprefix("outcome").lstrip("."))
        for entry in entries
        if entry.kind.startswith("outcome")
    ]


def refused(world: World, now: int, request: Request) -> str:
    """The rule by which a request is turned away, leaving the world as it was."""
    before = copy.deepcopy(world)
    with pytest.raises(RequestError) as caught:
        decide(world, request, now)
    assert world == before
    assert "\n" not in caught.value.message
    return caught.value.code


def outcomes(governing: Policy, contracts: list[ContractRules], *steps: tuple[int, Request]) -> Any:
    """(contract, kind) of each outcome when a lead is touched so, signs up and buys so."""
    world, _ = begin(governing, *contracts)
    return paid(run(world, *steps))


BUY_THREE_TIMES: list[tuple[int, Request]] = [
    (0, event("signup", 0)),
    (1, touch()),
    (2, event("buy", 2)),
    (3, event("buy", 3)),
    (4, event("buy", 4)),
]
