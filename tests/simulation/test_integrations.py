"""A job and a reputation that other contracts take from the log, in a small market."""

from orchestrator.core.common.units import DAY_S
from orchestrator.simulation.integrations import (
    BUDGET_UNITS,
    complete_job_if_met,
    post_job,
    register_agent,
    write_reputation,
)
from orchestrator.simulation.sandbox import Sandbox, address_of
from tests.support.market import PRICE_UNITS, Market


def test_a_statement_completes_a_job_and_becomes_a_record(sandbox: Sandbox, market: Market) -> None:
    agent_id = register_agent(sandbox, "ada")
    assert register_agent(sandbox, "bo") == agent_id + 1
    contract = market.open("ada", agent_id_plus_one=str(agent_id + 1))
    deadline_s = sandbox.clock() // 1000 + 20 * DAY_S
    job = post_job(sandbox, "bo", contract, PRICE_UNITS, deadline_s)
    assert (job.provider, job.budget_units) == (address_of("bo"), BUDGET_UNITS)
    assert not job.is_completed
    assert complete_job_if_met(sandbox, "bo", job) == job

    market.win("ada", "lead")
    sandbox.settle("all")
    completed = complete_job_if_met(sandbox, "bo", job)
    assert completed.is_completed
    assert completed.gas_used > job.gas_used
    assert market.balance_of("bo") == BUDGET_UNITS
    assert complete_job_if_met(sandbox, "bo", completed) == completed

    # Feedback is given once nothing more can be paid: a day after the last claim could be refuted.
    market.advance_to(sandbox.clock() // 1000 + 40 * DAY_S)
    chain = sandbox.stack.chain
    assert chain.paid_of(contract) == PRICE_UNITS
    sandbox.send("owner", chain.refund(contract))
    record = write_reputation(sandbox, contract, "conversion")
    assert (record.agent_id, record.motion) == (agent_id, "conversion")
    assert record.units == PRICE_UNITS
