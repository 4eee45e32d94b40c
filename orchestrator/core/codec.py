"""Requests, openings and projections as the database keeps them, each in exactly one form.

Bytes are lower-case hex, amounts and times whole JSON numbers. What is read back is held to the
same rules as what is written, so that nothing in an inbox can bring the fold to a stop.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from orchestrator.core import decide, policy
from orchestrator.core.attribution import TouchAt, TouchHistory
from orchestrator.core.contract import ContractRules, PaidOutcome
from orchestrator.core.decide import Opening, Request
from orchestrator.core.entry import (
    AMOUNT_LIMIT,
    TIME_MS_LIMIT,
    WORD_BYTES,
    Entry,
    EventOpening,
    TouchOpening,
    ascii_text,
    ascii_word,
)
from orchestrator.core.errors import LogError, RequestError
from orchestrator.core.policy import MODELS, Policy, is_name
from orchestrator.core.units import BPS
from orchestrator.core.world import Lead

MAX_GROUP_BYTES = 128


def commitment(salt: bytes, body: bytes) -> bytes:
    """SHA-256(salt ‖ body): what the log holds of a body that may be erased; the salt is random."""
    return sha256(salt + body).digest()


def json_text(document: object) -> str:
    """JSON without spaces; whole numbers keep all their digits."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def request_id(log_id: bytes, account: str, idempotency_key: str) -> bytes:
    """The 16 bytes that name a request: the same key of the same account is the same request."""
    words = f"{account.lower()}\0{idempotency_key}".encode()
    digest = bytearray(sha256(log_id + words).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, and its variant
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


# --- Requests -------------------------------------------------------------------------------------


class _Form(NamedTuple):
    """How one field is written to JSON and read back; both refuse what is out of bounds."""

    write: Callable[[str, Any], Any]
    read: Callable[[str, Any], Any]


def encode_request(request: Request) -> tuple[str, dict[str, Any]]:
    """The kind and the JSON body of a request. Raises RequestError for a value out of bounds."""
    kind, fields = _FIELDS_BY_TYPE[type(request)]
    return kind, {name: form.write(name, getattr(request, name)) for name, form in fields}


def decode_request(kind: str, body: object) -> Request:
    """The request of such a kind and body. Raises RequestError, or PolicyError for its policy."""
    found = _FIELDS_BY_KIND.get(kind)
    if found is None:
        raise RequestError("request-malformed", f"{_shown(kind)} is no kind of request")
    make, fields = found
    if not isinstance(body, Mapping) or len(body) != len(fields):
        raise RequestError("request-malformed", f"a {kind} request has {len(fields)} fields")
    try:
        return make(*[form.read(name, body[name]) for name, form in fields])
    except KeyError as error:
        raise RequestError("request-malformed", f"a {kind} request lacks {error}") from None


def encode_rules(rules: ContractRules) -> dict[str, Any]:
    """A contract's rules as a JSON object."""
    return {name: form.write(name, getattr(rules, name)) for name, form in _RULES}


def decode_rules(document: Mapping[str, Any]) -> ContractRules:
    """The rules of such an object. Raises RequestError for a value out of bounds."""
    missing = [name for name, _ in _RULES if name not in document]
    if missing or len(document) != len(_RULES):
        raise RequestError("request-malformed", f"a contract's rules have {len(_RULES)} fields")
    return ContractRules(*[form.read(name, document[name]) for name, form in _RULES])


def _write_word(name: str, value: bytes) -> str:
    if len(value) != WORD_BYTES:
        raise RequestError("word-length", f"{name} has {len(value)} bytes; a word has 32")
    return value.hex()


def _read_word(name: str, value: Any) -> bytes:
    word = _unhex(name, value)
    if len(word) != WORD_BYTES or len(value) != 2 * WORD_BYTES:
        raise RequestError("word-length", f"{name} must be 64 hex digits, not {_shown(value)}")
    return word


def _read_bytes(name: str, value: Any) -> bytes:
    found = _unhex(name, value)
    if len(found) > WORD_BYTES:
        raise RequestError("word-length", f"{name} must be at most 64 hex digits")
    return found


def _unhex(name: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise RequestError("not-hex", f"{name} must be hex digits, not {_shown(value)}") from None


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise RequestError(
            "name-invalid", f"{name} must be 1 to 32 printable ASCII characters: {_shown(value)}"
        )
    return value


def _whole_below(limit: int) -> _Form:
    def check(name: str, value: Any) -> int:
        # `True` is an `int` to Python; a type check by identity leaves it out.
        if type(value) is not int or not 0 <= value < limit:
            raise RequestError(
                "number-range", f"{name} must be a whole number below {limit}: {_shown(value)}"
            )
        return value

    return _Form(check, check)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError("not-a-truth", f"{name} must be true or false, not {_shown(value)}")
    return value


def _model(name: str, value: Any) -> str:
    if value not in MODELS:
        raise RequestError("choice-unknown", f"{name} must be one of {MODELS}: {_shown(value)}")
    return str(value)


def _payout_label(name: str, value: Any) -> str:
    if value not in ("paid", "credited"):
        raise RequestError("choice-unknown", f"{name} must be paid or credited: {_shown(value)}")
    return str(value)


def _write_policy(_: str, value: Policy) -> dict[str, Any]:
    return value.document()


def _read_policy(_: str, value: Any) -> Policy:
    return policy.parse(value)


def _write_rules(_: str, value: ContractRules) -> dict[str, Any]:
    return encode_rules(value)


def _read_rules(name: str, value: Any) -> ContractRules:
    if not isinstance(value, Mapping):
        raise RequestError("request-malformed", f"{name} must be a table, not {_shown(value)}")
    return decode_rules(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_WORD = _Form(_write_word, _read_word)
_NAME = _Form(_name, _name)
_AMOUNT = _whole_below(AMOUNT_LIMIT)
# Times are added to periods; both stay far from the 63 bits of a stored time.
_TIME = _whole_below(TIME_MS_LIMIT >> 2)
_SHARE = _whole_below(BPS + 1)
_TRUTH = _Form(_truth, _truth)

_RULES: tuple[tuple[str, _Form], ...] = (
    ("contract_id", _WORD),
    ("surface", _WORD),
    ("owner", _WORD),
    ("operator", _WORD),
    ("verifier", _WORD),
    ("policy_hash", _WORD),
    ("attribution", _Form(_model, _model)),
    ("outcome", _NAME),
    ("repeatable", _TRUTH),
    ("unit_price_units", _AMOUNT),
    ("revenue_share_bps", _SHARE),
    ("budget_units", _AMOUNT),
    ("opens_at_ms", _TIME),
    ("deadline_ms", _TIME),
    ("attribution_window_ms", _TIME),
    ("holdback_period_ms", _TIME),
    ("statement_group", _Form(lambda _, value: value.hex(), _read_bytes)),
    ("statements_until_ms", _TIME),
)

_LEAD_FIELDS = (("surface", _WORD), ("lead", _WORD))
_COMMITTED = (("request_hash", _WORD), ("commitment", _WORD))
_REQUESTS: tuple[tuple[Callable[..., Request], str, tuple[tuple[str, _Form], ...]], ...] = (
    (decide.Genesis, "genesis", (("log_id", _WORD), ("publisher", _WORD))),
    (
        decide.RegisterOperator,
        "register_operator",
        (("operator", _WORD), ("level", _NAME), ("commitment", _WORD)),
    ),
    (
        decide.PublishPolicy,
        "publish_policy",
        (("surface", _WORD), ("owner", _WORD), ("policy", _Form(_write_policy, _read_policy))),
    ),
    (
        decide.Touch,
        "touch",
        (*_LEAD_FIELDS, ("operator", _WORD), ("action", _NAME), *_COMMITTED),
    ),
    (
        decide.ProductEvent,
        "product_event",
        (
            *_LEAD_FIELDS,
            ("event", _NAME),
            ("value_units", _AMOUNT),
            ("time_ms", _TIME),
            *_COMMITTED,
        ),
    ),
    (decide.Erasure, "erase", (*_LEAD_FIELDS, ("owner", _WORD))),
    (
        decide.OpenContract,
        "open_contract",
        (("rules", _Form(_write_rules, _read_rules)), ("transaction", _WORD)),
    ),
    (
        decide.CloseContract,
        "close_contract",
        (("contract_id", _WORD), ("closed_at_ms", _TIME), ("transaction", _WORD)),
    ),
    (
        decide.RecordPayout,
        "record_payout",
        (
            ("contract_id", _WORD),
            ("payee", _WORD),
            ("label", _Form(_payout_label, _payout_label)),
            ("gross_units", _AMOUNT),
            ("transaction", _WORD),
        ),
    ),
    (decide.Settle, "settle", ()),
)
_FIELDS_BY_TYPE: dict[Any, tuple[str, tuple[tuple[str, _Form], ...]]] = {
    make: (kind, fields) for make, kind, fields in _REQUESTS
}
_FIELDS_BY_KIND = {kind: (make, fields) for make, kind, fields in _REQUESTS}


# --- Openings -------------------------------------------------------------------------------------


def encode_opening(opening: Opening) -> bytes:
    """The ABI-encoded words that the entry's payload is the SHA-256 of: 160 or 64 bytes."""
    if isinstance(opening, TouchOpening):
        return opening.request_hash + opening.commitment
    from_state, nth, received_ms, request_hash, commitment_ = opening
    words = (nth.to_bytes(WORD_BYTES), received_ms.to_bytes(WORD_BYTES), request_hash, commitment_)
    return ascii_word(from_state) + b"".join(words)


def decode_opening(data: bytes) -> Opening:
    """The opening of such bytes. Raises LogError for another length."""
    words = [data[start : start + WORD_BYTES] for start in range(0, len(data), WORD_BYTES)]
    if len(data) == 2 * WORD_BYTES:
        return TouchOpening(*words)
    if len(data) != 5 * WORD_BYTES:
        raise LogError("opening-length", f"an opening has 64 or 160 bytes, not {len(data)}")
    from_state, nth, received_ms, request_hash, commitment_ = words
    return EventOpening(
        ascii_text(from_state),
        int.from_bytes(nth),
        int.from_bytes(received_ms),
        request_hash,
        commitment_,
    )


def opening_fits(entry: Entry, opening: bytes | None) -> bool:
    """Whether an entry's payload commits to this opening; most kinds have none to commit to."""
    if entry.kind not in _OPENED:
        return opening is None
    return (
        opening is not None
        and len(opening) == _OPENED[entry.kind] * WORD_BYTES
        and sha256(opening).digest() == entry.payload
    )


_OPENED = {"touch": 2, "lead.transition": 5, "lead.refused": 5, "product.event": 5}


# --- Leads ----------------------------------------------------------------------------------------


def encode_lead(lead: Lead) -> dict[str, Any]:
    """What the fold remembers of a lead, besides its surface and state, as a JSON object."""
    return {
        "visits": lead.visits,
        "trails": {
            operator.hex(): [trail.count, trail.latest, trail.touches]
            for operator, trail in lead.trails.items()
        },
        "counted": [contract_id.hex() for contract_id in lead.counted],
        "paid": [[paid.contract_id.hex(), *paid[1:]] for paid in lead.paid],
        "sweep_at": lead.sweep_at,
    }


def decode_lead(surface: bytes, state: str, document: Mapping[str, Any]) -> Lead:
    """The lead of such an object. Raises LogError if it is none."""
    try:
        return Lead(
            surface,
            state,
            visits=dict(document["visits"]),
            trails={
                bytes.fromhex(operator): TouchHistory(
                    [TouchAt(*touch) for touch in touches], count, latest
                )
                for operator, (count, latest, touches) in document["trails"].items()
            },
            counted=tuple(bytes.fromhex(contract_id) for contract_id in document["counted"]),
            paid=[PaidOutcome(bytes.fromhex(paid[0]), *paid[1:]) for paid in document["paid"]],
            sweep_at=document["sweep_at"],
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise LogError(
            "lead-malformed", f"a lead's document is not what was written: {error!r}"
        ) from None
