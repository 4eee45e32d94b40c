"""The command that fetches an agent card and checks who has signed it."""

import json
import os
import re
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Api, Json
from orchestrator.core.common.errors import InputError, ReplayError

_SURFACE, _OPERATOR = re.compile(r"0x[0-9a-f]{64}"), re.compile(r"0x[0-9a-fA-F]{40}")


def card(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBJECT",
            help="A surface's id or name, or an operator's address; else the service.",
        ),
    ] = None,
    kid: Annotated[
        str | None, typer.Option(help="The key that must have signed it; else the one served.")
    ] = None,
    api: Api = None,
    json_out: Json = False,
) -> None:
    """Fetch an agent card, check its signature, and print it."""
    from orchestrator.client.http import Client
    from orchestrator.client.log_server import find_surface, reading
    from orchestrator.core.account.agent_card import check_card
    from orchestrator.runtime.settings import read_settings

    with Client(api or read_settings(os.environ).public_url) as client:
        if subject and not subject.startswith("0x"):
            subject = find_surface(client, subject)
        document = client.get(path_of(subject))
        served = client.get("/.well-known/jwks.json")
        with reading(client, "which keys sign its cards"):
            jwk = chosen_key(served["keys"], kid)
    check_card(document, jwk)
    typer.echo(json.dumps(document, indent=None if json_out else 2))
    if kid is None:
        typer.echo(f"taken on trust: the key {jwk['kid']}; give it as --kid", err=True)


def path_of(subject: str | None) -> str:
    """Return the path of a subject's card. Raises InputError `subject-malformed`."""
    if subject is None:
        return "/.well-known/agent-card.json"
    if _SURFACE.fullmatch(subject):
        return f"/v1/surfaces/{subject}/agent-card.json"
    if _OPERATOR.fullmatch(subject):
        return f"/v1/operators/{subject}/agent-card.json"
    raise InputError(
        "subject-malformed", f"{subject!r} is neither a surface's id nor an operator's address"
    )


def chosen_key(keys: list[Any], kid: str | None) -> dict[str, str]:
    """Return the served key of this id; the only one where none is named.

    Raises ReplayError `card-key-missing`, and `card-key-false` for a key whose id is not its own.
    """
    from orchestrator.core.account.agent_card import thumbprint

    found = [jwk for jwk in keys if kid in (None, jwk["kid"])]
    if len(found) != 1:
        named = "one key" if kid is None else f"the key {kid}"
        raise ReplayError("card-key-missing", f"the server does not name {named} that signs cards")
    (jwk,) = found
    # The id is the key's own thumbprint, so no server can give another key under it.
    if thumbprint(jwk) != jwk["kid"]:
        raise ReplayError("card-key-false", f"the key that is served as {jwk['kid']} is another")
    return {str(name): str(value) for name, value in jwk.items()}
