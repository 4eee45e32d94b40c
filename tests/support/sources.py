"""Reports of other systems to a surface of a running API: by key, and signed as each signs."""

import hashlib
import hmac
import json
from typing import Any

import httpx

from tests.support.api_service import SETTINGS, ApiService, open_surface, publish_settings

SECRET = "whsec_a_secret_of_the_tests"
MAPPING: dict[str, Any] = {
    "currencies": {"USD": "1", "EUR": "1.1"},
    "sources": {
        "segment": {"events": {"Signed Up": "signup", "Onboarded": "activate"}},
        "stripe": {"events": {"charge.succeeded": "subscribe", "charge.refunded": "refund"}},
        "posthog": {"events": {"signed up": "signup"}},
    },
}


def mapped_surface(owner: httpx.Client, name: str) -> str:
    """Open a surface whose settings map the events of all sources; return its id."""
    surface = open_surface(owner, name)
    publish_settings(owner, surface, SETTINGS | MAPPING, "mapped").raise_for_status()
    return surface


def send(client: httpx.Client, surface: str, source: str, payload: object) -> httpx.Response:
    """Send a payload unsigned."""
    return client.post(f"/v1/surfaces/{surface}/events/{source}", json=payload)


def send_by_stripe(
    service: ApiService, surface: str, payload: object, secret: str = SECRET, off_s: int = 0
) -> httpx.Response:
    """Send a payload as Stripe does, by a clock that is so far off."""
    body = json.dumps(payload).encode()
    signed_s = service.clock() // 1000 + off_s
    signed = hmac.new(secret.encode(), f"{signed_s}.".encode() + body, hashlib.sha256)
    header = {"Stripe-Signature": f"t={signed_s},v1={signed.hexdigest()}"}
    return _send_signed(service.http, surface, "stripe", body, header)


def send_by_segment(
    client: httpx.Client, surface: str, payload: object, secret: str = SECRET
) -> httpx.Response:
    """Send a payload as Segment does: of a batch, it signs the first event alone."""
    first = payload[0] if isinstance(payload, list) else payload
    signed = hmac.new(secret.encode(), _as_segment_writes(first), hashlib.sha1)
    header = {"X-Signature": signed.hexdigest()}
    return _send_signed(client, surface, "segment", _as_segment_writes(payload), header)


def _as_segment_writes(payload: object) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _send_signed(
    client: httpx.Client, surface: str, source: str, body: bytes, header: dict[str, str]
) -> httpx.Response:
    return client.post(
        f"/v1/surfaces/{surface}/events/{source}",
        content=body,
        headers={"Content-Type": "application/json"} | header,
    )
