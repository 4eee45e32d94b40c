"""The check of a stored log that raises at its first finding."""

from orchestrator.core.common.errors import LogError
from orchestrator.log.fsck import Checks, check_entries
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.log.tree import stored_checkpoint
from orchestrator.storage.database import Database


def fsck(database: Database, log_id: bytes, anchor: tuple[int, bytes] | None = None) -> int:
    """Check the entries of a log, and return its size. Raises `LogError` at the first finding.

    `anchor` is a (size, root) that the caller has from another source, such as the chain: without
    one, a rewritten log with rewritten checkpoints looks right.
    """
    known = () if anchor is None else (KnownRoot(*anchor, "the anchor"),)
    for code, message in check_entries(database, log_id, Checks(known)):
        raise LogError(code, message)
    with database.transaction() as session:
        last = stored_checkpoint(session, log_id)
    return last.size if last else 0
