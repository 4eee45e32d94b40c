"""Clients of accounts: an owner's and an operator's wallet, which sign in to a server and use it.

They know no more than a stranger: the server's URL, and its answers.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from orchestrator.client.http import PAGE, Client, request_headers
from orchestrator.client.log_server import below, reading
from orchestrator.core.account.scopes import Scope, ScopeSet, scopes_of
from orchestrator.core.account.sign_in import Audience, SignIn, read_message, write_message
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import ServerError, SignInError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import format_ms
from orchestrator.core.deals.terms import (
    SET_BY_SURFACE,
    TIME_S_LIMIT,
    Domain,
    Terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
    sign_digest,
)
from orchestrator.core.log.entry import POSITION_LIMIT, TIME_MS_LIMIT, ZERO_ADDRESS
from orchestrator.core.unopened import STANDING, ProposalState

# The most lines that the API takes in one bulk request.
BULK_LINES = 1000
# How long a request that is to be decided before the answer may wait.
WAIT_S = 10


class LeadSummary(NamedTuple):
    """A lead as an operator sees it: its pseudonym, its state, and since when."""

    lead: str
    state: str
    since_ms: int
    own_touches: int


class EventReport(NamedTuple):
    """A product event as the owner reports it.

    `value` is a decimal token amount, empty where none is told; `order` is the owner's id of the
    order that it is about, `ref` the code that the lead came by; both are empty for none.
    """

    id: str
    lead: str
    event: str
    value: str
    time_ms: int
    order: str = ""
    ref: str = ""


class AccountClient(Client):
    """A client that signs in with a wallet, and again when its key has expired.

    It writes the message that it signs itself, and makes it out to the server of `base_url` alone:
    no server can have one signed that is good elsewhere. Where `chain_id` is given, a server of
    another chain is refused.
    """

    scopes: Sequence[Scope | ScopeSet] = ()

    def __init__(
        self, base_url: str, account: LocalAccount, name: str, chain_id: int | None = None
    ) -> None:
        super().__init__(base_url)
        self.account = account
        self.name = name
        self._base_url = base_url
        self._chain_id = chain_id

    @property
    def address(self) -> str:
        return str(self.account.address)

    @property
    def server_url(self) -> str:
        return self._base_url

    def sign_in(self) -> Any:
        """Sign in with the wallet (EIP-4361) and keep the key that comes back."""
        # A request with an expired key would be refused before it is looked at.
        self._http.headers.pop("Authorization", None)
        # The requests of the signing in go past our own `_request`, which would sign in for them.
        message = self._message(super()._request("POST", "/v1/sign-in/nonce"))
        self.check_message(message)
        signed = self.account.sign_message(encode_defunct(text=message))
        answer = super()._request(
            "POST",
            "/v1/sign-in",
            json={"message": message, "signature": to_hex(signed.signature)},
        )
        with reading(self, "which key it has made"):
            self._http.headers["Authorization"] = f"Bearer {answer['key']}"
        return answer

    def sign_out(self) -> None:
        """End the key that this client has, if it has one."""
        if "Authorization" in self._http.headers:
            super()._request("DELETE", "/v1/keys/current")
            self._http.headers.pop("Authorization")

    def check_message(self, message: str) -> None:
        """Raise an error if the message is not to be signed."""

    def _message(self, asked: Any) -> str:
        """Return the message for a nonce. Raises ServerError for a server that is not ours."""
        with reading(self, "what a sign-in needs"):
            nonce = str(asked["nonce"])
            # By its own clock, so that no clock of ours makes the message too early.
            issued_ms, expires_ms = int(asked["time_ms"]), int(asked["expires_ms"])
            named = Audience(str(asked["domain"]), str(asked["uri"]), int(asked["chain_id"]))
        url = self._base_url
        chain_id = named.chain_id if self._chain_id is None else self._chain_id
        ours = Audience(urlsplit(url).netloc, url, chain_id)
        if named != ours:
            raise ServerError(
                "audience-differs",
                f"{self.server} has wallets sign in to {named.uri} on chain {named.chain_id}, not "
                f"to {url} on chain {chain_id}; give its own URL if you trust it",
            )
        asks = SignIn(self.address, tuple(scopes_of(self.scopes)), nonce, issued_ms, expires_ms)
        # A nonce of the server's own making could say more than a nonce. How long a message is
        # good is its word: what is signed opens no door but its own, and there once.
        with reading(self, "a nonce that can be signed"):
            message = write_message(ours, asks)
            if not _reads_as(ours, message, asks):
                raise ValueError(nonce)
        return message

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return super()._request(method, path, **arguments)
        except ServerError as error:
            if error.code != "http-401":
                raise
        # Once: a new key that is refused is not one that has expired. To send a request again is
        # safe, because the refused one was not taken.
        self.sign_in()
        return super()._request(method, path, **arguments)

    def _post_lines(
        self, path: str, lines: Sequence[Mapping[str, object]], wait_s: int = 0
    ) -> list[Any]:
        """Post lines of NDJSON, a bulk at a time. Return the result of each line."""
        results: list[Any] = []
        for start in range(0, len(lines), BULK_LINES):
            body = b"".join(canonical_json(line) + b"\n" for line in lines[start:][:BULK_LINES])
            headers = {"Content-Type": "application/x-ndjson"}
            if wait_s:
                headers["Prefer"] = f"wait={wait_s}"
            answer = self._request("POST", path, content=body, headers=headers)
            with reading(self, "what became of each line"):
                results += list(answer["results"])
        return results


class DelegateClient(Client):
    """A client that has a delegate's key and no wallet: with the key ends what it can do."""

    def __init__(self, base_url: str, key: str) -> None:
        super().__init__(base_url)
        self._http.headers["Authorization"] = f"Bearer {key}"


class OwnerClient(AccountClient):
    """The client of a company that opens a surface, accepts proposals and reports events."""

    scopes = ("owner",)

    def open_surface(self, name: str, policy: Mapping[str, object], wait_s: int = 0) -> str:
        """Ask for a surface with this policy, and wait until the log has it. Return its id."""
        body = {"name": name, "policy": dict(policy)}
        headers = request_headers(f"open-{name}", wait_s)
        surface: str = self._request("POST", "/v1/surfaces", json=body, headers=headers)["surface"]
        return surface

    def publish_settings(
        self, surface: str, settings: Mapping[str, object], wait_s: int = 0
    ) -> str:
        """Publish a surface's settings, and wait until the log has them. Return their hash."""
        headers = request_headers(secrets.token_hex(16), wait_s)
        answer = self._request(
            "POST",
            f"/v1/surfaces/{surface}/settings",
            json={"settings": dict(settings)},
            headers=headers,
        )
        hash_: str = answer["settings_hash"]
        return hash_

    def suspend(self, surface: str, operator: str, reason: str, wait_s: int = 0) -> Any:
        """Suspend an operator on a surface. Return the request's result."""
        return self._post_reason(surface, operator, "suspension", reason, wait_s)

    def restore(self, surface: str, operator: str, reason: str, wait_s: int = 0) -> Any:
        """End an operator's suspension on a surface. Return the request's result."""
        return self._post_reason(surface, operator, "restoration", reason, wait_s)

    def _post_reason(self, surface: str, operator: str, what: str, reason: str, wait_s: int) -> Any:
        path = f"/v1/surfaces/{surface}/operators/{operator}/{what}"
        headers = request_headers(secrets.token_hex(16), wait_s)
        return self._request("POST", path, json={"reason": reason}, headers=headers)

    def accept_all(self, surface: str, domain: Domain) -> list[Terms]:
        """Sign every open proposal that names this owner, to be paid from its allowance.

        Return the terms that were accepted.
        """
        accepted = []
        # All pages are read first: an accepted proposal changes the list that is being paged.
        for proposal in list(self.pages(f"/v1/surfaces/{surface}/proposals", "proposals")):
            terms = Terms.from_json(proposal["terms"])
            if proposal["status"] != "proposed" or terms.owner != self.address:
                continue
            signature = sign_digest(owner_consent_digest(terms, domain), bytes(self.account.key))
            self._request(
                "POST",
                f"/v1/proposals/{proposal['contract_id']}/accept",
                json={"owner_signature": to_hex(signature)},
            )
            accepted.append(terms)
        return accepted

    def accept(self, contract: str, signature: str) -> Any:
        """Accept a proposal by a signature over its terms."""
        body = {"owner_signature": signature}
        return self._request("POST", f"/v1/proposals/{contract}/accept", json=body)

    def counter(self, contract: bytes, **deal: object) -> Any:
        """Answer a proposal with what of its deal is to be another. Return the new draft."""
        path = f"/v1/proposals/{to_hex(contract)}/counter"
        return self._request("POST", path, json={"deal": deal})

    def report_event(self, surface: str, event: EventReport, wait_s: int = 0) -> Any:
        """Report a product event, and wait until the log has it. Return the request's result."""
        path = f"/v1/surfaces/{surface}/events"
        headers = request_headers(event.id, wait_s)
        return self._request("POST", path, json=_event_body(event), headers=headers)

    def report_events(self, surface: str, events: Sequence[EventReport]) -> list[Any]:
        """Report product events in bulk. Each line's id makes it count once."""
        lines = [{"id": event.id, **_event_body(event)} for event in events]
        return self._post_lines(f"/v1/surfaces/{surface}/events/bulk", lines)

    def erase(self, surface: str, lead: str) -> Any:
        """Have the service erase the identity of this lead. Return the request's result."""
        path = f"/v1/surfaces/{surface}/erasures"
        # The key is kept after the erasure, so it must not name the lead.
        headers = request_headers(secrets.token_hex(16), 0)
        return self._request("POST", path, json={"lead": lead}, headers=headers)


class OperatorClient(AccountClient):
    """The client of an agent that proposes contracts and works on leads for them."""

    scopes = ("operator",)

    def propose(self, surface: str, domain: Domain, **deal: object) -> bytes:
        """Propose a contract; `deal` has the terms that the surface leaves open. Return its id."""
        terms = self.draft(surface, **deal)
        signature = sign_digest(operator_consent_digest(terms, domain), bytes(self.account.key))
        body = {"terms": terms.to_json(), "operator_signature": to_hex(signature)}
        self._request("POST", "/v1/proposals", json=body)
        return contract_id(terms, domain)

    def draft(self, surface: str, **deal: object) -> Terms:
        """Return terms for a contract on this surface; those of `deal` come before all others."""
        required = self.get(f"/v1/surfaces/{surface}")["terms"]
        document: dict[str, object] = {
            **PLAIN_TERMS,
            **{name: required[name] for name in SET_BY_SURFACE},
            "operator": self.address,
            "payee": self.address,
            "token": required["tokens"][0]["address"],
            "salt": to_hex(secrets.token_bytes(32)),
            **deal,
        }
        return Terms.from_json(document)

    def sign_counter(self, contract: bytes, domain: Domain) -> bytes:
        """Sign what an owner has answered to a proposal, as its next version. Return its id."""
        terms = Terms.from_json(self.get(f"/v1/proposals/{to_hex(contract)}")["counter"])
        signature = sign_digest(operator_consent_digest(terms, domain), bytes(self.account.key))
        body = {
            "terms": terms.to_json(),
            "operator_signature": to_hex(signature),
            "answers": to_hex(contract),
        }
        self._request("POST", "/v1/proposals", json=body)
        return contract_id(terms, domain)

    def draft_deal(self, surface: str, deal: Mapping[str, object]) -> Any:
        """Return a short deal as the service drafts it: terms, sentences, what to sign."""
        return self._request("POST", f"/v1/surfaces/{surface}/drafts", json={"deal": deal})

    def standing(self, surface: str) -> Any:
        """Return the operator's own standing on a surface."""
        return self.get(f"/v1/surfaces/{surface}/operators/{self.address}")

    def forecast(
        self, surface: str, question: Mapping[str, object], probability_bps: int, wait_s: int = 0
    ) -> Any:
        """Forecast a question of the surface's history. Return the request's result."""
        body = {name: question[name] for name in ("from_state", "to_state", "horizon_days")} | {
            "probability_bps": probability_bps
        }
        headers = request_headers(secrets.token_hex(16), wait_s)
        path = f"/v1/surfaces/{surface}/forecasts"
        return self._request("POST", path, json=body, headers=headers)

    def ask_for_judgement(self, surface: str, wait_s: int = 0) -> Any:
        """Have the operator's level on a surface judged now. Return the request's result."""
        headers = request_headers(secrets.token_hex(16), wait_s)
        return self._request("POST", f"/v1/surfaces/{surface}/judgements", headers=headers)

    def issue_code(
        self, surface: str, max_uses: int, expires_ms: int, occasion: str, wait_s: int = 0
    ) -> str:
        """Return a code to hand out; the same one for the same `occasion`."""
        body = {"max_uses": max_uses, "expires_ms": expires_ms}
        headers = request_headers(occasion, wait_s)
        answer = self._request("POST", f"/v1/surfaces/{surface}/codes", json=body, headers=headers)
        ref: str = answer["ref"]
        return ref

    def codes(self, surface: str) -> list[Any]:
        """Return the operator's codes on a surface, with their clicks."""
        return list(self.pages(f"/v1/surfaces/{surface}/codes", "codes", limit=PAGE))

    def leads(self, surface: str, state: str) -> list[LeadSummary]:
        """Return the leads that are in `state` now."""
        found = list(self.pages(f"/v1/surfaces/{surface}/leads", "leads", state=state, limit=PAGE))
        with reading(self, "what its leads are"):
            return [
                LeadSummary(
                    str(lead["lead"]),
                    str(lead["state"]),
                    below(TIME_MS_LIMIT, lead["since_ms"]),
                    below(POSITION_LIMIT, lead["own_touches"]),
                )
                for lead in found
            ]

    def request_action(
        self, surface: str, lead: str, action: str, occasion: str, wait_s: int = 0
    ) -> Any:
        """Ask the owner to take an action on a lead; with the same `occasion` it counts once."""
        path, body = f"/v1/surfaces/{surface}/actions", {"lead": lead, "action": action}
        return self.post(path, body, key=occasion, wait_s=wait_s)

    def touch(
        self,
        surface: str,
        leads: Sequence[LeadSummary],
        action: str,
        occasion: str,
        wait_s: int = 0,
    ) -> list[Any]:
        """Take `action` on each lead. Sent again with the same `occasion`, it counts once."""
        lines = [
            {"id": f"{occasion}-{lead.lead}", "lead": lead.lead, "action": action} for lead in leads
        ]
        return self._post_lines(f"/v1/surfaces/{surface}/touches/bulk", lines, wait_s)

    def act(
        self, surface: str, leads: Sequence[LeadSummary], action: str, occasion: str
    ) -> list[Any]:
        """Take `action` on each lead, or ask the surface to, as it says who takes that one.

        Return the result of each, once the log has decided it; a refusal is a result too.
        """
        standing = self.standing(surface)
        with reading(self, "which actions are allowed"):
            allowed = {each["action"]: each["by"] for each in standing["allowed"]}
        if allowed.get(action) != "surface":
            return self.touch(surface, leads, action, occasion, WAIT_S)
        return [self._ask_for(surface, lead.lead, action, occasion) for lead in leads]

    def _ask_for(self, surface: str, lead: str, action: str, occasion: str) -> Any:
        try:
            return self.request_action(surface, lead, action, f"{occasion}-{lead}", WAIT_S)
        except ServerError as error:
            if error.code not in ("http-409", "http-422"):
                raise
            return {"status": "refused", "code": error.code, "detail": error.message}


class PartyClient(AccountClient):
    """The client of a wallet that reads what is of its own, as owner and as operator."""

    scopes = ("operator:read", "owner:read")

    def proposal(self, contract: bytes) -> ProposalState:
        """Return a proposal of this wallet's, and what became of opening it."""
        answer = self.get(f"/v1/proposals/{to_hex(contract)}")
        with reading(self, "what became of the proposal"):
            opening = answer["opening"] or {}
            next_ms, status = opening.get("next_ms"), answer["status"]
            if status not in STANDING:
                raise ValueError(status)
            return ProposalState(
                contract,
                status,
                below(TIME_S_LIMIT, answer["terms"]["opens_at_s"]) * 1000,
                is_ours=answer["opened_by"] == "service",
                tries=below(POSITION_LIMIT, opening.get("tries", 0)),
                failure=opening.get("reason"),
                waits_for=opening.get("waits_for"),
                next_ms=None if next_ms is None else below(TIME_MS_LIMIT, next_ms),
            )


class KeyClient(AccountClient):
    """The client of a wallet that looks after the keys of its account."""

    def __init__(
        self,
        base_url: str,
        account: LocalAccount,
        scopes: Sequence[Scope | ScopeSet],
        check_message: Callable[[str], None],
    ) -> None:
        super().__init__(base_url, account, "keys")
        self.scopes = tuple(scopes)
        self._check_message = check_message

    def check_message(self, message: str) -> None:
        self._check_message(message)

    def keys(self) -> list[Any]:
        """Return all keys of the account, oldest first, those that have ended too."""
        return list(self.pages("/v1/keys", "keys", limit=PAGE))

    def key(self, key_id: str) -> Any:
        return self.get(f"/v1/keys/{key_id}")

    def new_key(self, name: str, scopes: Sequence[str], surfaces: Sequence[str] | None) -> Any:
        """Return a new delegate's key."""
        body = {"name": name, "scopes": list(scopes), "surfaces": surfaces and list(surfaces)}
        return self._request("POST", "/v1/keys", json=body)

    def rotate(self, key_id: str, overlap_s: int) -> Any:
        """Return a new key in a delegate's place."""
        body = {"overlap_s": overlap_s}
        return self._request("POST", f"/v1/keys/{key_id}/rotation", json=body)

    def revoke(self, key_id: str) -> None:
        self.delete(f"/v1/keys/{key_id}")

    def revoke_all(self) -> None:
        self.delete("/v1/keys")


# The terms of a plain contract that are zero: it pays at once, has no holdback, cap, claims or
# arbiter, and is tied to no agent. One of the two prices is set by the deal.
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


def summary_of(results: Sequence[Mapping[str, Any]]) -> str:
    """Write how many of these requests the log has taken, and why it has not taken the others."""
    left = [each for each in results if each["status"] != "done"]
    why = {each["code"] or each["status"]: each["detail"] or "not decided yet" for each in left}
    counted = f"{len(results) - len(left)} of {len(results)}"
    told = "; ".join(f"{code}: {detail}" for code, detail in why.items())
    return f"{counted}: {told}" if told else counted


def wallet(key: bytes) -> LocalAccount:
    """Return the account of a private key."""
    account: LocalAccount = Account.from_key(key)
    return account


def _reads_as(audience: Audience, message: str, asked: SignIn) -> bool:
    """Return whether a message says this and nothing else."""
    try:
        return read_message(audience, message, asked.issued_ms) == asked
    except SignInError:
        return False


def _event_body(event: EventReport) -> dict[str, str]:
    told = {"value": event.value, "order": event.order, "ref": event.ref}
    return {
        "lead": event.lead,
        "event": event.event,
        "time": format_ms(event.time_ms),
        **{name: text for name, text in told.items() if text},
    }
