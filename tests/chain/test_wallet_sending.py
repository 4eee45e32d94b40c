"""A wallet that sends a transaction once, on a real chain: prices, failures and what it prints."""

from collections.abc import Iterator

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.chain.wallet import Quote, TransactionSender, format_ether, quote
from orchestrator.core.common.errors import ChainError, EscrowError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.runtime.local_chain import deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.dialects import Dialect, always, at, legacy
from tests.support.rpc_proxy import RpcProxy

KEY = b"\5" * 32


@pytest.mark.parametrize(
    ("amount_wei", "text"),
    [(0, "0.000000000 ETH"), (1, "0.000000001 ETH"), (10**18, "1.000000000 ETH")],
)
def test_prices_are_written_in_ether(amount_wei: int, text: str) -> None:
    assert format_ether(amount_wei) == text


@pytest.fixture
def chain(anvil: LocalAnvil) -> Iterator[Chain]:
    """A new chain with the contracts of a deployment."""
    deployment = deploy_local(anvil.rpc_url, b"\6" * 32)
    with Chain(anvil.rpc_url, deployment.addresses) as chain:
        yield chain


def test_a_transaction_is_sent_once(chain: Chain) -> None:
    lines: list[str] = []
    sender = TransactionSender(chain, KEY, wait_s=0)
    assert repr(sender) == f"Sender({sender.address})"
    call = chain.register("mine.example", sender.address)
    price = quote(chain, sender.address, call)
    assert 0 < price.likely_wei < price.most_wei

    def refused(code: str, price: Quote = price) -> str:
        with pytest.raises(ChainError) as error:
            sender.send(call, price, lines.append)
        assert error.value.code == code, error.value
        return error.value.message

    assert refused("gas-unaffordable").startswith(f"{sender.address} has 0.000000000 ETH")
    assert lines == []
    chain.node.call("anvil_setBalance", sender.address, hex(10**18))

    # A price that no node takes: nothing is left behind.
    free = price._replace(fees=price.fees._replace(max_fee_wei=0, priority_fee_wei=0))
    assert "it may still come" in refused("send-refused", free)

    # No block comes: the hash was printed, and nothing more is sent on top of it.
    chain.node.call("evm_setAutomine", False)
    message = refused("fate-unknown")
    assert lines[-1].removeprefix("sending transaction ") in message
    assert "1 transactions of" in refused("under-way")
    chain.node.call("evm_setAutomine", True)
    chain.node.call("anvil_mine", "0x1")
    # A block comes a moment after what it holds.
    sender = TransactionSender(chain, KEY)

    # What the escrow would refuse is known before it is sent, or else reported as failed.
    with pytest.raises(EscrowError, match="the chain would refuse this now: AlreadyRegistered"):
        quote(chain, sender.address, call)
    assert "failed in block" in refused("call-reverted")

    fresh = chain.register("other.example", sender.address)
    sent = sender.send(fresh, quote(chain, sender.address, fresh), lines.append)
    receipt = chain.node.call("eth_getTransactionReceipt", f"0x{sent.tx_hash.hex()}")
    assert (int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)) == sent[1:]
    assert not any(KEY.hex() in line for line in lines)


def test_a_node_without_pending_blocks_prices_and_sends(chain: Chain, anvil: LocalAnvil) -> None:
    lines: list[str] = []
    rule = at(("pending",), -32602, "unsupported block tag: pending")
    methods = ("eth_call", "eth_estimateGas", "eth_getTransactionCount")
    with RpcProxy(anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as asked:
        proxy.fault = Dialect(100, lambda _: [], dict.fromkeys(methods, rule))
        sender = TransactionSender(asked, KEY)
        chain.node.call("anvil_setBalance", sender.address, hex(10**18))
        call = asked.register("mine.example", sender.address)
        assert sender.send(call, quote(asked, sender.address, call), lines.append).gas_used > 21_000
        # The same once more would fail, and does so in words of its own.
        vm_error = always(-32015, "VM execution error.", "Reverted")
        proxy.fault = Dialect(100, lambda _: [], {"eth_call": vm_error})
        with pytest.raises(EscrowError, match="VM execution error") as caught:
            quote(asked, sender.address, call)
        assert caught.value.code == "would-revert"


def test_a_legacy_chain_gets_legacy_transactions(chain: Chain, anvil: LocalAnvil) -> None:
    lines: list[str] = []
    with RpcProxy(anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as asked:
        proxy.fault = legacy()
        sender = TransactionSender(asked, KEY)
        chain.node.call("anvil_setBalance", sender.address, hex(10**18))
        call = asked.register("mine.example", sender.address)
        price = quote(asked, sender.address, call)
        assert price.is_legacy
        sent = sender.send(call, price, lines.append)
        mined = chain.node.call("eth_getTransactionByHash", to_hex(sent.tx_hash))
        assert mined.get("type", "0x0") == "0x0"
