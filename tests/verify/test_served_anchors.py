"""Anchors as a server lists them, and the walk of the page about checking, by raw calls alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from eth_abi.abi import decode as abi_decode

from orchestrator.chain.abi import ChainEvent, Published, Registered
from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.rpc import Block
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, PendingError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.deals.terms import checkpoint_digest, recover
from orchestrator.core.log.merkle import leaf_hash, verify_run
from orchestrator.verify.served_anchors import (
    LAG_S,
    CheckedAnchors,
    ServedAnchor,
    checked_anchors,
    served_anchors,
)
from tests.support.http_server import Request as HttpRequest
from tests.support.http_server import serving_json
from tests.support.market import DONE, FALSE, MISSING, Market, paid_receipt
from tests.support.terms import OWNER
from tests.support.worlds import word

PAGE = Path(__file__).parents[2].joinpath("docs/checking.md").read_text()
SETTLED = "Settled(bytes32,uint256)"
ANCHORS = [
    ServedAnchor(size, word(f"root {size}"), word(f"transaction {size}"), size, size)
    for size in (3, 7)
]
NEXT = ServedAnchor(9, word("root 9"), word("transaction 9"), 9, 9)


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
        (page_of(NEXT._replace(time_s=-1)), "answer-garbled"),
        (page_of(NEXT._replace(time_s=1 << 60)), "answer-garbled"),
        ([], "answer-garbled"),
    ],
)
def test_a_list_that_is_none_is_refused(page: Any, code: str) -> None:
    with pytest.raises(DomainError) as refused:
        listed(page)
    assert refused.value.code == code


class AnchoringChain:
    """A chain that holds these anchors, the last of them in its last final block."""

    node = SimpleNamespace(name="the node of this test")

    def __init__(self, anchors: list[ServedAnchor]) -> None:
        self.roots = {anchor.size: anchor.root for anchor in anchors}
        self.events = [
            ChainEvent(
                anchor.block_number,
                b"",
                anchor.transaction,
                0,
                anchor.time_s,
                Published(word("log"), anchor.size, anchor.root),
            )
            for anchor in anchors
        ]
        self.registered: Registered | None = Registered(word("log"), OWNER, OWNER, "a")
        newest = anchors[-1]
        self.final = Block(newest.block_number, b"", newest.time_s + LAG_S + 1)
        self.newest = Anchor(newest.size, newest.root, newest.time_s)

    def block(self, tag: object) -> Block:
        assert tag == "finalized"
        return self.final

    def checkpoint(self, _: bytes, block: object) -> Anchor:
        assert block == self.final.number
        return self.newest

    def published_of(self, _: bytes) -> list[ChainEvent]:
        return self.events

    def registration_of(self, _: bytes) -> Registered | None:
        return self.registered

    def root_at(self, _: bytes, size: int) -> bytes | None:
        return self.roots.get(size)


def checked(chain: AnchoringChain, *anchors: ServedAnchor) -> CheckedAnchors:
    with serving_json(lambda _: page_of(*anchors)) as url, Client(url) as client:
        return checked_anchors(client, cast(Chain, chain), word("log"))


def test_a_list_of_all_anchors_holds() -> None:
    assert checked(AnchoringChain(ANCHORS), *ANCHORS) == (ANCHORS, [])
    # One more is anchored already, and in no final block yet: it may be listed or not.
    ahead = AnchoringChain([*ANCHORS, NEXT])
    ahead.final, ahead.newest = AnchoringChain(ANCHORS).final, AnchoringChain(ANCHORS).newest
    assert checked(ahead, *ANCHORS) == (ANCHORS, [])
    assert checked(ahead, *ANCHORS, NEXT).anchors == [*ANCHORS, NEXT]
    empty = AnchoringChain(ANCHORS)
    empty.events, empty.newest = [], Anchor(0, bytes(32), 0)
    assert checked(empty) == ([], [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"root": word("another")}, "anchor-false"),
        ({"size": 4}, "anchor-false"),
        ({"transaction": word("another")}, "anchor-place"),
        ({"block_number": 4}, "anchor-place"),
        ({"time_s": 1}, "anchor-place"),
    ],
)
def test_an_anchor_that_the_chain_does_not_hold_so_is_false(
    changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(ProofError) as refused:
        checked(AnchoringChain(ANCHORS), ANCHORS[0]._replace(**changes), ANCHORS[1])
    assert refused.value.code == code


@pytest.mark.parametrize("left", [[], [0], [1]])
def test_a_list_that_leaves_an_anchor_out_is_false(left: list[int]) -> None:
    listed = [ANCHORS[number] for number in left]
    with pytest.raises(ProofError, match="leaves out the anchor") as refused:
        checked(AnchoringChain(ANCHORS), *listed)
    assert refused.value.code == "anchor-missing"
    if ANCHORS[1] not in listed:
        # The newest is missed by the chain's state too, whatever events a node hides.
        silent = AnchoringChain(ANCHORS)
        silent.events = []
        with pytest.raises(ProofError, match="leaves out the anchor of size 7"):
            checked(silent, *listed)


def test_an_anchor_that_has_just_become_final_may_be_listed_later() -> None:
    chain = AnchoringChain(ANCHORS)
    chain.final = chain.final._replace(time_s=ANCHORS[1].time_s + LAG_S)
    with pytest.raises(PendingError, match="does not list yet"):
        checked(chain, ANCHORS[0])
    # That excuses the newest alone.
    with pytest.raises(ProofError, match="leaves out the anchor of size 3"):
        checked(chain, ANCHORS[1])


def test_the_place_of_an_anchor_whose_event_a_node_hides_is_not_checked() -> None:
    silent = AnchoringChain(ANCHORS)
    silent.events = silent.events[:1]
    assert checked(silent, *ANCHORS).not_checked == [
        "the transaction, block and time of size 7: the node of this test shows no event of it",
        NONE_LEFT_OUT,
    ]


NONE_LEFT_OUT = (
    "that the list leaves none out: the node of this test does not show all events of the log"
)


def test_a_node_that_has_forgotten_old_events_does_not_show_that_none_is_left_out() -> None:
    pruned = AnchoringChain(ANCHORS)
    pruned.events, pruned.registered = pruned.events[1:], None
    assert checked(pruned, ANCHORS[1]) == ([ANCHORS[1]], [NONE_LEFT_OUT])
    whole = AnchoringChain(ANCHORS[1:])
    assert checked(whole, ANCHORS[1]) == ([ANCHORS[1]], [])


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


def lying(server: str, path: str, lie: dict[str, Any]) -> Callable[[HttpRequest], object]:
    """Return a server that answers as another, but for these members at one path."""

    def answer(request: HttpRequest) -> object:
        url = f"{server}{request.path}?{urlencode(request.query)}"
        with urlopen(url) as found:  # noqa: S310 - a server of our own
            body = found.read()
        return json.loads(body) | lie if request.path == path else body

    return answer


def number(data: bytes) -> int:
    return int.from_bytes(data)


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

    for changes, code, said in (
        ({"event_log": escrow, "escrow": event_log}, MISSING, "the receipt names the event log"),
        ({"log_id": "0x" + "12" * 32}, FALSE, "no such log is registered with the event log"),
        ({"origin": "other.example"}, FALSE, f"registered as '{receipt['origin']}'"),
    ):
        altered = json.dumps(receipt | changes)
        done = market._run(["verify", "-", "--rpc", market.sandbox.rpc_url], altered)
        assert (done.code, done.stdout) == (code, ""), done
        assert said in done.stderr

    where = ("--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url)
    listed = market._run(["anchors", *where, "--log-id", log_id, "--json"], "")
    assert listed.code == DONE, listed
    assert json.loads(listed.stdout)["anchors"] == told
    assert json.loads(listed.stdout)["not_checked"] == []
    # The same server behind one that lies about one thing.
    held = market._run(["replay", *where], "")
    assert held.code == DONE, held
    for command, path, lie, said in (
        ("replay", "/v1/log", {"origin": "x\x1b[2J"}, "does not say what its log's origin is"),
        ("replay", "/v1/log", {"origin": "x"}, "names the origin x, but the chain has the log"),
        ("replay", "/v1/log/checkpoint", {"signature": "0x" + "11" * 65}, "v is 17; it must be"),
        ("replay", "/v1/log/checkpoint", {"root": "0x" + "12" * 32}, "signature is not that of"),
        ("replay", "/v1/log/checkpoint", {"size": 1}, "has 1 entries, but the chain holds the"),
        ("anchors", "/v1/log/anchors", {"anchors": []}, "leaves out the anchor of size"),
        ("anchors", "/v1/log/anchors", {"anchors": told[1:]}, "leaves out the anchor of size"),
        (
            "anchors",
            "/v1/log/anchors",
            {"anchors": [told[0] | {"transaction": "0x" + "12" * 32}, *told[1:]]},
            "the transaction of the anchor of size",
        ),
    ):
        with serving_json(lying(market.sandbox.url, path, lie)) as url:
            done = market._run([command, "--api", url, "--rpc", market.sandbox.rpc_url], "")
        code = MISSING if "does not say" in said else FALSE
        assert (done.code, done.stdout) == (code, ""), done
        assert said in done.stderr

    named = to_checksum_address(publisher[-20:])
    assert market._run(["anchors", *where, "--publisher", named], "").code == DONE
    for command in ("anchors", "replay"):
        other = market._run([command, *where, "--publisher", OWNER], "")
        assert (other.code, other.stdout) == (FALSE, "")
        assert f"the log's publisher is {named}, which is none of the pinned" in other.stderr
