"""The registration of a log on chain, with which the origin that it is named by is compared."""

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.verify.pinned import Named


def find_registrant(chain: Chain, named: Named, source: str) -> str | None:
    """Return who registered the log under the origin that `source` names; None for an unseen event.

    The node need not have the event. Raises ProofError for a log that is not registered, or is so
    under another origin.
    """
    if chain.publisher_of(named.log_id) is None:
        raise ProofError(
            "log-unregistered",
            f"{source} names the log {to_hex(named.log_id)}, and no such log is registered with "
            f"the event log {named.event_log} on chain {named.chain_id}; it is of another "
            f"deployment, or false",
        )
    found = chain.registration_of(named.log_id)
    if found is None:
        return None
    if found.origin != named.origin:
        raise ProofError(
            "origin-false",
            f"{source} names the origin {named.origin}, but the chain has the log "
            f"{to_hex(named.log_id)} registered as {found.origin!r}",
        )
    return found.registrant
