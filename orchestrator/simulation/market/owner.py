"""The sandbox's owner: it opens the surfaces, keeps its offers standing, and answers agents.

It is a client like any other, with a wallet of its own and rules of the kind that `tallystick
accept` has. Only that it works with strangers: they have level 0 until their first contract.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.client.accounts import EventReport, OwnerClient
from orchestrator.connect.acceptor import accept_one
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.units import parse_amount
from orchestrator.core.deals.acceptance import AcceptanceRules, PinnedOffer
from orchestrator.core.deals.terms import Domain
from orchestrator.simulation.market.surfaces import MarketSurface, settings_of

WAIT_S = 10
# As many as an owner may have open at a time, so all that is new is on one page.
PAGE = 100
# In base units: of one contract, of all that are open, and of those that are signed in a day.
CEILINGS = (200_000_000, 1_000_000_000_000, 50_000_000_000)
PLACES = 1_000


class TakenAction(NamedTuple):
    """An action that was requested of the owner and that it has taken."""

    position: int
    lead: str
    external_id: str
    action: str


class MarketOwner:
    """The owner of the market's surfaces; `surfaces` has their ids by name once they are open."""

    def __init__(self, client: OwnerClient, domain: Domain, token: str, folder: Path) -> None:
        self.client = client
        self.surfaces: dict[str, str] = {}
        self._domain, self._token = domain, token
        self._ledger = folder / "signed"
        # By surface and outcome, the offer as it stands.
        self._offers: dict[tuple[str, str], Mapping[str, Any]] = {}

    def open_surface(self, surface: MarketSurface) -> None:
        """Open a surface and publish its settings. Done again, it changes nothing."""
        id_ = self.client.open_surface(surface.name, surface.policy, WAIT_S)
        if self.client.get(f"/v1/surfaces/{id_}")["settings_hash"] is None:
            self.client.publish_settings(id_, settings_of(surface, self._token), WAIT_S)
        self.surfaces[surface.name] = id_

    def keep_offers(self, surface: MarketSurface) -> None:
        """Publish the offers of a surface that are not open: at first, and when they have ended."""
        path = f"/v1/surfaces/{self.surfaces[surface.name]}/offers"
        standing = {
            each["deal"]["outcome"]: each
            for each in self.client.pages(path, "offers")
            if each["status"] == "open"
        }
        for one in surface.offers:
            if one.outcome not in standing:
                body = {"deal": one._asdict(), "first_budget": one.budget, "places": PLACES}
                standing[one.outcome] = self.client.post(path, body | {"ends_in": "366 days"})
        for outcome, offer in standing.items():
            self._offers[self.surfaces[surface.name], outcome] = offer

    def answer_proposals(self, after: str | None, now_s: int) -> str | None:
        """Sign what is sensible, answer all else with the offer; return the cursor behind them."""
        page = self.client.get("/v1/proposals", after=after, limit=PAGE)
        for proposal in page["proposals"]:
            offer = self._offer_for(proposal)
            rules, named = self._rules(offer, proposal["terms"]), offer and offer["offer"]
            done = accept_one(
                self.client,
                bytes(self.client.account.key),
                rules,
                self._ledger,
                now_s,
                {**proposal, "offer": named},
            )
            if done is not None and offer is not None and done["said"].startswith("not signed"):
                self._counter(proposal["contract_id"], offer)
            after = f"{proposal['created_ms']}.{proposal['contract_id']}"
        return after

    def take_actions(self, surface: MarketSurface) -> Iterator[TakenAction]:
        """Take the actions that are requested on a surface; yield each that was taken."""
        path = f"/v1/surfaces/{self.surfaces[surface.name]}/actions"
        for one in self.client.get(path, state="requested", limit=PAGE)["actions"]:
            result = {"percent": (one["parameters"] or {}).get("percent", 0)}
            if one["action"] == "extend_trial":
                result = {"days": 7}
            try:
                self.client.post(f"{path}/{one['position']}/taken", {"result": result})
            except ServerError:
                continue  # it is asked for again at the next look, until it has expired
            yield TakenAction(one["position"], one["lead"], one["external_id"], one["action"])

    def leads(self, surface: MarketSurface, state: str, most: int | None = None) -> list[Any]:
        """Return the leads in a state, or so many of them, with their ids."""
        path = f"/v1/surfaces/{self.surfaces[surface.name]}/leads"
        if most is not None:
            return list(self.client.get(path, state=state, limit=most)["leads"])
        return list(self.client.pages(path, "leads", state=state, limit=1000))

    def report(self, surface: MarketSurface, events: list[EventReport]) -> None:
        if events:
            self.client.report_events(self.surfaces[surface.name], events)

    def _offer_for(self, proposal: Mapping[str, Any]) -> Mapping[str, Any] | None:
        terms = proposal["terms"]
        return self._offers.get((terms["surface"], terms["outcome"]))

    def _rules(self, offer: Mapping[str, Any] | None, terms: Mapping[str, Any]) -> AcceptanceRules:
        """Return the rules for a proposal: the offer's terms, at its price or a lower one."""
        offers = {}
        if offer is not None:
            price = min(int(offer["terms"]["unit_price_units"]), int(terms["unit_price_units"]))
            pinned = {**offer["terms"], "unit_price_units": str(price)}
            offers[offer["offer"]] = PinnedOffer(pinned, offer["lasts_s"])
        domain = self._domain
        return AcceptanceRules(domain.chain_id, domain.verifying_contract, 0, *CEILINGS, offers)

    def _counter(self, contract: str, offer: Mapping[str, Any]) -> None:
        """Answer with the offer's deal; a proposal whose opening has passed is left alone."""
        budget_units = min(int(offer["budget_units"]), CEILINGS[0])
        deal = {**offer["deal"], "budget": str(budget_units // parse_amount("1"))}
        deal |= {"opens_in": "1 day", "closes_in": "15 days"}
        try:
            self.client.counter(bytes.fromhex(contract[2:]), **deal)
        except ServerError:
            return
