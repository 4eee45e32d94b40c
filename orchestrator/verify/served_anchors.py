"""The anchors of a log as a server lists them, each compared with what the chain holds."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.client.log_server import reading
from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.entry import WORD_BYTES


class ServedAnchor(NamedTuple):
    """An anchor as a server tells of it, with its place on chain."""

    size: int
    root: bytes
    transaction: bytes
    block_number: int
    time_s: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that the server gives."""
        told = {"root": to_hex(self.root), "transaction": to_hex(self.transaction)}
        return self._asdict() | told


def served_anchors(client: Client) -> Iterator[ServedAnchor]:
    """Yield all anchors. Raises ProofError for one that is no larger than the one before."""
    last = 0
    for item in client.pages("/v1/log/anchors", "anchors", limit=1000):
        with reading(client, "what its anchors are"):
            anchor = ServedAnchor(
                int(item["size"]),
                from_hex(item["root"], WORD_BYTES),
                from_hex(item["transaction"], WORD_BYTES),
                int(item["block_number"]),
                int(item["time_s"]),
            )
        if anchor.size <= last:
            raise ProofError(
                "anchors-unordered", f"the server lists size {anchor.size} after size {last}"
            )
        last = anchor.size
        yield anchor


def check_anchor(chain: Chain, log_id: bytes, anchor: ServedAnchor) -> None:
    """Raise ProofError unless the chain holds this root for this size."""
    root = chain.root_at(log_id, anchor.size)
    if root != anchor.root:
        held = "none" if root is None else to_hex(root)
        raise ProofError(
            "anchor-false",
            f"the server says that root {to_hex(anchor.root)} is anchored for size {anchor.size}; "
            f"the chain holds {held}",
        )
