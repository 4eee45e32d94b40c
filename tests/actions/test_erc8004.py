"""ERC-8004 feedback by the command line: written once, after the end, with its payment."""

import json
from base64 import b64decode
from typing import Any

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from orchestrator.chain.abi import Paid
from orchestrator.chain.caller import contract_at
from orchestrator.chain.event_scan import events_of
from orchestrator.chain.rpc import octets
from orchestrator.simulation.sandbox import address_of
from tests.support.market import BAD, DONE, MISSING, NOTHING, PLAIN, PRICE_UNITS, Market


def test_feedback_that_only_a_settlement_can_write(market: Market) -> None:
    chain, sandbox = market.chain, market.sandbox
    registry = contract_at("IdentityRegistry", sandbox.stand_ins.identities)
    for name in ("bo", "ada"):
        sandbox.transact(name, chain.call(registry, "register", f"https://{name}.example"))
    contract_id = market.open("ada", agent_id_plus_one="2", **PLAIN)
    agentless = market.open("bo", **PLAIN)
    asked = f"0x{contract_id.hex()}"
    early = "feedback is given when a contract has ended: it is scheduled, and owes 0.00 TEST"
    market.refused(NOTHING, early, "feedback", asked, by="owner")
    market.refused(NOTHING, "name no agent", "feedback", f"0x{agentless.hex()}", by="owner")
    market.advance_to(sandbox.clock() // 1000 + 3700)
    for lead in ("first", "second"):
        market.win("ada", lead)
        sandbox.settle(lead)
    market.refused(NOTHING, "it is open, and owes 0.00 TEST", "feedback", asked, by="owner")
    state = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in state["options"]}

    market.advance_to(state["claims_until_s"] + 1)
    state = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in state["options"]}
    market.refused(NOTHING, "have the rest refunded first", "feedback", asked, by="owner")
    assert market.run("refund", asked, "--yes", by="bo").code == DONE
    state = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" in {option["command"] for option in state["options"]}
    market.refused(BAD, "only " + address_of("owner"), "feedback", asked, by="bo")
    other = (asked, "--motion", "expansion")
    market.refused(BAD, "counts this outcome to conversion; not to", "feedback", *other, by="ada")
    wrong = (asked, "--feedback", sandbox.token)
    market.refused(MISSING, "is not the Feedback", "feedback", *wrong, by="ada")
    explained = market.run("feedback", asked, "--dry-run")
    assert "has paid 20.00 TEST, fees apart, for conversion" in explained.stdout
    assert sandbox.stand_ins.reputations in explained.stdout
    for endpoint in ("https://x\x1b[2J", "https://\udcff", "https://ä", "x" * 1001):
        bad = (asked, "--endpoint", endpoint)
        market.refused(BAD, "an endpoint is a URI of at most", "feedback", *bad, by="ada")

    endpoint = "https://growth.example/mcp"
    sent = market.run("feedback", asked, "--endpoint", endpoint, "--yes", "--json", by="ada")
    assert sent.code == DONE, sent
    (step,) = json.loads(sent.stdout)["transactions"]
    _check_registry(market, step, endpoint, contract_id)
    market.refused(NOTHING, "was given before", "feedback", asked, by="owner")
    state = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in state["options"]}


def _check_registry(
    market: Market, step: dict[str, Any], endpoint: str, contract_id: bytes
) -> None:
    """The registry holds the value, the tags, and a file whose hash is on chain."""
    chain, feedback = market.chain, market.chain.addresses.feedback
    assert feedback is not None
    registry = contract_at("ReputationRegistry", market.sandbox.stand_ins.reputations)
    read = chain.read_all(registry, "readFeedback", 1, feedback, 1)
    assert read == (2 * PRICE_UNITS, 6, "outcomes", "conversion", False)
    receipt = chain.node.call("eth_getTransactionReceipt", step["tx_hash"])
    (log,) = (
        log for log in receipt["logs"] if int(log["address"], 16) == int(registry.address, 16)
    )
    types = ["uint64", "int128", "uint8", "string", "string", "string", "string", "bytes32"]
    *_, stored_endpoint, uri, hash_ = decode(types, octets(log["data"]))
    data = b64decode(uri.removeprefix("data:application/json;base64,"), validate=True)
    document = json.loads(data)
    assert (stored_endpoint, hash_) == (endpoint, keccak(data))
    chain_id, payments = chain.addresses.chain_id, document["proofOfPayment"]
    identities = market.sandbox.stand_ins.identities
    assert document == step["document"] | {
        "agentRegistry": f"eip155:{chain_id}:{identities}",
        "agentId": 1,
        "clientAddress": f"eip155:{chain_id}:{feedback}",
        "value": 2 * PRICE_UNITS,
        "valueDecimals": 6,
        "tag1": "outcomes",
        "tag2": "conversion",
        "endpoint": endpoint,
        "contractId": f"0x{contract_id.hex()}",
        "outcome": "paid",
    }
    happened = events_of(chain, chain.addresses.escrow, [contract_id], 0, chain.block().number)
    paid = [event.tx_hash for event in happened if isinstance(event.event, Paid)]
    assert (len(paid), paid[-1]) == (2, octets(payments["txHash"]))
    assert payments["fromAddress"] == chain.addresses.escrow
    assert payments["toAddress"] == address_of("ada")
