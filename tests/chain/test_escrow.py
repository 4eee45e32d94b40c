"""One outcome contract's life in the escrow, through its views and its calldata."""

import dataclasses

import pytest

from orchestrator.chain.abi import (
    Credited,
    Opened,
    Paid,
    Published,
    Refunded,
    Refused,
    Registered,
    Settled,
    Withdrawn,
)
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import MoneyEvents, Payout
from orchestrator.chain.indexer import Indexer
from orchestrator.chain.wallet import quote
from orchestrator.core.common.errors import EscrowError
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.merkle import leaf_hash, root_of
from orchestrator.runtime.local_chain import LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.storage.database import WORKER
from tests.support.chain_bench import limited_to, rewritten
from tests.support.chain_deal import (
    DEPLOYER,
    FEE_KEY,
    FEES,
    OPERATOR,
    ORIGIN,
    OWNER,
    PAYEE,
    PUBLISHER,
    STRANGER,
    STRANGER_KEY,
    USD,
    WORD,
    AnchoredLog,
    open_contract,
    refused,
    send,
)
from tests.support.rpc_proxy import RpcProxy, honest
from tests.support.servers import open_as


def test_one_deal_from_opening_to_refund(
    chain: Chain, clock: LocalChainClock, log: AnchoredLog, terms: Terms, database_url: str
) -> None:
    contract = open_contract(chain, terms)
    assert chain.terms_of(contract) == terms
    assert chain.status_of(contract) == "scheduled"
    assert chain.balance_of(terms.token, chain.addresses.escrow) == 400 * USD

    first = log.state(contract, 16 * USD)
    send(chain, DEPLOYER, log.publish())
    send(chain, STRANGER_KEY, log.settle(terms, first, 1))
    log.state(contract, 16 * USD)
    second = log.state(contract, 40 * USD, 8 * USD)
    send(chain, STRANGER_KEY, log.publish(signed=True))
    send(chain, STRANGER_KEY, log.settle(terms, first, 3))
    assert chain.paid_of(contract) == 32 * USD
    assert chain.snapshot_of(contract).last_final == second
    assert chain.balance_of(terms.token, PAYEE) == 32 * USD - 800_000
    assert chain.credit_of(terms.token, FEES) == 800_000
    send(chain, FEE_KEY, chain.withdraw(terms.token, FEES, 300_000))

    over = chain.withdraw(terms.token, FEES, 500_001)
    with pytest.raises(EscrowError, match="CreditTooSmall"):
        quote(chain, FEES, over)
    send(chain, FEE_KEY, chain.withdraw(terms.token, FEES, 500_000))

    clock.set_to(terms.deadline_s)
    assert chain.status_of(contract) == "open"
    clock.set_to(terms.deadline_s + terms.grace_s + 1)
    assert chain.status_of(contract) == "refundable"
    send(chain, STRANGER_KEY, chain.refund(contract))
    assert chain.status_of(contract) == "refunded"
    assert chain.balance_of(terms.token, OWNER) == 368 * USD

    clock.finalize()
    with open_as(database_url, WORKER) as database:
        seen = [event for events in Indexer(chain, database).poll() for event in events]
    assert [event.event for event in seen] == [
        Registered(log.log_id, PUBLISHER, PUBLISHER, ORIGIN),
        Opened(contract, OWNER, OPERATOR, terms),
        Published(log.log_id, 2, root_of(leaf_hash(entry) for entry in log.entries[:2])),
        Settled(contract, 1, 16 * USD, 0),
        Paid(contract, 15_600_000, 400_000),
        Published(log.log_id, 4, log.root),
        Refused(contract, 1, "already_settled"),
        Settled(contract, 2, 16 * USD, 0),
        Settled(contract, 3, 40 * USD, 8 * USD),
        Paid(contract, 15_600_000, 400_000),
        Withdrawn(terms.token, FEES, FEES, 300_000),
        Withdrawn(terms.token, FEES, FEES, 500_000),
        Refunded(contract, OWNER, 368 * USD),
    ]
    assert sum(e.event.gross_units for e in seen if isinstance(e.event, Paid)) == 32 * USD
    places = [(event.block_number, event.log_index) for event in seen]
    assert places == sorted(set(places))
    for event in seen:
        assert event.time_s == chain.block(event.block_number).time_s


def test_the_events_about_money_are_read_by_transaction_and_position(
    chain: Chain, log: AnchoredLog, terms: Terms, module_anvil: LocalAnvil
) -> None:
    contract = open_contract(chain, terms)
    other = open_contract(chain, dataclasses.replace(terms, outcome="paid"))
    sent = []
    for earned, reversed_units in ((16, 0), (40, 8)):
        position = log.state(contract, earned * USD, reversed_units * USD)
        send(chain, DEPLOYER, log.publish())
        sent.append(send(chain, STRANGER_KEY, log.settle(terms, position, 1)))
    payouts = [Payout(one, 16 * USD, "paid") for one in sent]
    statements = {1: (16 * USD, 0), 2: (40 * USD, 8 * USD)}
    assert chain.money_events_of(contract) == MoneyEvents(payouts, statements, 0)
    assert chain.money_events_of(other) == MoneyEvents([], {}, 0)

    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as pruned:
        assert pruned.terms_of(contract) == terms
        proxy.fault = rewritten("eth_getLogs", lambda logs: logs[2:])
        assert pruned.money_events_of(contract) == MoneyEvents(
            payouts[1:], {2: statements[2]}, 16 * USD
        )
        proxy.fault = rewritten("eth_getLogs", lambda logs: logs * 2)
        refused("node-unreadable", lambda: pruned.money_events_of(contract))
        proxy.fault = limited_to(2)
        assert pruned.money_events_of(contract) == MoneyEvents(payouts, statements, 0)


def test_the_owner_may_open_without_a_signature(chain: Chain, terms: Terms) -> None:
    assert chain.terms_of(open_contract(chain, terms, by_owner=True)) == terms


def test_a_transfer_that_fails_becomes_a_credit(
    chain: Chain, log: AnchoredLog, terms: Terms, database_url: str
) -> None:
    """The token refuses itself as a receiver once its code says so; here it always reverts."""
    contract = open_contract(chain, terms)
    position = log.state(contract, 8 * USD)
    send(chain, DEPLOYER, log.publish())
    call = log.settle(terms, position, 1)
    # A token that answers every call with a large balance, and a transfer with a number not 1.
    balance = (1 << 200).to_bytes(32).hex()
    chain.node.call("anvil_setCode", terms.token, f"0x7f{balance}5f5260205ff3")
    send(chain, STRANGER_KEY, call)
    assert chain.credit_of(terms.token, PAYEE) == 7_800_000
    with open_as(database_url, WORKER) as database:
        indexer = Indexer(chain, database)
        list(indexer.poll())
        *_, paid, credited = indexer.recent()
    assert paid.event == Paid(contract, 7_800_000, 200_000)
    assert credited.event == Credited(contract, PAYEE, 7_800_000)
    assert (credited.tx_hash, credited.log_index) == (paid.tx_hash, paid.log_index + 1)
    told = chain.money_events_of(contract)
    assert told.payouts == [Payout(paid.tx_hash, 8 * USD, "credited")]


def test_unknown_contract(chain: Chain) -> None:
    assert chain.status_of(WORD) == "unknown"
    message = refused("contract-unknown", lambda: chain.terms_of(WORD))
    assert f"has opened no contract 0x{WORD.hex()}" in message
    assert not chain.is_open(WORD)
    refused("contract-unknown", lambda: chain.refund(WORD))


def test_several_contracts_are_read_at_once(chain: Chain, log: AnchoredLog, terms: Terms) -> None:
    """More than a page of ids, of which the escrow knows two."""
    first = open_contract(chain, terms)
    second = open_contract(chain, dataclasses.replace(terms, outcome="paid"))
    position = log.state(first, 8 * USD)
    send(chain, DEPLOYER, log.publish())
    send(chain, STRANGER_KEY, log.settle(terms, position, 1))
    unknown = [bytes([n]) * 32 for n in range(30)]
    records = chain.escrow_records([*unknown, second, first])
    assert list(records) == [second, first]
    assert records[first].rules.outcome == "activated"
    assert (records[first].opening_number, records[second].opening_number) == (1, 2)
    progress = chain.progress([first, second])
    settled, fresh = progress[first].snapshot, progress[second].snapshot
    assert settled == chain.snapshot_of(first)
    assert (settled.contract_id, fresh.contract_id) == (first, second)
    assert settled.last_signed == settled.last_final == records[first].last_final == position
    assert (settled.paid_units, settled.net_units, fresh.paid_units) == (8 * USD, 8 * USD, 0)
    assert (fresh.last_signed, fresh.pending) == (0, None)
    assert settled.budget_units == terms.budget_units
    assert (progress[first].status, progress[first].owed_units) == ("scheduled", 0)


def test_terms_that_a_node_made_up_are_refused(
    chain: Chain, terms: Terms, module_anvil: LocalAnvil
) -> None:
    """The id is a digest of the terms, so other terms under it are seen to be false."""
    contract = open_contract(chain, terms)
    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as lied_to:
        payee, other = PAYEE[2:].lower(), STRANGER[2:].lower()

        def change(logs: list[dict[str, str]]) -> list[dict[str, str]]:
            return [log | {"data": log["data"].replace(payee, other)} for log in logs]

        proxy.fault = rewritten("eth_getLogs", change)
        refused("terms-false", lambda: lied_to.escrow_records([contract]))
        refused("terms-false", lambda: lied_to.terms_of(contract))
        proxy.fault = rewritten("eth_getLogs", lambda _: [])
        refused("terms-missing", lambda: lied_to.escrow_records([contract]))
        refused("terms-missing", lambda: lied_to.terms_of(contract))
        proxy.fault = honest
        assert lied_to.escrow_records([contract]).keys() == {contract}
        # What is remembered needs no node.
        proxy.fault = rewritten("eth_getLogs", lambda _: [])
        assert lied_to.terms_of(contract) == terms


def test_terms_are_found_where_a_node_shows_few_blocks_at_a_time(
    chain: Chain, terms: Terms, module_anvil: LocalAnvil
) -> None:
    contract = open_contract(chain, terms)
    with RpcProxy(module_anvil.rpc_url) as proxy, Chain(proxy.url, chain.addresses) as slow:
        proxy.fault = limited_to(3)
        assert slow.terms_of(contract) == terms


def test_an_agent_is_held_by_its_owner_and_its_wallet(chain: Chain, clock: LocalChainClock) -> None:
    assert chain.agent_accounts(0) == ()
    registry = contract_at("IdentityRegistry", chain.identities)
    send(chain, STRANGER_KEY, chain.call(registry, "register", ""))
    assert chain.agent_accounts(0) == (STRANGER, STRANGER)
    send(chain, STRANGER_KEY, chain.call(registry, "unsetAgentWallet", 0))
    assert chain.agent_accounts(0) == (STRANGER,)
    assert chain.agent_accounts(1 << 255) == ()
