"""Databases that moved, by real back-ups and replicas: refused or brought forward, never a fork.

A market is paid through a real chain. Its cluster is backed up in between, goes on, and is lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from orchestrator.client.http import Client
from orchestrator.core.common.errors import LogError
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import Settle
from orchestrator.log.fsck import Checks, findings
from orchestrator.log.guard.mark import Mark
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.reader import LogReader
from orchestrator.log.tree import Checkpoint
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.migration import begin_log, prepare_schema
from orchestrator.runtime.recovery.restore import Parties, Restored, restore
from orchestrator.runtime.stack import Keys, Stack, Surroundings
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, SimulatedClock, key_of
from orchestrator.storage.database import SEQUENCER, WORKER, DatabaseUrls
from orchestrator.verify.saved_log import SavedLog, save_log
from tests.support.clusters import base_backup, cut_off, file_copy, promote, wait_for_replica
from tests.support.depth import deep_only
from tests.support.market import PLAIN, Market, Outcome
from tests.support.servers import CHAIN_START_S, open_as, server_folder

KEYS = Keys(*(key_of(name) for name in Keys._fields))


class World:
    """A market on a cluster of its own, and what is at hand for a move of its database."""

    def __init__(self, folder: Path, server: LocalPostgres, sandbox: Sandbox, mark: Path) -> None:
        self.folder, self.server, self.sandbox, self.mark = folder, server, sandbox, mark
        self.site = sandbox.stack.site
        self.market = Market(sandbox, folder, _no_command)

    def size_on(self, server: LocalPostgres) -> Checkpoint:
        with open_as(server.url, SEQUENCER) as database:
            head = LogReader(database, self.site.log_id).checkpoint()
        assert head is not None
        return head

    @contextmanager
    def stack_on(self, urls: DatabaseUrls) -> Iterator[Stack]:
        with Stack(
            databases=urls,
            rpc_url=self.sandbox.rpc_url,
            site=self.site,
            keys=KEYS,
            now_ms=self.sandbox.clock,
            public_url=self.sandbox.url,
            speed=0,
            limits=self.sandbox.stack.limits,
            around=Surroundings(mark=self.mark),
        ) as stack:
            yield stack

    def save(self) -> SavedLog:
        with Client(self.sandbox.url) as client:
            save_log(client, self.folder / "saved")
        return SavedLog(self.folder / "saved")

    def lose(self) -> None:
        """End the market's own writer and its cluster, as a machine that burns does."""
        self.sandbox.stack.sequencer.close()
        self.server.kill()

    def restore_to(self, url: str, source: SavedLog) -> Restored:
        stack = self.sandbox.stack
        domain, log_id = stack.chain.event_log_domain, self.site.log_id

        def sign(size: int, root: bytes) -> bytes:
            return sign_digest(checkpoint_digest(domain, log_id, size, root), key_of("publisher"))

        with open_as(url, SEQUENCER) as database:
            mark = Mark(self.mark, log_id)
            to = Parties(
                database, stack.chain, log_id, stack.publisher, sign, mark, self.sandbox.clock
            )
            return restore(source, to, lambda *_: None)

    def check_whole(self, url: str) -> None:
        chain = self.sandbox.stack.chain
        checks = Checks(rules=lambda name: rules_of(chain.terms_of(name), name))
        with open_as(url, SEQUENCER) as writer, open_as(url, WORKER) as worker:
            assert list(findings(writer, worker, self.site.log_id, checks)) == []

    def go_on(self, stack: Stack) -> None:
        """Bring what the chain has told into the log, anchor it, and see that it has not forked."""
        self.sandbox.finalize()
        for _ in range(20):
            moved = stack.pipeline.step()
            stack.drain()
            self.sandbox.finalize()
            if not moved:
                break
        assert stack.chain.forked_at(self.site.log_id) is None
        head = stack.log.checkpoint()
        assert head is not None
        assert stack.chain.checkpoint(self.site.log_id)[:2] == head[:2]


def _no_command(_arguments: list[str], _answer: str) -> Outcome:
    raise NotImplementedError("these parties do not use the command line")


@pytest.fixture
def world() -> Iterator[World]:
    with server_folder() as folder, LocalPostgres(folder / "one") as server:
        mark = folder / "publisher.mark"
        options = SandboxOptions(
            folder, CHAIN_START_S * 1000, "moved.example", 0, server.urls(), mark=mark
        )
        # What the tests take away from it is missed at its end.
        with suppress(psycopg.Error), Sandbox(options, lambda _: None) as sandbox:
            found = World(folder, server, sandbox, mark)
            try:
                yield found
            finally:
                found.market.close()


def first_sale(world: World) -> bytes:
    contract_id = world.market.open("ada", **PLAIN)
    world.sandbox.pass_time(3600)
    world.market.win("ada", "one")
    world.sandbox.settle("first")
    return contract_id


def leave_unreadable(world: World) -> None:
    """Have requests wait that PostgreSQL takes and Python does not read, as the API's may be."""
    deep, long = "[" * 3_000 + "]" * 3_000, "1" * 8_000
    rows = (("touch", deep), ("touch", long), ("open_contract", long))
    with psycopg.connect(world.server.url) as admin:
        for seq, (kind, body) in enumerate(rows):
            admin.execute(
                "INSERT INTO inbox (log_id, seq, account, sender, kind, received_ms, body, rank)"
                " VALUES (%s, %s, %s, 'tallystick_api', %s, %s, %s, 1)",
                (world.site.log_id, 1_000_000 + seq, f"0x{seq:040}", kind, CHAIN_START_S, body),
            )


def payouts(stack: Stack, contract_id: bytes) -> int:
    return sum(one.entry.kind == "payout" for one in stack.log.about(contract_id, -1, 1000))


def test_a_back_up_is_refused_and_brought_forward(world: World) -> None:
    """By pg_basebackup: entries and payouts that it lacks come from the public log alone."""
    contract_id = first_sale(world)
    leave_unreadable(world)
    backup = base_backup(world.server, world.folder / "two")
    before = world.size_on(world.server)
    world.market.win("ada", "two")
    world.sandbox.settle("second")
    world.market.report_hourly("three", "signup")
    after = world.size_on(world.server)
    anchored = world.sandbox.stack.chain.checkpoint(world.site.log_id).size
    assert before.size < anchored < after.size
    source = world.save()
    world.lose()
    with backup:
        with (
            pytest.raises(LogError, match="older copy of the log") as refused,
            world.stack_on(backup.urls()),
        ):
            pass
        assert refused.value.code == "log-behind"
        # A request that waited when the back-up was taken may have been decided since.
        assert world.size_on(backup) == before
        done = world.restore_to(backup.url, source)
        # What no program reads is refused with the rest, or left to the sequencer's refusal.
        assert (done.before, done.size, done.refused) == (before.size, after.size, 2)
        assert world.size_on(backup).root == after.root
        world.check_whole(backup.url)
        with world.stack_on(backup.urls()) as stack:
            assert payouts(stack, contract_id) == 2
            world.go_on(stack)
            assert payouts(stack, contract_id) == 2
            assert world.size_on(backup).size >= after.size
        world.check_whole(backup.url)
        # Once more there is nothing to bring.
        if world.size_on(backup).size == after.size:
            assert world.restore_to(backup.url, source) == Restored(after.size, after.size, 0)


def test_an_empty_database_is_filled_from_the_public_log(world: World) -> None:
    contract_id = first_sale(world)
    world.market.report_hourly("three", "signup")
    head = world.size_on(world.server)
    source = world.save()
    world.sandbox.stack.sequencer.close()
    with psycopg.connect(world.server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE fresh")
    urls = world.server.urls("fresh")
    prepare_schema(urls, limits=world.sandbox.stack.limits)
    with SimulatedClock(urls.owners, world.sandbox.clock()):
        begin_log(urls, world.site, world.sandbox.stack.publisher)
        done = world.restore_to(urls.owners, source)
        assert done == Restored(0, head.size, 0)
        world.check_whole(urls.owners)
        with world.stack_on(urls) as stack:
            world.go_on(stack)
            assert payouts(stack, contract_id) == 1
        world.check_whole(urls.owners)


def test_a_promoted_replica_that_lacks_the_end_never_forks_the_log(world: World) -> None:
    """Its server had signed, and shown, what the replica has not got."""
    first_sale(world)
    replica = base_backup(world.server, world.folder / "two", replica=True)
    with replica:
        wait_for_replica(world.server, replica)
        cut_off(replica)
        before = world.size_on(replica)
        for lead in ("two", "three"):
            world.market.report_hourly(lead, "signup")
        after = world.size_on(world.server)
        source = world.save()
        world.lose()
        promote(replica)
        # No anchor is beyond it; the mark is.
        assert world.sandbox.stack.chain.checkpoint(world.site.log_id).size <= before.size
        with (
            pytest.raises(LogError, match="what was signed last") as refused,
            world.stack_on(replica.urls()),
        ):
            pass
        assert refused.value.code == "log-behind"
        world.restore_to(replica.url, source)
        assert world.size_on(replica).root == after.root
        with world.stack_on(replica.urls()) as stack:
            world.go_on(stack)
        world.check_whole(replica.url)


def ask_to_settle(world: World, stack: Stack) -> None:
    """Have the next statement wait in the inbox."""
    account = stack.publisher.lower()
    with stack.worker.transaction(account) as session:
        submit(session, world.site.log_id, account, [Submission("next", Settle(), b"next")])


@deep_only
def test_a_replica_that_has_the_request_and_lacks_its_checkpoint_goes_on(world: World) -> None:
    """The last checkpoint alone is lost: the same requests make the same one again."""
    first_sale(world)
    world.market.win("ada", "two")
    replica = base_backup(world.server, world.folder / "two", replica=True)
    with replica:
        ask_to_settle(world, world.sandbox.stack)
        wait_for_replica(world.server, replica)
        cut_off(replica)
        world.sandbox.stack.drain()
        signed = world.size_on(world.server)
        world.lose()
        promote(replica)
        assert world.size_on(replica).size < signed.size
        with world.stack_on(replica.urls()) as stack:
            stack.drain()
        assert world.size_on(replica)[:2] == signed[:2]


@deep_only
def test_the_files_of_a_stopped_server_are_an_older_copy_too(world: World) -> None:
    """They lack one request and its checkpoint, whose place the next one would take."""
    first_sale(world)
    world.market.win("ada", "two")
    world.sandbox.stack.sequencer.close()
    copy = file_copy(world.server, world.folder / "two")
    with world.stack_on(world.server.urls()) as stack:
        ask_to_settle(world, stack)
        stack.drain()
    world.lose()
    with copy, world.stack_on(copy.urls()) as stack:
        before = world.size_on(copy)
        with pytest.raises(LogError, match="is an older copy") as refused:
            stack.drain()
        assert refused.value.code == "requests-lost"
        assert world.size_on(copy) == before


def test_a_copy_that_is_short_or_of_another_log_restores_nothing(world: World) -> None:
    first_sale(world)
    short = world.save()
    world.market.report_hourly("three", "signup")
    world.sandbox.stack.sequencer.close()
    with psycopg.connect(world.server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE fresh")
    urls = world.server.urls("fresh")
    prepare_schema(urls)
    begin_log(urls, world.site, world.sandbox.stack.publisher)
    with pytest.raises(LogError, match="what was signed last") as refused:
        world.restore_to(urls.owners, short)
    assert refused.value.code == "copy-short"
    page = world.folder / "saved" / "log-entries-0.bundle"
    page.write_bytes(page.read_bytes().replace(b"signup", b"sign__").replace(b"lead", b"leae", 1))
    with pytest.raises(Exception, match=r"entr|root"):
        world.restore_to(urls.owners, short)
    with psycopg.connect(urls.owners) as admin:
        assert admin.execute("SELECT count(*) FROM entries").fetchone() == (0,)
