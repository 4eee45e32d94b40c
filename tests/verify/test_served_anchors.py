"""Anchors as a server lists them, and the walk of the page about checking, by raw calls alone."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.request import Request, urlopen

import pytest
from eth_abi.abi import decode as abi_decode

from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.deals.terms import checkpoint_digest, recover
from orchestrator.core.log.merkle import leaf_hash, verify_run
from orchestrator.verify.served_anchors import ServedAnchor, check_anchor, served_anchors
from tests.support.http_server import serving_json
from tests.support.market import DONE, FALSE, PLAIN, Market
from tests.support.terms import OWNER
from tests.support.worlds import word

PAGE = Path(__file__).parents[2].joinpath("docs/checking.md").read_text()
SETTLED = "Settled(bytes32,uint256)"
ANCHORS = [
    ServedAnchor(size, word(f"root {size}"), word(f"transaction {size}"), size, size)
    for size in (3, 7)
]


def listed(page: Any) -> list[ServedAnchor]:
    with serving_json(lambda _: page) as url, Client(url) as client:
        return list(served_anchors(client))


def page_of(*anchors: ServedAnchor) -> dict[str, Any]:
    return {"anchors": [anchor.to_json() for anchor in anchors], "next": None}


def test_anchors_are_read_as_they_are_written() -> None:
    assert listed(page_of(*ANCHORS)) == ANCHORS


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (page_of(*ANCHORS[::-1]), "anchors-unordered"),
        (page_of(*ANCHORS[:1] * 2), "anchors-unordered"),
        ({"anchors": [7], "next": None}, "answer-garbled"),
        ({"anchors": [{"size": 1}], "next": None}, "answer-garbled"),
        ([], "answer-garbled"),
    ],
)
def test_a_list_that_is_none_is_refused(page: Any, code: str) -> None:
    with pytest.raises(DomainError) as refused:
        listed(page)
    assert refused.value.code == code


@pytest.mark.parametrize("held", [None, word("another")])
def test_an_anchor_that_the_chain_does_not_hold_is_false(held: bytes | None) -> None:
    chain = cast(Chain, SimpleNamespace(root_at=lambda *_: held))
    with pytest.raises(ProofError) as refused:
        check_anchor(chain, word("log"), ANCHORS[0])
    assert refused.value.code == "anchor-false"


# --- The walk -------------------------------------------------------------------------------------


def of_page(name: str) -> str:
    """Return the selector or the topic that the page prints for a signature."""
    around = re.search(rf"`(0x[0-9a-f]+)` \(`{re.escape(name)}`\)", PAGE) or re.search(
        rf"`{re.escape(name)}` \| `eth_call` with `(0x[0-9a-f]+)`", PAGE
    )
    assert around is not None, name
    return around[1]


class Node:
    """A node that is asked by raw JSON-RPC."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Content-Type": "application/json"}
        request = Request(self._url, json.dumps(body).encode(), headers)  # noqa: S310
        with urlopen(request) as answer:  # noqa: S310 - a chain of our own
            return json.loads(answer.read())["result"]

    def logs(self, address: str, event: str, subject: str) -> list[tuple[str, bytes]]:
        """Return the transaction and the data of each event of a contract about a subject."""
        topics = [of_page(event), subject]
        wanted = {"address": address, "topics": topics, "fromBlock": "0x0", "toBlock": "latest"}
        found = self.ask("eth_getLogs", wanted)
        return [(one["transactionHash"], bytes.fromhex(one["data"][2:])) for one in found]

    def call(self, address: str, function: str, *words: str) -> bytes:
        data = of_page(function) + "".join(one.removeprefix("0x") for one in words)
        answer = self.ask("eth_call", {"to": address, "data": data}, "latest")
        return bytes.fromhex(answer[2:])


def number(data: bytes) -> int:
    return int.from_bytes(data)


def paid_receipt(market: Market) -> dict[str, Any]:
    """Return the receipt of an outcome that was paid, once all of it is anchored."""
    contract_id = market.open("ada", **PLAIN)
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    market.win("ada", "one")
    for name in ("first", "second"):
        market.sandbox.settle(name)
        market.advance_to(market.sandbox.clock() // 1000 + 3600)
    (outcome,) = market.sandbox.stack.log.outcomes_of(contract_id, 0, 10)
    receipt: dict[str, Any] = market.owner.get(f"/v1/receipts/{outcome.position}")
    assert receipt["pending"] == []
    return receipt


def check_what_was_signed(node: Node, receipt: dict[str, Any], settlement: bytes) -> None:
    """Find terms and signatures on chain by the page about them, and check them by its words."""
    text = Path(__file__).parents[2].joinpath("docs/signatures.md").read_text()
    selectors = dict(
        re.findall(r"^\| `(\w+\([\w,\[\]]*\))` of .*\| `(0x[0-9a-f]{8})` \|$", text, re.MULTILINE)
    )
    opened = re.search(r"its topic 0 is `(0x[0-9a-f]{64})`", text)
    terms_type = re.search(r"^Terms\(.*\)$", text, re.MULTILINE)
    assert opened is not None
    assert terms_type is not None

    def digest(name: str, contract: str, *struct: bytes) -> bytes:
        domain = (
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        )
        assert f"`{domain}`" in text
        assert f"`{name}` | `1` | `chain_id`, `{contract}`" in text
        words = [keccak(each) for each in (domain.encode(), name.encode(), b"1")]
        address = bytes.fromhex(receipt[contract][2:]).rjust(32, b"\0")
        separator = keccak(b"".join([*words, receipt["chain_id"].to_bytes(32), address]))
        return keccak(b"\x19\x01" + separator + keccak(b"".join(struct)))

    wanted = {
        "address": receipt["escrow"],
        "topics": [opened[1], receipt["contract_id"]],
        "fromBlock": "0x0",
        "toBlock": "latest",
    }
    (found,) = node.ask("eth_getLogs", wanted)
    data = bytes.fromhex(found["data"][2:])
    struct = (keccak(terms_type[0].encode()), data)
    assert to_hex(digest("Tallystick OutcomeEscrow", "escrow", *struct)) == receipt["contract_id"]
    members = [each.split(" ")[1] for each in terms_type[0][6:-1].split(",")]
    terms = dict(zip(members, (data[at : at + 32] for at in range(0, 1024, 32)), strict=True))
    assert to_hex(terms["logId"]) == receipt["log_id"]

    run = "((bytes32,address,address,address,uint16),uint64,uint64,bytes,uint256[],bytes32[],bytes)"
    transaction, _ = node.logs(receipt["escrow"], SETTLED, receipt["contract_id"])[-1]
    call = node.ask("eth_getTransactionByHash", transaction)["input"]
    if call[:10] == selectors["settle(Checkpoint,Run[])"]:
        checkpoint = "(bytes32,uint64,bytes32,bytes32[],bytes)"
        _, runs = abi_decode([checkpoint, f"{run}[]"], bytes.fromhex(call[10:]))
    else:
        assert call[:10] == selectors["settle(Group,uint64,uint64,bytes,uint256[],bytes32[],bytes)"]
        # The arguments of a function are encoded as a struct is, but for the place of the struct.
        (one,) = abi_decode([run], (32).to_bytes(32) + bytes.fromhex(call[10:]))
        runs = (one,)
    (signed,) = (one for one in runs if settlement in one[3])
    (log_id, *_), size, first, entries, _, proof, signature = signed
    assert to_hex(log_id) == receipt["log_id"]
    root = node.call(receipt["event_log"], "rootAt(bytes32,uint64)", to_hex(log_id), f"{size:064x}")
    leaves = [leaf_hash(entries[place : place + 256]) for place in range(0, len(entries), 256)]
    verify_run(leaves, first, size, proof, root)
    verified = "Verified(bytes32 logId,uint64 size,bytes32 root,uint64 first,uint64 count)"
    assert f"`{verified}`" in text
    numbers = [each.to_bytes(32) for each in (size, first, len(leaves))]
    words = (keccak(verified.encode()), log_id, numbers[0], root, *numbers[1:])
    signer = recover(digest("Tallystick OutcomeEscrow", "escrow", *words), signature)
    assert bytes.fromhex(signer[2:]) == terms["verifier"][12:]

    registered = re.search(
        r"`Registered\(bytes32,address,address,string\)` \| `(0x[0-9a-f]+)`", text
    )
    assert registered is not None
    wanted |= {"address": receipt["event_log"], "topics": [registered[1], receipt["log_id"]]}
    (found,) = node.ask("eth_getLogs", wanted)
    publisher, origin = abi_decode(["address", "string"], bytes.fromhex(found["data"][2:]))
    assert origin == receipt["origin"]
    registrant, named = bytes.fromhex(found["topics"][2][2:]), origin.encode()
    padded = named + bytes(-len(named) % 32)
    made = keccak(registrant + (64).to_bytes(32) + len(named).to_bytes(32) + padded)
    assert to_hex(made) == receipt["log_id"]
    checkpoint = receipt["checkpoint"]
    told = "Checkpoint(bytes32 logId,uint64 size,bytes32 root)"
    assert f"`{told}`" in text
    words = (
        keccak(told.encode()),
        log_id,
        checkpoint["size"].to_bytes(32),
        bytes.fromhex(checkpoint["root"][2:]),
    )
    signature = bytes.fromhex(checkpoint["signature"][2:])
    signer = recover(digest("Tallystick EventLog", "event_log", *words), signature)
    assert signer.lower() == publisher.lower()


def test_the_walk_of_the_page_finds_the_numbers_of_a_receipt(market: Market) -> None:
    receipt = paid_receipt(market)
    entries = {item["role"]: item for item in receipt["entries"]}
    data = {role: bytes.fromhex(item["entry"][2:]) for role, item in entries.items()}
    checkpoint, log_id = receipt["checkpoint"], receipt["log_id"]
    size, root = checkpoint["size"], bytes.fromhex(checkpoint["root"][2:])
    node, event_log = Node(market.sandbox.rpc_url), receipt["event_log"]

    published = node.logs(event_log, "Published(bytes32,uint64,bytes32)", log_id)
    assert (size, root) in [(number(told[:32]), told[32:]) for _, told in published]
    told = market.owner.get("/v1/log/anchors")["anchors"]
    assert [(one["transaction"], one["size"]) for one in told] == [
        (transaction, number(data[:32])) for transaction, data in published[: len(told)]
    ]
    assert node.call(event_log, "rootAt(bytes32,uint64)", log_id, f"{size:064x}") == root
    publisher = node.call(event_log, "publisherOf(bytes32)", log_id)
    digest = checkpoint_digest(market.chain.event_log_domain, bytes.fromhex(log_id[2:]), size, root)
    signature = bytes.fromhex(checkpoint["signature"][2:])
    assert recover(digest, signature).lower() == to_hex(publisher[-20:])
    assert number(node.call(event_log, "forkedAt(bytes32)", log_id)) == 0

    escrow, contract_id = receipt["escrow"], receipt["contract_id"]
    settled = node.logs(escrow, SETTLED, contract_id)
    (statement,) = [
        words for _, words in settled if number(words[-5:]) == entries["settlement"]["position"]
    ]
    assert number(statement[:10]) - number(statement[10:20]) == number(data["settlement"][160:192])
    paid = node.logs(escrow, "Paid(bytes32,uint256,uint256)", contract_id)
    at = [transaction for transaction, _ in paid].index(to_hex(data["payout"][-32:]))
    gross_units = [number(words[:32]) + number(words[32:64]) for _, words in paid[: at + 1]]
    assert gross_units[-1] == number(data["payout"][160:192]) > 0
    assert sum(gross_units[:-1]) < number(data["settlement"][160:192]) <= sum(gross_units)

    of_payout = market.owner.get(f"/v1/receipts/{entries['payout']['position']}")["entries"]
    (stated,) = (one["entry"] for one in of_payout if one["role"] == "settlement")
    assert number(bytes.fromhex(stated[2:])[160:192]) == sum(gross_units)
    check_what_was_signed(node, receipt, data["settlement"])

    checked = market._run(
        ["verify", "-", "--rpc", market.sandbox.rpc_url, "--json"], json.dumps(receipt)
    )
    assert checked.code == DONE, checked
    shown, transaction = json.loads(checked.stdout)["shown"], to_hex(data["payout"][-32:])
    assert [line for line in shown if line.endswith(f"to the payee by transaction {transaction}")]
    assert len(json.loads(checked.stdout)["not_checked"]) == 1

    where = ("--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url)
    listed = market._run(["anchors", *where, "--log-id", log_id, "--json"], "")
    assert listed.code == DONE, listed
    assert json.loads(listed.stdout)["anchors"] == told
    named = to_checksum_address(publisher[-20:])
    assert market._run(["anchors", *where, "--publisher", named], "").code == DONE
    for command in ("anchors", "replay"):
        other = market._run([command, *where, "--publisher", OWNER], "")
        assert (other.code, other.stdout) == (FALSE, "")
        assert f"the log's publisher is {named}, which is none of the pinned" in other.stderr
