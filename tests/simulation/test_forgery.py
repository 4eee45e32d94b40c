"""A log that lies about an outcome, on a real chain: a stranger stops it with two entries."""

from orchestrator.simulation import forgery as fraud
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions
from tests.support.servers import CHAIN_START_S, server_folder


def test_a_lie_of_publisher_and_verifier_pays_nothing() -> None:
    with (
        server_folder() as folder,
        Sandbox(
            SandboxOptions(folder, CHAIN_START_S * 1000, "fraud.example"), lambda _: None
        ) as scene,
    ):
        found = fraud.stage(scene)
        status = scene.stack.chain.status_of(found.contract_id)
    assert found.kind == "duplicate"
    assert found.exhibits == (8, 7)
    assert found.stated_units == 2 * fraud.PRICE_UNITS
    assert found.paid_units == 0
    assert found.refund_units == fraud.BUDGET_UNITS
    assert status == "refunded"
