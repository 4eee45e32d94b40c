"""The command that opens a log on a deployment and writes the site file for `tallystick serve`.

`ape run register --network NETWORK --account ALIAS --book FILE --origin NAME --publisher ADDRESS
--verifier ADDRESS --site FILE`. The account is the log's registrant; the publisher signs its
checkpoints, the verifier the statements under its contracts. A log that exists is not opened again:
then this only writes the site file, if the publisher is the same.
"""

import json
from pathlib import Path
from typing import Any

import click
from ape.api.accounts import AccountAPI
from ape.api.providers import ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option

from orchestrator.chain.deployment import log_id_of
from orchestrator.core.deals.site import Addresses, Site, TokenInfo
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.log.origin import ORIGIN_RULE, is_origin
from scripts.deploy import container, typed_address, write_json

Json = dict[str, Any]


def register(account: AccountAPI, book: Json, origin: str, publisher: str) -> bytes:
    """Open this account's log of this origin, unless it is there; return its id.

    Raises ClickException if it is there with another publisher, and for what is no origin.
    """
    if not is_origin(origin):
        raise click.ClickException(f"an origin is {ORIGIN_RULE}, not {origin!r:.80}")
    event_log = container("EventLog").at(book["contracts"]["EventLog"]["address"])
    log_id = log_id_of(account.address, origin)
    # Not to be opened twice: a second run only writes the site file.
    if event_log.publisherOf(log_id) == ZERO_ADDRESS:
        event_log.register(origin, publisher, sender=account)
    found = event_log.publisherOf(log_id)
    if found != publisher:
        raise click.ClickException(
            f"the log {origin} of {account.address} is published by {found}, not by {publisher}; "
            "name that publisher, or have it hand the log over"
        )
    return log_id


def site_of(book: Json, log_id: bytes, origin: str, registrant: str, verifier: str) -> Site:
    """Return the site of a log of a deployment; its fee is zero until the file is edited."""
    contracts = book["contracts"]
    addresses = Addresses(
        book["chain_id"],
        contracts["EventLog"]["address"],
        contracts["OutcomeEscrow"]["address"],
        min(contract["block_number"] for contract in contracts.values()),
        contracts["EscrowLens"]["address"],
        contracts["Feedback"]["address"],
        contracts["JobEvaluators"]["address"],
        contracts["Rounds"]["address"],
        contracts["Splits"]["address"],
    )
    tokens = []
    for address in contracts["OutcomeEscrow"]["arguments"]["tokens"]:
        token = container("TestStablecoin").at(address)
        tokens.append(TokenInfo(address, token.symbol(), token.decimals()))
    return Site(addresses, log_id, origin, registrant, verifier, tuple(tokens))


def write_site(
    account: AccountAPI,
    provider: ProviderAPI,
    book: Path,
    origin: str,
    publisher: str,
    verifier: str,
    site: Path,
) -> bytes:
    """Open the log, unless it is there, and write the site file; return the log's id.

    Raises ClickException where the file exists, the deployment is not on this chain, or publisher
    and verifier are one account.
    """
    publisher, verifier = typed_address(publisher), typed_address(verifier)
    if publisher == verifier:
        raise click.ClickException("publisher and verifier must be two accounts, with a key each")
    if site.exists():
        raise click.ClickException(f"{site} exists; name another file, or move it away first")
    deployed: Json = json.loads(book.read_text())
    if deployed["chain_id"] != provider.chain_id:
        raise click.ClickException(
            f"{book} is of chain {deployed['chain_id']}, and this is chain {provider.chain_id}"
        )
    for name, contract in deployed["contracts"].items():
        if not provider.get_code(contract["address"]):
            raise click.ClickException(f"{book}: {name} is not on this chain")
    log_id = register(account, deployed, origin, publisher)
    made = site_of(deployed, log_id, origin, account.address, verifier)
    write_json(site, made.to_json())
    return log_id


@click.command(cls=ConnectedProviderCommand)
@account_option()
@click.option("--book", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--origin", required=True, help="The log's name, such as log.example.com/growth.")
@click.option("--publisher", required=True, help="The account that signs its checkpoints.")
@click.option("--verifier", required=True, help="The account that signs its statements.")
@click.option("--site", required=True, type=click.Path(path_type=Path), help="Where it goes.")
def cli(
    provider: ProviderAPI,
    account: AccountAPI,
    book: Path,
    origin: str,
    publisher: str,
    verifier: str,
    site: Path,
) -> None:
    """Open a log and write the site file."""
    log_id = write_site(account, provider, book, origin, publisher, verifier, site)
    click.echo(f"log 0x{log_id.hex()} of {origin}\nsite file: {site}")


if __name__ == "__main__":
    cli()
