"""scripts/register.py: from an address book to a site that the program itself takes for good."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from ape.api.accounts import TestAccountAPI
from ape.contracts import ContractInstance
from ape.managers.accounts import TestAccountManager
from ape.managers.chain import ChainManager
from click.testing import CliRunner

from orchestrator.chain.deployment import log_id_of
from orchestrator.runtime import doctor, settings
from orchestrator.runtime.settings import read_site
from scripts.deploy import typed_address
from scripts.register import cli, register, site_of, write_site

Json = dict[str, Any]
ORIGIN = "log.example/register"


def test_log_is_opened_once_and_its_publisher_is_held_to(
    address_book: Json,
    event_log: ContractInstance,
    deployer: TestAccountAPI,
    accounts: TestAccountManager,
) -> None:
    publisher = accounts[3].address
    log_id = register(deployer, address_book, ORIGIN, publisher)
    assert log_id == log_id_of(deployer.address, ORIGIN)
    assert event_log.publisherOf(log_id) == publisher
    nonce = deployer.nonce
    assert register(deployer, address_book, ORIGIN, publisher) == log_id
    assert deployer.nonce == nonce
    with pytest.raises(click.ClickException, match=f"is published by {publisher}, not by"):
        register(deployer, address_book, ORIGIN, accounts[4].address)


def test_an_origin_that_no_reader_takes_opens_no_log(deployer: TestAccountAPI) -> None:
    with pytest.raises(click.ClickException, match="printable ASCII"):
        register(deployer, {}, "log.example\x1b[2J", deployer.address)


@pytest.mark.parametrize("text", ["nonsense", "0x12", "0x5aAeb6053f3E94C9b9A09f33669435E7Ef1BeAed"])
def test_a_mistyped_account_opens_no_log(text: str) -> None:
    with pytest.raises(click.ClickException, match=r"is no address|checksum is wrong"):
        typed_address(text)


def test_site_is_one_that_doctor_approves(
    address_book: Json,
    chain: ChainManager,
    deployer: TestAccountAPI,
    accounts: TestAccountManager,
    tmp_path: Path,
) -> None:
    book, site = tmp_path / "book.json", tmp_path / "site.json"
    book.write_text(json.dumps(address_book))
    keys = accounts[3].address, accounts[5].address
    log_id = write_site(deployer, chain.provider, book, ORIGIN, *keys, site)
    made = read_site(site)
    assert made == site_of(address_book, log_id, ORIGIN, deployer.address, accounts[5].address)
    assert [(token.symbol, token.decimals) for token in made.tokens] == [("TEST", 6)]

    environment = {
        "TALLYSTICK_HOME": str(tmp_path),
        "TALLYSTICK_RPC_URL": chain.provider.uri,
        "TALLYSTICK_SITE": str(site),
    }

    def examined() -> doctor.CheckResult:
        findings = doctor.examine(lambda: settings.read_settings(environment))
        return next(found for found in findings if found.what == "chain")

    assert examined().ok, examined().detail
    assert examined().detail.endswith("holds our contracts; the log is anchored at size 0")
    with pytest.raises(click.ClickException, match="exists; name another file"):
        write_site(deployer, chain.provider, book, ORIGIN, *keys, site)
    one, other = keys[0], tmp_path / "other.json"
    with pytest.raises(click.ClickException, match="must be two accounts"):
        write_site(deployer, chain.provider, book, ORIGIN, one, one, other)
    # Contracts that are none are not approved.
    document = json.loads(site.read_text())
    for name in ("escrow", "lens", "feedback", "evaluators", "rounds", "splits"):
        site.write_text(json.dumps(document | {name: document["event_log"]}))
        assert not examined().ok


@pytest.mark.parametrize(
    ("chain_id", "said"),
    [(1, "is of chain 1, and this is chain 31337"), (31337, "TestStablecoin is not on this chain")],
)
def test_command_refuses_the_book_of_another_chain(
    chain_id: int, said: str, address_book: Json, tmp_path: Path
) -> None:
    book, site = tmp_path / "book.json", tmp_path / "site.json"
    book.write_text(json.dumps(address_book | {"chain_id": chain_id}))
    # The command starts a chain of its own, where nothing is deployed.
    arguments = [
        *("--network", "ethereum:local:foundry", "--account", "TEST::0", "--book", str(book)),
        *("--origin", ORIGIN, "--publisher", f"0x{'11' * 20}"),
        *("--verifier", f"0x{'22' * 20}", "--site", str(site)),
    ]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 1
    assert said in refused.output
    assert not site.exists()
