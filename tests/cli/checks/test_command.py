"""The commands that check: their output, their exit codes, what they read."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from orchestrator.cli import main as cli
from orchestrator.cli.checks.command import _print_lines
from orchestrator.verify import receipt_check
from tests.support.http_server import Refusal, serving_json
from tests.support.market import Run
from tests.support.public_log import CONTRACT_ID, PublicChain, public_records
from tests.support.receipts import PUBLISHER, receipt_of
from tests.support.terms import OWNER

DOCUMENT = receipt_of(public_records(), CONTRACT_ID)
SIGNATURE = DOCUMENT["checkpoint"]["signature"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return the name of a file with a receipt."""
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(DOCUMENT))
    return str(path)


def test_verify_says_what_it_takes_on_trust(run: Run, file: str) -> None:
    done = run(["verify", file, "--chain-id", "31337"], "")
    assert (done.code, done.stderr) == (cli.OK, "")
    assert done.stdout.count("taken on trust: ") == 6
    assert "taken on trust: chain" not in done.stdout
    assert done.stdout.count("not checked: ") == 4
    assert done.stdout.endswith("the receipt is consistent; nothing was asked of the chain\n")


@pytest.mark.parametrize("text", ["{}", "[]", "7", '{"position": 7}'])
def test_what_is_no_receipt_is_bad_input_and_no_false_claim(
    run: Run, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    done = run(["verify", str(path)], "")
    assert (done.code, done.stderr) == (cli.BAD_INPUT, f"tallystick: {path}: is no receipt\n")
    path.write_text('{"format": "tallystick-receipt-7"}')
    assert run(["verify", str(path)], "").code == cli.FALSE_CLAIM


HOSTILE = ["a\x1b[31mRED\nthe receipt holds", "\x1b[2J", "a\x9b2J", "a\u202egnihton"]


@pytest.mark.parametrize("origin", HOSTILE)
def test_an_origin_that_would_steer_a_terminal_is_refused(run: Run, origin: str) -> None:
    text = json.dumps({**DOCUMENT, "origin": origin}, ensure_ascii=False)
    done = run(["verify", "-"], text)
    assert (done.code, done.stdout) == (cli.FALSE_CLAIM, "")
    assert done.stderr.rstrip("\n").isprintable()


def test_no_line_of_others_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _print_lines(HOSTILE)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["a?[31mRED?the receipt holds", "?[2J", "a?2J", "a?gnihton"]


def test_verify_tells_the_same_as_a_document(run: Run, file: str) -> None:
    document = json.loads(run(["verify", file, "--json"], "").stdout)
    assert (document["valid"], document["on_chain"], document["pending"]) == (True, False, [])
    assert len(document["shown"]) == 3
    assert len(document["not_checked"]) == 4
    assert len(document["on_trust"]) == 7


def test_a_receipt_of_another_deployment_than_the_pinned_is_false(run: Run, file: str) -> None:
    done = run(["verify", file, "--escrow", OWNER, "--json"], "")
    assert done.code == cli.FALSE_CLAIM
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("pin-differs", cli.FALSE_CLAIM)


def test_a_publisher_is_pinned_without_a_node(run: Run, file: str) -> None:
    done = run(["verify", file, "--publisher", OWNER, "--publisher", PUBLISHER], "")
    assert done.code == cli.OK
    assert f"the checkpoint is signed by {PUBLISHER}\n" in done.stdout
    assert "taken on trust: publisher" not in done.stdout
    other = run(["verify", file, "--publisher", OWNER, "--json"], "")
    assert other.code == cli.FALSE_CLAIM
    assert json.loads(other.stdout)["error"]["code"] == "pin-differs"


def test_a_payout_that_could_not_be_checked_has_an_exit_code_of_its_own(
    run: Run, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = PublicChain(public_records())
    monkeypatch.setattr(receipt_check, "receipt_chain", lambda *_: nullcontext(chain))
    held = run(["verify", file, "--rpc", "http://node"], "")
    assert held.code == cli.OK
    assert held.stdout.endswith("\nthe receipt holds\n")
    unseen, chain.money = chain.money, chain.money._replace(statements={})
    silent = run(["verify", file, "--rpc", "http://node"], "")
    assert silent.code == cli.OK
    assert "  not checked: that the escrow took the settlement, entry " in silent.stdout
    chain.money = unseen
    chain.money = chain.money._replace(payouts=[], hidden_units=8_000_000)
    done = run(["verify", file, "--rpc", "http://node", "--json"], "")
    assert done.code == cli.MISSING == 3
    assert json.loads(done.stdout)["error"]["code"] == "payouts-hidden"
    chain.money = chain.money._replace(hidden_units=0)
    assert run(["verify", file, "--rpc", "http://node"], "").code == cli.FALSE_CLAIM


def test_verify_reads_stdin(run: Run) -> None:
    for text, code in (
        (json.dumps(DOCUMENT), cli.OK),
        (json.dumps({**DOCUMENT, "note": 1}), cli.FALSE_CLAIM),
        (json.dumps(DOCUMENT).replace(SIGNATURE, "0x" + "00" * 65), cli.FALSE_CLAIM),
        ("{", cli.BAD_INPUT),
        (" " * 2**20 + "{}", cli.BAD_INPUT),
    ):
        assert run(["verify", "-"], text).code == code


def test_a_receipt_is_fetched_checked_and_printed(run: Run) -> None:
    position = DOCUMENT["position"]
    with serving_json(lambda _: DOCUMENT) as url:
        done = run(["receipt", str(position), "--api", url, "--json"], "")
        assert (done.code, json.loads(done.stdout)) == (cli.OK, DOCUMENT)
        told = run(["receipt", str(position), "--api", url], "")
        assert json.loads(told.stdout) == DOCUMENT
        assert told.stderr.count("taken on trust") == 7
        assert told.stderr.count("not checked") == 4


def test_a_receipt_that_is_not_anchored_yet_has_an_exit_code_of_its_own(run: Run) -> None:
    refusal = Refusal(409, {"title": "Receipt unanchored", "detail": "not anchored yet"})
    with serving_json(lambda _: refusal) as url:
        done = run(["receipt", "7", "--api", url, "--json"], "")
    assert done.code == cli.NOT_YET == 5
    assert json.loads(done.stdout)["error"]["code"] == "receipt-unanchored"


def test_a_receipt_of_another_entry_is_refused(run: Run) -> None:
    with serving_json(lambda _: DOCUMENT) as url:
        done = run(["receipt", str(DOCUMENT["position"] + 1), "--api", url, "--json"], "")
    assert json.loads(done.stdout)["error"]["code"] == "receipt-other"


def test_the_version_is_printed(run: Run) -> None:
    done = run(["--version"], "")
    assert (done.code, done.stdout.split()[0]) == (cli.OK, "tallystick")


def test_a_usage_error_is_a_document_too(run: Run) -> None:
    done = run(["replay", "--url", "x", "--json"], "")
    assert done.code == cli.BAD_INPUT
    assert json.loads(done.stdout)["error"]["code"] == "usage"
