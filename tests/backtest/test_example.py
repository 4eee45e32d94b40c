"""The example in the documentation gives what its words lead a reader to expect."""

from pathlib import Path

from tests.support.backtest_files import HistoryFiles

EXAMPLE = Path(__file__).parents[2] / "docs/example"


def test_the_example_pays_what_it_says() -> None:
    files = HistoryFiles(*(EXAMPLE / name for name in ("E.csv", "T.csv", "P.yaml", "C.yaml")))
    contracts = files.report()["contracts"]
    assert contracts["activation"]["payable_units"] == "16200000"
    assert contracts["activation"]["over_budget_units"] == "8100000"
    assert contracts["revenue-share"]["earned_units"] == "15979000"
    assert contracts["revenue-share"]["payable_units"] == "12989000"
