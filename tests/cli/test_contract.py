"""Every command on contracts as people run it: a real log, server and chain, and real refusals.

Two stories. In the first a verifier is honest, then silent: what it stated is disputed and ruled
on, what it did not state is claimed by proof, refuted, disputed, and what is left goes back. In the
second publisher and verifier count one lead twice, and a stranger stops them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from orchestrator.cli import session as desk
from orchestrator.client.http import Client
from orchestrator.core.evidence.exhibits import TOUCH, TRANSITION, Claim, read_words
from orchestrator.core.opening import EventOpening, payload_of
from orchestrator.core.terms import close_digest, sign_digest
from orchestrator.core.world import World
from orchestrator.simulation.sandbox import address_of, key_of
from orchestrator.verify.log_copy import LogCopy, pages_of
from tests.support.market import (
    BAD,
    BUDGET_UNITS,
    DONE,
    FALSE,
    MISSING,
    NOTHING,
    PRICE_UNITS,
    Market,
    Run,
    tampered,
)
from tests.support.rpc_proxy import Ask, Forward, RpcProxy

COMMAND = Path(sys.executable).with_name("tallystick")


# --- An honest verifier, then a silent one --------------------------------------------------------


def test_what_people_can_do_about_a_contract(market: Market) -> None:
    contract_id = market.open("ada")
    asked = f"0x{contract_id.hex()}"
    _before_anything(market, asked)
    _a_statement_is_disputed(market, asked)
    _what_is_due_is_released(market, asked)
    _a_silent_verifier(market, asked, contract_id)
    _the_end(market, asked)


def _before_anything(market: Market, asked: str) -> None:
    told = market.run("contract", asked)
    assert told.code == DONE
    assert "scheduled: it has not begun" in told.stdout
    assert '10.00 TEST, for each lead that enters "paid"' in told.stdout
    assert "the operator can claim by proof what was not settled" in told.stdout
    # The same without a server: the escrow alone says what it is.
    escrow = market.chain.addresses.escrow
    again = market.run("contract", asked, "--escrow", escrow, api="http://127.0.0.1:1")
    assert (again.code, again.stdout) == (DONE, told.stdout)

    for code, said, command, by in (
        (NOTHING, "has not signed a statement that is on chain", "disprove", "stranger"),
        (NOTHING, "there is nothing to claim", "claim", "ada"),
        (NOTHING, "there is nothing to refute: no claim stands", "refute", "stranger"),
        (NOTHING, "nothing is pending; a statement can be disputed", "dispute", "owner"),
        (NOTHING, "refunds are possible after 2026-01-25", "refund", "owner"),
        (NOTHING, "nothing is due now; nothing is known to come", "release", "stranger"),
    ):
        market.refused(code, said, command, asked, by=by)
    market.refused(NOTHING, "nothing is before the arbiter", "rule", asked, "5", by="arbiter")
    unknown = "0x" + "12" * 32
    market.refused(BAD, f"has no contract {unknown}", "contract", unknown)
    market.refused(BAD, "has no contract", "release", unknown, by="ada")


def _a_statement_is_disputed(market: Market, asked: str) -> None:
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    market.win("ada", "first")
    market.sandbox.settle("one")
    told = json.loads(market.run("contract", asked, "--json").stdout)
    pending = told["pending"]
    assert (told["status"], pending["earned_units"]) == ("open", str(PRICE_UNITS))
    assert [one["command"] for one in told["options"]][:3] == ["dispute", "dispute", "disprove"]
    market.refused(NOTHING, "the log shows no lie of a verifier", "disprove", asked, by="stranger")
    market.refused(NOTHING, "the log shows no lie of a verifier", "disprove", by="stranger")

    # Explained, and not sent: without a key, with a no, with no answer.
    explained = market.run("dispute", asked, "--dry-run")
    assert explained.code == DONE
    assert f"dispute the statement at entry {pending['position']}" in explained.stdout
    assert "earned 10.00 TEST, taken back 0.00 TEST, so 10.00 TEST in all" in explained.stdout
    assert "the arbiter " + address_of("arbiter") + " can rule on it until" in explained.stdout
    assert "ETH at the price of now" in explained.stdout
    # A dry run sends nothing, whatever else is said.
    market.refused(DONE, "", "dispute", asked, "--dry-run", "--yes", by="owner")
    market.refused(BAD, "there is no key to sign with", "dispute", asked)
    for answer in ("n\n", ""):
        market.refused(NOTHING, "nothing was signed", "dispute", asked, by="owner", say=answer)
    only_parties = f"only {address_of('owner')} or {address_of('ada')} can dispute"
    market.refused(BAD, only_parties, "dispute", asked, "--yes", by="stranger")
    claims = (asked, "--about", "claims", "--yes")
    market.refused(NOTHING, "nothing is claimed", "dispute", *claims, by="owner")
    market.refused(NOTHING, "nothing is before the arbiter", "rule", asked, "6", by="arbiter")

    sent = market.run("dispute", asked, by="owner", say="y\n")
    assert sent.code == DONE, sent
    assert "sending transaction 0x" in sent.stderr
    assert "done: dispute the statement" in sent.stdout
    market.refused(BAD, f"only {address_of('ada')} can dispute", "dispute", asked, by="owner")

    market.refused(BAD, "only " + address_of("arbiter"), "rule", asked, "6", by="owner")
    market.refused(BAD, "is more than budget and claims leave", "rule", asked, "101", by="arbiter")
    market.refused(BAD, "the amount of TEST", "rule", asked, "6.0000001", by="arbiter")
    market.refused(BAD, "the amount of TEST", "rule", asked, "six", by="arbiter")
    before = market.balance_of("ada")
    ruled = market.run("rule", asked, "6.00", "--yes", "--json", by="arbiter")
    assert ruled.code == DONE, ruled
    (step,) = json.loads(ruled.stdout)["transactions"]
    assert step["payable_units"] == "6000000"
    assert int(step["likely_wei"]) <= int(step["most_wei"])
    assert market.chain.node.call("eth_getTransactionReceipt", step["tx_hash"])["status"] == "0x1"
    assert market.balance_of("ada") - before == 6_000_000
    market.sandbox.come_to_rest()


def _what_is_due_is_released(market: Market, asked: str) -> None:
    market.win("ada", "second")
    market.sandbox.settle("two")
    when = "nothing is due now; more can be released at 2026-01-"
    market.refused(NOTHING, when, "release", asked, by="stranger")
    resolves_at_s = json.loads(market.run("contract", asked, "--json").stdout)["pending"][
        "resolves_at_s"
    ]
    # The service would release it by itself; here it does nothing.
    market.sandbox.pass_time(resolves_at_s + 1 - market.sandbox.clock() // 1000)
    late = market.run("dispute", asked, by="owner")
    assert (late.code, "nothing is pending" in late.stderr) == (NOTHING, True)
    explained = market.run("release", asked, "--dry-run")
    assert "10.00 TEST go to the payee " + address_of("ada") in explained.stdout
    before = market.balance_of("ada")
    released = market.run("release", asked, "--yes", by="stranger")
    assert released.code == DONE, released
    assert market.balance_of("ada") - before == 10_000_000
    market.refused(NOTHING, "nothing is due now", "release", asked, "--yes", by="stranger")
    market.sandbox.come_to_rest()


def _a_silent_verifier(market: Market, asked: str, contract_id: bytes) -> None:
    times = json.loads(market.run("contract", asked, "--json").stdout)
    market.win("ada", "third")
    market.advance_to(times["statements_until_s"] - 10)
    early = market.run("claim", asked, "--yes", by="ada")
    assert early.code == NOTHING
    assert "outcomes that no final statement answers: 1, 10.00 TEST in all" in early.stdout
    assert "claims can be filed after 2026-01-17" in early.stderr

    market.advance_to(times["statements_until_s"] + 1)
    market.refused(BAD, f"only {address_of('ada')} can claim", "claim", asked, by="bo")
    claimed = market.run("claim", asked, "--yes", "--json", by="ada")
    assert claimed.code == DONE, claimed
    (filed,) = json.loads(claimed.stdout)["transactions"]
    assert filed["amount_units"] == str(PRICE_UNITS)
    market.refused(NOTHING, "there is nothing to claim", "claim", asked, "--yes", by="ada")
    market.refused(NOTHING, "the log speaks against none of them", "refute", asked, by="stranger")

    _a_false_claim(market, asked, contract_id)

    market.refused(NOTHING, "claims can be disputed after", "dispute", asked, by="owner")
    claims = ("dispute", asked, "--about", "claims")
    market.refused(NOTHING, "claims can be disputed after 2026-01-25", *claims, by="owner")
    market.advance_to(times["claims_until_s"] + 1)
    market.refused(NOTHING, "there is nothing to claim", "claim", asked, by="ada")
    disputed = market.run("dispute", asked, "--yes", by="owner")
    assert disputed.code == DONE, disputed
    market.refused(NOTHING, "the claims were disputed before", "dispute", asked, by="ada")
    market.refused(
        BAD,
        "10.01 TEST (10010000 base units) is more than 10.00 TEST",
        "rule",
        asked,
        "10.01",
        by="arbiter",
    )
    ruled = market.run("rule", asked, "4", "--yes", by="arbiter")
    assert ruled.code == DONE, ruled
    assert "4.00 TEST (4000000 base units) of it are paid after 2026-02-02" in ruled.stdout
    market.refused(NOTHING, "nothing is before the arbiter", "rule", asked, "4", by="arbiter")


def _a_false_claim(market: Market, asked: str, contract_id: bytes) -> None:
    """The operator claims what a final statement has answered; a stranger has it dropped."""
    with Client(market.sandbox.url) as client:
        log_id = market.sandbox.stack.site.log_id
        with LogCopy(pages_of(client), market.chain, log_id, contract_id) as book:
            _check_openings(book)
            first = _transitions(book)[0]
            touch = _touch_of(book, first)
            call = market.chain.claim(
                contract_id, book.size, book.exhibit(first.transition), book.exhibit(touch)
            )
    market.sandbox.send("ada", call)
    with tampered(market.sandbox.url, _last_byte) as url:
        market.refused(FALSE, "the server's entries give root 0x", "refute", asked, "--yes",
                       by="stranger", api=url)  # fmt: skip
    for change, words in (
        (_no_entries, "the server has 0 entries, but the chain holds the root of"),
        (_no_hex, "what the server gives from 0 on are no entries"),
        (_no_order, "the server did not give entry 0"),
    ):
        with tampered(market.sandbox.url, change) as url:
            market.refused(FALSE, words, "refute", asked, "--yes", by="stranger", api=url)
    refuted = market.run("refute", asked, "--yes", by="stranger")
    assert refuted.code == DONE, refuted
    assert "together: the verifier's final statement covers an answer" in refuted.stdout
    told = market.run("contract", asked).stdout
    assert "claimed  10.00 TEST, in 1 claim\n" in told
    assert "refuted  1 claim\n" in told


def _check_openings(book: LogCopy) -> None:
    """What the server gives beside a transition must be what its payload commits to."""
    opened = 0
    for item in book.entries():
        entry = read_words(0, item.data)
        if entry.kind == TRANSITION:
            assert isinstance(item.opening, EventOpening)
            assert payload_of(item.opening) == item.data[-32:]
            opened += 1
    assert opened == 6


def _transitions(book: LogCopy) -> list[Claim]:
    found = []
    for position, item in enumerate(book.entries()):
        entry = read_words(position, item.data)
        if entry.kind == TRANSITION and entry.label.rstrip(b"\0") == b"paid":
            found.append(Claim(entry.subject, PRICE_UNITS, position, 0, entry.time_ms))
    return found


def _touch_of(book: LogCopy, claim: Claim) -> int:
    for position, item in enumerate(book.entries()):
        entry = read_words(position, item.data)
        if entry.kind == TOUCH and entry.subject == claim.lead:
            return position
    raise AssertionError("the lead was not touched")


def _the_end(market: Market, asked: str) -> None:
    before = market.balance_of("owner")
    refunded = market.run("refund", asked, "--yes", by="stranger")
    assert refunded.code == DONE, refunded
    assert "kept for what may still be owed: 4.00 TEST" in refunded.stdout
    assert market.balance_of("owner") - before == BUDGET_UNITS - 20_000_000
    market.refused(NOTHING, "all that is left is paid or may still be owed", "refund", asked,
                   by="stranger")  # fmt: skip
    times = json.loads(market.run("contract", asked, "--json").stdout)
    assert (times["budget_units"], times["claims_ruled_units"]) == ("20000000", "4000000")
    market.sandbox.pass_time(times["refutable_until_s"] + 1 - market.sandbox.clock() // 1000)
    before = market.balance_of("ada")
    released = market.run("release", asked, "--yes", by="stranger")
    assert released.code == DONE, released
    assert market.balance_of("ada") - before == 4_000_000
    told = market.run("contract", asked).stdout
    assert "refunded: everything is paid or given back" in told
    assert told.endswith("nothing is left to do\n")
    where = ("--url", market.sandbox.url, "--rpc", market.sandbox.rpc_url)
    replayed = market._run(["replay", *where], "")
    assert replayed.code == DONE, replayed
    by_log = "3 outcomes, 30.00 payable by the log, 20.00 paid, 0.00 still owed\n"
    assert f"{asked}\n  refunded, the arbiter ruled; {by_log}" in replayed.stdout


# --- Consent --------------------------------------------------------------------------------------


def test_a_contract_is_closed_by_consent(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_id = market.open("bo")
    asked, path = f"0x{contract_id.hex()}", tmp_path / "consent.json"
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    market.win("bo", "someone")
    market.sandbox.settle("one")

    # The chain's time is not the time of this machine: a signature might be good for years.
    signing = ("close", asked, "7", "--sign", "--yes")
    market.refused(MISSING, ", by our own clock 20", *signing, by="bo")
    monkeypatch.setattr(desk, "our_clock", lambda: market.sandbox.clock() // 1000)
    market.refused(BAD, "say --sign to print your signature", "close", asked, "7", by="bo")
    only = f"only {address_of('owner')} or {address_of('bo')} can agree"
    market.refused(BAD, only, "close", asked, "7", "--sign", by="stranger")
    market.refused(BAD, "is not between what is paid", "close", asked, "101", "--sign", by="bo")
    market.refused(NOTHING, "nothing was signed", "close", asked, "7", "--sign", by="bo", say="n")
    for by in (None, "bo"):
        looked = market.run("close", asked, "7", "--sign", "--dry-run", "--yes", by=by)
        assert (looked.code, looked.stdout) == (DONE, "")
        assert "what is pending or claimed is dropped" in looked.stderr
    signed = market.run("close", asked, "7", "--sign", "--days", "2", by="bo", say="y\n")
    assert signed.code == DONE, signed
    assert "7.00 TEST (7000000 base units) payable in all" in signed.stderr
    document = json.loads(signed.stdout)
    path.write_text(json.dumps(document))

    with_it = ("--consent", str(path), "--yes")
    agreed = "has agreed to 7.00 TEST (7000000 base units), not to 8.00 TEST (8000000 base units)"
    market.refused(BAD, agreed, "close", asked, "8", *with_it, by="owner")
    market.refused(BAD, f"only {address_of('owner')} can close", "close", asked, "7", *with_it,
                   by="bo")  # fmt: skip
    for changed, words in (
        ({"payable_units": "8000000"}, "has agreed to 8.00 TEST"),
        ({"expires_at_s": document["expires_at_s"] + 1}, "the signature is not"),
        ({"party": address_of("owner")}, "the signature is not"),
        ({"party": address_of("stranger")}, "which is no party"),
        ({"contract_id": "0x" + "12" * 32}, "the consent is for contract 0x1212"),
        ({"signature": "0x12"}, "the signature is not"),
        ({"signature": "0xzz"}, f"{path}: the consent is garbled"),
        ({"payable_units": 7}, f"{path}: that is no consent"),
    ):
        path.write_text(json.dumps(document | changed))
        market.refused(BAD, words, "close", asked, "7", *with_it, by="owner")
    path.write_text("{")
    market.refused(BAD, "is not readable as JSON", "close", asked, "7", *with_it, by="owner")
    path.write_text(json.dumps(document))
    early = market.sandbox.clock() // 1000
    late = close_digest(market.chain.escrow_domain, contract_id, 7_000_000, early - 1)
    expired = {"expires_at_s": early - 1, "signature": "0x" + sign_digest(late, key_of("bo")).hex()}
    path.write_text(json.dumps(document | expired))
    market.refused(NOTHING, "the consent was good until", "close", asked, "7", *with_it, by="owner")
    path.write_text(json.dumps(document))

    held, owned = market.balance_of("bo"), market.balance_of("owner")
    closed = market.run("close", asked, "7", "--consent", str(path), by="owner", say="y\n")
    assert closed.code == DONE, closed
    assert market.balance_of("bo") - held == 7_000_000
    assert market.balance_of("owner") - owned == BUDGET_UNITS - 7_000_000
    told = json.loads(market.run("contract", asked, "--json").stdout)
    assert (told["status"], told["budget_units"], told["options"]) == ("closed", "7000000", [])
    for command, *rest in (("close", "7", *with_it), ("dispute",), ("rule", "1"), ("refund",),
                           ("claim",)):  # fmt: skip
        market.refused(NOTHING, "its parties closed it on 2026-01-", command, asked, *rest,
                       by="owner")  # fmt: skip


# --- A verifier that lies -------------------------------------------------------------------------


def test_lies_are_disproved(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    contract_id, other_id = market.open("ada"), market.open("bo")
    asked, other = f"0x{contract_id.hex()}", f"0x{other_id.hex()}"
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    # Those who write and those who judge forget whom they counted: both lie the same lie.
    monkeypatch.setattr(World, "_count_lead", lambda *_: None)
    for name, lead in (("ada", "one"), ("bo", "two")):
        market.win(name, lead)
        market.report_hourly(lead, "lapse", "buy")
    market.sandbox.settle("lie")
    pending = market.chain.pending_of(contract_id)
    assert pending is not None
    assert pending.earned_units == 2 * PRICE_UNITS

    explained = market.run("disprove", "--dry-run", "--json")
    assert explained.code == DONE, explained
    cases = json.loads(explained.stdout)["transactions"]
    assert {case["contract_id"] for case in cases} == {asked, other}
    assert all((case["kind"], len(case["entries"])) == ("duplicate", 2) for case in cases)
    with tampered(market.sandbox.url, _last_byte) as url:
        market.refused(FALSE, "but the chain holds 0x", "disprove", asked, by="stranger", api=url)
    told = market.run("disprove", asked, by="stranger", say="y\n")
    assert told.code == DONE, told
    assert "together: a lead or a transition was counted twice" in told.stdout
    assert f"(entry {pending.position}, 20.00 TEST in all) is void, and the verifier" in told.stdout
    assert market.chain.is_retired(contract_id)
    assert market.chain.pending_of(contract_id) is None
    assert not market.chain.is_retired(other_id)
    market.refused(NOTHING, "its verifier was disproved before", "disprove", asked, by="stranger")
    assert "disproved: its word counts no more" in market.run("contract", asked).stdout

    # Nobody looked at the other one in time: what is final stays, and the verifier goes.
    market.advance_to(pending.resolves_at_s + 1)
    late = market.run("disprove", "--yes", by="stranger")
    assert late.code == DONE, late
    assert "the escrow takes no statement of it any more; none is pending" in late.stdout
    assert "what was final before stays: 20.00 TEST" in late.stdout
    assert market.chain.is_retired(other_id)
    market.refused(NOTHING, "its verifier was disproved before", "disprove", other, by="stranger")
    market.refused(NOTHING, "the log shows no lie", "disprove", "--yes", by="stranger")


# --- What is not there, or not right --------------------------------------------------------------


def test_bad_input_is_one_line(market: Market, run: Run, tmp_path: Path) -> None:
    contract_id = market.open("ada")
    asked = f"0x{contract_id.hex()}"
    exposed, empty = tmp_path / "exposed", tmp_path / "empty"
    exposed.write_text(key_of("ada").hex())
    exposed.chmod(0o644)
    empty.touch(mode=0o600)
    for code, words, *arguments in (
        (BAD, "is no contract id", "contract", "0x12"),
        (BAD, "is no contract id", "disprove", asked[:-1]),
        (BAD, "others may read it", "release", asked, "--key-file", str(exposed)),
        (BAD, "must hold a key", "release", asked, "--key-file", str(empty)),
        (BAD, "No such file", "release", asked, "--key-file", str(tmp_path / "none")),
        (BAD, "is no address", "contract", asked, "--escrow", "0x12"),
        (MISSING, "has no escrow at", "contract", asked, "--escrow", address_of("ada")),
        (MISSING, "did not answer", "contract", asked, "--api", "http://127.0.0.1:1"),
        (BAD, "is no http(s) URL", "contract", asked, "--api", "ftp://example.org"),
        (MISSING, "did not answer", "contract", asked, "--rpc", "http://127.0.0.1:1"),
        (BAD, "must be an http(s) URL", "contract", asked, "--rpc", "nowhere"),
        (MISSING, f"the API at {market.sandbox.url[7:]} does not say which log it serves",
         "contract", asked, "--api", f"{market.sandbox.url}/v1/openapi.json?"),
    ):  # fmt: skip
        given = [*arguments]
        for option, value in (("--api", market.sandbox.url), ("--rpc", market.sandbox.rpc_url)):
            if option not in given:
                given += [option, value]
        done = run(given, "")
        assert done.code == code, done
        assert done.stderr.startswith("tallystick: "), done.stderr
        assert words in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr

    # A node that makes up terms is found out: the id is their digest.
    with RpcProxy(market.sandbox.rpc_url) as proxy:
        proxy.fault = _other_terms
        done = run(["contract", asked, "--api", market.sandbox.url, "--rpc", proxy.url], "")
        assert (done.code, "gives other terms for" in done.stderr) == (MISSING, True), done

    # As it is installed, with its key in the environment.
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(f"0x{key_of('ada').hex()}")
    given = ["release", asked, "--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url]
    ended = subprocess.run(
        [COMMAND, *given],
        env={**os.environ, "TALLYSTICK_KEY_FILE": str(key)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (NOTHING, "")
    assert ended.stderr == "tallystick: nothing is due now; nothing is known to come\n"


# --- What a hostile server does to entries --------------------------------------------------------


def _last_byte(document: dict[str, Any]) -> None:
    entry = document["entries"][-1]["entry"]
    document["entries"][-1]["entry"] = entry[:-2] + f"{int(entry[-2:], 16) ^ 1:02x}"


def _no_entries(document: dict[str, Any]) -> None:
    document["entries"] = []


def _no_hex(document: dict[str, Any]) -> None:
    document["entries"][0]["entry"] = "0x" + "zz" * 256


def _no_order(document: dict[str, Any]) -> None:
    document["entries"].reverse()


def _other_terms(asks: list[Ask], forward: Forward) -> list[Ask]:
    """The node says that the terms have another salt."""
    replies = forward(asks)
    for ask, reply in zip(asks, sorted(replies, key=lambda one: int(one["id"])), strict=True):
        call = ask["params"][0] if ask["method"] == "eth_call" else {}
        if call.get("data", "").startswith(f"0x{keccak(text='termsOf(bytes32)')[:4].hex()}"):
            reply["result"] = reply["result"][:-2] + "99"
    return replies
