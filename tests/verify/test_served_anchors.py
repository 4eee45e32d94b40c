"""Anchors as a server lists them, and the walk of the page about checking, by raw calls alone."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.request import Request, urlopen

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.terms import checkpoint_digest, recover
from orchestrator.verify.served_anchors import ServedAnchor, check_anchor, served_anchors
from tests.support.http_server import serving_json
from tests.support.market import DONE, FALSE, PLAIN, Market
from tests.support.terms import OWNER
from tests.support.worlds import word

PAGE = Path(__file__).parents[2].joinpath("docs/checking.md").read_text()
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
    settled = node.logs(escrow, "Settled(bytes32,uint256)", contract_id)
    (statement,) = [
        words for _, words in settled if number(words[-5:]) == entries["settlement"]["position"]
    ]
    assert number(statement[:10]) - number(statement[10:20]) == number(data["settlement"][160:192])
    paid = node.logs(escrow, "Paid(bytes32,uint256,uint256)", contract_id)
    at = [transaction for transaction, _ in paid].index(to_hex(data["payout"][-32:]))
    gross_units = [number(words[:32]) + number(words[32:64]) for _, words in paid[: at + 1]]
    assert gross_units[-1] == number(data["payout"][160:192]) > 0
    assert sum(gross_units[:-1]) < number(data["settlement"][160:192]) <= sum(gross_units)

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
