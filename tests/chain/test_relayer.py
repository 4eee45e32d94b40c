"""Nodes, chains and processes that fail, against a real chain and a real database.

Every intent mints its own power of two, so the balance shows which of them happened and how often.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eth_account import Account as Keys
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from orchestrator.chain.abi import Call, ChainEvent, Published, Registered
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.chain.relayer import Relayer, StoredIntent
from orchestrator.chain.rpc import Node, NodeError
from orchestrator.core.errors import ChainError
from orchestrator.core.merkle import CompactRange, leaf_hash
from orchestrator.core.tx_plan import Fate
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local, send_local
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.storage.database import WORKER, Database
from tests.support.rpc_proxy import Ask, Fault, Forward, RpcProxy, honest
from tests.support.servers import CHAIN_START_S, server_folder

GWEI = 10**9
DEPLOYER, RELAYER = b"\x01" * 32, b"\x02" * 32
SENDER = Keys.from_key(RELAYER).address
HOLDER = "0x00000000000000000000000000000000000000AA"
NOW_MS = CHAIN_START_S * 1000


class DeepAnvil(LocalAnvil):
    """Final blocks trail the latest by sixteen, so that there is room for reorgs."""

    DEPTH = 16

    def _spawn(self, command: list[str], user: list[str]) -> "subprocess.Popen[bytes]":
        command[command.index("--slots-in-an-epoch") + 1] = str(self.DEPTH // 2)
        return super()._spawn(command, user)


@dataclass
class Bench:
    """A relayer behind a proxy, and the chain without it."""

    deployment: Deployment
    database: Database
    database_url: str
    proxy: RpcProxy
    node: Node
    clock: LocalChainClock
    chain: Chain
    submitter: Relayer
    keys: list[str] = field(default_factory=list)

    def mint_call(self, number: int) -> Call:
        return self.chain.mint(self.deployment.token, HOLDER, 1 << number)

    def request(self, count: int = 1) -> None:
        with self.database.transaction() as session:
            for _ in range(count):
                call = self.mint_call(len(self.keys))
                key = f"mint-{len(self.keys)}"
                assert self.submitter.request(session, key, call)
                self.keys.append(key)

    def find(self, key: str) -> StoredIntent:
        with self.database.transaction() as session:
            found = self.submitter.find(session, key)
        assert found is not None
        return found

    def finish(self, rounds: int = 60) -> list[StoredIntent]:
        """Rounds on an honest node until nothing is under way."""
        self.proxy.fault = honest
        ended = []
        for _ in range(rounds):
            ended += self.submitter.advance()
            if not self.submitter.under_way():
                return ended
            self.clock.mine()
        raise AssertionError(f"still under way: {[self.find(key) for key in self.keys]}")

    def transactions(self) -> list[dict[str, Any]]:
        """Every transaction of the sender on chain, in order."""
        latest = int(self.node.call("eth_blockNumber"), 16)
        blocks = (self.node.call("eth_getBlockByNumber", hex(n), True) for n in range(latest + 1))
        everything = [transaction for block in blocks for transaction in block["transactions"]]
        return [t for t in everything if t["from"].lower() == SENDER.lower()]

    def balance(self) -> int:
        return self.chain.balance_of(self.deployment.token, HOLDER)

    def check_each_once(self, strangers: int = 0) -> None:
        """One success an intent, one nonce each, no gap; and the books agree with the chain."""
        assert self.balance() == (1 << len(self.keys)) - 1
        found = [self.find(key) for key in self.keys]
        assert [s.fate for s in found] == [Fate.FINALIZED] * len(self.keys)
        on_chain = self.transactions()
        assert [int(t["nonce"], 16) for t in on_chain] == list(range(len(on_chain)))
        assert len(on_chain) == len(self.keys) + strangers
        hashes = {bytes.fromhex(t["hash"][2:]) for t in on_chain}
        assert {s.tx_hash for s in found} <= hashes


class Stage(NamedTuple):
    """A chain with everything deployed, for many tests."""

    anvil: LocalAnvil
    deployment: Deployment


@contextmanager
def bench_on(stage: Stage, database_url: str) -> Iterator[Bench]:
    """A relayer on the stage, where the test makes every block; put back when it is done."""
    anvil, deployment = stage
    with (
        Database(database_url, WORKER) as database,
        RpcProxy(anvil.rpc_url) as proxy,
        Node(anvil.rpc_url) as node,
        LocalChainClock(anvil.rpc_url) as clock,
        Chain(proxy.url, deployment.addresses) as chain,
    ):
        before = node.call("evm_snapshot")
        node.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        # By itself the node makes a block some time after it answered.
        node.call("evm_setAutomine", False)
        clock.fund(SENDER, 10**24)
        submitter = Relayer(chain, database, RELAYER, lambda: NOW_MS)
        yield Bench(deployment, database, database_url, proxy, node, clock, chain, submitter)
        node.call("evm_setAutomine", True)
        node.call("anvil_dropAllTransactions")
        assert node.call("evm_revert", before)


@pytest.fixture(scope="module")
def stage(module_anvil: LocalAnvil) -> Stage:
    return Stage(module_anvil, deploy_local(module_anvil.rpc_url, DEPLOYER))


@pytest.fixture(scope="module")
def deep_stage() -> Iterator[Stage]:
    with server_folder() as folder, DeepAnvil(folder, CHAIN_START_S) as anvil:
        yield Stage(anvil, deploy_local(anvil.rpc_url, DEPLOYER))


@pytest.fixture
def bench(stage: Stage, database_url: str) -> Iterator[Bench]:
    with bench_on(stage, database_url) as bench:
        yield bench


@pytest.fixture
def deep(deep_stage: Stage, database_url: str) -> Iterator[Bench]:
    with bench_on(deep_stage, database_url) as bench:
        yield bench


def is_send(asks: list[Ask]) -> bool:
    return any(ask["method"] == "eth_sendRawTransaction" for ask in asks)


def rewritten(method: str, change: Callable[[Any], Any]) -> Fault:
    """Answers of one method, changed on their way back."""

    def fault(asks: list[Ask], forward: Forward) -> list[Ask]:
        methods = {ask["id"]: ask["method"] for ask in asks}
        return [
            {**reply, "result": change(reply.get("result"))}
            if methods[reply["id"]] == method
            else reply
            for reply in forward(asks)
        ]

    return fault


def test_nothing_goes_wrong(bench: Bench) -> None:
    bench.request(20)
    bench.finish()
    bench.check_each_once()
    assert len(bench.proxy.sent()) == 20


# --- The wire -------------------------------------------------------------------------------------


def test_send_accepted_and_reply_lost(bench: Bench) -> None:
    def lose_reply(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        replies = forward(asks)
        return None if is_send(asks) else replies

    bench.request(3)
    bench.proxy.fault = lose_reply
    bench.submitter.advance()
    bench.clock.mine()
    assert bench.balance() == 7  # it did arrive
    assert "did not answer" in bench.find("mint-0").reason
    bench.finish()
    bench.check_each_once()
    assert len(bench.proxy.sent()) == 3


def test_send_never_arrives(bench: Bench) -> None:
    bench.request(3)
    bench.proxy.fault = lambda asks, forward: None if is_send(asks) else forward(asks)
    for _ in range(4):
        bench.submitter.advance()
    assert bench.balance() == 0
    sent = bench.proxy.sent()
    assert len(set(sent)) == 3
    assert len(sent) == 12  # the same bytes again and again
    bench.finish()
    bench.check_each_once()


def test_every_send_is_delivered_twice_and_again_later(bench: Bench) -> None:
    def twice(asks: list[Ask], forward: Forward) -> list[Ask]:
        if is_send(asks):
            forward(asks)
        return forward(asks)

    bench.proxy.fault = twice
    bench.request(3)
    bench.submitter.advance()
    bench.request(2)
    bench.submitter.advance()
    bench.finish()
    for raw in bench.proxy.sent():
        bench.proxy.forward([{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction",
                              "params": [raw]}])  # fmt: skip
    bench.clock.mine()
    bench.check_each_once()


def test_lagging_node_with_an_old_nonce(bench: Bench) -> None:
    """Everything is as it was before the send: the same bytes, no second nonce."""
    bench.request(2)
    methods = (
        "eth_getTransactionCount",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
    )
    old = {"eth_getTransactionCount": "0x0"}

    def lag(asks: list[Ask], forward: Forward) -> list[Ask]:
        of = {ask["id"]: ask["method"] for ask in asks}
        return [
            {"jsonrpc": "2.0", "id": reply["id"], "result": old.get(of[reply["id"]])}
            if of[reply["id"]] in methods
            else reply
            for reply in forward(asks)
        ]

    bench.submitter.advance()
    bench.proxy.fault = lag
    for _ in range(5):
        bench.clock.mine()
        bench.submitter.advance()
    assert len(set(bench.proxy.sent())) == 2
    bench.finish()
    bench.check_each_once()


def test_spent_nonce_without_a_receipt_is_unknown(bench: Bench) -> None:
    """Behind a load balancer a missing receipt proves nothing: nothing is signed again."""
    bench.request(2)
    bench.submitter.advance()
    bench.clock.mine(4)
    bench.proxy.fault = rewritten("eth_getTransactionReceipt", lambda _: None)
    for _ in range(5):
        bench.clock.mine()
        assert bench.submitter.advance() == []
    assert bench.submitter.under_way() == 2
    assert len(bench.proxy.sent()) == 2
    bench.finish()
    bench.check_each_once()


def test_node_that_lags_behind_what_was_acted_on(bench: Bench) -> None:
    bench.request()
    bench.finish()
    bench.request()
    bench.proxy.fault = rewritten("eth_getBlockByNumber", lambda block: {**block, "number": "0x1"})
    assert bench.submitter.advance() == []
    assert len(bench.proxy.sent()) == 1
    bench.finish()
    bench.check_each_once()


GARBAGE = (
    b"<html><h1>502 Bad Gateway</h1></html>",
    b'[{"jsonrpc":"2.0","id":0,"result":"0x7a',
    b"",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"rate limited"}}',
    b'[{"jsonrpc":"2.0","id":0,"result":"0x7a69"}]',
)


def test_garbage_for_replies(bench: Bench) -> None:
    for garbage in GARBAGE:
        bench.request(2)
        bench.proxy.fault = always(garbage)
        with pytest.raises(NodeError):
            bench.submitter.advance()
        # And as the answer to the send alone, which arrives.
        bench.proxy.fault = always(garbage, when=is_send)
        bench.submitter.advance()
        bench.finish()
    bench.check_each_once()


def always(garbage: bytes, when: Callable[[list[Ask]], bool] = bool) -> Fault:
    def fault(asks: list[Ask], forward: Forward) -> list[Ask] | bytes:
        replies = forward(asks)
        return garbage if when(asks) else replies

    return fault


def replaced(value: object, _: object) -> object:
    return value


@pytest.mark.parametrize("method", ["eth_getTransactionCount", "eth_maxPriorityFeePerGas"])
def test_values_that_are_none(bench: Bench, method: str) -> None:
    bench.request()
    values: list[object] = [None, 17, "17", "0x", "0xzz", "0x" + "f" * 65, "0x1_0", [], {}, True]
    for value in values:
        bench.proxy.fault = rewritten(method, partial(replaced, value))
        with pytest.raises(NodeError):
            bench.submitter.advance()
    assert bench.proxy.sent() == []
    bench.finish()
    bench.check_each_once()


def test_wrong_chain(bench: Bench) -> None:
    bench.request()
    bench.proxy.fault = rewritten("eth_chainId", lambda _: "0x1")
    with pytest.raises(ChainError, match="is on chain 1, and the deployment is on 31337") as caught:
        bench.submitter.advance()
    assert caught.value.code == "wrong-chain"
    with pytest.raises(ChainError):
        next(Indexer(bench.chain, bench.database).poll())
    assert bench.proxy.sent() == []
    bench.finish()
    bench.check_each_once()


def test_receipt_from_a_block_that_is_not_the_chains(bench: Bench) -> None:
    bench.request()
    bench.submitter.advance()
    bench.clock.mine()

    def lie(receipt: Any) -> Any:
        return receipt and {**receipt, "blockHash": "0x" + "ee" * 32, "status": "0x0"}

    bench.proxy.fault = rewritten("eth_getTransactionReceipt", lie)
    for _ in range(4):
        bench.clock.mine()
        assert bench.submitter.advance() == []
    bench.finish()
    bench.check_each_once()


# --- The pool -------------------------------------------------------------------------------------


def pooled(bench: Bench) -> list[str]:
    pool = bench.node.call("txpool_content")
    found = [t for by_nonce in pool.values() for t in by_nonce.values()]
    return [t["hash"] for by_nonce in found for t in by_nonce.values()]


def test_chain_halt(bench: Bench) -> None:
    """No block comes, so nothing is old: it is sent once and waited for."""
    bench.request(3)
    for _ in range(20):
        bench.submitter.advance()
    assert len(bench.proxy.sent()) == 3
    bench.finish()
    bench.check_each_once()


def test_dropped_transaction_closes_its_own_gap(bench: Bench) -> None:
    bench.request(3)
    bench.submitter.advance()
    first = bench.find("mint-0").tx_hash
    assert first is not None
    bench.node.call("anvil_dropTransaction", "0x" + first.hex())
    bench.clock.mine()
    assert bench.balance() == 0  # two wait behind a gap
    bench.submitter.advance()
    sent = bench.proxy.sent()
    assert len(sent) > 3
    assert sent[3:] == sent[: len(sent) - 3]  # anvil drops those above the gap with it
    bench.finish()
    bench.check_each_once()
    assert bench.find("mint-0").tx_hash == first


def test_all_dropped(bench: Bench) -> None:
    bench.request(5)
    bench.submitter.advance()
    bench.node.call("anvil_dropAllTransactions")
    bench.finish()
    bench.check_each_once()


def test_underpriced_replacement_is_raised_until_it_is_taken(bench: Bench) -> None:
    """A stranger with our key holds the nonce at a higher fee; we outbid it."""
    rival = Keys.from_key(RELAYER).sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": 0,
            "to": HOLDER,
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 6 * GWEI,
            "maxPriorityFeePerGas": 3 * GWEI,
        }
    )
    bench.node.call("eth_sendRawTransaction", "0x" + rival.raw_transaction.hex())
    bench.request()
    bench.submitter.advance()
    assert "underpriced" in bench.find("mint-0").reason
    for _ in range(20):
        bench.submitter.advance()
    assert pooled(bench) == ["0x" + (bench.find("mint-0").tx_hash or b"").hex()]
    fees = [transaction["maxFeePerGas"] for transaction in signed(bench)]
    assert all(8 * after >= 9 * before for before, after in pairwise(fees))
    bench.finish()
    bench.check_each_once()


def signed(bench: Bench) -> list[dict[str, Any]]:
    """What was sent, in order."""
    sent = bench.proxy.sent()
    return [TypedTransaction.from_bytes(HexBytes(raw)).as_dict() for raw in sent]


def test_base_fee_spike_while_in_the_pool(bench: Bench) -> None:
    bench.request(2)
    bench.submitter.advance()
    bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    bench.clock.mine()
    assert bench.balance() == 0
    bench.submitter.advance()
    assert len(set(bench.proxy.sent())) == 4
    bench.finish()
    bench.check_each_once()


def test_base_fee_beyond_the_ceiling_is_waited_out(bench: Bench) -> None:
    bench.request(2)
    bench.submitter.advance()
    for _ in range(3):
        bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(5_000 * GWEI))
        bench.clock.mine()
        bench.submitter.advance()
    assert bench.balance() == 0
    bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    bench.finish()
    bench.check_each_once()


def test_stuck_transaction_is_replaced_under_its_nonce(bench: Bench) -> None:
    """Blocks come and pass it over: the miner wants a tip that we did not offer."""
    bench.request()
    bench.submitter.advance()
    # Blocks without transactions, as a miner makes that passes ours over.
    raw = bench.proxy.sent()[0]
    tx_hash = "0x" + (bench.find("mint-0").tx_hash or b"").hex()
    for _ in range(10):
        bench.node.call("anvil_dropTransaction", tx_hash)
        bench.clock.mine()
        bench.node.call("eth_sendRawTransaction", raw)
    bench.submitter.advance()
    first, second = signed(bench)
    assert first["nonce"] == second["nonce"] == 0
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert 8 * second[fee] >= 9 * first[fee]
    bench.finish()
    bench.check_each_once()


# --- The key, somewhere else ----------------------------------------------------------------------


def test_stranger_with_our_key_takes_the_nonce(bench: Bench) -> None:
    """Ours can never be mined under it; once that is final, the intent gets another nonce."""
    bench.request(2)
    bench.submitter.advance()
    bench.node.call("anvil_dropAllTransactions")
    call = bench.chain.approve(bench.deployment.token, 1)
    send_local(bench.node, RELAYER, call.to, call.data)
    bench.finish()
    bench.check_each_once(strangers=1)


def test_nothing_is_signed_above_a_strangers_unfinal_transaction(deep: Bench) -> None:
    call = deep.chain.approve(deep.deployment.token, 1)
    send_local(deep.node, RELAYER, call.to, call.data)
    deep.request()
    assert deep.submitter.advance() == []
    assert deep.proxy.sent() == []
    deep.node.call("anvil_reorg", 1, [])  # the stranger's transaction is gone
    deep.finish()
    deep.check_each_once()


def test_two_orchestrators_with_one_key(bench: Bench) -> None:
    bench.request(30)
    stop = threading.Event()
    failures: list[BaseException] = []

    def orchestrate() -> None:
        try:
            with Chain(bench.proxy.url, bench.deployment.addresses) as chain:
                submitter = Relayer(chain, bench.database, RELAYER, lambda: NOW_MS)
                while not stop.is_set() and submitter.under_way():
                    submitter.advance()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=orchestrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(600):
            if not any(thread.is_alive() for thread in threads):
                break
            bench.clock.mine()
            threads[0].join(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    bench.check_each_once()
    assert len(set(bench.proxy.sent())) == 30


def test_what_was_decided_before_another_acted_is_thrown_away(bench: Bench) -> None:
    """The first looks and pauses, the second acts; the first then stores and sends nothing."""
    bench.request()
    paused, resume = threading.Event(), threading.Event()
    results: list[list[StoredIntent]] = []

    def pause(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = forward(asks)
        paused.set()
        resume.wait(30)
        return replies

    with (
        RpcProxy(f"http://{bench.proxy._target}") as slow,
        Chain(slow.url, bench.deployment.addresses) as chain,
    ):
        slow.fault = pause
        first = Relayer(chain, bench.database, RELAYER, lambda: NOW_MS)
        thread = threading.Thread(target=lambda: results.append(first.advance()))
        thread.start()
        assert paused.wait(30)
        bench.submitter.advance()
        resume.set()
        thread.join()
        assert results == [[]]
        assert slow.sent() == []
    bench.finish()
    bench.check_each_once()


# --- Calls that fail ------------------------------------------------------------------------------


def doomed(bench: Bench) -> Call:
    """Anchoring a log that nobody registered."""
    return bench.chain.publish(b"\x99" * 32, 1, b"\x01" * 32, [])


def test_doomed_call_is_refused_without_a_nonce(bench: Bench) -> None:
    with bench.database.transaction() as session:
        bench.submitter.request(session, "doomed", doomed(bench))
    bench.request(2)
    ended = bench.finish()
    refused = bench.find("doomed")
    assert refused in ended
    assert refused.fate is Fate.REFUSED
    assert refused.reason == f"UnknownLog(0x{'99' * 32})"
    assert refused.tx_hash is None
    bench.check_each_once()


def test_doomed_calls_hold_up_no_others(deep: Bench) -> None:
    """Many that would fail wait for their block to be final; the others are sent meanwhile."""
    with deep.database.transaction() as session:
        for number in range(40):
            deep.submitter.request(session, f"doomed-{number}", doomed(deep))
    deep.request(3)
    for _ in range(4):
        deep.submitter.advance()
        deep.clock.mine()
    assert deep.balance() == 7
    deep.finish()
    deep.check_each_once()
    fates = {deep.find(f"doomed-{number}").fate for number in range(40)}
    assert fates == {Fate.REFUSED}


def test_what_waits_to_be_final_holds_up_nothing(deep: Bench) -> None:
    deep.request(40)
    for _ in range(4):
        deep.submitter.advance()
        deep.clock.mine()
    assert deep.balance() == (1 << 40) - 1
    assert deep.submitter.under_way() == 40
    deep.finish()
    deep.check_each_once()


def test_call_that_would_fail_now_and_not_later(bench: Bench) -> None:
    """A refusal counts when the block that showed it is final, and not before."""
    deployer = Keys.from_key(DEPLOYER).address
    first = Relayer(bench.chain, bench.database, DEPLOYER, lambda: NOW_MS)
    tree = CompactRange()
    tree.append(leaf_hash(b"0"))
    with bench.database.transaction() as session:
        bench.submitter.request(
            session, "later", bench.chain.publish(bench.deployment.log_id, 1, tree.root(), [])
        )
    bench.submitter.advance()  # the relayer is not the publisher
    assert bench.find("later").reason == (
        f"NotPublisher(0x{bench.deployment.log_id.hex()}, {SENDER.lower()})"
    )
    offer = bench.chain.call(
        bench.chain._event_log, "offerPublisher", bench.deployment.log_id, SENDER
    )
    accept = bench.chain.call(bench.chain._event_log, "acceptPublisher", bench.deployment.log_id)
    send_local(bench.node, DEPLOYER, offer.to, offer.data)
    send_local(bench.node, RELAYER, accept.to, accept.data)
    bench.finish()
    assert bench.find("later").fate is Fate.FINALIZED
    assert first.sender == deployer


def test_call_that_fails_on_chain_is_reverted_once(bench: Bench) -> None:
    bench.request(2)
    bench.submitter.advance()
    code = bench.node.call("eth_getCode", bench.deployment.token, "latest")
    bench.node.call("anvil_setCode", bench.deployment.token, "0x5f5ffd")
    ended = bench.finish()
    bench.node.call("anvil_setCode", bench.deployment.token, code)
    assert [s.fate for s in ended] == [Fate.REVERTED] * 2
    assert len(bench.transactions()) == 2
    assert bench.balance() == 0


# --- The process ----------------------------------------------------------------------------------

CHILD = """
import json, os, sys
from orchestrator.chain.deployment import Addresses, Chain
from orchestrator.chain.relayer import Submitter
from orchestrator.storage.database import WORKER, Database
told = json.loads(os.environ["TOLD"])
with Database(told["database"], WORKER) as database:
    with Chain(told["rpc"], Addresses(*told["addresses"])) as chain:
        Submitter(chain, database, bytes.fromhex(told["key"]), lambda: 0).advance()
"""


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_sendRawTransaction"])
def test_killed(bench: Bench, method: str, arrives: bool) -> None:
    """kill -9 before storing, between storing and sending, or between sending and noting."""
    bench.request(3)
    victim: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        if not any(ask["method"] == method for ask in asks):
            return forward(asks)
        if arrives:
            forward(asks)
        assert started.wait(30)
        os.kill(victim[0].pid, signal.SIGKILL)
        return None

    bench.proxy.fault = kill
    told = {
        "database": bench.database_url,
        "rpc": bench.proxy.url,
        "addresses": bench.deployment.addresses,
        "key": RELAYER.hex(),
    }
    root = Path(__file__).parent.parent.parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=root, env={**os.environ, "TOLD": json.dumps(told)}
    )
    victim.append(child)
    started.set()
    assert child.wait(60) == -signal.SIGKILL
    stored = method == "eth_sendRawTransaction"
    assert bench.find("mint-0").fate is (Fate.SIGNED if stored else Fate.REQUESTED)
    bench.clock.mine()
    assert bench.balance() == (7 if stored and arrives else 0)
    bench.finish()
    bench.check_each_once()
    assert len(set(bench.proxy.sent())) == 3


# --- Reorganisations ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_reorg_takes_back_what_was_mined(deep: Bench, depth: int) -> None:
    deep.request(3)
    deep.submitter.advance()
    deep.clock.mine(depth)
    assert deep.balance() == 7
    deep.node.call("anvil_reorg", depth, [])
    assert deep.balance() == 0
    deep.finish()
    deep.check_each_once()


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_watcher_rolls_back_what_a_reorg_took(deep: Bench, depth: int) -> None:
    """Shown at once, taken back with its block, and handed out once: from its last block."""
    watcher = Indexer(deep.chain, deep.database)
    assert list(watcher.poll()) != []  # the log's registration is final
    log_id = deep.deployment.log_id
    publishes = Relayer(deep.chain, deep.database, DEPLOYER, lambda: NOW_MS)
    roots = publish(deep, publishes, log_id, 1)
    deep.clock.mine(depth)
    assert handed_out(watcher) == []
    (before,) = watcher.recent()
    assert before.event == Published(log_id, 1, roots)
    deep.node.call("anvil_reorg", depth, [])
    assert handed_out(watcher) == []
    assert watcher.recent() == []
    publishes.advance()  # the same bytes again
    deep.clock.mine()
    assert handed_out(watcher) == []
    (after,) = watcher.recent()
    assert after.tx_hash == before.tx_hash
    assert after.block_hash != before.block_hash
    for _ in range(DeepAnvil.DEPTH + 2):
        deep.clock.mine()
    assert handed_out(watcher) == [after]
    assert watcher.recent() == []
    assert handed_out(watcher) == []


def publish(deep: Bench, submitter: Relayer, log_id: bytes, size: int) -> bytes:
    tree = CompactRange()
    for number in range(size):
        tree.append(leaf_hash(bytes([number])))
    with deep.database.transaction() as session:
        submitter.request(
            session, f"publish-{size}", deep.chain.publish(log_id, size, tree.root(), [])
        )
    submitter.advance()
    return tree.root()


def handed_out(watcher: Indexer) -> list[ChainEvent]:
    return [event for events in watcher.poll() for event in events]


def test_watcher_keeps_the_order_of_events_within_a_block(bench: Bench) -> None:
    """Attribution rests on it: of two contracts with one touch, the one opened first wins."""
    origins = [f"log {number}" for number in range(8)]
    bench.node.call("anvil_impersonateAccount", HOLDER)
    bench.clock.fund(HOLDER, 10**18)
    for origin in origins:
        call = bench.chain.register(origin, HOLDER)
        # Whoever registers a log may call it anything; that is shown as well as it can be.
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


def test_watcher_stops_where_a_final_block_changed(bench: Bench) -> None:
    watcher = Indexer(bench.chain, bench.database)
    bench.clock.mine(6)
    list(watcher.poll())
    bench.node.call("anvil_reorg", 5, [])
    bench.clock.mine(5)
    with pytest.raises(ChainError) as caught:
        list(watcher.poll())
    assert caught.value.code == "final-block-changed"


def test_watcher_hands_a_batch_out_again_if_nobody_took_it(bench: Bench) -> None:
    watcher = Indexer(bench.chain, bench.database)
    rounds = watcher.poll()
    first = next(rounds)
    del rounds  # the process died over it
    again = [event for events in Indexer(bench.chain, bench.database).poll() for event in events]
    assert again == first
    assert list(Indexer(bench.chain, bench.database).poll()) == []


def test_two_watchers_store_a_round_once(bench: Bench) -> None:
    one, other = (Indexer(bench.chain, bench.database) for _ in range(2))
    round_of_one = one.poll()
    first = next(round_of_one)
    assert [event for events in other.poll() for event in events] == first
    assert list(round_of_one) == []
    assert list(one.poll()) == []


def test_watcher_goes_on_in_smaller_steps_when_the_node_finds_a_range_too_long(
    bench: Bench,
) -> None:
    bench.clock.mine(40)

    def limited(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = forward(asks)
        for ask in asks:
            if ask["method"] == "eth_getLogs":
                wanted = ask["params"][0]
                if int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= 7:
                    error = {"code": -32005, "message": "range too long"}
                    replies = [r for r in replies if r["id"] != ask["id"]]
                    replies.append({"jsonrpc": "2.0", "id": ask["id"], "error": error})
        return replies

    bench.proxy.fault = limited
    watcher = Indexer(bench.chain, bench.database)
    assert len(handed_out(watcher)) == 1
    bench.proxy.fault = honest
    assert handed_out(watcher) == []


def test_watcher_does_not_pass_over_a_block_that_the_node_lacks(bench: Bench) -> None:
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
    watcher = Indexer(bench.chain, bench.database)
    with pytest.raises(NodeError):
        handed_out(watcher)
    bench.proxy.fault = honest
    assert len(handed_out(watcher)) == 1


def test_event_of_a_block_that_is_not_the_chains(bench: Bench) -> None:
    bench.proxy.fault = rewritten(
        "eth_getLogs", lambda logs: [{**log, "blockHash": "0x" + "ee" * 32} for log in logs]
    )
    watcher = Indexer(bench.chain, bench.database)
    with pytest.raises(NodeError):
        handed_out(watcher)
    bench.proxy.fault = honest
    assert len(handed_out(watcher)) == 1
