"""The sandbox's residents: agents of its own, each with a wallet and a way of working.

They are clients like any visitor's, over HTTP alone: they propose, are hired by the owner's rules,
act, are paid and earn trust. What they are at is read from the service, so that a restart goes on.
They leave most customers to visitors for their first days, each works on one contract at a time,
and they stop on a surface that has had half of all its customers.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from orchestrator.client.accounts import OperatorClient
from orchestrator.client.deals import draft, propose, served_pins
from orchestrator.client.http import PAGE, Client
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.units import BPS, DAY_MS, HOUR_S, format_amount, parse_amount
from orchestrator.core.deals.mandate import Pins
from orchestrator.simulation.market.customers import drawn, is_residents
from orchestrator.simulation.market.market import MAX_CUSTOMERS, MOST_FRESH
from orchestrator.simulation.market.surfaces import MarketSurface

# A contract ends after so long, and only then is the next one proposed.
LASTS = "4 days"
# The owner has so many seconds of ours to sign before one opens.
SIGNING_S = 15
# A customer is written to once in so long, by one resident.
PATIENCE_MS = DAY_MS
# A customer that is the visitors' is left to them for so long. Then residents turn to it too: else
# those that no visitor writes to would fill the market, and no more would arrive.
VISITORS_MS = 4 * DAY_MS
# After an error a resident stays away for so long, by the sandbox's clock.
REST_MS = 6 * HOUR_S * 1000
_OVER = frozenset({"declined", "withdrawn", "expired", "lapsed"})


class Strategy(NamedTuple):
    """A way of working: where, for which outcome, by which actions, those preferred first.

    All else is drawn from the market's seed: the price, which is at most the offer's, how many
    outcomes a contract has, and how many customers are worked on at a time.
    """

    name: str
    title: str
    surface: MarketSurface
    actions: tuple[str, ...]

    def deal(self, seed: str) -> dict[str, object]:
        """Return the deal that is proposed, but for the time of its opening."""
        offer = self.surface.offers[0]
        share_bps = self.drawn("price", seed, 7_000, BPS)
        cents = parse_amount(offer.price, 2) * share_bps // BPS
        return {
            "outcome": offer.outcome,
            "price": format_amount(cents, 2),
            "at_most": self.drawn("outcomes", seed, 4, 8),
            "closes_in": LASTS,
        }

    def drawn(self, what: str, seed: str, least: int, most: int) -> int:
        """Return a number of this range, always the same for one seed."""
        return least + drawn(what, (seed, self.name)) % (most - least + 1)


class Resident:
    """One resident. `step` lets it do what is to be done now, in a few requests."""

    def __init__(self, client: OperatorClient, strategy: Strategy, seed: str) -> None:
        self.client, self.strategy = client, strategy
        self.surface, self._rests_until_ms = "", 0
        self.deal = strategy.deal(seed)
        self.at_once = strategy.drawn("at once", seed, 1, 2)
        self._pins: Pins | None = None
        # Its newest proposal or contract.
        self._contract: str | None = None
        # When it turned to a customer last.
        self._turned_ms: dict[str, int] = {}

    def step(self, now_ms: int) -> None:
        """Go on at this time of the sandbox's clock. Raises ServerError, and rests after it."""
        if now_ms < self._rests_until_ms:
            return
        self._rests_until_ms = now_ms + REST_MS
        if self._pins is None:
            self._begin()
        if self._pins is not None:
            contract = self._newest()
            if contract is None or (contract and contract["rules"]["deadline_ms"] <= now_ms):
                self._propose(self._pins)
            elif contract and contract["rules"]["opens_at_ms"] <= now_ms:
                self.work(now_ms, has_room=has_room(contract))
        self._rests_until_ms = 0

    def work(self, now_ms: int, *, has_room: bool) -> None:
        """Act on a few customers, if the contract has room for an outcome more."""
        action = self.chosen_action() if has_room else None
        if action is None:
            return
        for lead in self.chosen_leads(self.client, now_ms):
            key, body = f"{now_ms}-{lead}", {"lead": lead, "action": action["action"]}
            what = "actions" if action["by"] == "surface" else "touches"
            self.client.post(f"/v1/surfaces/{self.surface}/{what}", body, key=key)

    def chosen_action(self) -> Mapping[str, str] | None:
        """Return the action that it prefers of those that its trust allows."""
        standing = self.client.standing(self.surface)
        allowed = {each["action"]: each for each in standing["allowed"]}
        return next((allowed[name] for name in self.strategy.actions if name in allowed), None)

    def chosen_leads(self, client: Client, now_ms: int) -> Sequence[str]:
        """Return the customers that it turns to now, and note that it has."""
        path, state = f"/v1/surfaces/{self.surface}/leads", self.strategy.surface.initial
        # As many as wait there at a time, and some of them only pass through.
        waiting = client.get(path, state=state, limit=2 * MOST_FRESH)["leads"]
        names = [each["lead"] for each in waiting]
        self._turned_ms = {name: at for name, at in self._turned_ms.items() if name in names}
        chosen = [
            each["lead"]
            for each in waiting
            if is_residents(each["lead"]) or now_ms - each["since_ms"] >= VISITORS_MS
            if now_ms - self._turned_ms.get(each["lead"], 0) >= PATIENCE_MS
        ][: self.at_once]
        self._turned_ms |= dict.fromkeys(chosen, now_ms)
        return chosen

    def close(self) -> None:
        """Let go of what it holds but its client."""

    def _begin(self) -> None:
        """Find the surface, if the market is open, and what it was at."""
        found = self.client.get("/v1/surfaces", name=self.strategy.surface.name)["surfaces"]
        if not found:
            return
        self.surface = found[0]["surface"]
        told = {"display_name": self.strategy.title, "is_public": True}
        self.client.put("/v1/profile", told | {"capabilities": list(self.strategy.actions)})
        mine = {"operator": self.client.address, "surface": self.surface}
        for contract in self.client.pages("/v1/contracts", "contracts", limit=PAGE, **mine):
            self._contract = contract["contract_id"]
        pins = served_pins(self.client)
        self.begin(pins)
        self._pins = pins

    def begin(self, pins: Pins) -> None:
        """Prepare what it needs beside its wallet."""

    def _newest(self) -> Any:
        """Return its newest contract; None if there is none, {} if it is not open yet."""
        if self._contract is None:
            return None
        try:
            return self.client.get(f"/v1/contracts/{self._contract}")
        except ServerError as error:
            if error.code != "http-404":
                raise
        proposal = self.client.get(f"/v1/proposals/{self._contract}")
        return None if proposal["status"] in _OVER else {}

    def _propose(self, pins: Pins) -> None:
        """Propose the next contract, unless the surface has no customers to spare."""
        funnel = self.client.get(f"/v1/surfaces/{self.surface}/funnel")["states"]
        if sum(each["leads"] for each in funnel) < MAX_CUSTOMERS // 2:
            speed = self.client.get("/v1/clock")["speed"]
            deal = self.deal | {"opens_in": f"{SIGNING_S * max(1, speed)} seconds"}
            made = draft(self.client, pins, self.surface, deal)
            self._contract = propose(self.client, pins, made.terms).contract


def has_room(contract: Mapping[str, Any]) -> bool:
    """Return whether a contract can pay for an outcome more."""
    rules = contract["rules"]
    left = int(rules["budget_units"]) - int(contract["earned_units"])
    return left + int(contract["reversed_units"]) >= int(rules["unit_price_units"])


class Population:
    """The residents of a sandbox, one after the other."""

    def __init__(self, residents: Sequence[Resident]) -> None:
        self._turns = cycle(residents)
        self._residents = residents

    def step(self, now_ms: int) -> None:
        """Let the next resident go on."""
        next(self._turns).step(now_ms)

    def close(self) -> None:
        for resident in self._residents:
            resident.close()
