"""The inbox: which requests are taken, which are refused, and what can be erased."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise
from random import Random
from threading import Event
from time import sleep
from typing import Any
from uuid import UUID

import psycopg
import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.limits import BYTES_OF_ROW
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.log.opening import ActOpening
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.requests import (
    CloseContract,
    Erasure,
    OpenContract,
    ProductEvent,
    Request,
    Settle,
    Touch,
)
from orchestrator.log import inbox
from orchestrator.log.fsck import compare_projections
from orchestrator.log.inbox import EventAheadError, Submission, erase, submit
from orchestrator.storage.database import API, SEQUENCER, WORKER
from tests.support.fsck import fsck
from tests.support.ledger import (
    CONTRACT,
    OPERATOR,
    OWNER,
    STRANGER,
    Ledger,
    begin_log,
    genesis,
    opening,
    pseudonym_for,
)
from tests.support.servers import hold_inbox_to, open_as
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    surface_named,
    word,
)

OWNER_OF_ANOTHER = "0x" + "e" * 40


@pytest.fixture
def log_of_another(running: Ledger) -> Ledger:
    return running.another()


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
    event = ProductEvent(SURFACE, LEADS[0], "buy", 0, 0)
    mine = running.offer([Submission("a", event, b"one")])
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    theirs = running.offer([Submission("a", touch, b"two")])
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


# --- Room -----------------------------------------------------------------------------------------


def touches(count: int, by: str = OPERATOR) -> list[Request]:
    return [Touch(SURFACE, LEADS[0], address_word(by), "email")] * count


def erasures(count: int, by: str) -> list[Request]:
    """Return requests of an owner about a surface of its own."""
    owner = address_word(by)
    return [Erasure(own_surface(by), LEADS[0], owner)] * count


def own_surface(account: str) -> bytes:
    return sha256(address_word(account) + ascii_word("own")).digest()


def name_own_surface(log: Ledger, account: str) -> None:
    with log.session(account) as session:
        session.run(
            "api.add_surface_name",
            log_id=log.log_id,
            surface=own_surface(account),
            owner=address_word(account),
            name="own",
        )


def account(number: int) -> str:
    return f"0x{number:040x}"


def taken(log: Ledger, requests: list[Request]) -> bool:
    """Submit requests, and return whether there was room for them."""
    try:
        log.submit(*requests)
    except RequestError as error:
        if error.code != "inbox-full":
            raise
        return False
    return True


def test_an_account_has_a_share_of_the_places_that_are_free(
    running: Ledger, log_of_another: Ledger
) -> None:
    hold_inbox_to(running.url, waiting_requests=80, waiting_of_operators=40)
    assert not taken(running, touches(11))  # more than a quarter of half of the places
    assert taken(running, touches(8))
    assert not taken(running, touches(1))  # a quarter of what is left is what it has
    assert taken(log_of_another, touches(8))  # each log has its own
    assert taken(running, touches(8, STRANGER))
    running.drain()
    assert taken(running, touches(8))


def test_however_many_flood_an_owner_and_the_pipeline_have_room(running: Ledger) -> None:
    """Ten accounts, then a hundred: each finds less, and none of them the last place."""
    hold_inbox_to(running.url, waiting_requests=2_000, waiting_of_operators=1_000)
    for number in range(1, 111):
        while taken(running, touches(100, account(number))):
            pass
        while taken(running, touches(1, account(number))):
            pass
    with psycopg.connect(running.url) as admin:
        waiting = count_waiting(admin, running)
    assert 850 < waiting < 1_000
    late = [OWNER_OF_ANOTHER, *(account(number) for number in range(201, 211))]
    for each in late:
        name_own_surface(running, each)
    assert taken(running, [ProductEvent(SURFACE, LEADS[0], "noise", 0, 0)] * 250)
    assert not taken(running, touches(100, STRANGER))
    # Owners who flood take what is for owners, and leave some of that as well.
    for each in late[1:]:
        while taken(running, erasures(100, each)):
            pass
    assert taken(running, erasures(10, OWNER_OF_ANOTHER))
    # What the chain and the clock bring is never refused.
    hold_inbox_to(running.url, waiting_of_operators=1, waiting_requests=1)
    assert not taken(running, erasures(1, OWNER_OF_ANOTHER))
    running.submit(Settle(), CloseContract(CONTRACT.contract_id, 1, word("tx")))


def count_waiting(admin: psycopg.Connection[Any], log: Ledger) -> int:
    row = admin.execute("SELECT count(*) FROM inbox WHERE log_id = %s", (log.log_id,)).fetchone()
    assert row is not None
    return int(row[0])


def test_two_transactions_of_an_account_do_not_both_find_the_last_places(running: Ledger) -> None:
    """The second waits for the first, counts what that took, and is refused."""
    hold_inbox_to(running.url, waiting_requests=80, waiting_of_operators=40)
    running.submit(*touches(1))
    # About two surfaces, so that neither waits for the other's lock.
    offered = [
        [
            Submission(f"{name} {n}", Touch(surface, LEADS[0], OPERATORS[0], "email"), b"")
            for n in range(5)
        ]
        for name, surface in (("a", SURFACE), ("b", surface_named("other")))
    ]
    by = f"0x{OPERATORS[0][12:].hex()}"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(running.url, autocommit=True) as admin,
    ):
        with running.session(by) as first:
            submit(first, running.log_id, by, offered[0])

            def second() -> None:
                with running.session(by) as session:
                    submit(session, running.log_id, by, offered[1])

            late = pool.submit(second)
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while not late.done() and admin.execute(blocked).fetchone() == (0,):
                pass
        with pytest.raises(RequestError) as refusal:
            late.result()
        assert refusal.value.code == "inbox-full"


def test_the_counts_are_those_of_the_rows(running: Ledger) -> None:
    """Taken, repeated, refused, decided and rolled back: what is counted is what is there."""
    draw = Random(7)  # noqa: S311
    for step in range(40):
        by = draw.choice([OPERATOR, STRANGER])
        key = f"key {draw.randrange(10)}"
        with suppress(RequestError), running.session(by) as session:
            (touch,) = touches(1, by)
            offered = [Submission(key, touch, b""), Submission(f"{step}", touch, b"")]
            submit(session, running.log_id, by, offered)
            if draw.random() < 0.3:
                raise RequestError("changed-mind", "as when a later part is refused")
        running.submit(*[Settle()] * draw.randrange(3))
        if draw.random() < 0.3:
            running.drain()
        with psycopg.connect(running.url) as admin:
            rows: dict[str, int] = dict(
                admin.execute(
                    "SELECT account::text, count(*) FROM inbox WHERE log_id = %s GROUP BY account",
                    (running.log_id,),
                ).fetchall()
            )
        for each in (OPERATOR, STRANGER):
            with running.session(each) as session:
                (found,) = session.all(
                    "log.enter_inbox", log_id=running.log_id, locks="{}", are_owners=False
                )
            assert (found.waiting, found.own) == (sum(rows.values()), rows.get(each, 0))


def test_what_is_kept_for_ever_is_bounded(running: Ledger) -> None:
    hold_inbox_to(running.url, stored_bytes=6 * BYTES_OF_ROW)
    running.submit(*touches(2))
    running.drain()
    with pytest.raises(RequestError) as refusal:
        running.submit(*touches(3))
    assert refusal.value.code == "storage-limit"
    running.submit(*touches(1))
    running.submit(*touches(2, STRANGER))
    # A salted body counts besides its request, which is found where it is read.
    long, by = b"x" * 5 * BYTES_OF_ROW, account(1)
    touch = Touch(
        SURFACE, LEADS[0], address_word(by), "email", commitment=commitment(bytes(32), long)
    )
    with pytest.raises(RequestError) as refusal:
        running.offer([Submission("long", touch, long, bytes(32))])
    assert refusal.value.code == "storage-limit"
    running.submit(*touches(1, by))


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
    assert first == ("done", 6, 2, None, None)
    assert second is not None
    assert second[:4] == ("refused", 8, 0, "surface-unknown")
    assert third == ("done", 8, 0, None, None)


def test_an_identity_keeps_its_first_pseudonym_for_every_caller(running: Ledger) -> None:
    def ask(account: str, external_id: str, fresh: bytes) -> bytes:
        with running.session(account) as session:
            return pseudonym_for(session, running.log_id, SURFACE, external_id, fresh)

    first = ask(OPERATOR, "ann@example.com", word("1"))
    assert first != word("1")  # only the surface's owner chooses
    assert ask(OWNER, "ann@example.com", word("2")) == first
    assert ask(OWNER, "bob@example.com", word("3")) == word("3")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask("", "cat@example.com", word("4"))
    with running.session(OWNER) as session, pytest.raises(RequestError, match="no policy"):
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
    with running.session(OWNER) as session, pytest.raises(RequestError, match=said) as no:
        pseudonym_for(session, running.log_id, SURFACE, external_id, word("5"))
    assert no.value.code == "lead-id"


def payload(log: Ledger, committed: bytes) -> tuple[bytes, bytes]:
    """Return the salt and the body that are kept behind a commitment."""
    query = "SELECT salt, body FROM private_payloads WHERE log_id = %s AND commitment = %s"
    with psycopg.connect(log.url) as admin:
        (found,) = admin.execute(query, (log.log_id, committed)).fetchall()
    return found[0], found[1]


def test_erasing_a_lead_leaves_a_log_that_still_proves(running: Ledger) -> None:
    salt, body = b"s" * 32, b'{"note":"met Ann"}'
    with running.session(OWNER) as session:
        lead = pseudonym_for(session, running.log_id, SURFACE, "ann@example.com", LEADS[0])
    touch = Touch(SURFACE, lead, OPERATORS[0], "email", commitment=commitment(salt, body))
    running.offer([Submission("k", touch, body, salt)])
    running.drain()
    with running.session(OPERATOR) as session:
        assert erase(session, running.log_id, SURFACE, lead) == 0  # not the operator's to erase
    with running.session(OWNER) as session:
        salt_kept, body_kept = payload(running, touch.commitment)
        assert sha256(salt_kept + body_kept).digest() == touch.commitment
        assert erase(session, running.log_id, SURFACE, lead) == 2
    with psycopg.connect(running.url) as admin:
        for table in ("lead_identities", "private_payloads"):
            left = admin.execute(f"TABLE {table}").fetchall()
            assert [row for row in left if row[0] == running.log_id] == []
    assert fsck(running.api, running.log_id) == len(running.entries())
    # The key was used, and what for cannot be told any more.
    with pytest.raises(RequestError, match="another request"):
        running.offer([Submission("k", touch, body, salt)])


# --- Refusals that time changes -------------------------------------------------------------------


LATER = surface_named("later")


def statuses(log: Ledger, ids: Sequence[UUID]) -> list[tuple[str, str | None]]:
    return [(r.status, r.code) for r in log.results(ids) if r is not None]


def turns(log: Ledger, name: UUID) -> list[tuple[int, str | None]]:
    """Return the turns of a request with the codes of their results."""
    with psycopg.connect(log.url) as admin:
        return admin.execute(
            "SELECT turn, code FROM requests LEFT JOIN results USING (log_id, seq)"
            " WHERE request_id = %s ORDER BY turn",
            (name,),
        ).fetchall()


def test_a_request_refused_for_a_while_is_decided_anew_when_it_comes_again(running: Ledger) -> None:
    early = Submission("early", Touch(LATER, LEADS[0], OPERATORS[0], "email"), b"{}")
    (name,) = running.offer([early])
    running.drain()
    for turn in (2, 3):
        assert statuses(running, [name]) == [("refused", "surface-unknown")]
        assert running.offer([early]) == [name]
        assert statuses(running, [name]) == [("waiting", None)]
        assert running.offer([early]) == [name]  # it waits already
        assert [number for number, _ in turns(running, name)] == [*range(1, turn + 1)]
        running.drain()
    running.submit_and_drain(*opening(LATER))
    assert statuses(running, [name]) == [("refused", "surface-unknown")]  # it was not asked again
    running.now_ms += 7
    running.offer([early])
    running.drain()
    (result,) = running.results([name])
    assert result is not None
    assert (result.status, result.entries) == ("done", 2)
    assert result.first_position is not None
    assert running.entries()[result.first_position].entry.time_ms == running.now_ms
    # Its last word is said, and what was said before stands.
    assert running.offer([early]) == [name]
    assert turns(running, name) == [(n, "surface-unknown") for n in (1, 2, 3)] + [(4, None)]


def test_a_last_word_is_not_asked_for_again(running: Ledger) -> None:
    running.now_ms = 10_000
    late = Submission("late", ProductEvent(SURFACE, LEADS[0], "buy", 1, 4_999), b"{}")
    (name,) = running.offer([late])
    running.drain()
    assert statuses(running, [name]) == [("refused", "event-late")]
    running.offer([late])
    assert turns(running, name) == [(1, "event-late")]


def test_a_retry_is_compared_with_the_body_of_its_key(running: Ledger) -> None:
    touch = Touch(LATER, LEADS[0], OPERATORS[0], "email")
    (name,) = running.offer([Submission("early", touch, b"one")])
    running.drain()
    for other in (
        [Submission("early", touch, b"two")],
        [Submission("early", touch, b"one"), Submission("early", touch, b"two")],
    ):
        with pytest.raises(RequestError, match="another request"):
            running.offer(other)
        assert turns(running, name) == [(1, "surface-unknown")]
    running.offer([Submission("early", touch, b"one"), Submission("early", touch, b"one")])
    assert turns(running, name) == [(1, "surface-unknown"), (2, None)]
    with pytest.raises(RequestError, match="another request"):
        running.offer([Submission("early", touch, b"two")])


def test_a_retry_commits_to_the_salt_that_it_came_with(running: Ledger) -> None:
    def salted(salt: bytes, body: bytes = b"hello") -> Submission:
        commits = commitment(salt, body)
        touch = Touch(LATER, LEADS[0], OPERATORS[0], "email", commitment=commits)
        return Submission("early", touch, body, salt)

    (name,) = running.offer([salted(b"1" * 32)])
    running.submit_and_drain(*opening(LATER))
    with pytest.raises(RequestError, match="another request"):
        running.offer([salted(b"2" * 32, b"other")])
    running.offer([salted(b"3" * 32)])
    running.drain()
    assert statuses(running, [name]) == [("done", None)]
    opened = running.entries()[-1].opened
    assert isinstance(opened, ActOpening)
    assert payload(running, opened.commitment) == (b"3" * 32, b"hello")
    assert running.offer([salted(b"4" * 32)]) == [name]  # compared by the third salt


def test_a_retry_keeps_its_place_in_a_bulk(running: Ledger) -> None:
    early = Submission("early", Touch(LATER, LEADS[0], OPERATORS[0], "first"), b"{}")
    running.offer([early])
    running.submit_and_drain(*opening(LATER))
    after = Submission("after", Touch(LATER, LEADS[0], OPERATORS[0], "second"), b"{}")
    before = Submission("before", Touch(LATER, LEADS[0], OPERATORS[0], "zeroth"), b"{}")
    running.offer([before, early, after])
    running.drain()
    labels = [stored.entry.label for stored in running.entries()][-3:]
    assert labels == ["zeroth", "first", "second"]


def test_of_many_retries_at_once_one_is_taken(running: Ledger) -> None:
    early = Submission("early", Touch(LATER, LEADS[0], OPERATORS[0], "email"), b"{}")
    contract = Submission("closed", CloseContract(word("none"), 0, word("tx")), b"{}")
    names = running.offer([early, contract])
    running.drain()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: running.offer([early, contract]), range(24)))
    assert found == [names] * 24
    assert [len(turns(running, name)) for name in names] == [2, 2]


# --- Receipts -------------------------------------------------------------------------------------


def test_a_touch_taken_before_a_purchase_wins_however_late_it_is_decided(running: Ledger) -> None:
    """The sequencer is away for an hour, and a flood of others waits before it."""
    hour_ms = 3_600_000
    flood = [Touch(SURFACE, LEADS[1], OPERATORS[0], f"step {n % 200}") for n in range(500)]
    running.submit(*flood)
    running.now_ms = 1_000
    running.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "email"))
    running.submit(ProductEvent(SURFACE, LEADS[0], "signup", 0, 1_000))
    running.submit(*flood)
    running.now_ms = 2_000
    running.submit(ProductEvent(SURFACE, LEADS[0], "buy", 7, 1_001))
    running.now_ms = hour_ms
    with running.sequencer() as sequencer:
        while sequencer.drain(limit=300):
            pass
    contract = running.reader.contract(CONTRACT.contract_id)
    assert contract is not None
    assert contract.outcomes == 1
    times = {
        stored.entry.label: stored.entry.time_ms
        for stored in running.entries()
        if stored.entry.subject == LEADS[0]
    }
    assert times == {"new": 1_000, "email": 1_000, "trial": 1_000, "paid": 1_001}
    assert compare_projections(running.writer, running.log_id) == []


@pytest.mark.parametrize("is_locked", [True, False])
def test_the_order_of_a_surface_is_that_of_receipts(
    database_url: str, monkeypatch: pytest.MonkeyPatch, is_locked: bool
) -> None:
    """Real time, many at once, some slow to commit; without the locks the order is another."""
    if not is_locked:
        monkeypatch.setattr(inbox, "_locks", lambda *_: set())
    surfaces = [surface_named(f"surface {n}") for n in range(3)]
    accounts = ["0x" + f"{n:040x}" for n in range(1, 9)]
    stop = Event()
    with (
        open_as(database_url, API, most_connections=12) as api,
        open_as(database_url, SEQUENCER) as writer,
        open_as(database_url, WORKER) as worker,
    ):
        log = begin_log(database_url, api, writer, worker)
        operators = [address_word(account) for account in accounts]
        log.submit(
            genesis(log),
            *(request for surface in surfaces for request in opening(surface, operators)),
        )
        log.drain()

        def send(account: str) -> None:
            random = Random(account)  # noqa: S311 - choices of a test
            for number in range(25):
                place = random.randrange(len(surfaces))
                touches = [
                    Submission(
                        f"{place}-{number}-{n}",
                        Touch(
                            surfaces[place], word(f"lead {place}"), address_word(account), "email"
                        ),
                        b"",
                    )
                    for n in range(random.choice([1, 1, 3]))
                ]
                with log.session(account) as session:
                    inbox.submit(session, log.log_id, account, touches)
                    sleep(random.choice([0, 0, 0.002, 0.01]))  # a slow commit

        def write() -> None:
            with log.sequencer() as sequencer:
                while not stop.is_set():
                    sequencer.drain(limit=20)
                log.drain(sequencer)

        with ThreadPoolExecutor(len(accounts) + 1) as pool:
            writing = pool.submit(write)
            try:
                for sent in [pool.submit(send, account) for account in accounts]:
                    sent.result()
            finally:
                stop.set()
            writing.result()
        with psycopg.connect(database_url) as admin:
            rows = admin.execute(
                "SELECT split_part(idempotency_key, '-', 1), received_ms, first_position"
                " FROM requests JOIN results USING (log_id, seq) WHERE kind = 'touch' ORDER BY seq"
            ).fetchall()
        assert fsck(api, log.log_id) == len(log.entries())
    assert len(rows) >= 200
    is_in_order = True
    for place in "012":
        of_surface = [row[1:] for row in rows if row[0] == place]
        is_in_order &= all(
            one[0] <= next_[0] and one[1] < next_[1] for one, next_ in pairwise(of_surface)
        )
    assert is_in_order == is_locked


def test_two_surfaces_do_not_wait_for_one_another(running: Ledger) -> None:
    other = surface_named("other")
    running.submit_and_drain(*opening(other))
    with running.session_apart(OPERATOR) as session:
        touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
        inbox.submit(session, running.log_id, OPERATOR, [Submission("held", touch, b"")])
        running.submit(Touch(other, LEADS[1], OPERATORS[0], "email"), Settle())
    running.drain()
    assert [stored.entry.kind for stored in running.entries()].count("touch") == 2


@pytest.mark.parametrize("ahead_ms", [1, 10**9])
def test_an_event_that_is_still_to_come_is_not_stored(running: Ledger, ahead_ms: int) -> None:
    running.now_ms = 1_000
    soon = ProductEvent(SURFACE, LEADS[0], "signup", 0, 1_000 + ahead_ms)
    with pytest.raises(EventAheadError) as refusal:
        running.offer([Submission("soon", soon, b"{}")])
    assert (refusal.value.code, refusal.value.ahead_ms) == ("event-ahead", ahead_ms)
    running.now_ms += ahead_ms
    (name,) = running.offer([Submission("soon", soon, b"another body")])
    running.drain()
    assert statuses(running, [name]) == [("done", None)]
