"""The `tallystick` command.

Exit codes: 0 done; 1 a claim was checked and is false; 2 bad input, nothing was done; 3 something
that the command needs (a node, a database, a program) is missing or is not what it should be.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator import backtest as backtests
from orchestrator import history
from orchestrator.core.errors import (
    ChainError,
    DomainError,
    InputError,
    LogError,
    ProofError,
    ReplayError,
)

OK, FALSE_CLAIM, BAD_INPUT, MISSING = 0, 1, 2, 3

app = typer.Typer(
    name="tallystick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


@app.command()
def backtest(
    events: Annotated[Path, typer.Option(help="Product events: time,lead,event,value (CSV).")],
    touches: Annotated[Path, typer.Option(help="Touches: time,lead,operator,action (CSV).")],
    policy: Annotated[Path, typer.Option(help="The surface's policy (YAML).")],
    contracts: Annotated[Path, typer.Option(help="The contracts in opening order (YAML).")],
    output: Annotated[
        Path | None, typer.Option(help="Write the JSON document to this file instead of stdout.")
    ] = None,
    json_out: JsonFlag = False,
) -> None:
    """What would these contracts have paid on this history?"""
    rules = history.read_policy(policy)
    plans = history.read_contracts(contracts, rules)
    with backtests.spool() as spool:
        report = backtests.run(history.rows(events, touches), rules, plans, spool)
        if output is not None or json_out:
            with _destination(output) as file:
                backtests.write_report(report, spool.lines(), file)
        if not json_out:
            _show_report(report)


def main() -> None:
    """Run the command; every error is one line on stderr and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except DomainError as error:
        _complain(error.message)
        sys.exit(_exit_code(error))
    except OSError as error:
        _complain(f"{error.filename or 'the system says'}: {error.strerror or error}")
        # What stdout would not take is still in its buffer and must not fail again at exit.
        sys.stdout = io.StringIO()
        sys.exit(MISSING)


@app.callback()
def tallystick() -> None:
    """Pays autonomous agents for outcomes that a log can prove."""


def _complain(message: str) -> None:
    line = " ".join(f"tallystick: {message}".splitlines())
    errors.print(Text(line, style="red"), soft_wrap=True)


def _exit_code(error: DomainError) -> int:
    match error:
        case ProofError() | ReplayError():
            return FALSE_CLAIM
        case ChainError() | LogError():
            return MISSING
        case _:
            return BAD_INPUT


@contextmanager
def _destination(output: Path | None) -> Iterator[IO[str]]:
    """Stdout, or a file that appears under its name only when it is complete."""
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


def _show_report(report: backtests.Report) -> None:
    table = Table(title="What these contracts would have paid")
    for heading in ("contract", "outcomes", "reversed", "earned", "over budget", "payable"):
        side: Literal["left", "right"] = "left" if heading == "contract" else "right"
        table.add_column(heading, justify=side, overflow="fold")
    for name, contract in report.contracts.items():
        table.add_row(
            Text(name),
            str(contract.outcomes),
            str(contract.reversals),
            history.format_amount(contract.earned_units),
            history.format_amount(contract.over_units),
            history.format_amount(contract.payable_units),
        )
    console.print(table)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.verdicts().items())
    console.print(f"events: {counts}")
