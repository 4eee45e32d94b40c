"""What other places take from the log, by the command line: ERC-8183 jobs and ERC-8004 feedback."""

import json
from base64 import b64decode
from functools import partial
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.actions.wording import utc
from orchestrator.chain.abi import Paid, artifact
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import log_id_of
from orchestrator.chain.event_scan import events_of
from orchestrator.chain.rpc import octets
from orchestrator.core.entry import ZERO_ADDRESS, pack_settlement
from orchestrator.core.job_condition import Condition
from orchestrator.core.merkle import leaf_hash
from orchestrator.core.terms import recover, verified_digest
from orchestrator.runtime.local_chain import send_local
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.market import (
    BAD,
    DAY_S,
    DONE,
    MISSING,
    NOTHING,
    PRICE_UNITS,
    Market,
    Outcome,
    tampered,
)

JOB_UNITS = 70_000_000
PLAIN: dict[str, object] = {
    "claim_period_s": 0,
    "challenge_period_s": 0,
    "arbitration_period_s": 0,
    "arbiter": ZERO_ADDRESS,
}


HELD_BACK: dict[str, object] = {"holdback_bps": 1, "holdback_period_s": 9 * DAY_S}


class Board:
    """An ERC-8183 contract where `stranger` is the client and `ada` the provider."""

    def __init__(self, market: Market) -> None:
        self.market, self.chain = market, market.chain
        self.address = market.scene.stand_ins.commerce
        self.at = contract_at("AgenticCommerce", self.address)
        token = contract_at("TestStablecoin", market.scene.token)
        send = market.scene.send
        send("stranger", self.chain.mint(market.scene.token, address_of("stranger"), 10**12))
        send("stranger", self.chain.call(token, "approve", self.address, 10**12))

    def post(self, evaluator: str, expires_at_s: int) -> int:
        send, call = self.market.scene.send, self.chain.call
        send(
            "stranger",
            call(
                self.at, "createJob", address_of("ada"), evaluator, expires_at_s, "", ZERO_ADDRESS
            ),
        )
        job = int(self.chain.read(self.at, "jobCount"))
        send("stranger", call(self.at, "setBudget", job, JOB_UNITS, b""))
        send("stranger", call(self.at, "fund", job, JOB_UNITS, b""))
        send("ada", call(self.at, "submit", job, bytes(32), b""))
        return job

    def status(self, job: int) -> int:
        """0 open, 1 funded, 2 submitted, 3 completed, 4 rejected, 5 expired."""
        return int(self.chain.read(self.at, "statusOf", job))


def test_a_job_that_the_log_decides(market: Market) -> None:
    contract_id = market.open("ada", **PLAIN, **HELD_BACK)
    asked, board = f"0x{contract_id.hex()}", Board(market)
    deadline_s = market.scene.clock() // 1000 + 5 * DAY_S
    until = utc(deadline_s).removesuffix(" UTC")
    where = (asked, "20", "--commerce", board.address, "--until", until)
    evaluator = _an_evaluator_is_offered(market, board, where, deadline_s)
    job, other = (board.post(evaluator, deadline_s + 30 * DAY_S) for _ in range(2))
    named = ("--evaluator", evaluator)

    # Nothing is stated yet; one outcome is not enough; two are.
    complete = ("job complete", str(job), *named)
    market.refused(NOTHING, "no statement about it is endorsed", *complete, by="ada")
    market.until(market.scene.clock() // 1000 + 3700)
    market.wins("ada", "first")
    market.scene.settle("one")
    few = "it states 10000000 base units, and 20000000 are asked for; try again"
    market.refused(NOTHING, few, *complete, by="ada")
    market.wins("ada", "second")
    market.scene.settle("two")
    reject = ("job reject", str(job), *named)
    market.refused(NOTHING, f"can be rejected after {utc(deadline_s)}", *reject, by="ada")
    # What a statement has met is met, though a later one says less.
    market.happens("first", "refund")
    market.scene.settle("three")
    assert json.loads(market.run("contract", asked, "--json").stdout)["net_units"] == "10000000"
    explained = market.run(*complete, "--dry-run")
    assert (explained.code, board.status(job)) == (DONE, 2)
    assert "states 20.00 TEST (20000000 base units) earned and 0.00 TEST" in explained.stdout
    assert "for good" in explained.stdout
    _evaluators_of_others_are_refused(market, evaluator, job)

    before = market.held("ada")
    done = market.run(*complete, "--yes", "--json", by="bo")  # anybody
    assert done.code == DONE, done
    assert (board.status(job), market.held("ada") - before) == (3, JOB_UNITS)
    document = json.loads(done.stdout)
    assert document["condition"]["subject"] == asked
    (step,) = document["transactions"]
    _its_reason_is_the_statement(market, step)
    again = market.run(*complete, "--yes", by="bo")
    assert (again.code, "WrongStatus(3)" in again.stdout) == (MISSING, True)
    market.refused(BAD, "JOB", "job reject", str(2**256), *named, by="bo")

    # Up to the deadline a job is only completed, afterwards only rejected.
    late = ("job complete", str(other), *named)
    market.until(deadline_s)
    assert market.run(*late, "--dry-run").code == DONE
    over = ("job reject", str(other), *named)
    market.refused(NOTHING, f"can be rejected after {utc(deadline_s)}", *over, by="ada")
    market.until(deadline_s + 1)
    market.refused(NOTHING, "now they can only be rejected", *late, by="ada")
    client = market.held("stranger")
    done = market.run(*over, "--yes", by="bo")
    assert done.code == DONE, done
    assert (board.status(other), market.held("stranger") - client) == (4, JOB_UNITS)
    _fees_go_to_the_verifier(market, evaluator)


def _evaluators_of_others_are_refused(market: Market, evaluator: str, job: int) -> None:
    """One that another factory made, and one that is about another log."""
    chain, events = market.chain, market.chain.addresses.event_log
    send = partial(send_local, chain.node, key_of("stranger"))
    made = send(None, artifact("JobEvaluators").creation + encode(["address"], [events]))
    factory = to_checksum_address(str(made["contractAddress"]))
    condition = tuple(
        Condition.from_abi(chain.read(contract_at("JobEvaluator", evaluator), "condition"))
    )
    twin = chain.call(contract_at("JobEvaluators", factory), "create", condition)
    send(twin.to, twin.data)
    theirs = chain.read(contract_at("JobEvaluators", factory), "evaluatorOf", condition)
    named = ("job complete", str(job), "--evaluator", to_checksum_address(theirs))
    market.refused(BAD, "is no evaluator of the factory", *named, by="ada")

    call = chain.register("mine.example", address_of("stranger"))
    send(call.to, call.data)
    mine = log_id_of(address_of("stranger"), "mine.example")
    ours = chain.addresses.evaluators
    assert ours is not None
    changed = (condition[0], mine, *condition[2:])
    twin = chain.call(contract_at("JobEvaluators", ours), "create", changed)
    send(twin.to, twin.data)
    theirs = chain.read(contract_at("JobEvaluators", ours), "evaluatorOf", changed)
    named = ("job complete", str(job), "--evaluator", to_checksum_address(theirs))
    market.refused(BAD, f"the condition is about log 0x{mine.hex()}", *named, by="ada")


def test_a_server_that_lies_about_jobs(market: Market) -> None:
    """What it invents is passed over; what is true beneath it completes the job."""
    contract_id = market.open("ada", **PLAIN)
    asked, board = f"0x{contract_id.hex()}", Board(market)
    deadline_s = market.scene.clock() // 1000 + 5 * DAY_S
    until = utc(deadline_s).removesuffix(" UTC")
    where = (asked, "10", "--commerce", board.address, "--until", until, "--yes", "--json")
    evaluator = json.loads(market.run("job evaluator", *where, by="stranger").stdout)["evaluator"]
    job = board.post(evaluator, deadline_s + 30 * DAY_S)
    complete = ("job complete", str(job), "--evaluator", evaluator, "--dry-run", "--json")
    market.until(market.scene.clock() // 1000 + 3700)
    market.wins("ada", "first")
    market.scene.settle("one")
    (true,) = json.loads(market.run(*complete).stdout)["transactions"]

    def saying(**invented: object) -> Outcome:
        def change(document: dict[str, Any]) -> None:
            document["endorsements"].append(document["endorsements"][-1] | invented)

        with tampered(market.scene.url, change, "endorsements") as url:
            return market.run(*complete, api=url)

    (endorsed,) = market.owner.get(f"/v1/contracts/{asked}/endorsements")["endorsements"]
    more = endorsed["entry"][:-64] + pack_settlement(2**60, 0, 1, 0).hex()
    more = more[: 2 + 10 * 32] + (2**60).to_bytes(32).hex() + more[2 + 12 * 32 :]
    for invented in (
        {"entry": more},
        {"size": endorsed["size"] + 1},
        {"signature": "0x" + "11" * 65},
        {"signature": "0x"},
        {"first": endorsed["first"] - 1, "count": endorsed["count"] + 1},
    ):
        done = saying(**invented)
        assert done.code == DONE, (invented, done)
        (found,) = json.loads(done.stdout)["transactions"]
        assert found["data"] == true["data"]
    for invented in (
        {"entry": "0x00"},
        {"entry": None},
        {"signature": "0x" + "11" * 4097},
        {"size": 10**80},
        {"position": -1},
        {"count": 0},
        {"first": "one"},
    ):
        done = saying(**invented)
        assert (done.code, "does not say which statements" in done.stderr) == (MISSING, True)


def _an_evaluator_is_offered(
    market: Market, board: Board, where: tuple[str, ...], deadline_s: int
) -> str:
    told = market.run("job evaluator", *where, "--dry-run", "--json")
    assert told.code == DONE, told
    document = json.loads(told.stdout)
    evaluator: str = document["evaluator"]
    assert document["condition"] == {
        "commerce": board.address,
        "log_id": f"0x{market.scene.stack.site.log_id.hex()}",
        "verifier": address_of("verifier"),
        "subject": where[0],
        "minimum_units": str(2 * PRICE_UNITS),
        "stated_from_s": 0,
        "deadline_s": deadline_s,
    }
    looks = ("job complete", "1", "--evaluator")
    market.refused(BAD, "there is no evaluator at", *looks, evaluator, by="ada")
    market.refused(BAD, "is no evaluator of the factory", *looks, board.address, by="ada")
    fake = market.chain.addresses.event_log
    market.refused(BAD, "is no evaluator of the factory", *looks, fake, by="ada")
    market.refused(BAD, "is no address", *looks, "ada", by="ada")

    made = market.run("job evaluator", *where, "--yes", by="stranger")
    assert made.code == DONE, made
    assert f"the evaluator is {evaluator}" in made.stdout
    assert "earned 20.00 TEST (20000000 base units) or more, less what was reversed" in made.stdout
    again = market.run("job evaluator", *where, by="stranger")
    assert (again.code, "it is on the chain already" in again.stdout) == (DONE, True)

    asked, _, *rest = where
    for code, said, given in (
        (BAD, "the contract cannot earn 0.00 TEST", (asked, "0", *rest)),
        (BAD, "up to its budget of 100.00 TEST", (asked, "100.000001", *rest)),
        (BAD, "is no amount", (asked, "many", *rest)),
        (BAD, "no statement could complete the job", (*where[:-1], "2001-01-01")),
        (BAD, "no statement could complete the job", (*where, "--stated-from", "2999-01-01")),
        (BAD, "a time must be RFC 3339", (*where[:-1], "soon")),
        (BAD, "there is no ERC-8183 contract at", (*where[:3], address_of("bo"), *where[4:])),
        (MISSING, "is not the JobEvaluators", (*where, "--evaluators", board.address)),
    ):
        market.refused(code, said, "job evaluator", *given, by="stranger")
    return evaluator


def _its_reason_is_the_statement(market: Market, step: dict[str, Any]) -> None:
    """By the leaf hash on chain anybody finds the entry; and the verifier has signed for it."""
    served = market.owner.get("/v1/log/entries", start=step["position"], limit=1)
    (entry,) = served["entries"]
    receipt = market.chain.node.call("eth_getTransactionReceipt", step["tx_hash"])
    completed = keccak(text="JobCompleted(uint256,address,bytes32)")
    (reason,) = (
        octets(log["data"]) for log in receipt["logs"] if octets(log["topics"][0]) == completed
    )
    assert reason == leaf_hash(octets(entry["entry"]))
    path = f"/v1/contracts/0x{octets(entry['entry'])[96:128].hex()}/endorsements"
    found = list(market.owner.pages(path, "endorsements", limit=1))
    assert [one["position"] for one in found][-2] == step["position"]
    assert len({one["position"] for one in found}) == len(found)
    domain = market.chain.evaluators_domain
    assert domain is not None
    for one in found:
        digest = verified_digest(
            domain,
            market.scene.stack.site.log_id,
            one["size"],
            octets(one["root"]),
            one["first"],
            one["count"],
        )
        assert recover(digest, octets(one["signature"])) == address_of("verifier")
        assert one["first"] <= one["position"] < one["first"] + one["count"]
    unknown = "0x" + "12" * 32
    assert market.owner._http.get(f"/v1/contracts/{unknown}/endorsements").status_code == 404


def _fees_go_to_the_verifier(market: Market, evaluator: str) -> None:
    """This job contract pays evaluators nothing, so somebody else does."""
    collect = ("job collect", "--evaluator", evaluator, "--token", market.scene.token)
    market.refused(NOTHING, "the evaluator has nothing", *collect, by="bo")
    market.scene.send("bo", market.chain.mint(market.scene.token, evaluator, 5))
    assert market.run(*collect, "--yes", by="bo").code == DONE
    assert market.held("verifier") == 5


def test_feedback_that_only_a_settlement_can_write(market: Market) -> None:
    chain, scene = market.chain, market.scene
    registry = contract_at("IdentityRegistry", scene.stand_ins.identities)
    for name in ("bo", "ada"):
        scene.transact(name, chain.call(registry, "register", f"https://{name}.example"))
    contract_id = market.open("ada", agent_id_plus_one="2", **PLAIN)
    nobody = market.open("bo", **PLAIN)
    asked = f"0x{contract_id.hex()}"
    early = "feedback is given when a contract has ended: it is scheduled, and owes 0.00 TEST"
    market.refused(NOTHING, early, "feedback", asked, by="owner")
    market.refused(NOTHING, "name no agent", "feedback", f"0x{nobody.hex()}", by="owner")
    market.until(scene.clock() // 1000 + 3700)
    for lead in ("first", "second"):
        market.wins("ada", lead)
        scene.settle(lead)
    market.refused(NOTHING, "it is open, and owes 0.00 TEST", "feedback", asked, by="owner")
    found = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in found["options"]}

    market.until(found["claims_until_s"] + 1)
    found = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in found["options"]}
    market.refused(NOTHING, "have the rest refunded first", "feedback", asked, by="owner")
    assert market.run("refund", asked, "--yes", by="bo").code == DONE
    found = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" in {option["command"] for option in found["options"]}
    market.refused(BAD, "only " + address_of("owner"), "feedback", asked, by="bo")
    other = (asked, "--motion", "expansion")
    market.refused(BAD, "counts this outcome to conversion; not to", "feedback", *other, by="ada")
    wrong = (asked, "--feedback", scene.token)
    market.refused(MISSING, "is not the Feedback", "feedback", *wrong, by="ada")
    explained = market.run("feedback", asked, "--dry-run")
    assert "has paid 20.00 TEST for conversion" in explained.stdout
    assert scene.stand_ins.reputations in explained.stdout
    for endpoint in ("https://x\x1b[2J", "https://\udcff", "https://ä", "x" * 1001):
        bad = (asked, "--endpoint", endpoint)
        market.refused(BAD, "an endpoint is a URI of at most", "feedback", *bad, by="ada")

    endpoint = "https://growth.example/mcp"
    given = market.run("feedback", asked, "--endpoint", endpoint, "--yes", "--json", by="ada")
    assert given.code == DONE, given
    (step,) = json.loads(given.stdout)["transactions"]
    _the_registry_has_it(market, step, endpoint, contract_id)
    market.refused(NOTHING, "was given before", "feedback", asked, by="owner")
    found = json.loads(market.run("contract", asked, "--json").stdout)
    assert "feedback" not in {option["command"] for option in found["options"]}


def _the_registry_has_it(
    market: Market, step: dict[str, Any], endpoint: str, contract_id: bytes
) -> None:
    """As ERC-8004 has it: value, tags, and a file whose hash is on chain."""
    chain, at = market.chain, market.chain.addresses.feedback
    assert at is not None
    registry = contract_at("ReputationRegistry", market.scene.stand_ins.reputations)
    read = chain.read_all(registry, "readFeedback", 1, at, 1)
    assert read == (2 * PRICE_UNITS, 6, "outcomes", "conversion", False)
    receipt = chain.node.call("eth_getTransactionReceipt", step["tx_hash"])
    (log,) = (
        log for log in receipt["logs"] if int(log["address"], 16) == int(registry.address, 16)
    )
    types = ["uint64", "int128", "uint8", "string", "string", "string", "string", "bytes32"]
    *_, said, uri, hash_ = decode(types, octets(log["data"]))
    data = b64decode(uri.removeprefix("data:application/json;base64,"), validate=True)
    document = json.loads(data)
    assert (said, hash_) == (endpoint, keccak(data))
    chain_id, payments = chain.addresses.chain_id, document["proofOfPayment"]
    identities = market.scene.stand_ins.identities
    assert document == step["document"] | {
        "agentRegistry": f"eip155:{chain_id}:{identities}",
        "agentId": 1,
        "clientAddress": f"eip155:{chain_id}:{at}",
        "value": 2 * PRICE_UNITS,
        "valueDecimals": 6,
        "tag1": "outcomes",
        "tag2": "conversion",
        "endpoint": endpoint,
        "contractId": f"0x{contract_id.hex()}",
        "outcome": "paid",
    }
    happened = events_of(chain, [contract_id], 0, chain.block().number)
    paid = [event.tx_hash for event in happened if isinstance(event.event, Paid)]
    assert (len(paid), paid[-1]) == (2, octets(payments["txHash"]))
    assert payments["fromAddress"] == chain.addresses.escrow
    assert payments["toAddress"] == address_of("ada")
