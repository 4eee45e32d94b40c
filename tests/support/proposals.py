"""Proposals of one operator to one owner, and the acceptance of them."""

from typing import Any

import httpx

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import Terms, contract_id, owner_consent_digest
from tests.support.api_service import ESCROW, draft_terms, proposal_of, signed_digest, wallet

OPERATOR = wallet("operator")
OWNER = wallet("owner")


def terms_of(parameters: dict[str, Any], salt: int, **changes: object) -> Terms:
    return draft_terms(parameters, OPERATOR.address, salt=f"0x{salt:064x}", **changes)


def propose(operator: httpx.Client, terms: Terms) -> httpx.Response:
    return operator.post("/v1/proposals", json=proposal_of(terms, OPERATOR))


def hex_id(terms: Terms) -> str:
    return to_hex(contract_id(terms, ESCROW))


def accept(owner: httpx.Client, terms: Terms, signer: Any = OWNER) -> httpx.Response:
    signature = signed_digest(signer, owner_consent_digest(terms, ESCROW))
    return owner.post(f"/v1/proposals/{hex_id(terms)}/accept", json={"owner_signature": signature})
