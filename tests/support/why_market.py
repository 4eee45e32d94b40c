"""A small market for answers to why: what happens in it, a step a line, and the log it leads to."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    Request,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.why_source import TOKEN, MemorySource
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, policy, rules, word

ANN, BOB = OPERATORS
X = LEADS[0]
PLAIN: dict[str, Any] = {
    "token": TOKEN.address,
    "actions": {"email": {"level": 1}, "call": {"level": 1}},
    "levels": [{"leads_a_day": 1000}],
    "codes": {"level": 1, "max_uses": 9, "expires_s": 100, "a_day": 9},
}
WORD = address_word(TOKEN.address)
USDC = 1_000_000
FIRST = policy()
LAST = policy(attribution="last_touch")


def deal(name: str = "ann", governing: Any = FIRST, **changes: Any) -> ContractRules:
    """Return a contract of Ann's that pays 8 USDC for a purchase, out of 100."""
    plain = {"token": WORD, "unit_price_units": 8 * USDC, "budget_units": 100 * USDC}
    return rules(name, governing, **{**plain, **changes})


def touched(at_ms: int, operator: bytes = ANN) -> tuple[int, Request]:
    return at_ms, Touch(SURFACE, X, operator, "email")


def reported(
    at_ms: int, event: str = "buy", value: int = 0, received_ms: int | None = None
) -> tuple[int, Request]:
    when = at_ms if received_ms is None else received_ms
    return when, ProductEvent(SURFACE, X, event, value, at_ms)


SIGNUP = reported(1000, "signup")


class SmallLog:
    """The log of a small market, and the source of answers about it."""

    def __init__(
        self,
        deals: Sequence[ContractRules],
        *steps: tuple[int, Request],
        governing: Any = FIRST,
        now_ms: int | None = None,
    ) -> None:
        self.world = World()
        self.records: list[Record] = []
        begin: list[Request] = [
            Genesis(word("log"), word("publisher")),
            PublishPolicy(SURFACE, OWNER, governing),
            PublishSettings(SURFACE, OWNER, parse_settings(PLAIN)),
            *(OpenContract(contract, word("transaction")) for contract in deals),
        ]
        for first in begin:
            self.add(0, first)
        for now, request in steps:
            self.add(now, request)
        self.source = MemorySource(
            self.records, self.world, self.world.time_ms if now_ms is None else now_ms
        )

    def add(self, now_ms: int, request: Request) -> None:
        self.records += decide(self.world, request, now_ms)

    def position(self, kind: str, nth: int = 0) -> int:
        """Return the position of the nth entry of a kind, or of the last for -1."""
        found = [at for at, record in enumerate(self.records) if record.entry.kind == kind]
        return found[nth]
