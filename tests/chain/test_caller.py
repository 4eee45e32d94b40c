"""Reads and calldata of contracts on a real chain, and signatures of its accounts."""

from orchestrator.chain.caller import Account, Caller, contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.runtime.local_chain import Deployment, LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import OWNER, OWNER_KEY, PAYEE, WORD, refused, send
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


def test_what_the_chain_has_of_accounts(chain: Chain, clock: LocalChainClock) -> None:
    escrow, delegated = chain.addresses.escrow, "0x00000000000000000000000000000000000000Bc"
    clock.node.call("anvil_setCode", delegated, "0xef0100" + "11" * 20)
    before = chain.accounts([OWNER])[OWNER].transactions
    clock.node.call("anvil_setNonce", OWNER, hex(before + 3))
    found = chain.accounts([OWNER, PAYEE, escrow, delegated, PAYEE])
    assert list(found) == [OWNER, PAYEE, escrow, delegated]
    assert found[OWNER] == Account(b"", before + 3)
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
