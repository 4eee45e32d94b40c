"""The example in the documentation gives what its words lead a reader to expect."""

from pathlib import Path

from orchestrator.backtest import evaluate as backtest
from orchestrator.backtest import inputs as history

EXAMPLE = Path(__file__).parents[2] / "docs/example"


def test_the_example_pays_what_it_says() -> None:
    policy = history.read_policy(EXAMPLE / "P.yaml")
    plans = history.read_contracts(EXAMPLE / "C.yaml", policy)
    with backtest.spool() as spool:
        rows = history.rows(EXAMPLE / "E.csv", EXAMPLE / "T.csv")
        totals = backtest.run(rows, policy, plans, spool).totals()
    assert totals["activation"]["payable_units"] == "16200000"
    assert totals["activation"]["over_budget_units"] == "8100000"
    assert totals["revenue-share"]["earned_units"] == "15979000"
    assert totals["revenue-share"]["payable_units"] == "12989000"
