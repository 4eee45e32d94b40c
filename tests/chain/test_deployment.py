"""Deployments that start-up refuses, and reads of a log on chain."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.chain.abi import Published, Registered
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import Anchor, Chain, SignedCheckpoint, log_id_of
from orchestrator.core.deals.site import Addresses
from orchestrator.core.deals.split import Agreement, Share, Split, factory_domain
from orchestrator.core.deals.terms import DOMAIN_TYPE, Terms
from orchestrator.core.entries.kinds import decode
from orchestrator.core.job_condition import CLOCK_TOLERANCE_S
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_bench import rewritten
from tests.support.chain_deal import (
    DEPLOYER,
    OPERATOR,
    OPERATOR_KEY,
    ORIGIN,
    OWNER,
    OWNER_KEY,
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
from tests.support.rpc_proxy import RpcProxy


def test_own_deployment_is_recognised(chain: Chain, deployment: Deployment) -> None:
    chain.check()
    assert chain.check_log(deployment.log_id, PUBLISHER, ORIGIN) == PUBLISHER
    assert chain.escrow_domain.name == "Tallystick OutcomeEscrow"
    assert chain.event_log_domain.verifying_contract == deployment.addresses.event_log


def test_another_chain_is_refused(chain: Chain) -> None:
    addresses = chain.addresses._replace(chain_id=10)
    message = refused("wrong-chain", check_of(chain, addresses))
    assert "is on chain 31337, and the deployment is on 10" in message


def test_nodes_that_show_two_chains_are_refused(chain: Chain) -> None:
    """A second node is compared at the start; one that is away says nothing."""

    def forked(block: Any) -> Any:
        return {**block, "hash": "0x" + "ee" * 32}

    url = url_of(chain)
    with RpcProxy(url, "127.0.0.2") as proxy, Chain(f"{url},{proxy.url}", chain.addresses) as both:
        both.check()
        for method, change, code in (
            ("eth_chainId", lambda _: "0xa", "wrong-chain"),
            ("eth_getBlockByNumber", forked, "nodes-disagree"),
        ):
            proxy.fault = rewritten(method, change)
            assert "127.0.0.2" in refused(code, both.check)
        proxy.fault = lambda _, __: None
        both.check()


def url_of(chain: Chain) -> str:
    return chain.node.nodes[0]._http._url


def check_of(chain: Chain, addresses: Addresses) -> Callable[[], None]:
    """The start-up check of other addresses through the same node."""

    def check() -> None:
        with Chain(url_of(chain), addresses) as other:
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
    """Name and version are immutables, so the code alone does not show them."""
    address = getattr(chain.addresses, name)
    code = clock.node.call("eth_getCode", address, "latest")
    forged = code.replace(b"Tallystick ".hex(), b"Tallystich ".hex())
    assert forged != code
    clock.node.call("anvil_setCode", address, forged)
    assert "Tallystich" in refused("domain-differs", chain.check)


def copied(clock: LocalChainClock, address: str, swaps: dict[str, str], *, first: bool) -> str:
    """Copy the code at an address, with some addresses in it swapped; return the copy's address.

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
    assert chain.read(contract_at("JobEvaluator", one), "CLOCK_TOLERANCE") == CLOCK_TOLERANCE_S
    events = chain.addresses.event_log
    other = deploy_local(module_anvil.rpc_url, STRANGER_KEY).addresses.evaluators
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
    other = deploy_local(module_anvil.rpc_url, STRANGER_KEY)
    assert other.addresses.feedback is not None
    strange = other.addresses.feedback
    refused("other-escrow", lambda: chain.registry_of(strange))
    swap = {stand_ins.reputations: other.stand_ins.reputations}
    forged = copied(clock, ours, swap, first=False)
    assert other.stand_ins.identities in refused("other-agents", lambda: chain.registry_of(forged))
    assert chain.is_feedback_given(bytes(32)) is False
    for address, expected in ((None, None), (PAYEE, None), (chain.addresses.escrow, None)):
        with Chain(url_of(chain), chain.addresses._replace(feedback=address)) as beside:
            assert beside.is_feedback_given(bytes(32)) is expected


def test_rounds_that_only_look_like_ours_are_refused(
    chain: Chain, clock: LocalChainClock, module_anvil: LocalAnvil
) -> None:
    ours = chain.addresses.rounds
    assert ours is not None
    chain.check_rounds(ours)
    other = deploy_local(module_anvil.rpc_url, STRANGER_KEY).addresses
    assert other.rounds is not None
    strange = other.rounds
    refused("other-rounds", lambda: chain.check_rounds(strange))
    refused("code-differs", lambda: chain.check_rounds(chain.addresses.escrow))
    refused("code-missing", lambda: chain.check_rounds(PAYEE))
    for old, new in (
        (chain.addresses.escrow, other.escrow),
        (chain.addresses.event_log, other.event_log),
    ):
        forged = copied(clock, ours, {old: new}, first=False)
        assert new in refused("other-rounds", partial(chain.check_rounds, forged))
    with Chain(url_of(chain), chain.addresses._replace(rounds=None)) as without:
        without.check_companions()
        checkpoint = SignedCheckpoint(WORD, 1, WORD, b"")
        refused("rounds-missing", lambda: without.settle_round(checkpoint, [], []))


def test_splits_that_only_look_like_ours_are_refused(chain: Chain, clock: LocalChainClock) -> None:
    ours = chain.addresses.splits
    assert ours is not None
    assert chain.check_splits(ours) == factory_domain(chain.chain_id, ours)
    refused("code-differs", lambda: chain.check_splits(chain.addresses.escrow))
    refused("code-missing", lambda: chain.check_splits(PAYEE))
    # What its splits run was made by another.
    copy = copied(clock, ours, {}, first=False)
    assert "which it did not make" in refused("other-splits", partial(chain.check_splits, copy))
    # It signs for another name; or says the right one, and checks signatures under another.
    code = clock.node.call("eth_getCode", ours, "latest")
    words = (keccak(text=DOMAIN_TYPE), keccak(text="Tallystick Splits"), keccak(text="1"))
    types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    separator = keccak(abi_encode(types, [*words, chain.chain_id, ours])).hex()
    for old, new, reason in (
        (b"Tallystick ".hex(), b"Tallystich ".hex(), "domain-differs"),
        (separator, "11" * 32, "other-splits"),
    ):
        assert old in code
        clock.node.call("anvil_setCode", ours, code.replace(old, new))
        refused(reason, lambda: chain.check_splits(ours))
    clock.node.call("anvil_setCode", ours, code)
    chain.check_splits(ours)


def test_a_split_is_where_it_was_said_to_be(chain: Chain, clock: LocalChainClock) -> None:
    factory = chain.addresses.splits
    assert factory is not None
    shares = [Share(OWNER, 1), Share(OPERATOR, 3_333), Share(STRANGER, 6_666)]
    agreement = Agreement(chain.chain_id, factory, Split.of(shares, WORD), {})
    split, address = agreement.split, agreement.address
    at = contract_at("Splits", factory)
    assert to_checksum_address(chain.read(at, "splitOf", split.to_abi(), WORD)) == address
    assert chain.split_at(address, factory) is None
    for key in (OWNER_KEY, OPERATOR_KEY, STRANGER_KEY):
        agreement = agreement.signed_by(key)
    signatures = [agreement.signatures[share.payee] for share in split.shares]
    send(chain, DEPLOYER, chain.call(at, "create", split.to_abi(), WORD, signatures))
    assert chain.split_at(address, factory) == split
    found = chain.read(contract_at("Split", address), "shares")
    assert [(to_checksum_address(payee), bps) for payee, bps in found] == split.to_abi()
    # The same code elsewhere was signed by no one.
    copy = copied(clock, address, {}, first=False)
    assert chain.split_at(copy, factory) is None
    with Chain(url_of(chain), chain.addresses._replace(splits=None)) as without:
        without.check_companions()


def test_a_round_anchors_and_settles_at_once(chain: Chain, log: AnchoredLog, terms: Terms) -> None:
    contract = open_contract(chain, terms)
    first = log.state(contract, 16 * USD)
    send(chain, STRANGER_KEY, log.round(terms, first, 1))
    assert chain.checkpoint(log.log_id).size == first + 1
    assert chain.paid_of(contract) == 16 * USD


def test_a_forked_log_is_one_from_its_block_on(chain: Chain, log: AnchoredLog) -> None:
    first, second = (log.signed(root) for root in (b"\1" * 32, b"\2" * 32))
    assert chain.forked_at(log.log_id) is None
    send(chain, STRANGER_KEY, chain.report_fork(first, second))
    block = chain.block()
    assert chain.forked_at(log.log_id) == block.time_s
    assert chain.forked_at(log.log_id, block.number - 1) is None
    assert "LogForked(0x" in refused("call-reverted", lambda: send(chain, DEPLOYER, log.publish()))


def test_an_escrow_with_another_event_log_is_refused(
    chain: Chain, module_anvil: LocalAnvil
) -> None:
    other = deploy_local(module_anvil.rpc_url, STRANGER_KEY)
    mixed = chain.addresses._replace(event_log=other.addresses.event_log)
    message = refused("other-event-log", check_of(chain, mixed))
    assert chain.addresses.event_log in message
    assert other.addresses.event_log in message


def test_a_log_of_another_is_refused(chain: Chain, deployment: Deployment) -> None:
    log_id = deployment.log_id
    refused("log-of-another", lambda: chain.check_log(log_id, STRANGER, ORIGIN))
    refused("log-of-another", lambda: chain.check_log(log_id, PUBLISHER, "other"))
    unknown = log_id_of(STRANGER, ORIGIN)
    refused("log-unregistered", lambda: chain.check_log(unknown, STRANGER, ORIGIN))


# --- The log on chain -----------------------------------------------------------------------------


def test_a_log_is_read_with_the_name_that_its_id_is_a_digest_of(
    chain: Chain, log: AnchoredLog
) -> None:
    found = chain.registration_of(log.log_id)
    assert found == Registered(log.log_id, PUBLISHER, PUBLISHER, ORIGIN)
    assert chain.registration_of(WORD) is None

    true, other = (text.encode().hex() for text in (ORIGIN, ORIGIN[::-1]))

    def renamed(events: Any) -> Any:
        return [{**one, "data": one["data"].replace(true, other)} for one in events]

    with RpcProxy(url_of(chain)) as proxy, Chain(proxy.url, chain.addresses) as told:
        proxy.fault = rewritten("eth_getLogs", renamed)
        assert "another registration" in refused(
            "registration-false", partial(told.registration_of, log.log_id)
        )


def test_anchors_are_read_in_order_with_their_places(chain: Chain, log: AnchoredLog) -> None:
    anchored: list[Published] = []
    for _ in range(2):
        assert [one.event for one in chain.published_of(log.log_id)] == anchored
        send(chain, DEPLOYER, log.publish())
        anchored.append(Published(log.log_id, len(log.entries), log.root))
        log.append(decode(log.entries[0]))
    found = list(chain.published_of(log.log_id))
    assert [one.event for one in found] == anchored
    assert found[1].time_s == chain.block().time_s
    assert found[0].block_number < found[1].block_number
    assert found[0].tx_hash != found[1].tx_hash
    assert list(chain.published_of(WORD)) == []


def test_reads_before_and_after_an_anchor(chain: Chain, log: AnchoredLog) -> None:
    assert chain.checkpoint(log.log_id) == Anchor(0, bytes(32), 0)
    assert chain.root_at(log.log_id, 1) is None
    send(chain, DEPLOYER, log.publish())
    now_s = chain.block().time_s
    assert chain.checkpoint(log.log_id) == Anchor(1, log.root, now_s)
    assert chain.root_at(log.log_id, 1) == log.root
    assert chain.checkpoint(log.log_id, "finalized").size == 0
    assert chain.checkpoint(log.log_id, chain.block().number - 1).size == 0
    assert chain.publisher_of(log.log_id) == PUBLISHER
    assert chain.publisher_of(WORD) is None
