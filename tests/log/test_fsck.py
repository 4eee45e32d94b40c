"""The checks of a stored log: whatever a superuser alters is found, and every bit that flips."""

import re
from itertools import cycle

import psycopg
import pytest
from psycopg import sql

from orchestrator.core.common.errors import LogError
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.requests import (
    AnswerAction,
    Arrival,
    IssueCode,
    PublishSettings,
    RequestAction,
)
from orchestrator.log.fsck import Checks, Finding, compare_projections, findings
from orchestrator.log.guard.known_root import KnownRoot
from orchestrator.storage.database import SEQUENCER, Database
from orchestrator.storage.queries import queries
from tests.support import worlds
from tests.support.depth import PROFILE
from tests.support.fsck import fsck
from tests.support.ledger import CONTRACT, OWNER_WORD, Ledger, alter, sign
from tests.support.worlds import LEADS, OPERATORS, SURFACE, word

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
    with pytest.raises(LogError, match="and the anchor has"):
        fsck(full.api, full.log_id, (head.size - 1, head.root))
    with pytest.raises(LogError, match="before the anchor of"):
        fsck(full.api, full.log_id, (head.size + 1, head.root))


# --- Every bit ------------------------------------------------------------------------------------

LOG_TABLES = ("entries", "subtrees", "checkpoints")
# Expressions that flip a bit of a column, by its type.
FLIPS = {
    "bytea": "set_bit({c}::bytea, 9, 1 - get_bit({c}::bytea, 9))",
    "text": "CASE {c} WHEN '' THEN 'x' ELSE chr(ascii({c}) # 1) || substr({c}, 2) END",
    "int2": "{c} # 1::smallint",
    "int4": "{c} # 1",
    "int8": "{c} # 1099511627776",
    "numeric": "{c}::bigint # 1",
    "bool": "NOT {c}",
    "_bytea": "{c}[2:] || set_bit({c}[1], 0, 1 - get_bit({c}[1], 0))",
    "_int8": "{c}[2:] || ({c}[1] # 1)",
}
# NULL in every row here: no later bit of a NULL is stored.
NEVER_SET = {
    "actions.done_position",
    "contracts.closed_at_ms",
    "standings.sealed",
    "standings.scored_from_ms",
}


def projections() -> list[str]:
    """Return the names of the tables that are a cache of the fold."""
    return re.findall(r"FROM public\.(\w+)", queries()["log.projection_differences"])


@pytest.fixture
def everything(full: Ledger) -> Ledger:
    """A log with a row in each projection."""
    operator, nothing = OPERATORS[0], (ZERO_WORD, ZERO_WORD)
    code = word("code")
    full.submit_and_drain(
        PublishSettings(SURFACE, OWNER_WORD, worlds.settings()),
        IssueCode(SURFACE, code, operator, 5, full.now_ms + 1000, *nothing),
        Arrival(SURFACE, word("lead by code"), code, False, False, "signup", 0, full.now_ms),
        RequestAction(SURFACE, LEADS[1], operator, "letter", 1000),
    )
    asked = len(full.entries()) - 1
    full.submit_and_drain(AnswerAction(SURFACE, LEADS[1], OWNER_WORD, asked, "failed"))
    with psycopg.connect(full.url) as admin:
        # A bit that flips on a disk asks no constraint.
        for table, name in admin.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' "
            "AND conrelid::regclass::text = ANY (%s)",
            [[*LOG_TABLES, *projections()]],
        ).fetchall():
            admin.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    return full


def first_finding(log: Ledger) -> Finding | None:
    checks = Checks(
        is_signed=lambda one: one.signature == sign(one.size, one.root),
        rules=lambda _: CONTRACT,
    )
    return next(iter(findings(log.writer, log.worker, log.log_id, checks)), None)


def flipped(type_: str, column: str) -> str | None:
    """Return the expression that flips a bit of a column; None for a document."""
    form = FLIPS.get({"varchar": "text"}.get(type_, type_))
    return None if form is None else form.format(c=f'"{column}"')


def flip_document(text: str) -> str:
    """Return the document with a bit of its last digit flipped, or of its last letter."""
    found = list(re.finditer(r"[0-9]", text)) or list(re.finditer(r"[b-y]", text))
    if not found:
        return '{"x": 1}'
    at = found[-1].start()
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def test_a_bit_that_flips_in_any_column_is_found_and_located(everything: Ledger) -> None:
    """By the catalogue: a column or a projection that is added is in this test at once.

    A usual run flips every fourth, counted over all tables.
    """
    log = everything
    assert first_finding(log) is None
    untried = set()
    turns = cycle([PROFILE == "deep", PROFILE == "deep", PROFILE == "deep", True])
    with psycopg.connect(log.url, autocommit=True) as admin:
        for table in [*LOG_TABLES, *projections()]:
            columns = admin.execute(
                "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s"
                " AND table_schema = 'public' AND is_generated = 'NEVER'",
                [table],
            ).fetchall()
            assert columns
            for column, type_ in columns:
                if table in LOG_TABLES and column == "log_id":
                    continue  # it says which table a row is in
                name = sql.Identifier(column)
                row = admin.execute(
                    sql.SQL(
                        "SELECT ctid, tableoid::regclass::text, {c}, {c}::text FROM {t} "
                        "WHERE log_id = %s AND {c} IS NOT NULL ORDER BY ctid DESC LIMIT 1"
                    ).format(c=name, t=sql.Identifier(table)),
                    [log.log_id],
                ).fetchone()
                if row is None:
                    untried.add(f"{table}.{column}")
                    continue
                if not next(turns):
                    continue
                form = flipped(type_, column)
                value = sql.SQL(form) if form else sql.Literal(flip_document(row[3]))
                change = sql.SQL("UPDATE {t} SET {c} = {v} WHERE ctid = %s RETURNING ctid")
                place = sql.SQL(row[1])
                admin.execute(sql.SQL("ALTER TABLE {t} DISABLE TRIGGER USER").format(t=place))
                (ctid,) = admin.execute(
                    change.format(t=place, c=name, v=value), [row[0]]
                ).fetchone() or (None,)
                found = first_finding(log)
                assert found is not None, f"{table}.{column} of {row[3]}"
                # A column of the log itself shows at entries, and a document at its own hash.
                where = "entr|subtree|checkpoint" if table in LOG_TABLES else f"{table}|policy"
                assert re.search(where, found.message), (table, column, found)
                restored = row[3] if form is None else row[2]
                admin.execute(change.format(t=place, c=name, v=sql.Literal(restored)), [ctid])
    assert untried == NEVER_SET
    assert first_finding(log) is None


def test_findings_go_on_past_the_first(everything: Ledger) -> None:
    """One altered entry hides no other, and what the chain holds is compared as well."""
    log = everything
    for position in (4, 290):
        change = f"SET entry = set_byte(entry, 250, 9) WHERE log_id = %s AND position = {position}"
        assert alter(log, f"UPDATE entries {change}") == 1
    assert alter(log, "UPDATE contracts SET outcomes = outcomes + 1 WHERE log_id = %s") == 1
    known = (KnownRoot(10_000, bytes(32), "the anchor on chain"),)
    found = list(findings(log.writer, log.worker, log.log_id, Checks(known)))
    text = "\n".join(message for _, message in found)
    for words in ("entries 0 to 5:", "entry 290 ", "before the anchor on chain of 10000"):
        assert words in text
    assert all("\n" not in message for _, message in found)


def test_a_database_that_is_away_is_no_finding() -> None:
    with (
        Database("postgresql://x:y@127.0.0.1:1/db", SEQUENCER) as database,
        pytest.raises(LogError) as away,
    ):
        compare_projections(database, ZERO_WORD)
    assert away.value.code == "database-unreachable"
