"""A credit of the escrow on a real chain: it goes to one address, from the pinned contracts."""

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.connect.credit import open_vault
from orchestrator.core.common.errors import ChainError, EscrowError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import (
    DEPLOYER,
    FEE_KEY,
    FEES,
    OPERATOR,
    ORIGIN,
    OWNER,
    STRANGER,
    USD,
    AnchoredLog,
    deal_terms,
    open_contract,
    send,
)

COLD = "0x00000000000000000000000000000000000000cc"


def paid_out(anvil: LocalAnvil) -> tuple[Deployment, Terms]:
    """Have a contract pay its fee, which the escrow keeps as a credit."""
    deployment = deploy_local(anvil.rpc_url, DEPLOYER, origin=ORIGIN)
    with (
        LocalChainClock(anvil.rpc_url) as clock,
        Chain(anvil.rpc_url, deployment.addresses) as chain,
    ):
        for account in (OWNER, OPERATOR, FEES, STRANGER):
            clock.fund(account, 10**24)
        terms = deal_terms(deployment, clock.now_s())
        log = AnchoredLog(chain, deployment.log_id)
        contract = open_contract(chain, terms)
        first = log.state(contract, 32 * USD)
        send(chain, DEPLOYER, log.publish())
        send(chain, DEPLOYER, log.settle(terms, first, 1))
        clock.release()
    return deployment, terms


def test_a_credit_is_sent_to_the_address_of_the_configuration(anvil: LocalAnvil) -> None:
    deployment, terms = paid_out(anvil)
    found = deployment.addresses
    token = TokenInfo(terms.token, "USDC", 6)
    pins = Pins(
        found.chain_id, found.escrow, found.event_log, to_hex(deployment.log_id), "", (token,)
    )
    said: list[str] = []
    vault = open_vault(anvil.rpc_url, pins, FEE_KEY, COLD, said.append)
    assert vault.credit_of(token) == 800_000
    transaction = vault.send(token, 300_000)
    assert said == [f"sending transaction {transaction}"]
    with Chain(anvil.rpc_url, found) as chain:
        assert chain.balance_of(terms.token, COLD) == 300_000
    assert vault.credit_of(token) == 500_000
    with pytest.raises(EscrowError, match="CreditTooSmall"):
        vault.send(token, 500_001)
    # Other code at the pinned address, or another chain, is noticed before anything is signed.
    other = pins._replace(escrow=found.event_log)
    with pytest.raises(ChainError):
        open_vault(anvil.rpc_url, other, FEE_KEY, COLD, said.append).send(token, 1)
    elsewhere = open_vault(anvil.rpc_url, pins._replace(chain_id=1), FEE_KEY, COLD, said.append)
    with pytest.raises(ChainError):
        elsewhere.send(token, 1)
    assert len(said) == 1
