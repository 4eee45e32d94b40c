"""The report of a fork: two roots of one size are one, and nothing else is."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.actions.fork import checkpoint_from_json, plan_fork_report
from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import DEPLOYER, ORIGIN, STRANGER, STRANGER_KEY, AnchoredLog, send

A, B, C = b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32
SIZE = 7


@pytest.fixture(scope="module")
def deployment(module_anvil: LocalAnvil) -> Deployment:
    return deploy_local(module_anvil.rpc_url, DEPLOYER, origin=ORIGIN)


@pytest.fixture
def chain(module_anvil: LocalAnvil, deployment: Deployment) -> Iterator[Chain]:
    with (
        LocalChainClock(module_anvil.rpc_url) as clock,
        Chain(module_anvil.rpc_url, deployment.addresses) as chain,
    ):
        clock.fund(STRANGER, 10**20)
        before = clock.node.call("evm_snapshot")
        yield chain
        assert clock.node.call("evm_revert", before)


def told(
    chain: Chain, log_id: bytes, root: bytes, *, size: int = SIZE, key: bytes = DEPLOYER
) -> SignedCheckpoint:
    digest = checkpoint_digest(chain.event_log_domain, log_id, size, root)
    return SignedCheckpoint(log_id, size, root, sign_digest(digest, key))


def test_two_signed_roots_are_a_fork_which_anyone_reports(
    chain: Chain, deployment: Deployment
) -> None:
    log_id = deployment.log_id
    first, second = told(chain, log_id, A), told(chain, log_id, B)
    plan = plan_fork_report(chain, first, second)
    (planned,) = plan.transactions
    assert planned.by == ()
    assert planned.facts["roots"] == ["0x" + "aa" * 32, "0x" + "bb" * 32]
    assert "signed by the publisher, 0x" in planned.lines[0]
    assert "behind its first 0 entries" in planned.lines[2]
    assert chain.forked_at(log_id) is None
    send(chain, STRANGER_KEY, planned.call)
    assert chain.forked_at(log_id) == chain.block().time_s
    with pytest.raises(EscrowError, match="is marked as forked since") as refused:
        plan_fork_report(chain, first, second)
    assert refused.value.code == "log-forked"


def test_a_signed_root_is_set_against_the_anchored_one(
    chain: Chain, deployment: Deployment
) -> None:
    log = AnchoredLog(chain, deployment.log_id)
    other = told(chain, deployment.log_id, A, size=1)
    with pytest.raises(InputError, match="nothing is anchored at size 1") as refused:
        plan_fork_report(chain, other, None)
    assert refused.value.code == "checkpoint-alone"
    send(chain, DEPLOYER, log.publish())
    (planned,) = plan_fork_report(chain, other, None).transactions
    assert planned.lines[1].endswith("of size 1 is anchored")
    send(chain, STRANGER_KEY, planned.call)
    assert chain.forked_at(deployment.log_id) is not None
    same = told(chain, deployment.log_id, log.root, size=1)
    with pytest.raises(InputError, match="that is no fork"):
        plan_fork_report(chain, same, None)


def test_what_is_no_fork_is_refused_before_it_is_sent(chain: Chain, deployment: Deployment) -> None:
    log_id = deployment.log_id
    first = told(chain, log_id, A)
    cases: list[tuple[SignedCheckpoint, type[Exception], str]] = [
        (told(chain, log_id, A), InputError, "that is no fork"),
        (told(chain, log_id, B, size=8), InputError, "a fork is two roots of one size"),
        (told(chain, C, B), InputError, "a fork is two roots of one size"),
        (told(chain, log_id, B, key=STRANGER_KEY), EscrowError, "neither anchored nor signed"),
        (first._replace(root=B), EscrowError, "neither anchored nor signed"),
        (first._replace(root=B, signature=b""), EscrowError, "neither anchored nor signed"),
    ]
    for second, error, text in cases:
        with pytest.raises(error, match=text):
            plan_fork_report(chain, first, second)


SERVED: dict[str, Any] = {
    "log_id": "0x" + "11" * 32,
    "size": 5,
    "root": "0x" + "22" * 32,
    "time_ms": 7,
    "signature": "0x" + "33" * 65,
}


def test_a_checkpoint_is_read_as_servers_give_it() -> None:
    read = checkpoint_from_json(SERVED)
    assert read == SignedCheckpoint(b"\x11" * 32, 5, b"\x22" * 32, b"\x33" * 65)


@pytest.mark.parametrize(
    "document",
    [
        *({**SERVED, name: None} for name in ("log_id", "size", "root", "signature")),
        *({**SERVED, "size": size} for size in (0, -1, 1 << 40, "5", 5.0, True)),
        {**SERVED, "root": "0x22"},
        {**SERVED, "signature": "zz"},
        *({name: SERVED[name] for name in SERVED if name != left} for left in ("root", "size")),
        None,
        [],
        7,
        "checkpoint",
    ],
)
def test_what_is_no_checkpoint_is_refused(document: Any) -> None:
    with pytest.raises(InputError) as refused:
        checkpoint_from_json(document)
    assert refused.value.code == "checkpoint-malformed"
