"""A dispute and a claim by proof in a small market: the parties get what the log gives."""

import pytest

from orchestrator.core.common.errors import ChainError, ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.simulation.disputes import (
    CLAIM_PERIOD_S,
    SILENT_GRACE_S,
    claim_outcomes,
    collect_claims,
    dispute_statement,
    open_with_silent_verifier,
)
from orchestrator.simulation.sandbox import Sandbox
from tests.support.market import BUDGET_UNITS, PRICE_UNITS, Market


def test_a_disputed_statement_is_ruled_as_the_log_gives_it(
    sandbox: Sandbox, market: Market
) -> None:
    contract = market.open("ada")
    with pytest.raises(ChainError) as refused:
        dispute_statement(sandbox, contract)
    assert refused.value.code == "nothing-pending"
    market.win("ada", "first-lead")
    sandbox.settle("first")
    dispute = dispute_statement(sandbox, contract)
    assert dispute.contract_id == contract
    assert dispute.stated_units == dispute.ruled_units == PRICE_UNITS
    assert dispute.gas_used > 0
    chain = sandbox.stack.chain
    # A ruling is final and paid at once.
    assert chain.pending_of(contract) is None
    assert chain.paid_of(contract) == PRICE_UNITS


def test_outcomes_that_a_silent_verifier_leaves_out_are_claimed_and_paid(
    sandbox: Sandbox, market: Market
) -> None:
    opens_at_s = sandbox.clock() // 1000 + 3600
    deadline_s = opens_at_s + 5 * DAY_S
    contract = open_with_silent_verifier(
        sandbox,
        market.operators["bo"],
        market.surface,
        outcome="paid",
        unit_price_units=str(PRICE_UNITS),
        budget_units=str(BUDGET_UNITS),
        opens_at_s=opens_at_s,
        deadline_s=deadline_s,
        attribution_window_s=7 * DAY_S,
        grace_s=SILENT_GRACE_S,
    )
    sandbox.come_to_rest()
    market.win("bo", "second-lead")
    sandbox.settle("second")
    assert sandbox.stack.chain.pending_of(contract) is None
    statements_until_s = deadline_s + SILENT_GRACE_S
    market.advance_to(statements_until_s + 1)
    claimed = claim_outcomes(sandbox, "bo", contract)
    assert (claimed.contract_id, claimed.claims) == (contract, 1)
    assert (claimed.claimed_units, claimed.paid_units) == (PRICE_UNITS, 0)
    with pytest.raises(ReplayError) as refused:
        collect_claims(sandbox, "bo", claimed)
    assert refused.value.code == "claims-unpaid"
    market.advance_to(statements_until_s + 2 * CLAIM_PERIOD_S + 1)
    collected = collect_claims(sandbox, "bo", claimed)
    assert collected.paid_units == PRICE_UNITS
    assert collected.gas_used > claimed.gas_used
