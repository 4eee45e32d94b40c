"""A stranger's check of a receipt: its proofs, and what the chain says of its log and contract."""

from collections.abc import Iterator

from orchestrator.chain.deployment import Chain
from orchestrator.core import receipt as receipts
from orchestrator.core.entry import address_word
from orchestrator.core.errors import ProofError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.receipt import Receipt
from orchestrator.core.site import Addresses
from orchestrator.core.terms import checkpoint_digest, recover
from orchestrator.core.units import format_second


def check_receipt(document: object, chain: Chain | None) -> list[str]:
    """Check a receipt, with the chain where there is one. Return what was shown, line by line.

    Raises `ProofError` at the first thing that is false.
    """
    receipt = receipts.parse(document)
    receipts.check(receipt)
    tree = f"the tree of size {receipt.size} with root {to_hex(receipt.root)}"
    shown = [
        f"{len(receipt.entries)} entries stand in {tree}",
        "they tell one story: " + ", ".join(_positions(receipt)),
    ]
    if chain is None:
        return [*shown, "not checked: that this root is the log's own; give --rpc to ask the chain"]
    return [*shown, *_check_on_chain(receipt, chain)]


def receipt_chain(document: object, rpc_url: str) -> Chain:
    """Return the chain that a receipt names, checked to hold our contracts, to be closed."""
    receipt = receipts.parse(document)
    return checked_chain(rpc_url, Addresses(receipt.chain_id, receipt.event_log, receipt.escrow))


def checked_chain(rpc_url: str, addresses: Addresses) -> Chain:
    """Return a chain whose contracts at these addresses are ours, to be closed by the caller."""
    chain = Chain(rpc_url, addresses)
    try:
        chain.check()
    except BaseException:
        chain.close()
        raise
    return chain


def _check_on_chain(receipt: Receipt, chain: Chain) -> Iterator[str]:
    """Yield what the chain confirms. Raises ProofError for what it contradicts."""
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
            f"the chain holds root {to_hex(root)} for size {receipt.size}, "
            f"the receipt says {to_hex(receipt.root)}",
        )
    yield f"the chain holds this root: {chain.addresses.event_log} on chain {receipt.chain_id}"
    # A later publisher may have signed since, and the anchored root is proof enough: a signature
    # that is not the present publisher's is no fault of the receipt, only one thing less to show.
    publisher = chain.publisher_of(receipt.log_id)
    digest = checkpoint_digest(chain.event_log_domain, receipt.log_id, receipt.size, receipt.root)
    if publisher is not None and recover(digest, receipt.signature) == publisher:
        yield f"the checkpoint is signed by the log's publisher, {publisher}"
    forked_at_s = chain.forked_at(receipt.log_id)
    if forked_at_s is not None:
        yield (
            f"but the log was marked as forked at {format_second(forked_at_s)}: its publisher has "
            f"told two histories, and this root is of one of them"
        )
    terms = chain.terms_of(receipt.contract_id)
    receipts.check_terms(receipt, terms)
    yield f"the signed terms of contract {to_hex(receipt.contract_id)} pay for it at this amount"
    payout = receipt.entries.get("payout")
    if payout is not None:
        if payout.entry.actor != address_word(terms.payee):
            raise ProofError(
                "receipt-payee", "the payout went to another payee than the signed one"
            )
        # The chain keeps sums, not single payouts: less than this one was paid if it is made up.
        paid = chain.paid_of(receipt.contract_id)
        if paid < payout.entry.value:
            raise ProofError(
                "receipt-unpaid", f"the escrow has paid {paid} units, less than the payout says"
            )
        yield f"the escrow has paid: transaction {to_hex(payout.entry.payload)}"


def _positions(receipt: Receipt) -> Iterator[str]:
    for role, proven in sorted(receipt.entries.items(), key=lambda item: item[1].position):
        yield f"{role} {proven.position}"
