"""The entries, openings and payloads of tests/vectors/entries.json."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries import kinds
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import (
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
from orchestrator.core.log.opening import (
    ActOpening,
    AnswerOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    ReportedTouchOpening,
    TransitionOpening,
    TrustOpening,
    encode_opening,
    opening_json,
    payload_of,
)
from scripts.vectors.made_up import Json, address, word


def table() -> Json:
    """Return entries of every kind, openings, packed payloads, and bytes that are no entry."""
    return {
        "entries": [_entry(entry) for entry in _entries()],
        "invalid": [{"data": to_hex(data), "reason": reason} for reason, data in _no_entries()],
        "openings": [
            {
                "kind": kind,
                "opening": opening_json(opening),
                "payload": to_hex(payload_of(opening)),
                "words": to_hex(encode_opening(opening)),
            }
            for kind, opening in _openings()
        ],
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


def _openings() -> Iterator[tuple[str, Opening]]:
    """Yield openings by the kinds of their entries, in the order of `_entries`, then extremes."""
    asked = (word("touch request"), word("touch commitment"))
    reported = (word("event request"), word("event commitment"))
    order, none, at_ms = word("order"), ZERO_WORD, 1_760_000_060_000
    yield "trust.changed", TrustOpening("contract", 0, 0, 0, 0, 0, 0)
    yield "code.issued", CodeOpening(at_ms + 86_400_000, *asked)
    yield "action.requested", ActOpening(*asked, word("key"))
    yield "action.answered", AnswerOpening("bounced", reported[0])
    yield "touch", ActOpening(*asked)
    yield "touch.reported", ReportedTouchOpening(7, at_ms, *reported)
    yield "lead.transition", TransitionOpening("signed_up", 0, at_ms, order, *reported)
    yield "lead.refused", TransitionOpening("activated", 12, at_ms, none, *reported)
    yield "product.event", EventOpening(
        at_ms, order, 11, 0, 0, 4_990_000, whole=True, request_hash=reported[0],
        commitment=reported[1],
    )  # fmt: skip
    yield "product.event", EventOpening(
        at_ms, order, 11, 15, 1_000_000, 2_500_000, whole=False, request_hash=reported[0],
        commitment=reported[1],
    )  # fmt: skip
    yield "forecast.made", ActOpening(*asked, word("key"))
    yield "forecast.scored", ForecastOpening(2_500, word("salt"), 40, 10, 41, 11, 400, 99)
    yield "operator.suspended", ActOpening(*reported)
    yield "operator.restored", ActOpening(*reported, word("key"))
    top = b"\xff" * 32
    yield (
        "trust.changed",
        TrustOpening("~" * 32, 2**40 - 1, 2**40 - 1, *(2**80 - 1,) * 3, 2**40 - 1),
    )
    yield "lead.transition", TransitionOpening("~" * 32, 2**40 - 1, 2**53 - 1, top, top, top)
    yield "forecast.scored", ForecastOpening(2**40 - 1, top, *(2**40 - 1,) * 6)
    most = (2**53 - 1, top, 2**40 - 1, 2**40 - 1, 2**80 - 1, 2**80 - 1)
    yield "product.event", EventOpening(*most, whole=True, request_hash=top, commitment=top)


def _entries() -> Iterator[Entry]:
    """Yield an entry of every kind, in an order in which a log could hold them, then extremes."""
    owner, operator, verifier, payee = (
        address_word(address(name)) for name in ("owner", "operator", "verifier", "payee")
    )
    surface, lead, contract = word("surface"), word("lead"), word("contract")
    payloads: dict[str, bytes] = {}
    for kind, opening in _openings():
        payloads.setdefault(kind, payload_of(opening))
    none, transaction, price = ZERO_WORD, word("transaction"), 8_000_000
    paid, unpaid = pack_outcome(11, 10, 0, 1, price), pack_outcome(11, 10, 0, 0, 0)
    reversal = pack_reversal(12, 15, 0, 1, price)
    statement = pack_settlement(price, price, 12, 16)
    publisher = address_word(address("publisher"))
    rows = [
        ("genesis", none, publisher, word("log"), "tallystick/1", 0, none),
        ("operator.registered", none, operator, operator, "", 0, word("operator")),
        ("policy.published", surface, owner, word("policy"), "v1", 1, none),
        ("settings.published", surface, owner, word("settings"), "v1", 1, none),
        ("contract.opened", surface, owner, contract, "activated", 400_000_000, transaction),
        ("trust.changed", surface, none, operator, "1", 4, payloads["trust.changed"]),
        ("lead.registered", surface, owner, lead, "signed_up", 0, none),
        ("code.issued", surface, operator, word("code"), "click", 100, payloads["code.issued"]),
        ("action.requested", surface, operator, lead, "call", 1_760_000_900_000,
         payloads["action.requested"]),
        ("action.answered", surface, owner, lead, "failed", 8, payloads["action.answered"]),
        ("touch", surface, operator, lead, "email.send", 0, payloads["touch"]),
        ("code.ended", surface, operator, word("code"), "leaked", 3, none),
        ("touch.reported", surface, operator, lead, "click", 10, payloads["touch.reported"]),
        ("lead.transition", surface, owner, lead, "activated", 4_990_000,
         payloads["lead.transition"]),
        ("outcome", surface, contract, lead, "activated", price, paid),
        ("lead.refused", surface, owner, lead, "paid", 0, payloads["lead.refused"]),
        ("outcome.over", surface, contract, lead, "activated", price, unpaid),
        ("product.event", surface, owner, lead, "refund", 4_990_000, payloads["product.event"]),
        ("outcome.reversed", surface, contract, lead, "activated", price, reversal),
        ("settlement", surface, verifier, contract, "activated", 0, statement),
        ("dispute.opened", surface, owner, contract, "owner", price, transaction),
        ("dispute.ruled", surface, word("arbiter"), contract, "kept", price, transaction),
        ("payout", surface, payee, contract, "paid", price, transaction),
        ("forecast.made", surface, operator, ascii_word("visitor"), "signed_up", 7,
         payloads["forecast.made"]),
        ("forecast.scored", surface, none, operator, "signed_up", 19,
         payloads["forecast.scored"]),
        ("operator.suspended", surface, owner, operator, "complaints", 0,
         payloads["operator.suspended"]),
        ("operator.restored", surface, owner, operator, "resolved", 0,
         payloads["operator.restored"]),
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
