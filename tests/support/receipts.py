"""Receipts as the API serves them, made from records."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import encode
from orchestrator.core.entries.receipt import FORMAT
from orchestrator.core.log.merkle import inclusion_proof, leaf_hash, node_hash, root_of
from orchestrator.core.log.opening import Record, opening_json
from tests.support.terms import PLAIN
from tests.support.worlds import word

ROLES = {
    "touch": "touch",
    "lead.transition": "transition",
    "outcome": "outcome",
    "settlement": "settlement",
}


def receipt_of(
    records: Sequence[Record], contract_id: bytes, outcome: str = "paid", signature: bytes = b""
) -> dict[str, Any]:
    """Return the receipt of the only outcome in a log, with its payout where there is one."""
    leaves = [leaf_hash(encode(record.entry)) for record in records]

    def read(level: int, position: int) -> bytes:
        nodes = leaves[position << level : (position + 1) << level]
        while len(nodes) > 1:
            nodes = [node_hash(*nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
        return nodes[0]

    roles = {**ROLES, "payout": "payout", "product.event": "event", "outcome.reversed": "reversal"}
    entries = []
    for position, (entry, opening) in enumerate(records):
        is_other = entry.kind == "lead.transition" and entry.label != outcome
        if entry.kind not in roles or is_other:
            continue
        path = inclusion_proof(position, len(leaves), read)
        entries.append(
            {
                "position": position,
                "entry": to_hex(encode(entry)),
                "opening": None if opening is None else opening_json(opening),
                "role": roles[entry.kind],
                "path": [to_hex(node) for node in path],
            }
        )
    return {
        "format": FORMAT,
        "position": next(item["position"] for item in entries if item["role"] == "outcome"),
        "log_id": to_hex(word("log")),
        "origin": "growth.example/log",
        "chain_id": 31337,
        "event_log": PLAIN.verifier,
        "escrow": PLAIN.payee,
        "contract_id": to_hex(contract_id),
        "checkpoint": {
            "size": len(leaves),
            "root": to_hex(root_of(leaves)),
            "signature": to_hex(signature),
        },
        "entries": entries,
        "pending": [],
    }
