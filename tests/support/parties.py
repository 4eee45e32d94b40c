"""The owner of a surface and the operators who work on it, all signed in to one sandbox."""

from collections.abc import Iterable

from orchestrator.client.accounts import EventReport, OperatorClient, OwnerClient, wallet
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import contract_id, operator_consent_digest, sign_digest
from orchestrator.simulation.sandbox import Sandbox, key_of


def settings_for(token: str) -> dict[str, object]:
    """Return settings by which each operator that has a contract may write e-mails."""
    return {
        "token": token,
        "actions": {"email": {"level": 1}},
        "levels": [{"leads_a_day": 1000}],
    }


class Parties:
    """An owner with one surface, and operators by the names of their wallets."""

    def __init__(
        self, sandbox: Sandbox, surface: str, policy: dict[str, object], operators: Iterable[str]
    ) -> None:
        self.sandbox, self.chain = sandbox, sandbox.stack.chain
        self.owner = OwnerClient(sandbox.url, wallet(key_of("owner")), "owner")
        self.operators: dict[str, OperatorClient] = {}
        self.owner.sign_in()
        for name in operators:
            self.add_operator(name)
        self.surface = self.owner.open_surface(surface, policy)
        sandbox.stack.drain()
        self.owner.publish_settings(self.surface, settings_for(sandbox.token))
        sandbox.stack.drain()

    def add_operator(self, name: str) -> OperatorClient:
        """Sign a new operator in."""
        operator = OperatorClient(self.sandbox.url, wallet(key_of(name)), name)
        self.operators[name] = operator
        operator.sign_in()
        self.sandbox.stack.drain()
        return operator

    def close(self) -> None:
        """Close the clients of all parties."""
        for party in (self.owner, *self.operators.values()):
            party.close()

    def fund_owner(self, units: int) -> None:
        """Mint the owner tokens, and let the escrow take as many."""
        token = self.sandbox.token
        self.sandbox.send("owner", self.chain.mint(token, self.owner.address, units))
        self.sandbox.send("owner", self.chain.approve(token, units))

    def report(self, event: str, leads: Iterable[str], value: str = "0", order: str = "") -> None:
        """Report the same event of several leads now."""
        now_ms = self.sandbox.clock()
        rows = [
            EventReport(f"{lead}-{event}-{now_ms}", lead, event, value, now_ms, order)
            for lead in leads
        ]
        self.owner.report_events(self.surface, rows)
        self.sandbox.stack.drain()

    def open_directly(self, operator: OperatorClient, **deal: object) -> bytes:
        """Open a contract at the escrow, past the API, and return its id.

        The owner pays its budget, of one base unit if the deal names no other.
        """
        now_s = self.sandbox.clock() // 1000
        defaults: dict[str, object] = {
            "outcome": "active",
            "unit_price_units": "1",
            "budget_units": "1",
            "opens_at_s": now_s + 60,
            "deadline_s": now_s + DAY_S,
            "attribution_window_s": DAY_S,
            "grace_s": DAY_S,
        }
        terms = operator.draft(self.surface, **(defaults | deal))
        domain = self.sandbox.stack.escrow_domain
        self.fund_owner(terms.budget_units)
        consent = operator_consent_digest(terms, domain)
        signature = sign_digest(consent, bytes(operator.account.key))
        self.sandbox.send("owner", self.chain.open(terms, b"", signature))
        return contract_id(terms, domain)
