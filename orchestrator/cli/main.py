"""The `tallystick` command.

Exit codes: 0 done; 1 a claim was checked and is false; 2 bad input, nothing was done; 3 something
that the command needs (a node, a database, a program) is missing or is not what it should be;
4 nothing was done, for there is nothing to do, or not at this time, or the person said no.
"""

import io
import json
import os
import signal
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.cli.accounts.connect import connect
from orchestrator.cli.accounts.keys import keys
from orchestrator.cli.backtest.command import backtest
from orchestrator.cli.contract import add_contract_commands
from orchestrator.cli.deals.accept import accept
from orchestrator.cli.deals.draft import draft
from orchestrator.cli.integrations import feedback, jobs
from orchestrator.cli.options import NOTHING_DONE, Json, progress_writer, server_folder
from orchestrator.cli.recovery.commands import fsck, restore
from orchestrator.cli.sandbox.command import sandbox
from orchestrator.cli.status.command import status
from orchestrator.cli.why.command import why
from orchestrator.core.errors import (
    ChainError,
    DomainError,
    EscrowError,
    InputError,
    LocalError,
    LogError,
    ProofError,
    ReplayError,
    ServerError,
)
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.files import read_bytes

# The modules that speak to a chain or serve HTTP take seconds to import. Each command imports its
# own, so that a backtest does not wait for them.

OK, FALSE_CLAIM, BAD_INPUT, MISSING = 0, 1, 2, 3
MAX_RECEIPT_BYTES = 1_048_576

app = typer.Typer(
    name="tallystick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the servers up until interrupted.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell of each transaction, dispute and level.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Live eighteen months of a real market: real log, real chain, real HTTP, real payouts."""
    from orchestrator.cli import demo_view
    from orchestrator.simulation.demo import Demo

    settings = read_settings(os.environ)
    rpc_url, databases = settings.rpc_url, settings.databases
    with (
        server_folder() as folder,
        Demo(folder, progress_writer(), rpc_url=rpc_url, databases=databases) as run,
    ):
        report = run.run()
        if json_out:
            typer.echo(json.dumps(demo_view.report_to_json(report)))
        else:
            demo_view.print_report(report, console, is_verbose=verbose)
        if keep:
            console.print(demo_view.format_usage(report), markup=False, soft_wrap=True)
            _stop_on_signal().wait()


@app.command()
def serve(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only this part: api, sequencer or pipeline. May be repeated."),
    ] = None,
    json_out: Json = False,
) -> None:
    """Run a deployment: database and chain if they are local, API, sequencer and pipeline."""
    from orchestrator.runtime.health.journal import logger, open_journal
    from orchestrator.runtime.serve import PARTS, open_deployment, run_parts

    settings = read_settings(os.environ)
    parts = tuple(only) if only else tuple(PARTS)
    for part in parts:
        if part not in PARTS:
            raise InputError("part-unknown", f"{part!r} is no part; there are {', '.join(PARTS)}")
    open_journal(as_json=json_out)
    # Before the servers start, so that a signal while they do stops them in order.
    stop = _stop_on_signal()
    with open_deployment(settings, parts, logger.info) as deployment:
        run_parts(deployment, settings, parts, stop)
    logger.info("stopped")


@app.command()
def migrate(json_out: Json = False) -> None:
    """Prepare the database, as the owner of its schema: tables, logins, and the site's log."""
    from orchestrator.runtime.migration import migrate_deployment

    write_progress = progress_writer(as_json=json_out)
    migrate_deployment(read_settings(os.environ), write_progress)
    write_progress("the database is ready")


@app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt (JSON, format 1).")],
    rpc: Annotated[
        str | None, typer.Option(help="A node, to compare with what the chain holds.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Check a receipt: proofs, story, and with --rpc the anchor, the terms and the payout."""
    from orchestrator.verify.receipt_check import check_receipt, receipt_chain

    document = _read_json(receipt)
    with receipt_chain(document, rpc) if rpc else nullcontext() as chain:
        lines = check_receipt(document, chain)
    if json_out:
        typer.echo(json.dumps({"valid": True, "on_chain": chain is not None, "shown": lines}))
        return
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print("the receipt holds", style="green")


@app.command()
def replay(
    url: Annotated[str, typer.Option(help="The API of the log to replay.")],
    rpc: Annotated[str, typer.Option(help="A node of the chain that it is anchored on.")],
    save: Annotated[
        Path | None, typer.Option(help="A folder to save the public log in, to restore from.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Judge a public log from its first entry, and compare payouts with the chain."""
    from orchestrator.cli.replay_view import comparison_to_json, print_comparison
    from orchestrator.client.http import Client
    from orchestrator.verify import comparison
    from orchestrator.verify.saved_log import save_log

    with Client(url) as client:
        chain, log_id = comparison.connect(client, rpc)
        with chain:
            result = comparison.replay(client, chain, log_id)
        if save is not None:
            save_log(client, save)
    if json_out:
        typer.echo(json.dumps(comparison_to_json(result)))
    else:
        print_comparison(result, console)


@app.command(help="What is installed, reachable and in agreement; what to do about what is not.")
def doctor(json_out: Json = False) -> None:
    """Examine the installation and what the settings name, and print a finding for each."""
    from orchestrator.runtime.doctor import examine

    findings = examine(lambda: read_settings(os.environ))
    if json_out:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]no[/]"
            console.print(f"{mark}  {finding.what}: ", end="")
            console.print(finding.detail, markup=False, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(MISSING)


def main() -> None:
    """Run the command; every error is one line on stderr and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except DomainError as error:
        _print_error(error.message)
        sys.exit(_exit_code(error))
    except OSError as error:
        _print_error(f"{error.filename or 'the system says'}: {error.strerror or error}")
        # What stdout would not take is still in its buffer and must not fail again at exit.
        sys.stdout = io.StringIO()
        sys.exit(MISSING)


app.command()(backtest)
app.command()(why)
app.command()(status)
app.command()(sandbox)
app.command()(fsck)
app.command()(restore)
add_contract_commands(app)
app.add_typer(keys)
app.add_typer(connect)
app.command()(draft)
app.command()(accept)
app.command()(feedback)
app.add_typer(jobs)


@app.callback()
def tallystick() -> None:
    """Pays autonomous agents for outcomes that a log can prove."""


def _stop_on_signal() -> threading.Event:
    """Return an event that the signals to interrupt and to terminate set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _read_json(path: Path) -> object:
    data = read_bytes(path, MAX_RECEIPT_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InputError("json-invalid", f"{path}: is not readable as JSON") from None


def _print_error(message: str) -> None:
    line = " ".join(f"tallystick: {message}".splitlines())
    # Servers and nodes write parts of messages; their control characters must not reach a terminal.
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    errors.print(Text(line, style="red"), soft_wrap=True)


def _exit_code(error: DomainError) -> int:
    match error:
        case ChainError(code="rpc-url-malformed"):
            return BAD_INPUT
        case ProofError() | ReplayError():
            return FALSE_CLAIM
        case EscrowError():
            return NOTHING_DONE
        case ChainError() | LocalError() | LogError() | ServerError():
            return MISSING
        case _:
            return BAD_INPUT
