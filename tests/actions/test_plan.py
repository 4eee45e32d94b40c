"""Plans: what was looked at, and the transactions that can be sent for it."""

from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.abi import Call

TRANSACTION = PlannedTransaction(
    "release 1.00 TEST", ("to the payee",), Call("0x" + "11" * 20, b"\1"), (), {"units": "1"}
)


def test_a_plan_of_one_transaction_says_what_that_does() -> None:
    plan = Plan.of(TRANSACTION)
    assert plan.transactions == (TRANSACTION,)
    assert plan.obstacle is None


def test_a_plan_without_transactions_can_still_say_why() -> None:
    plan = Plan(("nothing is owed",))
    assert plan.transactions == ()
    assert dict(plan.facts) == {}
