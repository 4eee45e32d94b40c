"""The command that connects MCP clients on this machine to a service, for one wallet.

What the wallet signs by it is bound by these options, which no model sees or changes.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from orchestrator.cli.options import (
    NOTHING_DONE,
    Api,
    Json,
    KeyFile,
    Rpc,
    address_option,
    find_key_file,
)
from orchestrator.cli.output import printable
from orchestrator.core.account.mcp_setup import ClientSetup, client_setups
from orchestrator.core.account.scopes import ScopeSet
from orchestrator.core.common.errors import InputError, ServerError
from orchestrator.core.common.units import format_second, parse_percent_bps
from orchestrator.core.deals.mandate import ALWAYS, Mandate, Pins
from orchestrator.storage.local.files import read_key

# What speaks MCP takes seconds to import, so each command imports it itself.

connect = typer.Typer(
    name="connect",
    help="An MCP server on this machine for one wallet: agents read and act by it, and it signs.",
)

Role = Annotated[
    list[str] | None,
    typer.Option("--as", help="operator or owner; may be repeated. Else operator."),
]
Payee = Annotated[
    str | None, address_option(help_text="Who is paid by contracts; else the wallet.")
]
Outstanding = Annotated[
    str, typer.Option(metavar="TOKENS", help="The most of signed budgets that can be bound.")
]
ADay = Annotated[str, typer.Option(metavar="TOKENS", help="The most of budgets signed in a day.")]
Confirm = Annotated[
    str, typer.Option(help="What you confirm yourself: always, above=TOKENS or never.")
]
MostFee = Annotated[str, typer.Option(help="The highest fee that is signed.")]
WithdrawTo = Annotated[
    str | None, address_option(help_text="Where withdrawals go; else the wallet.")
]
Folder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of pins and of what was signed; else tallystick, with your settings."
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print what MCP clients need, and end.")
]


MOST_FEE = "5%"


class Setup(NamedTuple):
    """The options of one connection, as they were given."""

    url: str
    key_file: Path
    roles: Sequence[ScopeSet] = ("operator",)
    payee: str | None = None
    outstanding: str = "0"
    a_day: str = "0"
    confirm: str = ALWAYS
    most_fee: str = MOST_FEE
    rpc: str | None = None
    withdraw_to: str | None = None
    folder: Path | None = None

    def mandate(self, wallet: str) -> Mandate:
        """Return what these options let a wallet sign. Raises InputError."""
        try:
            most_fee_bps = parse_percent_bps(self.most_fee)
        except ValueError as error:
            raise InputError("percent-malformed", f"--most-fee {error}") from None
        payee = self.payee or wallet
        mandate = Mandate(wallet, payee, self.outstanding, self.a_day, self.confirm, most_fee_bps)
        mandate.check()
        return mandate

    def arguments(self) -> list[str]:
        """Return the arguments that mean the same in any folder."""
        named = {
            "--api": self.url,
            "--key-file": self.key_file.absolute(),
            "--outstanding": self.outstanding,
            "--a-day": self.a_day,
            "--confirm": self.confirm,
            "--most-fee": self.most_fee,
            "--payee": self.payee,
            "--rpc": self.rpc,
            "--withdraw-to": self.withdraw_to,
            "--folder": self.folder and self.folder.absolute(),
        }
        roles = [part for role in self.roles for part in ("--as", role)]
        told = [(name, str(value)) for name, value in named.items() if value is not None]
        return ["connect", *roles, *(part for pair in told for part in pair)]

    def clients(self) -> list[ClientSetup]:
        """Return what each of the usual MCP clients needs to start this command."""
        return client_setups(str(Path(sys.argv[0]).absolute()), self.arguments())


@connect.callback(invoke_without_command=True)
def serve_wallet(
    context: typer.Context,
    api: Api = None,
    key_file: KeyFile = None,
    role: Role = None,
    payee: Payee = None,
    outstanding: Outstanding = "0",
    a_day: ADay = "0",
    confirm: Confirm = ALWAYS,
    most_fee: MostFee = MOST_FEE,
    rpc: Rpc = None,
    withdraw_to: WithdrawTo = None,
    folder: Folder = None,
    print_config: PrintConfig = False,
    json_out: Json = False,
) -> None:
    """Serve an MCP client on stdin and stdout, for one wallet and within these ceilings."""
    from orchestrator.runtime.settings import read_settings

    if context.invoked_subcommand is not None:
        return
    settings, roles = read_settings(os.environ), _roles(role or ["operator"])
    key_path = find_key_file(key_file)
    node = rpc or settings.rpc_url
    url, rules = api or settings.public_url, (outstanding, a_day, confirm, most_fee)
    setup = Setup(url, key_path, roles, payee, *rules, node, withdraw_to, folder)
    if print_config:
        if not key_path.exists():
            _say(f"note: {key_path.absolute()} is not there yet; make it before a client starts")
        _print_config(setup, as_json=json_out)
    else:
        _serve(setup)


@connect.command("confirm")
def confirm_request(
    request: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A request; else those that wait are told.")
    ] = None,
    folder: Folder = None,
    json_out: Json = False,
) -> None:
    """Look at what a model asked to have signed, and confirm it or turn it down."""
    from orchestrator.connect.confirmations import Confirmations

    confirmations, now_s = Confirmations(config_folder(folder) / "waiting"), int(time.time())
    if request is None:
        _print_waiting(confirmations.waiting(now_s), as_json=json_out)
        return
    asked = confirmations.read(request, now_s)
    for line in (f"{asked.kind} by {asked.wallet}", *asked.lines):
        # What a service had a part in must not steer a terminal.
        typer.echo(printable(line), err=json_out)
    # A person answers at a terminal. It keeps out what pipes a yes into the command.
    if not sys.stdin.isatty():
        raise InputError("terminal-missing", "a request is confirmed by a person at a terminal")
    is_confirmed = typer.confirm("Confirm this?", err=json_out)
    (confirmations.confirm if is_confirmed else confirmations.drop)(asked)
    if json_out:
        typer.echo(json.dumps({"id": asked.id, "confirmed": is_confirmed}))
    if not is_confirmed:
        raise typer.Exit(NOTHING_DONE)


def config_folder(named: Path | None) -> Path:
    """Return the folder of pins and of what was signed, made if need be, closed to others."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folder = named or Path(base).expanduser() / "tallystick"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _serve(setup: Setup) -> None:
    import anyio

    from orchestrator.client.accounts import wallet
    from orchestrator.client.http import Client
    from orchestrator.connect.local_tools import LocalTools
    from orchestrator.connect.pins import pinned
    from orchestrator.connect.remote import RemoteServer
    from orchestrator.connect.server import serve
    from orchestrator.connect.signer import Signer

    account = wallet(read_key(setup.key_file))
    mandate, folder = setup.mandate(account.address), config_folder(setup.folder)
    with Client(setup.url) as stranger:
        pins = pinned(folder, setup.url, stranger)
    with RemoteServer(setup.url, account, "connect", pins.chain_id) as remote:
        remote.scopes = setup.roles
        vault = _vault(setup, pins, account)
        signer = Signer(remote, mandate, lambda: pinned(folder, setup.url, remote), folder, vault)
        anyio.run(serve, remote, LocalTools(signer))
        # A key that no process has any more is no use to its account.
        with suppress(ServerError):
            remote.sign_out()


def _vault(setup: Setup, pins: Pins, account: Any) -> Any:
    """Return the way to the account's credit; None without a node."""
    if setup.rpc is None:
        return None
    from orchestrator.connect.credit import open_vault

    to = setup.withdraw_to or account.address
    return open_vault(setup.rpc, pins, bytes(account.key), to, _say)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _roles(names: list[str]) -> list[ScopeSet]:
    roles: list[ScopeSet] = []
    for name in names:
        match name:
            case "operator" | "owner":
                roles.append(name)
            case _:
                raise InputError("role-unknown", f"{name!r} is neither operator nor owner")
    return roles


def _print_waiting(waiting: list[Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in waiting]))
        return
    if not waiting:
        typer.echo("nothing waits")
    for one in waiting:
        state = "confirmed" if one.is_confirmed else "waits"
        typer.echo(f"{one.id}  {one.kind}, asked {format_second(one.asked_s)}: {state}")


def _print_config(setup: Setup, *, as_json: bool) -> None:
    setups = setup.clients()
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in setups]))
        return
    for one in setups:
        typer.echo(f"{one.client} ({one.where}):\n{one.text}\n")
