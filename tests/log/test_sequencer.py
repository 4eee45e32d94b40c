"""Submitting, sequencing and reading the log, on a real PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.codec import commitment
from orchestrator.core.decide import decide
from orchestrator.core.entry import address_word
from orchestrator.core.errors import DomainError, LogError, RequestError
from orchestrator.core.kinds import encode
from orchestrator.core.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
    verify_run,
)
from orchestrator.core.opening import Record
from orchestrator.core.policy import MODELS
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world import World
from orchestrator.log import inbox
from orchestrator.log import sequencer as log_module
from orchestrator.log.fsck import compare_projections, fsck
from orchestrator.log.inbox import Submission, erase, pseudonym_for, submit
from orchestrator.storage.database import API, SEQUENCER, Database
from tests.support.depth import examples
from tests.support.ledger import OPERATOR, OWNER, STRANGER, Ledger, begin_log, genesis, ledger, sign
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    contract_lists,
    policy,
    request_lists,
    rules,
    word,
)

POLICY = policy()
OWNER_WORD = address_word(OWNER)
CONTRACT = rules("contract", POLICY, owner=OWNER_WORD)


@pytest.fixture
def log(module_database_url: str) -> Iterator[Ledger]:
    with ledger(module_database_url) as begun:
        yield begun


@pytest.fixture
def running(log: Ledger) -> Ledger:
    """A log with a surface, an operator and a contract."""
    log.submit(
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, POLICY),
        RegisterOperator(OPERATORS[0], "0", word("profile")),
        OpenContract(CONTRACT, word("transaction")),
    )
    with log.sequencer() as sequencer:
        log.drain(sequencer)
    return log


@pytest.fixture
def log_of_another(running: Ledger) -> Ledger:
    return begin_log(running.url, running.api, running.writer)


def journey(lead: bytes, now_ms: int = 0) -> list[Request]:
    """Requests by which a lead is touched, signs up and pays: five entries and an outcome."""
    return [
        Touch(SURFACE, lead, OPERATORS[0], "email"),
        ProductEvent(SURFACE, lead, "signup", 0, now_ms),
        ProductEvent(SURFACE, lead, "buy", 7, now_ms),
    ]


# --- Submitting -----------------------------------------------------------------------------------


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
    with running.sequencer() as sequencer:
        running.drain(sequencer)
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
    with running.sequencer() as sequencer:
        running.drain(sequencer)
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
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    running.submit(Settle())


@pytest.mark.parametrize("step", ["taken", "committed"])
def test_a_request_that_commits_late_is_not_passed_over(running: Ledger, step: str) -> None:
    """One with a lower number, that is still open when later ones are taken."""
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "late")
    transaction = ExitStack()

    def commit(name: str) -> None:
        if name == step:
            transaction.close()

    with running.sequencer(failpoint=commit) as sequencer, transaction:
        session = transaction.enter_context(running.api.transaction(OWNER))
        (late,) = submit(session, running.log_id, OWNER, [Submission("late", touch, b"")], 0)
        running.submit(Settle())
        running.drain(sequencer)
    (result,) = running.results([late])
    assert result is not None
    assert result.status == "done"


def test_results_say_what_became_of_each_request(running: Ledger) -> None:
    done, refused, ignored = running.submit(
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        Touch(word("nowhere"), LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "noise", 0, 0),
    )
    assert [r and r.status for r in running.results([done])] == ["waiting"]
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    first, second, third = (
        result and result[1:] for result in running.results([done, refused, ignored])
    )
    assert first == ("done", 4, 2, None, None)
    assert second is not None
    assert second[:4] == ("refused", 6, 0, "surface-unknown")
    assert third == ("done", 6, 0, None, None)


# --- Pseudonyms and erasure -----------------------------------------------------------------------


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
    with running.api.transaction(OWNER) as session, pytest.raises(RequestError, match="printable"):
        pseudonym_for(session, running.log_id, SURFACE, "nul\0", word("5"))


def test_erasing_a_lead_leaves_a_log_that_still_proves(running: Ledger) -> None:
    salt, body = b"s" * 32, b'{"note":"met Ann"}'
    with running.api.transaction(OWNER) as session:
        lead = pseudonym_for(session, running.log_id, SURFACE, "ann@example.com", LEADS[0])
    touch = Touch(SURFACE, lead, OPERATORS[0], "email", commitment=commitment(salt, body))
    running.offer([Submission("k", touch, body, salt)], OPERATOR)
    with running.sequencer() as sequencer:
        running.drain(sequencer)
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


# --- Sequencing -----------------------------------------------------------------------------------


@settings(examples(40, deep=160), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_stored_log_is_the_pure_fold_of_its_requests(
    data: st.DataObject, module_database_url: str
) -> None:
    """Any history, cut into any drains, with any cache: entries, proofs and projections agree."""
    governing = policy(attribution=data.draw(st.sampled_from(MODELS)))
    contracts = data.draw(contract_lists(governing))
    requests = data.draw(request_lists(contracts, OWNER_WORD))
    with (
        Database(module_database_url, API) as api,
        Database(module_database_url, SEQUENCER) as writer,
    ):
        log = begin_log(module_database_url, api, writer)
        opening: list[Request] = [
            genesis(log),
            PublishPolicy(SURFACE, OWNER_WORD, governing),
            *(OpenContract(c._replace(owner=OWNER_WORD), word("tx")) for c in contracts),
        ]
        batches = [(0, opening)]
        for now_ms, request in requests:
            if data.draw(st.booleans()):
                batches.append((now_ms, []))
            batches[-1] = (now_ms, [*batches[-1][1], request])
        world = World()
        expected: list[Record] = []
        with log.sequencer(leads_in_memory=data.draw(st.sampled_from([1, 2, 100]))) as sequencer:
            for log.now_ms, batch in batches:
                log.submit(*batch)
                for request in batch:
                    expected += _folded(world, request, log.now_ms)
                if data.draw(st.booleans()):
                    sequencer.close()  # what is stored must be enough to go on from
                log.drain(sequencer)
        assert [(s.data, s.opening) for s in log.entries()] == [
            (encode(entry), opening and opening.encode()) for entry, opening in expected
        ]
        head = log.reader.checkpoint()
        assert head is not None
        assert head.root == root_of(leaf_hash(encode(record.entry)) for record in expected)
        assert head.signature == sign(head.size, head.root)
        assert fsck(api, log.log_id, (head.size, head.root)) == head.size
        assert compare_projections(writer, log.log_id) == []


def _folded(world: World, request: Request, now_ms: int) -> list[Record]:
    try:
        return decide(world, request, now_ms)
    except RequestError:
        return []


def test_two_policies_of_one_drain_are_both_kept(running: Ledger) -> None:
    newer = policy(lateness_s=7)
    newest = policy(lateness_s=8)
    here = word("elsewhere")
    running.submit(*(PublishPolicy(here, OWNER_WORD, each) for each in (POLICY, newer, newest)))
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    assert [running.reader.policy(each.hash) for each in (newer, newest)] == [newer, newest]
    assert compare_projections(running.writer, running.log_id) == []


def test_a_drain_takes_no_more_than_its_limit(running: Ledger) -> None:
    running.submit(*[Touch(SURFACE, LEADS[0], OPERATORS[0], "email")] * 5)
    sizes = []
    with running.sequencer() as sequencer:
        while checkpoint := sequencer.drain(limit=2):
            sizes.append(checkpoint.size)
    assert sizes == [7, 9, 10]


def test_a_drain_that_appends_nothing_leaves_the_checkpoint(running: Ledger) -> None:
    running.submit(Settle(), Touch(word("nowhere"), LEADS[0], OPERATORS[0], "email"))
    head = running.reader.checkpoint()
    with running.sequencer() as sequencer:
        assert sequencer.drain() == head
        assert sequencer.drain() is None


def test_a_request_at_which_the_fold_fails_is_refused_alone(
    running: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = word("poison")
    good, bad, also_good = running.submit(
        *(Touch(SURFACE, lead, OPERATORS[0], "email") for lead in (LEADS[0], poison, LEADS[1]))
    )

    def mistaken(world: World, request: Request, now_ms: int) -> list[Record]:
        records = decide(world, request, now_ms)
        if isinstance(request, Touch) and request.lead == poison:
            raise KeyError(poison)
        return records

    monkeypatch.setattr(log_module, "decide", mistaken)
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    statuses = [
        result and (result.status, result.code)
        for result in running.results([good, bad, also_good])
    ]
    assert statuses == [("done", None), ("refused", "request-unfoldable"), ("done", None)]
    assert compare_projections(running.writer, running.log_id) == []
    assert fsck(running.api, running.log_id) == 8


def test_an_inbox_body_that_is_no_request_is_refused(running: Ledger) -> None:
    (name,) = running.submit(Settle())
    with psycopg.connect(running.url) as admin:
        admin.execute("UPDATE inbox SET body = '[1.5e400]' WHERE log_id = %s", (running.log_id,))
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    (result,) = running.results([name])
    assert result is not None
    assert result.code == "request-malformed"


def test_a_log_that_was_never_begun_has_no_sequencer(running: Ledger) -> None:
    unknown = Ledger(running.url, word("unknown"), running.api, running.writer)
    with pytest.raises(LogError, match="never begun"):
        unknown.sequencer().open()


# --- Reading --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(module_database_url: str) -> Iterator[Ledger]:
    """A log of 700 entries, in drains of uneven sizes: more than two tiles."""
    with ledger(module_database_url) as log:
        log.submit(genesis(log), PublishPolicy(SURFACE, OWNER_WORD, POLICY))
        with log.sequencer() as sequencer:
            log.drain(sequencer)
            size = 2
            for step in (1, 254, 3, 200, 100, 139):
                touches = [Touch(SURFACE, word(f"{size}"), OPERATORS[0], "email")] * step
                log.submit(*touches[1:])
                log.drain(sequencer)
                size += step
        yield log


def test_proofs_hold_for_every_checkpoint(long: Ledger) -> None:
    entries = long.entries()
    leaves = [leaf_hash(stored.data) for stored in entries]
    sizes = [size for size in range(1, 702) if long.reader.checkpoint(size)]
    assert len(sizes) > 5
    for size in sizes:
        checkpoint = long.reader.checkpoint(size)
        assert checkpoint is not None
        assert checkpoint.root == root_of(leaves[:size])
        for position in {0, 1, size // 2, size - 1}:
            path = long.reader.inclusion_proof(position, size)
            verify_inclusion(leaves[position], position, size, path, checkpoint.root)
        first, count_ = size // 3, size // 2
        if count_:
            proof = long.reader.run_proof(first, count_, size)
            verify_run(leaves[first : first + count_], first, size, proof, checkpoint.root)
        for old in sizes:
            if old <= size:
                proof = long.reader.consistency_proof(old, size)
                old_root = root_of(leaves[:old])
                verify_consistency(old, old_root, size, checkpoint.root, proof)
    assert long.reader.consistency_proof(0, sizes[-1]) == []
    verify_consistency(0, EMPTY_ROOT, sizes[-1], root_of(leaves[: sizes[-1]]), [])


def test_tiles_hold_the_hashes_of_their_level(long: Ledger) -> None:
    leaves = [leaf_hash(stored.data) for stored in long.entries()]
    assert long.reader.tile(0, 1) == leaves[256:512]
    assert long.reader.tile(0, 2, 7) == leaves[512:519]
    assert long.reader.tile(1, 0, 2) == [root_of(leaves[:256]), root_of(leaves[256:512])]
    for missing in ((0, 9, 1), (1, 0, 3), (0, 0, 0), (2, 0, 1)):
        with pytest.raises(LogError, match="tile"):
            long.reader.tile(*missing)


def test_what_is_not_in_the_log_has_no_proof(long: Ledger) -> None:
    size = len(long.entries())
    with pytest.raises(DomainError):
        long.reader.inclusion_proof(size, size)
    with pytest.raises(DomainError):
        long.reader.inclusion_proof(size, size + 1)
    with pytest.raises(DomainError):
        long.reader.consistency_proof(size, size + 1000)
    assert long.reader.checkpoint(size + 1) is None


def test_entries_come_in_bounded_pages(long: Ledger) -> None:
    entries = long.entries()
    assert [stored.position for stored in entries] == list(range(len(entries)))
    assert long.reader.entries(5, 3) == entries[5:8]
    assert long.reader.entries(len(entries), 3) == []
    assert long.reader.entries(0, -1) == []
    assert long.reader.rehashed(2) == long.reader.checkpoint()
    with pytest.raises(LogError, match="no checkpoint"):
        long.reader.rehashed(4)


def test_entries_are_found_by_kind_subject_and_contract(running: Ledger) -> None:
    running.submit(*journey(LEADS[0]), *journey(LEADS[1]), Settle())
    running.submit(ProductEvent(SURFACE, LEADS[0], "refund", 0, 0), Settle())
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    entries = running.entries()
    reader = running.reader

    def where(test: Callable[[Any], bool]) -> list[int]:
        return [stored.position for stored in entries if test(stored.entry)]

    settlements = reader.of_kind("settlement", 0, 10)
    assert [s.position for s in settlements] == where(lambda e: e.kind == "settlement")
    assert len(settlements) == 2
    assert reader.of_kind("settlement", settlements[0].position, 10) == settlements[1:]
    about = reader.about(LEADS[0], 0, 100)
    assert [s.position for s in about] == where(lambda e: e.subject == LEADS[0])
    contract = CONTRACT.contract_id
    outcomes = reader.outcomes_of(contract, 0, 100)
    assert [s.position for s in outcomes] == where(
        lambda e: e.actor == contract and e.kind.startswith("outcome")
    )
    assert {s.entry.kind for s in outcomes} == {"outcome", "outcome.reversed"}
    found = reader.contract(contract)
    assert found is not None
    assert (found.earned_units, found.reversed_units, found.outcomes) == (20, 10, 2)
    assert reader.contracts(0, 10, owner=OWNER_WORD) == [found]
    assert reader.contracts(found.opened, 10) == []
    assert reader.contracts(0, 10, operator=OPERATORS[1]) == []


def test_leads_are_listed_by_state_to_those_who_work_with_them(running: Ledger) -> None:
    running.submit(
        *journey(LEADS[0]),
        *journey(LEADS[1])[:2],
        Touch(SURFACE, LEADS[2], OPERATORS[0], "email"),
        RegisterOperator(address_word(OPERATOR), "0", word("profile")),
    )
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    listed = running.reader.leads(OWNER, SURFACE, 10)
    assert [(row.state, row.lead) for row in listed] == [
        ("new", LEADS[2]),
        ("paid", LEADS[0]),
        ("trial", LEADS[1]),
    ]
    assert [row.touches for row in listed] == [1, 1, 1]
    assert running.reader.leads(OPERATOR, SURFACE, 10) == listed
    assert running.reader.leads(STRANGER, SURFACE, 10) == []
    assert running.reader.leads("", SURFACE, 10) == []
    assert running.reader.leads(OWNER, SURFACE, 10, state="paid") == listed[1:2]
    assert running.reader.leads(OWNER, SURFACE, 1, after=("new", LEADS[2])) == listed[1:2]


# --- Checking -------------------------------------------------------------------------------------

# The table, what is done to it, and who finds it.
TAMPERINGS = {
    "an entry's value": (
        "entries",
        "UPDATE entries SET entry = set_byte(entry, 191, 9) WHERE log_id = %s AND position = 5",
        fsck,
    ),
    "an entry's payload": (
        "entries",
        "UPDATE entries SET entry = set_byte(entry, 255, 1) WHERE log_id = %s AND position = 5",
        fsck,
    ),
    "an opening": (
        "entries",
        "UPDATE entries SET opening = set_byte(opening, 0, 1) WHERE log_id = %s AND position = 5",
        fsck,
    ),
    "no opening": (
        "entries",
        "UPDATE entries SET opening = NULL WHERE log_id = %s AND position = 5",
        fsck,
    ),
    "an entry removed": (
        "entries",
        "DELETE FROM entries WHERE log_id = %s AND position = 5",
        fsck,
    ),
    "the last entry removed": (
        "entries",
        """
        DELETE FROM entries
        WHERE log_id = %s AND position = (SELECT max(position) FROM entries WHERE log_id = %s)
        """,
        fsck,
    ),
    "an entry added": (
        "entries",
        """
        INSERT INTO entries SELECT log_id, position + 1, entry, opening FROM entries
        WHERE log_id = %s ORDER BY position DESC LIMIT 1
        """,
        fsck,
    ),
    "a checkpoint's root": (
        "checkpoints",
        "UPDATE checkpoints SET root = sha256('x') WHERE log_id = %s AND size = 4",
        fsck,
    ),
    "a checkpoint's nodes": (
        "checkpoints",
        "UPDATE checkpoints SET nodes = ARRAY[sha256('x')] WHERE log_id = %s AND size = 4",
        fsck,
    ),
    "the last checkpoint removed": (
        "checkpoints",
        "DELETE FROM checkpoints WHERE log_id = %s AND size > 4",
        fsck,
    ),
    "a policy's document": (
        "policies",
        "UPDATE policies SET document = jsonb_set(document, '{lateness_s}', '9') WHERE log_id = %s",
        fsck,
    ),
    "a policy's whole document": (
        "policies",
        "UPDATE policies SET document = '[]' WHERE log_id = %s",
        fsck,
    ),
    "a subtree": (
        "subtrees",
        "UPDATE subtrees SET hash = sha256('x') WHERE log_id = %s",
        fsck,
    ),
    "a subtree removed": ("subtrees", "DELETE FROM subtrees WHERE log_id = %s", fsck),
    "a subtree too many": (
        "subtrees",
        "INSERT INTO subtrees SELECT log_id, 16, 0, hash FROM subtrees WHERE log_id = %s",
        fsck,
    ),
    "a contract's total": (
        "contracts",
        "UPDATE contracts SET earned_units = earned_units + 1 WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's state": (
        "leads",
        "UPDATE leads SET state = 'new' WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's touches": (
        "leads",
        "UPDATE leads SET touches = 9 WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's memory": (
        "leads",
        "UPDATE leads SET document = jsonb_set(document, '{visits,paid}', '9') WHERE log_id = %s",
        compare_projections,
    ),
    "a lead's whole memory": (
        "leads",
        "UPDATE leads SET document = '{}' WHERE log_id = %s",
        compare_projections,
    ),
    "a lead removed": ("leads", "DELETE FROM leads WHERE log_id = %s", compare_projections),
    "an operator's level": (
        "operators",
        "UPDATE operators SET level = '5' WHERE log_id = %s",
        compare_projections,
    ),
    "an operator removed": (
        "operators",
        "DELETE FROM operators WHERE log_id = %s",
        compare_projections,
    ),
    "a surface's version": (
        "surfaces",
        "UPDATE surfaces SET version = 9 WHERE log_id = %s",
        compare_projections,
    ),
}


@pytest.fixture
def full(running: Ledger) -> Ledger:
    """A log with every projection filled and one whole tile."""
    running.submit(*journey(LEADS[0]), *[Touch(SURFACE, LEADS[1], OPERATORS[0], "call")] * 300)
    with running.sequencer() as sequencer:
        running.drain(sequencer)
    return running


def alter(log: Ledger, table: str, change: str) -> int:
    """What a superuser can do, and nobody else: switch off the triggers, then change the table."""
    with psycopg.connect(log.url) as admin:
        guarded = admin.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'only_grows'"
        ).fetchall()
        for (name,) in guarded:
            admin.execute(f"ALTER TABLE {name} DISABLE TRIGGER only_grows")
        changed = admin.execute(change, [log.log_id] * change.count("%s")).rowcount
        for (name,) in guarded:
            admin.execute(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER only_grows")
    return changed


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_a_superuser_alters_is_found(full: Ledger, what: str) -> None:
    table, change, finder = TAMPERINGS[what]
    assert fsck(full.api, full.log_id) == len(full.entries())
    assert compare_projections(full.writer, full.log_id) == []
    assert alter(full, table, change) > 0
    if finder is fsck:
        with pytest.raises(LogError):
            fsck(full.api, full.log_id)
    else:
        assert compare_projections(full.writer, full.log_id) != []


@pytest.mark.parametrize("what", ["an entry's value", "the last entry removed", "an entry added"])
def test_nothing_is_written_on_top_of_an_altered_edge(full: Ledger, what: str) -> None:
    table, change, _ = TAMPERINGS[what]
    last = len(full.entries()) - 1
    assert alter(full, table, change.replace("position = 5", f"position = {last}")) > 0
    with pytest.raises(LogError):
        full.sequencer().open()


def test_a_wholly_rewritten_log_is_found_by_its_anchor(full: Ledger, log: Ledger) -> None:
    head = full.reader.checkpoint()
    assert head is not None
    assert fsck(full.api, full.log_id, (head.size, head.root)) == head.size
    earlier = full.reader.checkpoint(4)
    assert earlier is not None
    assert fsck(full.api, full.log_id, (4, earlier.root)) == head.size
    with pytest.raises(LogError, match="anchored"):
        fsck(full.api, full.log_id, (head.size - 1, head.root))
    with pytest.raises(LogError, match="before anchor"):
        fsck(full.api, full.log_id, (head.size + 1, head.root))
