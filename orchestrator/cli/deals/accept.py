"""The command that accepts proposals for an owner, by its own rules and its key on its own machine.

What is signed is counted in one file, which is locked while it is read and added to: two runs with
one file keep its ceilings together. A budget is noted before its signature leaves the machine.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from orchestrator.cli.options import Api, Json, KeyFile, Watch
from orchestrator.core.acceptance import AcceptanceRules, parse_rules, reasons_against
from orchestrator.core.errors import InputError, ServerError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.mandate import signed_budget
from orchestrator.core.terms import Domain, Terms, contract_id, owner_consent_digest, sign_digest
from orchestrator.runtime.settings import read_settings
from orchestrator.storage.files import read_key, read_text
from orchestrator.storage.signed_budgets import add_budget, open_ledger


def accept(
    rules: Annotated[Path, typer.Option(help="Your rules (YAML).")],
    signed: Annotated[Path, typer.Option(help="File that counts what was signed by them.")],
    watch: Watch = False,
    every: Annotated[int, typer.Option(help="Seconds between looks.", min=1, max=86_400)] = 30,
    api: Api = None,
    key_file: KeyFile = None,
    json_out: Json = False,
) -> None:
    """Sign the proposals that your rules cover, and say of every other why it is not signed."""
    from orchestrator.client.accounts import OwnerClient, wallet

    settings = read_settings(os.environ)
    key_path = key_file or settings.key_file
    if key_path is None:
        raise InputError("key-missing", "there is no key to sign with: give --key-file")
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
                        typer.echo(json.dumps(found) if json_out else " ".join(line))
            except ServerError as error:
                if not watch:
                    raise
                typer.echo(f"tallystick: {error.message}", err=True)
            if not watch or stop.wait(every):
                return
            said = said if len(said) < 10_000 else set()


def read_rules(path: Path) -> AcceptanceRules:
    """Read a rules file. Raises InputError or DocumentError for one that is none."""
    try:
        return parse_rules(yaml.safe_load(read_text(path)))
    except yaml.YAMLError:
        raise InputError("yaml-invalid", f"{path}: is not readable as YAML") from None


def accept_covered(
    client: Any, key: bytes, rules: AcceptanceRules, ledger: Path, now_s: int
) -> Iterator[dict[str, str]]:
    """Sign every open proposal that the rules cover; yield what was done with each."""
    domain = Domain("Tallystick OutcomeEscrow", "1", rules.chain_id, rules.escrow)
    for proposal in list(client.pages("/v1/proposals", "proposals")):
        terms = Terms.from_json(proposal["terms"])
        if proposal["status"] != "proposed" or terms.owner != client.address:
            continue
        # Our own digest, of the terms that we judge: the server's word for either counts nothing.
        name = to_hex(contract_id(terms, domain))
        path = f"/v1/surfaces/{to_hex(terms.surface)}/operators/{terms.operator}"
        try:
            level = int(client.get(path)["level"])
        except ServerError:
            level = 0
        with open_ledger(ledger) as (earlier, file):
            reasons = reasons_against(
                rules,
                terms,
                proposal["offer"],
                level,
                # What was signed for these very terms is counted already, and signed once more.
                [one for one in earlier if one.contract_id != name],
                now_s,
            )
            if not reasons and all(one.contract_id != name for one in earlier):
                add_budget(file, signed_budget(name, terms, now_s))
        if reasons:
            yield {"contract_id": name, "said": f"not signed: {'; '.join(reasons)}"}
            continue
        signature = sign_digest(owner_consent_digest(terms, domain), key)
        try:
            client.accept(name, to_hex(signature))
        except ServerError as error:
            yield {"contract_id": name, "said": f"signed, and not taken: {error.message}"}
        else:
            yield {"contract_id": name, "said": f"signed, for {terms.budget_units} base units"}
