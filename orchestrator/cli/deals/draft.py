"""The command that shows what a short deal would be as a contract, in words."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from orchestrator.cli.options import Api, Json, KeyFile, SurfaceName, find_key_file
from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.files import read_key, read_text


def draft(
    surface: SurfaceName,
    deal: Annotated[Path, typer.Argument(metavar="DEAL", help="A short deal (YAML).")],
    api: Api = None,
    key_file: KeyFile = None,
    json_out: Json = False,
) -> None:
    """Print a short deal as a contract would have it: in sentences, with defaults and cautions."""
    from orchestrator.client.accounts import OperatorClient, wallet
    from orchestrator.client.log_server import find_surface
    from orchestrator.runtime.settings import read_settings

    settings = read_settings(os.environ)
    key_path = find_key_file(key_file)
    try:
        told = yaml.safe_load(read_text(deal))
    except yaml.YAMLError:
        raise InputError("yaml-invalid", f"{deal}: is not readable as YAML") from None
    key = read_key(key_path)
    with OperatorClient(api or settings.public_url, wallet(key), "draft") as client:
        made = client.draft_deal(find_surface(client, surface), told)
    if json_out:
        typer.echo(json.dumps(made))
        return
    for line in made["sentences"]:
        typer.echo(line)
    for one in made["defaults"]:
        typer.echo(f"default ({one['source']}): {one['term']} {one['value']}")
    for caution in made["cautions"]:
        typer.echo(f"look at this: {caution}")
