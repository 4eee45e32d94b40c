"""Databases that moved, by real back-ups and replicas: refused or brought forward, never a fork.

A market is paid through a real chain. Its cluster is backed up in between, goes on, and is lost.
"""

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.core.world.requests import Settle
from orchestrator.log.inbox import Submission, submit
from orchestrator.runtime.migration import begin_log, prepare_schema
from orchestrator.runtime.recovery.restore import Restored
from orchestrator.runtime.stack import Stack
from orchestrator.simulation.sandbox import SimulatedClock
from tests.support.clusters import base_backup, cut_off, file_copy, promote, wait_for_replica
from tests.support.moving_market import World, first_sale, moving_market, payouts
from tests.support.servers import CHAIN_START_S


@pytest.fixture
def world() -> Iterator[World]:
    with moving_market() as world:
        yield world


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
