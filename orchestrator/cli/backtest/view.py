"""A backtest's report in a terminal: the rows that were read, the contracts, what looks wrong."""

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.backtest.evaluate import Report
from orchestrator.backtest.exports import ExportCounts, ExportReader
from orchestrator.cli.output import printable
from orchestrator.core.common.units import counted, format_amount
from orchestrator.core.growth.report import (
    ContractFigures,
    GrowthReport,
    Lift,
    MotionFigures,
    Remark,
    format_share,
    format_wait,
)
from orchestrator.core.growth.suggestion import Suggestion
from orchestrator.core.surface.policy import Policy

SHOWN_IGNORED = 8
_ANY_WIDTH = 10_000
CONTRACT_HEADINGS = ("contract", "outcomes", "reversed", "over", "payable", "per outcome")
YIELD_HEADINGS = ("contract", "revenue", "refunds", "25 % within", "50 %", "75 %")
MOTION_HEADINGS = ("motion", "moves", "untouched", "outcomes", "earned", "each", "revenue")
LIFT_HEADINGS = ("state", "touched", "entered", "share", "others", "entered", "share", "lift")
INPUT_HEADINGS = ("file", "rows", "taken", "ignored", "refused", "told before")


def contract_cells(one: ContractFigures) -> list[str]:
    """Return the cells of a contract, as `CONTRACT_HEADINGS` name them."""
    return [
        one.name,
        f"{one.outcomes:,}",
        f"{one.reversed:,}",
        f"{one.over:,}",
        format_amount(one.payable_units),
        _amount(one.cost_units),
    ]


def yield_cells(one: ContractFigures) -> list[str]:
    """Return what a contract's outcomes brought, and how soon, as `YIELD_HEADINGS` name it."""
    waits = ["-"] * 3 if one.waits is None else [format_wait(each) for each in one.waits]
    return [
        one.name,
        format_amount(one.revenue_units),
        format_amount(one.refunded_units),
        *waits,
    ]


def motion_cells(one: MotionFigures) -> list[str]:
    """Return the cells of a motion, as `MOTION_HEADINGS` name them."""
    return [
        one.motion,
        f"{one.transitions:,}",
        f"{one.organic:,}",
        f"{one.outcomes:,}",
        format_amount(one.earned_units),
        _amount(one.cost_units),
        format_amount(one.revenue_units),
    ]


def lift_cells(one: Lift) -> list[str]:
    """Return the cells of a state's baseline, as `LIFT_HEADINGS` name them."""
    return [
        one.state,
        f"{one.touched_leads:,}",
        f"{one.touched_entered:,}",
        format_share(one.touched_bps),
        f"{one.organic_leads:,}",
        f"{one.organic_entered:,}",
        format_share(one.organic_bps),
        format_share(one.lift_bps),
    ]


def input_cells(one: ExportCounts) -> list[str]:
    """Return the cells of a file, as `INPUT_HEADINGS` name them."""
    ignored = one.unmapped.total() + one.skipped.total()
    return [
        f"{one.source} {one.path}",
        f"{one.rows:,}",
        f"{one.taken:,}",
        f"{ignored:,}",
        f"{one.refusals:,}",
        f"{one.repeated.count:,}",
    ]


def input_lines(reader: ExportReader) -> list[str]:
    """Return a line for each sort of row that was not taken, with the first lines of it."""
    said = []
    for one in reader.counts:
        if one.unmapped:
            listed = [f"{name} ({count:,})" for name, count in one.unmapped.most_common()]
            more = len(listed) - SHOWN_IGNORED
            said.append(
                f"{one.path}: ignored, since the mapping does not name them: "
                f"{', '.join(listed[:SHOWN_IGNORED])}" + (f" and {more} more" if more > 0 else "")
            )
        said += [f"{one.path}: left out, {code}: {n:,}" for code, n in one.skipped.items()]
        for code, faults in sorted(one.refused.items()):
            lines = ", ".join(map(str, faults.lines))
            said.append(
                f"{one.path}: refused, {code}: {faults.count:,} (lines {lines}); {faults.message}"
            )
        if one.repeated.count:
            lines = ", ".join(map(str, one.repeated.lines))
            said.append(
                f"{one.path}: told before under the same id: {one.repeated.count:,} (lines {lines})"
            )
        if one.equal.count:
            lines = ", ".join(map(str, one.equal.lines))
            said.append(
                f"{one.path}: without an id, equal to a row before them, and counted: "
                f"{one.equal.count:,} (lines {lines}); if they were exported twice, map their id"
            )
    return said


def fold_lines(report: Report, reader: ExportReader | None) -> list[str]:
    """Return a line for what the policy and the log made of events."""
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in report.verdicts().items())
    said = [f"events: {counts}"]
    for code, count in sorted(report.turned_away.items()):
        said.append(f"turned away by the log, {code}: {count:,}{_places(report, code, reader)}")
    if report.places.get("refused"):
        said.append(f"refused by the policy: first{_places(report, 'refused', reader)}")
    return said


def input_remarks(reader: ExportReader, policy: Policy) -> list[Remark]:
    """Return what looks wrong about the files of a history, and their mapping."""
    found = []
    unknown = sorted(
        one for one in reader.mapped_events() if not policy.names(policy.short_name(one))
    )
    if unknown:
        found.append(
            Remark(
                "event-unknown",
                f"the mapping leads to {', '.join(map(repr, unknown[:10]))}, which no transition "
                f"and no reversal of the policy is on",
            )
        )
    for one in reader.counts:
        usable = one.taken + one.repeated.count
        if not one.rows:
            found.append(Remark("file-empty", f"{one.path} has no row"))
        elif one.refusals > usable:
            codes = ", ".join(sorted(one.refused))
            found.append(
                Remark(
                    "rows-refused",
                    f"{one.path}: {counted(one.refusals, 'row was', 'rows were')} refused "
                    f"and {usable:,} could be read "
                    f"({codes}); correct the mapping before you rely on this",
                )
            )
        elif not one.taken:
            found.append(
                Remark(
                    "nothing-mapped",
                    f"{one.path}: no row is an event that the mapping names; compare its names "
                    f"with those that were ignored",
                )
            )
    return found


def print_inputs(reader: ExportReader, console: Console) -> None:
    """Print what became of the rows of each file."""
    rows = [input_cells(one) for one in reader.counts]
    _print_table(console, "What was read", INPUT_HEADINGS, rows)
    for line in input_lines(reader):
        _say(console, line)


def print_report(
    report: Report,
    growth: GrowthReport,
    reader: ExportReader | None,
    suggestions: Sequence[Suggestion],
    console: Console,
) -> None:
    """Print a report: contracts, motions, the baseline, suggestions, and what looks wrong."""
    if growth.contracts:
        rows = [contract_cells(one) for one in growth.contracts]
        _print_table(console, "What these contracts would have paid", CONTRACT_HEADINGS, rows)
        rows = [yield_cells(one) for one in growth.contracts]
        _print_table(console, "What their outcomes brought, and how soon", YIELD_HEADINGS, rows)
    rows = [motion_cells(one) for one in growth.motions]
    _print_table(console, "By motion", MOTION_HEADINGS, rows)
    rows = [lift_cells(one) for one in growth.lifts]
    _print_table(console, "Touched leads, beside untouched ones", LIFT_HEADINGS, rows)
    for line in fold_lines(report, reader):
        _say(console, line)
    for suggestion in suggestions:
        _say(console, f"\n{suggestion.motion} into {suggestion.target.state!r}:")
        for sentence in suggestion.words():
            _say(console, f"  {sentence}")
    for remark in growth.remarks:
        text = printable(f"{remark.code}: {remark.text}")
        console.print(Text(text, style="yellow"), soft_wrap=True)


def print_settled(overpaid_units: Mapping[str, int], console: Console) -> None:
    """Print that a real chain gave the same, and what each of these contracts overpaid there."""
    _say(console, "settled on a real chain: log, escrow and wallets give the same numbers")
    for name, units in overpaid_units.items():
        _say(
            console,
            f"contract {name!r} has paid {format_amount(units)} more than is payable: more was "
            f"reversed than was held back",
        )


def _places(report: Report, code: str, reader: ExportReader | None) -> str:
    places = [place for place in report.places.get(code, []) if place]
    if reader is None or not places:
        return ""
    return f" ({'; '.join(reader.place_name(place) for place in places)})"


def _amount(units: int | None) -> str:
    return "-" if units is None else format_amount(units)


def _print_table(
    console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print rows as a table, or each as a block where that is too wide: no number is broken."""
    table = Table(title=title)
    for place, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if place else "left"
        table.add_column(heading, justify=side, no_wrap=True)
    # Names are the history's own: no markup, and nothing that moves the cursor.
    shown = [[printable(cell) for cell in row] for row in rows]
    for cells in shown:
        table.add_row(*map(Text, cells))
    wide = console.options.update(max_width=_ANY_WIDTH)
    if console.measure(table, options=wide).maximum <= console.width:
        console.print(table)
        return
    _say(console, title)
    longest = max(map(len, headings[1:]))
    for name, *cells in shown:
        _say(console, f"  {name}")
        for heading, cell in zip(headings[1:], cells, strict=True):
            _say(console, f"    {heading:{longest}}  {cell}")


def _say(console: Console, line: str) -> None:
    console.print(Text("\n".join(map(printable, line.split("\n")))), soft_wrap=True)
