"""Requests and projections as the database keeps them, each in exactly one form.

What is read back is held to the same rules as what is written, so that nothing in an inbox can
bring the fold to a stop.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import astuple
from hashlib import sha256
from typing import Any, get_args

from orchestrator.core.common.errors import LogError, RequestError, shown
from orchestrator.core.surface.attribution import TouchAt, TouchHistory
from orchestrator.core.surface.fields import read_fields, write_fields
from orchestrator.core.surface.forecast import Question, Skill
from orchestrator.core.surface.trust import Bucket, PendingForecast, PoolUse, Standing
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.purchase import PaidOutcome, Purchase
from orchestrator.core.world.requests import Request
from orchestrator.core.world.world import Errand, Lead


def commitment(salt: bytes, body: bytes) -> bytes:
    """Return SHA-256(salt ‖ body), which the log holds of a body that may be erased."""
    return sha256(salt + body).digest()


def json_text(document: object) -> str:
    """Return JSON without spaces; whole numbers keep all their digits."""
    return _write_json(document)


_write_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def request_id(log_id: bytes, account: str, idempotency_key: str) -> bytes:
    """Return the 16 bytes that name a request: one account's one key is one request."""
    words = f"{account.lower()}\0{idempotency_key}".encode()
    digest = bytearray(sha256(log_id + words).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, and its variant
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


# --- Requests -------------------------------------------------------------------------------------


def encode_request(request: Request) -> tuple[str, dict[str, Any]]:
    """Return a request's name and JSON body. Raises RequestError for a value out of bounds."""
    return request_kind(type(request)), write_fields(request)


def request_kind(make: type[Request]) -> str:
    """Return the name of a class of requests in the inbox."""
    return _NAMES[make]


def decode_request(name: str, body: object) -> Request:
    """Return the request of this name and body. Raises RequestError, or DocumentError."""
    found = _REQUESTS.get(name)
    if found is None:
        raise RequestError("request-malformed", f"{shown(name)} is no kind of request")
    request: Request = read_fields(found, body, f"a {name} request")
    return request


def encode_rules(rules: ContractRules) -> dict[str, Any]:
    """Return a contract's rules as a JSON object."""
    return write_fields(rules)


def decode_rules(document: Mapping[str, Any]) -> ContractRules:
    """Return the rules of such an object. Raises RequestError for a value out of bounds."""
    return read_fields(ContractRules, document, "a contract's rules")


_NAMES: dict[Any, str] = {
    make: re.sub(r"(?<!^)(?=[A-Z])", "_", make.__name__).lower() for make in get_args(Request)
}
_REQUESTS: dict[str, Any] = {name: make for make, name in _NAMES.items()}


# --- Leads ----------------------------------------------------------------------------------------


def encode_lead(lead: Lead) -> dict[str, Any]:
    """Return what the fold remembers of a lead, besides its columns, as a JSON object."""
    return {
        # By place: `api.lead_page` reads the count.
        "touches": {
            operator.hex(): [history.count, history.latest, history.day, history.touches]
            for operator, history in lead.touches.items()
        },
        "counted": [contract_id.hex() for contract_id in lead.counted],
        "counted_at": lead.counted_at,
        "purchases": [_encode_purchase(purchase) for purchase in lead.purchases],
        "sweep_at": lead.sweep_at,
        "unfounded": [order.hex() for order in lead.unfounded],
        "stay_ms": lead.stay_ms,
        "errands": [
            [errand.position, errand.operator.hex(), *errand[2:]] for errand in lead.errands
        ],
    }


def decode_lead(surface: bytes, state: str, since_ms: int, document: Mapping[str, Any]) -> Lead:
    """Return the lead of these columns and this object. Raises LogError if it is none."""
    try:
        return Lead(
            surface,
            state,
            since_ms,
            touches={
                bytes.fromhex(operator): TouchHistory(
                    [TouchAt(*touch) for touch in touches], count, latest, day
                )
                for operator, (count, latest, day, touches) in document["touches"].items()
            },
            counted=tuple(bytes.fromhex(contract_id) for contract_id in document["counted"]),
            counted_at=dict(document["counted_at"]),
            purchases=[_decode_purchase(*words) for words in document["purchases"]],
            sweep_at=document["sweep_at"],
            unfounded=tuple(bytes.fromhex(order) for order in document["unfounded"]),
            stay_ms=document["stay_ms"],
            errands=[
                Errand(position, bytes.fromhex(operator), *rest)
                for position, operator, *rest in document["errands"]
            ],
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise LogError(
            "lead-malformed", f"a lead's document is not what was written: {error!r}"
        ) from None


def _encode_purchase(purchase: Purchase) -> list[Any]:
    paid = purchase.outcome
    return [
        purchase.position,
        purchase.state,
        purchase.value_units,
        purchase.order.hex(),
        None if paid is None else [paid.contract_id.hex(), *paid[1:]],
        purchase.refunded_units,
        purchase.last_refund,
        purchase.is_spent,
        purchase.late_units,
    ]


def _decode_purchase(
    position: int,
    state: str,
    value_units: int,
    order: str,
    paid: list[Any] | None,
    *taken: Any,
) -> Purchase:
    outcome = None if paid is None else PaidOutcome(bytes.fromhex(paid[0]), *paid[1:])
    return Purchase(position, state, value_units, bytes.fromhex(order), outcome, *taken)


# --- Trust ----------------------------------------------------------------------------------------


def encode_standing(standing: Standing) -> dict[str, Any]:
    """Return what the fold remembers of a standing, besides its columns, as a JSON object."""
    return {
        "changed_ms": standing.changed_ms,
        "policy": standing.policy.hex(),
        "partner_since_ms": standing.partner_since_ms,
        "disputes_lost": standing.disputes_lost,
        "day": standing.day,
        "leads_today": standing.leads_today,
        "code_day": standing.code_day,
        "codes_today": standing.codes_today,
        "counted_to": standing.counted_to,
        "buckets": [list(astuple(bucket)) for bucket in standing.buckets],
        "skill": standing.skill.to_document(),
        "forecasts": [
            [one.position, list(one.question), one.day, one.commitment.hex()]
            for one in standing.forecasts
        ],
        "errands": standing.errands,
    }


def decode_standing(
    level: int, ground: str, is_suspended: bool, document: Mapping[str, Any]
) -> Standing:
    """Return the standing of these columns and this object. Raises LogError if it is none."""
    try:
        words = dict(document)
        policy = bytes.fromhex(words.pop("policy"))
        buckets = [Bucket(*bucket) for bucket in words.pop("buckets")]
        skill = Skill.from_document(words.pop("skill"))
        forecasts = [
            PendingForecast(position, Question(*question), day, bytes.fromhex(sealed))
            for position, question, day, sealed in words.pop("forecasts")
        ]
        return Standing(
            level,
            ground,
            is_suspended=is_suspended,
            policy=policy,
            buckets=buckets,
            skill=skill,
            forecasts=forecasts,
            **words,
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise LogError(
            "standing-malformed", f"a standing's document is not what was written: {error!r}"
        ) from None


def encode_pool(pool: PoolUse) -> dict[str, Any]:
    """Return the use of a surface's pool as a JSON object."""
    return {
        "holders": {operator.hex(): until_ms for operator, until_ms in pool.holders.items()},
        "day": pool.day,
        "leads": pool.leads,
        "touches": pool.touches,
    }


def decode_pool(document: Mapping[str, Any]) -> PoolUse:
    """Return the use of a pool of such an object. Raises LogError if it is none."""
    try:
        words = dict(document)
        holders = {
            bytes.fromhex(operator): until_ms for operator, until_ms in words.pop("holders").items()
        }
        return PoolUse(holders, **words)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise LogError(
            "pool-malformed", f"a pool's document is not what was written: {error!r}"
        ) from None
