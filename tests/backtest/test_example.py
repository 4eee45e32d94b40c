"""The example in the documentation gives what its words lead a reader to expect."""

from pathlib import Path

from tests.support.backtest_files import HistoryFiles

EXAMPLE = Path(__file__).parents[2] / "docs/example"


def test_the_example_pays_what_it_says() -> None:
    files = HistoryFiles(*(EXAMPLE / name for name in ("E.csv", "T.csv", "P.yaml", "C.yaml")))
    contracts = files.report()["contracts"]
    assert contracts["activation"]["payable_units"] == "16200000"
    assert contracts["activation"]["over_budget_units"] == "8100000"
    # A tenth of 100, of which 5 were given back, is 9.50; the order of 29.90 was given back whole.
    assert contracts["revenue-share"]["earned_units"] == "22989000"
    assert contracts["revenue-share"]["reversed_units"] == "3490000"
    assert contracts["revenue-share"]["payable_units"] == f"{9_500_000 + 9_999_000}"
