"""The `tallystick` command.

Exit codes: 0 done; 1 a claim was checked and is false; 2 bad input, nothing was done; 3 something
that the command needs (a node, a database, a program) is missing or is not what it should be;
4 nothing was done, for there is nothing to do, or not at this time, or the person said no;
5 nothing is false, and the chain does not show it yet; 130 interrupted.
"""

import io
import json
import os
import sys
from functools import cache
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

# Typer has its own Click, and no other name for it.
from typer._click import Command
from typer._click.exceptions import ClickException
from typer.main import get_command
from typer.models import CommandInfo, TyperInfo

from orchestrator.cli.accounts.connect import connect
from orchestrator.cli.accounts.keys import keys
from orchestrator.cli.backtest.command import backtest
from orchestrator.cli.checks.command import add_check_commands
from orchestrator.cli.contract import add_contract_commands
from orchestrator.cli.deals.accept import accept
from orchestrator.cli.deals.draft import draft
from orchestrator.cli.deals.splits import splits
from orchestrator.cli.integrations import feedback, jobs
from orchestrator.cli.options import (
    NOTHING_DONE,
    Json,
    JsonLines,
    progress_writer,
    say_on_interrupt,
    server_folder,
    stop_on_signal,
)
from orchestrator.cli.output import DOCUMENTED, error_document, printable
from orchestrator.cli.recovery.commands import fsck, restore
from orchestrator.cli.sandbox.command import sandbox
from orchestrator.cli.status.command import status
from orchestrator.cli.why.command import why
from orchestrator.core.common.errors import (
    ChainError,
    DomainError,
    EscrowError,
    InputError,
    LocalError,
    LogError,
    PendingError,
    ProofError,
    ReplayError,
    ServerError,
)

# The modules that speak to a chain or a database or serve HTTP take seconds to import. Each command
# imports its own, so that a backtest does not wait for them; nor does any for what one alone needs.

# The help shows the commands under these headings, in this order.
PANELS = {
    "Try it": ("sandbox", "demo", "backtest"),
    "Agents": (
        *("connect", "draft", "why", "contract", "withdraw", "revoke"),
        *("feedback", "keys", "split", "job"),
    ),
    "Owners": ("accept", "release", "refund", "close"),
    "Check": ("verify", "receipt", "replay", "anchors", "card"),
    "Disputes": ("disprove", "claim", "refute", "prove-reversal", "dispute", "rule", "log"),
    "Run": ("serve", "migrate", "status", "doctor", "fsck", "restore"),
}

OK, FALSE_CLAIM, BAD_INPUT, MISSING, NOT_YET = 0, 1, 2, 3, 5

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
    from orchestrator.cli.demo import view as demo_view
    from orchestrator.runtime.settings import read_settings
    from orchestrator.simulation.demo import Demo

    settings = read_settings(os.environ)
    rpc_url, databases, progress = settings.rpc_url, settings.databases, progress_writer()
    stopping = "stopping the database and the chain…"
    say_on_interrupt(progress, stopping)
    with (
        server_folder() as folder,
        Demo(folder, progress, rpc_url=rpc_url, databases=databases) as run,
    ):
        report = run.run()
        if json_out:
            typer.echo(json.dumps(demo_view.report_to_json(report)))
        else:
            demo_view.print_report(report, console, is_verbose=verbose)
        if keep:
            # Beside the document, which is to stay the only thing on stdout.
            usage_to = errors if json_out else console
            usage_to.print(demo_view.format_usage(report), markup=False, soft_wrap=True)
            stop_on_signal(lambda _: None).wait()
        progress(stopping)


@app.command()
def serve(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Run only this part: api, registrar, sequencer, pipeline or webhooks. "
            "May be repeated."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Answer the API in so many processes, on one address.")
    ] = 1,
    json_out: JsonLines = False,
) -> None:
    """Run a deployment: database and chain if they are local, and all parts or those named."""
    from orchestrator.runtime.health.journal import logger, open_journal
    from orchestrator.runtime.processes.crew import MOST_PROCESSES
    from orchestrator.runtime.serve import Answering, open_deployment, run_parts
    from orchestrator.runtime.settings import read_settings
    from orchestrator.runtime.stack import PARTS

    settings = read_settings(os.environ)
    parts = tuple(only) if only else tuple(PARTS)
    for part in parts:
        if part not in PARTS:
            raise InputError("part-unknown", f"{part!r} is no part; there are {', '.join(PARTS)}")
    if not 1 <= workers <= MOST_PROCESSES:
        raise InputError(
            "workers-range", f"--workers must be from 1 to {MOST_PROCESSES}, not {workers}"
        )
    if workers > 1 and "api" not in parts:
        raise InputError("workers-without-api", "--workers are of the API, which runs elsewhere")
    open_journal(as_json=json_out)
    # Before the servers start, so that a signal while they do stops them in order.
    stop = stop_on_signal(logger.info)
    with open_deployment(settings, parts, logger.info) as deployment:
        run_parts(deployment, settings, parts, stop, answering=Answering(workers, json_out))
    logger.info("stopped")


@app.command()
def migrate(json_out: JsonLines = False) -> None:
    """Prepare the database, as the owner of its schema: tables, logins, and the site's log."""
    from orchestrator.runtime.migration import migrate_deployment
    from orchestrator.runtime.settings import read_settings

    write_progress = progress_writer(as_json=json_out)
    migrate_deployment(read_settings(os.environ), write_progress)
    write_progress("the database is ready")


@app.command(help="What is installed, reachable and in agreement; what to do about what is not.")
def doctor(json_out: Json = False) -> None:
    """Examine the installation and what the settings name, and print a result for each."""
    from orchestrator.runtime.doctor import examine
    from orchestrator.runtime.settings import read_settings

    results = examine(lambda: read_settings(os.environ))
    if json_out:
        typer.echo(json.dumps([result._asdict() for result in results]))
    else:
        for result in results:
            mark = "[green]ok[/]" if result.ok else "[red]no[/]"
            console.print(f"{mark}  {result.what}: ", end="")
            console.print(printable(result.detail), markup=False, soft_wrap=True)
    if not all(result.ok for result in results):
        raise typer.Exit(MISSING)


@cache
def _command() -> Command:
    """Return the command, for which the signatures of all commands are read."""
    return get_command(app)


def main() -> None:
    """Run the command; every error is one line on stderr and an exit code.

    With `--json` an error is a document on stdout as well, unless the command has printed its own.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _command()(args=_arguments(), prog_name="tallystick", standalone_mode=False)
    except DomainError as error:
        code = _tell(error)
    except typer.Abort:
        _print_error("interrupted")
        code = NOTHING_DONE
        _print_document("interrupted", "interrupted", code)
    except ClickException as error:
        from typer.rich_utils import rich_format_error

        rich_format_error(error)
        code = error.exit_code
        _print_document("usage", error.format_message(), code)
    except OSError as error:
        message = f"{error.filename or 'the system says'}: {error.strerror or error}"
        _print_error(message)
        # What stdout would not take is still in its buffer and must not fail again at exit.
        failed, sys.stdout = sys.stdout, io.StringIO()
        if error.filename is not None:
            sys.stdout = failed
            _print_document("file", message, MISSING)
        code = MISSING
    except Exception as error:
        # Only now, since that takes as long to import as many a command runs.
        from orchestrator.storage.database import DatabaseError, refusal_of

        if not isinstance(error, DatabaseError):
            raise
        code = _tell(refusal_of(error))
    sys.exit(code or OK)


def _tell(error: DomainError) -> int:
    """Print an error, and its document if its command has not; return its exit code."""
    _print_error(error.message)
    code = _exit_code(error)
    if DOCUMENTED not in getattr(error, "__notes__", ()):
        _print_document(error.code, error.message, code)
    return code


app.command()(backtest)
app.command()(why)
app.command()(status)
app.command()(sandbox)
app.command()(fsck)
app.command()(restore)
add_check_commands(app)
add_contract_commands(app)
app.add_typer(keys)
app.add_typer(connect)
app.command()(draft)
app.command()(accept)
app.command()(feedback)
app.add_typer(jobs)
app.add_typer(splits)


def _arrange() -> None:
    """Put each command under its heading, in the order of the headings."""
    places = {name: (title, at) for title, names in PANELS.items() for at, name in enumerate(names)}
    titles = [*PANELS]
    found: list[CommandInfo | TyperInfo] = [*app.registered_commands, *app.registered_groups]
    for one in found:
        one.rich_help_panel = places[_name_of(one)][0]

    def place(one: CommandInfo | TyperInfo) -> tuple[int, int]:
        title, at = places[_name_of(one)]
        return titles.index(title), at

    app.registered_commands.sort(key=place)
    app.registered_groups.sort(key=place)


def _name_of(one: CommandInfo | TyperInfo) -> str:
    if isinstance(one, TyperInfo):
        return str(one.typer_instance.info.name if one.typer_instance else one.name)
    return one.name or str(one.callback and one.callback.__name__).replace("_", "-")


_arrange()


def _arguments() -> list[str]:
    """Return the arguments that we were called with; `help` asks for the help of what follows."""
    match sys.argv[1:]:
        case ["help", *named]:
            return [*named, "--help"]
        case arguments:
            return arguments


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tallystick {version('tallystick')}")
        raise typer.Exit


@app.callback()
def tallystick(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the version, and nothing else.",
        ),
    ] = False,
) -> None:
    """Pays autonomous agents for outcomes that a log can prove."""


def _print_error(message: str) -> None:
    line = printable(" ".join(f"tallystick: {message}".splitlines()))
    errors.print(Text(line, style="red"), soft_wrap=True)


def _print_document(code: str, message: str, exit_code: int) -> None:
    """Print the document of an error where the command was asked for one."""
    if "--json" in sys.argv[1:]:
        typer.echo(json.dumps(error_document(code, message, exit_code)))


def _exit_code(error: DomainError) -> int:
    match error:
        case ChainError(code="rpc-url-malformed"):
            return BAD_INPUT
        case PendingError():
            return NOT_YET
        case ProofError() | ReplayError():
            return FALSE_CLAIM
        case EscrowError():
            return NOTHING_DONE
        case ChainError() | LocalError() | LogError() | ServerError():
            return MISSING
        case _:
            return BAD_INPUT
