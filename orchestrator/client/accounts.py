"""The people and agents of a market, as clients: wallets that sign, and speak HTTP to a server.

They know what any stranger can know: the server's URL, and what its answers say.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from orchestrator.client.http import PAGE, Client
from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import ServerError
from orchestrator.core.policy import canonical_json
from orchestrator.core.terms import Domain, Terms, contract_id, sign_digest

BULK_LINES = 1000


class LeadSummary(NamedTuple):
    """A lead as an operator sees it: a pseudonym, where it stands, and since when."""

    lead: str
    state: str
    since_ms: int
    own_touches: int


class EventReport(NamedTuple):
    """A product event as the owner reports it; `value` is a decimal token amount."""

    id: str
    lead: str
    event: str
    value: str
    time_ms: int


class Actor(Client):
    """A wallet that has signed in. Keys expire; an actor then signs in again by itself."""

    scope = ""

    def __init__(self, base_url: str, account: LocalAccount, name: str) -> None:
        super().__init__(base_url)
        self.account = account
        self.name = name

    @property
    def address(self) -> str:
        return str(self.account.address)

    def sign_in(self) -> Any:
        """Sign in with the wallet (EIP-4361) and keep the key that comes back."""
        self._http.headers.pop("Authorization", None)
        asked = {"address": self.address, "scopes": [self.scope]}
        message = super()._answer("POST", "/v1/sign-in/nonce", json=asked)["message"]
        signed = self.account.sign_message(encode_defunct(text=message))
        answer = super()._answer(
            "POST",
            "/v1/sign-in",
            json={"message": message, "signature": "0x" + signed.signature.hex()},
        )
        self._http.headers["Authorization"] = f"Bearer {answer['key']}"
        return answer

    def _answer(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return super()._answer(method, path, **arguments)
        except ServerError as error:
            if error.code != "http-401":
                raise
        self.sign_in()
        return super()._answer(method, path, **arguments)

    def _post_lines(self, path: str, lines: Sequence[Mapping[str, object]]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(lines), BULK_LINES):
            body = b"".join(canonical_json(line) + b"\n" for line in lines[start:][:BULK_LINES])
            headers = {"Content-Type": "application/x-ndjson"}
            results += self._answer("POST", path, content=body, headers=headers)["results"]
        return results


class Owner(Actor):
    """A company that opens a surface, accepts proposals, and reports its product's events."""

    scope = "owner"

    def open_surface(self, name: str, policy: Mapping[str, object], wait_s: int = 0) -> str:
        """Ask for a surface with this policy, and wait until the log has it; returns its id."""
        body = {"name": name, "policy": dict(policy)}
        headers = _request_headers(f"open-{name}", wait_s)
        surface: str = self._answer("POST", "/v1/surfaces", json=body, headers=headers)["surface"]
        return surface

    def accept_all(self, surface: str, domain: Domain) -> list[Terms]:
        """Review what operators proposed and sign what is sound: the terms that were accepted."""
        accepted = []
        for proposal in list(self.pages(f"/v1/surfaces/{surface}/proposals", "proposals")):
            terms = Terms.from_json(proposal["terms"])
            if proposal["status"] != "proposed" or terms.owner != self.address:
                continue
            signature = sign_digest(contract_id(terms, domain), bytes(self.account.key))
            self._answer(
                "POST",
                f"/v1/proposals/{proposal['contract_id']}/accept",
                json={"owner_signature": "0x" + signature.hex()},
            )
            accepted.append(terms)
        return accepted

    def report_one(self, surface: str, purchase: EventReport, wait_s: int = 0) -> Any:
        """Report one product event, and wait until the log has it; returns what became of it."""
        path = f"/v1/surfaces/{surface}/events"
        headers = _request_headers(purchase.id, wait_s)
        return self._answer("POST", path, json=_event(purchase), headers=headers)

    def erase(self, surface: str, lead: str) -> Any:
        """Have the service forget who this lead is; returns what became of the request."""
        path = f"/v1/surfaces/{surface}/erasures"
        # The key is kept, so it must not say who it was.
        headers = _request_headers(secrets.token_hex(16), 0)
        return self._answer("POST", path, json={"lead": lead}, headers=headers)

    def report(self, surface: str, purchases: Sequence[EventReport]) -> list[Any]:
        """Report product events in bulk; each line's id makes it count once."""
        lines = [{"id": purchase.id, **_event(purchase)} for purchase in purchases]
        return self._post_lines(f"/v1/surfaces/{surface}/events/bulk", lines)


class Operator(Actor):
    """An agent that proposes contracts and works on leads for them."""

    scope = "operator"

    def propose(self, surface: str, domain: Domain, **deal: object) -> bytes:
        """Propose a contract: `deal` gives what the surface leaves open. Returns its id."""
        terms = self.draft(surface, **deal)
        digest = contract_id(terms, domain)
        signature = sign_digest(digest, bytes(self.account.key))
        body = {"terms": terms.to_json(), "operator_signature": "0x" + signature.hex()}
        self._answer("POST", "/v1/proposals", json=body)
        return digest

    def draft(self, surface: str, **deal: object) -> Terms:
        """Terms for a contract on this surface, with what `deal` says instead of its own."""
        asked = self.get(f"/v1/surfaces/{surface}")["terms"]
        document: dict[str, object] = {
            **PLAIN_TERMS,
            **{name: asked[name] for name in _SET_BY_SURFACE},
            "operator": self.address,
            "payee": self.address,
            "token": asked["tokens"][0]["address"],
            "salt": "0x" + secrets.token_hex(32),
            **deal,
        }
        return Terms.from_json(document)

    def leads(self, surface: str, state: str) -> list[LeadSummary]:
        """The leads in `state` now."""
        path = f"/v1/surfaces/{surface}/leads"
        return [
            LeadSummary(lead["lead"], lead["state"], lead["since_ms"], lead["own_touches"])
            for lead in self.pages(path, "leads", state=state, limit=PAGE)
        ]

    def touch(
        self, surface: str, leads: Sequence[LeadSummary], action: str, occasion: str
    ) -> list[Any]:
        """Take `action` on each lead; sent again with the same `occasion`, it counts once."""
        lines = [
            {"id": f"{occasion}-{lead.lead}", "lead": lead.lead, "action": action} for lead in leads
        ]
        return self._post_lines(f"/v1/surfaces/{surface}/touches/bulk", lines)


_SET_BY_SURFACE = (
    "owner",
    "log_id",
    "surface",
    "policy",
    "attribution",
    "lateness_s",
    "verifier",
    "fee_bps",
    "fee_recipient",
)
# What a plain contract leaves at nothing: paid at once, no holdback, cap, claims or arbiter.
PLAIN_TERMS: dict[str, object] = {
    "arbiter": ZERO_ADDRESS,
    "repeatable": False,
    "exclusive": False,
    "unit_price_units": "0",
    "revenue_share_bps": 0,
    "claim_period_s": 0,
    "challenge_period_s": 0,
    "arbitration_period_s": 0,
    "holdback_bps": 0,
    "holdback_period_s": 0,
    "rate_cap_units": "0",
    "rate_period_s": 0,
    "agent_id_plus_one": "0",
}


def wallet(key: bytes) -> LocalAccount:
    """The account of a private key."""
    account: LocalAccount = Account.from_key(key)
    return account


def _request_headers(key: str, wait_s: int) -> dict[str, str]:
    """The key that makes a request count once, and how long to wait for the log to have it."""
    return {"Idempotency-Key": key, "Prefer": f"wait={wait_s}"}


def _event(purchase: EventReport) -> dict[str, str]:
    return {
        "lead": purchase.lead,
        "event": purchase.event,
        "value": purchase.value,
        "time": _rfc3339(purchase.time_ms),
    }


def _rfc3339(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03}Z"
