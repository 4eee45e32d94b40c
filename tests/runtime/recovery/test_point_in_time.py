"""Recovery to a moment by a base back-up and archived WAL, as docs/operating.md has it done.

A moment before the newest entries is a database that is older than what was signed and anchored: it
is refused like any older copy, and brought forward by the public log. The end of the archive is the
database as it was.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.core.common.errors import LogError
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import DatabaseUrls
from tests.support.clusters import (
    archive_to,
    base_backup,
    finish_archive,
    forget_recovery,
    recovery,
    wait_until_promoted,
)
from tests.support.moving_market import World, first_sale, moving_market, payouts


def archived(server: LocalPostgres) -> DatabaseUrls:
    archive_to(server, archive_of(server))
    return server.urls()


def archive_of(server: LocalPostgres) -> Path:
    return server.folder.parent / "archive"


@pytest.fixture
def world() -> Iterator[World]:
    with moving_market(archived) as world:
        yield world


def test_a_moment_before_the_newest_entries_is_refused_and_brought_forward(world: World) -> None:
    contract_id = first_sale(world)
    backup = base_backup(world.server, world.folder / "two")
    # The archive has this, and the back-up has not.
    world.market.win("ada", "two")
    at_target = world.size_on(world.server)
    with psycopg.connect(world.server.url, autocommit=True) as admin:
        (target,) = admin.execute("SELECT clock_timestamp()::text").fetchone() or ("",)
    world.sandbox.settle("second")
    world.market.report_hourly("three", "signup")
    after = world.size_on(world.server)
    assert at_target.size < world.sandbox.stack.chain.checkpoint(world.site.log_id).size
    source = world.save()
    finish_archive(world.server)
    world.lose()

    def to_moment(name: str, **settings: str) -> LocalPostgres:
        return recovery(backup, world.folder / name, archive_of(world.server), **settings)

    # Without a target: all of it, and no restore is needed.
    with to_moment("three") as whole:
        wait_until_promoted(whole)
        assert world.size_on(whole) == after
        world.check_whole(whole.url)
        with world.stack_on(whole.urls()) as stack:
            assert payouts(stack, contract_id) == 2
    # With a target alone: the server waits there, to be looked at.
    with to_moment("four", recovery_target_time=target) as paused:
        assert world.size_on(paused) == at_target
        with psycopg.connect(paused.url, autocommit=True) as admin:
            assert admin.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                admin.execute("CREATE TABLE more (number integer)")
            admin.execute("SELECT pg_wal_replay_resume()")
        wait_until_promoted(paused)
        assert world.size_on(paused) == at_target
    promoted = {"recovery_target_time": target, "recovery_target_action": "promote"}
    with to_moment("five", **promoted) as recovered:
        wait_until_promoted(recovered)
        assert world.size_on(recovered) == at_target
        with (
            pytest.raises(LogError, match="older copy of the log") as refused,
            world.stack_on(recovered.urls()),
        ):
            pass
        assert refused.value.code == "log-behind"
        assert world.size_on(recovered) == at_target
        done = world.restore_to(recovered.url, source)
        assert (done.before, done.size) == (at_target.size, after.size)
        assert world.size_on(recovered).root == after.root
        world.check_whole(recovered.url)
        with world.stack_on(recovered.urls()) as stack:
            world.go_on(stack)
            assert payouts(stack, contract_id) == 2
        world.check_whole(recovered.url)
        # And it is archived and backed up as any other, without what its recovery was told.
        forget_recovery(recovered)
        archive_to(recovered, world.folder / "archive-again")
        backup = base_backup(recovered, world.folder / "six")
        with psycopg.connect(recovered.url, autocommit=True) as admin:
            admin.execute("CREATE TABLE later (number integer)")
        finish_archive(recovered)
        end = world.size_on(recovered)
    with recovery(backup, world.folder / "seven", world.folder / "archive-again") as again:
        wait_until_promoted(again)
        with psycopg.connect(again.url, autocommit=True) as admin:
            assert admin.execute("SELECT count(*) FROM later").fetchone() == (0,)
        assert world.size_on(again) == end
