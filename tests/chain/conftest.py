"""A deployment on a real chain, put back after each test, and a relayer's world on one."""

from collections.abc import Iterator

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.deals.terms import Terms
from orchestrator.runtime.local_chain import Deployment, LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from orchestrator.storage.database import WORKER, Database
from tests.support.chain_bench import Bench, DeepAnvil, Stage, bench_on
from tests.support.chain_deal import (
    DEPLOYER,
    FEES,
    OPERATOR,
    ORIGIN,
    OWNER,
    STRANGER,
    AnchoredLog,
    deal_terms,
)
from tests.support.servers import CHAIN_START_S, open_as, server_folder


@pytest.fixture(scope="module")
def deployment(module_anvil: LocalAnvil) -> Deployment:
    return deploy_local(module_anvil.rpc_url, DEPLOYER, origin=ORIGIN)


@pytest.fixture(scope="module")
def clock(module_anvil: LocalAnvil) -> Iterator[LocalChainClock]:
    """The clock of the module's chain, where the parties can pay gas."""
    with LocalChainClock(module_anvil.rpc_url) as clock:
        for account in (OWNER, OPERATOR, FEES, STRANGER):
            clock.fund(account, 10**24)
        yield clock


@pytest.fixture
def chain(
    module_anvil: LocalAnvil, deployment: Deployment, clock: LocalChainClock
) -> Iterator[Chain]:
    """The deployment, as it was before the test once the test is done."""
    before = clock.node.call("evm_snapshot")
    # With automine the node makes a block some time after it answered.
    clock.node.call("evm_setAutomine", False)
    with Chain(module_anvil.rpc_url, deployment.addresses) as chain:
        yield chain
    clock.node.call("evm_setAutomine", True)
    assert clock.node.call("evm_revert", before)


@pytest.fixture
def log(chain: Chain, deployment: Deployment) -> AnchoredLog:
    return AnchoredLog(chain, deployment.log_id)


@pytest.fixture
def terms(clock: LocalChainClock, deployment: Deployment) -> Terms:
    return deal_terms(deployment, clock.now_s())


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_as(database_url, WORKER) as database:
        yield database


@pytest.fixture(scope="module")
def stage(module_anvil: LocalAnvil, deployment: Deployment) -> Stage:
    return Stage(module_anvil, deployment)


@pytest.fixture(scope="module")
def deep_stage() -> Iterator[Stage]:
    with server_folder() as folder, DeepAnvil(folder, CHAIN_START_S) as anvil:
        yield Stage(anvil, deploy_local(anvil.rpc_url, DEPLOYER))


@pytest.fixture
def bench(stage: Stage, database_url: str) -> Iterator[Bench]:
    with bench_on(stage, database_url) as bench:
        yield bench


@pytest.fixture
def deep(deep_stage: Stage, database_url: str) -> Iterator[Bench]:
    """The same where final blocks trail the latest by `DeepAnvil.DEPTH`."""
    with bench_on(deep_stage, database_url) as bench:
        yield bench
