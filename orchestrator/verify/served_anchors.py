"""The anchors of a log as a server lists them, each compared with what the chain holds."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.chain.abi import ChainEvent, Published
from orchestrator.chain.caller import FINAL
from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.client.http import Client
from orchestrator.client.log_server import reading
from orchestrator.core.common.errors import PendingError, ProofError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import HOUR_S, format_second
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.verify.log_replay import Told, say_nothing

# The time that a server may take to list an anchor whose block is final.
LAG_S = HOUR_S
# More UTC seconds than there are up to the year 6000.
_SECONDS = 1 << 37


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
                _second(item["time_s"]),
            )
        if anchor.size <= last:
            raise ProofError(
                "anchors-unordered", f"the server lists size {anchor.size} after size {last}"
            )
        last = anchor.size
        yield anchor


def _second(value: Any) -> int:
    """Return UTC seconds that have a date. Raises ValueError for others."""
    if not 0 <= int(value) < _SECONDS:
        raise ValueError(value)
    return int(value)


class CheckedAnchors(NamedTuple):
    """A server's list in which nothing is false or missing, and what of it was not checked.

    Where nothing is left unchecked, the chain has no other anchor in a final block.
    """

    anchors: list[ServedAnchor]
    not_checked: list[str]


def checked_anchors(
    client: Client, chain: Chain, log_id: bytes, told: Told = say_nothing
) -> CheckedAnchors:
    """Return a server's anchors, once they are those of the chain up to its last final block.

    Raises ProofError for one with another root, transaction, block or time, and for a list that
    lacks one; PendingError for a list that ends where the chain did until just now.
    """
    # The chain first: what is anchored in the meantime is then no lack of the list.
    final = chain.block(FINAL)
    newest = chain.checkpoint(log_id, final.number)
    published = {
        found.event.size: found
        for found in chain.published_of(log_id)
        if isinstance(found.event, Published)
    }
    anchors = list(served_anchors(client))
    not_checked = []
    for number, anchor in enumerate(anchors, 1):
        _check_root(chain, log_id, anchor)
        found = published.get(anchor.size)
        if found is None:
            not_checked.append(
                f"the transaction, block and time of size {anchor.size}: {chain.node.name} shows "
                f"no event of it"
            )
        else:
            _check_place(anchor, found)
        told(number, len(anchors))
    listed = {anchor.size for anchor in anchors}
    due = {size for size, found in published.items() if found.block_number <= final.number}
    missing = sorted((due | ({newest.size} - {0})) - listed)
    if missing:
        raise _missing(missing[0], newest, final.time_s)
    # No event of a log is older than its registration: who has forgotten any has forgotten that.
    if not_checked or (listed and chain.registration_of(log_id) is None):
        not_checked.append(
            f"that the list leaves none out: {chain.node.name} does not show all events of the log"
        )
    return CheckedAnchors(anchors, not_checked)


def _check_root(chain: Chain, log_id: bytes, anchor: ServedAnchor) -> None:
    """Raise ProofError unless the chain holds this root for this size."""
    root = chain.root_at(log_id, anchor.size)
    if root != anchor.root:
        held = "none" if root is None else to_hex(root)
        raise ProofError(
            "anchor-false",
            f"the server says that root {to_hex(anchor.root)} is anchored for size {anchor.size}; "
            f"the chain holds {held}",
        )


def _check_place(anchor: ServedAnchor, found: ChainEvent) -> None:
    """Raise ProofError unless the chain has the anchor in this transaction, block and second."""
    for what, said, held in (
        ("transaction", to_hex(anchor.transaction), to_hex(found.tx_hash)),
        ("block", anchor.block_number, found.block_number),
        ("time", format_second(anchor.time_s), format_second(found.time_s)),
    ):
        if said != held:
            raise ProofError(
                "anchor-place",
                f"the server says that the {what} of the anchor of size {anchor.size} is {said}; "
                f"by the chain it is {held}",
            )


def _missing(size: int, newest: Anchor, now_s: int) -> PendingError | ProofError:
    """Return the error for a list without the anchor of this size."""
    if size == newest.size and now_s - newest.published_at_s <= LAG_S:
        return PendingError(
            "anchor-pending",
            f"the chain holds an anchor of size {size} since {format_second(newest.published_at_s)}"
            f", which the server does not list yet; ask again later",
        )
    return ProofError(
        "anchor-missing",
        f"the server leaves out the anchor of size {size}; the chain holds anchors up to size "
        f"{newest.size}",
    )
