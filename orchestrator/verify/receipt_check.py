"""TODO."""

from collections.abc import Iterator

from orchestrator.chain.deployment import Chain
from orchestrator.core import receipt as receipts
from orchestrator.core.entry import (
    address_word,
)
from orchestrator.core.errors import ProofError
from orchestrator.core.receipt import Receipt
from orchestrator.core.site import Addresses
from orchestrator.core.terms import checkpoint_digest, recover


def check_receipt(document: object, chain: Chain | None) -> list[str]:
    """Check a receipt, with the chain where there is one; returns what was shown, line by line.

    Raises `ProofError` at the first thing that is false.
    """
    receipt = receipts.parse(document)
    receipts.check(receipt)
    tree = f"the tree of size {receipt.size} with root 0x{receipt.root.hex()}"
    shown = [
        f"{len(receipt.entries)} entries stand in {tree}",
        "they tell one story: " + ", ".join(_told(receipt)),
    ]
    if chain is None:
        return [*shown, "not checked: that this root is the log's own; give --rpc to ask the chain"]
    return [*shown, *_check_on_chain(receipt, chain)]


def receipt_chain(document: object, rpc_url: str) -> Chain:
    """The chain that a receipt names, checked to hold our contracts."""
    receipt = receipts.parse(document)
    chain = Chain(rpc_url, Addresses(receipt.chain_id, receipt.event_log, receipt.escrow))
    try:
        chain.check()
    except BaseException:
        chain.close()
        raise
    return chain


def _check_on_chain(receipt: Receipt, chain: Chain) -> Iterator[str]:
    root = chain.root_at(receipt.log_id, receipt.size)
    if root is None:
        raise ProofError(
            "receipt-unanchored",
            f"the chain has no checkpoint of size {receipt.size} for this log; "
            f"ask for the receipt again when it is anchored",
        )
    if root != receipt.root:
        raise ProofError(
            "receipt-root",
            f"the chain holds root 0x{root.hex()} for size {receipt.size}, "
            f"the receipt says 0x{receipt.root.hex()}",
        )
    yield f"the chain holds this root: {chain.addresses.event_log} on chain {receipt.chain_id}"
    publisher = chain.publisher_of(receipt.log_id)
    digest = checkpoint_digest(chain.event_log_domain, receipt.log_id, receipt.size, receipt.root)
    if publisher is not None and recover(digest, receipt.signature) == publisher:
        yield f"the checkpoint is signed by the log's publisher, {publisher}"
    terms = chain.terms_of(receipt.contract_id)
    receipts.check_terms(receipt, terms)
    yield f"the signed terms of contract 0x{receipt.contract_id.hex()} pay for it at this amount"
    payout = receipt.entries.get("payout")
    if payout is not None:
        if payout.entry.actor != address_word(terms.payee):
            raise ProofError(
                "receipt-payee", "the payout went to another payee than the signed one"
            )
        paid = chain.paid_of(receipt.contract_id)
        if paid < payout.entry.value:
            raise ProofError(
                "receipt-unpaid", f"the escrow has paid {paid} units, less than the payout says"
            )
        yield f"the escrow has paid: transaction 0x{payout.entry.payload.hex()}"


def _told(receipt: Receipt) -> Iterator[str]:
    for role, proven in sorted(receipt.entries.items(), key=lambda item: item[1].position):
        yield f"{role} {proven.position}"
