"""The commands on contracts as people run them: a real log, server and chain, and real refusals.

In the first test a verifier is honest, then silent: what it stated is disputed and ruled on, what
it did not state is claimed by proof, refuted, disputed, and what is left goes back. In the second
publisher and verifier count one lead twice, and a stranger stops them.
"""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.client.http import Client
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.core.entries import folds
from orchestrator.core.evidence.exhibits import TOUCH, TRANSITION, Claim, read_words
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
    tampered,
)

# --- An honest verifier, then a silent one --------------------------------------------------------


def test_what_people_can_do_about_a_contract(market: Market) -> None:
    contract_id = market.propose("ada")
    asked = f"0x{contract_id.hex()}"
    _before_it_is_open(market, asked)
    market.accept(contract_id)
    _before_anything(market, asked)
    _a_statement_is_disputed(market, asked)
    _what_is_due_is_released(market, asked)
    _a_silent_verifier(market, asked, contract_id)
    _the_end(market, asked)


def _before_it_is_open(market: Market, asked: str) -> None:
    """The escrow knows nothing of a proposal; its parties alone are told why."""
    for party in ("ada", "owner"):
        told = market.run("contract", asked, by=party)
        assert told.code == DONE, told
        assert "its owner has not accepted it" in told.stdout
    as_json = json.loads(market.run("contract", asked, "--json", by="ada").stdout)
    assert (as_json["code"], as_json["contract_id"]) == ("unopened", asked)
    market.refused(BAD, f"has no contract {asked}", "contract", asked)
    market.refused(MISSING, "there is no such proposal", "contract", asked, by="stranger")


def _before_anything(market: Market, asked: str) -> None:
    shown = market.run("contract", asked)
    assert shown.code == DONE
    assert "scheduled: it has not begun" in shown.stdout
    assert '10.00 TEST, for each lead that enters "paid"' in shown.stdout
    assert "the operator can claim by proof what was not settled" in shown.stdout
    # The verifier has done nothing on this chain yet: it signs, and sends nothing.
    assert f"{address_of('verifier')} (no code, no transactions sent)" in shown.stdout
    assert re.search(r"the verifier 0x\w{40} was never used on this chain", shown.stdout)
    # The same without a server: the escrow alone says what it is.
    escrow = market.chain.addresses.escrow
    named = ("--escrow", escrow, "--lens", str(market.chain.addresses.lens))
    again = market.run("contract", asked, *named, api="http://127.0.0.1:1")
    assert (again.code, again.stdout) == (DONE, shown.stdout)

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
    shown = json.loads(market.run("contract", asked, "--json").stdout)
    pending = shown["pending"]
    assert (shown["status"], pending["earned_units"]) == ("open", str(PRICE_UNITS))
    assert [one["command"] for one in shown["options"]][:3] == ["dispute", "dispute", "disprove"]
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
    """Let the operator claim what a final statement covers, and a stranger have it dropped."""
    with Client(market.sandbox.url) as client:
        log_id = market.sandbox.stack.site.log_id
        with LogCopy(pages_of(client), market.chain, log_id, [contract_id]) as log_copy:
            _check_openings(log_copy)
            first = _transitions(log_copy)[0]
            touch = _touch_of(log_copy, first)
            call = market.chain.claim(
                contract_id,
                log_copy.size,
                log_copy.exhibit(first.transition),
                log_copy.exhibit(touch),
            )
    market.sandbox.send("ada", call)
    with tampered(market.sandbox.url, _last_byte) as url:
        market.refused(FALSE, "the server's entries give root 0x", "refute", asked, "--yes",
                       by="stranger", api=url)  # fmt: skip
    for change, words in (
        (_no_entries, "the server has 0 entries, but the chain holds the root of"),
        (_no_bundle, "does not say what its entries from 0 on are"),
        (_no_order, "the server's entries give root 0x"),
    ):
        with tampered(market.sandbox.url, change) as url:
            market.refused(FALSE, words, "refute", asked, "--yes", by="stranger", api=url)
    refuted = market.run("refute", asked, "--yes", by="stranger")
    assert refuted.code == DONE, refuted
    assert "together: the verifier's final statement covers an answer" in refuted.stdout
    shown = market.run("contract", asked).stdout
    assert "claimed  10.00 TEST, in 1 claim\n" in shown
    assert "refuted  1 claim\n" in shown


def _check_openings(log_copy: LogCopy) -> None:
    """Check that what the server gives beside each transition is what its payload commits to."""
    opened = 0
    for item in log_copy.entries():
        entry = read_words(0, item.data)
        if entry.kind == TRANSITION:
            assert sha256(item.opening).digest() == item.data[-32:]
            opened += 1
    assert opened == 6


def _transitions(log_copy: LogCopy) -> list[Claim]:
    found = []
    for position, item in enumerate(log_copy.entries()):
        entry = read_words(position, item.data)
        if entry.kind == TRANSITION and entry.label.rstrip(b"\0") == b"paid":
            found.append(Claim(entry.subject, PRICE_UNITS, position, 0, entry.time_ms))
    return found


def _touch_of(log_copy: LogCopy, claim: Claim) -> int:
    for position, item in enumerate(log_copy.entries()):
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
    shown = market.run("contract", asked).stdout
    assert "refunded: everything is paid or given back" in shown
    assert shown.endswith("nothing is left to do\n")
    where = ("--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url)
    replayed = market._run(["replay", *where], "")
    assert replayed.code == DONE, replayed
    by_log = "3 outcomes, 30.00 payable by the log, 20.00 paid, 0.00 still owed\n"
    assert f"{asked}\n  refunded, the arbiter ruled; {by_log}" in replayed.stdout
    assert "taken on trust: the service's clock, which is moved by hand\n" in replayed.stdout


# --- A verifier that lies -------------------------------------------------------------------------


def test_lies_are_disproved(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    contract_id, other_id = market.open("ada"), market.open("bo")
    asked, other = f"0x{contract_id.hex()}", f"0x{other_id.hex()}"
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    # Publisher and verifier both forget which leads they counted: they lie the same lie.
    monkeypatch.setattr(folds, "_count_lead", lambda *_: None)
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
    shown = market.run("disprove", asked, by="stranger", say="y\n")
    assert shown.code == DONE, shown
    assert "together: a lead or a transition was counted twice" in shown.stdout
    assert (
        f"(entry {pending.position}, 20.00 TEST in all) is void, and the verifier" in shown.stdout
    )
    assert market.chain.is_retired(contract_id)
    assert market.chain.pending_of(contract_id) is None
    assert not market.chain.is_retired(other_id)
    market.refused(NOTHING, "its verifier was disproved before", "disprove", asked, by="stranger")
    assert "disproved: its word counts no more" in market.run("contract", asked).stdout

    # The other statement was not disproved in time: what is final stays, and the verifier goes.
    market.advance_to(pending.resolves_at_s + 1)
    late = market.run("disprove", "--yes", by="stranger")
    assert late.code == DONE, late
    assert "the escrow takes no statement of it any more; none is pending" in late.stdout
    assert "what was final before stays: 20.00 TEST" in late.stdout
    assert market.chain.is_retired(other_id)
    market.refused(NOTHING, "its verifier was disproved before", "disprove", other, by="stranger")
    market.refused(NOTHING, "the log shows no lie", "disprove", "--yes", by="stranger")


# --- A publisher that tells two histories ---------------------------------------------------------


def test_a_fork_is_reported_and_said_wherever_the_log_is_looked_at(
    market: Market, tmp_path: Path
) -> None:
    asked = f"0x{market.open('ada').hex()}"
    market.sandbox.settle("one")
    chain, log_id = market.chain, market.sandbox.stack.site.log_id
    size = chain.checkpoint(log_id).size
    assert size
    with Client(market.sandbox.url) as client:
        served = client.get("/v1/log/checkpoint", size=size)
    digest = checkpoint_digest(chain.event_log_domain, log_id, size, b"\1" * 32)
    other = {
        **served,
        "root": "0x" + "01" * 32,
        "signature": "0x" + sign_digest(digest, key_of("publisher")).hex(),
    }
    files = {}
    for name, document in (("told", served), ("other", other), ("junk", {})):
        files[name] = str(tmp_path / f"{name}.json")
        Path(files[name]).write_text(json.dumps(document))

    report = ("log report-fork",)
    market.refused(BAD, "that is no fork", *report, files["told"], by="stranger")
    market.refused(BAD, "junk.json: is no signed checkpoint", *report, files["junk"], by="stranger")
    explained = market.run(*report, files["other"], "--dry-run")
    assert explained.code == DONE, explained
    assert f"root 0x{'01' * 32} of size {size} is signed by the publisher" in explained.stdout
    assert f"nothing behind its first {size:,} entries can be settled" in explained.stdout
    assert chain.forked_at(log_id) is None
    sent = market.run(*report, files["other"], files["told"], "--yes", by="stranger")
    assert sent.code == DONE, sent
    assert chain.forked_at(log_id) is not None
    market.refused(NOTHING, "is marked as forked since", *report, files["other"], by="stranger")

    where = ("--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url)
    assert "But the log was marked as forked at" in market._run(["replay", *where], "").stdout
    assert "nothing more of it is anchored" in market.run("contract", asked).stdout


# --- What a hostile server does to entries --------------------------------------------------------


def _last_byte(items: list[tuple[bytes, bytes]]) -> None:
    entry, opening = items[-1]
    items[-1] = (entry[:-1] + bytes([entry[-1] ^ 1]), opening)


def _no_entries(items: list[tuple[bytes, bytes]]) -> None:
    items.clear()


def _no_bundle(items: list[tuple[bytes, bytes]]) -> None:
    items[0] = (items[0][0][1:], b"")


def _no_order(items: list[tuple[bytes, bytes]]) -> None:
    items.reverse()
