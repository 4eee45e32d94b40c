"""Receipts as the API serves them, made from records."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.core.entries.kinds import KINDS, ROLES, encode, kind_of
from orchestrator.core.entries.receipt import FORMAT
from orchestrator.core.log.merkle import inclusion_proof, leaf_hash, node_hash, root_of
from orchestrator.core.log.opening import Record, opening_json
from tests.support.terms import DOMAIN, LOG_DOMAIN
from tests.support.worlds import word

PUBLISHER_KEY = b"\5" * 32
ORIGIN = "growth.example/log"
PUBLISHER = address_of(PUBLISHER_KEY)
# The kinds of entries that have receipts.
KINDS_WITH_RECEIPTS = [kind.name for kind in KINDS.values() if kind.receipt is not None]


def receipt_of(
    records: Sequence[Record],
    contract_id: bytes,
    kind: str = "outcome",
    outcome: str = "paid",
) -> dict[str, Any]:
    """Return the receipt of a log's last entry of a kind, with the last entries of its roles.

    A transition is the last one into the state `outcome`. The publisher has signed the checkpoint.
    """
    leaves = [leaf_hash(encode(record.entry)) for record in records]

    def read(level: int, position: int) -> bytes:
        nodes = leaves[position << level : (position + 1) << level]
        while len(nodes) > 1:
            nodes = [node_hash(*nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
        return nodes[0]

    shape = KINDS[kind].receipt
    assert shape is not None
    places: dict[str, int] = {}
    for position, (entry, _) in enumerate(records):
        role = kind_of(entry).role
        is_other = role == "transition" and entry.label != outcome
        if role in (*shape.always, *shape.others) and not is_other:
            places[role] = position
    entries = []
    for role, position in sorted(places.items(), key=lambda item: item[1]):
        entry, opening = records[position]
        path = inclusion_proof(position, len(leaves), read)
        entries.append(
            {
                "position": position,
                "entry": to_hex(encode(entry)),
                "opening": None if opening is None else opening_json(opening),
                "role": role,
                "path": [to_hex(node) for node in path],
            }
        )
    size, root = len(leaves), root_of(leaves)
    digest = checkpoint_digest(LOG_DOMAIN, word("log"), size, root)
    return {
        "format": FORMAT,
        "position": places[KINDS[kind].role],
        "log_id": to_hex(word("log")),
        "origin": ORIGIN,
        "chain_id": 31337,
        "event_log": LOG_DOMAIN.verifying_contract,
        "escrow": DOMAIN.verifying_contract,
        "contract_id": to_hex(contract_id),
        "checkpoint": {
            "size": size,
            "root": to_hex(root),
            "signature": to_hex(sign_digest(digest, PUBLISHER_KEY)),
        },
        "entries": entries,
        "pending": [],
    }


def without(document: dict[str, Any], *roles: str) -> dict[str, Any]:
    """Return a receipt from which the entries with these roles were left out."""
    assert {*roles} <= {item["role"] for item in document["entries"]} <= ROLES.keys()
    kept = [item for item in document["entries"] if item["role"] not in roles]
    return {**document, "entries": kept}
