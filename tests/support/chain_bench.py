"""A relayer's world: a chain, a proxy before it that misbehaves on demand, and a database.

Every intent mints its own power of two, so the balance shows which intents happened and how often.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eth_account import Account

from orchestrator.chain.abi import Call
from orchestrator.chain.deployment import Chain
from orchestrator.chain.nodes.node import Node
from orchestrator.chain.relayer import Relayer, StoredIntent
from orchestrator.core.tx_plan import Fate
from orchestrator.runtime.local_chain import Deployment, LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.storage.database import WORKER, Database
from tests.support.rpc_proxy import Ask, Fault, Forward, RpcProxy, honest
from tests.support.servers import CHAIN_START_S, open_as

GWEI = 10**9
RELAYER = b"\x02" * 32
SENDER = Account.from_key(RELAYER).address
HOLDER = "0x00000000000000000000000000000000000000AA"
NOW_MS = CHAIN_START_S * 1000


class DeepAnvil(LocalAnvil):
    """A chain whose final blocks trail the latest by sixteen, so that there is room for reorgs."""

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
    relayer: Relayer
    pauses: list[float]  # for which the chain's client would have waited, seconds
    keys: list[str] = field(default_factory=list)

    def mint_call(self, number: int) -> Call:
        return self.chain.mint(self.deployment.token, HOLDER, 1 << number)

    def request(self, count: int = 1) -> None:
        with self.database.transaction() as session:
            for _ in range(count):
                call = self.mint_call(len(self.keys))
                key = f"mint-{len(self.keys)}"
                assert self.relayer.request(session, key, call)
                self.keys.append(key)

    def find(self, key: str) -> StoredIntent:
        with self.database.transaction() as session:
            found = self.relayer.find(session, key)
        assert found is not None
        return found

    def finish(self, rounds: int = 60) -> list[StoredIntent]:
        """Do rounds on an honest node until nothing is under way; return what ended."""
        self.proxy.fault = honest
        ended = []
        for _ in range(rounds):
            ended += self.relayer.advance()
            if not self.relayer.under_way():
                return ended
            self.clock.mine()
        raise AssertionError(f"still under way: {[self.find(key) for key in self.keys]}")

    def transactions(self) -> list[dict[str, Any]]:
        """Return every transaction of the sender on chain, in order."""
        latest = int(self.node.call("eth_blockNumber"), 16)
        blocks = (self.node.call("eth_getBlockByNumber", hex(n), True) for n in range(latest + 1))
        everything = [transaction for block in blocks for transaction in block["transactions"]]
        return [t for t in everything if t["from"].lower() == SENDER.lower()]

    def balance(self) -> int:
        return self.chain.balance_of(self.deployment.token, HOLDER)

    def check_each_once(self, strangers: int = 0) -> None:
        """Require one success and one nonce per intent, no gap, and a database that agrees."""
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
    """Yield a relayer on the stage, where the test makes every block; put the chain back after."""
    anvil, deployment = stage
    with (
        open_as(database_url, WORKER) as database,
        RpcProxy(anvil.rpc_url) as proxy,
        Node(anvil.rpc_url) as node,
        LocalChainClock(anvil.rpc_url) as clock,
        Chain(proxy.url, deployment.addresses) as chain,
    ):
        pauses: list[float] = []
        before = node.call("evm_snapshot")
        node.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        # With automine the node makes a block some time after it answered.
        node.call("evm_setAutomine", False)
        clock.fund(SENDER, 10**24)
        chain.node.pause = pauses.append
        relayer = Relayer(chain, database, RELAYER, lambda: NOW_MS)
        yield Bench(deployment, database, database_url, proxy, node, clock, chain, relayer, pauses)
        node.call("evm_setAutomine", True)
        node.call("anvil_dropAllTransactions")
        assert node.call("evm_revert", before)


def is_send(asks: list[Ask]) -> bool:
    return any(ask["method"] == "eth_sendRawTransaction" for ask in asks)


def rewritten(method: str, change: Callable[[Any], Any]) -> Fault:
    """Return a fault that changes the results of one method on their way back."""

    def fault(asks: list[Ask], forward: Forward) -> list[Ask]:
        methods = {ask["id"]: ask["method"] for ask in asks}
        return [
            {**reply, "result": change(reply.get("result"))}
            if methods[reply["id"]] == method
            else reply
            for reply in forward(asks)
        ]

    return fault


def limited_to(blocks: int) -> Fault:
    """Return a fault that refuses every range of more blocks than this."""

    def fault(asks: list[Ask], forward: Forward) -> list[Ask]:
        replies = {reply["id"]: reply for reply in forward(asks)}
        for ask in asks:
            if ask["method"] == "eth_getLogs":
                wanted = ask["params"][0]
                if int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= blocks:
                    error = {"code": -32005, "message": "range too long"}
                    replies[ask["id"]] = {"jsonrpc": "2.0", "id": ask["id"], "error": error}
        return list(replies.values())

    return fault
