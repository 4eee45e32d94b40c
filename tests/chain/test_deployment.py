"""The contracts on a real chain: what start-up refuses, one deal's life, its events in order."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account as Keys
from eth_utils.abi import event_abi_to_log_topic
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.chain.abi import (
    Call,
    ChainEvent,
    Credited,
    Event,
    Group,
    Opened,
    Paid,
    Published,
    Refunded,
    Refused,
    Registered,
    Settled,
    Withdrawn,
    artifact,
    decode_event,
    error_text,
)
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import Anchor, Chain, log_id_of
from orchestrator.chain.indexer import Watcher
from orchestrator.chain.relayer import Submitter
from orchestrator.chain.rpc import MAX_REPLY_BYTES, Node, NodeError, ReplyError, read_block
from orchestrator.core.entry import ZERO_ADDRESS, Entry, address_word, pack_settlement
from orchestrator.core.errors import ChainError
from orchestrator.core.kinds import encode
from orchestrator.core.merkle import (
    CompactRange,
    consistency_proof,
    leaf_hash,
    root_of,
    run_proof,
)
from orchestrator.core.site import Addresses
from orchestrator.core.terms import (
    DOMAIN_TYPE,
    Terms,
    checkpoint_digest,
    contract_id,
    sign_digest,
    verified_digest,
)
from orchestrator.core.tx_plan import Fate
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local, send_local
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.storage.database import API, WORKER, Database, DatabaseError
from tests.support.rpc_proxy import RpcProxy

DEPLOYER, OWNER_KEY, OPERATOR_KEY, VERIFIER_KEY, FEE_KEY, STRANGER = (
    bytes([n]) * 32 for n in range(1, 7)
)
PUBLISHER, OWNER, OPERATOR, VERIFIER, FEES, NOBODY = (
    Keys.from_key(key).address
    for key in (DEPLOYER, OWNER_KEY, OPERATOR_KEY, VERIFIER_KEY, FEE_KEY, STRANGER)
)
PAYEE = "0x00000000000000000000000000000000000000AA"
ORIGIN = "log.example"
USD = 1_000_000
WORD = b"\x07" * 32


@pytest.fixture(scope="module")
def deployment(module_anvil: LocalAnvil) -> Deployment:
    return deploy_local(module_anvil.rpc_url, DEPLOYER, origin=ORIGIN)


@pytest.fixture(scope="module")
def clock(module_anvil: LocalAnvil) -> Iterator[LocalChainClock]:
    with LocalChainClock(module_anvil.rpc_url) as clock:
        for account in (OWNER, OPERATOR, FEES, NOBODY):
            clock.fund(account, 10**24)
        yield clock


@pytest.fixture
def chain(
    module_anvil: LocalAnvil, deployment: Deployment, clock: LocalChainClock
) -> Iterator[Chain]:
    """The deployment, as it was before the test once the test is done."""
    before = clock.node.call("evm_snapshot")
    # By itself the node makes a block some time after it answered.
    clock.node.call("evm_setAutomine", False)
    with Chain(module_anvil.rpc_url, deployment.addresses) as chain:
        yield chain
    clock.node.call("evm_setAutomine", True)
    assert clock.node.call("evm_revert", before)


def refused(code: str, act: Callable[[], object]) -> str:
    with pytest.raises(ChainError) as caught:
        act()
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message


# --- Start-up -------------------------------------------------------------------------------------


def test_own_deployment_is_recognised(chain: Chain, deployment: Deployment) -> None:
    chain.check()
    assert chain.check_log(deployment.log_id, PUBLISHER, ORIGIN) == PUBLISHER
    assert chain.is_allowed(deployment.token)
    assert not chain.is_allowed(PAYEE)
    assert chain.escrow_domain.name == "Tallystick OutcomeEscrow"
    assert chain.event_log_domain.verifying_contract == deployment.addresses.event_log


def test_another_chain_is_refused(chain: Chain) -> None:
    elsewhere = chain.addresses._replace(chain_id=10)
    message = refused("wrong-chain", check_of(chain, elsewhere))
    assert "is on chain 31337, and the deployment is on 10" in message


def check_of(chain: Chain, addresses: Addresses) -> Callable[[], None]:
    """The start-up check of other addresses through the same node."""

    def check() -> None:
        with Chain(chain.node._url, addresses) as other:
            other.check()

    return check


def test_addresses_that_are_not_the_contracts_are_refused(chain: Chain) -> None:
    ours = chain.addresses
    absent, swapped = PAYEE, ours.escrow
    assert PAYEE in refused("code-missing", check_of(chain, ours._replace(event_log=absent)))
    refused("code-missing", check_of(chain, ours._replace(escrow=absent)))
    refused("code-differs", check_of(chain, ours._replace(event_log=swapped)))
    refused("code-differs", check_of(chain, ours._replace(escrow=ours.event_log)))


@pytest.mark.parametrize("name", ["event_log", "escrow"])
def test_one_other_byte_of_code_is_refused(chain: Chain, clock: LocalChainClock, name: str) -> None:
    address = getattr(chain.addresses, name)
    code = bytearray.fromhex(clock.node.call("eth_getCode", address, "latest")[2:])
    code[-60] ^= 1
    clock.node.call("anvil_setCode", address, f"0x{code.hex()}")
    refused("code-differs", chain.check)
    code.append(0)
    clock.node.call("anvil_setCode", address, f"0x{code.hex()}")
    refused("code-differs", chain.check)


@pytest.mark.parametrize("name", ["event_log", "escrow"])
def test_another_domain_in_the_same_code_is_refused(
    chain: Chain, clock: LocalChainClock, name: str
) -> None:
    """Name and version are immutables, so the code alone does not tell."""
    address = getattr(chain.addresses, name)
    code = clock.node.call("eth_getCode", address, "latest")
    forged = code.replace(b"Tallystick ".hex(), b"Tallystich ".hex())
    assert forged != code
    clock.node.call("anvil_setCode", address, forged)
    assert "Tallystich" in refused("domain-differs", chain.check)


def copied(clock: LocalChainClock, address: str, swaps: dict[str, str], *, first: bool) -> str:
    """The code at an address, put elsewhere with some addresses in it swapped; its new address.

    `first`: at the first place only.
    """
    code = clock.node.call("eth_getCode", address, "latest")
    for old, new in swaps.items():
        assert old[2:].lower() in code
        code = code.replace(old[2:].lower(), new[2:].lower(), 1 if first else -1)
    home = to_checksum_address(keccak(text=code)[12:])
    clock.node.call("anvil_setCode", home, code)
    return home


def test_evaluators_that_only_look_like_ours_are_refused(
    chain: Chain, clock: LocalChainClock, module_anvil: LocalAnvil
) -> None:
    """Code is the same but for immutables: what these hold must be ours as well, everywhere."""
    ours = chain.addresses.evaluators
    assert ours is not None
    assert chain.check_evaluators(ours) == chain.evaluators_domain
    factory = contract_at("JobEvaluators", ours)
    one = to_checksum_address(chain.read(factory, "implementation"))
    events = chain.addresses.event_log
    other = deploy_local(module_anvil.rpc_url, STRANGER).addresses.evaluators
    assert other is not None
    refused("other-evaluators", lambda: chain.check_evaluators(other))
    refused("code-differs", lambda: chain.check_evaluators(chain.addresses.escrow))
    refused("code-missing", lambda: chain.check_evaluators(PAYEE))
    # A copy: its evaluators are those of the original.
    refused(
        "other-evaluators", lambda: chain.check_evaluators(copied(clock, ours, {}, first=False))
    )
    # What its evaluators believe is their own factory and log.
    blind = copied(clock, one, {events: PAYEE}, first=False)
    swaps: list[dict[str, str]] = [{one: blind}, {events: PAYEE}]
    for swap in swaps:
        # Where `first`, the getter says one thing, and the code beside it does another.
        for first, code_ in ((False, "other-evaluators"), (True, "code-differs")):
            forged = copied(clock, ours, swap, first=first)
            refused(code_, partial(chain.check_evaluators, forged))
    # It signs for another name.
    code = clock.node.call("eth_getCode", ours, "latest")
    renamed = code.replace(b"Tallystick ".hex(), b"Tallystich ".hex())
    clock.node.call("anvil_setCode", ours, renamed)
    refused("domain-differs", lambda: chain.check_evaluators(ours))
    # It says the right name, and checks signatures under another.
    words = (keccak(text=DOMAIN_TYPE), keccak(text="Tallystick JobEvaluators"), keccak(text="1"))
    types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    separator = keccak(abi_encode(types, [*words, chain.chain_id, ours])).hex()
    assert separator in code
    clock.node.call("anvil_setCode", ours, code.replace(separator, "11" * 32))
    refused("other-evaluators", lambda: chain.check_evaluators(ours))
    clock.node.call("anvil_setCode", ours, code)
    chain.check_evaluators(ours)


def test_feedback_that_only_looks_like_ours_is_refused(
    chain: Chain, clock: LocalChainClock, deployment: Deployment, module_anvil: LocalAnvil
) -> None:
    ours, stand_ins = chain.addresses.feedback, deployment.stand_ins
    assert ours is not None
    chain.check_feedback(ours)
    assert chain.registry_of(ours) == stand_ins.reputations
    other = deploy_local(module_anvil.rpc_url, STRANGER)
    assert other.addresses.feedback is not None
    strange = other.addresses.feedback
    refused("other-escrow", lambda: chain.registry_of(strange))
    swap = {stand_ins.reputations: other.stand_ins.reputations}
    forged = copied(clock, ours, swap, first=False)
    assert other.stand_ins.identities in refused("other-agents", lambda: chain.registry_of(forged))
    assert chain.is_feedback_given(bytes(32)) is False
    for address, given in ((None, None), (PAYEE, None), (chain.addresses.escrow, None)):
        with Chain(chain.node._url, chain.addresses._replace(feedback=address)) as beside:
            assert beside.is_feedback_given(bytes(32)) is given


def test_an_escrow_with_another_event_log_is_refused(
    chain: Chain, module_anvil: LocalAnvil
) -> None:
    other = deploy_local(module_anvil.rpc_url, STRANGER)
    mixed = chain.addresses._replace(event_log=other.addresses.event_log)
    message = refused("other-event-log", check_of(chain, mixed))
    assert chain.addresses.event_log in message
    assert other.addresses.event_log in message


def test_a_log_of_another_is_refused(chain: Chain, deployment: Deployment) -> None:
    log_id = deployment.log_id
    refused("log-of-another", lambda: chain.check_log(log_id, NOBODY, ORIGIN))
    refused("log-of-another", lambda: chain.check_log(log_id, PUBLISHER, "other"))
    unknown = log_id_of(NOBODY, ORIGIN)
    refused("log-unregistered", lambda: chain.check_log(unknown, NOBODY, ORIGIN))


def test_a_block_of_no_time_is_refused() -> None:
    block = {"number": "0x1", "hash": "0x" + "11" * 32, "timestamp": hex(253_402_300_799)}
    assert read_block(block).time_s == 253_402_300_799
    for late in (253_402_300_800, 1 << 200):
        with pytest.raises(NodeError, match=f"is of second {late}"):
            read_block(block | {"timestamp": hex(late)})


# --- One deal's life ------------------------------------------------------------------------------


class Log:
    """A log in memory, anchored by its publisher."""

    def __init__(self, chain: Chain, clock: LocalChainClock, log_id: bytes) -> None:
        self.chain, self.clock, self.log_id = chain, clock, log_id
        self.entries: list[bytes] = []
        self.append(Entry("genesis", WORD, address_word(PUBLISHER), log_id, "", 0, 0, bytes(32)))

    def append(self, entry: Entry) -> int:
        self.entries.append(encode(entry))
        return len(self.entries) - 1

    def state(self, contract: bytes, earned: int, reversed_units: int = 0) -> int:
        facts = pack_settlement(earned, reversed_units, 1, 0)
        actor, net = address_word(VERIFIER), earned - reversed_units
        return self.append(Entry("settlement", WORD, actor, contract, "", net, 0, facts))

    def read(self, level: int, index: int) -> bytes:
        leaves = self.entries[index << level : (index + 1) << level]
        return root_of(leaf_hash(leaf) for leaf in leaves)

    @property
    def root(self) -> bytes:
        tree = CompactRange()
        tree.extend(leaf_hash(entry) for entry in self.entries)
        return tree.root()

    def publish(self, *, signed: bool = False) -> Call:
        size, root = len(self.entries), self.root
        old = self.chain.checkpoint(self.log_id).size
        proof = consistency_proof(old, size, self.read) if old else []
        digest = checkpoint_digest(self.chain.event_log_domain, self.log_id, size, root)
        signature = sign_digest(digest, DEPLOYER) if signed else None
        return self.chain.publish(self.log_id, size, root, proof, signature)

    def settle(self, terms: Terms, first: int, count: int) -> Call:
        size, domain = len(self.entries), self.chain.escrow_domain
        digest = verified_digest(domain, self.log_id, size, self.root, first, count)
        return self.chain.settle(
            Group.of(terms),
            size,
            first,
            self.entries[first : first + count],
            run_proof(first, count, size, self.read),
            sign_digest(digest, VERIFIER_KEY),
        )


@pytest.fixture
def log(chain: Chain, clock: LocalChainClock, deployment: Deployment) -> Log:
    return Log(chain, clock, deployment.log_id)


@pytest.fixture
def terms(clock: LocalChainClock, deployment: Deployment) -> Terms:
    now_s = clock.now_s()
    return Terms(
        owner=OWNER,
        operator=OPERATOR,
        payee=PAYEE,
        token=deployment.token,
        verifier=VERIFIER,
        arbiter=ZERO_ADDRESS,
        log_id=deployment.log_id,
        surface=WORD,
        policy=WORD,
        attribution="last_touch",
        outcome="activated",
        repeatable=True,
        exclusive=False,
        unit_price_units=8 * USD,
        revenue_share_bps=0,
        budget_units=400 * USD,
        opens_at_s=now_s + 10,
        deadline_s=now_s + 1_000,
        attribution_window_s=100,
        lateness_s=0,
        grace_s=100,
        claim_period_s=0,
        challenge_period_s=0,
        arbitration_period_s=0,
        holdback_bps=0,
        holdback_period_s=0,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=250,
        fee_recipient=FEES,
        agent_id_plus_one=0,
        salt=WORD,
    )


def do(chain: Chain, key: bytes, call: Call) -> bytes:
    """Send it and return its transaction's hash."""
    receipt = send_local(chain.node, key, call.to, call.data)
    return bytes.fromhex(receipt["transactionHash"][2:])


def open_contract(chain: Chain, terms: Terms, *, by_owner: bool = False) -> bytes:
    do(chain, OWNER_KEY, chain.mint(terms.token, OWNER, terms.budget_units))
    do(chain, OWNER_KEY, chain.approve(terms.token, terms.budget_units))
    assert chain.allowance_of(terms.token, OWNER) == terms.budget_units
    digest = contract_id(terms, chain.escrow_domain)
    owners = b"" if by_owner else sign_digest(digest, OWNER_KEY)
    call = chain.open(terms, owners, sign_digest(digest, OPERATOR_KEY))
    do(chain, OWNER_KEY if by_owner else STRANGER, call)
    return digest


def test_one_deal_from_opening_to_refund(
    chain: Chain, clock: LocalChainClock, log: Log, terms: Terms, database_url: str
) -> None:
    contract = open_contract(chain, terms)
    assert chain.terms_of(contract) == terms
    assert chain.status_of(contract) == "scheduled"
    assert chain.balance_of(terms.token, chain.addresses.escrow) == 400 * USD

    first = log.state(contract, 16 * USD)
    do(chain, DEPLOYER, log.publish())
    do(chain, STRANGER, log.settle(terms, first, 1))
    log.state(contract, 16 * USD)
    second = log.state(contract, 40 * USD, 8 * USD)
    do(chain, STRANGER, log.publish(signed=True))
    do(chain, STRANGER, log.settle(terms, first, 3))
    assert chain.paid_of(contract) == 32 * USD
    assert chain.floor_of(contract) == second
    assert chain.balance_of(terms.token, PAYEE) == 32 * USD - 800_000
    assert chain.credit_of(terms.token, FEES) == 800_000
    do(chain, FEE_KEY, chain.withdraw(terms.token, FEES))

    clock.set_to(terms.deadline_s)
    assert chain.status_of(contract) == "open"
    clock.set_to(terms.deadline_s + terms.grace_s + 1)
    assert chain.status_of(contract) == "refundable"
    do(chain, STRANGER, chain.refund(contract))
    assert chain.status_of(contract) == "refunded"
    assert chain.balance_of(terms.token, OWNER) == 368 * USD

    clock.finalize()
    with Database(database_url, WORKER) as database:
        seen = [event for events in Watcher(chain, database).poll() for event in events]
    assert [event.event for event in seen] == [
        Registered(log.log_id, PUBLISHER, PUBLISHER, ORIGIN),
        Opened(contract, OWNER, OPERATOR, log.log_id, WORD),
        Published(log.log_id, 2, seen_root(seen, 2)),
        Paid(contract, PAYEE, 1, 15_600_000, 400_000),
        Published(log.log_id, 4, log.root),
        Refused(contract, 1, "already_settled"),
        Settled(contract, 2, 16 * USD, 0),
        Paid(contract, PAYEE, 3, 15_600_000, 400_000),
        Withdrawn(terms.token, FEES, FEES, 800_000),
        Refunded(contract, OWNER, 368 * USD),
    ]
    assert sum(e.event.gross_units for e in seen if isinstance(e.event, Paid)) == 32 * USD
    places = [(event.block_number, event.log_index) for event in seen]
    assert places == sorted(set(places))
    for event in seen:
        assert event.time_s == chain.block(event.block_number).time_s


def seen_root(seen: list[ChainEvent], size: int) -> bytes:
    published = (e.event for e in seen if isinstance(e.event, Published))
    return next(event.root for event in published if event.size == size)


def test_the_owner_may_open_without_a_signature(chain: Chain, terms: Terms) -> None:
    assert chain.terms_of(open_contract(chain, terms, by_owner=True)) == terms


def test_a_transfer_that_fails_becomes_a_credit(
    chain: Chain, log: Log, terms: Terms, database_url: str
) -> None:
    """The token refuses itself as a receiver once its code says so; here it always reverts."""
    contract = open_contract(chain, terms)
    position = log.state(contract, 8 * USD)
    do(chain, DEPLOYER, log.publish())
    call = log.settle(terms, position, 1)
    # A token that answers every call with a large balance, and a transfer with a number not 1.
    balance = (1 << 200).to_bytes(32).hex()
    chain.node.call("anvil_setCode", terms.token, f"0x7f{balance}5f5260205ff3")
    do(chain, STRANGER, call)
    assert chain.credit_of(terms.token, PAYEE) == 7_800_000
    with Database(database_url, WORKER) as database:
        watcher = Watcher(chain, database)
        list(watcher.poll())
        *_, paid, credited = watcher.recent()
    assert paid.event == Paid(contract, PAYEE, 1, 7_800_000, 200_000)
    assert credited.event == Credited(contract, PAYEE, 7_800_000)
    assert (credited.tx_hash, credited.log_index) == (paid.tx_hash, paid.log_index + 1)


def test_reads_before_and_after_an_anchor(chain: Chain, log: Log) -> None:
    assert chain.checkpoint(log.log_id) == Anchor(0, bytes(32), 0)
    assert chain.root_at(log.log_id, 1) is None
    do(chain, DEPLOYER, log.publish())
    now_s = chain.block().time_s
    assert chain.checkpoint(log.log_id) == Anchor(1, log.root, now_s)
    assert chain.root_at(log.log_id, 1) == log.root
    assert chain.checkpoint(log.log_id, "finalized").size == 0
    assert chain.checkpoint(log.log_id, chain.block().number - 1).size == 0
    assert chain.publisher_of(log.log_id) == PUBLISHER
    assert chain.publisher_of(WORD) is None


def test_unknown_contract(chain: Chain) -> None:
    assert chain.status_of(WORD) == "unknown"
    message = refused("call-reverted", lambda: chain.terms_of(WORD))
    assert f"UnknownContract(0x{WORD.hex()})" in message


def test_calls_that_cannot_be_made(chain: Chain) -> None:
    refused("call-malformed", lambda: chain.refund(b"\x01" * 33))
    refused("call-malformed", lambda: chain.publish(WORD, -1, WORD, []))
    refused("call-malformed", lambda: chain.publish(WORD, 1 << 64, WORD, []))
    refused("call-malformed", lambda: chain.withdraw("0x12", PAYEE))


def test_a_wallet_says_what_it_has_signed(chain: Chain, clock: LocalChainClock) -> None:
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


def test_who_spent_a_nonce(chain: Chain, clock: LocalChainClock, deployment: Deployment) -> None:
    start = chain.block().number
    hashes = []
    for amount in range(4):
        clock.mine(amount)
        hashes.append(do(chain, OWNER_KEY, chain.approve(deployment.token, amount)))
    end = chain.block().number
    nonce = int(clock.node.call("eth_getTransactionCount", OWNER, "latest"), 16) - 4
    for offset, tx_hash in enumerate(hashes):
        assert chain.spender(OWNER, nonce + offset, start, end) == tx_hash


# --- Events and errors ----------------------------------------------------------------------------


def test_events_have_the_fields_of_their_contracts() -> None:
    """By name: a changed contract must change them too."""
    words = {"index": "position", "earned": "earned_units", "reversed": "reversed_units",
             "amount": "amount_units", "fee": "fee_units", "net": "net_units",
             "payable_amount": "payable_units", "since": "since_s",
             "resolves_at": "resolves_at_s"}  # fmt: skip
    kinds = {kind.__name__: kind for kind in get_args(Event)}
    declared = {
        item["name"]: item
        for name in ("EventLog", "OutcomeEscrow")
        for item in artifact(name).abi
        if item["type"] == "event"
    }
    assert kinds.keys() <= declared.keys()
    for name, kind in kinds.items():
        inputs = [argument["name"] for argument in declared[name]["inputs"]]
        snake = [re.sub("([A-Z])", r"_\1", given).lower() for given in inputs]
        expected = [words.get(given, given) for given in snake]
        assert [field.name for field in dataclasses.fields(kind)] == expected


def test_malformed_events_are_refused() -> None:
    paid = next(item for item in artifact("OutcomeEscrow").abi if item.get("name") == "Paid")
    topic = event_abi_to_log_topic(paid)  # type: ignore[arg-type]
    payee, amounts = address_word(PAYEE), b"".join(n.to_bytes(32) for n in (9, 5, 1))
    assert decode_event([topic, WORD, payee], amounts) == Paid(WORD, PAYEE, 9, 5, 1)
    malformed: list[tuple[list[bytes], bytes]] = [
        ([], amounts),
        ([WORD, WORD, payee], amounts),
        ([topic, WORD], amounts),
        ([topic, WORD, b"\xff" * 32], amounts),
        ([topic, WORD, payee], amounts[:-1]),
        ([topic, WORD, payee], b""),
    ]
    for topics, data in malformed:
        with pytest.raises(NodeError):
            decode_event(topics, data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "reverted with 0x"),
        ("12345678", "reverted with 0x12345678"),
        ("08c379a0", "reverted with 0x08c379a0"),
        ("08c379a0" + abi_encode(["string"], ["nope"]).hex(), "Error(nope)"),
        ("4e487b71" + "00" * 31 + "11", "Panic(17)"),
    ],
)
def test_error_text(data: str, text: str) -> None:
    assert error_text(bytes.fromhex(data)) == text


# --- The books ------------------------------------------------------------------------------------


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url, WORKER) as database:
        yield database


@pytest.fixture
def submitter(chain: Chain, database: Database) -> Submitter:
    return Submitter(chain, database, STRANGER, lambda: 1)


def test_an_intent_is_asked_for_in_the_callers_transaction(
    chain: Chain, database: Database, submitter: Submitter, deployment: Deployment
) -> None:
    call = chain.approve(deployment.token, 5)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:  # noqa: PT012
        assert submitter.request(session, "approve", call)
        raise ZeroDivisionError
    with database.transaction() as session:
        assert submitter.find(session, "approve") is None
        assert submitter.request(session, "approve", call)
        assert not submitter.request(session, "approve", call)
        other = chain.approve(deployment.token, 6)
        refused("intent-conflict", lambda: submitter.request(session, "approve", other))
    assert submitter.under_way() == 1


def test_an_intent_moves_from_requested_to_finalized(
    chain: Chain,
    clock: LocalChainClock,
    database: Database,
    submitter: Submitter,
    deployment: Deployment,
) -> None:
    def where() -> Any:
        with database.transaction() as session:
            return submitter.find(session, "approve")

    with database.transaction() as session:
        submitter.request(session, "approve", chain.approve(deployment.token, 5))
    assert where().fate is Fate.REQUESTED
    assert submitter.advance() == []
    assert where().fate is Fate.BROADCAST
    clock.mine()
    assert chain.allowance_of(deployment.token, NOBODY) == 5
    assert submitter.advance() == []  # mined, and not final
    clock.finalize()
    (ended,) = submitter.advance()
    assert ended == where()
    assert ended.fate is Fate.FINALIZED
    assert ended.block_number == chain.block("finalized").number
    receipt = clock.node.call("eth_getTransactionReceipt", f"0x{ended.tx_hash.hex()}")  # type: ignore[union-attr]
    assert ended.gas_used == int(receipt["gasUsed"], 16)
    assert submitter.under_way() == 0
    assert submitter.advance() == []


def test_keys_and_addresses_stay_out_of_texts(submitter: Submitter) -> None:
    assert repr(submitter) == f"Submitter({NOBODY})"
    node = Node("http://user:secret@127.0.0.1:1/key")
    assert "secret" not in repr(node)
    assert "key" not in repr(node)
    with node, pytest.raises(NodeError) as caught:
        node.call("eth_chainId")
    assert caught.value.code == "node-unreachable"
    assert "secret" not in str(caught.value)
    assert "/key" not in str(caught.value)


def test_only_the_worker_keeps_the_books(
    chain: Chain, log: Log, database: Database, database_url: str
) -> None:
    do(chain, DEPLOYER, log.publish())
    list(Watcher(chain, database).poll())
    us = {"chain_id": chain.addresses.chain_id, "escrow": chain.addresses.escrow.lower()}
    with Database(database_url, API) as api:
        with api.transaction() as session:
            assert len(session.all("chain.recent_events", **us, limit=9)) == 1
        for query, arguments in (
            ("chain.account", {"chain_id": 31337, "sender": PAYEE.lower()}),
            ("chain.cursor", us),
            ("chain.forget_events", us),
        ):
            with pytest.raises(DatabaseError, match="permission denied"), api.transaction() as s:
                s.run(query, **arguments)


# --- Clock and wire -------------------------------------------------------------------------------


def test_the_clock_stands_still_until_it_is_set(chain: Chain, clock: LocalChainClock) -> None:
    before_s = clock.now_s()
    clock.mine(5)
    assert clock.now_s() == before_s
    clock.set_to(before_s + 3_600)
    clock.mine()
    assert clock.now_s() == before_s + 3_600
    clock.set_to(before_s + 3_600)
    refused("clock-backwards", lambda: clock.set_to(before_s))
    latest = chain.block().number
    clock.finalize()
    assert chain.block("finalized").number >= latest


def test_a_node_whose_clock_cannot_be_set_is_refused(module_anvil: LocalAnvil) -> None:
    with RpcProxy(module_anvil.rpc_url) as proxy:
        error = {"code": -32601, "message": "the method does not exist"}
        proxy.fault = lambda asks, _: [
            {"jsonrpc": "2.0", "id": ask["id"], "error": error} for ask in asks
        ]
        for act in (LocalChainClock, lambda url: deploy_local(url, DEPLOYER)):
            message = refused("clock-fixed", lambda act=act: act(proxy.url))  # type: ignore[misc]
            assert message == "the node at 127.0.0.1 does not let its clock be set; use anvil"


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://host", "http://", "file:///etc"])
def test_urls_that_are_no_nodes(url: str) -> None:
    refused("rpc-url-malformed", lambda: Node(url))


def test_replies_are_bounded_and_errors_short(module_anvil: LocalAnvil) -> None:
    with RpcProxy(module_anvil.rpc_url) as proxy, Node(proxy.url) as node:
        proxy.fault = lambda _, __: b"[" + b" " * MAX_REPLY_BYTES
        refused("reply-too-large", lambda: node.call("eth_chainId"))
        error = {"code": -32000, "message": "nonce\ntoo low " + "x" * 10_000, "data": "0xzz"}
        proxy.fault = lambda _, __: [{"jsonrpc": "2.0", "id": 0, "error": error}]
        with pytest.raises(ReplyError) as caught:
            node.call("eth_chainId")
        assert caught.value.number == -32000
        assert caught.value.data == b""
        assert "nonce too low" in caught.value.message
        assert len(caught.value.message) < 300
