"""`tallystick fsck` and `tallystick restore`."""

import json
import os
from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli.options import Json
from orchestrator.cli.output import Progress, printable

FALSE_CLAIM = 1


def reporter(
    begin: Callable[[str], Progress] = lambda what: Progress(what, asked=True),
) -> Callable[[str, int], None]:
    """Return what tells of each step how far it is; a step begins where it is first told."""
    steps: dict[str, Progress] = {}

    def report(what: str, size: int) -> None:
        if what not in steps:
            steps[what] = begin(f"entries {what}")
        steps[what](size)

    return report


def fsck(json_out: Json = False) -> None:
    """Check the stored log: entries, tree, projections, cursors, and what the chain holds.

    Exit code 0: nothing is wrong; 1: something is, a line for each.
    """
    from orchestrator.runtime.recovery.tools import check_deployment
    from orchestrator.runtime.settings import read_settings

    size, found = check_deployment(read_settings(os.environ), reporter())
    if json_out:
        typer.echo(json.dumps({"size": size, "findings": [one._asdict() for one in found]}))
    else:
        for one in found:
            # What was altered in a database may hold anything.
            typer.echo(printable(f"{one.code}: {one.message}"))
        typer.echo(f"{size} entries, {len(found)} findings")
    if found:
        raise typer.Exit(FALSE_CLAIM)


def restore(
    source: Annotated[
        str, typer.Option("--source", help="A server of the log, or a folder with a saved one.")
    ],
    json_out: Json = False,
) -> None:
    """Bring an empty or an older database forward to a public log. Stop all parts before."""
    from orchestrator.runtime.recovery.restore import LOST
    from orchestrator.runtime.recovery.tools import restore_deployment
    from orchestrator.runtime.settings import read_settings

    report = reporter()
    done = restore_deployment(read_settings(os.environ), source, report)
    if json_out:
        typer.echo(json.dumps({**done._asdict(), "lost": list(LOST)}))
        return
    typer.echo(f"from {done.before} to {done.size} entries; {done.refused} requests refused")
    typer.echo("what the database had not got, and no public log has, cannot come back:")
    for line in LOST:
        typer.echo(f"  {line}")
