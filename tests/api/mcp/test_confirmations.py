"""Confirmations are kept in the database: a bounded number for each key, for a bounded time."""

import httpx

from api.mcp.confirmations import MAX_OPEN
from orchestrator.core.common.limits import Limits
from tests.support.api_service import ApiService, row_count
from tests.support.mcp_client import call, key_of, text_of


def test_a_key_keeps_a_bounded_number_and_the_newest_count(
    service: ApiService, owner: httpx.Client
) -> None:
    url, key, contract = service.url, key_of(owner), "0x" + "5" * 64
    tokens = []
    for _ in range(MAX_OPEN + 2):
        service.clock.now_ms += 1
        asked = call(url, key, "decline_proposal", contract=contract)
        tokens.append(asked.structured_content["confirm"])
    with service.admin() as admin:
        assert row_count(admin, "confirmations") == MAX_OPEN
    oldest = call(url, key, "decline_proposal", contract=contract, confirm=tokens[0])
    assert "confirm-unknown" in text_of(oldest)
    newest = call(url, key, "decline_proposal", contract=contract, confirm=tokens[-1])
    assert "not-found" in text_of(newest)


def test_a_confirmation_expires(service: ApiService, owner: httpx.Client) -> None:
    url, key, contract = service.url, key_of(owner), "0x" + "6" * 64
    asked = call(url, key, "decline_proposal", contract=contract).structured_content
    service.clock.now_ms += Limits().confirmation_ttl_ms + 1
    late = call(url, key, "decline_proposal", contract=contract, confirm=asked["confirm"])
    assert "confirm-unknown" in text_of(late)
