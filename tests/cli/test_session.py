"""A signing command's session: endpoints, keys and consents that are not right, and questions."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import session
from orchestrator.cli.session import Printer, RunOptions, read_signing_key
from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.terms import close_digest, sign_digest
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.market import BAD, BUDGET_UNITS, DONE, MISSING, NOTHING, Market, Run
from tests.support.rpc_proxy import Ask, Forward, RpcProxy

COMMAND = Path(sys.executable).with_name("tallystick")


def test_only_a_dry_run_needs_no_key(tmp_path: Path) -> None:
    assert read_signing_key(RunOptions(None, dry_run=True)) is None
    with pytest.raises(InputError, match="there is no key to sign with"):
        read_signing_key(RunOptions(None))
    # A key that is named is read even for a dry run, so that a wrong one is found early.
    with pytest.raises(InputError, match="No such file"):
        read_signing_key(RunOptions(tmp_path / "none", dry_run=True))


@pytest.mark.parametrize(("answer", "is_yes"), [("y\n", True), ("n\n", False), ("", False)])
def test_only_a_yes_is_a_yes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    is_yes: bool,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert Printer(RunOptions(None)).confirm("Sign?") is is_yes
    printed = capsys.readouterr()
    assert not printed.out.strip()  # the library that asks puts a space there
    assert ("nothing was signed" in printed.err) is not is_yes
    assert Printer(RunOptions(None, yes=True)).confirm("Sign?")
    assert capsys.readouterr() == ("", "")


def test_no_word_of_others_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (RunOptions(None), RunOptions(None, as_json=True)):
        printer = Printer(options)
        printer.print_line("8.00 \x1b[2JUSDC\u202e", "bold")
        printer.print_aside("\x9b2J")
        said = capsys.readouterr()
        assert said.out + said.err == "8.00 ?[2JUSDC?\n?2J\n"


def test_stdout_holds_one_document_or_lines_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for as_json, expected in (
        (False, ("line\n", "aside\n")),
        (True, ('{"a": 1}\n', "line\naside\n")),
    ):
        printer = Printer(RunOptions(None, as_json=as_json))
        printer.print_line("line")
        printer.print_aside("aside")
        printer.print_json({"a": 1})
        assert capsys.readouterr() == expected


def test_a_contract_is_closed_by_consent(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_id = market.open("bo")
    asked, path = f"0x{contract_id.hex()}", tmp_path / "consent.json"
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    market.win("bo", "one")
    market.sandbox.settle("one")

    # The chain's time is not the time of this machine: a signature might be good for years.
    signing = ("close", asked, "7", "--sign", "--yes")
    market.refused(MISSING, ", by our own clock 20", *signing, by="bo")
    monkeypatch.setattr(session, "local_time_s", lambda: market.sandbox.clock() // 1000)
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
    late = close_digest(
        market.chain.escrow_domain, address_of("bo"), contract_id, 7_000_000, early - 1
    )
    expired = {"expires_at_s": early - 1, "signature": "0x" + sign_digest(late, key_of("bo")).hex()}
    path.write_text(json.dumps(document | expired))
    market.refused(NOTHING, "the consent was good until", "close", asked, "7", *with_it, by="owner")
    path.write_text(json.dumps(document))

    held, owner_held = market.balance_of("bo"), market.balance_of("owner")
    closed = market.run("close", asked, "7", "--consent", str(path), by="owner", say="y\n")
    assert closed.code == DONE, closed
    assert market.balance_of("bo") - held == 7_000_000
    assert market.balance_of("owner") - owner_held == BUDGET_UNITS - 7_000_000
    state = json.loads(market.run("contract", asked, "--json").stdout)
    assert (state["status"], state["budget_units"], state["options"]) == ("closed", "7000000", [])
    for command, *rest in (("close", "7", *with_it), ("dispute",), ("rule", "1"), ("refund",),
                           ("claim",)):  # fmt: skip
        market.refused(NOTHING, "its parties closed it on 2026-01-", command, asked, *rest,
                       by="owner")  # fmt: skip


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
        (BAD, "give both --escrow and --lens", "contract", asked, "--escrow", address_of("ada")),
        (MISSING, "has no escrow at", "contract", asked, "--escrow", address_of("ada"), "--lens",
         address_of("bo")),
        (MISSING, "where the EscrowLens should be", "contract", asked, "--escrow",
         market.chain.addresses.escrow, "--lens", address_of("bo")),
        (MISSING, "did not answer", "contract", asked, "--api", "http://127.0.0.1:1"),
        (BAD, "is no http(s) URL", "contract", asked, "--api", "ftp://example.org"),
        (MISSING, "did not answer", "contract", asked, "--rpc", "http://127.0.0.1:1"),
        (BAD, "must be an http(s) URL", "contract", asked, "--rpc", "nowhere"),
        (MISSING, f"the API at {market.sandbox.url[7:]} does not say which log it serves",
         "contract", asked, "--api", f"{market.sandbox.url}/v1/openapi.json?"),
    ):  # fmt: skip
        command_line = [*arguments]
        for option, value in (("--api", market.sandbox.url), ("--rpc", market.sandbox.rpc_url)):
            if option not in command_line:
                command_line += [option, value]
        done = run(command_line, "")
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
    command_line = ["release", asked, "--api", market.sandbox.url, "--rpc", market.sandbox.rpc_url]
    ended = subprocess.run(
        [COMMAND, *command_line],
        env={**os.environ, "TALLYSTICK_KEY_FILE": str(key)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (NOTHING, "")
    assert ended.stderr == "tallystick: nothing is due now; nothing is known to come\n"


def _other_terms(asks: list[Ask], forward: Forward) -> list[Ask]:
    """Answer as the node does, but with another salt in the terms."""
    replies = forward(asks)
    for ask, reply in zip(asks, sorted(replies, key=lambda one: int(one["id"])), strict=True):
        if ask["method"] == "eth_getLogs":
            for log in reply["result"]:
                # The salt is random, so any byte may stand there already.
                log["data"] = f"{log['data'][:-2]}{int(log['data'][-2:], 16) ^ 1:02x}"
    return replies
