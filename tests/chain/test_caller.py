"""Reads and calldata of contracts on a real chain, and signatures of its accounts."""

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.chain.caller import AccountFacts, Caller, contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import ReplyError
from orchestrator.core.account.sign_in import MAX_SIGNATURE_BYTES
from orchestrator.core.account.wallet_signature import MAGIC
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.runtime.local_chain import Deployment, LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import OWNER, OWNER_KEY, PAYEE, WORD, refused, send
from tests.support.dialects import Dialect, always
from tests.support.rpc_proxy import RpcProxy
from tests.support.terms import PLAIN


def test_a_node_on_another_chain_is_refused(module_anvil: LocalAnvil) -> None:
    with Caller(module_anvil.rpc_url, 10) as caller:
        for read in (caller.block, lambda: caller.token(PAYEE)):
            message = refused("wrong-chain", read)
            assert "is on chain 31337, and the deployment is on 10" in message


def test_blocks_that_the_node_lacks_are_left_out(chain: Chain) -> None:
    latest = chain.block().number
    found = chain.blocks([latest, latest, 0, latest + 1_000])
    assert found == {0: chain.block(0), latest: chain.block()}


def test_an_answer_of_another_kind_is_refused(chain: Chain, deployment: Deployment) -> None:
    """An account without code answers nothing; a view that reverts gives its reason."""
    refused("node-unreadable", lambda: chain.token(PAYEE))
    lens = contract_at("EscrowLens", chain.addresses.lens or "")
    unopened = tuple(PLAIN.to_abi())
    message = refused("call-reverted", lambda: chain.read(lens, "owed", unopened))
    assert "UnknownContract(0x" in message
    assert chain.token(deployment.token).decimals == 6


def test_calls_that_cannot_be_made(chain: Chain) -> None:
    refused("call-malformed", lambda: chain.revoke(b"\x01" * 33))
    refused("call-malformed", lambda: chain.publish(WORD, -1, WORD, []))
    refused("call-malformed", lambda: chain.publish(WORD, 1 << 64, WORD, []))
    refused("call-malformed", lambda: chain.withdraw("0x12", PAYEE, 1))


def test_a_wallet_confirms_its_own_signature_alone(chain: Chain, clock: LocalChainClock) -> None:
    wallet = "0x00000000000000000000000000000000000000bB"
    answers = {
        True: "7f1626ba7e000000000000000000000000000000000000000000000000000000005f5260205ff3",
        False: "7f00000000000000000000000000000000000000000000000000000000000000015f5260205ff3",
    }
    assert not chain.is_signed_by_wallet(wallet, WORD, b"")  # no code
    for expected, code in answers.items():
        clock.node.call("anvil_setCode", wallet, f"0x{code}")
        assert chain.is_signed_by_wallet(wallet, WORD, b"\x01" * 65) is expected
    for code in ("5f5ffd", "5b5f56", "00"):  # reverts, burns all its gas, answers nothing
        clock.node.call("anvil_setCode", wallet, f"0x{code}")
        assert not chain.is_signed_by_wallet(wallet, WORD, b"")


# A wallet's code that accepts a signature if its stored word is 1, and stores what it is called
# with otherwise: so a call prepares it. (calldatasize < 100 ? sstore(0, calldataload(0)) : answer)
_PREPARABLE = bytes.fromhex(
    "6064361015"  # iszero(lt(calldatasize(), 100)): the question is longer
    "600f57"  # jump to the answer
    "5f355f5500"  # sstore(0, calldataload(0)); stop
    "0000"
    "5b5f54631626ba7e60e01b025f5260205ff3"  # mstore(0, mul(shl(224, yes), sload(0)))
)
_ONE = (1).to_bytes(32)


def _init_code(code: bytes) -> bytes:
    """Return the code that deploys this code: it copies what stands behind itself."""
    return bytes.fromhex(f"60{len(code):02x}80600a5f395ff300") + code


def _wrapped(target: str, data: bytes, signature: bytes) -> bytes:
    return encode(["address", "bytes", "bytes"], [target, data, signature]) + MAGIC


def test_a_wallet_signs_before_it_is_deployed(chain: Chain, clock: LocalChainClock) -> None:
    """By a factory that creates what it is called with, as CREATE2 with a salt of zero."""
    factory = "0x00000000000000000000000000000000000000Fa"
    # create2(0, 0, calldatasize(), 0) of a copy of the calldata.
    clock.node.call("anvil_setCode", factory, "0x365f5f375f365f5ff500")
    yes = bytes.fromhex("631626ba7e60e01b5f5260205ff3")
    init = _init_code(yes)
    wallet = to_checksum_address(
        keccak(b"\xff" + from_hex(factory) + bytes(32) + keccak(init))[12:]
    )
    signature = _wrapped(factory, init, b"")
    assert not chain.is_signed_by_wallet(wallet, WORD, b"")
    assert chain.is_signed_by_wallet(wallet, WORD, signature)
    # Nothing of it stays, and another address, factory or making is none of its own.
    assert not chain.is_signed_by_wallet(wallet, WORD, b"")
    assert not chain.is_signed_by_wallet(PAYEE, WORD, signature)
    assert not chain.is_signed_by_wallet(wallet, WORD, _wrapped(PAYEE, init, b""))
    assert not chain.is_signed_by_wallet(wallet, WORD, _wrapped(factory, init + b"\0", b""))
    # Once it is there it is asked as it is.
    clock.node.call("anvil_setCode", wallet, to_hex(yes))
    assert chain.is_signed_by_wallet(wallet, WORD, _wrapped(PAYEE, b"", b""))
    assert chain.is_signed_by_wallet(wallet, WORD, b"")


def test_a_wallet_is_prepared_for_its_answer(chain: Chain, clock: LocalChainClock) -> None:
    wallet = "0x00000000000000000000000000000000000000Cc"
    clock.node.call("anvil_setCode", wallet, to_hex(_PREPARABLE))
    assert not chain.is_signed_by_wallet(wallet, WORD, b"")
    assert chain.is_signed_by_wallet(wallet, WORD, _wrapped(wallet, _ONE, b"signature"))
    assert not chain.is_signed_by_wallet(wallet, WORD, _wrapped(wallet, bytes(32), b"signature"))
    assert not chain.is_signed_by_wallet(wallet, WORD, b"")


def test_a_wallet_takes_long_signatures(chain: Chain, clock: LocalChainClock) -> None:
    wallet = "0x00000000000000000000000000000000000000dD"
    clock.node.call("anvil_setCode", wallet, "0x631626ba7e60e01b5f5260205ff3")
    longest = b"\xff" * MAX_SIGNATURE_BYTES
    assert chain.is_signed_by_wallet(wallet, WORD, longest)
    assert chain.is_signed_by_wallet(wallet, WORD, _wrapped(PAYEE, b"\xff" * 8_000, b"\1" * 8_000))


@pytest.mark.parametrize("garbage", [b"", b"\0" * 31, b"\xff" * 96, b"\0" * 96])
def test_what_only_ends_like_a_wrapped_signature_is_none(
    chain: Chain, clock: LocalChainClock, garbage: bytes
) -> None:
    wallet = "0x00000000000000000000000000000000000000eE"
    clock.node.call("anvil_setCode", wallet, "0x5ffd")
    assert not chain.is_signed_by_wallet(wallet, WORD, garbage + MAGIC)


def test_a_nodes_own_trouble_is_no_answer_of_a_wallet(
    chain: Chain, clock: LocalChainClock, module_anvil: LocalAnvil
) -> None:
    """A signature would be refused, and a registry overlooked, for a node that is overloaded."""
    wallet = "0x00000000000000000000000000000000000000cF"
    clock.node.call("anvil_setCode", wallet, "0x631626ba7e60e01b5f5260205ff3")
    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as asked:
        asked.node.pause = lambda _: None
        asked.identities  # noqa: B018 - read while the node answers
        for trouble in (always(-32005, "limit exceeded"), always(-32000, "missing trie node")):
            proxy.fault = Dialect(100, lambda _: [], {"eth_call": trouble})
            for signature in (b"", _wrapped(PAYEE, b"", b"")):
                with pytest.raises(ReplyError):
                    asked.is_signed_by_wallet(wallet, WORD, signature)
            with pytest.raises(ReplyError):
                asked.agent_accounts(1)
        proxy.fault = Dialect(100, lambda _: [], {"eth_call": always(-32015, "VM error.")})
        assert not asked.is_signed_by_wallet(wallet, WORD, b"")


def test_what_the_chain_has_of_accounts(chain: Chain, clock: LocalChainClock) -> None:
    escrow, delegated = chain.addresses.escrow, "0x00000000000000000000000000000000000000Bc"
    clock.node.call("anvil_setCode", delegated, "0xef0100" + "11" * 20)
    before = chain.accounts([OWNER])[OWNER].transactions
    clock.node.call("anvil_setNonce", OWNER, hex(before + 3))
    found = chain.accounts([OWNER, PAYEE, escrow, delegated, PAYEE])
    assert list(found) == [OWNER, PAYEE, escrow, delegated]
    assert found[OWNER] == AccountFacts(b"", before + 3)
    assert [one.is_unused for one in found.values()] == [False, True, False, False]
    assert [one.is_delegated for one in found.values()] == [False, False, False, True]
    assert found[escrow].code


def test_the_transaction_with_a_nonce_is_found(
    chain: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    start = chain.block().number
    hashes = []
    for amount in range(4):
        clock.mine(amount)
        hashes.append(send(chain, OWNER_KEY, chain.approve(deployment.token, amount)))
    end = chain.block().number
    nonce = int(clock.node.call("eth_getTransactionCount", OWNER, "latest"), 16) - 4
    for offset, tx_hash in enumerate(hashes):
        assert chain.transaction_with_nonce(OWNER, nonce + offset, start, end) == tx_hash
