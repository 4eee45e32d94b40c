"""The command that deploys the contracts from their artifacts and writes an address book.

`ape run deploy --network NETWORK --account ALIAS --book FILE`. The escrow's stablecoins, which it
keeps for ever, and the ERC-8004 registries are the network's in scripts/networks.json; `--token`
names other stablecoins. A local chain gets stand-ins of all that is not named.

Every contract is created by the deterministic deployment proxy (CREATE2): its address follows from
the release's name, its code and its constructor's arguments, and from nothing else. So the same
arguments make the same addresses on every network, and no other code can get there. A live
deployment is never deployed over. One that broke off is resumed by the same command: FILE.part
remembers each transaction before it is sent.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import click
from ape.api.accounts import AccountAPI
from ape.api.providers import ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option
from ape.contracts import ContractContainer
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from ethpm_types import ContractType
from hexbytes import HexBytes

from orchestrator.chain.abi import LIBRARIES, artifact
from orchestrator.cli.arguments import parse_address
from orchestrator.core.common.errors import InputError

NETWORKS = Path(__file__).with_name("networks.json")
RELEASE = "tallystick/1"

# The deterministic deployment proxy, which all share, creates what stands behind the salt in its
# calldata.
PROXY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
PROXY_CODE = HexBytes(
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe036016000816020823780358282"
    "34f58015156039578182fd5b8082525050506014600cf3"
)
PROXY_DEPLOYER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
PROXY_COST_WEI = 10**16
# The signature is made up and its key unknown: so the transaction is the same on every chain.
PROXY_TRANSACTION = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe"
    + PROXY_CODE.hex().removeprefix("0x")
    + "1ba02222222222222222222222222222222222222222222222222222222222222222"
    + "a02222222222222222222222222222222222222222222222222222222222222222"
)

Json = dict[str, Any]


class Contract(NamedTuple):
    """A contract to deploy. Constructors find their arguments by name: `eventLog_`, `tokens`."""

    name: str
    provides: str = ""  #   as which argument others take its address
    title: str = ""  #      name of its EIP-712 domain, version 1; empty: it has none
    local: bool = False  #  a stand-in, for local chains where no other is named
    creator: str = ""  #    the contract whose constructor creates it, as its first


# In the order of deployment: behind all that its constructor names and its code is linked to.
CONTRACTS = (
    Contract("TestStablecoin", "tokens", "Test Stablecoin", local=True),
    Contract("IdentityRegistry", "identities", "ERC8004IdentityRegistry", local=True),
    Contract("ReputationRegistry", "reputations", local=True),
    Contract("EventLog", "eventLog", "Tallystick EventLog"),
    Contract("Evidence", "evidence"),
    *(Contract(name) for name in LIBRARIES),
    Contract("OutcomeEscrow", "escrow", "Tallystick OutcomeEscrow"),
    Contract("EscrowLens", "lens"),
    Contract("Rounds"),
    Contract("Feedback"),
    Contract("JobEvaluators", title="Tallystick JobEvaluators"),
    Contract("Splits", title="Tallystick Splits"),
    # Behind all that a transaction of their own creates.
    Contract("JobEvaluator", creator="JobEvaluators"),
    Contract("Split", creator="Splits"),
)


class Planned(NamedTuple):
    """A contract with all that decides its address; the proxy, or `creator`, creates it."""

    contract: Contract
    address: str
    libraries: Mapping[str, str]
    arguments: Mapping[str, Any]
    encoded: bytes
    init: bytes
    creator: str


def container(name: str) -> ContractContainer:
    """Return the container with which ape calls a contract."""
    described = {"contractName": name, "abi": artifact(name).abi}
    return ContractContainer(ContractType.model_validate(described))


# ------------------------------------------------------------ the plan


def salt_of(release: str) -> bytes:
    return keccak(text=release)


def create2_address(salt: bytes, init: bytes) -> str:
    """Return the address of a contract that the proxy creates (EIP-1014)."""
    return to_checksum_address(keccak(b"\xff" + HexBytes(PROXY) + salt + keccak(init))[12:])


def created_address(creator: str) -> str:
    """Return the address of the first contract that another creates (nonce 1, EIP-161)."""
    return to_checksum_address(keccak(b"\xd6\x94" + HexBytes(creator) + b"\x01")[12:])


def _constructor(name: str) -> Sequence[Any]:
    items = (item for item in artifact(name).abi if item["type"] == "constructor")
    return next((item.get("inputs", ()) for item in items), ())


def plan(release: str, existing: Mapping[str, Any]) -> list[Planned]:
    """Return every contract to deploy under this release's name, with its address.

    `existing` holds what is on the chain already: `tokens` (addresses), `identities`,
    `reputations`. A local stand-in provides what it lacks. Raises ClickException for a constructor
    with an argument that neither provides.
    """
    known, made, found = dict(existing), dict[str, str](), list[Planned]()
    for contract in CONTRACTS:
        name = contract.name
        if contract.local and contract.provides in existing:
            continue
        inputs = _constructor(name)
        names = [item["name"].removesuffix("_") for item in inputs]
        called = sorted({library for library, _ in artifact(name).links})
        if missing := [one for one in names if one not in known]:
            raise click.ClickException(
                f"{name}'s constructor takes {missing[0]!r}; name the contract that provides it "
                "before it in scripts/deploy.py"
            )
        if missing := [one for one in called if one not in made]:
            raise click.ClickException(
                f"{name} calls {missing[0]}; name it before it in scripts/deploy.py"
            )
        libraries = {library: made[library] for library in called}
        arguments = {one: known[one] for one in names}
        encoded = encode([item["type"] for item in inputs], list(arguments.values()))
        init = artifact(name).link(libraries) + encoded
        creator = made.get(contract.creator, "")
        address = created_address(creator) if creator else create2_address(salt_of(release), init)
        init = b"" if creator else init
        found.append(Planned(contract, address, libraries, arguments, encoded, init, creator))
        made[name] = address
        if contract.provides:
            known[contract.provides] = [address] if contract.provides == "tokens" else address
    return found


# ------------------------------------------------------------ what is on the chain


def code_differs(planned: Planned, code: bytes) -> str | None:
    """Describe the first difference between code on chain and the linked artifact, or return None.

    Immutables are zero in an artifact and set at deployment; every other byte must be the same.
    """
    name = planned.contract.name
    expected = bytearray(artifact(name).runtime)
    if len(code) != len(expected):
        return f"{name} has {len(code)} bytes of code on chain, its artifact has {len(expected)}"
    for library, start in artifact(name).runtime_links:
        expected[start : start + 20] = bytes(HexBytes(planned.libraries[library]))
    masked = bytearray(code)
    for start, length in chain.from_iterable(artifact(name).immutables):
        masked[start : start + length] = bytes(length)
    for at, (byte, wanted) in enumerate(zip(masked, expected, strict=True)):
        if byte != wanted:
            return f"{name}'s code on chain differs from its artifact at byte {at}"
    return None


def immutables_differ(planned: Planned, code: bytes, chain_id: int) -> str | None:
    """Describe an immutable that the constructor cannot have set, or return None.

    Each is an address among its arguments, its own, that of the contract it created or that created
    it, or a part of its EIP-712 domain; and every address among its arguments is there.
    """
    contract, address = planned.contract, planned.address
    name, arguments = contract.name, planned.arguments
    passed = {_word(value) for value in arguments.values() if isinstance(value, str)}
    own = {_word(address), bytes(HexBytes(address))}  # a library's is no word
    allowed = passed | own | {_word(created_address(address))}
    allowed |= {_word(planned.creator)} if planned.creator else set()
    allowed |= _domain_words(contract.title, chain_id, address) if contract.title else set()
    seen = set()
    for start, length in chain.from_iterable(artifact(name).immutables):
        value = code[start : start + length]
        if value not in allowed:
            return f"{name} has 0x{value.hex()} as an immutable, which its constructor cannot set"
        seen.add(value)
    if lost := passed - seen:
        return f"{name} was given 0x{min(lost)[12:].hex()} and has no immutable that holds it"
    return None


def _word(address: str) -> bytes:
    return bytes(HexBytes(address)).rjust(32, b"\0")


def _domain_words(title: str, chain_id: int, address: str) -> set[bytes]:
    """Return the words that OpenZeppelin's EIP712 keeps of a domain of version 1.

    A short string is a word.
    """
    fields = "string name,string version,uint256 chainId,address verifyingContract"
    hashes = [keccak(text=f"EIP712Domain({fields})"), keccak(text=title), keccak(text="1")]
    words = [chain_id.to_bytes(32), _word(address)]
    short = {text.encode().ljust(31, b"\0") + bytes([len(text)]) for text in (title, "1")}
    return {keccak(b"".join([*hashes, *words])), *hashes[1:], *words} | short


def _rpc(provider: ProviderAPI, method: str, *parameters: object) -> Any:
    return provider.make_request(method, list(parameters))


def _code(provider: ProviderAPI, address: str) -> bytes:
    return bytes(HexBytes(_rpc(provider, "eth_getCode", address, "latest")))


def require_genuine(provider: ProviderAPI, planned: Planned) -> None:
    """Raise ClickException unless the chain holds exactly this contract at its address."""
    name = planned.contract.name
    code = _code(provider, planned.address)
    found = code_differs(planned, code) or immutables_differ(planned, code, provider.chain_id)
    if found:
        raise click.ClickException(f"{found}; trust neither the node nor this deployment")
    instance = container(name).at(planned.address)
    for argument, value in planned.arguments.items():
        if hasattr(instance, argument) and (held := getattr(instance, argument)()) != value:
            raise click.ClickException(f"{name}.{argument}() is {held}, and {value} was given")


def require_proxy(provider: ProviderAPI) -> None:
    """Raise ClickException, with a remedy, where there is no deployment proxy."""
    code = _code(provider, PROXY)
    if code == PROXY_CODE:
        return
    if code:
        raise click.ClickException(f"{PROXY} holds other code than the deployment proxy's")
    raise click.ClickException(
        f"this chain has no deterministic deployment proxy at {PROXY}; send {PROXY_COST_WEI} wei "
        f"to {PROXY_DEPLOYER}, then publish this signed transaction (eth_sendRawTransaction): "
        f"{PROXY_TRANSACTION}"
    )


# ------------------------------------------------------------ deploying


class Journal:
    """The transactions of a deployment in FILE.part, each written before it is sent."""

    def __init__(self, book: Path, identity: Json) -> None:
        self.path = book.with_name(f"{book.name}.part")
        self._record: Json = identity | {"sent": {}}
        if self.path.exists():
            self._record = json.loads(self.path.read_text())
            if {key: self._record.get(key) for key in identity} != identity:
                raise click.ClickException(
                    f"{self.path} belongs to another deployment; finish that one, or move it away"
                )

    def sent(self, name: str) -> list[str]:
        """Return the transactions that may have created this contract, oldest first."""
        return list(self._record["sent"].get(name, ()))

    def note(self, name: str, tx_hash: str) -> None:
        self._record["sent"][name] = [*self.sent(name), tx_hash]
        write_json(self.path, self._record)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)


def write_json(file: Path, value: Json) -> None:
    """Write the whole file or none of it; it is on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.tmp")
    with beside.open("w") as stream:
        stream.write(json.dumps(value, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)  # at once: a reader sees the old file or the new one


def _create(
    planned: Planned, account: AccountAPI, provider: ProviderAPI, release: str, journal: Journal
) -> None:
    transaction = provider.network.ecosystem.create_transaction(
        receiver=PROXY, data=salt_of(release) + planned.init
    )
    signed = account.sign_transaction(account.prepare_transaction(transaction))
    if signed is None:
        raise click.ClickException(f"{planned.contract.name}'s transaction was not signed")
    # Before it is sent: a run that breaks off here must find the transaction again.
    journal.note(planned.contract.name, HexBytes(signed.txn_hash).to_0x_hex())
    provider.send_transaction(signed)


def _creation(
    planned: Planned, provider: ProviderAPI, release: str, sent: Sequence[str]
) -> Json | None:
    """Return the receipt of the transaction, among these, that created the contract."""
    for tx_hash in sent:
        receipt = _rpc(provider, "eth_getTransactionReceipt", tx_hash)
        # A resumed run may have sent a contract twice; only one of these created it.
        if not receipt or int(receipt["status"], 16) != 1:
            continue
        transaction = _rpc(provider, "eth_getTransactionByHash", tx_hash)
        to, data = transaction["to"] or "", bytes(HexBytes(transaction["input"]))
        if to.lower() == PROXY.lower() and data == salt_of(release) + planned.init:
            return dict(receipt)
    return None


def deploy(
    account: AccountAPI,
    provider: ProviderAPI,
    book: Path,
    existing: Mapping[str, Any],
    release: str = RELEASE,
) -> Json:
    """Deploy all that `plan` names, check it, and write the address book.

    Returns the book: release, chain id, and each contract's address, block, transaction,
    libraries, constructor arguments (by name and encoded) and artifact. Raises ClickException where
    the deployment is live already, where a contract stands that this one did not create, or where
    the code on chain is not the artifact's.
    """
    if book.exists():
        raise click.ClickException(f"{book} exists; name another file, or move it away first")
    require_proxy(provider)
    for argument, value in existing.items():
        for address in [value] if isinstance(value, str) else value:
            if not _code(provider, address):
                raise click.ClickException(f"{address} ({argument}) has no code on this chain")
    planned = plan(release, existing)
    identity = {"release": release, "chain_id": provider.chain_id}
    journal = Journal(
        book, identity | {"addresses": {item.contract.name: item.address for item in planned}}
    )
    # Code without a journal is a live deployment, or a stranger's: the proxy serves all callers.
    live = [item.contract.name for item in planned if _code(provider, item.address)]
    if live and not journal.path.exists():
        raise click.ClickException(
            f"{', '.join(live)} of {release} stand on this chain already, and {journal.path} is "
            "not there to resume from; use their address book, or name another --release"
        )
    contracts: Json = {}
    receipts: dict[str, Json] = {}
    for item in planned:
        contract = item.contract
        if item.init and not _code(provider, item.address):
            _create(item, account, provider, release, journal)
        # A contract that a constructor created has the receipt of its creator.
        receipt = receipts.get(contract.creator) or _creation(
            item, provider, release, journal.sent(contract.name)
        )
        if receipt is None:
            raise click.ClickException(
                f"{contract.name} stands at {item.address}, created by no transaction of "
                f"{journal.path}; name another --release"
            )
        require_genuine(provider, item)
        receipts[contract.name] = receipt
        file = files("orchestrator.chain").joinpath(f"artifacts/{contract.name}.json")
        contracts[contract.name] = {
            "address": item.address,
            "block_number": int(receipt["blockNumber"], 16),
            "transaction_hash": receipt["transactionHash"],
            "libraries": item.libraries,
            "arguments": item.arguments,
            "constructor_arguments": f"0x{item.encoded.hex()}",
            "artifact_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    written = identity | {"contracts": contracts}
    # The journal goes last: without a book it is what a resumed run starts from.
    write_json(book, written)
    journal.close()
    return written


def typed_address(text: str) -> str:
    """Return a typed address with its checksum. Raises ClickException if it is none."""
    try:
        return parse_address(text)
    except InputError as error:
        raise click.ClickException(error.message) from None


def existing_on(provider: ProviderAPI, tokens: Sequence[str]) -> Json:
    """Return what is on the network already; on a local one, just the named tokens.

    Raises ClickException for a network that scripts/networks.json does not know.
    """
    named = {"tokens": sorted({typed_address(token) for token in tokens})} if tokens else {}
    if provider.network.is_dev:
        return named
    table: Json = json.loads(NETWORKS.read_text())
    network = table["networks"].get(str(provider.chain_id))
    if network is None:
        raise click.ClickException(
            f"chain {provider.chain_id} is not in scripts/networks.json; add its stablecoins and "
            "its ERC-8004 registries there"
        )
    return {
        **table["registries"][network["registries"]],
        "tokens": list(network["tokens"].values()),
        **named,
    }


@click.command(cls=ConnectedProviderCommand)
@account_option()
@click.option("--token", "tokens", multiple=True, help="A stablecoin that the escrow takes.")
@click.option("--release", default=RELEASE, show_default=True, help="Name that the salt is from.")
@click.option(
    "--book", required=True, type=click.Path(path_type=Path), help="Where the addresses go."
)
def cli(
    provider: ProviderAPI, account: AccountAPI, tokens: tuple[str, ...], release: str, book: Path
) -> None:
    """Deploy the contracts and write their address book."""
    written = deploy(account, provider, book, existing_on(provider, tokens), release)
    for name, contract in written["contracts"].items():
        click.echo(f"{name:18} {contract['address']}")
    click.echo(f"address book: {book}")


if __name__ == "__main__":
    cli()
