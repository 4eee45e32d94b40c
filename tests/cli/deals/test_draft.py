"""The command prints a deal as a contract would have it."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.core.common.errors import InputError
from tests.support.api_service import open_surface, running_service, wallet
from tests.support.http_server import serving_json
from tests.support.market import DONE, MISSING, Run


def test_a_deal_is_printed_in_words(database_url: str, tmp_path: Path) -> None:
    key, deal = tmp_path / "key", tmp_path / "deal.yaml"
    key.write_text(bytes(wallet("operator").key).hex())
    key.chmod(0o600)
    deal.write_text("outcome: activated\nprice: '8.00'\nat_most: 50\n")
    with running_service(database_url) as service:
        surface = open_surface(service.sign_in(wallet("owner"), "owner"), "drafts")
        options = ["--api", service.url, "--key-file", str(key)]
        found = CliRunner().invoke(app, ["draft", surface, str(deal), *options])
        named = CliRunner().invoke(app, ["draft", "drafts", str(deal), *options])
        wrong = CliRunner().invoke(app, ["draft", "draft", str(deal), *options])
    # A name will do, and a wrong one is answered with those that there are.
    salt = re.compile(r"salt 0x[0-9a-f]{64}")
    assert salt.sub("", named.output) == salt.sub("", found.output)
    assert isinstance(wrong.exception, InputError)
    assert wrong.exception.message == "no surface is named 'draft'; there are: drafts"
    assert found.exit_code == 0, found.output
    assert "Pays 8.00 TUSD for each lead, once, that enters 'activated'" in found.output
    assert "default (usual): window 7 days" in found.output
    assert "look at this: touches before" in found.output


def test_a_deal_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLYSTICK_KEY_FILE", raising=False)
    found = CliRunner().invoke(app, ["draft", "0x00", str(tmp_path / "none")])
    assert found.exit_code != 0


DRAFTED = {
    "sentences": ["Pays \x1b[2J8.00"],
    "defaults": [{"term": "window", "value": "7 days", "source": "usual"}],
    "cautions": ["it is \u202elate"],
}


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (DRAFTED, DONE),
        ({}, MISSING),
        ([], MISSING),
        (DRAFTED | {"sentences": None}, MISSING),
        (DRAFTED | {"defaults": [7]}, MISSING),
        (DRAFTED | {"cautions": 1}, MISSING),
    ],
)
def test_the_words_of_a_server_are_printed_and_its_other_shapes_refused(
    run: Run, tmp_path: Path, answer: Any, code: int, options: list[str]
) -> None:
    deal, key = tmp_path / "deal.yaml", tmp_path / "key"
    deal.write_text("outcome: activated\n")
    key.touch(0o600)
    key.write_text("02" * 32)
    with serving_json(lambda _: answer) as url:
        arguments = ["draft", "0x" + "11" * 32, str(deal), "--api", url, "--key-file", str(key)]
        done = run([*arguments, *options], "")
    assert done.code == code, done
    if code == MISSING:
        assert "does not say what the deal would be" in done.stderr
    elif not options:
        assert done.stdout == (
            "Pays ?[2J8.00\ndefault (usual): window 7 days\nlook at this: it is ?late\n"
        )
