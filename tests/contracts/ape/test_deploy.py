"""scripts/deploy.py: what it puts on a chain is what the artifacts say."""

import json
from pathlib import Path
from typing import Any

import ape
import pytest
from ape.api.accounts import TestAccountAPI
from ape.contracts import ContractInstance
from ape.managers.chain import ChainManager
from ape.managers.project import LocalProject
from click.testing import CliRunner
from hexbytes import HexBytes

from orchestrator.core.terms import Domain
from scripts.deploy import cli, code_differs, deploy, read_artifact

NAMES = ("EventLog", "OutcomeEscrow", "TestStablecoin")


def test_address_book_names_what_was_deployed(
    address_book: dict[str, Any], chain: ChainManager, escrow: ContractInstance
) -> None:
    assert address_book["chain_id"] == chain.chain_id
    assert sorted(address_book["contracts"]) == sorted(NAMES)
    for contract in address_book["contracts"].values():
        receipt = chain.provider.get_receipt(contract["transaction_hash"])
        assert receipt.contract_address == contract["address"]
        assert receipt.block_number == contract["block_number"]
    assert escrow.eventLog() == address_book["contracts"]["EventLog"]["address"]
    assert address_book["tokens"] == [address_book["contracts"]["TestStablecoin"]["address"]]
    assert escrow.isAllowed(address_book["tokens"][0])


def test_named_tokens_are_the_only_ones_allowed(
    deployer: TestAccountAPI, chain: ChainManager, token: ContractInstance
) -> None:
    first = deploy(deployer, chain.provider, ())["tokens"][0]
    book = deploy(deployer, chain.provider, (token.address,))
    escrow = ape.Contract(
        book["contracts"]["OutcomeEscrow"]["address"], abi=read_artifact("OutcomeEscrow")["abi"]
    )
    assert "TestStablecoin" not in book["contracts"]
    assert escrow.isAllowed(token.address)
    assert not escrow.isAllowed(first)


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_byte_of_code_is_found(
    name: str, address_book: dict[str, Any], chain: ChainManager
) -> None:
    address = address_book["contracts"][name]["address"]
    code = bytes(HexBytes(chain.provider.get_code(address)))
    assert code_differs(name, code) is None
    for at in (0, 64, len(code) - 1):  # none of them in an immutable
        changed = bytearray(code)
        changed[at] ^= 1
        assert code_differs(name, bytes(changed)) == (
            f"{name}'s code on chain differs from its artifact at byte {at}"
        )
    assert "bytes of code on chain" in (code_differs(name, code + b"\0") or "")
    assert "bytes of code on chain" in (code_differs(name, b"") or "")


@pytest.mark.parametrize("name", ["EventLog", "OutcomeEscrow"])
def test_domain_is_readable_by_eip_5267(
    name: str, address_book: dict[str, Any], chain: ChainManager
) -> None:
    address = address_book["contracts"][name]["address"]
    contract = ape.Contract(address, abi=read_artifact(name)["abi"])
    fields, title, version, chain_id, verifying_contract, salt, extensions = contract.eip712Domain()
    assert bytes(fields) == b"\x0f"  # name, version, chain id, contract; no salt
    assert Domain(title, version, chain_id, verifying_contract) == Domain(
        f"Tallystick {name}", "1", chain.chain_id, address
    )
    assert bytes(salt) == bytes(32)
    assert list(extensions) == []


def test_ape_compiles_the_committed_artifacts(project: LocalProject) -> None:
    # Ape's cache misses a change of an imported file, whose hash is in the code all the same.
    compiled = project.load_contracts(use_cache=False)
    for name in NAMES:
        bytecode = compiled[name].contract_type.deployment_bytecode.bytecode
        assert str(bytecode) == read_artifact(name)["bytecode"]


def test_command_writes_the_book_once(tmp_path: Path) -> None:
    book = tmp_path / "deep" / "book.json"
    arguments = ["--network", "ethereum:local:foundry", "--account", "TEST::0", "--book", str(book)]
    runner = CliRunner()
    first = runner.invoke(cli, arguments)
    assert first.exit_code == 0, first.output
    assert sorted(json.loads(book.read_text())["contracts"]) == sorted(NAMES)
    written = book.read_bytes()
    again = runner.invoke(cli, arguments)
    assert again.exit_code == 1
    assert "exists; name another file" in again.output
    assert book.read_bytes() == written
