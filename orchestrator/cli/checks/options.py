"""The options by which a reader says what it knows of a deployment, and who wants progress."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.arguments import parse_address, parse_word
from orchestrator.cli.options import Escrow, address_option, with_parameters
from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.files import read_text
from orchestrator.verify.pinned import Pinned, read_pinned

Trust = Annotated[
    Path | None,
    typer.Option(help="File with what you know of the deployment (JSON); see docs/checking.md."),
]
ChainId = Annotated[int | None, typer.Option(min=1, help="The id of the chain that must be named.")]
EventLog = Annotated[str | None, address_option(help_text="The event log that must be named.")]
LogId = Annotated[
    bytes | None,
    typer.Option(metavar="ID", parser=parse_word, help="The log's id that must be named."),
]
Origin = Annotated[str | None, typer.Option(help="The log's origin that must be named.")]
Verifier = Annotated[
    list[str] | None,
    address_option(help_text="The key that must verify statements; may be repeated."),
]
Publisher = Annotated[
    list[str] | None,
    address_option(help_text="The publisher of the log; may be repeated, for one that was before."),
]


def checking_command(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with its own parameters, and options that make its first, `pinned`."""
    own = [one for name, one in signature(command).parameters.items() if name != "pinned"]
    pins = signature(read_options).parameters

    @wraps(command)
    def run(**values: Any) -> None:
        pinned = read_options(**{name: values.pop(name) for name in pins})
        command(pinned, **values)

    return with_parameters(run, [*own, *pins.values()])


def read_options(
    trust: Trust = None,
    chain_id: ChainId = None,
    event_log: EventLog = None,
    escrow: Escrow = None,
    log_id: LogId = None,
    origin: Origin = None,
    verifier: Verifier = None,
    publisher: Publisher = None,
) -> Pinned:
    """Return the facts of these options, completed from the trust file.

    Raises InputError for a file that is none.
    """
    verifiers = tuple(parse_address(one) for one in verifier or ())
    publishers = tuple(parse_address(one) for one in publisher or ())
    named = Pinned(chain_id, event_log, escrow, log_id, origin, verifiers, publishers)
    return named if trust is None else named.completed(_read_file(trust))


def _read_file(path: Path) -> Pinned:
    try:
        return read_pinned(read_text(path))
    except (ValueError, RecursionError):
        raise InputError("trust-malformed", f"{path}: is not readable as JSON") from None
    except InputError as error:
        if error.code != "trust-malformed":
            raise
        raise InputError(error.code, f"{path}: {error.message}") from None
