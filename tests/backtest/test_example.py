"""The example in the documentation gives what its words lead a reader to expect."""

from pathlib import Path

from tests.support.backtest_files import HistoryFiles

EXAMPLE = Path(__file__).parents[2] / "docs/example"


def test_the_example_pays_what_it_says() -> None:
    files = HistoryFiles(*(EXAMPLE / name for name in ("E.csv", "T.csv", "P.yaml", "C.yaml")))
    found = files.report()
    contracts = found["contracts"]
    # The cap of 100 pays twelve at 8.10, and five came after.
    assert contracts["activation"]["payable_units"] == "97200000"
    assert contracts["activation"]["over_budget_units"] == "40500000"
    # A tenth of 523.89. Of one order 5 were given back, and that of 29.90 was given back whole.
    assert contracts["revenue-share"]["earned_units"] == "52389000"
    assert contracts["revenue-share"]["reversed_units"] == "3490000"
    assert contracts["revenue-share"]["payable_units"] == f"{52_389_000 - 3_490_000}"


def test_half_of_the_examples_leads_are_untouched_so_that_a_lift_shows() -> None:
    touches = (EXAMPLE / "T.csv").read_text().splitlines()[1:]
    events = (EXAMPLE / "E.csv").read_text().splitlines()[1:]
    touched = {row.split(",")[1] for row in touches}
    leads = {row.split(",")[1] for row in events}
    activated = {row.split(",")[1] for row in events if ",activate," in row}
    assert touched < leads
    assert (len(leads), len(touched)) == (50, 25)
    # What docs/backtest.md says of it.
    said = (EXAMPLE.parent / "backtest.md").read_text()
    shares = [len(activated & group) * 100 // 25 for group in (touched, leads - touched)]
    assert f"{shares[0]} % of the touched leads activated, and {shares[1]} % of the others" in said
