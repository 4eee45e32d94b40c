"""A service behind PgBouncer, as docs/operating.md allows it: through a sale and a promotion.

API and pipeline share connections by transactions, sequencer and registrar have theirs by sessions.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from orchestrator.client.accounts import EventReport
from orchestrator.core.common.errors import ServerError
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import API, DatabaseUrls
from tests.support.clusters import base_backup, promote, wait_for_replica
from tests.support.moving_market import World, first_sale, moving_market, payouts
from tests.support.pooler import (
    PREPARES_SINCE,
    PROGRAM,
    Pooler,
    needs_pooler,
    pooled_urls,
    pooler_version,
)
from tests.support.servers import server_folder

CONNECTIONS = 2


@contextmanager
def pooled_market() -> Iterator[tuple[World, Pooler]]:
    with ExitStack() as exits:
        pooler = Pooler(exits.enter_context(server_folder()), CONNECTIONS)

        def prepare(server: LocalPostgres) -> DatabaseUrls:
            urls = server.urls()
            pooler.lead_to(urls.by_login)
            exits.enter_context(pooler.running())
            return pooled_urls(pooler, urls)

        yield exits.enter_context(moving_market(prepare)), pooler


@needs_pooler
@pytest.mark.skipif(
    PROGRAM is not None and pooler_version() < PREPARES_SINCE,
    reason="this PgBouncer is too old for prepared statements",
)
def test_api_and_pipeline_share_connections_through_a_sale_and_a_promotion() -> None:
    with pooled_market() as (world, pooler):
        contract_id = first_sale(world)
        assert payouts(world.sandbox.stack, contract_id) == 1
        each_is_who_it_is(world)
        world.market.report_hourly("two", "signup")
        leads = world.market.operators["ada"].leads(world.market.surface, "trial")
        world.market.operators["ada"].touch(world.market.surface, leads, "email", "two")
        world.sandbox.stack.drain()
        world.sandbox.pass_time(3600)
        with base_backup(world.server, world.folder / "two", replica=True) as replica:
            wait_for_replica(world.server, replica)
            world.lose()
            promote(replica)
            pooler.lead_to(replica.urls().by_login)
            # The API is the one that ran before.
            now_ms = world.sandbox.clock()
            bought = EventReport("two-buy", "two", "buy", "20.00", now_ms)
            wait = threading.Event()
            assert any(is_taken(world, bought) or wait.wait(0.1) for _ in range(600))
            with world.stack_on(pooled_urls(pooler, replica.urls())) as stack:
                stack.drain()
                stack.pipeline.tick("second")
                world.come_to_rest(stack)
                assert payouts(stack, contract_id) == 2
            world.check_whole(replica.url)


def each_is_who_it_is(world: World) -> None:
    """Ask as several accounts at once, over fewer connections: nothing of one is told another."""
    ada, bo = (world.market.operators[name] for name in ("ada", "bo"))
    with ThreadPoolExecutor(12) as pool:
        asked = [
            (who.address, pool.submit(who.get, "/v1/me"))
            for who in (world.market.owner, ada, bo) * 40
        ]
        for address, answer in asked:
            assert answer.result()["account"] == address
        with psycopg.connect(world.server.url) as admin:
            (used,) = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [API]
            ).fetchone() or (0,)
    assert 0 < used <= CONNECTIONS


def is_taken(world: World, event: EventReport) -> bool:
    """Return whether the API has taken an event; while no server leads it says that none does."""
    try:
        world.market.owner.report_event(world.market.surface, event)
    except ServerError:
        return False
    return True
