"""The arguments and options that several commands share, and the frame of a command that signs.

Such a command looks at the contract, says in plain words what it would do and what that costs, and
only then asks to sign. It needs a node and a server of the log. Any server with the same entries
will do, since none can forge them; the one that runs the log may be the one that lies.
"""

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestrator.cli.arguments import parse_address, parse_contract_id
from orchestrator.cli.output import NO_KEY, error_document
from orchestrator.core.common.errors import InputError

if TYPE_CHECKING:
    from orchestrator.actions.contract_state import ContractState
    from orchestrator.actions.plan import Plan
    from orchestrator.chain.deployment import Chain
    from orchestrator.cli.session import CommandSession, Endpoints, RunOptions

# The modules that speak to a chain take seconds to import. Each function here imports its own, so
# that commands without a chain do not wait for them.

NOTHING_DONE = 4
_errors = Console(stderr=True)


def address_option(*names: str, help_text: str) -> Any:
    """Return an option that takes an address."""
    return typer.Option(*names, metavar="ADDRESS", parser=parse_address, help=help_text)


Id = Annotated[
    bytes,
    typer.Argument(
        metavar="ID", parser=parse_contract_id, help="The contract: 0x and 64 hex digits."
    ),
]
# Where a person names a surface; `orchestrator.client.log_server.find_surface` asks for its id.
BY_NAME = "A surface: its id, or its name if no other has it."
SurfaceName = Annotated[str, typer.Argument(metavar="SURFACE", help=BY_NAME)]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="In tokens, such as 12.50.")]
Api = Annotated[str | None, typer.Option(help="A server of the log; else TALLYSTICK_PUBLIC_URL.")]
Rpc = Annotated[str | None, typer.Option(help="A node of its chain; else TALLYSTICK_RPC_URL.")]
Escrow = Annotated[
    str | None,
    address_option(help_text="The escrow's address; else the one that is named."),
]
Lens = Annotated[
    str | None,
    address_option(help_text="The lens on that escrow; where it is named, so is this."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the hex key to sign with; else TALLYSTICK_KEY_FILE."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Sign and send without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Explain only; needs no key.")]
ShowProgress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", help="Say on stderr how far it is; else on a terminal."
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on until interrupted.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout; one document.")]
# Of a command that tells what it does as it goes on.
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON to stdout; a document a line.")]

# Runs a command; False if there was something to do and the person said no.
Action = Callable[["Endpoints", "RunOptions"], bool]
# Finds out, in a session, what can be done.
Planner = Callable[["CommandSession"], "Plan"]


def _common_options(
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    lens: Lens = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    progress: ShowProgress = None,
    json_out: Json = False,
) -> "tuple[Endpoints, RunOptions]":
    """Return the endpoints and run options that every signing command has."""
    from orchestrator.cli.session import RunOptions
    from orchestrator.runtime.settings import read_settings

    endpoints = find_endpoints(api, rpc, escrow, lens)
    key_file = key_file or read_settings(os.environ).key_file
    return endpoints, RunOptions(key_file, yes, dry_run, json_out, progress)


def find_endpoints(
    api: str | None, rpc: str | None, escrow: str | None, lens: str | None = None
) -> "Endpoints":
    """Return the endpoints of these options, completed from the settings.

    Raises InputError `rpc-missing` where neither names a node, `lens-alone` for an escrow without
    its lens or the other way round.
    """
    from orchestrator.cli.session import Endpoints
    from orchestrator.runtime.settings import read_settings

    settings = read_settings(os.environ)
    rpc_url = rpc or settings.rpc_url
    if rpc_url is None:
        raise InputError("rpc-missing", "name a node: give --rpc, or set TALLYSTICK_RPC_URL")
    if (escrow is None) != (lens is None):
        raise InputError("lens-alone", "give both --escrow and --lens, or neither")
    return Endpoints(rpc_url, api or settings.public_url, escrow, lens)


def find_key_file(key_file: Path | None) -> Path:
    """Return the file of the key that this option names, or else the settings.

    Raises InputError `key-missing` where neither does.
    """
    from orchestrator.runtime.settings import read_settings

    found = key_file or read_settings(os.environ).key_file
    if found is None:
        raise InputError("key-missing", NO_KEY)
    return found


def signing_command(command: Callable[..., Action]) -> Callable[..., None]:
    """Return a command with these parameters and the common options, which runs its action.

    It ends with exit code `NOTHING_DONE` if the action does nothing.
    """
    own = signature(command).parameters

    @wraps(command)
    def run(**values: Any) -> None:
        own_values = {name: values.pop(name) for name in own}
        # First what all commands need, then what this one finds wrong with its own arguments.
        common = _common_options(**values)
        if not command(**own_values)(*common):
            if common[1].as_json:
                typer.echo(json.dumps(error_document("declined", "you said no", NOTHING_DONE)))
            raise typer.Exit(NOTHING_DONE)

    return with_parameters(run, [*own.values(), *signature(_common_options).parameters.values()])


def with_parameters(
    run: Callable[..., None], parameters: Iterable[Parameter]
) -> Callable[..., None]:
    """Return a command that takes these parameters: Typer builds the command line from them."""
    run.__signature__ = Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    run.__annotations__ = {}
    return run


def send_plan(make_plan: Planner) -> Action:
    """Return an action that explains the plan that `make_plan` makes, asks, and sends it."""

    def run(endpoints: "Endpoints", options: "RunOptions") -> bool:
        from orchestrator.cli.session import execute_plan

        return execute_plan(endpoints, options, make_plan)

    return run


def plan_for(contract_id: bytes, make_plan: "Callable[[Chain, ContractState], Plan]") -> Action:
    """Return an action that sends the plan for a contract, made of its newest state."""
    return send_plan(
        lambda session: make_plan(session.chain, session.read_contract(contract_id)),
    )


def stop_on_signal(say: Callable[[str], object]) -> threading.Event:
    """Return an event that the signals to interrupt and to terminate set, which is said at once."""
    stop = threading.Event()

    def end(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            # The signal may have come in the midst of a line, which this thread has to finish.
            threading.Thread(target=say, args=("stopping…",), daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return stop


def say_on_interrupt(say: Callable[[str], object], line: str) -> None:
    """Have a signal to interrupt say a line before it ends what is done now."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # No daemon: the line is said before the process ends, however soon that is.
        threading.Thread(target=say, args=(line,)).start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)


@contextmanager
def server_folder() -> Iterator[Path]:
    """Make a temporary folder for servers of our own, gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="tallystick-") as name:
        folder = Path(name)
        # Where we are root the servers run as another user, who must be able to enter.
        folder.chmod(0o755)
        yield folder


def progress_writer(*, as_json: bool = False) -> Callable[[str], None]:
    """Return what writes a line of progress on stderr, with the seconds since now.

    With `as_json` it writes a JSON document a line, on stdout.
    """
    started = time.monotonic()

    def write(line: str) -> None:
        elapsed_s = time.monotonic() - started
        if as_json:
            typer.echo(json.dumps({"elapsed_ms": int(elapsed_s * 1000), "said": line}))
        else:
            _errors.print(f"[dim]{elapsed_s:6.1f}s[/]  ", end="")
            _errors.print(line, markup=False, highlight=False, soft_wrap=True)

    return write
