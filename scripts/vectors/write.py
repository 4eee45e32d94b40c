"""Writes tests/vectors/: what Python and Solidity must agree on, read by pytest and by forge alike.

`.venv/bin/python scripts/vectors/write.py` writes the files; with --check it only compares.

Every list holds objects of one shape with their keys in alphabetical order, so that forge decodes
it in one go into an array of structs with the same fields. Words are 0x and 64 hex digits, other
bytes hex of their own length, amounts words (forge takes decimal text for a number or for text by
its size), all other integers JSON numbers. Terms stand in the form of `Terms.to_json`.
`reason` is the code of the error in orchestrator/core/errors.py.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from orchestrator.core import entry as codec
from orchestrator.core import kinds, merkle
from orchestrator.core import terms as deal
from orchestrator.core.entry import ZERO_ADDRESS, Entry
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.opening import EventOpening, TouchOpening, payload_of
from orchestrator.core.terms import Domain, Terms
from orchestrator.core.units import DAY_S
from scripts.vectors import evidence as evidence_vectors

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "vectors"
Json = dict[str, Any]


def files() -> dict[str, str]:
    """The text of every file by its name."""
    tables = {
        "entries": entries(),
        "evidence": evidence_vectors.table(),
        "merkle": trees(),
        "signatures": signatures(),
    }
    return {
        f"{name}.json": json.dumps(table, indent=1, sort_keys=True) + "\n"
        for name, table in tables.items()
    }


def stale() -> list[str]:
    """Names of the files that are missing or differ from what this script would write."""
    return [
        name
        for name, text in files().items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text
    ]


def _hexes(values: list[bytes]) -> list[str]:
    return [to_hex(value) for value in values]


def _word(name: str) -> bytes:
    """A fixed word that looks random."""
    return keccak(f"tallystick vectors: {name}".encode())


def _key(name: str) -> bytes:
    """A private key for tests. Anyone can compute it: it must never hold anything."""
    return _word(f"key of {name}")


def _address(name: str) -> str:
    return PrivateKey(_key(name)).public_key.to_checksum_address()


# --- entries.json ---------------------------------------------------------------------------------


def entries() -> Json:
    """Entries of every kind, openings, packed payloads, and bytes that are no entry."""
    return {
        "entries": [_entry(entry) for entry in _entries()],
        "event_openings": [
            {
                "commitment": to_hex(opening.commitment),
                "from_state": opening.from_state,
                "from_state_word": to_hex(codec.ascii_word(opening.from_state)),
                "nth": opening.nth,
                "payload": to_hex(payload_of(opening)),
                "received_ms": opening.received_ms,
                "request_hash": to_hex(opening.request_hash),
            }
            for opening in _event_openings()
        ],
        "invalid": [{"data": to_hex(data), "reason": reason} for reason, data in _no_entries()],
        "outcome_payloads": [
            _packed(facts, codec.pack_outcome(*facts))
            for facts in (
                codec.OutcomeFacts(41, 17, 23, 3, 24_000_000),
                codec.OutcomeFacts(*(2**40 - 1,) * 4, 2**80 - 1),
                codec.OutcomeFacts(41, 17, 0, 0, 0),
            )
        ],
        "reversal_payloads": [
            _packed(facts, codec.pack_reversal(*facts))
            for facts in (
                codec.ReversalFacts(42, 51, 0, 1, 8_000_000),
                codec.ReversalFacts(*(2**40 - 1,) * 4, 2**80 - 1),
            )
        ],
        "settlement_payloads": [
            _packed(facts, codec.pack_settlement(*facts))
            for facts in (
                codec.SettlementFacts(24_000_000, 8_000_000, 42, 52),
                codec.SettlementFacts(*(2**80 - 1,) * 2, *(2**48 - 1,) * 2),
            )
        ],
        "touch_openings": [
            {
                "commitment": to_hex(opening.commitment),
                "payload": to_hex(payload_of(opening)),
                "request_hash": to_hex(opening.request_hash),
            }
            for opening in [TouchOpening(_word("touch request"), _word("touch commitment"))]
        ],
    }


def _entry(entry: Entry) -> Json:
    data = kinds.encode(entry)
    return {
        "actor": to_hex(entry.actor),
        "data": to_hex(data),
        "kind": entry.kind,
        "kind_word": to_hex(codec.ascii_word(entry.kind)),
        "label": entry.label,
        "label_word": to_hex(codec.ascii_word(entry.label)),
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
    request_hash, commitment = _word("event request"), _word("event commitment")
    return [
        EventOpening("signed_up", 1, 1_760_000_060_000, request_hash, commitment),
        EventOpening("", 0, 1_760_000_070_000, request_hash, commitment),
    ]


def _entries() -> Iterator[Entry]:
    """One entry of every kind, in an order in which a log could hold them, then extremes."""
    owner, operator, verifier, payee = (
        codec.address_word(_address(name)) for name in ("owner", "operator", "verifier", "payee")
    )
    surface, lead, contract = _word("surface"), _word("lead"), _word("contract")
    transition, event = map(payload_of, _event_openings())
    touch = payload_of(TouchOpening(_word("touch request"), _word("touch commitment")))
    none, transaction, price = codec.ZERO_WORD, _word("transaction"), 8_000_000
    paid, unpaid = codec.pack_outcome(6, 5, 0, 1, price), codec.pack_outcome(6, 5, 0, 0, 0)
    reversal = codec.pack_reversal(7, 11, 0, 1, price)
    statement = codec.pack_settlement(price, price, 7, 12)
    publisher = codec.address_word(_address("publisher"))
    rows = [
        ("genesis", none, publisher, _word("log"), "tallystick/1", 0, none),
        ("operator.registered", none, operator, operator, "0", 0, _word("operator")),
        ("policy.published", surface, owner, _word("policy"), "v1", 1, none),
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


# --- merkle.json ----------------------------------------------------------------------------------

LEAVES = 33
LARGEST = 2**40 - 1


def trees() -> Json:
    """Roots and proofs.

    The leaf at index i has `leaf_data[i]`; in `uniform_*` every leaf has `leaf_data[0]`. An invalid
    inclusion shows the data of leaf `shown`, an invalid run that of [shown_first, shown_first +
    shown_count), for what the other fields claim.
    """
    data = [kinds.encode(_leaf(i)) for i in range(LEAVES)]
    hashes = [merkle.leaf_hash(leaf) for leaf in data]
    return {
        "consistency": [_consistency(hashes, *sizes) for sizes in _growths()],
        "inclusion": [_inclusion(hashes, *place) for place in _places()],
        "invalid_consistency": [case | {"reason": why} for why, case in _no_consistency(hashes)],
        "invalid_inclusion": [case | {"reason": why} for why, case in _no_inclusion(hashes)],
        "invalid_runs": [case | {"reason": why} for why, case in _no_run(hashes)],
        "leaf_data": _hexes(data),
        "leaf_hashes": _hexes(hashes),
        "roots": [to_hex(merkle.root_of(hashes[:size])) for size in range(LEAVES + 1)],
        "runs": [_run(hashes, *run) for run in _runs()],
        "uniform_consistency": [
            {
                "new_root": to_hex(_uniform_root(hashes[0], new)),
                "new_size": new,
                "old_root": to_hex(_uniform_root(hashes[0], old)),
                "old_size": old,
                "proof": _hexes(merkle.consistency_proof(old, new, _uniform(hashes[0]))),
            }
            for old, new in ((1, LARGEST), (2**39 + 1, LARGEST), (LARGEST - 1, LARGEST))
        ],
        "uniform_runs": [
            {
                "count": count,
                "first": first,
                "proof": _hexes(merkle.run_proof(first, count, size, _uniform(hashes[0]))),
                "root": to_hex(_uniform_root(hashes[0], size)),
                "size": size,
            }
            for first, count, size in (
                (0, 1, LARGEST),
                (LARGEST - 1, 1, LARGEST),
                (2**39 - 3, 7, LARGEST),
                (2**32 - 1, 2, 2**39 + 2**32),
            )
        ],
    }


def _leaf(i: int) -> Entry:
    operator, lead = codec.address_word(_address("operator")), _word(f"lead {i}")
    payload = payload_of(TouchOpening(_word(f"request {i}"), _word(f"commitment {i}")))
    time_ms = 1_760_000_000_000 + i
    return Entry("touch", _word("surface"), operator, lead, "email.send", 0, time_ms, payload)


def _edges(size: int) -> list[int]:
    return sorted({0, 1, size // 2, size - 2, size - 1} & set(range(size)))


def _places() -> Iterator[tuple[int, int]]:
    for size in (*range(1, 10), 15, 16, 17, 31, 32, 33):
        for index in range(size) if size < 10 else _edges(size):
            yield index, size


def _growths() -> Iterator[tuple[int, int]]:
    for new in (*range(1, 10), 15, 16, 17, 31, 32, 33):
        for old in range(new) if new < 10 else (0, *(edge + 1 for edge in _edges(new - 1))):
            yield old, new


def _runs() -> Iterator[tuple[int, int, int]]:
    for size in range(1, 9):
        for first in range(size):
            for count in range(1, size - first + 1):
                yield first, count, size
    for size in (15, 16, 17, 31, 32, 33):
        for first in _edges(size):
            for count in sorted({1, 2, 3, size // 2, size - first - 1, size - first}):
                if 0 < count <= size - first:
                    yield first, count, size


def _reader(hashes: list[bytes]) -> merkle.Reader:
    return lambda level, position: merkle.root_of(
        hashes[position << level : (position + 1) << level]
    )


def _inclusion(hashes: list[bytes], index: int, size: int) -> Json:
    return {
        "index": index,
        "proof": _hexes(merkle.inclusion_proof(index, size, _reader(hashes))),
        "root": to_hex(merkle.root_of(hashes[:size])),
        "size": size,
    }


def _run(hashes: list[bytes], first: int, count: int, size: int) -> Json:
    return {
        "count": count,
        "first": first,
        "proof": _hexes(merkle.run_proof(first, count, size, _reader(hashes))),
        "root": to_hex(merkle.root_of(hashes[:size])),
        "size": size,
    }


def _consistency(hashes: list[bytes], old: int, new: int) -> Json:
    return {
        "new_root": to_hex(merkle.root_of(hashes[:new])),
        "new_size": new,
        "old_root": to_hex(merkle.root_of(hashes[:old])),
        "old_size": old,
        "proof": _hexes(merkle.consistency_proof(old, new, _reader(hashes))),
    }


def _perfect(leaf: bytes) -> list[bytes]:
    """By level, the roots of perfect subtrees all of whose leaves have this hash."""
    roots = [leaf]
    while len(roots) < 40:
        roots.append(merkle.node_hash(roots[-1], roots[-1]))
    return roots


def _uniform(leaf: bytes) -> merkle.Reader:
    perfect = _perfect(leaf)
    return lambda level, _: perfect[level]


def _uniform_root(leaf: bytes, size: int) -> bytes:
    nodes = [root for level, root in enumerate(_perfect(leaf)) if size >> level & 1]
    return merkle.CompactRange(size, nodes[::-1]).root()


def _swapped(proof: list[str]) -> list[str]:
    return [proof[1], proof[0], *proof[2:]]


def _no_inclusion(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _inclusion(hashes, 5, 13) | {"shown": 5}
    proof, other = good["proof"], to_hex(_word("other"))
    yield "root-mismatch", good | {"shown": 6}
    yield "root-mismatch", good | {"index": 4}
    yield "root-mismatch", good | {"index": 6, "shown": 6}
    yield "root-mismatch", good | {"root": other}
    yield "root-mismatch", good | {"root": to_hex(merkle.root_of(hashes[:12]))}
    yield "root-mismatch", good | {"proof": [*proof[:-1], other]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-short", good | {"size": 17}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "proof-too-long", good | {"size": 8}
    yield "proof-too-long", good | {"index": 12, "shown": 12}
    yield "run-range", good | {"index": 13}
    yield "run-range", good | {"index": LARGEST}
    yield "run-range", good | {"size": 0}
    yield "run-range", good | {"size": 5}
    yield "size-range", good | {"size": LARGEST + 1}
    single = _inclusion(hashes, 0, 1) | {"shown": 0}
    yield "proof-too-long", single | {"proof": [other]}
    yield "root-mismatch", single | {"shown": 1}


def _no_run(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _run(hashes, 5, 6, 13)
    del good["count"]
    good |= {"shown_count": 6, "shown_first": 5}
    proof, other = good["proof"], to_hex(_word("other"))
    yield "root-mismatch", good | {"shown_first": 6}
    yield "root-mismatch", good | {"root": other}
    yield "root-mismatch", good | {"proof": [other, *proof[1:]]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "root-mismatch", good | {"shown_count": 5}
    yield "proof-too-long", good | {"first": 4, "shown_first": 4, "shown_count": 7}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "run-empty", good | {"shown_count": 0}
    yield "run-range", good | {"first": 8}
    yield "run-range", good | {"first": 13}
    yield "run-range", good | {"first": LARGEST}
    yield "run-range", good | {"size": 0}
    yield "size-range", good | {"size": LARGEST + 1}
    whole = _run(hashes, 0, 13, 13)
    del whole["count"]
    whole |= {"shown_count": 13, "shown_first": 0}
    yield "root-mismatch", whole | {"shown_first": 1}
    yield "proof-too-long", whole | {"proof": [other]}
    yield "run-range", whole | {"shown_count": 14}


def _no_consistency(hashes: list[bytes]) -> Iterator[tuple[str, Json]]:
    good = _consistency(hashes, 6, 13)
    proof, other = good["proof"], to_hex(_word("other"))
    rewritten = [hashes[0], _word("other"), *hashes[2:]]
    yield "root-mismatch", good | {"old_root": other}
    yield "root-mismatch", good | {"new_root": other}
    yield "root-mismatch", good | {"old_root": good["new_root"], "new_root": good["old_root"]}
    yield "root-mismatch", good | {"proof": [other, *proof[1:]]}
    yield "root-mismatch", good | {"proof": [*proof[:-1], other]}
    yield "root-mismatch", good | {"proof": _swapped(proof)}
    yield "root-mismatch", _consistency(rewritten, 6, 13) | {"old_root": good["old_root"]}
    yield "proof-too-short", good | {"old_size": 7}
    yield "proof-too-short", good | {"proof": []}
    yield "proof-too-short", good | {"proof": proof[:-1]}
    yield "proof-too-long", good | {"proof": [*proof, other]}
    yield "proof-too-long", good | {"old_size": 8}
    yield "size-shrinks", good | {"old_size": 14}
    yield "size-range", good | {"new_size": LARGEST + 1}
    perfect = _consistency(hashes, 8, 9)
    yield "root-mismatch", perfect | {"old_root": other}
    yield "root-mismatch", perfect | {"new_root": other}
    yield "proof-too-long", perfect | {"proof": [perfect["old_root"], *perfect["proof"]]}
    first = _consistency(hashes, 0, 13)
    yield "proof-too-long", first | {"proof": [first["new_root"]]}


# --- signatures.json ------------------------------------------------------------------------------

ESCROW = Domain("Tallystick OutcomeEscrow", "1", 31337, _address("escrow"))
EVENT_LOG = Domain("Tallystick EventLog", "1", 31337, _address("event log"))
SIGNERS = ("owner", "operator", "verifier", "publisher")


def signatures() -> Json:
    """Digests in fixed domains and signatures by the keys of `signers`."""
    escrow, event_log = _separator(ESCROW), _separator(EVENT_LOG)
    log_id, size, root, first, count = _word("log"), 1_234_567, _word("root"), 1_234_500, 60
    verified = _struct(
        deal.VERIFIED_TYPE,
        ["bytes32", "uint64", "bytes32", "uint64", "uint64"],
        [log_id, size, root, first, count],
    )
    checkpoint = _struct(
        deal.CHECKPOINT_TYPE, ["bytes32", "uint64", "bytes32"], [log_id, size, root]
    )
    place = {"log_id": to_hex(log_id), "root": to_hex(root), "size": size}
    contract, payable, expires_at_s = _word("contract"), 2**80 - 3, 1_901_300_000
    close = _struct(
        deal.CLOSE_TYPE, ["bytes32", "uint256", "uint64"], [contract, payable, expires_at_s]
    )
    return {
        "checkpoint": place | _signed(event_log, checkpoint, deal.CHECKPOINT_TYPE, "publisher"),
        "close": {
            "contract_id": to_hex(contract),
            "expires_at": expires_at_s,
            "payable_amount": to_hex(payable.to_bytes(32)),
        }
        | _signed(escrow, close, deal.CLOSE_TYPE, "operator"),
        "escrow_domain": _domain(ESCROW),
        "event_log_domain": _domain(EVENT_LOG),
        "invalid_signatures": [
            {"digest": to_hex(digest), "reason": reason, "signature": to_hex(signature)}
            for reason, digest, signature in _no_signatures()
        ],
        "signers": [
            {"address": _address(name), "name": name, "private_key": to_hex(_key(name))}
            for name in SIGNERS
        ],
        "terms": [_terms(name, terms, escrow) for name, terms in _deals().items()],
        "verified": place
        | {"count": count, "first": first}
        | _signed(escrow, verified, deal.VERIFIED_TYPE, "verifier"),
    }


def _deals() -> dict[str, Terms]:
    """Terms in which no two fields are alike, and terms that settle at once."""
    full = Terms(
        owner=_address("owner"),
        operator=_address("operator"),
        payee=_address("payee"),
        token=_address("token"),
        verifier=_address("verifier"),
        arbiter=_address("arbiter"),
        log_id=_word("log"),
        surface=_word("surface"),
        policy=_word("policy"),
        attribution="last_touch",
        outcome="activated",
        repeatable=True,
        exclusive=False,
        unit_price_units=8_000_001,
        revenue_share_bps=1_250,
        budget_units=2**80 - 2,
        opens_at_s=1_900_000_000,
        deadline_s=1_901_209_600,
        attribution_window_s=604_800,
        lateness_s=DAY_S,
        grace_s=777_600,
        claim_period_s=950_400,
        challenge_period_s=172_800,
        arbitration_period_s=432_000,
        holdback_bps=2_000,
        holdback_period_s=1_296_000,
        rate_cap_units=50_000_003,
        rate_period_s=86_401,
        fee_bps=250,
        fee_recipient=_address("fee recipient"),
        agent_id_plus_one=2**256 - 4,
        salt=_word("salt"),
    )
    plain = replace(
        full,
        arbiter=ZERO_ADDRESS,
        attribution="first_touch",
        repeatable=False,
        exclusive=True,
        unit_price_units=8_000_000,
        revenue_share_bps=0,
        budget_units=400_000_000,
        claim_period_s=0,
        challenge_period_s=0,
        arbitration_period_s=0,
        holdback_bps=0,
        holdback_period_s=0,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=0,
        fee_recipient=ZERO_ADDRESS,
        agent_id_plus_one=0,
    )
    return {"full": full, "plain": plain}


def _terms(name: str, terms: Terms, separator: bytes) -> Json:
    types = deal.TERMS_TYPE.removeprefix("Terms(").removesuffix(")").split(",")
    abi_types = [member.split(" ")[0] for member in types]
    struct_hash = _struct(deal.TERMS_TYPE, abi_types, list(terms.to_abi()))
    signed = _signed(separator, struct_hash, deal.TERMS_TYPE, "owner")
    digest = bytes.fromhex(signed["digest"][2:])
    signed["owner_signature"] = signed.pop("signature")
    signed["operator_signature"] = to_hex(deal.sign_digest(digest, _key("operator")))
    return signed | {
        "abi": to_hex(abi_encode(abi_types, list(terms.to_abi()))),
        "name": name,
        "terms": terms.to_json(),
    }


def _struct(encoded_type: str, abi_types: list[str], values: list[Any]) -> bytes:
    """An EIP-712 struct hash by way of an ABI encoder, which core/terms.py does without."""
    return keccak(abi_encode(["bytes32", *abi_types], [keccak(encoded_type.encode()), *values]))


def _separator(domain: Domain) -> bytes:
    name, version = (keccak(text.encode()) for text in (domain.name, domain.version))
    return _struct(
        deal.DOMAIN_TYPE,
        ["bytes32", "bytes32", "uint256", "address"],
        [name, version, domain.chain_id, domain.verifying_contract],
    )


def _domain(domain: Domain) -> Json:
    return {"separator": to_hex(_separator(domain)), **domain._asdict()}


def _signed(separator: bytes, struct_hash: bytes, encoded_type: str, signer: str) -> Json:
    digest = keccak(b"\x19\x01" + separator + struct_hash)
    return {
        "digest": to_hex(digest),
        "signature": to_hex(deal.sign_digest(digest, _key(signer))),
        "struct_hash": to_hex(struct_hash),
        "type": encoded_type,
        "type_hash": to_hex(keccak(encoded_type.encode())),
    }


def _no_signatures() -> Iterator[tuple[str, bytes, bytes]]:
    """By the owner of a digest, but none that the chain takes."""
    digest = _word("digest")
    good = deal.sign_digest(digest, _key("owner"))
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    high_s = r + (SECPK1_N - s).to_bytes(32) + bytes([55 - v])
    yield "signature-high-s", digest, high_s
    yield "signature-v", digest, good[:64] + bytes([v - 27])
    yield "signature-v", digest, good[:64] + bytes([29])
    yield "signature-length", digest, b""
    yield "signature-length", digest, good[:64]
    yield "signature-length", digest, good + b"\0"
    # The 64-byte form of EIP-2098.
    yield "signature-length", digest, r + (s | (v - 27) << 255).to_bytes(32)
    yield "signature-range", digest, bytes(32) + good[32:]
    yield "signature-range", digest, r + bytes(32) + good[64:]
    yield "signature-range", digest, SECPK1_N.to_bytes(32) + good[32:]
    # No point of the curve has this x coordinate.
    yield "signature-invalid", digest, (5).to_bytes(32) + good[32:]


def main() -> int:
    if "--check" in sys.argv[1:]:
        differing = stale()
        for name in differing:
            print(f"tests/vectors/{name} is stale: run scripts/vectors/write.py")
        return 1 if differing else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
