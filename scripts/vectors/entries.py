"""The entries, openings and payloads of tests/vectors/entries.json."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core import kinds, merkle
from orchestrator.core.entry import (
    ZERO_WORD,
    Entry,
    OutcomeFacts,
    ReversalFacts,
    SettlementFacts,
    address_word,
    ascii_word,
    pack_outcome,
    pack_reversal,
    pack_settlement,
)
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.opening import EventOpening, TouchOpening, payload_of
from scripts.vectors.made_up import Json, address, word


def table() -> Json:
    """Return entries of every kind, openings, packed payloads, and bytes that are no entry."""
    return {
        "entries": [_entry(entry) for entry in _entries()],
        "event_openings": [
            {
                "commitment": to_hex(opening.commitment),
                "from_state": opening.from_state,
                "from_state_word": to_hex(ascii_word(opening.from_state)),
                "nth": opening.nth,
                "payload": to_hex(payload_of(opening)),
                "received_ms": opening.received_ms,
                "request_hash": to_hex(opening.request_hash),
            }
            for opening in _event_openings()
        ],
        "invalid": [{"data": to_hex(data), "reason": reason} for reason, data in _no_entries()],
        "outcome_payloads": [
            _packed(facts, pack_outcome(*facts))
            for facts in (
                OutcomeFacts(41, 17, 23, 3, 24_000_000),
                OutcomeFacts(*(2**40 - 1,) * 4, 2**80 - 1),
                OutcomeFacts(41, 17, 0, 0, 0),
            )
        ],
        "reversal_payloads": [
            _packed(facts, pack_reversal(*facts))
            for facts in (
                ReversalFacts(42, 51, 0, 1, 8_000_000),
                ReversalFacts(*(2**40 - 1,) * 4, 2**80 - 1),
            )
        ],
        "settlement_payloads": [
            _packed(facts, pack_settlement(*facts))
            for facts in (
                SettlementFacts(24_000_000, 8_000_000, 42, 52),
                SettlementFacts(*(2**80 - 1,) * 2, *(2**48 - 1,) * 2),
            )
        ],
        "touch_openings": [
            {
                "commitment": to_hex(opening.commitment),
                "payload": to_hex(payload_of(opening)),
                "request_hash": to_hex(opening.request_hash),
            }
            for opening in [TouchOpening(word("touch request"), word("touch commitment"))]
        ],
    }


def _entry(entry: Entry) -> Json:
    data = kinds.encode(entry)
    return {
        "actor": to_hex(entry.actor),
        "data": to_hex(data),
        "kind": entry.kind,
        "kind_word": to_hex(ascii_word(entry.kind)),
        "label": entry.label,
        "label_word": to_hex(ascii_word(entry.label)),
        "leaf_hash": to_hex(merkle.leaf_hash(data)),
        "payload": to_hex(entry.payload),
        "subject": to_hex(entry.subject),
        "surface": to_hex(entry.surface),
        "time_ms": entry.time_ms,
        "value": to_hex(entry.value.to_bytes(32)),
    }


def _packed(facts: Any, payload: bytes) -> Json:
    amounts = {"earned", "earned_after", "reversed", "reversed_after"}
    values = {
        name: to_hex(value.to_bytes(32)) if name in amounts else value
        for name, value in facts._asdict().items()
    }
    return values | {"payload": to_hex(payload)}


def _event_openings() -> list[EventOpening]:
    request_hash, commitment = word("event request"), word("event commitment")
    return [
        EventOpening("signed_up", 1, 1_760_000_060_000, request_hash, commitment),
        EventOpening("", 0, 1_760_000_070_000, request_hash, commitment),
    ]


def _entries() -> Iterator[Entry]:
    """Yield an entry of every kind, in an order in which a log could hold them, then extremes."""
    owner, operator, verifier, payee = (
        address_word(address(name)) for name in ("owner", "operator", "verifier", "payee")
    )
    surface, lead, contract = word("surface"), word("lead"), word("contract")
    transition, event = map(payload_of, _event_openings())
    touch = payload_of(TouchOpening(word("touch request"), word("touch commitment")))
    none, transaction, price = ZERO_WORD, word("transaction"), 8_000_000
    paid, unpaid = pack_outcome(6, 5, 0, 1, price), pack_outcome(6, 5, 0, 0, 0)
    reversal = pack_reversal(7, 11, 0, 1, price)
    statement = pack_settlement(price, price, 7, 12)
    publisher = address_word(address("publisher"))
    rows = [
        ("genesis", none, publisher, word("log"), "tallystick/1", 0, none),
        ("operator.registered", none, operator, operator, "0", 0, word("operator")),
        ("policy.published", surface, owner, word("policy"), "v1", 1, none),
        ("contract.opened", surface, owner, contract, "activated", 400_000_000, transaction),
        ("lead.registered", surface, owner, lead, "signed_up", 0, none),
        ("touch", surface, operator, lead, "email.send", 0, touch),
        ("lead.transition", surface, owner, lead, "activated", 4_990_000, transition),
        ("outcome", surface, contract, lead, "activated", price, paid),
        ("lead.refused", surface, owner, lead, "paid", 0, transition),
        ("outcome.over", surface, contract, lead, "activated", price, unpaid),
        ("product.event", surface, owner, lead, "refund", 4_990_000, event),
        ("outcome.reversed", surface, contract, lead, "activated", price, reversal),
        ("settlement", surface, verifier, contract, "activated", 0, statement),
        ("payout", surface, payee, contract, "paid", price, transaction),
        ("erasure", surface, owner, lead, "", 0, none),
        ("contract.closed", surface, owner, contract, "activated", 0, transaction),
    ]  # fmt: skip
    for i, (kind, place, actor, subject, label, value, payload) in enumerate(rows):
        time_ms = 1_760_000_000_000 + 1000 * i
        yield Entry(kind, place, actor, subject, label, value, time_ms, payload)
    top = b"\xff" * 32
    yield Entry("touch", top, top, top, "~" * 32, 2**256 - 1, 2**53 - 1, top)
    yield Entry("touch", none, none, none, "", 0, 0, none)


def _no_entries() -> Iterator[tuple[str, bytes]]:
    data = kinds.encode(next(_entries()))

    def with_word(at: int, word: bytes) -> bytes:
        return data[: 32 * at] + word + data[32 * (at + 1) :]

    yield "entry-length", b""
    yield "entry-length", data[:-1]
    yield "entry-length", data + b"\0"
    yield "kind-unknown", with_word(0, bytes(32))
    yield "kind-unknown", with_word(0, b"genesis\0\0x".ljust(32, b"\0"))
    yield "kind-unknown", with_word(0, b"genesis".rjust(32, b"\0"))
    yield "kind-unknown", with_word(0, b"trust.raised".ljust(32, b"\0"))
    yield "label-not-ascii", with_word(4, b"a\0b".ljust(32, b"\0"))
    yield "label-not-ascii", with_word(4, b"\xe9".ljust(32, b"\0"))
    yield "time-range", with_word(6, (2**63).to_bytes(32))
