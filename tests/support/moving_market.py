"""A market on a cluster of its own whose database moves: by back-ups, replicas and copies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from orchestrator.client.http import Client
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.core.world.contract import rules_of
from orchestrator.log.fsck import Checks, findings
from orchestrator.log.guard.mark import Mark
from orchestrator.log.reader import LogReader
from orchestrator.log.tree import Checkpoint
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.runtime.recovery.restore import Parties, Restored, restore
from orchestrator.runtime.stack import Keys, Stack, Surroundings
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, key_of
from orchestrator.storage.database import SEQUENCER, WORKER, DatabaseUrls
from orchestrator.verify.saved_log import SavedLog, save_log
from tests.support.market import PLAIN, Market
from tests.support.servers import CHAIN_START_S, open_as, server_folder

KEYS = Keys(*(key_of(name) for name in Keys._fields))


class World:
    """A market on a cluster of its own, and what is at hand for a move of its database."""

    def __init__(self, folder: Path, server: LocalPostgres, sandbox: Sandbox, mark: Path) -> None:
        self.folder, self.server, self.sandbox, self.mark = folder, server, sandbox, mark
        self.site = sandbox.stack.site
        self.market = Market(sandbox, folder)

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

    def come_to_rest(self, stack: Stack) -> None:
        """Bring what the chain has told into the log, and anchor it; see that it has not forked."""
        self.sandbox.finalize()
        for _ in range(20):
            moved = stack.pipeline.step()
            stack.drain()
            self.sandbox.finalize()
            if not moved:
                break
        assert stack.chain.forked_at(self.site.log_id) is None

    def go_on(self, stack: Stack) -> None:
        """Come to rest, and see that all of the log is anchored."""
        self.come_to_rest(stack)
        head = stack.log.checkpoint()
        assert head is not None
        assert stack.chain.checkpoint(self.site.log_id)[:2] == head[:2]


def _as_it_is(server: LocalPostgres) -> DatabaseUrls:
    return server.urls()


@contextmanager
def moving_market(
    prepare: Callable[[LocalPostgres], DatabaseUrls] = _as_it_is,
) -> Iterator[World]:
    """Open a market on a cluster of its own, by the URLs that `prepare` returns of the cluster."""
    with server_folder() as folder, LocalPostgres(folder / "one") as server:
        mark = folder / "publisher.mark"
        options = SandboxOptions(
            folder, CHAIN_START_S * 1000, "moved.example", 0, prepare(server), mark=mark
        )
        sandbox = Sandbox(options, lambda _: None)
        try:
            found = World(folder, server, sandbox, mark)
            try:
                yield found
            finally:
                found.market.close()
        finally:
            # What the tests take away from it is missed at its end.
            with suppress(psycopg.Error):
                sandbox.close()


def first_sale(world: World) -> bytes:
    """Open a contract that pays as soon as it is settled, and have a first sale paid."""
    contract_id = world.market.open("ada", **PLAIN)
    world.sandbox.pass_time(3600)
    world.market.win("ada", "one")
    world.sandbox.settle("first")
    return contract_id


def payouts(stack: Stack, contract_id: bytes) -> int:
    """Count the payouts of a contract in the log."""
    return sum(one.entry.kind == "payout" for one in stack.log.about(contract_id, -1, 1000))
