"""Receipts from a server that is a stranger: each is checked here before it is returned."""

from orchestrator.client.http import Client
from orchestrator.core.common.errors import PendingError, ProofError, ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.entries import receipt as receipts
from orchestrator.core.entries.receipt import Receipt


def served_document(client: Client, position: int) -> object:
    """Return the document of a receipt as it is served.

    Raises PendingError if it is too early, else ServerError with the server's own code, if it has
    told one.
    """
    try:
        return client.get(f"/v1/receipts/{position}")
    except ServerError as error:
        if error.code == "http-409":
            raise PendingError("receipt-unanchored", error.message) from None
        raise ServerError(error.problem or error.code, error.message) from None


def served_receipt(client: Client, pins: Pins, position: int) -> Receipt:
    """Return the receipt of the entry at a position, whose proofs hold and tell one story.

    A key has signed its checkpoint. Whether that is the publisher's, and its root the log's own,
    only the chain says: `tallystick verify RECEIPT --rpc URL`.
    Raises ProofError for one that is false, or of another log or deployment than the pinned,
    PendingError for an entry that is not anchored yet.
    """
    receipt = receipts.parse(served_document(client, position))
    receipts.check(receipt)
    receipts.signer_of(receipt)
    named = (receipt.chain_id, receipt.event_log, receipt.escrow, to_hex(receipt.log_id))
    pinned = (pins.chain_id, pins.event_log, pins.escrow, pins.log_id)
    if named != pinned or receipt.position != position:
        raise ProofError("receipt-other", f"{client.server} gives the receipt of another entry")
    return receipt
