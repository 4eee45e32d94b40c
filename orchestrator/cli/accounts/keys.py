"""The command that looks after the keys of a wallet's account at a server.

Each run signs in with the wallet. What `new` and `rotate` make is a delegate of that sign-in, whose
own key is thrown away unseen: it ends with the sign-in, after 30 days, or when either is revoked.
"""

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from orchestrator.cli.options import (
    BY_NAME,
    NOTHING_DONE,
    Api,
    Json,
    KeyFile,
    Yes,
    find_key_file,
)
from orchestrator.core.account.scopes import SCOPE_SETS, SCOPES, Scope, ScopeSet, scopes_of
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import format_ms
from orchestrator.storage.local.files import read_key

# The client of accounts takes a second to import, so each command imports it itself.

keys = typer.Typer(
    name="keys",
    no_args_is_help=True,
    help="The keys of a wallet's account at a server: its delegates, and its own.",
)

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="A key's id: 0x and 64 hex digits.")]


@keys.command("list")
def list_keys(
    api: Api = None, key_file: KeyFile = None, yes: Yes = False, json_out: Json = False
) -> None:
    """List the keys of the account, those that have ended too."""

    def run(session: "_KeySession") -> object:
        with session.signed_in(("owner:read",)) as client:
            found = client.keys()
            client.revoke("current")
        for line in [_line(client, key) for key in found]:
            session.printer.print_line(line)
        return {"keys": found}

    _run(api, key_file, yes, json_out, run)


@keys.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your own name of the key.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help=f"May be repeated. One of {', '.join(SCOPES)}, or a set of them: "
            f"{', '.join(SCOPE_SETS)}.",
        ),
    ],
    surface: Annotated[
        list[str] | None,
        typer.Option(help=BY_NAME),
    ] = None,
    api: Api = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    json_out: Json = False,
) -> None:
    """Make a delegate's key with these scopes, for all surfaces or these, and print it once."""

    def run(session: "_KeySession") -> object:
        from orchestrator.client.log_server import find_surface

        scopes = parse_scopes(scope)
        with session.signed_in(scopes) as client:
            here = [find_surface(client, each) for each in surface or ()]
            made = client.new_key(name, scopes, here or None)
        return session.shown(client, made)

    _run(api, key_file, yes, json_out, run)


@keys.command()
def rotate(
    key: KeyId,
    overlap: Annotated[
        int, typer.Option(help="Seconds that the old key still works.", min=0, max=604_800)
    ] = 3600,
    api: Api = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    json_out: Json = False,
) -> None:
    """Make a new key in a delegate's place, and print it once; the old one ends."""

    def run(session: "_KeySession") -> object:
        from orchestrator.client.log_server import reading

        with session.signed_in(("owner:read",)) as client:
            with reading(client, "which scopes the key has"):
                scopes = parse_scopes(client.key(key)["scopes"])
            client.revoke("current")
        with session.signed_in(scopes) as client:
            made = client.rotate(key, overlap)
        return session.shown(client, made)

    _run(api, key_file, yes, json_out, run)


@keys.command()
def revoke(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="A key's id.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all keys of the account.")] = False,
    api: Api = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    json_out: Json = False,
) -> None:
    """End a key and its delegates at once, or all keys of the account."""
    if everything == (key is not None):
        raise InputError("key-unnamed", "name the key to revoke, or give --all")

    def run(session: "_KeySession") -> object:
        with session.signed_in(("owner:read",)) as client:
            if key is None:
                client.revoke_all()
            else:
                client.revoke(key)
                client.revoke("current")
        session.printer.print_line("all keys are revoked" if key is None else f"{key} is revoked")
        return {"revoked": key or "all"}

    _run(api, key_file, yes, json_out, run)


def parse_scopes(names: Sequence[str]) -> list[Scope]:
    """Return the scopes of these names. Raises InputError `scope-unknown`."""
    known: list[Any] = [*SCOPES, *SCOPE_SETS]
    for name in names:
        if name not in known:
            raise InputError(
                "scope-unknown", f"{name!r} is no scope; there are {', '.join(map(str, known))}"
            )
    return scopes_of([known[known.index(name)] for name in names])


class _KeySession:
    """One run of a key command: it signs in, and prints."""

    def __init__(self, api: str, wallet_key: bytes, options: Any) -> None:
        from orchestrator.cli.session import Printer

        self.api, self._wallet_key, self.printer = api, wallet_key, Printer(options)

    def signed_in(self, scopes: Sequence[Scope | ScopeSet]) -> Any:
        """Return a client of the wallet, which asks before it signs."""
        from orchestrator.client.accounts import KeyClient, wallet

        client = KeyClient(self.api, wallet(self._wallet_key), scopes, self._confirm)
        try:
            client.sign_in()
        except BaseException:
            client.close()
            raise
        return client

    def shown(self, client: Any, made: Any) -> object:
        """Print a new key, and return it. Raises ServerError for what is none."""
        from orchestrator.client.log_server import reading

        line = _line(client, made)
        with reading(client, "which key it has made"):
            secret = str(made["key"])
        self.printer.print_line(line)
        self.printer.print_line(f"its key, which is shown this once: {secret}", "bold")
        return made

    def _confirm(self, message: str) -> None:
        for line in message.splitlines():
            self.printer.print_aside(f"  {line}")
        if not self.printer.confirm(f"Sign this message to {self.api}?"):
            raise typer.Exit(NOTHING_DONE)


def _run(
    api: str | None,
    key_file: Any,
    yes: bool,
    json_out: bool,
    act: Callable[[_KeySession], object],
) -> None:
    from orchestrator.cli.session import RunOptions
    from orchestrator.runtime.settings import read_settings

    settings = read_settings(os.environ)
    key_path = find_key_file(key_file)
    options = RunOptions(key_path, yes, dry_run=False, as_json=json_out)
    session = _KeySession(api or settings.public_url, read_key(key_path), options)
    session.printer.print_json(act(session))


def _line(client: Any, key: Any) -> str:
    """Return what a person reads of a key. Raises ServerError for what is none."""
    from orchestrator.client.log_server import reading

    with reading(client, "what its keys are"):
        whose = "wallet" if key["parent"] is None else "delegate"
        state = f"until {format_ms(key['expires_ms'])}"
        if key["revoked_ms"] is not None:
            state = f"revoked {format_ms(key['revoked_ms'])}"
        where = "" if key["surfaces"] is None else f"; on {', '.join(key['surfaces'])}"
        scopes = ", ".join(key["scopes"])
        return f"{key['id']}  {key['name']!r} ({whose}), {state}: {scopes}{where}"
