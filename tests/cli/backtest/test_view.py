"""The view of a backtest: hostile names stay names."""

from io import StringIO

from rich.console import Console

from orchestrator.backtest.exports import ExportCounts
from orchestrator.cli.backtest.view import input_cells, print_report
from tests.support.growth import hostile_report


def test_names_are_neither_markup_nor_commands_to_the_terminal() -> None:
    output = StringIO()
    report, growth = hostile_report("[red]a\x1b[2Jb[/red]")
    print_report(report, growth, None, [], Console(file=output, width=120))
    assert "\x1b" not in output.getvalue()
    assert "[red]a?[2Jb[/red]" in output.getvalue()


def test_the_cells_of_a_file_add_up() -> None:
    counts = ExportCounts("csv", "x", rows=10, taken=4)
    counts.unmapped["a"] = 3
    counts.skipped["test-mode"] = 1
    counts.refuse("time-invalid", 7, "no")
    counts.repeated.add(9, "")
    assert input_cells(counts) == ["csv x", "10", "4", "4", "1", "1"]
