"""A database that moved: the roots that are known from elsewhere show it."""

import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.log.merkle import leaf_hash, root_of
from orchestrator.log.guard.known_root import KnownRoot, check_known_roots, stored_nodes
from tests.support.ledger import Ledger


def root_of_first(log: Ledger, size: int) -> bytes:
    return root_of(leaf_hash(stored.data) for stored in log.entries()[:size])


def check(log: Ledger, *known: KnownRoot) -> None:
    with log.api.transaction() as session:
        check_known_roots(session, log.log_id, known)


def test_roots_of_any_size_are_those_of_the_entries(full: Ledger) -> None:
    """A root is compared also where no checkpoint stands, and past whole tiles."""
    size = len(full.entries())
    assert size > 256
    check(full, *(KnownRoot(at, root_of_first(full, at), "it") for at in (1, 5, 256, 257, size)))
    check(full, KnownRoot(0, bytes(32), "nothing"))


def test_an_older_and_another_database_are_told_apart(full: Ledger) -> None:
    size = len(full.entries())
    with pytest.raises(
        LogError, match=rf"ends at {size} entries, and the anchor .* older"
    ) as older:
        check(full, KnownRoot(size + 1, bytes(32), "the anchor"))
    with pytest.raises(LogError, match=r"another history.*tallystick restore") as other:
        check(full, KnownRoot(257, bytes(32), "the anchor"))
    assert (older.value.code, other.value.code) == ("log-behind", "log-differs")
    with full.api.transaction() as session, pytest.raises(LogError, match="no node"):
        stored_nodes(session, full.log_id, size + 1)
