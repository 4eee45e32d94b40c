"""scripts/deploy.py: what it puts on a chain is what the artifacts say, where it says, and once."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from ape.api import ReceiptAPI
from ape.api.accounts import TestAccountAPI
from ape.api.transactions import TransactionAPI
from ape.contracts import ContractInstance
from ape.managers.chain import ChainManager
from ape.managers.project import LocalProject
from click.testing import CliRunner
from eth_account import Account
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from orchestrator.chain.abi import LIBRARIES, artifact
from orchestrator.core.deals.terms import Domain
from scripts import deploy as deployment
from scripts.deploy import (
    CONTRACTS,
    NETWORKS,
    PROXY,
    PROXY_CODE,
    PROXY_COST_WEI,
    PROXY_DEPLOYER,
    PROXY_TRANSACTION,
    RELEASE,
    Planned,
    cli,
    code_differs,
    container,
    create2_address,
    created_address,
    deploy,
    existing_on,
    immutables_differ,
    plan,
    require_proxy,
    salt_of,
)
from tests.support.depth import PROFILE

NAMES = [contract.name for contract in CONTRACTS]
SENT = [contract.name for contract in CONTRACTS if not contract.creator]
OTHER = "tallystick/another"


def _planned(name: str) -> Planned:
    return next(item for item in plan(RELEASE, {}) if item.contract.name == name)


def _immutables(name: str) -> list[range]:
    return [
        range(start, start + length)
        for places in artifact(name).immutables
        for start, length in places
    ]


def _transfer(account: TestAccountAPI, provider: Any, data: bytes) -> ReceiptAPI:
    receipt: ReceiptAPI = account.call(
        provider.network.ecosystem.create_transaction(receiver=PROXY, data=data)
    )
    return receipt


# --- What is deployed -----------------------------------------------------------------------------


def test_address_book_names_what_was_deployed(
    address_book: dict[str, Any], chain: ChainManager, escrow: ContractInstance
) -> None:
    assert address_book["release"] == RELEASE
    assert address_book["chain_id"] == chain.chain_id
    assert list(address_book["contracts"]) == NAMES
    for name, contract in address_book["contracts"].items():
        receipt = chain.provider.get_receipt(contract["transaction_hash"])
        assert receipt.receiver == PROXY
        assert receipt.block_number == contract["block_number"]
        code = bytes(chain.provider.get_code(contract["address"]))
        assert code_differs(_planned(name), code) is None
        # Exactly what the program itself asks of a chain before it trusts it.
        assert not artifact(name).differs(code)
    deployed = {name: item["address"] for name, item in address_book["contracts"].items()}
    assert escrow.eventLog() == deployed["EventLog"]
    assert escrow.evidence() == deployed["Evidence"]
    assert escrow.identities() == deployed["IdentityRegistry"]
    feedback = container("Feedback").at(deployed["Feedback"])
    assert feedback.lens() == deployed["EscrowLens"]
    assert container("EscrowLens").at(deployed["EscrowLens"]).escrow() == escrow.address
    assert feedback.reputations() == deployed["ReputationRegistry"]
    reputations = container("ReputationRegistry").at(deployed["ReputationRegistry"])
    assert reputations.getIdentityRegistry() == deployed["IdentityRegistry"]
    evaluators = container("JobEvaluators").at(deployed["JobEvaluators"])
    assert evaluators.implementation() == deployed["JobEvaluator"]
    rounds = container("Rounds").at(deployed["Rounds"])
    assert (rounds.escrow(), rounds.eventLog()) == (escrow.address, deployed["EventLog"])
    splits = container("Splits").at(deployed["Splits"])
    assert splits.implementation() == deployed["Split"]
    libraries = {name: deployed[name] for name in LIBRARIES}
    assert address_book["contracts"]["OutcomeEscrow"]["libraries"] == libraries
    code = bytes(chain.provider.get_code(escrow.address))
    assert artifact("OutcomeEscrow").libraries_in(code) == libraries
    (token,) = address_book["contracts"]["OutcomeEscrow"]["arguments"]["tokens"]
    assert token == address_book["contracts"]["TestStablecoin"]["address"]
    assert escrow.isAllowed(token)


def test_address_follows_from_release_code_and_arguments_alone(
    address_book: dict[str, Any], token: ContractInstance
) -> None:
    def addresses(release: str, given: dict[str, Any]) -> dict[str, str]:
        return {item.contract.name: item.address for item in plan(release, given)}

    deployed = {name: item["address"] for name, item in address_book["contracts"].items()}
    assert addresses(RELEASE, {}) == deployed
    assert not set(addresses(OTHER, {}).values()) & set(deployed.values())
    # The same token, named: the same escrow. Another: another escrow, and the same log.
    named = addresses(RELEASE, {"tokens": [token.address]})
    assert named == {name: deployed[name] for name in named}
    assert set(deployed) - set(named) == {"TestStablecoin"}
    elsewhere = addresses(RELEASE, {"tokens": [PROXY]})
    assert elsewhere["EventLog"] == deployed["EventLog"]
    assert elsewhere["OutcomeEscrow"] != deployed["OutcomeEscrow"]
    assert elsewhere["Feedback"] != deployed["Feedback"]


def test_addresses_are_those_of_the_standards() -> None:
    # As `cast create2` and `cast compute-address --nonce 1` have them.
    assert create2_address(bytes(32), b"\x60\x01") == "0xcF2c15075F8D1aECAC705f55E2E8E5212CB723A6"
    assert created_address(PROXY_DEPLOYER) == "0x636c049BE420c0BaeD49b3e2ad983F5aF719F4Cf"
    assert Account.recover_transaction(PROXY_TRANSACTION) == PROXY_DEPLOYER


def test_named_tokens_are_the_only_ones_allowed(
    deployer: TestAccountAPI,
    chain: ChainManager,
    token: ContractInstance,
    tmp_path: Path,
) -> None:
    first = deploy(deployer, chain.provider, tmp_path / "first.json", {}, "tallystick/first")
    given = {"tokens": [token.address]}
    book = deploy(deployer, chain.provider, tmp_path / "book.json", given, OTHER)
    assert "TestStablecoin" not in book["contracts"]
    escrow = container("OutcomeEscrow").at(book["contracts"]["OutcomeEscrow"]["address"])
    assert escrow.isAllowed(token.address)
    assert not escrow.isAllowed(first["contracts"]["TestStablecoin"]["address"])


@pytest.mark.parametrize("name", ["EventLog", "OutcomeEscrow", "JobEvaluators"])
def test_domain_is_readable_by_eip_5267(
    name: str, address_book: dict[str, Any], chain: ChainManager
) -> None:
    address = address_book["contracts"][name]["address"]
    contract = container(name).at(address)
    fields, title, version, chain_id, verifying_contract, salt, extensions = contract.eip712Domain()
    assert bytes(fields) == b"\x0f"  # name, version, chain id, contract; no salt
    assert Domain(title, version, chain_id, verifying_contract) == Domain(
        f"Tallystick {name}", "1", chain.chain_id, address
    )
    assert bytes(salt) == bytes(32)
    assert list(extensions) == []


def test_ape_compiles_the_committed_artifacts(project: LocalProject) -> None:
    # It leaves out what is not linked yet, and linking is in the metadata's hash.
    whole = [name for name in NAMES if not artifact(name).links]
    assert set(NAMES) - set(whole) == {"OutcomeEscrow"}
    # A usual run takes one: what all compile to, the step `artifacts` compares with forge's.
    files = [] if PROFILE == "deep" else ["contracts/log/EventLog.sol"]
    # Ape's cache misses a change of an imported file, whose hash is in the code all the same.
    compiled = project.load_contracts(*files, use_cache=False)
    for name in whole if PROFILE == "deep" else ["EventLog"]:
        bytecode = compiled[name].contract_type.deployment_bytecode.bytecode
        assert str(bytecode) == f"0x{artifact(name).creation.hex()}"


# --- What is checked ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_byte_of_code_is_found(
    name: str, address_book: dict[str, Any], chain: ChainManager
) -> None:
    address = address_book["contracts"][name]["address"]
    code, planned = bytes(HexBytes(chain.provider.get_code(address))), _planned(name)
    assert code_differs(planned, code) is None
    links = [start + 19 for _, start in artifact(name).runtime_links]
    for at in (0, 64, len(code) - 1, *links):  # none of them in an immutable
        changed = bytearray(code)
        changed[at] ^= 1
        assert code_differs(planned, bytes(changed)) == (
            f"{name}'s code on chain differs from its artifact at byte {at}"
        )
    assert "bytes of code on chain" in (code_differs(planned, code + b"\0") or "")
    assert "bytes of code on chain" in (code_differs(planned, b"") or "")


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_bit_of_an_immutable_is_found(
    name: str, address_book: dict[str, Any], chain: ChainManager
) -> None:
    planned = _planned(name)
    code = bytes(HexBytes(chain.provider.get_code(planned.address)))
    assert immutables_differ(planned, code, chain.chain_id) is None
    for place in _immutables(name):
        changed = bytearray(code)
        changed[place[-1]] ^= 1
        differs = immutables_differ(planned, bytes(changed), chain.chain_id)
        assert differs == (
            f"{name} has 0x{changed[place.start : place.stop].hex()} as an immutable, which its "
            "constructor cannot set"
        )


def test_immutable_that_holds_another_argument_is_found(
    address_book: dict[str, Any], chain: ChainManager
) -> None:
    planned = _planned("OutcomeEscrow")
    code = bytearray(chain.provider.get_code(planned.address))
    event_log = bytes(HexBytes(planned.arguments["eventLog"])).rjust(32, b"\0")
    for place in _immutables("OutcomeEscrow"):
        if code[place.start : place.stop] == event_log:
            code[place.start : place.stop] = bytes(HexBytes(planned.address)).rjust(32, b"\0")
    differs = immutables_differ(planned, bytes(code), chain.chain_id)
    assert differs is not None
    assert "OutcomeEscrow was given 0x" in differs
    assert "has no immutable that holds it" in differs


def test_chain_without_the_proxy_is_told_how_to_get_it(
    deployer: TestAccountAPI, chain: ChainManager, tmp_path: Path
) -> None:
    provider = chain.provider
    provider.make_request("anvil_setCode", [PROXY, "0x"])
    with pytest.raises(click.ClickException, match="no deterministic deployment proxy") as raised:
        deploy(deployer, provider, tmp_path / "book.json", {}, OTHER)
    for part in (PROXY_DEPLOYER, str(PROXY_COST_WEI), PROXY_TRANSACTION):
        assert part in raised.value.message
    # As it says, on a chain that has never seen either account.
    provider.make_request("anvil_setNonce", [PROXY, "0x0"])
    provider.make_request("anvil_setNonce", [PROXY_DEPLOYER, "0x0"])
    deployer.transfer(PROXY_DEPLOYER, PROXY_COST_WEI)
    provider.make_request("eth_sendRawTransaction", [PROXY_TRANSACTION])
    provider.make_request("evm_mine", [])  # the node answers before it has mined it by itself
    require_proxy(provider)
    deploy(deployer, provider, tmp_path / "book.json", {}, OTHER)

    provider.make_request("anvil_setCode", [PROXY, f"{PROXY_CODE.to_0x_hex()}00"])
    with pytest.raises(click.ClickException, match="holds other code"):
        require_proxy(provider)


def test_token_without_code_is_refused(
    deployer: TestAccountAPI, chain: ChainManager, tmp_path: Path
) -> None:
    nobody = to_checksum_address(b"\x05" * 20)
    with pytest.raises(click.ClickException, match=rf"{nobody} \(tokens\) has no code"):
        deploy(deployer, chain.provider, tmp_path / "book.json", {"tokens": [nobody]}, OTHER)


# --- Once -----------------------------------------------------------------------------------------


def test_live_deployment_is_not_deployed_over(
    deployer: TestAccountAPI, chain: ChainManager, address_book: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(click.ClickException, match="stand on this chain already"):
        deploy(deployer, chain.provider, tmp_path / "book.json", {})
    assert list(tmp_path.iterdir()) == []


def test_book_is_not_written_over(
    deployer: TestAccountAPI, chain: ChainManager, tmp_path: Path
) -> None:
    book = tmp_path / "book.json"
    book.write_text("{}")
    with pytest.raises(click.ClickException, match="exists; name another file"):
        deploy(deployer, chain.provider, book, {}, OTHER)
    assert book.read_text() == "{}"


class PowerCutError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("sends_first", [False, True])
@pytest.mark.parametrize("at", [0, 1, len(SENT) // 2, len(SENT) - 1])
def test_deployment_that_broke_off_is_resumed(
    at: int,
    sends_first: bool,
    deployer: TestAccountAPI,
    chain: ChainManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, book, seen = chain.provider, tmp_path / "book.json", list[str]()
    send = type(provider).send_transaction

    def cut(self: Any, transaction: TransactionAPI) -> ReceiptAPI:
        seen.append(HexBytes(transaction.txn_hash).to_0x_hex())
        last = len(seen) == at + 1
        if last and not sends_first:
            raise PowerCutError
        receipt: ReceiptAPI = send(self, transaction)
        if last:
            raise PowerCutError
        return receipt

    with monkeypatch.context() as patched:
        patched.setattr(type(provider), "send_transaction", cut)
        with pytest.raises(PowerCutError):
            deploy(deployer, provider, book, {}, OTHER)
    assert not book.exists()
    nonce = deployer.nonce
    written = deploy(deployer, provider, book, {}, OTHER)
    assert deployer.nonce - nonce == len(SENT) - at - sends_first
    assert json.loads(book.read_text()) == written
    hashes = [item["transaction_hash"] for item in written["contracts"].values()]
    assert hashes[: at + sends_first] == seen[: at + sends_first]
    assert list(tmp_path.iterdir()) == [book]


def test_what_a_stranger_created_is_not_taken_for_ours(
    deployer: TestAccountAPI,
    chain: ChainManager,
    tmp_path: Path,
    accounts: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, book = chain.provider, tmp_path / "book.json"
    first = plan(OTHER, {})[0]

    def cut(*_: object) -> ReceiptAPI:
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(type(provider), "send_transaction", cut)
        with pytest.raises(PowerCutError):
            deploy(deployer, provider, book, {}, OTHER)
    _transfer(accounts[7], provider, salt_of(OTHER) + first.init)
    with pytest.raises(click.ClickException, match="created by no transaction of"):
        deploy(deployer, provider, book, {}, OTHER)
    assert not book.exists()


def test_part_of_another_deployment_is_not_resumed(
    deployer: TestAccountAPI, chain: ChainManager, tmp_path: Path
) -> None:
    book = tmp_path / "book.json"
    (tmp_path / "book.json.part").write_text(json.dumps({"release": RELEASE, "sent": {}}))
    with pytest.raises(click.ClickException, match="belongs to another deployment"):
        deploy(deployer, chain.provider, book, {}, OTHER)


# --- The command, and the networks that it knows --------------------------------------------------


def test_command_writes_the_book_once(tmp_path: Path) -> None:
    book = tmp_path / "deep" / "book.json"
    arguments = [
        *("--network", "ethereum:local:foundry", "--account", "TEST::0"),
        *("--release", OTHER, "--book", str(book)),
    ]
    runner = CliRunner()
    first = runner.invoke(cli, arguments)
    assert first.exit_code == 0, first.output
    assert list(json.loads(book.read_text())["contracts"]) == NAMES
    written = book.read_bytes()
    again = runner.invoke(cli, arguments)
    assert again.exit_code == 1
    assert "exists; name another file" in again.output
    assert book.read_bytes() == written


def test_known_networks_have_registries_and_stablecoins() -> None:
    table = json.loads(NETWORKS.read_text())
    for registries in table["registries"].values():
        assert sorted(registries) == ["identities", "reputations"]
        assert all(address == to_checksum_address(address) for address in registries.values())
    for chain_id, network in table["networks"].items():
        assert int(chain_id) > 0
        assert network["registries"] in table["registries"]
        assert network["registries"] == ("testnet" if "Sepolia" in network["name"] else "mainnet")
        assert network["tokens"]
        assert all(
            address == to_checksum_address(address) for address in network["tokens"].values()
        )


class Network:
    """As much of a provider as names its network."""

    def __init__(self, chain_id: int, *, is_dev: bool) -> None:
        self.chain_id, self.network, self.is_dev = chain_id, self, is_dev


def test_network_brings_its_own_and_an_unknown_one_is_refused() -> None:
    base: Any = Network(8453, is_dev=False)
    given = existing_on(base, ())
    assert given["tokens"] == ["0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"]
    assert given["identities"].startswith("0x8004A169")
    assert existing_on(base, (PROXY.lower(), PROXY))["tokens"] == [PROXY]
    local: Any = Network(31337, is_dev=True)
    assert existing_on(local, ()) == {}
    unknown: Any = Network(999_999, is_dev=False)
    with pytest.raises(
        click.ClickException, match=r"chain 999999 is not in scripts/networks\.json"
    ):
        existing_on(unknown, ())


def test_contract_whose_arguments_nobody_provides_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = [contract for contract in CONTRACTS if contract.name == "OutcomeEscrow"]
    monkeypatch.setattr(deployment, "CONTRACTS", alone)
    with pytest.raises(click.ClickException, match="OutcomeEscrow's constructor takes 'eventLog'"):
        plan(RELEASE, {})
    given = {"eventLog": PROXY, "evidence": PROXY, "identities": PROXY, "tokens": [PROXY]}
    with pytest.raises(click.ClickException, match="OutcomeEscrow calls Claims; name it before"):
        plan(RELEASE, given)
