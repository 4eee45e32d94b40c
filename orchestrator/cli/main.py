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
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.backtest import evaluate as backtests
from orchestrator.backtest import inputs as history
from orchestrator.cli import contract as commands
from orchestrator.cli.replay_view import comparison, show_comparison
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
from orchestrator.core.policy import Policy
from orchestrator.core.units import format_amount
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.files import read_bytes
from orchestrator.verify.receipt_check import check_receipt, receipt_chain

# What speaks to a chain or serves HTTP takes seconds to import; each command imports its own, so
# that a backtest does not wait for them.

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
    settle: Annotated[
        bool, typer.Option("--settle", help="Run it through a real log, chain and escrow as well.")
    ] = False,
    json_out: JsonFlag = False,
) -> None:
    """What would these contracts have paid on this history?"""
    rules = history.read_policy(policy)
    plans = history.read_contracts(contracts, rules)
    if settle:
        from orchestrator.backtest import on_chain as settled

        settled.check_plans(plans)
    with backtests.spool() as spool:
        report = backtests.run(history.rows(events, touches), rules, plans, spool)
        if settle:
            _settle(report, spool, (events, touches), rules, plans)
        if output is not None or json_out:
            with _destination(output) as file:
                backtests.write_report(report, spool.lines(), file)
        if not json_out:
            _show_report(report)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the servers up until interrupted.")
    ] = False,
    json_out: JsonFlag = False,
) -> None:
    """Live eighteen months of a real market: real log, real chain, real HTTP, real payouts."""
    from orchestrator.cli import demo_view as stories
    from orchestrator.simulation.demo import Demo

    settings = read_settings(os.environ)
    with _scratch() as folder:
        say = _progress()
        with Demo(folder, say, rpc_url=settings.rpc_url, database_url=settings.database_url) as run:
            story = run.run()
            if json_out:
                typer.echo(json.dumps(stories.document(story)))
            else:
                stories.show(story, console)
            if keep:
                console.print(stories.how_to_use(story), markup=False, soft_wrap=True)
                _until_interrupted()


@app.command()
def serve(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only this part: api, sequencer or pipeline. May be repeated."),
    ] = None,
    json_out: JsonFlag = False,
) -> None:
    """Run a deployment: database and chain if they are local, API, sequencer and pipeline."""
    from orchestrator.runtime import serve as services

    settings = read_settings(os.environ)
    parts = tuple(only) if only else tuple(services.PARTS)
    for part in parts:
        if part not in services.PARTS:
            raise InputError(
                "part-unknown", f"{part!r} is no part; there are {', '.join(services.PARTS)}"
            )
    say = _progress(as_json=json_out)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with services.open_deployment(settings, parts, say) as stack:
        services.run_parts(stack, settings, parts, stop, say)
    say("stopped")


@app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt (JSON, format 1).")],
    rpc: Annotated[
        str | None, typer.Option(help="A node, to compare with what the chain holds.")
    ] = None,
    json_out: JsonFlag = False,
) -> None:
    """Check a receipt: proofs, story, and with --rpc the anchor, the terms and the payout."""

    document = _read_json(receipt)
    chain = receipt_chain(document, rpc) if rpc else None
    try:
        shown = check_receipt(document, chain)
    finally:
        if chain is not None:
            chain.close()
    if json_out:
        typer.echo(json.dumps({"valid": True, "on_chain": chain is not None, "shown": shown}))
        return
    for line in shown:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print("the receipt holds", style="green")


@app.command()
def replay(
    url: Annotated[str, typer.Option(help="The API of the log to replay.")],
    rpc: Annotated[str, typer.Option(help="A node of the chain that it is anchored on.")],
    json_out: JsonFlag = False,
) -> None:
    """Judge a public log from its first entry, and compare payouts with the chain."""
    from orchestrator.client.http import Client
    from orchestrator.verify import comparison as checks

    with Client(url) as client:
        chain, log_id = checks.connect(client, rpc)
        try:
            found = checks.replay(client, chain, log_id)
        finally:
            chain.close()
    if json_out:
        typer.echo(json.dumps(comparison(found)))
    else:
        show_comparison(found, console)


@app.command()
def doctor(json_out: JsonFlag = False) -> None:
    """What is installed, reachable and in agreement; what to do about what is not."""
    from orchestrator.runtime import doctor as doctors

    findings = doctors.examine(lambda: read_settings(os.environ))
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
        _complain(error.message)
        sys.exit(_exit_code(error))
    except OSError as error:
        _complain(f"{error.filename or 'the system says'}: {error.strerror or error}")
        # What stdout would not take is still in its buffer and must not fail again at exit.
        sys.stdout = io.StringIO()
        sys.exit(MISSING)


for command in commands.ALL:
    app.command()(command)
app.add_typer(commands.jobs)


@app.callback()
def tallystick() -> None:
    """Pays autonomous agents for outcomes that a log can prove."""


def _settle(
    report: backtests.Report,
    lines: backtests.Spool,
    files: tuple[Path, Path],
    policy: Policy,
    plans: list[history.ContractPlan],
) -> None:
    """Run the same history for real, and hold the result against the pure one."""
    from orchestrator.backtest import on_chain as settled
    from orchestrator.simulation.sandbox import Sandbox, SandboxOptions

    first = next(iter(history.rows(*files)), None)
    start_ms = settled.start_ms(plans, first.time_ns if first else None)
    settings = read_settings(os.environ)
    with _scratch() as folder, backtests.spool() as spool:
        plan = SandboxOptions(
            folder,
            start_ms,
            "backtest.tallystick",
            database_url=settings.database_url,
            rpc_url=settings.rpc_url,
        )
        with Sandbox(plan, _progress()) as scene:
            run = settled.SettledRun(scene, policy, plans)
            found = run.run(history.rows(*files), spool)
        settled.check_equal(report, found, lines.lines(), spool.lines())
    errors.print("settled on a real chain: log, escrow and wallets give the same numbers")
    for name, units in run.overpaid_units.items():
        errors.print(
            f"contract {name!r} has paid {format_amount(units)} more than is payable: more "
            f"was reversed than was held back"
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for servers of our own, which run as another user where we are root."""
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _progress(*, as_json: bool = False) -> Callable[[str], None]:
    """Says what is being done, on stderr, with the seconds since the start."""
    started = time.monotonic()

    def say(what: str) -> None:
        elapsed_s = time.monotonic() - started
        if as_json:
            typer.echo(json.dumps({"elapsed_ms": int(elapsed_s * 1000), "said": what}))
        else:
            errors.print(f"[dim]{elapsed_s:6.1f}s[/]  ", end="")
            errors.print(what, markup=False, highlight=False, soft_wrap=True)

    return say


def _until_interrupted() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def _read_json(path: Path) -> object:
    data = read_bytes(path, MAX_RECEIPT_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InputError("json-invalid", f"{path}: is not readable as JSON") from None


def _complain(message: str) -> None:
    line = " ".join(f"tallystick: {message}".splitlines())
    # Servers and nodes have a say in messages, and none in what the terminal does.
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    errors.print(Text(line, style="red"), soft_wrap=True)


def _exit_code(error: DomainError) -> int:
    match error:
        case ChainError(code="rpc-url-malformed"):
            return BAD_INPUT
        case ProofError() | ReplayError():
            return FALSE_CLAIM
        case EscrowError():
            return commands.NOTHING_DONE
        case ChainError() | LocalError() | LogError() | ServerError():
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
            format_amount(contract.earned_units),
            format_amount(contract.over_units),
            format_amount(contract.payable_units),
        )
    console.print(table)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.verdicts().items())
    console.print(f"events: {counts}")
