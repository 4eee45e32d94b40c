"""A living market at a service without a chain: its owner, its customers, and contracts by hand."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.client.accounts import OperatorClient, OwnerClient
from orchestrator.core.deals.terms import Terms, contract_id
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract
from orchestrator.simulation.market.market import LivingMarket
from orchestrator.simulation.market.owner import MarketOwner
from orchestrator.simulation.market.surfaces import TRIAL
from tests.support.api_service import ESCROW, TOKEN, ApiService, running_service, wallet

TRANSACTION = b"\x77" * 32


class Stage(NamedTuple):
    """A market at a service, and what it needs to begin once more."""

    service: ApiService
    owner: MarketOwner
    market: LivingMarket
    path: Path

    def live(self, steps: int = 1) -> None:
        """Let the market live on; its requests are decided before the next step."""
        for _ in range(steps):
            self.market.step(self.service.clock.now_ms)
            self.service.decide_waiting()

    def states(self) -> Counter[str]:
        """Return how many customers of the trial are in each state."""
        path = f"/v1/surfaces/{self.owner.surfaces[TRIAL.name]}/leads"
        return Counter(lead["state"] for lead in self.owner.client.pages(path, "leads"))

    def open_signed(self, operator: OperatorClient) -> Any:
        """Open the newest proposal of an operator, which the owner has signed; return it.

        The clock is set to its opening.
        """
        *_, proposal = operator.pages("/v1/proposals", "proposals")
        assert proposal["status"] == "accepted", proposal["status"]
        terms = Terms.from_json(proposal["terms"])
        digest = contract_id(terms, ESCROW)
        self.service.submit(digest.hex(), OpenContract(rules_of(terms, digest), TRANSACTION))
        self.service.decide_waiting()
        self.service.clock.now_ms = terms.opens_at_s * 1000
        return proposal


@contextmanager
def running_stage(database_url: str, folder: Path) -> Iterator[Stage]:
    """Run a market over an empty database until the block ends."""
    with (
        running_service(database_url) as service,
        OwnerClient(service.url, wallet("owner"), "owner") as client,
    ):
        owner = MarketOwner(client, ESCROW, TOKEN, folder)
        path = folder / "market.json"
        yield Stage(service, owner, LivingMarket(owner, path, "seed"), path)
