"""Deploys Tallystick's contracts from their committed artifacts, and writes an address book.

`ape run deploy --network NETWORK --account ALIAS --token ADDRESS --book FILE`. A network that is
not local needs at least one `--token`, the stablecoins that the escrow shall take for ever; a local
one gets a TestStablecoin when none is named. Every deployed byte is compared with its artifact.
"""

import json
from pathlib import Path
from typing import Any

import click
from ape.api.accounts import AccountAPI
from ape.api.providers import ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option
from ape.contracts import ContractContainer, ContractInstance
from ethpm_types import ContractType
from hexbytes import HexBytes

ARTIFACTS = Path(__file__).resolve().parent.parent / "orchestrator" / "artifacts"

Json = dict[str, Any]


def read_artifact(name: str) -> Json:
    artifact: Json = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return artifact


def container(name: str) -> ContractContainer:
    """What ape deploys a committed artifact from."""
    artifact = read_artifact(name)
    return ContractContainer(
        ContractType.model_validate(
            {
                "contractName": name,
                "sourceId": artifact["sourceName"],
                "abi": artifact["abi"],
                "deploymentBytecode": {"bytecode": artifact["bytecode"]},
                "runtimeBytecode": {"bytecode": artifact["deployedBytecode"]},
            }
        )
    )


def code_differs(name: str, code: bytes) -> str | None:
    """How the code on chain differs from the artifact, or None.

    Immutables are zero in an artifact and set at deployment; every other byte must be the same.
    """
    artifact = read_artifact(name)
    expected = bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
    if len(code) != len(expected):
        return f"{name} has {len(code)} bytes of code on chain, its artifact has {len(expected)}"
    masked = bytearray(code)
    for places in artifact["immutableReferences"].values():
        for place in places:
            masked[place["start"] : place["start"] + place["length"]] = bytes(place["length"])
    for at, (byte, wanted) in enumerate(zip(masked, expected, strict=True)):
        if byte != wanted:
            return f"{name}'s code on chain differs from its artifact at byte {at}"
    return None


def _deploy(name: str, account: AccountAPI, provider: ProviderAPI, *arguments: object) -> Json:
    instance: ContractInstance = account.deploy(container(name), *arguments)
    if difference := code_differs(name, HexBytes(provider.get_code(instance.address))):
        raise click.ClickException(f"{difference}; trust neither the node nor this deployment")
    return {
        "address": instance.address,
        "block_number": provider.get_receipt(str(instance.txn_hash)).block_number,
        "transaction_hash": instance.txn_hash,
    }


def deploy(account: AccountAPI, provider: ProviderAPI, tokens: tuple[str, ...]) -> Json:
    """Deploys EventLog and OutcomeEscrow, before them a TestStablecoin if no token is named.

    Returns the address book: chain id, each contract's address, block and transaction, the tokens.
    Raises ClickException where the code on chain is not the artifact's.
    """
    contracts: Json = {}
    if not tokens:
        contracts["TestStablecoin"] = _deploy("TestStablecoin", account, provider)
        tokens = (contracts["TestStablecoin"]["address"],)
    contracts["EventLog"] = _deploy("EventLog", account, provider)
    event_log = contracts["EventLog"]["address"]
    contracts["OutcomeEscrow"] = _deploy(
        "OutcomeEscrow", account, provider, event_log, list(tokens)
    )
    return {"chain_id": provider.chain_id, "contracts": contracts, "tokens": list(tokens)}


@click.command(cls=ConnectedProviderCommand)
@account_option()
@click.option("--token", "tokens", multiple=True, help="A stablecoin that the escrow takes.")
@click.option(
    "--book", required=True, type=click.Path(path_type=Path), help="Where the addresses go."
)
def cli(provider: ProviderAPI, account: AccountAPI, tokens: tuple[str, ...], book: Path) -> None:
    """Deploy EventLog and OutcomeEscrow and write their address book."""
    if book.exists():
        raise click.ClickException(f"{book} exists; name another file, or move it away first")
    if not tokens and not provider.network.is_dev:
        raise click.ClickException(f"{provider.network.name} is no local network; name a --token")
    addresses = deploy(account, provider, tokens)
    book.parent.mkdir(parents=True, exist_ok=True)
    book.write_text(json.dumps(addresses, indent=2) + "\n")
    for name, contract in addresses["contracts"].items():
        click.echo(f"{name:15} {contract['address']}")
    click.echo(f"address book: {book}")


if __name__ == "__main__":
    cli()
