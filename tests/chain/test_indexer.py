"""Events read once and in order from a chain that reorganizes and a node that fails."""

from typing import Any

import pytest

from orchestrator.chain.abi import ChainEvent, Forked, Published, Registered
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer, stored_fork
from orchestrator.chain.relayer import Relayer
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import ChainError
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.storage.database import API, Database, DatabaseError
from tests.support.chain_bench import HOLDER, NOW_MS, Bench, DeepAnvil, limited_to, rewritten
from tests.support.chain_deal import DEPLOYER, PAYEE, AnchoredLog, send
from tests.support.dialects import legacy
from tests.support.rpc_proxy import Ask, Forward, honest
from tests.support.servers import open_as

ROOT_A, ROOT_B = b"\xaa" * 32, b"\xbb" * 32


def publish(deep: Bench, relayer: Relayer, log_id: bytes, size: int) -> bytes:
    """Send the log's first checkpoint, of this size, and return its root."""
    tree = CompactRange()
    for number in range(size):
        tree.append(leaf_hash(bytes([number])))
    with deep.database.transaction() as session:
        relayer.request(
            session, f"publish-{size}", deep.chain.publish(log_id, size, tree.root(), [])
        )
    relayer.advance()
    return tree.root()


def handed_out(indexer: Indexer) -> list[ChainEvent]:
    return [event for events in indexer.poll() for event in events]


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_indexer_rolls_back_what_a_reorg_took(deep: Bench, depth: int) -> None:
    """An event is shown at once, taken back with its block, and handed out from its last block."""
    indexer = Indexer(deep.chain, deep.database)
    assert list(indexer.poll()) != []  # the log's registration is final
    log_id = deep.deployment.log_id
    publishes = Relayer(deep.chain, deep.database, DEPLOYER, lambda: NOW_MS)
    root = publish(deep, publishes, log_id, 1)
    deep.clock.mine(depth)
    assert handed_out(indexer) == []
    (before,) = indexer.recent()
    assert before.event == Published(log_id, 1, root)
    deep.node.call("anvil_reorg", depth, [])
    assert handed_out(indexer) == []
    assert indexer.recent() == []
    publishes.advance()  # the same bytes again
    deep.clock.mine()
    assert handed_out(indexer) == []
    (after,) = indexer.recent()
    assert after.tx_hash == before.tx_hash
    assert after.block_hash != before.block_hash
    for _ in range(DeepAnvil.DEPTH + 2):
        deep.clock.mine()
    assert handed_out(indexer) == [after]
    assert indexer.recent() == []
    assert handed_out(indexer) == []


def test_indexer_keeps_the_order_of_events_within_a_block(bench: Bench) -> None:
    """Attribution rests on it: of two contracts with one touch, the one opened first wins."""
    origins = [f"log {number}" for number in range(8)]
    bench.node.call("anvil_impersonateAccount", HOLDER)
    bench.clock.fund(HOLDER, 10**18)
    for origin in origins:
        call = bench.chain.register(origin, HOLDER)
        # A registrant may call its log anything; what is no UTF-8 is replaced.
        data = call.data.replace(b"log 3", b"log \xff")
        sent = {"from": HOLDER, "to": call.to, "data": "0x" + data.hex(), "gas": hex(500_000)}
        bench.node.call("eth_sendTransaction", sent)
    bench.clock.mine()
    bench.clock.finalize()
    events = handed_out(Indexer(bench.chain, bench.database))
    seen = [event for event in events if isinstance(event.event, Registered)][-len(origins) :]
    assert len({event.block_number for event in seen}) == 1
    assert len({event.tx_hash for event in seen}) == len(origins)
    shown = [event.event.origin for event in seen if isinstance(event.event, Registered)]
    assert shown == [*origins[:3], "log \ufffd", *origins[4:]]


def test_indexer_stops_where_a_final_block_changed(bench: Bench) -> None:
    indexer = Indexer(bench.chain, bench.database)
    bench.clock.mine(6)
    list(indexer.poll())
    bench.node.call("anvil_reorg", 5, [])
    bench.clock.mine(5)
    with pytest.raises(ChainError) as caught:
        list(indexer.poll())
    assert caught.value.code == "final-block-changed"


def test_indexer_hands_a_batch_out_again_that_was_not_finished(bench: Bench) -> None:
    indexer = Indexer(bench.chain, bench.database)
    rounds = indexer.poll()
    first = next(rounds)
    del rounds  # the process died over it
    again = [event for events in Indexer(bench.chain, bench.database).poll() for event in events]
    assert again == first
    assert list(Indexer(bench.chain, bench.database).poll()) == []


def test_two_indexers_store_a_round_once(bench: Bench) -> None:
    one, other = (Indexer(bench.chain, bench.database) for _ in range(2))
    round_of_one = one.poll()
    first = next(round_of_one)
    assert [event for events in other.poll() for event in events] == first
    assert list(round_of_one) == []
    assert list(one.poll()) == []


def test_indexer_goes_on_in_smaller_steps_when_the_node_finds_a_range_too_long(
    bench: Bench,
) -> None:
    bench.clock.mine(40)

    bench.proxy.fault = limited_to(7)
    indexer = Indexer(bench.chain, bench.database)
    assert len(handed_out(indexer)) == 1
    bench.proxy.fault = honest
    assert handed_out(indexer) == []


def test_indexer_does_not_pass_over_a_block_that_the_node_lacks(bench: Bench) -> None:
    """A node that lags gives an empty list for blocks it does not have, and no error."""

    def lag(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = {reply["id"]: reply for reply in forward(asks)}
        if any(ask["method"] == "eth_getLogs" for ask in asks):
            for ask in asks:
                missing: list[Any] | None = [] if ask["method"] == "eth_getLogs" else None
                if ask["method"] != "eth_chainId":
                    replies[ask["id"]]["result"] = missing
        return list(replies.values())

    bench.proxy.fault = lag
    indexer = Indexer(bench.chain, bench.database)
    with pytest.raises(NodeError):
        handed_out(indexer)
    bench.proxy.fault = honest
    assert len(handed_out(indexer)) == 1


def test_event_of_a_block_that_is_not_the_chains(bench: Bench) -> None:
    bench.proxy.fault = rewritten(
        "eth_getLogs", lambda logs: [{**log, "blockHash": "0x" + "ee" * 32} for log in logs]
    )
    indexer = Indexer(bench.chain, bench.database)
    with pytest.raises(NodeError):
        handed_out(indexer)
    bench.proxy.fault = honest
    assert len(handed_out(indexer)) == 1


def test_only_the_worker_writes_what_the_chain_is_known_by(
    chain: Chain, log: AnchoredLog, database: Database, database_url: str
) -> None:
    send(chain, DEPLOYER, log.publish())
    list(Indexer(chain, database).poll())
    key = {"chain_id": chain.addresses.chain_id, "escrow": chain.addresses.escrow.lower()}
    with open_as(database_url, API) as api:
        with api.transaction() as session:
            assert len(session.all("chain.recent_events", **key, limit=9)) == 1
        for query, arguments in (
            ("chain.account", {"chain_id": 31337, "sender": PAYEE.lower()}),
            ("chain.cursor", key),
            ("chain.forget_events", key),
        ):
            with pytest.raises(DatabaseError, match="permission denied"), api.transaction() as s:
                s.run(query, **arguments)


def test_a_fork_is_known_as_soon_as_it_is_seen_and_forgotten_with_its_block(deep: Bench) -> None:
    log_id, addresses = deep.deployment.log_id, deep.chain.addresses
    indexer, log = Indexer(deep.chain, deep.database), AnchoredLog(deep.chain, log_id)
    list(indexer.poll())
    assert stored_fork(deep.database, addresses, log_id) is None
    send(deep.chain, DEPLOYER, deep.chain.report_fork(log.signed(ROOT_A), log.signed(ROOT_B)))
    list(indexer.poll())
    found = stored_fork(deep.database, addresses, log_id)
    assert found is not None
    assert found.event == Forked(log_id, 1, ROOT_A, ROOT_B)
    assert found.time_s == deep.chain.forked_at(log_id)
    assert stored_fork(deep.database, addresses, bytes(32)) is None
    assert stored_fork(deep.database, addresses._replace(escrow=PAYEE), log_id) is None
    deep.node.call("anvil_reorg", 1, [])
    list(indexer.poll())
    assert stored_fork(deep.database, addresses, log_id) is None


def test_a_chain_without_final_blocks_is_read_to_a_depth(bench: Bench) -> None:
    addresses = bench.deployment.addresses
    bench.proxy.fault = legacy()
    with Chain(bench.proxy.url, addresses, final_depth=3) as chain:
        indexer = Indexer(chain, bench.database)
        assert chain.block("finalized").number == chain.block().number - 3
        bench.clock.mine(3)
        assert [type(event.event) for event in handed_out(indexer)] == [Registered]
        root = publish(
            bench, Relayer(chain, bench.database, DEPLOYER, lambda: NOW_MS), chain_log(bench), 2
        )
        bench.clock.mine()
        assert handed_out(indexer) == []
        assert indexer.final_anchor(chain_log(bench)).size == 0
        bench.clock.mine(3)
        assert len(handed_out(indexer)) == 1
        anchor = indexer.final_anchor(chain_log(bench))
        assert anchor == chain.checkpoint(chain_log(bench))
        assert anchor[:2] == (2, root)
        with Chain(bench.proxy.url, addresses, final_depth=10_000) as deep:
            assert deep.block("finalized").number == 0


def chain_log(bench: Bench) -> bytes:
    return bench.deployment.log_id
