"""A contract for tests, from its opening to its payout, made through a running service."""

import httpx

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_S, NS_PER_MS, format_time
from orchestrator.core.deals.terms import contract_id, owner_consent_digest
from orchestrator.core.entries.kinds import decode
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract, RecordPayout, Request, Settle
from tests.support.api_service import (
    ESCROW,
    ApiService,
    draft_terms,
    leads,
    open_surface,
    proposal_of,
    report,
    signed_digest,
    touch,
    wallet,
)

OPERATOR = wallet("operator")
TRANSACTION = b"\x77" * 32


class SettledContract:
    """A contract from its opening to its payout, and the entries of its log by position."""

    def __init__(self, service: ApiService, owner: httpx.Client, operator: httpx.Client) -> None:
        self._service = service
        self.surface = open_surface(owner, "settled")
        parameters = operator.get(f"/v1/surfaces/{self.surface}").json()["terms"]
        self.terms = draft_terms(
            parameters,
            OPERATOR.address,
            outcome="subscribed",
            revenue_share_bps=1000,
            holdback_period_s=DAY_S,
        )
        self.digest = contract_id(self.terms, ESCROW)
        operator.post("/v1/proposals", json=proposal_of(self.terms, OPERATOR))
        consent = owner_consent_digest(self.terms, ESCROW)
        signature = signed_digest(wallet("owner"), consent)
        owner.post(f"/v1/proposals/{self.hex_id}/accept", json={"owner_signature": signature})
        self._submit("open", OpenContract(rules_of(self.terms, self.digest), TRANSACTION))
        service.clock.now_ms = self.terms.opens_at_s * 1000 + 1000
        self._events(owner, "one", 0, "signup", "activate")
        (lead,) = leads(operator, self.surface)
        touch(operator, self.surface, "t", lead["lead"], "email")
        service.clock.now_ms += 1000
        self._events(owner, "one", 500, "subscribe", value="29.90")
        self._submit("settle", Settle())
        # 8 tokens and a tenth of 29.90.
        self._submit("pay", RecordPayout(self.digest, self.payee, "paid", 10_990_000, TRANSACTION))
        self._events(owner, "one", 600, "refund")
        self._submit("settle-again", Settle())
        self.entries = service.get("/v1/log/entries", limit=1000)["entries"]
        self.decoded = [decode(from_hex(item["entry"])) for item in self.entries]

    @property
    def hex_id(self) -> str:
        return to_hex(self.digest)

    @property
    def payee(self) -> bytes:
        return address_word(self.terms.payee)

    def position_of(self, kind: str, nth: int = 0) -> int:
        """Return the position of the log's n-th entry of a kind, from 0."""
        return [n for n, entry in enumerate(self.decoded) if entry.kind == kind][nth]

    def _submit(self, key: str, request: Request) -> None:
        self._service.submit(key, request)
        self._service.decide_waiting()

    def _events(
        self, owner: httpx.Client, lead: str, at_ms: int, *names: str, value: str | None = None
    ) -> None:
        time = format_time((self.terms.opens_at_s * 1000 + 1000 + at_ms) * NS_PER_MS)
        for name in names:
            body = {"lead": lead, "event": name, "value": value, "time": time}
            reply = report(owner, self.surface, f"{lead}-{name}", body).json()
            assert reply["verdict"] == "accepted", reply
