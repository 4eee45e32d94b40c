"""The view of a backtest: hostile names stay names."""

from io import StringIO

from rich.console import Console

from orchestrator.backtest.exports import ExportCounts
from orchestrator.cli.backtest.view import input_cells, print_report, print_settled
from orchestrator.core.growth.report import Remark
from tests.support.growth import hostile_report


def test_names_are_neither_markup_nor_commands_to_the_terminal() -> None:
    output = StringIO()
    report, growth = hostile_report("[red]a\x1b[2Jb[/red]")
    print_report(report, growth, None, [], Console(file=output, width=120))
    assert "\x1b" not in output.getvalue()
    assert "[red]a?[2Jb[/red]" in output.getvalue()


def test_a_remark_does_not_steer_a_terminal() -> None:
    output = StringIO()
    report, growth = hostile_report("a")
    odd = Remark("file-empty", "ex\x1b[2Jport.csv has no row")
    print_report(report, growth._replace(remarks=(odd,)), None, [], Console(file=output))
    assert "file-empty: ex?[2Jport.csv has no row\n" in output.getvalue()


def test_a_contract_that_overpaid_is_named_as_it_is() -> None:
    output = StringIO()
    print_settled({"[/red]:smile:": 1_500_000}, Console(file=output, width=200))
    said = "contract '[/red]:smile:' has paid 1.50 more than is payable: more was reversed than"
    assert said in output.getvalue()


def test_the_cells_of_a_file_add_up() -> None:
    counts = ExportCounts("csv", "x", rows=10, taken=4)
    counts.unmapped["a"] = 3
    counts.skipped["test-mode"] = 1
    counts.refuse("time-invalid", 7, "no")
    counts.repeated.add(9, "")
    assert input_cells(counts) == ["csv x", "10", "4", "4", "1", "1"]
