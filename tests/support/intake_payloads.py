"""Payloads as Segment, Stripe and PostHog write them, and a mapping that reads them."""

from typing import Any

INTAKE: dict[str, Any] = {
    "currencies": {
        "USD": "1",
        "EUR": [
            {"from": "2026-01-01", "rate": "1.1"},
            {"from": "2026-02-01", "rate": "1.25"},
        ],
        "JPY": "0.0067",
        "KWD": "3.25",
    },
    "sources": {
        "segment": {
            "value": "properties.revenue",
            "currency": "properties.currency",
            "default_currency": "USD",
            "order": "properties.order_id",
            "events": {
                "Signed Up": "signup",
                "Order Completed": "buy",
                "Order Refunded": {"event": "refund", "value": "properties.total"},
            },
        },
        "stripe": {
            "lead": ["metadata.user_id", "customer"],
            "events": {"charge.succeeded": "buy", "charge.refunded": "refund"},
        },
        "posthog": {"events": {"signed up": "signup", "$identify": "seen"}},
        "csv": {
            "time": "Created (UTC)",
            "lead": "Customer ID",
            "value": "Amount",
            "currency": "Currency",
            "events": {"*": "buy"},
        },
    },
}


def track(number: int, event: str, user: str, at: str, **properties: object) -> dict[str, Any]:
    """Return a track call as Segment's destinations receive it."""
    return {
        "anonymousId": "507f191e810c19729de860ea",
        "context": {"library": {"name": "analytics.js", "version": "2.11.1"}, "ip": "8.8.8.8"},
        "event": event,
        "integrations": {},
        "messageId": f"ajs-{number:08}",
        "originalTimestamp": at,
        "properties": properties,
        "receivedAt": at,
        "sentAt": at,
        "timestamp": at,
        "type": "track",
        "userId": user,
        "version": 2,
    }


def charge(
    name: str, customer: str, amount: int, created_s: int, currency: str = "usd"
) -> dict[str, Any]:
    """Return Stripe's event of a charge that succeeded."""
    return {
        "id": f"evt_{name}",
        "object": "event",
        "api_version": "2024-06-20",
        "created": created_s,
        "data": {"object": _charge(name, customer, amount, created_s, currency)},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "charge.succeeded",
    }


def refunded(
    name: str,
    customer: str,
    amount: int,
    before: int,
    after: int,
    created_s: int,
    currency: str = "usd",
) -> dict[str, Any]:
    """Return Stripe's event of a charge of which a part more was given back."""
    about = _charge(name, customer, amount, created_s, currency)
    about |= {"amount_refunded": after, "refunded": after == amount}
    return {
        "id": f"evt_{name}_{after}",
        "object": "event",
        "api_version": "2024-06-20",
        "created": created_s,
        "data": {"object": about, "previous_attributes": {"amount_refunded": before}},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": None},
        "type": "charge.refunded",
    }


def _charge(name: str, customer: str, amount: int, created_s: int, currency: str) -> dict[str, Any]:
    return {
        "id": f"ch_{name}",
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "captured": True,
        "created": created_s,
        "currency": currency,
        "customer": customer,
        "livemode": True,
        "metadata": {},
        "paid": True,
        "payment_intent": f"pi_{name}",
        "refunded": False,
        "status": "succeeded",
    }


def captured(uuid: str, event: str, person: str, at: str) -> dict[str, Any]:
    """Return an event as PostHog's exports have it."""
    return {
        "uuid": uuid,
        "event": event,
        "distinct_id": person,
        "person_id": "018f",
        "properties": {"$lib": "web", "plan": "pro"},
        "timestamp": at,
        "created_at": at,
    }
