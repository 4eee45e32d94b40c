"""The account that signed a checkpoint, as the chain knows it."""

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.core.common.errors import ProofError, TermsError
from orchestrator.core.deals.terms import checkpoint_digest, recover


class CheckpointSigner(NamedTuple):
    """The account that signed a checkpoint, and what the chain says it is."""

    office: str
    account: str


def signer_of(
    chain: Chain, signed: SignedCheckpoint, former: Iterable[str], code: str
) -> CheckpointSigner:
    """Return who signed a checkpoint: the log's publisher, or one of those before it.

    Raises ProofError with this code for a signature of any other, or of no key at all.
    """
    log_id, size, root, signature = signed
    digest = checkpoint_digest(chain.event_log_domain, log_id, size, root)
    publisher = chain.publisher_of(log_id)
    if publisher is not None and chain.is_signed(publisher, digest, signature):
        return CheckpointSigner("the log's publisher", publisher)
    for before in former:
        if chain.is_signed(before, digest, signature):
            return CheckpointSigner("the log's publisher of then", before)
    try:
        signer = f"it is of {recover(digest, signature)}"
    except TermsError as error:
        signer = error.message
    raise ProofError(
        code,
        f"the checkpoint's signature is not that of the log's publisher, {publisher}: {signer}",
    )
