"""The owner's endpoint of the demonstration: what it takes, and what it refuses."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from orchestrator.simulation.work import MAX_BODY_BYTES, OwnerEndpoint, TakenErrand

SECRET = "whsec_" + "A" * 43 + "="
ASKED = {
    "type": "action.requested",
    "data": {"position": 7, "external_id": "customer-0001", "label": "gift"},
}


@pytest.fixture
def endpoint() -> Iterator[OwnerEndpoint]:
    with OwnerEndpoint() as running:
        running.secret = SECRET
        yield running


def sent(endpoint: OwnerEndpoint, told: Any, name: str = "msg_1", secret: str = SECRET) -> int:
    """Send a message as our webhooks do, and return the status of the answer."""
    body, now = json.dumps(told), datetime.now(UTC)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, now, body),
    }
    answer = httpx.post(endpoint.url, content=body, headers=headers, trust_env=False)
    return answer.status_code


def test_what_is_signed_is_taken_once_however_often_it_is_sent(endpoint: OwnerEndpoint) -> None:
    assert [sent(endpoint, ASKED), sent(endpoint, ASKED)] == [204, 204]
    assert endpoint.errands == [TakenErrand(7, "customer-0001", "gift")]
    assert sent(endpoint, ASKED, "msg_2") == 204
    assert len(endpoint.errands) == 2


def test_what_is_not_signed_by_its_secret_is_refused(endpoint: OwnerEndpoint) -> None:
    assert sent(endpoint, ASKED, secret="whsec_" + "B" * 43 + "=") == 401
    assert httpx.post(endpoint.url, json=ASKED, trust_env=False).status_code == 401
    assert sent(endpoint, ASKED | {"more": "x" * MAX_BODY_BYTES}) == 401
    assert not endpoint.errands


def test_other_news_ask_for_nothing(endpoint: OwnerEndpoint) -> None:
    assert sent(endpoint, {"type": "payout", "data": {"position": 9}}) == 204
    assert not endpoint.errands


def test_it_takes_nothing_while_it_is_down(endpoint: OwnerEndpoint) -> None:
    endpoint.is_down = True
    assert [sent(endpoint, ASKED), sent(endpoint, ASKED)] == [503, 503]
    assert (endpoint.refused, endpoint.errands) == (2, [])
    endpoint.is_down = False
    assert sent(endpoint, ASKED) == 204
    assert endpoint.errands == [TakenErrand(7, "customer-0001", "gift")]
