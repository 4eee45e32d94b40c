"""The command that accepts by rules: what it refuses before it signs anything."""

import sys
from pathlib import Path

import pytest

from orchestrator.cli.deals.accept import read_rules
from orchestrator.cli.main import main
from orchestrator.core.common.errors import InputError


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
