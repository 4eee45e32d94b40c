"""A person's one transaction while the node misbehaves: sent once, never reported as undone."""

from collections.abc import Callable, Iterator

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from orchestrator.chain.rpc import NodeError
from orchestrator.chain.wallet import SigningKey, quote
from orchestrator.core.common.errors import ChainError
from orchestrator.core.deals.site import Addresses
from orchestrator.core.tx_plan import Fees
from orchestrator.runtime.local_chain import deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.rpc_proxy import SEND_METHOD, Ask, Forward, honest
from tests.support.wallet_bench import (
    KEY,
    WalletBench,
    answered,
    error,
    swallow_sends,
    wallet_bench,
)


@pytest.fixture(scope="module")
def deployed(module_anvil: LocalAnvil) -> Addresses:
    return deploy_local(module_anvil.rpc_url, b"\6" * 32).addresses


@pytest.fixture
def bench(
    module_anvil: LocalAnvil, deployed: Addresses, request: pytest.FixtureRequest
) -> Iterator[WalletBench]:
    with wallet_bench(module_anvil.rpc_url, deployed, request.node.name) as bench:
        yield bench


def test_nothing_goes_wrong(bench: WalletBench) -> None:
    assert bench.send().gas_used <= bench.price.gas
    assert len(bench.proxy.sent()) == 1


@pytest.mark.parametrize("answer", [lambda _: None, error("already known")])
def test_taken_though_the_node_did_not_say_so(
    bench: WalletBench, answer: Callable[[Ask], Ask | None]
) -> None:
    """It arrived, though the reply was lost, or said that it had not."""
    bench.proxy.fault = answered(SEND_METHOD, answer)
    before = bench.nonce()
    sent = bench.send()
    assert bench.reports == [f"sending transaction 0x{sent.tx_hash.hex()}"]
    assert (len(bench.proxy.sent()), bench.nonce()) == (1, before + 1)


def test_never_arrived(bench: WalletBench) -> None:
    bench.proxy.fault = swallow_sends
    with pytest.raises(ChainError) as caught:
        bench.send()
    assert caught.value.code == "fate-unknown"
    assert bench.reports[0].removeprefix("sending transaction ") in caught.value.message
    assert len(bench.proxy.sent()) == 1


def test_refused_by_a_node_that_does_not_have_it(bench: WalletBench) -> None:
    def refuse(asks: list[Ask], forward: Forward) -> list[Ask]:
        if any(ask["method"] == SEND_METHOD for ask in asks):
            chain_id, send = asks
            return [*forward([chain_id]), error("it is full")(send)]
        return forward(asks)

    bench.proxy.fault = refuse
    before = bench.nonce()
    with pytest.raises(ChainError) as caught:
        bench.send()
    assert caught.value.code == "send-refused"
    assert "it is full; the node says that it has no transaction 0x" in caught.value.message
    assert "it may still come" in caught.value.message
    assert bench.nonce() == before


def test_refused_by_a_node_that_cannot_say_whether_it_has_it(bench: WalletBench) -> None:
    """A refusal is not believed where the node does not say that it lacks the transaction."""

    def dumb(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        if any(ask["method"] == SEND_METHOD for ask in asks):
            chain_id, send = asks
            return [*forward([chain_id]), error("it is full")(send)]
        return None

    def first(asks: list[Ask], forward: Forward) -> list[Ask] | None:
        if any(ask["method"] == SEND_METHOD for ask in asks):
            bench.proxy.fault = dumb
            return dumb(asks, forward)
        return honest(asks, forward)

    bench.proxy.fault = first
    with pytest.raises(ChainError) as caught:
        bench.send()
    assert caught.value.code == "fate-unknown"


def test_another_transactions_receipt(bench: WalletBench) -> None:
    def other(reply: Ask) -> Ask:
        return reply | {"result": {**(reply["result"] or {}), "transactionHash": "0x" + "12" * 32}}

    bench.proxy.fault = answered("eth_getTransactionReceipt", other)
    with pytest.raises(NodeError, match="mixed up receipts"):
        bench.send()


def test_a_tip_out_of_all_reason_is_not_taken(bench: WalletBench) -> None:
    suggested = hex(400 * 10**9)
    bench.proxy.fault = answered(
        "eth_maxPriorityFeePerGas", lambda reply: reply | {"result": suggested}
    )
    assert quote(bench.chain, bench.sender.address, bench.call).fees.priority_fee_wei == 50 * 10**9


# --- Keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [None, "0x00000000000000000000000000000000000000aa"])
def test_a_key_signs_for_its_own_address_and_is_not_shown(to: str | None) -> None:
    key = SigningKey(KEY)
    assert repr(key) == f"SigningKey({key.address})"
    tx_hash, raw = key.sign(10, 7, to, b"\1\2", 50_000, Fees(9, 4))
    assert Account.recover_transaction(raw) == key.address
    assert tx_hash == keccak(raw)
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    assert (fields["chainId"], fields["nonce"], fields["gas"]) == (10, 7, 50_000)
    assert (fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]) == (9, 4)
    assert (bytes(fields["data"]), fields["value"]) == (b"\1\2", 0)
