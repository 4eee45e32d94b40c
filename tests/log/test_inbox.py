"""The inbox: which requests are taken, which are refused, and what can be erased."""

from hashlib import sha256

import psycopg
import pytest

from orchestrator.core.codec import commitment
from orchestrator.core.errors import RequestError
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    Settle,
    Touch,
)
from orchestrator.log import inbox
from orchestrator.log.fsck import fsck
from orchestrator.log.inbox import Submission, erase
from tests.support.ledger import (
    CONTRACT,
    OPERATOR,
    OWNER,
    Ledger,
    begin_log,
    pseudonym_for,
)
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    word,
)


@pytest.fixture
def log_of_another(running: Ledger) -> Ledger:
    return begin_log(running.url, running.api, running.writer, running.clock)


def test_the_same_key_and_body_is_the_same_request(running: Ledger) -> None:
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    first = running.offer([Submission("a", touch, b"{}")])
    with running.sequencer() as sequencer:
        running.drain(sequencer)
        size = len(running.entries())
        assert running.offer([Submission("a", touch, b"{}")]) == first
        running.drain(sequencer)
    assert len(running.entries()) == size
    assert [result.status for result in running.results(first) if result] == ["done"]


def test_the_same_key_with_another_body_is_refused_and_nothing_is_taken(running: Ledger) -> None:
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    running.offer([Submission("a", touch, b"one")])
    with pytest.raises(RequestError, match="send the same body") as refusal:
        running.offer([Submission("b", touch, b"two"), Submission("a", touch, b"two")])
    assert refusal.value.code == "idempotency-conflict"
    running.drain()
    assert [stored.entry.kind for stored in running.entries()].count("touch") == 1


def test_one_key_twice_in_one_bulk_is_one_request_if_the_bodies_agree(running: Ledger) -> None:
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    one, two = running.offer([Submission("a", touch, b"one"), Submission("a", touch, b"one")])
    assert one == two
    with pytest.raises(RequestError, match="another request"):
        running.offer([Submission("b", touch, b"one"), Submission("b", touch, b"two")])


def test_keys_of_two_accounts_are_two_requests(running: Ledger) -> None:
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    mine = running.offer([Submission("a", touch, b"one")], OWNER)
    theirs = running.offer([Submission("a", touch, b"two")], OPERATOR)
    assert mine != theirs
    assert running.results(mine, OPERATOR) == [None]


def test_a_salted_body_is_compared_although_its_commitment_differs(running: Ledger) -> None:
    def salted(salt: bytes, body: bytes) -> Submission:
        touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email", commitment=commitment(salt, body))
        return Submission("a", touch, body, salt)

    first = running.offer([salted(b"1" * 32, b"hello")])
    assert running.offer([salted(b"2" * 32, b"hello")]) == first
    with pytest.raises(RequestError, match="another request"):
        running.offer([salted(b"3" * 32, b"other")])


@pytest.mark.parametrize(
    ("submission", "code"),
    [
        (Submission("", Settle(), b""), "idempotency-key"),
        (Submission("k" * 256, Settle(), b""), "idempotency-key"),
        (Submission("nul\0", Settle(), b""), "idempotency-key"),
        (Submission("é", Settle(), b""), "idempotency-key"),
        (Submission("k", Settle(), b"x" * 65_537), "body-too-long"),
        (Submission("k", Settle(), b"", b"short"), "salt-length"),
        (Submission("k", Settle(), b"", b"s" * 32), "commitment-mismatch"),
        (Submission("k", Touch(SURFACE, b"short", OPERATORS[0], "a"), b""), "word-length"),
        (Submission("k", Touch(SURFACE, LEADS[0], OPERATORS[0], "a\0"), b""), "name-invalid"),
        (Submission("k", ProductEvent(SURFACE, LEADS[0], "buy", -1, 0), b""), "number-range"),
        (Submission("k", ProductEvent(SURFACE, LEADS[0], "buy", 1 << 80, 0), b""), "number-range"),
        (Submission("k", ProductEvent(SURFACE, LEADS[0], "buy", 0, 1 << 63), b""), "number-range"),
        (Submission("k", ProductEvent(SURFACE, LEADS[0], "buy", True, 0), b""), "number-range"),
        (
            Submission("k", OpenContract(CONTRACT._replace(attribution="mine"), word("t")), b""),
            "choice-unknown",
        ),
        (
            Submission("k", OpenContract(CONTRACT._replace(outcome=""), word("t")), b""),
            "name-invalid",
        ),
    ],
)
def test_what_could_not_be_folded_is_not_taken(
    running: Ledger, submission: Submission, code: str
) -> None:
    with pytest.raises(RequestError) as refusal:
        running.offer([submission])
    assert refusal.value.code == code
    with running.sequencer() as sequencer:
        assert sequencer.drain() is None


def test_a_bulk_is_bounded_and_keeps_its_order(running: Ledger) -> None:
    with pytest.raises(RequestError, match="at most 1000"):
        running.submit(*[Settle()] * 1001)
    # Keys whose ids sort otherwise than the requests.
    touches = [Touch(SURFACE, LEADS[0], OPERATORS[0], f"step {n}") for n in range(200)]
    running.submit(*touches)
    running.drain()
    labels = [s.entry.label for s in running.entries() if s.entry.kind == "touch"]
    assert labels == [touch.action for touch in touches]


def test_a_full_inbox_takes_nothing_until_it_is_drained(
    running: Ledger, log_of_another: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING", 3)
    running.submit(Settle(), Settle())
    running.submit(Settle())
    with pytest.raises(RequestError) as refusal:
        running.submit(Settle())
    assert refusal.value.code == "inbox-full"
    log_of_another.submit(Settle())  # each log has its own
    running.drain()
    running.submit(Settle())


def test_results_say_what_became_of_each_request(running: Ledger) -> None:
    done, refused, ignored = running.submit(
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        Touch(word("nowhere"), LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "noise", 0, 0),
    )
    assert [r and r.status for r in running.results([done])] == ["waiting"]
    running.drain()
    first, second, third = (
        result and result[1:] for result in running.results([done, refused, ignored])
    )
    assert first == ("done", 4, 2, None, None)
    assert second is not None
    assert second[:4] == ("refused", 6, 0, "surface-unknown")
    assert third == ("done", 6, 0, None, None)


def test_an_identity_keeps_its_first_pseudonym_whoever_asks(running: Ledger) -> None:
    def ask(account: str, external_id: str, fresh: bytes) -> bytes:
        with running.api.transaction(account) as session:
            return pseudonym_for(session, running.log_id, SURFACE, external_id, fresh)

    assert ask(OPERATOR, "ann@example.com", word("1")) == word("1")
    assert ask(OWNER, "ann@example.com", word("2")) == word("1")
    assert ask(OWNER, "bob@example.com", word("3")) == word("3")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask("", "cat@example.com", word("4"))
    with running.api.transaction(OWNER) as session, pytest.raises(RequestError, match="no policy"):
        pseudonym_for(session, running.log_id, word("nowhere"), "x", word("5"))


@pytest.mark.parametrize(
    ("external_id", "said"),
    [
        ("nul\0", "the id of the lead must not have characters that cannot be seen"),
        ("", "the id of the lead must not be empty"),
        ("x" * 513, "at most 512 bytes"),
        ("re\u0301", "must be in the form NFC, unlike 're.u0301'"),
    ],
)
def test_an_identity_that_no_door_would_give_is_refused(
    running: Ledger, external_id: str, said: str
) -> None:
    with running.api.transaction(OWNER) as session, pytest.raises(RequestError, match=said) as no:
        pseudonym_for(session, running.log_id, SURFACE, external_id, word("5"))
    assert no.value.code == "lead-id"


def test_erasing_a_lead_leaves_a_log_that_still_proves(running: Ledger) -> None:
    salt, body = b"s" * 32, b'{"note":"met Ann"}'
    with running.api.transaction(OWNER) as session:
        lead = pseudonym_for(session, running.log_id, SURFACE, "ann@example.com", LEADS[0])
    touch = Touch(SURFACE, lead, OPERATORS[0], "email", commitment=commitment(salt, body))
    running.offer([Submission("k", touch, body, salt)], OPERATOR)
    running.drain()
    with running.api.transaction(OPERATOR) as session:
        assert erase(session, running.log_id, SURFACE, lead) == 0  # not the operator's to erase
    with running.api.transaction(OWNER) as session:
        row = session.one("log.private_payload", log_id=running.log_id, commitment=touch.commitment)
        assert row is not None
        assert sha256(row.salt + row.body).digest() == touch.commitment
        assert erase(session, running.log_id, SURFACE, lead) == 2
    with psycopg.connect(running.url) as admin:
        for table in ("lead_identities", "private_payloads"):
            left = admin.execute(f"TABLE {table}").fetchall()
            assert [row for row in left if row[0] == running.log_id] == []
    assert fsck(running.api, running.log_id) == len(running.entries())
    # The key was used, and what for cannot be told any more.
    with pytest.raises(RequestError, match="another request"):
        running.offer([Submission("k", touch, body, salt)], OPERATOR)
