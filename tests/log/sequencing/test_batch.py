"""A batch: each request is decided or refused by itself, whatever its row says."""

import json

import psycopg
import pytest

from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.world.codec import encode_request
from orchestrator.core.world.requests import (
    Erasure,
    JudgeTrust,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    Request,
    ScoreForecast,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.world import World
from orchestrator.log.fsck import compare_projections
from orchestrator.log.sequencing import batch
from orchestrator.log.sequencing.sequencer import BATCH
from orchestrator.storage.database import API, WORKER
from tests.support.fsck import fsck
from tests.support.ledger import (
    CONTRACT,
    OPERATOR,
    OWNER,
    OWNER_WORD,
    POLICY,
    PUBLISHER,
    SETTINGS,
    STRANGER,
    Ledger,
)
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    word,
)


@pytest.mark.parametrize("limit", [1, 2, BATCH])
def test_a_request_at_which_the_fold_fails_is_refused_alone(
    running: Ledger, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    poison = word("poison")
    good, bad, also_good = running.submit(
        *(Touch(SURFACE, lead, OPERATORS[0], "email") for lead in (LEADS[0], poison, LEADS[1]))
    )

    def mistaken(world: World, request: Request, received_ms: int) -> list[Record]:
        records = decide(world, request, received_ms)
        if isinstance(request, Touch) and request.lead == poison:
            raise KeyError(poison)
        return records

    monkeypatch.setattr(batch, "decide", mistaken)
    with running.sequencer() as sequencer:
        sequencer.drain_all(limit)
    statuses = [
        result and (result.status, result.code)
        for result in running.results([good, bad, also_good])
    ]
    assert statuses == [("done", None), ("refused", "request-unfoldable"), ("done", None)]
    assert compare_projections(running.writer, running.log_id) == []
    assert fsck(running.api, running.log_id) == 10


@pytest.mark.parametrize(
    "body",
    ["[1.5e400]", "1" * 8_000, "[" * 3_000 + "]" * 3_000],
    ids=["a list", "many digits", "deep"],
)
def test_an_inbox_body_that_is_no_request_is_refused(running: Ledger, body: str) -> None:
    """PostgreSQL takes JSON that Python does not read."""
    name, good = running.submit(Settle(), Settle())
    with psycopg.connect(running.url) as admin:
        admin.execute(
            "UPDATE inbox SET body = %s WHERE log_id = %s"
            " AND seq = (SELECT min(seq) FROM inbox WHERE log_id = %s)",
            (body, running.log_id, running.log_id),
        )
    running.drain()
    result, other = running.results([name, good])
    assert result is not None
    assert other is not None
    assert (result.code, other.status) == ("request-malformed", "done")


FORGED: dict[str, tuple[Request, str, str, str]] = {
    "an event of the surface, by an operator": (
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 0), API, OPERATOR, "request-of-another-account"
    ),
    "an event of the surface, by the worker": (
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 0), WORKER, OWNER, "request-of-another-part"
    ),
    "a touch in an operator's name": (
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"), API, OWNER, "request-of-another-account"
    ),
    "a policy in the owner's name": (
        PublishPolicy(SURFACE, OWNER_WORD, POLICY), API, OPERATOR, "request-of-another-account"
    ),
    "an erasure in the owner's name": (
        Erasure(SURFACE, LEADS[0], OWNER_WORD), API, OPERATOR, "request-of-another-account"
    ),
    "settings in the owner's name": (
        PublishSettings(SURFACE, OWNER_WORD, SETTINGS), API, OPERATOR, "request-of-another-account"
    ),
    "a suspension by another than the owner": (
        SuspendOperator(SURFACE, address_word(OPERATOR), address_word(STRANGER), "spam"),
        API, OPERATOR, "request-of-another-account",
    ),
    "a judgement of another operator": (
        JudgeTrust(SURFACE, address_word(STRANGER)), API, OPERATOR, "request-of-another-account"
    ),
    "a score, by the API": (
        ScoreForecast(SURFACE, address_word(OPERATOR), 1, 1, bytes(32)),
        API, PUBLISHER, "request-of-another-part",
    ),
    "a payout, by the API": (
        RecordPayout(CONTRACT.contract_id, OWNER_WORD, "paid", 1, word("tx")),
        API, PUBLISHER, "request-of-another-part",
    ),
    "a payout, by another account": (
        RecordPayout(CONTRACT.contract_id, OWNER_WORD, "paid", 1, word("tx")),
        WORKER, OWNER, "request-of-another-account",
    ),
    "a settlement, by no part": (Settle(), "postgres", PUBLISHER, "request-of-another-part"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_row_of_the_inbox_becomes_no_entry(running: Ledger, what: str) -> None:
    """Rows that come by another way than the database's own check, as by a hole in it."""
    request, sender, account, code = FORGED[what]
    kind, body = encode_request(request)
    before = running.entries()
    with psycopg.connect(running.url) as admin:
        (row,) = admin.execute(
            "INSERT INTO inbox VALUES (%s, 999999999, %s, %s, %s, 0, %s, 0) RETURNING seq",
            (running.log_id, account, sender, kind, json.dumps(body)),
        ).fetchall()
    (mine,) = running.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "email"))
    running.drain()
    with psycopg.connect(running.url) as admin:
        found = admin.execute(
            "SELECT code, count FROM results WHERE log_id = %s AND seq = %s",
            (running.log_id, row[0]),
        ).fetchall()
    assert found == [(code, 0)]
    # The rest of its drain is decided as ever.
    assert [stored.entry.kind for stored in running.entries()[len(before) :]] == [
        "lead.registered",
        "touch",
    ]
    assert [result.status for result in running.results([mine]) if result] == ["done"]
