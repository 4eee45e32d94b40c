"""A person's one transaction, while the node misbehaves: sent once, and never said to be undone."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from orchestrator.chain import Addresses, Chain
from orchestrator.contracts import Call
from orchestrator.core.errors import ChainError
from orchestrator.local import LocalAnvil
from orchestrator.localchain import deploy_local
from orchestrator.node import NodeError
from orchestrator.sender import Quote, Sender, Sent, quote
from tests.faults.rpc_proxy import Ask, Forward, RpcProxy, honest

KEY = b"\5" * 32
METHOD = "eth_sendRawTransaction"


@pytest.fixture(scope="module")
def deployed(module_anvil: LocalAnvil) -> Addresses:
    return deploy_local(module_anvil.rpc_url, b"\6" * 32).addresses


class Bench(NamedTuple):
    """A key that can pay, a call that works, and a node behind a proxy."""

    proxy: RpcProxy
    chain: Chain
    sender: Sender
    call: Call
    price: Quote
    said: list[str]

    def send(self) -> Sent:
        return self.sender.send(self.call, self.price, self.said.append)

    def nonce(self) -> int:
        found: str = self.chain.node.call("eth_getTransactionCount", self.sender.address, "latest")
        return int(found, 16)


@pytest.fixture
def bench(
    module_anvil: LocalAnvil, deployed: Addresses, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, deployed) as chain:
        sender = Sender(chain, KEY, wait_s=0)
        chain.node.call("anvil_setBalance", sender.address, hex(10**18))
        call = chain.register(request.node.name, sender.address)
        yield Bench(proxy, chain, sender, call, quote(chain, sender.address, call), [])


def answered(method: str, answer: Callable[[Ask], Ask | None]) -> Callable[[Any, Any], Any]:
    """The node does what it is asked; of this method's answers this is made. None: no reply."""

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
    return lambda reply: {
        "jsonrpc": "2.0", "id": reply["id"], "error": {"code": -32000, "message": message},
    }  # fmt: skip


def test_nothing_goes_wrong(bench: Bench) -> None:
    assert bench.send().gas_used <= bench.price.gas
    assert len(bench.proxy.sent()) == 1


@pytest.mark.parametrize("answer", [lambda _: None, error("already known")])
def test_taken_and_not_told(bench: Bench, answer: Callable[[Ask], Ask | None]) -> None:
    """It arrived, though the reply was lost, or said that it had not."""
    bench.proxy.fault = answered(METHOD, answer)
    before = bench.nonce()
    sent = bench.send()
    assert bench.said == [f"sending transaction 0x{sent.tx_hash.hex()}"]
    assert (len(bench.proxy.sent()), bench.nonce()) == (1, before + 1)


def test_never_arrived(bench: Bench) -> None:
    def swallow(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        return None if any(ask["method"] == METHOD for ask in asks) else forward(asks)

    bench.proxy.fault = swallow
    with pytest.raises(ChainError) as told:
        bench.send()
    assert told.value.code == "fate-unknown"
    assert bench.said[0].removeprefix("sending transaction ") in told.value.message
    assert len(bench.proxy.sent()) == 1


def test_refused_by_a_node_that_does_not_have_it(bench: Bench) -> None:
    def refuse(asks: list[Ask], forward: Forward) -> list[Ask]:
        if any(ask["method"] == METHOD for ask in asks):
            chain_id, send = asks
            return [*forward([chain_id]), error("it is full")(send)]
        return forward(asks)

    bench.proxy.fault = refuse
    before = bench.nonce()
    with pytest.raises(ChainError) as told:
        bench.send()
    assert told.value.code == "send-refused"
    assert "it is full; transaction 0x" in told.value.message
    assert bench.nonce() == before


def test_refused_and_nobody_knows(bench: Bench) -> None:
    """Where the node cannot say whether it has it, nobody says that nothing was done."""

    def dumb(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        if any(ask["method"] == METHOD for ask in asks):
            chain_id, send = asks
            return [*forward([chain_id]), error("it is full")(send)]
        return None

    def first(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        if any(ask["method"] == METHOD for ask in asks):
            bench.proxy.fault = dumb
            return dumb(asks, forward)
        return honest(asks, forward)

    bench.proxy.fault = first
    with pytest.raises(ChainError) as told:
        bench.send()
    assert told.value.code == "fate-unknown"


def test_another_transactions_receipt(bench: Bench) -> None:
    def other(reply: Ask) -> Ask:
        return reply | {"result": {**(reply["result"] or {}), "transactionHash": "0x" + "12" * 32}}

    bench.proxy.fault = answered("eth_getTransactionReceipt", other)
    with pytest.raises(NodeError, match="mixed up receipts"):
        bench.send()
