"""Forgeries on a real chain: a stranger stops a statement with two entries, and pays nothing."""

from orchestrator.simulation.forgery import BUDGET_UNITS, PRICE_UNITS, forge_and_disprove
from tests.support.sandboxes import running_sandbox


def test_a_forged_statement_of_publisher_and_verifier_pays_nothing(database_url: str) -> None:
    with running_sandbox("forgery.example", database_url) as sandbox:
        forgery = forge_and_disprove(sandbox)
        status = sandbox.stack.chain.status_of(forgery.contract_id)
    assert forgery.kind == "duplicate"
    assert forgery.exhibits == (10, 9)
    assert forgery.stated_units == 2 * PRICE_UNITS
    assert forgery.paid_units == 0
    assert forgery.refund_units == BUDGET_UNITS
    assert status == "refunded"
