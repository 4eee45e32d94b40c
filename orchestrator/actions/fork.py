"""The report of a fork: two roots that a log's publisher has stated for one size."""

from typing import Any

from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import format_second
from orchestrator.core.deals.terms import checkpoint_digest
from orchestrator.core.log.entry import POSITION_LIMIT, WORD_BYTES


def checkpoint_from_json(document: Any) -> SignedCheckpoint:
    """Read a signed checkpoint as servers of a log give it, and ignore its other members.

    Raises InputError `checkpoint-malformed` for anything else.
    """
    try:
        size = document["size"]
        if type(size) is int and 0 < size < POSITION_LIMIT:
            return SignedCheckpoint(
                from_hex(document["log_id"], WORD_BYTES),
                size,
                from_hex(document["root"], WORD_BYTES),
                from_hex(document["signature"]),
            )
    except (LookupError, TypeError, ValueError, AttributeError):
        pass
    raise InputError(
        "checkpoint-malformed",
        "is no signed checkpoint: it needs log_id, size, root and signature, as a server's "
        "/v1/log/checkpoint has them",
    )


def plan_fork_report(
    chain: Chain, first: SignedCheckpoint, second: SignedCheckpoint | None
) -> Plan:
    """Plan to have a log marked as forked by two checkpoints of one size.

    Without the second one, the first is set against the anchored root of its size. Raises
    InputError for two that show no fork, EscrowError where the chain has nothing to mark.
    """
    log_id, size = first.log_id, first.size
    if second is None:
        anchored = chain.root_at(log_id, size)
        if anchored is None:
            raise InputError(
                "checkpoint-alone",
                f"nothing is anchored at size {size} of log {to_hex(log_id)}; give the other "
                f"signed checkpoint of that size, too",
            )
        second = SignedCheckpoint(log_id, size, anchored, b"")
    if (second.log_id, second.size) != (log_id, size):
        raise InputError(
            "checkpoints-differ",
            f"one checkpoint is of size {size} of log {to_hex(log_id)}, the other of size "
            f"{second.size} of log {to_hex(second.log_id)}; a fork is two roots of one size",
        )
    if first.root == second.root:
        raise InputError(
            "checkpoints-agree", f"both have the root {to_hex(first.root)}; that is no fork"
        )
    forked_at_s = chain.forked_at(log_id)
    if forked_at_s is not None:
        raise EscrowError(
            "log-forked",
            f"log {to_hex(log_id)} is marked as forked since {format_second(forked_at_s)}",
        )
    lines = [_source_of(chain, one) for one in (first, second)]
    transaction = PlannedTransaction(
        f"mark log {to_hex(log_id)} as forked",
        (
            *lines,
            (
                f"for ever: no checkpoint of it is anchored after this, so nothing behind its "
                f"first {chain.checkpoint(log_id).size:,} entries can be settled, claimed or "
                f"refuted"
            ),
            "what is anchored stays, and contracts are settled and refunded by it",
        ),
        chain.report_fork(first, second),
        (),
        {
            "log_id": to_hex(log_id),
            "size": size,
            "roots": [to_hex(first.root), to_hex(second.root)],
        },
    )
    return Plan.of(transaction)


def _source_of(chain: Chain, checkpoint: SignedCheckpoint) -> str:
    """Describe who has stated a root. Raises EscrowError for a root that counts for nothing."""
    log_id, size, root, signature = checkpoint
    if chain.root_at(log_id, size) == root:
        return f"root {to_hex(root)} of size {size} is anchored"
    digest = checkpoint_digest(chain.event_log_domain, log_id, size, root)
    for who, account in (
        ("publisher", chain.publisher_of(log_id)),
        ("publisher before", chain.previous_publisher_of(log_id)),
    ):
        if account is not None and chain.is_signed(account, digest, signature):
            return f"root {to_hex(root)} of size {size} is signed by the {who}, {account}"
    raise EscrowError(
        "checkpoint-unsigned",
        f"root {to_hex(root)} of size {size} is neither anchored nor signed by the publisher of "
        f"log {to_hex(log_id)} on this chain; after a hand-over an old signature counts for seven "
        f"days",
    )
