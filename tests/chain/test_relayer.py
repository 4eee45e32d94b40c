"""Nodes, chains and processes that fail, against a real chain and a real database."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as Keys
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from orchestrator.chain.abi import (
    Call,
)
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.chain.relayer import Relayer, StoredIntent
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.tx_plan import Fate
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, send_local
from orchestrator.storage.database import Database
from tests.support.chain_bench import (
    GWEI,
    HOLDER,
    NOW_MS,
    RELAYER,
    SENDER,
    Bench,
    DeepAnvil,
    is_send,
    rewritten,
)
from tests.support.chain_deal import DEPLOYER, STRANGER, STRANGER_KEY, allowance, refused
from tests.support.dialects import (
    DIALECTS,
    Dialect,
    at,
    failure,
    legacy,
    no_method,
    refusal,
)
from tests.support.rpc_proxy import Ask, Fault, Forward, RpcProxy
from tests.support.servers import urls_of

# --- The node -------------------------------------------------------------------------------------


def test_send_accepted_and_reply_lost(bench: Bench) -> None:
    def lose_reply(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        replies = forward(asks)
        return None if is_send(asks) else replies

    bench.request(3)
    bench.proxy.fault = lose_reply
    bench.relayer.advance()
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
        bench.relayer.advance()
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
    bench.relayer.advance()
    bench.request(2)
    bench.relayer.advance()
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

    bench.relayer.advance()
    bench.proxy.fault = lag
    for _ in range(5):
        bench.clock.mine()
        bench.relayer.advance()
    assert len(set(bench.proxy.sent())) == 2
    bench.finish()
    bench.check_each_once()


def test_spent_nonce_without_a_receipt_is_unknown(bench: Bench) -> None:
    """Behind a load balancer a missing receipt proves nothing: nothing is signed again."""
    bench.request(2)
    bench.relayer.advance()
    bench.clock.mine(4)
    bench.proxy.fault = rewritten("eth_getTransactionReceipt", lambda _: None)
    for _ in range(5):
        bench.clock.mine()
        assert bench.relayer.advance() == []
    assert bench.relayer.under_way() == 2
    assert len(bench.proxy.sent()) == 2
    bench.finish()
    bench.check_each_once()


def test_node_that_lags_behind_what_was_acted_on(bench: Bench) -> None:
    bench.request()
    bench.finish()
    bench.request()
    bench.proxy.fault = rewritten("eth_getBlockByNumber", lambda block: {**block, "number": "0x1"})
    assert bench.relayer.advance() == []
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
            bench.relayer.advance()
        # And as the answer to the send alone, which arrives.
        bench.proxy.fault = always(garbage, when=is_send)
        bench.relayer.advance()
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
            bench.relayer.advance()
    assert bench.proxy.sent() == []
    bench.finish()
    bench.check_each_once()


def test_wrong_chain(bench: Bench) -> None:
    bench.request()
    bench.proxy.fault = rewritten("eth_chainId", lambda _: "0x1")
    with pytest.raises(ChainError, match="is on chain 1, and the deployment is on 31337") as caught:
        bench.relayer.advance()
    assert caught.value.code == "wrong-chain"
    with pytest.raises(ChainError):
        next(Indexer(bench.chain, bench.database).poll())
    assert bench.proxy.sent() == []
    bench.finish()
    bench.check_each_once()


def test_receipt_from_a_block_that_is_not_the_chains(bench: Bench) -> None:
    bench.request()
    bench.relayer.advance()
    bench.clock.mine()

    def lie(receipt: Any) -> Any:
        return receipt and {**receipt, "blockHash": "0x" + "ee" * 32, "status": "0x0"}

    bench.proxy.fault = rewritten("eth_getTransactionReceipt", lie)
    for _ in range(4):
        bench.clock.mine()
        assert bench.relayer.advance() == []
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
        bench.relayer.advance()
    assert len(bench.proxy.sent()) == 3
    bench.finish()
    bench.check_each_once()


def test_dropped_transaction_closes_its_own_gap(bench: Bench) -> None:
    bench.request(3)
    bench.relayer.advance()
    first = bench.find("mint-0").tx_hash
    assert first is not None
    bench.node.call("anvil_dropTransaction", "0x" + first.hex())
    bench.clock.mine()
    assert bench.balance() == 0  # two wait behind a gap
    bench.relayer.advance()
    sent = bench.proxy.sent()
    assert len(sent) > 3
    assert sent[3:] == sent[: len(sent) - 3]  # anvil drops those above the gap with it
    bench.finish()
    bench.check_each_once()
    assert bench.find("mint-0").tx_hash == first


def test_all_dropped(bench: Bench) -> None:
    bench.request(5)
    bench.relayer.advance()
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
    bench.relayer.advance()
    assert "underpriced" in bench.find("mint-0").reason
    for _ in range(20):
        bench.relayer.advance()
    assert pooled(bench) == ["0x" + (bench.find("mint-0").tx_hash or b"").hex()]
    fees = [transaction["maxFeePerGas"] for transaction in signed(bench)]
    assert all(8 * after >= 9 * before for before, after in pairwise(fees))
    bench.finish()
    bench.check_each_once()


def refusing_rivals(words: str) -> Fault:
    """Return a node that words a refused replacement in its own way."""

    def fault(asks: list[Ask], forward: Forward) -> list[Ask]:
        return [
            refusal(reply["id"], -32010, words)
            if "underpriced" in reply.get("error", {}).get("message", "")
            else reply
            for reply in forward(asks)
        ]

    return fault


@pytest.mark.parametrize("words", ["ReplacementNotAllowed", "computer says no"])
def test_a_refused_replacement_is_raised_whatever_the_words(bench: Bench, words: str) -> None:
    """A stranger with our key holds the nonce; in words that no table has we outbid it too."""
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
    bench.proxy.fault = refusing_rivals(words)
    bench.request()
    bench.relayer.advance()
    found = bench.find("mint-0")
    assert found.fate is Fate.SIGNED  # and not broadcast: no node holds it
    assert words in found.reason
    for _ in range(40):
        bench.relayer.advance()
    assert bench.find("mint-0").fate is Fate.BROADCAST
    assert pooled(bench) == ["0x" + (bench.find("mint-0").tx_hash or b"").hex()]
    bench.finish()
    bench.check_each_once()


def test_without_money_for_gas_nothing_is_signed_and_that_is_told(bench: Bench) -> None:
    bench.node.call("anvil_setBalance", SENDER, hex(10**9))
    bench.request()
    for _ in range(3):
        bench.relayer.advance()
        bench.clock.mine()
    assert bench.proxy.sent() == []
    assert "has 1000000000 wei for gas" in bench.find("mint-0").reason
    assert bench.relayer.hindrance == bench.find("mint-0").reason
    bench.clock.fund(SENDER, 10**24)
    bench.finish()
    assert bench.relayer.hindrance is None
    bench.check_each_once()


# --- Nodes of every kind --------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_kind_of_node_carries_out_intents_once(
    bench: Bench, dialect: Callable[[], Dialect]
) -> None:
    bench.proxy.fault = dialect()
    bench.request(5)
    for _ in range(8):
        bench.relayer.advance()
        bench.clock.mine()
    assert bench.relayer.under_way() == 0
    bench.check_each_once()


def test_a_chain_without_base_fees_and_without_final_blocks(bench: Bench) -> None:
    with Chain(bench.proxy.url, bench.deployment.addresses, final_depth=3) as chain:
        relayer = Relayer(chain, bench.database, RELAYER, lambda: NOW_MS)
        bench.proxy.fault = legacy()
        bench.request(3)
        relayer.advance()
        bench.clock.mine()
        assert bench.balance() == 7
        bench.clock.mine(2)
        assert relayer.advance() == []
        bench.clock.mine(3)
        assert len(relayer.advance()) == 3
    bench.check_each_once()
    assert {int(t.get("type", "0x0"), 16) for t in bench.transactions()} == {0}


def test_without_the_final_state_our_own_receipts_prove_what_is_final(deep: Bench) -> None:
    deep.proxy.fault = DIALECTS["sequencer"]()
    deep.request(2)
    deep.relayer.advance()
    deep.clock.mine(4)
    assert deep.relayer.advance() == []
    deep.clock.mine(deep_blocks())
    assert len(deep.relayer.advance()) == 2
    deep.check_each_once()


def deep_blocks() -> int:
    return 2 * DeepAnvil.DEPTH


REVERTS = [
    (-32015, "VM execution error.", "Reverted 0x", "VM execution error"),
    (-32015, "VM execution error.", "Reverted 0x" + "11" * 4, "reverted with 0x11111111"),
    (-32000, "the machine would not have it", None, "would not have it"),
]


@pytest.mark.parametrize(("code", "words", "data", "reason"), REVERTS)
def test_a_call_that_fails_in_other_words_is_refused_once_that_is_final(
    bench: Bench, code: int, words: str, data: str | None, reason: str
) -> None:
    """And meanwhile it holds up no other."""
    bench.request(2)
    bad = to_hex(bench.mint_call(0).data)

    def rule(ask: Ask) -> dict[str, Any] | None:
        return failure(code, words, data) if ask["params"][0]["data"] == bad else None

    bench.proxy.fault = Dialect(100, lambda _: [], {"eth_estimateGas": rule})
    bench.relayer.advance()
    assert reason in bench.find("mint-0").reason
    assert bench.find("mint-1").fate is Fate.BROADCAST
    for _ in range(6):
        bench.clock.mine()
        bench.relayer.advance()
    assert bench.find("mint-0").fate is Fate.REFUSED
    assert bench.find("mint-1").fate is Fate.FINALIZED


def test_a_node_without_pending_blocks_tries_calls_on_the_latest(bench: Bench) -> None:
    rule = at(("pending",), -32602, "unsupported block tag: pending")
    bench.proxy.fault = Dialect(100, lambda _: [], {"eth_estimateGas": rule})
    bench.request()
    bench.relayer.advance()
    assert bench.find("mint-0").fate is Fate.BROADCAST
    bench.finish()


def test_a_node_that_tries_nothing_is_quoted_and_refuses_no_intent(bench: Bench) -> None:
    bench.proxy.fault = Dialect(
        100, lambda _: [], {"eth_estimateGas": no_method("eth_estimateGas")}
    )
    bench.request(20)
    for _ in range(6):
        bench.clock.mine()
        bench.relayer.advance()
    assert "eth_estimateGas does not exist" in bench.find("mint-0").reason
    assert bench.find("mint-0").fate is Fate.REQUESTED
    bench.finish()
    bench.check_each_once()


def signed(bench: Bench) -> list[dict[str, Any]]:
    """Return the transactions that were sent, in order."""
    sent = bench.proxy.sent()
    return [TypedTransaction.from_bytes(HexBytes(raw)).as_dict() for raw in sent]


def test_base_fee_spike_while_in_the_pool(bench: Bench) -> None:
    bench.request(2)
    bench.relayer.advance()
    bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    bench.clock.mine()
    assert bench.balance() == 0
    bench.relayer.advance()
    assert len(set(bench.proxy.sent())) == 4
    bench.finish()
    bench.check_each_once()


def test_base_fee_beyond_the_ceiling_is_waited_out(bench: Bench) -> None:
    bench.request(2)
    bench.relayer.advance()
    for _ in range(3):
        bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(5_000 * GWEI))
        bench.clock.mine()
        bench.relayer.advance()
    assert bench.balance() == 0
    bench.node.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    bench.finish()
    bench.check_each_once()


def test_stuck_transaction_is_replaced_under_its_nonce(bench: Bench) -> None:
    """Blocks come and pass it over: the miner wants a tip that we did not offer."""
    bench.request()
    bench.relayer.advance()
    # Blocks without transactions, as a miner makes that passes ours over.
    raw = bench.proxy.sent()[0]
    tx_hash = "0x" + (bench.find("mint-0").tx_hash or b"").hex()
    for _ in range(10):
        bench.node.call("anvil_dropTransaction", tx_hash)
        bench.clock.mine()
        bench.node.call("eth_sendRawTransaction", raw)
    bench.relayer.advance()
    first, second = signed(bench)
    assert first["nonce"] == second["nonce"] == 0
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert 8 * second[fee] >= 9 * first[fee]
    bench.finish()
    bench.check_each_once()


# --- The key, used by others ----------------------------------------------------------------------


def test_stranger_with_our_key_takes_the_nonce(bench: Bench) -> None:
    """Ours can never be mined under it; once that is final, the intent gets another nonce."""
    bench.request(2)
    bench.relayer.advance()
    bench.node.call("anvil_dropAllTransactions")
    call = bench.chain.approve(bench.deployment.token, 1)
    send_local(bench.node, RELAYER, call.to, call.data)
    bench.finish()
    bench.check_each_once(strangers=1)


def test_nothing_is_signed_above_a_strangers_unfinal_transaction(deep: Bench) -> None:
    call = deep.chain.approve(deep.deployment.token, 1)
    send_local(deep.node, RELAYER, call.to, call.data)
    deep.request()
    assert deep.relayer.advance() == []
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
                relayer = Relayer(chain, bench.database, RELAYER, lambda: NOW_MS)
                while not stop.is_set() and relayer.under_way():
                    relayer.advance()
        except BaseException as error:  # noqa: BLE001 - asserted below
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
    # One that waits through some blocks is sent again at a higher price: it is the same call.
    calls = {(fields["nonce"], bytes(fields["data"])) for fields in signed(bench)}
    assert sorted(nonce for nonce, _ in calls) == list(range(30))


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
        bench.relayer.advance()
        resume.set()
        thread.join()
        assert results == [[]]
        assert slow.sent() == []
    bench.finish()
    bench.check_each_once()


# --- Calls that fail ------------------------------------------------------------------------------


def doomed(bench: Bench) -> Call:
    """Return a call that fails: it anchors a log that is not registered."""
    return bench.chain.publish(b"\x99" * 32, 1, b"\x01" * 32, [])


def test_doomed_call_is_refused_without_a_nonce(bench: Bench) -> None:
    with bench.database.transaction() as session:
        bench.relayer.request(session, "doomed", doomed(bench))
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
            deep.relayer.request(session, f"doomed-{number}", doomed(deep))
    deep.request(3)
    for _ in range(4):
        deep.relayer.advance()
        deep.clock.mine()
    assert deep.balance() == 7
    deep.finish()
    deep.check_each_once()
    fates = {deep.find(f"doomed-{number}").fate for number in range(40)}
    assert fates == {Fate.REFUSED}


def test_what_waits_to_be_final_holds_up_nothing(deep: Bench) -> None:
    deep.request(40)
    for _ in range(4):
        deep.relayer.advance()
        deep.clock.mine()
    assert deep.balance() == (1 << 40) - 1
    assert deep.relayer.under_way() == 40
    deep.finish()
    deep.check_each_once()


def test_call_that_would_fail_now_and_not_later(bench: Bench) -> None:
    """A refusal counts when the block that showed it is final, and not before."""
    deployer = Keys.from_key(DEPLOYER).address
    first = Relayer(bench.chain, bench.database, DEPLOYER, lambda: NOW_MS)
    tree = CompactRange()
    tree.append(leaf_hash(b"0"))
    with bench.database.transaction() as session:
        bench.relayer.request(
            session, "later", bench.chain.publish(bench.deployment.log_id, 1, tree.root(), [])
        )
    bench.relayer.advance()  # the relayer is not the publisher
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
    bench.relayer.advance()
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
from orchestrator.chain.deployment import Chain
from orchestrator.chain.relayer import Relayer
from orchestrator.core.deals.site import Addresses
from orchestrator.storage.database import WORKER, Database
settings = json.loads(os.environ["SETTINGS"])
with Database(settings["database"], WORKER) as database:
    with Chain(settings["rpc"], Addresses(*settings["addresses"])) as chain:
        Relayer(chain, database, bytes.fromhex(settings["key"]), lambda: 0).advance()
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
    settings = {
        "database": urls_of(bench.database_url).worker,
        "rpc": bench.proxy.url,
        "addresses": bench.deployment.addresses,
        "key": RELAYER.hex(),
    }
    root = Path(__file__).parent.parent.parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=root,
        env={**os.environ, "SETTINGS": json.dumps(settings)},
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


# --- Reorganizations ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_reorg_takes_back_what_was_mined(deep: Bench, depth: int) -> None:
    deep.request(3)
    deep.relayer.advance()
    deep.clock.mine(depth)
    assert deep.balance() == 7
    deep.node.call("anvil_reorg", depth, [])
    assert deep.balance() == 0
    deep.finish()
    deep.check_each_once()


# --- Stored intents -------------------------------------------------------------------------------


@pytest.fixture
def relayer(chain: Chain, database: Database) -> Relayer:
    return Relayer(chain, database, STRANGER_KEY, lambda: 1)


def test_a_relayer_shows_its_address_alone(relayer: Relayer) -> None:
    assert repr(relayer) == f"Relayer({STRANGER})"


def test_an_intent_is_asked_for_in_the_callers_transaction(
    chain: Chain, database: Database, relayer: Relayer, deployment: Deployment
) -> None:
    call = chain.approve(deployment.token, 5)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:  # noqa: PT012
        assert relayer.request(session, "approve", call)
        raise ZeroDivisionError
    with database.transaction() as session:
        assert relayer.find(session, "approve") is None
        assert relayer.request(session, "approve", call)
        assert not relayer.request(session, "approve", call)
        other = chain.approve(deployment.token, 6)
        refused("intent-conflict", lambda: relayer.request(session, "approve", other))
    assert relayer.under_way() == 1


def test_an_intent_moves_from_requested_to_finalized(
    chain: Chain,
    clock: LocalChainClock,
    database: Database,
    relayer: Relayer,
    deployment: Deployment,
) -> None:
    def stored() -> Any:
        with database.transaction() as session:
            return relayer.find(session, "approve")

    with database.transaction() as session:
        relayer.request(session, "approve", chain.approve(deployment.token, 5))
    assert stored().fate is Fate.REQUESTED
    assert relayer.advance() == []
    assert stored().fate is Fate.BROADCAST
    clock.mine()
    assert allowance(chain, deployment.token, STRANGER) == 5
    assert relayer.advance() == []  # mined, and not final
    clock.finalize()
    (ended,) = relayer.advance()
    assert ended == stored()
    assert ended.fate is Fate.FINALIZED
    assert ended.block_number == chain.block("finalized").number
    receipt = clock.node.call("eth_getTransactionReceipt", f"0x{ended.tx_hash.hex()}")  # type: ignore[union-attr]
    assert ended.gas_used == int(receipt["gasUsed"], 16)
    assert relayer.under_way() == 0
    assert relayer.advance() == []
