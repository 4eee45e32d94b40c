"""A key that can pay, a call that works, and a node behind a proxy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from orchestrator.chain.abi import Call
from orchestrator.chain.deployment import Chain
from orchestrator.chain.wallet import Quote, Sent, TransactionSender, quote
from orchestrator.core.deals.site import Addresses
from tests.support.rpc_proxy import SEND_METHOD, Ask, Forward, RpcProxy

KEY = b"\5" * 32


class WalletBench(NamedTuple):
    """A sender, its call and price, the proxy before its node, and what it reported."""

    proxy: RpcProxy
    chain: Chain
    sender: TransactionSender
    call: Call
    price: Quote
    reports: list[str]

    def send(self) -> Sent:
        return self.sender.send(self.call, self.price, self.reports.append)

    def nonce(self) -> int:
        found: str = self.chain.node.call("eth_getTransactionCount", self.sender.address, "latest")
        return int(found, 16)


@contextmanager
def wallet_bench(rpc_url: str, deployed: Addresses, origin: str) -> Iterator[WalletBench]:
    """Yield a bench whose call registers a log under this origin."""
    with RpcProxy(rpc_url) as proxy, Chain(proxy.url, deployed) as chain:
        proxy.mines_sent = True
        chain.node.call("evm_setAutomine", False)
        sender = TransactionSender(chain, KEY, wait_s=0)
        chain.node.call("anvil_setBalance", sender.address, hex(10**18))
        call = chain.register(origin, sender.address)
        yield WalletBench(proxy, chain, sender, call, quote(chain, sender.address, call), [])


def answered(method: str, answer: Callable[[Ask], Ask | None]) -> Callable[[Any, Any], Any]:
    """Return a fault that changes one method's replies, after the node has done what it was asked.

    An answer of None is no reply.
    """

    def fault(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        replies = forward(asks)
        changed = [
            answer(reply) if ask["method"] == method else reply
            for ask, reply in zip(asks, sorted(replies, key=lambda one: one["id"]), strict=True)
        ]
        found = [one for one in changed if one is not None]
        return found if len(found) == len(changed) else None

    return fault


def error(message: str) -> Callable[[Ask], Ask]:
    """Return a function that turns a reply into this error."""
    return lambda reply: {
        "jsonrpc": "2.0", "id": reply["id"], "error": {"code": -32000, "message": message},
    }  # fmt: skip


def swallow_sends(asks: list[Ask], forward: Forward) -> list[Ask] | None:
    """Hang up on every transaction that is sent, before it reaches the node."""
    return None if any(ask["method"] == SEND_METHOD for ask in asks) else forward(asks)
