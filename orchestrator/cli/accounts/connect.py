"""The command that connects MCP clients on this machine to a service, for one wallet.

What the wallet signs by it is bound by these options, which no model sees or changes.
"""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import NOTHING_DONE, Api, Json, KeyFile, address_option
from orchestrator.core.errors import InputError, ServerError
from orchestrator.core.mandate import ALWAYS, Mandate
from orchestrator.core.scopes import ScopeSet
from orchestrator.core.units import format_second, parse_percent_bps
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.files import read_key

# What speaks MCP takes seconds to import, so each command imports it itself.

connect = typer.Typer(
    name="connect",
    help="An MCP server on this machine for one wallet: agents read and act by it, and it signs.",
)

Folder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of pins and of what was signed; else tallystick, with your settings."
    ),
]


@connect.callback(invoke_without_command=True)
def serve_wallet(
    context: typer.Context,
    api: Api = None,
    key_file: KeyFile = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--as", help="operator or owner; may be repeated. Else operator."),
    ] = None,
    payee: Annotated[
        str | None, address_option(help_text="Who is paid by contracts; else the wallet.")
    ] = None,
    outstanding: Annotated[
        str, typer.Option(metavar="TOKENS", help="The most of signed budgets that can be bound.")
    ] = "0",
    a_day: Annotated[
        str, typer.Option(metavar="TOKENS", help="The most of budgets signed in a day.")
    ] = "0",
    confirm: Annotated[
        str, typer.Option(help="What you confirm yourself: always, above=TOKENS or never.")
    ] = ALWAYS,
    most_fee: Annotated[str, typer.Option(help="The highest fee that is signed.")] = "5%",
    rpc: Annotated[
        str | None, typer.Option(help="A node of the chain; only withdrawals need one.")
    ] = None,
    withdraw_to: Annotated[
        str | None, address_option(help_text="Where withdrawals go; else the wallet.")
    ] = None,
    folder: Folder = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print what MCP clients need, and end.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Serve an MCP client on stdin and stdout, for one wallet and within these ceilings."""
    if context.invoked_subcommand is not None:
        return
    settings = read_settings(os.environ)
    key_path, url = key_file or settings.key_file, api or settings.public_url
    if key_path is None:
        raise InputError("key-missing", "there is no wallet to sign in with: give --key-file")
    scopes = _roles(role or ["operator"])
    if print_config:
        told: dict[str, object] = {
            "--outstanding": outstanding,
            "--a-day": a_day,
            "--confirm": confirm,
        }
        told |= {"--payee": payee, "--rpc": rpc, "--withdraw-to": withdraw_to, "--folder": folder}
        _print_config(url, key_path, scopes, told, as_json=json_out)
        return
    from orchestrator.client.accounts import wallet

    key = read_key(key_path)
    account = wallet(key)
    mandate = Mandate(
        account.address,
        payee or account.address,
        outstanding,
        a_day,
        confirm,
        _bps("--most-fee", most_fee),
    )
    mandate.check()
    _serve(url, account, scopes, mandate, config_folder(folder), (rpc, withdraw_to))


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
        waiting = confirmations.waiting(now_s)
        if json_out:
            typer.echo(json.dumps([one._asdict() for one in waiting]))
            return
        for one in waiting:
            state = "confirmed" if one.is_confirmed else "waits"
            typer.echo(f"{one.id}  {one.kind}, asked {format_second(one.asked_s)}: {state}")
        return
    asked = confirmations.read(request, now_s)
    for line in (f"{asked.kind} by {asked.wallet}", *asked.lines):
        # What a service had a part in must not steer a terminal.
        typer.echo("".join(x if x.isprintable() else "?" for x in line), err=json_out)
    # A person answers at a terminal. It keeps out what pipes a yes into the command.
    if not sys.stdin.isatty():
        raise InputError("terminal-missing", "a request is confirmed by a person at a terminal")
    is_confirmed = typer.confirm("Confirm this?", err=json_out)
    if is_confirmed:
        confirmations.confirm(asked)
    else:
        confirmations.drop(asked)
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


def _serve(
    url: str,
    account: Any,
    scopes: list[ScopeSet],
    mandate: Mandate,
    folder: Path,
    withdrawing: tuple[str | None, str | None],
) -> None:
    import anyio

    from orchestrator.client.http import Client
    from orchestrator.connect.local_tools import LocalTools
    from orchestrator.connect.pins import pinned
    from orchestrator.connect.remote import RemoteServer
    from orchestrator.connect.server import serve
    from orchestrator.connect.signer import Signer

    with Client(url) as first:
        pins = pinned(folder, url, first)
    rpc, to = withdrawing
    vault = None
    if rpc is not None:
        from orchestrator.connect.credit import open_vault

        vault = open_vault(rpc, pins, bytes(account.key), to or mandate.wallet, _say)
    with RemoteServer(url, account, "connect", pins.chain_id) as remote:
        remote.scopes = scopes
        signer = Signer(remote, mandate, lambda: pinned(folder, url, remote), folder, vault)
        anyio.run(serve, remote, LocalTools(signer))
        # A key that no process has any more is no use to its account.
        with suppress(ServerError):
            remote.sign_out()


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


def _bps(name: str, text: str) -> int:
    try:
        return parse_percent_bps(text)
    except ValueError as error:
        raise InputError("percent-malformed", f"{name} {error}") from None


def _print_config(
    url: str, key_path: Path, scopes: list[ScopeSet], told: dict[str, object], *, as_json: bool
) -> None:
    from orchestrator.connect.clients import client_setups

    arguments = ["connect", "--api", url, "--key-file", str(key_path.absolute())]
    arguments += [part for role in scopes for part in ("--as", role)]
    arguments += [
        part for name, value in told.items() if value is not None for part in (name, str(value))
    ]
    setups = client_setups(str(Path(sys.argv[0]).absolute()), arguments)
    if as_json:
        typer.echo(json.dumps([setup._asdict() for setup in setups]))
        return
    for setup in setups:
        typer.echo(f"{setup.client} ({setup.where}):\n{setup.text}\n")
