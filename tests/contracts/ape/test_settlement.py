"""One deal from signatures to refund, on the deployed artifacts.

Ape's accounts sign typed data with eth-account; digests, entries and proofs are this project's own.
So each half checks the other, and the contract checks both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from ape.api import ReceiptAPI
from ape.api.accounts import TestAccountAPI
from ape.contracts import ContractInstance
from ape.exceptions import ContractLogicError
from ape.managers.accounts import TestAccountManager
from ape.managers.chain import ChainManager
from eth_account.messages import SignableMessage, encode_typed_data
from hexbytes import HexBytes

from orchestrator.chain.escrow import Funding, settlement_rules
from orchestrator.core.deals import terms
from orchestrator.core.deals.terms import Domain, Terms
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log import entry as entries
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import ZERO_ADDRESS

UNIT = 10**6
PRICE = 8 * UNIT
BUDGET = 50 * PRICE
FEE_BPS = 250
DAY_S = 86_400


def _signed(account: TestAccountAPI, message: SignableMessage) -> bytes:
    signature = account.sign_message(message)
    assert signature is not None
    return signature.encode_rsv()


def _hashes(entry_list: Sequence[bytes]) -> merkle.Reader:
    """A reader of perfect subtrees that hashes them from the leaves each time."""

    def read(level: int, index: int) -> bytes:
        leaves = entry_list[index << level : (index + 1) << level]
        return merkle.root_of([merkle.leaf_hash(leaf) for leaf in leaves])

    return read


@dataclass
class Deal:
    """An open contract, the log that settles it, and everybody's keys."""

    escrow: ContractInstance
    lens: ContractInstance
    event_log: ContractInstance
    token: ContractInstance
    owner: TestAccountAPI
    operator: TestAccountAPI
    publisher: TestAccountAPI
    verifier: TestAccountAPI
    stranger: TestAccountAPI
    domain: Domain
    terms: Terms
    log: list[bytes]
    anchored: int = 0

    @property
    def id(self) -> bytes:
        return terms.contract_id(self.terms, self.domain)

    def open(self) -> ReceiptAPI:
        signatures = (
            _signed(party, encode_typed_data(full_message=typed_data(self.terms, self.domain)))
            for party, typed_data in (
                (self.owner, terms.owner_consent_typed_data),
                (self.operator, terms.operator_consent_typed_data),
            )
        )
        funding = Funding().to_abi()
        return self.escrow.open(self.terms.to_abi(), funding, *signatures, sender=self.stranger)

    def append_settlement(self, outcomes: int, reversals: int) -> int:
        """Writes a statement of so many outcomes and reversals in all; returns its index."""
        earned, taken_back = outcomes * PRICE, reversals * PRICE
        settlement = entries.Entry(
            kind="settlement",
            surface=self.terms.surface,
            actor=entries.address_word(self.verifier.address),
            subject=self.id,
            label="",
            value=earned - taken_back,
            time_ms=0,
            payload=entries.pack_settlement(earned, taken_back, outcomes, reversals),
        )
        self.log.append(encode(settlement))
        return len(self.log) - 1

    def root(self, size: int) -> bytes:
        return merkle.root_of([merkle.leaf_hash(leaf) for leaf in self.log[:size]])

    def anchor(self) -> ReceiptAPI:
        old, self.anchored = self.anchored, len(self.log)
        read = _hashes(self.log)
        proof = merkle.consistency_proof(old, self.anchored, read) if old else []
        root = self.root(self.anchored)
        return self.event_log.publish(
            self.terms.log_id, self.anchored, root, proof, sender=self.publisher
        )

    def settle(self, first: int, count: int, signer: TestAccountAPI | None = None) -> ReceiptAPI:
        size = self.anchored
        proof = merkle.run_proof(first, count, size, _hashes(self.log))
        message = encode_typed_data(
            domain_data={
                "name": self.domain.name,
                "version": self.domain.version,
                "chainId": self.domain.chain_id,
                "verifyingContract": self.domain.verifying_contract,
            },
            message_types={
                "Verified": [
                    {"name": "logId", "type": "bytes32"},
                    {"name": "size", "type": "uint64"},
                    {"name": "root", "type": "bytes32"},
                    {"name": "first", "type": "uint64"},
                    {"name": "count", "type": "uint64"},
                ]
            },
            message_data={
                "logId": self.terms.log_id,
                "size": size,
                "root": self.root(size),
                "first": first,
                "count": count,
            },
        )
        group = (
            self.terms.log_id,
            self.terms.token,
            self.terms.verifier,
            self.terms.fee_recipient,
            self.terms.fee_bps,
        )
        run = b"".join(self.log[first : first + count])
        rules = list(settlement_rules(self.terms)) * count
        signature = _signed(signer or self.verifier, message)
        return self.escrow.settle(
            group, size, first, run, rules, proof, signature, sender=self.stranger
        )

    def paid(self) -> int:
        units: int = self.lens.paidOf(self.terms.to_abi())
        return units

    def balance(self, account: str) -> int:
        units: int = self.token.balanceOf(account)
        return units


@pytest.fixture
def deal(
    escrow: ContractInstance,
    lens: ContractInstance,
    event_log: ContractInstance,
    token: ContractInstance,
    accounts: TestAccountManager,
    chain: ChainManager,
) -> Deal:
    owner, operator, payee, publisher, verifier, stranger, fees = (accounts[i] for i in range(1, 8))
    registered = event_log.register("log.example", publisher, sender=publisher)
    log_id = bytes(HexBytes(registered.events[0].logId))
    _, name, version, chain_id, verifying_contract, _, _ = escrow.eip712Domain()
    now_s = chain.pending_timestamp
    agreed = Terms(
        owner=owner.address,
        operator=operator.address,
        payee=payee.address,
        token=token.address,
        verifier=verifier.address,
        arbiter=ZERO_ADDRESS,
        log_id=log_id,
        surface=b"s" * 32,
        policy=b"p" * 32,
        attribution="first_touch",
        outcome="activated",
        repeatable=False,
        exclusive=False,
        unit_price_units=PRICE,
        revenue_share_bps=0,
        budget_units=BUDGET,
        opens_at_s=now_s + DAY_S,
        deadline_s=now_s + 15 * DAY_S,
        attribution_window_s=7 * DAY_S,
        lateness_s=DAY_S,
        grace_s=DAY_S,
        claim_period_s=0,
        challenge_period_s=0,
        arbitration_period_s=0,
        holdback_bps=0,
        holdback_period_s=0,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=FEE_BPS,
        fee_recipient=fees.address,
        agent_id_plus_one=0,
        salt=b"x" * 32,
    )
    token.mint(owner, BUDGET, sender=stranger)
    token.approve(escrow, BUDGET, sender=owner)
    domain = Domain(name, version, chain_id, verifying_contract)
    log = [encode(_genesis(publisher.address, log_id))]
    return Deal(
        escrow, lens, event_log, token, owner, operator, publisher, verifier, stranger,
        domain, agreed, log,
    )  # fmt: skip


def _genesis(publisher: str, log_id: bytes) -> entries.Entry:
    return entries.Entry(
        kind="genesis",
        surface=bytes(32),
        actor=entries.address_word(publisher),
        subject=log_id,
        label="tallystick/1",
        value=0,
        time_ms=0,
        payload=bytes(32),
    )


def _refusals(receipt: ReceiptAPI) -> list[tuple[int, bytes]]:
    refused = [event for event in receipt.events if event.event_name == "Refused"]
    return [(event.position, bytes(HexBytes(event.reason)).rstrip(b"\0")) for event in refused]


def _fee(paid: int) -> int:
    return paid * FEE_BPS // 10_000


def test_opening_escrows_the_budget_under_the_digest_that_python_computes(deal: Deal) -> None:
    opened = next(event for event in deal.open().events if event.event_name == "Opened")
    assert bytes(HexBytes(opened.contractId)) == deal.id
    assert Terms.from_abi(tuple(opened.terms)) == deal.terms
    assert bytes(deal.escrow.contractIdOf(deal.terms.to_abi())) == deal.id
    assert bytes(deal.lens.statusOf(deal.terms.to_abi())).rstrip(b"\0") == b"scheduled"
    assert deal.balance(deal.owner.address) == 0
    assert deal.balance(deal.escrow.address) == BUDGET


def test_paying_follows_the_log_and_the_rest_goes_back(deal: Deal, chain: ChainManager) -> None:
    deal.open()
    deal.append_settlement(2, 0)
    second = deal.append_settlement(5, 1)
    deal.anchor()

    deal.settle(1, 2)
    net = 4 * PRICE
    assert deal.balance(deal.terms.payee) == net - _fee(net)
    assert deal.paid() == net
    assert deal.escrow.creditOf(deal.token, deal.terms.fee_recipient) == _fee(net)

    # The log grows, the chain checks that it only grew, and the difference is paid.
    third = deal.append_settlement(9, 1)
    deal.anchor()
    deal.settle(third, 1)
    net = 8 * PRICE
    assert deal.balance(deal.terms.payee) == net - _fee(net)

    # Said twice is paid once.
    assert _refusals(deal.settle(second, 2)) == [
        (second, b"already_settled"),
        (third, b"already_settled"),
    ]
    assert deal.balance(deal.terms.payee) == net - _fee(net)

    with pytest.raises(ContractLogicError):
        deal.escrow.refund(deal.terms.to_abi(), sender=deal.stranger)
    chain.mine(timestamp=deal.terms.deadline_s + deal.terms.grace_s + 1)
    deal.escrow.refund(deal.terms.to_abi(), sender=deal.stranger)
    assert deal.balance(deal.owner.address) == BUDGET - net
    assert deal.balance(deal.escrow.address) == _fee(net)


def test_no_key_but_the_verifier_settles(deal: Deal) -> None:
    deal.open()
    index = deal.append_settlement(1, 0)
    deal.anchor()
    for other in (deal.owner, deal.operator, deal.publisher, deal.stranger):
        with pytest.raises(ContractLogicError):
            deal.settle(index, 1, signer=other)
    assert deal.paid() == 0
    deal.settle(index, 1)
    assert deal.paid() == PRICE


def test_rewritten_log_is_refused_and_pays_nothing(deal: Deal) -> None:
    deal.open()
    index = deal.append_settlement(1, 0)
    deal.anchor()
    kept = deal.log[index]
    deal.log.pop()
    deal.append_settlement(50, 0)
    with pytest.raises(ContractLogicError):
        deal.settle(index, 1)
    deal.append_settlement(50, 0)
    with pytest.raises(ContractLogicError):
        deal.anchor()
    deal.log[index] = kept
    deal.anchored = index + 1
    deal.anchor()
    deal.settle(index, 1)
    assert deal.paid() == PRICE


def test_over_budget_is_refused_and_the_next_statement_pays(deal: Deal) -> None:
    deal.open()
    over = deal.append_settlement(51, 0)
    full = deal.append_settlement(50, 0)
    deal.anchor()
    assert _refusals(deal.settle(over, 2)) == [(over, b"over_budget")]
    assert deal.balance(deal.terms.payee) == BUDGET - _fee(BUDGET)
    assert full == over + 1
