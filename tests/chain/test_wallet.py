"""A person's one transaction, while the node misbehaves: sent once, and never said to be undone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.abi import Call
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import NodeError
from orchestrator.chain.wallet import Quote, Sender, Sent, quote
from orchestrator.cli import session
from orchestrator.cli.session import Endpoints, RunOptions
from orchestrator.core.errors import ChainError, EscrowError
from orchestrator.core.site import Addresses
from orchestrator.runtime.local_chain import deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.rpc_proxy import Ask, Forward, RpcProxy, honest

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
    assert "it is full; the node says that it has no transaction 0x" in told.value.message
    assert "it may still come" in told.value.message
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


def test_a_tip_out_of_all_reason_is_not_taken(bench: Bench) -> None:
    suggested = hex(400 * 10**9)
    bench.proxy.fault = answered(
        "eth_maxPriorityFeePerGas", lambda reply: reply | {"result": suggested}
    )
    assert quote(bench.chain, bench.sender.address, bench.call).fees.priority_fee_wei == 50 * 10**9


# --- Several at once ------------------------------------------------------------------------------


class Run(NamedTuple):
    """What `act` did with deeds: the error that it ended with, and its document."""

    error: ChainError | EscrowError | None
    document: dict[str, Any]

    def fates(self) -> list[str]:
        return [
            "sent" if "tx_hash" in step else "failed" if "failure" in step else "planned"
            for step in self.document["transactions"]
        ]


@pytest.fixture
def act(
    bench: Bench, deployed: Addresses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(KEY.hex())

    def run(*origins: str, dry_run: bool = False) -> Run:
        deeds = tuple(
            PlannedTransaction(one, (), bench.chain.register(one, bench.sender.address), (), {})
            for one in origins
        )
        endpoints = Endpoints(bench.proxy.url, "http://127.0.0.1:1", deployed.escrow)
        options = RunOptions(path, yes=True, dry_run=dry_run, as_json=True)
        error: ChainError | EscrowError | None = None
        try:
            assert session.execute_plan(endpoints, options, lambda _: Plan((), deeds))
        except (ChainError, EscrowError) as failed:
            error = failed
        return Run(error, json.loads(capsys.readouterr().out))

    return run


@pytest.mark.parametrize("is_tried_again", [True, False])
def test_one_that_fails_does_not_stop_the_others(
    is_tried_again: bool, act: Callable[..., Run], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second undoes itself when the first is in a block: seen before it is sent, or after."""
    first, last, done = (f"{name}-{is_tried_again}" for name in ("first", "last", "done"))
    assert act(done).error is None
    asked = 0

    def once(chain: Chain, sender: str, call: Call) -> Quote:
        nonlocal asked
        asked += 1
        return quote(chain, sender, call) if is_tried_again or asked <= 4 else bench.price

    monkeypatch.setattr(session, "quote", once)
    before = bench.nonce()
    found = act(first, first, done, last)
    assert found.fates() == ["sent", "failed", "failed", "sent"]
    assert bench.nonce() - before == (2 if is_tried_again else 3)
    assert isinstance(found.error, ChainError)
    assert "2 of 4 transactions were not done" in found.error.message
    assert found.document["sent"] is True


def test_where_none_can_be_sent_nothing_is_done(act: Callable[..., Run]) -> None:
    assert act("mine").fates() == ["sent"]
    for dry_run in (True, False):
        found = act("mine", "mine", dry_run=dry_run)
        assert found.fates() == ["failed", "failed"]
        assert isinstance(found.error, ChainError)  # exit 3: there is something to do
        assert (found.error.code, found.document["sent"]) == ("would-revert", False)


def test_what_cannot_be_sent_does_not_spoil_a_dry_run(act: Callable[..., Run]) -> None:
    assert act("theirs").fates() == ["sent"]
    found = act("theirs", "ours", dry_run=True)
    assert (found.error, found.fates()) == (None, ["failed", "planned"])


def test_after_one_whose_fate_is_unknown_no_other_is_sent(
    act: Callable[..., Run], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallow(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        return None if any(ask["method"] == METHOD for ask in asks) else forward(asks)

    assert act("refused").error is None
    before = len(bench.proxy.sent())
    bench.proxy.fault = swallow
    monkeypatch.setattr(session, "Sender", lambda chain, key: Sender(chain, key, wait_s=0))
    found = act("refused", "one", "two")
    assert found.fates() == ["failed", "failed", "failed"]
    assert len(bench.proxy.sent()) == 1 + before
    assert isinstance(found.error, ChainError)
    assert found.error.code == "fate-unknown"
