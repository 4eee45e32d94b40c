"""The parties of one outcome contract on a real chain, and a log in memory that they settle by."""

import dataclasses
from collections.abc import Callable

import pytest
from eth_account import Account

from orchestrator.chain.abi import Call
from orchestrator.chain.caller import token_at
from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.chain.escrow import Group, SignedRun, settlement_rules
from orchestrator.core.common.errors import ChainError
from orchestrator.core.deals.terms import (
    Terms,
    checkpoint_digest,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
    sign_digest,
    verified_digest,
)
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log.entry import Entry, address_word, pack_settlement
from orchestrator.core.log.merkle import (
    CompactRange,
    consistency_proof,
    leaf_hash,
    root_of,
    run_proof,
)
from orchestrator.runtime.local_chain import Deployment, send_local
from tests.support.terms import PLAIN

DEPLOYER, OWNER_KEY, OPERATOR_KEY, VERIFIER_KEY, FEE_KEY, STRANGER_KEY = (
    bytes([n]) * 32 for n in range(1, 7)
)
PUBLISHER, OWNER, OPERATOR, VERIFIER, FEES, STRANGER = (
    Account.from_key(key).address
    for key in (DEPLOYER, OWNER_KEY, OPERATOR_KEY, VERIFIER_KEY, FEE_KEY, STRANGER_KEY)
)
PAYEE = "0x00000000000000000000000000000000000000AA"
ORIGIN = "log.example"
USD = 1_000_000
WORD = b"\x07" * 32


def refused(code: str, act: Callable[[], object]) -> str:
    """Require that `act` raises a ChainError with this code; return its message, of one line."""
    with pytest.raises(ChainError) as caught:
        act()
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message


def send(chain: Chain, key: bytes, call: Call) -> bytes:
    """Send a call and return its transaction's hash."""
    receipt = send_local(chain.node, key, call.to, call.data)
    return bytes.fromhex(receipt["transactionHash"][2:])


class AnchoredLog:
    """A log in memory, anchored by its publisher."""

    def __init__(self, chain: Chain, log_id: bytes) -> None:
        self.chain, self.log_id = chain, log_id
        self.entries: list[bytes] = []
        self.append(Entry("genesis", WORD, address_word(PUBLISHER), log_id, "", 0, 0, bytes(32)))

    def append(self, entry: Entry) -> int:
        """Append an entry and return its position."""
        self.entries.append(encode(entry))
        return len(self.entries) - 1

    def state(self, contract: bytes, earned: int, reversed_units: int = 0) -> int:
        """Append a settlement that states these totals and return its position."""
        facts = pack_settlement(earned, reversed_units, 1, 0)
        actor, net = address_word(VERIFIER), earned - reversed_units
        return self.append(Entry("settlement", WORD, actor, contract, "", net, 0, facts))

    def subtree(self, level: int, number: int) -> bytes:
        """Return the root of a subtree, by its level and its number on that level."""
        leaves = self.entries[number << level : (number + 1) << level]
        return root_of(leaf_hash(leaf) for leaf in leaves)

    @property
    def root(self) -> bytes:
        tree = CompactRange()
        tree.extend(leaf_hash(entry) for entry in self.entries)
        return tree.root()

    def signed(self, root: bytes) -> SignedCheckpoint:
        """Return the publisher's checkpoint of all entries, with this root."""
        size = len(self.entries)
        digest = checkpoint_digest(self.chain.event_log_domain, self.log_id, size, root)
        return SignedCheckpoint(self.log_id, size, root, sign_digest(digest, DEPLOYER))

    def proof(self) -> list[bytes]:
        """Return the proof that all entries extend the last anchor."""
        old = self.chain.checkpoint(self.log_id).size
        return consistency_proof(old, len(self.entries), self.subtree) if old else []

    def publish(self, *, signed: bool = False) -> Call:
        log_id, size, root, signature = self.signed(self.root)
        return self.chain.publish(log_id, size, root, self.proof(), signature if signed else None)

    def settle(self, terms: Terms, first: int, count: int) -> Call:
        return self.chain.settle(self.run(terms, first, count))

    def round(self, terms: Terms, first: int, count: int) -> Call:
        """Return the call that anchors all entries and settles by some, at once."""
        runs = [self.run(terms, first, count)]
        return self.chain.settle_round(self.signed(self.root), self.proof(), runs)

    def run(self, terms: Terms, first: int, count: int) -> SignedRun:
        size, domain = len(self.entries), self.chain.escrow_domain
        digest = verified_digest(domain, self.log_id, size, self.root, first, count)
        return SignedRun(
            Group.of(terms),
            size,
            first,
            self.entries[first : first + count],
            settlement_rules(terms) * count,
            run_proof(first, count, size, self.subtree),
            sign_digest(digest, VERIFIER_KEY),
        )


def deal_terms(deployment: Deployment, now_s: int) -> Terms:
    """Return plain terms of these parties, which open in ten seconds."""
    return dataclasses.replace(
        PLAIN,
        owner=OWNER,
        operator=OPERATOR,
        payee=PAYEE,
        token=deployment.token,
        verifier=VERIFIER,
        log_id=deployment.log_id,
        surface=WORD,
        policy=WORD,
        attribution="last_touch",
        repeatable=True,
        opens_at_s=now_s + 10,
        deadline_s=now_s + 1_000,
        attribution_window_s=100,
        lateness_s=0,
        grace_s=100,
        fee_bps=250,
        fee_recipient=FEES,
        salt=WORD,
    )


def open_contract(chain: Chain, terms: Terms, *, by_owner: bool = False) -> bytes:
    """Fund and open a contract, and return its id."""
    send(chain, OWNER_KEY, chain.mint(terms.token, OWNER, terms.budget_units))
    send(chain, OWNER_KEY, chain.approve(terms.token, terms.budget_units))
    assert allowance(chain, terms.token, OWNER) == terms.budget_units
    domain = chain.escrow_domain
    owners = b"" if by_owner else sign_digest(owner_consent_digest(terms, domain), OWNER_KEY)
    operators = sign_digest(operator_consent_digest(terms, domain), OPERATOR_KEY)
    call = chain.open(terms, owners, operators)
    send(chain, OWNER_KEY if by_owner else STRANGER_KEY, call)
    return contract_id(terms, domain)


def allowance(chain: Chain, token: str, owner: str) -> int:
    """Return how much of the owner's tokens the escrow may take."""
    return int(chain.read(token_at(token), "allowance", owner, chain.addresses.escrow))
