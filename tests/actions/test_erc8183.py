"""ERC-8183 jobs by the command line: an evaluator is created, jobs are completed and rejected."""

import json
from functools import partial
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.chain.abi import artifact
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import log_id_of
from orchestrator.chain.rpc import octets
from orchestrator.core.common.units import DAY_S, format_second
from orchestrator.core.deals.terms import recover, verified_digest
from orchestrator.core.job_condition import Condition
from orchestrator.core.log.entry import ZERO_ADDRESS, pack_settlement
from orchestrator.core.log.merkle import leaf_hash
from orchestrator.runtime.local_chain import send_local
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.market import (
    BAD,
    DONE,
    MISSING,
    NOTHING,
    PLAIN,
    PRICE_UNITS,
    Market,
    Outcome,
    tampered,
)

JOB_UNITS = 70_000_000
HELD_BACK: dict[str, object] = {"holdback_bps": 1, "holdback_period_s": 9 * DAY_S}


class Board:
    """An ERC-8183 contract where `stranger` is the client and `ada` the provider."""

    def __init__(self, market: Market) -> None:
        self.market, self.chain = market, market.chain
        self.address = market.sandbox.stand_ins.commerce
        self.at = contract_at("AgenticCommerce", self.address)
        token = contract_at("TestStablecoin", market.sandbox.token)
        send = market.sandbox.send
        send("stranger", self.chain.mint(market.sandbox.token, address_of("stranger"), 10**12))
        send("stranger", self.chain.call(token, "approve", self.address, 10**12))

    def post(self, evaluator: str, expires_at_s: int) -> int:
        send, call = self.market.sandbox.send, self.chain.call
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
        """Return 0 open, 1 funded, 2 submitted, 3 completed, 4 rejected or 5 expired."""
        return int(self.chain.read(self.at, "statusOf", job))


def test_a_job_that_the_log_decides(market: Market) -> None:
    contract_id = market.open("ada", **PLAIN, **HELD_BACK)
    asked, board = f"0x{contract_id.hex()}", Board(market)
    deadline_s = market.sandbox.clock() // 1000 + 5 * DAY_S
    until = format_second(deadline_s).removesuffix(" UTC")
    where = (asked, "20", "--commerce", board.address, "--until", until)
    evaluator = _create_evaluator(market, board, where, deadline_s)
    job, other = (board.post(evaluator, deadline_s + 30 * DAY_S) for _ in range(2))
    named = ("--evaluator", evaluator)

    # Nothing is stated yet; one outcome is not enough; two are.
    complete = ("job complete", str(job), *named)
    market.refused(NOTHING, "no statement about it is endorsed", *complete, by="ada")
    market.advance_to(market.sandbox.clock() // 1000 + 3700)
    market.win("ada", "first")
    market.sandbox.settle("one")
    few = "it states 10000000 base units, and 20000000 are asked for; try again"
    market.refused(NOTHING, few, *complete, by="ada")
    market.win("ada", "second")
    market.sandbox.settle("two")
    reject = ("job reject", str(job), *named)
    market.refused(NOTHING, f"can be rejected after {format_second(deadline_s)}", *reject, by="ada")
    # What a statement has met is met, though a later one says less.
    market.report_hourly("first", "refund")
    market.sandbox.settle("three")
    assert json.loads(market.run("contract", asked, "--json").stdout)["net_units"] == "10000000"
    explained = market.run(*complete, "--dry-run")
    assert (explained.code, board.status(job)) == (DONE, 2)
    assert "states 20.00 TEST (20000000 base units) earned and 0.00 TEST" in explained.stdout
    assert "for good" in explained.stdout
    _check_other_evaluators_are_refused(market, evaluator, job)

    before = market.balance_of("ada")
    done = market.run(*complete, "--yes", "--json", by="bo")  # no party to the job
    assert done.code == DONE, done
    assert (board.status(job), market.balance_of("ada") - before) == (3, JOB_UNITS)
    document = json.loads(done.stdout)
    assert document["condition"]["subject"] == asked
    (step,) = document["transactions"]
    _check_reason_is_the_statement(market, step)
    again = market.run(*complete, "--yes", by="bo")
    assert (again.code, "WrongStatus(3)" in again.stdout) == (MISSING, True)
    market.refused(BAD, "is no id", "job reject", str(2**256), *named, by="bo")

    # Up to the deadline a job is only completed, afterwards only rejected.
    late = ("job complete", str(other), *named)
    market.advance_to(deadline_s)
    assert market.run(*late, "--dry-run").code == DONE
    over = ("job reject", str(other), *named)
    market.refused(NOTHING, f"can be rejected after {format_second(deadline_s)}", *over, by="ada")
    market.advance_to(deadline_s + 1)
    market.refused(NOTHING, "now they can only be rejected", *late, by="ada")
    client = market.balance_of("stranger")
    done = market.run(*over, "--yes", by="bo")
    assert done.code == DONE, done
    assert (board.status(other), market.balance_of("stranger") - client) == (4, JOB_UNITS)
    _check_fees_go_to_the_verifier(market, evaluator)


def _check_other_evaluators_are_refused(market: Market, evaluator: str, job: int) -> None:
    """One is made by another factory, and one is about another log."""
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
    """Invented endorsements are passed over; the true one beneath them completes the job."""
    contract_id = market.open("ada", **PLAIN)
    asked, board = f"0x{contract_id.hex()}", Board(market)
    deadline_s = market.sandbox.clock() // 1000 + 5 * DAY_S
    until = format_second(deadline_s).removesuffix(" UTC")
    where = (asked, "10", "--commerce", board.address, "--until", until, "--yes", "--json")
    evaluator = json.loads(market.run("job evaluator", *where, by="stranger").stdout)["evaluator"]
    job = board.post(evaluator, deadline_s + 30 * DAY_S)
    complete = ("job complete", str(job), "--evaluator", evaluator, "--dry-run", "--json")
    market.advance_to(market.sandbox.clock() // 1000 + 3700)
    market.win("ada", "first")
    market.sandbox.settle("one")
    (true,) = json.loads(market.run(*complete).stdout)["transactions"]

    def complete_with(**invented: object) -> Outcome:
        def change(document: dict[str, Any]) -> None:
            document["endorsements"].append(document["endorsements"][-1] | invented)

        with tampered(market.sandbox.url, change, "endorsements") as url:
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
        done = complete_with(**invented)
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
        done = complete_with(**invented)
        assert (done.code, "does not say which statements" in done.stderr) == (MISSING, True)


def _create_evaluator(market: Market, board: Board, where: tuple[str, ...], deadline_s: int) -> str:
    explained = market.run("job evaluator", *where, "--dry-run", "--json")
    assert explained.code == DONE, explained
    document = json.loads(explained.stdout)
    evaluator: str = document["evaluator"]
    assert document["condition"] == {
        "commerce": board.address,
        "log_id": f"0x{market.sandbox.stack.site.log_id.hex()}",
        "verifier": address_of("verifier"),
        "subject": where[0],
        "minimum_units": str(2 * PRICE_UNITS),
        "stated_from_s": 0,
        "deadline_s": deadline_s,
    }
    attempt = ("job complete", "1", "--evaluator")
    market.refused(BAD, "there is no evaluator at", *attempt, evaluator, by="ada")
    market.refused(BAD, "is no evaluator of the factory", *attempt, board.address, by="ada")
    fake = market.chain.addresses.event_log
    market.refused(BAD, "is no evaluator of the factory", *attempt, fake, by="ada")
    market.refused(BAD, "is no address", *attempt, "ada", by="ada")

    made = market.run("job evaluator", *where, "--yes", by="stranger")
    assert made.code == DONE, made
    assert f"the evaluator is {evaluator}" in made.stdout
    assert "earned 20.00 TEST (20000000 base units) or more, less what was reversed" in made.stdout
    again = market.run("job evaluator", *where, by="stranger")
    assert (again.code, "it is on the chain already" in again.stdout) == (DONE, True)

    asked, _, *rest = where
    for code, text, arguments in (
        (BAD, "the contract cannot earn 0.00 TEST", (asked, "0", *rest)),
        (BAD, "up to its budget of 100.00 TEST", (asked, "100.000001", *rest)),
        (BAD, "must be a decimal amount", (asked, "many", *rest)),
        (BAD, "no statement could complete the job", (*where[:-1], "2001-01-01")),
        (BAD, "no statement could complete the job", (*where, "--stated-from", "2999-01-01")),
        (BAD, "a time must be RFC 3339", (*where[:-1], "soon")),
        (BAD, "there is no ERC-8183 contract at", (*where[:3], address_of("bo"), *where[4:])),
        (MISSING, "is not the JobEvaluators", (*where, "--evaluators", board.address)),
    ):
        market.refused(code, text, "job evaluator", *arguments, by="stranger")
    return evaluator


def _check_reason_is_the_statement(market: Market, step: dict[str, Any]) -> None:
    """The leaf hash on chain names the entry, and the verifier has signed for it."""
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
            market.sandbox.stack.site.log_id,
            one["size"],
            octets(one["root"]),
            one["first"],
            one["count"],
        )
        assert recover(digest, octets(one["signature"])) == address_of("verifier")
        assert one["first"] <= one["position"] < one["first"] + one["count"]
    unknown = "0x" + "12" * 32
    assert market.owner._http.get(f"/v1/contracts/{unknown}/endorsements").status_code == 404


def _check_fees_go_to_the_verifier(market: Market, evaluator: str) -> None:
    """This job contract pays evaluators nothing, so the test does."""
    collect = ("job collect", "--evaluator", evaluator, "--token", market.sandbox.token)
    market.refused(NOTHING, "the evaluator has nothing", *collect, by="bo")
    market.sandbox.send("bo", market.chain.mint(market.sandbox.token, evaluator, 5))
    assert market.run(*collect, "--yes", by="bo").code == DONE
    assert market.balance_of("verifier") == 5
