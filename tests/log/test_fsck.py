"""The checks of a stored log: whatever a superuser alters is found."""

import pytest

from orchestrator.core.errors import LogError
from orchestrator.log.fsck import compare_projections, fsck
from tests.support.ledger import (
    Ledger,
    alter,
)

# Changes of the tables, and the check that finds each.
TAMPERINGS = {
    "an entry's value": (
        "UPDATE entries SET entry = set_byte(entry, 191, 9) WHERE log_id = %s AND position = 7",
        fsck,
    ),
    "an entry's payload": (
        "UPDATE entries SET entry = set_byte(entry, 255, 1) WHERE log_id = %s AND position = 7",
        fsck,
    ),
    "an opening": (
        "UPDATE entries SET opening = set_byte(opening, 0, 1) WHERE log_id = %s AND position = 7",
        fsck,
    ),
    "no opening": (
        "UPDATE entries SET opening = NULL WHERE log_id = %s AND position = 7",
        fsck,
    ),
    "an entry found by its kind no more": (
        "UPDATE entries SET listed_kind = NULL WHERE log_id = %s AND listed_kind IS NOT NULL",
        fsck,
    ),
    "an entry removed": (
        "DELETE FROM entries WHERE log_id = %s AND position = 7",
        fsck,
    ),
    "the last entry removed": (
        """
        DELETE FROM entries
        WHERE log_id = %s AND position = (SELECT max(position) FROM entries WHERE log_id = %s)
        """,
        fsck,
    ),
    "an entry added": (
        """
        INSERT INTO entries SELECT log_id, position + 1, entry, opening FROM entries
        WHERE log_id = %s ORDER BY position DESC LIMIT 1
        """,
        fsck,
    ),
    "a checkpoint's root": (
        "UPDATE checkpoints SET root = sha256('x') WHERE log_id = %s AND size = 6",
        fsck,
    ),
    "a checkpoint's nodes": (
        "UPDATE checkpoints SET nodes = ARRAY[sha256('x')] WHERE log_id = %s AND size = 6",
        fsck,
    ),
    "the last checkpoint removed": (
        "DELETE FROM checkpoints WHERE log_id = %s AND size > 6",
        fsck,
    ),
    "a policy's document": (
        "UPDATE policies SET document = jsonb_set(document, '{lateness_s}', '9') WHERE log_id = %s",
        fsck,
    ),
    "a policy's whole document": (
        "UPDATE policies SET document = '[]' WHERE log_id = %s",
        fsck,
    ),
    "a subtree": (
        "UPDATE subtrees SET hash = sha256('x') WHERE log_id = %s",
        fsck,
    ),
    "a subtree removed": ("DELETE FROM subtrees WHERE log_id = %s", fsck),
    "a subtree too many": (
        "INSERT INTO subtrees SELECT log_id, 16, 0, hash FROM subtrees WHERE log_id = %s",
        fsck,
    ),
    "a contract's total": (
        "UPDATE contracts SET earned_units = earned_units + 1 WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's state": (
        "UPDATE leads SET state = 'new' WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's touches": (
        "UPDATE leads SET touches = 9 WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's memory": (
        """UPDATE leads SET document = jsonb_set(document, '{counted_at,paid}', '9')
        WHERE log_id = %s""",
        compare_projections,
    ),
    "a lead's whole memory": (
        "UPDATE leads SET document = '{}' WHERE log_id = %s",
        compare_projections,
    ),
    "a lead removed": ("DELETE FROM leads WHERE log_id = %s", compare_projections),
    "an operator's registration": (
        "UPDATE operators SET registered = 5 WHERE log_id = %s",
        compare_projections,
    ),
    "an operator removed": (
        "DELETE FROM operators WHERE log_id = %s",
        compare_projections,
    ),
    "the settings' document": (
        "UPDATE settings SET document = jsonb_set(document, '{pause_s}', '9') WHERE log_id = %s",
        fsck,
    ),
    "the settings' whole document": (
        "UPDATE settings SET document = '[]' WHERE log_id = %s",
        fsck,
    ),
    "a surface's settings": (
        "UPDATE surfaces SET settings_version = 9 WHERE log_id = %s",
        compare_projections,
    ),
    "a surface's pool": (
        "UPDATE surfaces SET pool = jsonb_set(pool, '{touches}', '9') WHERE log_id = %s",
        compare_projections,
    ),
    "a standing's level": (
        "UPDATE standings SET level = 2 WHERE log_id = %s",
        compare_projections,
    ),
    "a standing's ground": (
        "UPDATE standings SET ground = 'results' WHERE log_id = %s",
        compare_projections,
    ),
    "a tally's count": (
        "UPDATE tallies SET count = count + 1 WHERE log_id = %s AND what = 'touch'",
        compare_projections,
    ),
    "a tally's sum": (
        "UPDATE tallies SET units = 5 WHERE log_id = %s AND what = 'outcome'",
        compare_projections,
    ),
    "a tally's positions": (
        "UPDATE tallies SET positions = '{1}' WHERE log_id = %s AND what = 'touch'",
        compare_projections,
    ),
    "a tally": (
        "DELETE FROM tallies WHERE log_id = %s AND what = 'touch'",
        compare_projections,
    ),
    "a contract's motion": (
        "UPDATE contracts SET motion = 'expansion' WHERE log_id = %s",
        compare_projections,
    ),
    "since when a contract waits": (
        "UPDATE contracts SET unstated_ms = 77 WHERE log_id = %s",
        compare_projections,
    ),
    "a suspension": (
        "UPDATE standings SET is_suspended = true WHERE log_id = %s",
        compare_projections,
    ),
    "a standing's evidence": (
        """UPDATE standings SET document = jsonb_set(document, '{buckets,0,3}', '9')
        WHERE log_id = %s""",
        compare_projections,
    ),
    "a standing's day": (
        """UPDATE standings SET document = jsonb_set(document, '{leads_today}', '0')
        WHERE log_id = %s""",
        compare_projections,
    ),
    "a standing's whole memory": (
        "UPDATE standings SET document = '{}' WHERE log_id = %s",
        compare_projections,
    ),
    "a standing removed": (
        "DELETE FROM standings WHERE log_id = %s",
        compare_projections,
    ),
    "a standing added": (
        """
        INSERT INTO standings SELECT log_id, surface, sha256('x'), level, ground, is_suspended,
            sealed, scored_from_ms,
            document
        FROM standings WHERE log_id = %s
        """,
        compare_projections,
    ),
    "a surface's version": (
        "UPDATE surfaces SET version = 9 WHERE log_id = %s",
        compare_projections,
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_a_superuser_alters_is_found(full: Ledger, what: str) -> None:
    change, finder = TAMPERINGS[what]
    assert fsck(full.api, full.log_id) == len(full.entries())
    assert compare_projections(full.writer, full.log_id) == []
    assert alter(full, change) > 0
    if finder is fsck:
        with pytest.raises(LogError):
            fsck(full.api, full.log_id)
    else:
        assert compare_projections(full.writer, full.log_id) != []


def test_a_wholly_rewritten_log_is_found_by_its_anchor(full: Ledger) -> None:
    head = full.reader.checkpoint()
    assert head is not None
    assert fsck(full.api, full.log_id, (head.size, head.root)) == head.size
    earlier = full.reader.checkpoint(6)
    assert earlier is not None
    assert fsck(full.api, full.log_id, (6, earlier.root)) == head.size
    with pytest.raises(LogError, match="anchored"):
        fsck(full.api, full.log_id, (head.size - 1, head.root))
    with pytest.raises(LogError, match="before anchor"):
        fsck(full.api, full.log_id, (head.size + 1, head.root))
