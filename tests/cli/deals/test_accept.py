"""The command that accepts by rules: what it refuses before it signs anything."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.deals.accept import read_rules
from orchestrator.cli.main import main
from orchestrator.core.common.errors import InputError
from tests.support.http_server import Refusal, serving_json
from tests.support.market import DONE, MISSING, Run
from tests.support.terms import DOMAIN, OWNER, PLAIN


def test_rules_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("offers: [")
    with pytest.raises(InputError, match=r"rules\.yaml") as refused:
        read_rules(path)
    assert refused.value.code == "yaml-invalid"


def test_without_a_key_nothing_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TALLYSTICK_KEY_FILE", raising=False)
    paths = ["--rules", str(tmp_path / "rules.yaml"), "--signed", str(tmp_path / "signed")]
    monkeypatch.setattr(sys, "argv", ["tallystick", "accept", *paths])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "give --key-file" in capsys.readouterr().err
    assert not (tmp_path / "signed").exists()


def accepted(run: Run, folder: Path, proposal: Any, *options: str) -> Any:
    """Let the owner of plain terms look once at a server that has this proposal."""
    rules, key = folder / "rules.yaml", folder / "key"
    document = {"chain_id": 31337, "escrow": DOMAIN.verifying_contract, "level": 1, "offers": {}}
    ceilings = ("per_contract_units", "outstanding_units", "a_day_units")
    rules.write_text(json.dumps(document | dict.fromkeys(ceilings, 1)))
    key.touch(0o600)
    key.write_text("01" * 32)

    def answer(request: Any) -> object:
        if "/operators/" in request.path:
            return Refusal(404, {})
        return {"proposals": [proposal], "next": None}

    with serving_json(answer) as url:
        files = ["--rules", str(rules), "--signed", str(folder / "signed"), "--key-file", str(key)]
        return run(["accept", *files, "--api", url, *options], "")


PROPOSAL = {"terms": PLAIN.to_json(), "status": "proposed", "offer": "\x1b[2Jcheap"}


def test_the_words_of_a_server_do_not_steer_a_terminal(run: Run, tmp_path: Path) -> None:
    assert PLAIN.owner == OWNER
    done = accepted(run, tmp_path, PROPOSAL)
    assert done.code == DONE, done
    assert "not signed: it is from offer ?[2Jcheap, which the rules lack" in done.stdout


@pytest.mark.parametrize("proposal", [7, {}, PROPOSAL | {"offer": ["x"]}, PROPOSAL | {"offer": 7}])
def test_what_is_no_proposal_is_the_servers_fault(run: Run, tmp_path: Path, proposal: Any) -> None:
    done = accepted(run, tmp_path, proposal, "--json")
    assert done.code == MISSING, done
    assert json.loads(done.stdout)["error"]["code"] == "answer-garbled"
