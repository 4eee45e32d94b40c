"""`tallystick status`: how the service is that runs here, once or again and again."""

import json
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.cli.options import Json, Watch
from orchestrator.cli.output import printable
from orchestrator.cli.status.view import Line, lines_of
from orchestrator.core.common.errors import InputError, ServerError

if TYPE_CHECKING:
    from orchestrator.client.http import Client

UNWELL = 3
EVERY_S = 2.0


def status(
    metrics: Annotated[
        str | None, typer.Option(help="Where the service tells it; else TALLYSTICK_METRICS.")
    ] = None,
    watch: Watch = False,
    json_out: Json = False,
) -> None:
    """Show how the service is that runs here: each part, what waits, what is anchored."""
    from orchestrator.client.http import Client

    where = metrics or _own_url()
    console = Console()
    with Client(where) as client:
        if watch and console.is_terminal and not json_out:
            _watch(client, where, console)
            return
        try:
            found, lines = _look(client, where)
        except ServerError as error:
            if error.code != "server-unreachable":
                raise
            raise ServerError(
                error.code,
                f"nothing answers at {where}: is `tallystick serve` running? A sandbox has no "
                f"status",
            ) from None
    if json_out:
        typer.echo(json.dumps(found))
    else:
        _show(lines, console)
    if not all(part["is_well"] for part in found["parts"]):
        raise typer.Exit(UNWELL)


def _watch(client: "Client", where: str, console: Console) -> None:
    """Show it until interrupted; a service that is away is shown as such."""
    pause, is_over = threading.Event(), False
    try:
        while not is_over:
            try:
                _, lines = _look(client, where)
            except ServerError as error:
                lines = [(error.message, "red")]
            console.clear()
            _show(lines, console)
            is_over = pause.wait(EVERY_S)
    except KeyboardInterrupt:
        return


def _look(client: "Client", where: str) -> tuple[Any, list[Line]]:
    """Return what a service tells of itself, and its screen. Raises ServerError if it does not."""
    from orchestrator.client.log_server import reading

    found = client.get("/status")
    with reading(client, "how its parts are"):
        if not all(type(part["is_well"]) is bool for part in found["parts"]):
            raise TypeError(found)
        return found, list(lines_of(found, where))


def _show(lines: Iterable[Line], console: Console) -> None:
    for line, style in lines:
        console.print(Text(printable(line), style=style), soft_wrap=True)


def _own_url() -> str:
    from orchestrator.runtime.settings import read_settings

    address = read_settings(os.environ).metrics
    if address is None:
        raise InputError("metrics-off", "TALLYSTICK_METRICS is off: say with --metrics whom to ask")
    return f"http://{address.host}:{address.port}"
