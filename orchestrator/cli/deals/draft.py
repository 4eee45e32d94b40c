"""The command that shows what a short deal would be as a contract, in words."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.deals.documents import read_deal
from orchestrator.cli.options import Api, Json, KeyFile, SurfaceName, find_key_file
from orchestrator.cli.output import printable
from orchestrator.storage.local.files import read_key


def draft(
    surface: SurfaceName,
    deal: Annotated[Path, typer.Argument(metavar="DEAL", help="A short deal (YAML).")],
    api: Api = None,
    key_file: KeyFile = None,
    json_out: Json = False,
) -> None:
    """Print a short deal as a contract would have it: in sentences, with defaults and cautions."""
    from orchestrator.client.accounts import OperatorClient, wallet
    from orchestrator.client.log_server import find_surface, reading
    from orchestrator.runtime.settings import read_settings

    settings = read_settings(os.environ)
    key_path = find_key_file(key_file)
    told, key = read_deal(deal), read_key(key_path)
    with OperatorClient(api or settings.public_url, wallet(key), "draft") as client:
        made = client.draft_deal(find_surface(client, surface), told)
        with reading(client, "what the deal would be"):
            lines = [
                *map(str, made["sentences"]),
                *(
                    f"default ({one['source']}): {one['term']} {one['value']}"
                    for one in made["defaults"]
                ),
                *(f"look at this: {caution}" for caution in made["cautions"]),
            ]
    if json_out:
        typer.echo(json.dumps(made))
        return
    for line in lines:
        # They are the service's words.
        typer.echo(printable(line))
