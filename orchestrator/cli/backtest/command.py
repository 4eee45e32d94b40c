"""The command `tallystick backtest`: a recorded history under a policy and contracts.

The history comes as CSV files of our own form, or from exports of other systems by the mapping that
a surface's settings have. Every row is accounted for: taken, left out, refused or told before.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import typer
from rich.console import Console

from orchestrator.backtest.evaluate import (
    Report,
    Spool,
    evaluate_history,
    open_spool,
    write_report,
)
from orchestrator.backtest.exports import (
    ExportReader,
    parse_exports,
    read_intake,
)
from orchestrator.backtest.inputs import (
    ContractPlan,
    EventRow,
    RowCounts,
    TouchRow,
    merge_rows,
    read_contracts,
    read_events,
    read_policy,
    read_touches,
)
from orchestrator.backtest.suggest import suggest_terms
from orchestrator.cli.backtest.view import (
    input_remarks,
    print_inputs,
    print_report,
    print_settled,
)
from orchestrator.cli.options import Json, progress_writer, server_folder
from orchestrator.cli.output import Progress
from orchestrator.core.common.errors import InputError, shown
from orchestrator.core.common.units import parse_amount
from orchestrator.core.growth.report import GrowthReport, Remark, report_of
from orchestrator.core.surface.policy import MOTIONS, Policy

# The modules that draw charts or speak to a chain take seconds to import. Each use imports its own.

BAD_INPUT = 2
MAX_WINDOW_DAYS = 3_650
# A history of which so much was refused says nothing that could be relied on.
_FATAL = frozenset({"file-empty", "history-empty", "rows-refused"})

console = Console()
errors = Console(stderr=True)
Rows = Iterator[EventRow | TouchRow]


class _History(NamedTuple):
    """The files of a history. `open` reads them anew each time."""

    open: Callable[[RowCounts], tuple[Rows, ExportReader | None]]


def backtest(
    policy: Annotated[Path, typer.Option(help="The surface's policy (YAML).")],
    events: Annotated[
        Path | None,
        typer.Option(help="Product events: time,lead,event,value; also order, ref, id (CSV)."),
    ] = None,
    exports: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="SOURCE=FILE",
            help="An export of segment, stripe, posthog or csv; may be repeated.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="How exports are read: a surface's settings, or their sources (YAML)."),
    ] = None,
    touches: Annotated[
        Path | None, typer.Option(help="Touches: time,lead,operator,action; also id (CSV).")
    ] = None,
    contracts: Annotated[
        Path | None, typer.Option(help="The contracts in opening order (YAML).")
    ] = None,
    suggest: Annotated[
        str | None,
        typer.Option(metavar="MOTION", help="Suggest a price for outcomes of this motion."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="The budget to suggest a price for.")
    ] = None,
    window_days: Annotated[
        int, typer.Option(min=1, max=MAX_WINDOW_DAYS, help="The window that --suggest counts by.")
    ] = 7,
    output: Annotated[
        Path | None, typer.Option(help="Write the JSON document to this file instead of stdout.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with charts and tables to this file.")
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="Run it through a real log, chain and escrow as well.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Compute what contracts would have paid on a history, and what came without them."""
    rules = read_policy(policy)
    plans = [] if contracts is None else read_contracts(contracts, rules)
    budget_units = _suggested_budget(suggest, budget)
    history = _history(events, exports or [], mapping, touches)
    if settle:
        from orchestrator.backtest import on_chain

        on_chain.check_plans(plans)
    with open_spool() as spool:
        counts = RowCounts()
        rows, reader = history.open(counts)
        report = evaluate_history(rows, rules, plans, spool, counts)
        _print_counts(counts)
        growth = _growth(report, rules, reader)
        suggestions = []
        if suggest is not None:
            suggestions = suggest_terms(
                lambda: history.open(RowCounts())[0], rules, suggest, budget_units, window_days
            )
        if settle:
            _settle_on_chain(report, spool, lambda: history.open(RowCounts())[0], rules, plans)
        if output is not None or json_out:
            further: dict[str, object] = {"report": growth.to_json()}
            if reader is not None:
                further["inputs"] = [one.to_json() for one in reader.counts]
            if suggestions:
                further["suggestions"] = [one.to_json() for one in suggestions]
            with _open_output(output) as file:
                write_report(report, spool.lines(), file, further)
        if html is not None:
            from orchestrator.cli.backtest.page import write_page

            with _open_output(html) as file:
                write_page(growth, report, reader, suggestions, file)
        if not json_out:
            if reader is not None:
                print_inputs(reader, console)
            print_report(report, growth, reader, suggestions, console)
    if any(remark.code in _FATAL for remark in growth.remarks):
        raise typer.Exit(BAD_INPUT)


def _suggested_budget(suggest: str | None, budget: str | None) -> int:
    if (suggest is None) != (budget is None):
        raise InputError("budget-alone", "give both --suggest and --budget, or neither")
    if suggest is not None and suggest not in MOTIONS:
        raise InputError(
            "motion-unknown", f"--suggest must be one of {', '.join(MOTIONS)}, not {shown(suggest)}"
        )
    try:
        return parse_amount(budget or "0")
    except ValueError as error:
        raise InputError("amount-invalid", f"--budget {error}") from None


def _history(
    events: Path | None, exports: Sequence[str], mapping: Path | None, touches: Path | None
) -> _History:
    """Return the history of these options. Raises InputError if they name none, or no mapping."""
    found = parse_exports(exports)
    if events is None and not found:
        raise InputError("history-missing", "give --events, or --from with an export")
    if bool(found) != (mapping is not None):
        raise InputError(
            "mapping-missing",
            "give both --from and --mapping, or neither: the mapping says which of an export's "
            "events is which of the policy's",
        )
    intake = None if mapping is None else read_intake(mapping)

    def open_files(counts: RowCounts) -> tuple[Rows, ExportReader | None]:
        parts: list[Rows] = []
        if touches is not None:
            parts.append(read_touches(touches, counts))
        reader = None
        exported: list[Rows] = []
        if intake is not None:
            reader = ExportReader(found, intake, _begin_progress("rows read"))
            exported.append(reader.rows())
        if events is not None:
            place_of = reader.place_of_id if reader is not None else lambda _: ""
            parts.append(read_events(events, counts, place_of))
        parts += exported
        return told_rows(merge_rows(*parts), _begin_progress), reader

    return _History(open_files)


def told_rows(rows: Rows, begin: Callable[[str], Progress]) -> Rows:
    """Yield rows, and tell how many of them have been evaluated."""
    tell: Progress | None = None
    for number, row in enumerate(rows, 1):
        # Its time begins when the first is there: exports are read and sorted before.
        tell = tell or begin("rows evaluated")
        yield row
        tell(number)


def _begin_progress(what: str) -> Progress:
    return Progress(what, asked=True)


def _growth(report: Report, policy: Policy, reader: ExportReader | None) -> GrowthReport:
    remarks: list[Remark] = [] if reader is None else input_remarks(reader, policy)
    if report.seen is None:
        raise InputError("history-unseen", "this history was not observed")
    return report_of(report.seen, policy, report.contracts, report.operators, remarks)


def _print_counts(counts: RowCounts) -> None:
    """Say on stderr which rows a history told twice."""
    if counts.equal:
        errors.print(
            f"rows that equal one before them, and were counted: {counts.equal}; if they were "
            f"exported twice, add a column `id`: rows of one id count once",
            soft_wrap=True,
        )
    if counts.repeated:
        errors.print(
            f"rows that equal one with their id, and were left out: {counts.repeated}",
            soft_wrap=True,
        )


def _settle_on_chain(
    report: Report,
    outcomes: Spool,
    open_rows: Callable[[], Rows],
    policy: Policy,
    plans: list[ContractPlan],
) -> None:
    """Run the same history on a real chain, and compare the result with the evaluated one."""
    from orchestrator.backtest.on_chain import OnChainBacktest, chain_start_ms, check_equal
    from orchestrator.runtime.settings import read_settings
    from orchestrator.simulation.sandbox import Sandbox, SandboxOptions

    first = next(open_rows(), None)
    settings = read_settings(os.environ)
    with server_folder() as folder, open_spool() as settled_outcomes:
        options = SandboxOptions(
            folder,
            chain_start_ms(plans, first.time_ns if first else None),
            "backtest.tallystick",
            databases=settings.databases,
            rpc_url=settings.rpc_url,
        )
        with Sandbox(options, progress_writer()) as sandbox:
            run = OnChainBacktest(sandbox, policy, plans)
            settled = run.run(open_rows(), settled_outcomes)
        check_equal(report, settled, outcomes.lines(), settled_outcomes.lines())
    print_settled(run.overpaid_units, errors)


@contextmanager
def _open_output(output: Path | None) -> Iterator[IO[str]]:
    """Open stdout, or a file that appears under its name only when it is complete."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        if output.exists() and not output.is_file():
            raise InputError("file-unwritable", f"{output}: is there and is no file")
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=output.parent, prefix=f".{output.name}.", delete=False
        ) as file:
            try:
                yield file
                file.close()
                Path(file.name).replace(output)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise InputError("file-unwritable", f"{output}: {error.strerror}") from None
