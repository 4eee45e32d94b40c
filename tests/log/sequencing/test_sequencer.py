"""The sequencer: the stored log is the fold of its requests, whatever the drains."""

from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import sha256
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import LogError, RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log.merkle import leaf_hash, root_of
from orchestrator.core.log.opening import Record, encode_opening
from orchestrator.core.surface.policy import MODELS, Policy
from orchestrator.core.world.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World
from orchestrator.log.fsck import compare_projections
from orchestrator.log.inbox import Submission, results_of, submit
from orchestrator.log.sequencing import sequencer as sequencer_module
from orchestrator.log.sequencing.sequencer import BATCH, Sequencer
from tests.support.depth import examples
from tests.support.fsck import fsck
from tests.support.ledger import (
    OPERATOR,
    OWNER_WORD,
    POLICY,
    Ledger,
    alter,
    genesis,
    open_market,
    sign,
)
from tests.support.servers import hold_inbox_to
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    contract_lists,
    partnership,
    policy,
    request_lists,
    surface_named,
    word,
)
from tests.support.worlds import settings as surface_settings


@settings(examples(5, deep=160), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_stored_log_is_the_pure_fold_of_its_requests(data: st.DataObject, log: Ledger) -> None:
    """Any history, cut into any batches, with any cache: entries, proofs and projections agree.

    Of small batches each is decided before the last is stored.
    """
    governing = policy(attribution=data.draw(st.sampled_from(MODELS)))
    contracts = data.draw(contract_lists(governing))
    requests = data.draw(request_lists(contracts, OWNER_WORD))
    log = log.another()  # each example has one, on shared connections
    opening: list[Request] = [
        genesis(log),
        PublishPolicy(SURFACE, OWNER_WORD, governing),
        PublishSettings(SURFACE, OWNER_WORD, surface_settings()),
        *(
            request
            for operator in OPERATORS
            for request in partnership(governing, operator, owner=OWNER_WORD)
        ),
        *(OpenContract(c._replace(owner=OWNER_WORD), word("tx")) for c in contracts),
    ]
    batches = [(0, opening)]
    for now_ms, request in requests:
        if data.draw(st.booleans()):
            batches.append((now_ms, []))
        batches[-1] = (now_ms, [*batches[-1][1], request])
    world = World()
    expected: list[Record] = []
    with log.sequencer(
        leads_in_memory=data.draw(st.sampled_from([1, 2, 100])),
        standings_in_memory=data.draw(st.sampled_from([0, 1, 100])),
        document_bytes=data.draw(st.sampled_from([1, 10_000])),
    ) as sequencer:
        for log.now_ms, batch in batches:
            log.submit(*batch)
            for request in batch:
                expected += _folded(world, request, log.now_ms)
            if data.draw(st.booleans()):
                sequencer.close()  # what is stored must be enough to go on from
            sequencer.drain_all(data.draw(st.sampled_from([1, 2, 5, BATCH])))
    assert [(s.data, s.opening) for s in log.entries()] == [
        (encode(entry), opening and encode_opening(opening)) for entry, opening in expected
    ]
    head = log.reader.checkpoint()
    assert head is not None
    assert head.root == root_of(leaf_hash(encode(record.entry)) for record in expected)
    assert head.signature == sign(head.size, head.root)
    assert fsck(log.api, log.log_id, (head.size, head.root)) == head.size
    assert compare_projections(log.writer, log.log_id) == []


def _folded(world: World, request: Request, now_ms: int) -> list[Record]:
    try:
        return decide(world, request, now_ms)
    except RequestError:
        return []


def test_two_policies_of_one_drain_are_both_kept(running: Ledger) -> None:
    newer = policy(lateness_s=7)
    newest = policy(lateness_s=8)
    here = surface_named("second")
    running.submit(*(PublishPolicy(here, OWNER_WORD, each) for each in (POLICY, newer, newest)))
    running.drain()
    assert [running.reader.policy(each.hash) for each in (newer, newest)] == [newer, newest]
    assert compare_projections(running.writer, running.log_id) == []


def test_policies_take_a_bounded_memory_however_many_are_published(
    running: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account's many surfaces: each event finds its policy, few of which are in memory."""
    monkeypatch.setattr(sequencer_module, "BATCH_DOCUMENTS", 2)
    many = [policy(lateness_s=100 + number) for number in range(7)]
    surfaces = [surface_named(f"surface {number}") for number in range(7)]
    most_bytes = 2 * many[0].document_bytes
    with running.sequencer(document_bytes=most_bytes) as sequencer:
        running.submit(
            *(
                PublishPolicy(surface, OWNER_WORD, each)
                for surface, each in zip(surfaces, many, strict=True)
            )
        )
        sizes = []
        while checkpoint := sequencer.drain():
            sizes.append(checkpoint.size)
            assert len(policies_of(sequencer)) <= 2
        assert sizes == [8, 10, 12, 13]
        # Each event is judged by its own surface's policy: by the first three it is too late.
        running.now_ms = 103_000
        events = [
            ProductEvent(surface, word(f"lead {number}"), "signup", 0, 0)
            for number, surface in enumerate(surfaces)
        ]
        ids = running.submit(*events, *events)
        running.drain(sequencer)
        assert len(policies_of(sequencer)) <= 2
    fates = [result and result.code for result in running.results(ids)]
    assert fates == (["event-late"] * 3 + [None] * 4) * 2
    assert compare_projections(running.writer, running.log_id) == []
    assert fsck(running.api, running.log_id)


def test_a_drain_reads_the_policies_that_it_publishes_though_it_forgot_them(
    running: Ledger,
) -> None:
    many = [policy(lateness_s=100 + number) for number in range(3)]
    surfaces = [surface_named(f"surface {number}") for number in range(3)]
    running.submit(*map(PublishPolicy, surfaces, [OWNER_WORD] * 3, many))
    ids = running.submit(
        *(ProductEvent(surface, sha256(surface).digest(), "signup", 0, 0) for surface in surfaces)
    )
    with running.sequencer(document_bytes=1) as sequencer:
        running.drain(sequencer)
    assert [result and result.entries for result in running.results(ids)] == [2, 2, 2]
    for each in many:
        assert running.reader.policy(each.hash) == each


def policies_of(sequencer: Sequencer) -> DocumentCache[Policy]:
    """Return the policies that a sequencer has in memory."""
    assert sequencer._writer is not None
    policies = sequencer._writer.world.policies
    assert isinstance(policies, DocumentCache)
    return policies


def test_a_policy_that_is_altered_while_the_log_runs_stops_it(running: Ledger) -> None:
    running.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "email"))
    with running.sequencer() as sequencer:
        alter(running, "UPDATE policies SET document = '[]' WHERE log_id = %s")
        with pytest.raises(LogError) as refused:
            sequencer.drain()
    assert refused.value.code == "policy-altered"


def test_a_drain_takes_no_more_than_its_limit(running: Ledger) -> None:
    running.submit(*[Touch(SURFACE, LEADS[0], OPERATORS[0], "email")] * 5)
    sizes = []
    with running.sequencer() as sequencer:
        while checkpoint := sequencer.drain(limit=2):
            sizes.append(checkpoint.size)
    assert sizes == [9, 11, 12]


# --- Turns ----------------------------------------------------------------------------------------


def test_no_surface_waits_behind_more_than_a_turn_of_another(running: Ledger) -> None:
    hold_inbox_to(running.url, turn_requests=5)
    other = surface_named("other")
    running.submit_and_drain(PublishPolicy(other, OWNER_WORD, POLICY))
    flood = running.submit(*[Touch(SURFACE, LEADS[0], OPERATORS[0], "flood")] * 100)
    with running.sequencer() as sequencer:
        sequencer.drain(20)
        (late,) = running.submit(Touch(other, LEADS[1], OPERATORS[0], "late"))
        (settle,) = running.submit(Settle())
        # Of the flood's turn that is being served five may be left, and they came first.
        sequencer.drain(7)
        assert decided(running, [late, settle]) == [True, True]
        assert decided(running, flood) == [True] * 25 + [False] * 75
        again = running.submit(*[Touch(other, LEADS[1], OPERATORS[0], "again")] * 7)
        sequencer.drain(10)
        assert sum(decided(running, again)) >= 4
        running.drain(sequencer)
    assert all(decided(running, [*flood, *again]))


def decided(log: Ledger, ids: Sequence[UUID]) -> list[bool]:
    return [result is not None and result.status != "waiting" for result in log.results(ids)]


@settings(examples(3, deep=100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_request_overtakes_another_of_its_surface(data: st.DataObject, log: Ledger) -> None:
    """Whoever floods, and however drains are cut: on a surface, and on none, order is receipt."""
    log = log.another()
    surfaces = [SURFACE, surface_named("second"), surface_named("third")]
    log.submit_and_drain(
        genesis(log), *(PublishPolicy(each, OWNER_WORD, POLICY) for each in surfaces)
    )
    sent: dict[bytes | None, list[UUID]] = {each: [] for each in (*surfaces, None)}
    hold_inbox_to(log.url, turn_requests=data.draw(st.integers(1, 4)))
    with log.sequencer() as sequencer:
        for _ in range(data.draw(st.integers(1, 8))):
            for where in data.draw(st.permutations([*surfaces, None])):
                count = data.draw(st.integers(0, 9))
                request: Request = (
                    Settle() if where is None else Touch(where, LEADS[0], OPERATORS[0], "x")
                )
                sent[where] += log.submit(*[request] * count)
            for _ in range(data.draw(st.integers(0, 3))):
                sequencer.drain(data.draw(st.integers(1, 12)))
            for ids in sent.values():
                done = decided(log, ids)
                assert done == sorted(done, reverse=True)
        log.drain(sequencer)
    for where in surfaces:
        results = [result for result in log.results(sent[where]) if result is not None]
        positions = [result.first_position for result in results]
        assert positions == sorted(positions, key=lambda position: position or 0)


def test_a_drain_that_appends_nothing_leaves_the_checkpoint(running: Ledger) -> None:
    running.submit(Settle(), Touch(word("nowhere"), LEADS[0], OPERATORS[0], "email"))
    head = running.reader.checkpoint()
    with running.sequencer() as sequencer:
        assert sequencer.drain() == head
        assert sequencer.drain() is None


def test_before_the_genesis_requests_are_refused_for_a_while(log: Ledger) -> None:
    early = Submission("early", Touch(SURFACE, LEADS[0], OPERATORS[0], "email"), b"")
    (name,) = log.offer([early])
    log.drain()
    assert [(result.code, result.is_retryable) for result in log.results([name]) if result] == [
        ("log-unbegun", True)
    ]
    open_market(log)
    log.offer([early])
    log.drain()
    assert [result.status for result in log.results([name]) if result] == ["done"]
    assert log.entries()[0].entry.kind == "genesis"


def test_a_log_that_was_never_begun_has_no_sequencer(running: Ledger) -> None:
    unknown = Ledger(running.url, word("unknown"), running.api, running.writer, running.worker)
    with pytest.raises(LogError, match="never begun"):
        unknown.sequencer().open()


@pytest.mark.parametrize("step", ["taken", "committed"])
def test_a_request_that_commits_late_is_not_passed_over(running: Ledger, step: str) -> None:
    """One with a lower number, that is still open when later ones are taken."""
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "late")
    transaction = ExitStack()

    def commit(name: str) -> None:
        if name == step:
            transaction.close()

    with running.sequencer(failpoint=commit) as sequencer, transaction:
        session = transaction.enter_context(running.session_apart(OPERATOR))
        (late,) = submit(session, running.log_id, OPERATOR, [Submission("late", touch, b"")]).ids
        running.submit(Settle())
        running.drain(sequencer)
    with running.session(OPERATOR) as session:
        result = results_of(session, running.log_id, [late]).get(late)
    assert result is not None
    assert result.status == "done"


def test_what_is_decided_is_on_the_disk_before(running: Ledger) -> None:
    """A request can be read a moment before; the mark must name none that a crash takes.

    PostgreSQL flushes by itself after a fifth of a second: long after the drain has begun.
    """
    touch = Touch(SURFACE, LEADS[0], OPERATORS[0], "email")
    flushed: list[bool] = []

    def look(name: str) -> None:
        if name == "taken":
            query = "SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn"
            flushed.extend(admin.execute(query, (committed,)).fetchone() or ())

    with (
        psycopg.connect(running.url, autocommit=True) as admin,
        running.sequencer(failpoint=look) as sequencer,
    ):
        with running.session(OPERATOR) as session:
            submit(session, running.log_id, OPERATOR, [Submission("unflushed", touch, b"")])
            session._connection.execute("SET LOCAL synchronous_commit = off")
        (committed,) = admin.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ("",)
        sequencer.drain()
    assert flushed == [True]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET entry = set_byte(entry, 191, 9) WHERE log_id = %s AND position = 311",
        "DELETE FROM entries WHERE log_id = %s AND position = 311",
        """
        INSERT INTO entries SELECT log_id, position + 1, entry, opening FROM entries
        WHERE log_id = %s AND position = 311
        """,
    ],
    ids=["an entry's value", "the last entry removed", "an entry added"],
)
def test_nothing_is_written_on_top_of_an_altered_edge(full: Ledger, change: str) -> None:
    assert full.entries()[-1].position == 311
    assert alter(full, change) == 1
    with pytest.raises(LogError):
        full.sequencer().open()
