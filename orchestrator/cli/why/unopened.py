"""The question of a party why a contract of its own is not open."""

import os
from pathlib import Path

from orchestrator.client.accounts import PartyClient, wallet
from orchestrator.core.common.errors import DomainError
from orchestrator.core.unopened import why_unopened
from orchestrator.core.why.reason import Reason
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.local.files import read_key

# Of contracts, log and escrow know those that were opened.
_UNKNOWN = ("contract-unknown", "subject-unknown")


def explain_unopened(
    error: DomainError, key_file: Path | None, api: str | None, contract: bytes
) -> Reason:
    """Return why a contract is not open, as its party with this key is told.

    Raises the error itself without a key, or if it says something else, and ServerError if the
    server knows no such proposal of this wallet's.
    """
    settings = read_settings(os.environ)
    path = key_file or settings.key_file
    if path is None or error.code not in _UNKNOWN:
        raise error
    with PartyClient(api or settings.public_url, wallet(read_key(path)), "why") as client:
        return why_unopened(client.proposal(contract))
