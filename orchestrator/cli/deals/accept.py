"""The command that accepts proposals for an owner, by its own rules and its key on its own machine.

What is signed is counted in one file, which is locked while it is read and added to: two runs with
one file keep its ceilings together.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.deals.documents import read_yaml
from orchestrator.cli.options import Api, JsonLines, KeyFile, Watch, find_key_file
from orchestrator.cli.output import printable
from orchestrator.core.common.errors import ServerError
from orchestrator.core.deals.acceptance import AcceptanceRules, parse_rules
from orchestrator.storage.local.files import read_key


def accept(
    rules: Annotated[Path, typer.Option(help="Your rules (YAML).")],
    signed: Annotated[Path, typer.Option(help="File that counts what was signed by them.")],
    watch: Watch = False,
    every: Annotated[int, typer.Option(help="Seconds between looks.", min=1, max=86_400)] = 30,
    api: Api = None,
    key_file: KeyFile = None,
    json_out: JsonLines = False,
) -> None:
    """Sign the proposals that your rules cover, and say of every other why it is not signed."""
    from orchestrator.client.accounts import OwnerClient, wallet
    from orchestrator.connect.acceptor import accept_covered
    from orchestrator.runtime.settings import read_settings

    settings = read_settings(os.environ)
    key_path = find_key_file(key_file)
    by, key = read_rules(rules), read_key(key_path)
    stop = threading.Event()
    if watch:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    said: set[tuple[str, str]] = set()
    with OwnerClient(api or settings.public_url, wallet(key), "accept") as client:
        while True:
            try:
                for found in accept_covered(client, key, by, signed, int(time.time())):
                    # A refusal is said once, not at each look.
                    line = (found["contract_id"], found["said"])
                    if line not in said:
                        said.add(line)
                        typer.echo(json.dumps(found) if json_out else printable(" ".join(line)))
            except ServerError as error:
                if not watch:
                    raise
                typer.echo(printable(f"tallystick: {error.message}"), err=True)
            if not watch or stop.wait(every):
                return
            said = said if len(said) < 10_000 else set()


def read_rules(path: Path) -> AcceptanceRules:
    """Read a rules file. Raises InputError or DocumentError for one that is none."""
    return parse_rules(read_yaml(path))
